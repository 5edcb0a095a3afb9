"""Other libraries' graphs: what they are, or refused by name.

The libraries are told by the module of a class, so classes in their shape stand for those that
are not installed.
"""

from types import SimpleNamespace

import networkx as nx
import numpy as np
import pytest

from probgen import dsep, exact, graph
from probgen.reasoning.graph import GraphError


def stand_in(module, name, **attributes):
    """An object whose class says that it comes from another library."""
    return type(name, (), {"__module__": module, **attributes})()


def causal_learn(marks, kind="GeneralGraph"):
    nodes = [SimpleNamespace(get_name=lambda i=i: f"X{i}") for i in range(1, len(marks) + 1)]
    return stand_in(
        f"causallearn.graph.{kind}", kind, graph=np.array(marks), get_nodes=lambda self: nodes
    )


def test_causal_learn_is_read_by_its_marks():
    collider = causal_learn([[0, -1, 0], [1, 0, 1], [0, -1, 0]])
    assert list(graph.load(collider).edges) == [("X1", "X2"), ("X3", "X2")]
    assert dsep.check(collider, "X1", "X3")
    loose = causal_learn([[0, -1, 0], [-1, 0, -1], [0, -1, 0]], "Dag")
    assert not graph.load(loose).is_directed()
    assert dsep.check(loose, "X1", "X3", "X2")
    found = stand_in("causallearn.graph.GraphClass", "CausalGraph", G=collider)
    assert list(graph.load(found).edges) == [("X1", "X2"), ("X3", "X2")]


@pytest.mark.parametrize(
    ("marks", "message"),
    [
        ([[0, -1, 0], [-1, 0, -1], [0, 1, 0]], "undirected X1 - X2 beside directed"),
        ([[0, 1], [1, 0]], "bidirected edge X1 <-> X2"),
        ([[0, 2], [1, 0]], "circle edge X1 o-> X2"),
        ([[0, 4], [5, 0]], r"ends -1, 1 or 2; got \(4, 5\)"),
        ([[0, 0], [1, 0]], r"got \(0, 1\)"),
    ],
)
def test_causal_learns_mixed_graphs_are_refused(marks, message):
    with pytest.raises(GraphError, match=message):
        graph.load(causal_learn(marks))


def test_nodes_of_causal_learn_are_no_graph():
    with pytest.raises(GraphError, match="causal-learn graph; got GraphNode"):
        graph.load(stand_in("causallearn.graph.GraphNode", "GraphNode"))


def test_causal_learn_itself():
    pytest.importorskip("causallearn")
    from causallearn.graph.Edge import Edge
    from causallearn.graph.Endpoint import Endpoint
    from causallearn.graph.GeneralGraph import GeneralGraph
    from causallearn.graph.GraphNode import GraphNode
    from causallearn.utils.GraphUtils import GraphUtils

    a, b, c = map(GraphNode, "ABC")
    made = GeneralGraph([a, b, c])
    made.add_edge(Edge(a, b, Endpoint.TAIL, Endpoint.ARROW))
    made.add_edge(Edge(c, b, Endpoint.TAIL, Endpoint.ARROW))
    assert list(graph.load(made).edges) == [("A", "B"), ("C", "B")]
    assert sorted(graph.load(GraphUtils.to_pydot(made)).edges) == [("0", "1"), ("2", "1")]
    made.add_edge(Edge(a, c, Endpoint.CIRCLE, Endpoint.CIRCLE))
    with pytest.raises(GraphError, match="circle edge A o-o C"):
        graph.load(made)


def tensor(names, values):
    """pyAgrum's: `variable(0)` is the last axis of `toarray()`."""
    variables = [SimpleNamespace(name=lambda n=n: n) for n in names]
    return SimpleNamespace(
        variable=variables.__getitem__, nbrDim=lambda: len(names), toarray=lambda: values
    )


def variable(name, *labels):
    return SimpleNamespace(name=lambda: name, labels=lambda: labels)


VARIABLES = {0: variable("A", "a", "b"), 4: variable("B", "1", "2", "3")}
JOINT = np.array([[0.1, 0.2, 0.7], [0.3, 0.3, 0.4]])  # (A, B)


