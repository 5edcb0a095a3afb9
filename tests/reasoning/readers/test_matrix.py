"""Graphs as matrices, whose rows are parents or children."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from random_graphs import dags

from probgen import graph
from probgen.reasoning.graph import GraphError

CHAIN = [[0, 1, 0], [0, 0, 1], [0, 0, 0]]


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


@settings(deadline=None, max_examples=50)
@given(dags())
def test_the_conventions_are_each_other_turned(g):
    matrix = nx.to_numpy_array(g, dtype=bool)
    one = graph.load(matrix, names=list(g), rows="parents")
    two = graph.load(matrix.T, names=list(g), rows="children")
    assert set(one.edges) == set(two.edges) == set(g.edges)


def test_rows_are_parents_unless_said_otherwise():
    assert list(graph.load(CHAIN).edges) == [(0, 1), (1, 2)]
    assert sorted(graph.load(CHAIN, rows="children").edges) == [(1, 0), (2, 1)]
    assert not graph.load([[0, 1], [1, 0]], rows="children").is_directed()


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ([[0, 0.7], [0, 0]], "got 0.7: load .m != 0. if these are weights, with rows='children'"),
        ([[0, -0.7], [0, 0]], "got -0.7: load .m != 0."),
        ([[0, -1], [1, 0]], "got -1: these may be causal-learn's marks"),
        ([[0, -1], [-1, 0]], "causal-learn's marks, -1 a tail"),
        ([[0, 2], [1, 0]], "got 2: these may be causal-learn's marks"),
        ([[0, -1], [0, 0]], r"marks and unknown edges \(-1\) are not read"),
        ([[0, float("nan")], [0, 0]], "got nan"),
        ([[0, 2], [0, 0]], "matrix of 0 and 1; got 2"),
    ],
)
def test_matrices_of_other_conventions_are_refused(matrix, message):
    with pytest.raises(GraphError, match=message):
        graph.load(np.array(matrix))


def test_the_advice_for_marks_is_right():
    marks = np.array([[0, -1, 0], [1, 0, 1], [0, -1, 0]])  # 0 -> 1 <- 2 as causal-learn has it
    assert sorted(graph.load(marks == 1, rows="children").edges) == [(0, 1), (2, 1)]


@pytest.mark.parametrize("source", ["A -> B", "pharmacy", graph.load("A -> B")])
def test_rows_are_those_of_a_matrix(source):
    with pytest.raises(GraphError, match="expected rows only with a matrix"):
        graph.load(source, rows="children")
    with pytest.raises(GraphError, match="rows='parents' or 'children'; got 'from'"):
        graph.load(CHAIN, rows="from")
