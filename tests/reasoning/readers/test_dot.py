"""Graphs in DOT, there and back."""

import networkx as nx
import pytest
from hypothesis import given, settings
from random_graphs import dags, graphs

from probgen import dsep, graph
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


CPDAG = """digraph { 0 [label=X1]; 1 [label=X2]; 2 [label=X3];
0 -> 2 [dir=both, arrowtail=none, arrowhead=none];
1 -> 2 [dir=both, arrowtail=none, arrowhead=none]; }"""


def test_a_pattern_of_causal_learn_is_undirected():
    loaded = graph.load(CPDAG)
    assert not loaded.is_directed()
    assert not dsep.check(CPDAG, "0", "1")
    assert dsep.check(CPDAG, "0", "1", "2")


def test_a_label_that_is_asked_for_tells_its_node():
    with pytest.raises(GraphError, match="'X1' is the label of '0': ask for '0'"):
        dsep.check(CPDAG, "X1", "2")
    with pytest.raises(GraphError, match=r"did you mean '1' \(labelled 'X2'\)\?"):
        dsep.check(CPDAG, "1 ", "2")
    with pytest.raises(GraphError, match="'X3' is the label of '2'"):
        dsep.grade(CPDAG, "X3 _||_ 1")


DRAWN = {
    "a -> b [dir=back]": [("b", "a")],
    "a -> b [dir=Back]": [("a", "b")],
    "a -> b [dir=both, arrowhead=none]": [("b", "a")],
    "a -> b [dir=both, arrowhead=none, arrowtail=normal]": [("b", "a")],
    "a -> b [arrowtail=odot]": [("a", "b")],
    "a -> b [arrowhead=vee]; b -> c [arrowhead=onormal]": [("a", "b"), ("b", "c")],
    "a -> b [style=invis]; b -> c": [("b", "c")],
    'a -> b [style="bold, invis"]; b -> c [style=dashed]': [("b", "c")],
    "edge [style=invis]; a -> b; edge [style=solid]; b -> c": [("b", "c")],
    "edge [dir=back]; a -> b -> c": [("b", "a"), ("c", "b")],
    "edge [dir=back]; a -> b [dir=forward]": [("a", "b")],
    'edge [dir=back]; a -> b [dir=""]': [("a", "b")],
    "a -> b; edge [dir=back]; b -> c": [("a", "b"), ("c", "b")],
    "edge [dir=back]; subgraph s { a -> b; edge [dir=forward]; b -> c } c -> d": [
        ("b", "a"), ("b", "c"), ("d", "c"),
    ],
    "subgraph s { edge [dir=back] } a -> b; subgraph s { b -> c }": [("a", "b"), ("c", "b")],
    "subgraph s { edge [dir=back] } subgraph t { subgraph s { b -> c } }": [("b", "c")],
    "{ a b } -> c [dir=back]": [("c", "a"), ("c", "b")],
    "node [dir=back]; graph [dir=back]; a -> b": [("a", "b")],
}  # fmt: skip


@pytest.mark.parametrize("body", DRAWN)
def test_edges_are_as_graphviz_draws_them(body):
    loaded = graph.load(f"digraph {{ {body} }}")
    assert loaded.is_directed()
    assert sorted(loaded.edges) == DRAWN[body]


@pytest.mark.parametrize(
    "source",
    [
        "digraph { a -> b [dir=none] }",
        "digraph { a -> b [arrowhead=none] }",
        "digraph { edge [dir=none]; a -> b }",
        "digraph { EDGE [arrowhead=none]; a -> b }",
        "strict digraph { a -> b; a -> b [dir=none] }",
        "digraph { a -> b [key=x]; a -> b [key=x, dir=none] }",
        "graph { a -- b [arrowhead=normal] }",
    ],
)
def test_edges_without_heads_are_undirected(source):
    loaded = graph.load(source)
    assert not loaded.is_directed()
    assert list(loaded.edges) == [("a", "b")]


def test_undirected_edges_with_heads_are_directed():
    assert list(graph.load("graph { a -- b [dir=forward] }").edges) == [("a", "b")]
    strict = "strict graph { a -- b; b -- a [dir=forward] }"
    assert isinstance(graph.load(strict), nx.DiGraph)
    assert list(graph.load(strict).edges) == [("a", "b")]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("digraph {\n a -> b [dir=both] }", "line 2: .*the bidirected edge a <-> b"),
        ("digraph { edge [dir=both]; a -> b }", "the bidirected edge a <-> b"),
        ("graph { a -- b [dir=both] }", "the bidirected edge a <-> b"),
        ("digraph { a -> b [dir=both, arrowtail=odot] }", "the circle edge a o-> b"),
        ("digraph { a -> b [arrowhead=dot] }", "the circle edge a -o b"),
        ("digraph { a -> b [arrowhead=tee] }", "got arrowhead=tee between a and b"),
        ("digraph { a -> b [dir=back, arrowtail=crow] }", "got arrowtail=crow"),
        ("digraph { a -> b; b -> c [dir=none] }", "the undirected b - c beside directed ones"),
        ("digraph { a -> b; a -> b [dir=none] }", "the undirected a - b beside directed ones"),
        ("digraph { a -> b; a -> b [dir=back] }", "cycle a -> b -> a"),
        ("dag { a o-> b }", "'a' and a circle"),
        ("dag { a <-o b }", "'b' and a circle"),
        ("digraph { a --> b }", "expected ->, <- or --; got -->"),
        ("graph { a --> b }", "got -->"),
        ("dag { a <-- b }", "got <--"),
        ("digraph { a ->> b }", "got ->>"),
        ("digraph { a => b }", "=>"),
        ("digraph { a ⟶ b }", "got '⟶'"),
    ],
)
def test_other_edges_are_refused(source, message):
    with pytest.raises(GraphError, match=message):
        graph.load(source)


def test_many_defaults_cost_nothing():
    defaults = ", ".join(f"k{i}=v" for i in range(2_000))
    wide = " ".join(f"n{i}" for i in range(300))
    loaded = graph.load(f"digraph {{ edge [{defaults}]; {{{wide}}} -> {{m0 m1}} }}")
    assert loaded.number_of_edges() == 600
    with pytest.raises(GraphError, match="at most 100,000 edges and attributes"):
        graph.load(f"digraph {{ {{{wide}}} -> {{m0 m1}} [{defaults}] }}")