def pyagrum(kind, module="pyagrum.pyagrumcpp", **attributes):
    return stand_in(
        module, kind, nodes=lambda self: {4, 0}, variable=lambda self, i: VARIABLES[i],
        **{name: staticmethod(value) for name, value in attributes.items()},
    )  # fmt: skip


def test_pyagrums_tables_go_by_their_variables():
    tables = {0: tensor("A", np.array([0.25, 0.75])), 4: tensor("BA", JOINT)}
    network = pyagrum("BayesNet", cpt=tables.__getitem__)
    data = graph.load(network).nodes
    assert data["B"]["states"] == ("1", "2", "3")
    assert data["B"]["parents"] == ("A",)
    np.testing.assert_array_equal(data["B"]["table"], JOINT)
    found = exact.marginals(network)["B"]
    np.testing.assert_allclose(list(found.values()), [0.25, 0.275, 0.475])
    factors = {frozenset((0, 4)): tensor("BA", JOINT)}
    for module in ("pyagrum.markov_random_field.mrfcpp", "pyAgrum.pyAgrum"):
        field = pyagrum(
            "MarkovRandomField", module, edges=lambda: {(0, 4)}, factors=lambda: [{0, 4}],
            factor=lambda scope: factors[frozenset(scope)],
        )  # fmt: skip
        loaded = graph.load(field)
        assert not loaded.is_directed()
        names, values = loaded.graph["factors"][0]
        assert names == ("B", "A")
        np.testing.assert_array_equal(values, JOINT.T)


def test_pyagrums_graphs():
    arcs = pyagrum("DAG", arcs=lambda: {(0, 4)})
    assert list(graph.load(arcs).edges) == [(0, 4)]
    loose = pyagrum("UndiGraph", edges=lambda: {(0, 4)})
    assert not graph.load(loose).is_directed()
    mixed = pyagrum("EssentialGraph", arcs=lambda: {(0, 4)}, edges=lambda: {(0, 4)})
    with pytest.raises(GraphError, match="undirected 0 - 4 beside directed"):
        graph.load(mixed)
    with pytest.raises(GraphError, match="got InfluenceDiagram: decisions and utilities"):
        graph.load(pyagrum("InfluenceDiagram"))
    with pytest.raises(GraphError, match="got LazyPropagation"):
        graph.load(pyagrum("LazyPropagation"))


def test_pyagrum_itself():
    gum = pytest.importorskip("pyagrum")
    network = gum.fastBN("A{x|y}->B{1|2|3}<-C[4];C->D", 3)
    theirs = gum.LazyPropagation(network)
    theirs.setEvidence({"B": "2"})
    theirs.makeInference()
    ours = exact.marginals(network, {"B": "2"})
    for node in "ACD":
        right = theirs.posterior(node).toarray()
        np.testing.assert_allclose(list(ours[node].values()), right, atol=1e-12)


DOT = "digraph { a -> b [dir=back]; c -> b [dir=back] }"


@pytest.mark.parametrize(
    "source",
    [
        stand_in("pydot.core", "Dot", to_string=lambda self: DOT),
        stand_in("pygraphviz.agraph", "AGraph", to_string=lambda self: DOT),
        stand_in("graphviz.graphs", "Digraph", source=DOT),
    ],
    ids=lambda source: type(source).__name__,
)
def test_graphviz_objects_are_read_as_drawn(source):
    assert sorted(graph.load(source).edges) == [("b", "a"), ("b", "c")]


def igraph(edges, directed, names=None):
    class Vertices:
        attributes = staticmethod(lambda: ["name"] if names else [])
        __getitem__ = staticmethod(lambda key: names)

    return stand_in(
        "igraph", "Graph", vs=Vertices(), vcount=lambda self: 3,
        is_directed=lambda self: directed, get_edgelist=lambda self: edges,
    )  # fmt: skip


def test_igraph():
    assert list(graph.load(igraph([(0, 1), (1, 2)], True)).edges) == [(0, 1), (1, 2)]
    named = graph.load(igraph([(0, 1), (0, 1)], False, ["a", "b", "c"]))
    assert not named.is_directed()
    assert list(named.edges) == [("a", "b")]
    assert list(named) == ["a", "b", "c"]
    with pytest.raises(GraphError, match="two of one name"):
        graph.load(igraph([], False, ["a", "a", "c"]))


