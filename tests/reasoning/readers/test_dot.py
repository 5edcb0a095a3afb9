"""Graphs in DOT, there and back."""

import networkx as nx
import pytest
from hypothesis import given, settings
from random_graphs import dags, graphs

from probgen import graph
from probgen.reasoning.graph import GraphError


@settings(deadline=None, max_examples=100)
@given(dags() | graphs())
def test_dot_and_matrix_round_trip(g):
    back = graph.load(graph.dot(g))
    assert list(back) == list(g)
    assert nx.utils.graphs_equal(nx.DiGraph(g.edges), nx.DiGraph(back.edges))
    matrix = nx.to_numpy_array(g)
    if g.edges:
        assert nx.utils.edges_equal(graph.load(matrix, names=list(g)).edges, g.edges)


def test_dot_keeps_evil_names_and_labels():
    g = nx.DiGraph([('say "hi"', "a\nb"), ("a\nb", "c:\\d"), ("<x>", "c:\\d")])
    g.nodes["<x>"]["label"] = "l"
    back = graph.load(graph.dot(g))
    assert set(back.edges) == set(g.edges)
    assert back.nodes["<x>"]["label"] == "l"
    with pytest.raises(GraphError, match="backslash"):
        graph.dot(nx.DiGraph([("back\\", 1)]))
    with pytest.raises(GraphError, match="two nodes of one name"):
        graph.dot(nx.DiGraph([("1", 1)]))
