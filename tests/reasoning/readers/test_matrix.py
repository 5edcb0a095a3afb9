"""Graphs as matrices."""

import networkx as nx
import numpy as np
import pytest

from probgen import graph
from probgen.reasoning.graph import GraphError


def test_matrices():
    pandas = pytest.importorskip("pandas")
    matrix = [[0, 1, 1], [0, 0, 1], [0, 0, 0]]
    assert set(graph.load(matrix).edges) == {(0, 1), (0, 2), (1, 2)}
    assert set(graph.load(np.array(matrix, bool), names="abc").edges) == set(
        map(tuple, ["ab", "ac", "bc"])
    )
    frame = pandas.DataFrame(matrix, index=list("xyz"), columns=list("xyz"))
    assert set(graph.load(frame).edges) == set(map(tuple, ["xy", "xz", "yz"]))
    assert not graph.load(np.array(matrix) + np.array(matrix).T).is_directed()
    assert not graph.load(np.zeros((2, 2))).edges


@pytest.mark.parametrize(
    ("source", "names", "message"),
    [
        ([[0, 1], [0, 0]], ["a", "a"], "2 different names"),
        ([[0, 1], [0, 0]], "abc", "2 different names for the matrix; got 3"),
        ([[0, 1], [0, 0]], 3, "2 names for the matrix"),
        ([[0, 1], [0, 0]], [["a"], ["b"]], "2 names for the matrix; got unhashable"),
        ("A -> B", ["X", "Y"], "names only with a matrix; got them with a str"),
        (nx.DiGraph([(0, 1)]), ["X", "Y"], "use networkx.relabel_nodes"),
    ],
)
def test_names_have_to_fit_a_matrix(source, names, message):
    with pytest.raises(GraphError, match=message):
        graph.load(source, names=names)