def test_lingams_effects_are_turned():
    effects = np.array([[0, 0], [-0.7, 0]])
    fitted = stand_in("lingam.direct_lingam", "DirectLiNGAM", adjacency_matrix_=effects)
    assert list(graph.load(fitted).edges) == [(0, 1)]
    hidden = np.array([[0, np.nan], [np.nan, 0]])
    with pytest.raises(GraphError, match="NaN, lingam's sign for a common cause"):
        graph.load(stand_in("lingam.rcd", "RCD", adjacency_matrix_=hidden))
    with pytest.raises(GraphError, match="fitted lingam model"):
        graph.load(stand_in("lingam.var_lingam", "VARLiNGAM"))


def test_networkx_graphs_stay_what_they_are():
    class Own(nx.DiGraph):
        pass

    own = Own([(0, 1)])
    assert graph.load(own) is own
    plain = nx.DiGraph([("a", "b", {"style": "dashed", "dir": "forward", "weight": 2})])
    assert graph.load(plain) is plain
    assert not graph.load(nx.check_planarity(nx.path_graph(3))[1]).is_directed()


def test_networkx_edges_with_ends_of_their_own():
    back = nx.MultiDiGraph([("a", "b", {"dir": '"back"'}), ("b", "c", {"style": "invis"})])
    loaded = graph.load(back)
    assert list(loaded.edges) == [("b", "a")]
    assert set(loaded) == set("abc")
    loose = nx.DiGraph([("a", "b", {"arrowhead": "none"})])
    assert not graph.load(loose).is_directed()
    with pytest.raises(GraphError, match="bidirected edge a <-> b"):
        graph.load(nx.DiGraph([("a", "b", {"dir": "both"})]))
    with pytest.raises(GraphError, match="the attribute 'marks' between a and b"):
        graph.load(nx.Graph([("a", "b", {"marks": {"a": ">", "b": ">"}})]))


def test_names_stay_with_matrices():
    with pytest.raises(GraphError, match="names only with a matrix; got them with a Dot"):
        graph.load(stand_in("pydot.core", "Dot", to_string=lambda self: DOT), names=["x", "y"])


def chain_with(scope, **data):
    """A - B - C with potentials, one of them over the given nodes."""
    table = np.full((2,) * len(scope), 1.0)
    np.fill_diagonal(table, 9.0)
    factors = [(("A", "B"), [[1, 1], [1, 1]]), (("B", "C"), [[1, 1], [1, 1]]), (scope, table)]
    return nx.Graph([("A", "B"), ("B", "C")], factors=factors, **data)


@pytest.mark.parametrize("scope", [("A", "C"), ("C", "A"), ("A", "B", "C")])
def test_potentials_join_their_nodes(scope):
    g = chain_with(scope)
    assert not dsep.check(g, "A", "C", "B")
    joint = exact.query(g, ["A", "C"], {"B": 0}).values
    product = np.outer(joint.sum(1), joint.sum(0))
    assert np.abs(joint - product).max() > 0.05
    assert not g.has_edge("A", "C")
    assert list(graph.load(g).edges) == [("A", "B"), ("A", "C"), ("B", "C")]


def test_potentials_of_joined_nodes_leave_the_graph_alone():
    g = chain_with(("A", "B"))
    assert graph.load(g) is g
    assert dsep.check(g, "A", "C", "B")
    alone = nx.Graph(factors=[(("A", "B"), [[1, 2], [3, 4]])])
    alone.add_nodes_from("AB")
    assert not dsep.check(alone, "A", "B")


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        (3, "expected potentials"),
        ([3], "expected potentials"),
        ([(["A", ["B"]], [[1]])], "expected potentials"),
        ([(range(65), 1.0)], "at most 64 nodes in a potential; got 65"),
    ],
)
def test_malformed_potentials(factors, message):
    with pytest.raises(GraphError, match=message):
        graph.load(nx.Graph([("A", "B")], factors=factors))
