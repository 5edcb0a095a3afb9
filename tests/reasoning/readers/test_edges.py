"""Marks at the ends of edges, and the plain graphs that they make."""

import pytest

from probgen.reasoning.names import GraphError
from probgen.reasoning.readers import edges
from probgen.reasoning.readers.edges import CIRCLE, HEAD, TAIL, Edge

MARKS = (TAIL, HEAD, CIRCLE)


@pytest.mark.parametrize("at_u", MARKS)
@pytest.mark.parametrize("at_v", MARKS)
def test_one_edge_of_every_kind(at_u, at_v):
    edge = Edge("u", "v", at_u, at_v)
    if CIRCLE in (at_u, at_v) or at_u == at_v == HEAD:
        with pytest.raises(GraphError, match="circle|bidirected"):
            edges.graph("uv", [edge])
        return
    made = edges.graph("uv", [edge])
    assert made.is_directed() == (at_u != at_v)
    assert list(made.edges) == [("v", "u") if at_u == HEAD else ("u", "v")]


def test_nodes_attributes_and_no_edges():
    made = edges.graph([("a", {"label": "x"}), "b"], [Edge("a", "b", attributes={"w": 1})])
    assert made.nodes["a"] == {"label": "x"}
    assert made.edges["a", "b"] == {"w": 1}
    assert edges.graph("ab", []).is_directed()
    assert not edges.graph("ab", [], directed=False).is_directed()


def test_mixed_edges_show_where():
    loose = Edge("b", "c", TAIL, TAIL, where="x.dot: line 3: ")
    with pytest.raises(GraphError, match="x.dot: line 3: .* undirected b - c beside directed"):
        edges.graph("abc", [Edge("a", "b"), loose])
