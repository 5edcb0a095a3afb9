"""Networks of pgmpy, there and back."""

import numpy as np
import pytest
from same_graphs import assert_same

from probgen import dsep, exact, graph
from probgen.reasoning.graph import GraphError


@pytest.mark.parametrize("name", ["pharmacy", "student", "asia"])
def test_pgmpy_and_back(name):
    pytest.importorskip("pgmpy")
    ours = graph.load(name)
    theirs = graph.to_pgmpy(name)
    assert theirs.check_model()
    assert_same(ours, theirs)
    assert_same(graph.load(theirs), theirs)
    assert dsep.check(theirs, *list(dsep.independencies(ours).local)[0])


def test_pgmpy_markov_network():
    pytest.importorskip("pgmpy")
    g = graph.load("misconception")
    with pytest.raises(GraphError, match="expected factors"):
        graph.to_pgmpy(g)
    rng = np.random.default_rng(0)
    g.graph["factors"] = [(edge, rng.uniform(size=(2, 2))) for edge in g.edges]
    theirs = graph.to_pgmpy(g)
    assert theirs.check_model()
    back = graph.load(theirs)
    assert not back.is_directed()
    for (names, ours), (same, values) in zip(
        g.graph["factors"], back.graph["factors"], strict=True
    ):
        assert tuple(names) == tuple(same)
        np.testing.assert_array_equal(ours, values)


def test_pgmpy_without_tables():
    pytest.importorskip("pgmpy")
    from pgmpy.base import PDAG

    with pytest.raises(GraphError, match="table at every node; got none at A"):
        graph.to_pgmpy("A -> B")
    with pytest.raises(GraphError, match="PDAG"):
        graph.load(PDAG(directed_ebunch=[("A", "B")], undirected_ebunch=[("B", "C")]))


def two_nodes(names, of_b=("b0", "b1")):
    """A -> B with p(A = yes) = 0.9 and p(B = b0 | A = no) = 0.2, the parent's states as named."""
    from pgmpy.factors.discrete import TabularCPD
    from pgmpy.models import DiscreteBayesianNetwork

    network = DiscreteBayesianNetwork([("A", "B")])
    values = [[0.2, 0.7], [0.8, 0.3]]
    network.add_cpds(
        TabularCPD("A", 2, [[0.9], [0.1]], state_names={"A": ["yes", "no"]}),
        TabularCPD("B", 2, values, ["A"], [2], {"A": list(names), "B": list(of_b)}),
    )
    return network


def test_states_of_parents_go_by_name():
    pytest.importorskip("pgmpy")
    for names, right in ((["no", "yes"], 0.65), (["yes", "no"], 0.25)):
        assert exact.marginals(two_nodes(names))["B"]["b0"] == pytest.approx(right)
    data = graph.load(two_nodes(["no", "yes"])).nodes
    assert data["A"]["states"] == ("yes", "no")
    np.testing.assert_array_equal(data["B"]["table"], [[0.7, 0.3], [0.2, 0.8]])


@pytest.mark.parametrize("names", [["t", "f"], [0, 1], [True, False], ["Yes", "No"], ["yes", "n"]])
def test_states_of_parents_called_otherwise_are_refused(names):
    pytest.importorskip("pgmpy")
    with pytest.raises(GraphError, match=r"expected the states \('yes', 'no'\) of A"):
        graph.load(two_nodes(names))


def test_states_of_factors_go_by_name():
    pytest.importorskip("pgmpy")
    from pgmpy.factors.discrete import DiscreteFactor
    from pgmpy.models import DiscreteMarkovNetwork

    def network(names):
        made = DiscreteMarkovNetwork([("A", "B"), ("B", "C")])
        b = {"B": ["x", "y", "z"]}
        made.add_factors(
            DiscreteFactor(["A", "B"], [2, 3], range(1, 7), {"A": ["a", "b"], **b}),
            DiscreteFactor(["C", "B"], [2, 3], [1, 2, 3, 6, 5, 4], {"C": [0, 1], "B": names}),
        )
        return made

    loaded = graph.load(network(["z", "x", "y"]))
    assert loaded.nodes["B"]["states"] == ("x", "y", "z")
    np.testing.assert_array_equal(loaded.graph["factors"][1][1], [[2, 3, 1], [5, 4, 6]])
    weights = np.array([1 + 4, 2 + 5, 3 + 6]) * [2 + 5, 3 + 4, 1 + 6]
    found = exact.marginals(network(["z", "x", "y"]))["B"]
    np.testing.assert_allclose(list(found.values()), weights / weights.sum())
    with pytest.raises(
        GraphError, match=r"of B, as another table has them; got \('u', 'v', 'w'\)"
    ):
        graph.load(network(["u", "v", "w"]))


def test_classes_below_pgmpys_keep_their_tables():
    pytest.importorskip("pgmpy")
    from pgmpy.models import DiscreteBayesianNetwork

    class Own(DiscreteBayesianNetwork):
        pass

    own = Own([("A", "B")])
    own.add_cpds(*two_nodes(["no", "yes"]).cpds)
    assert exact.marginals(own)["B"]["b0"] == pytest.approx(0.65)


def test_mixed_graphs_of_pgmpy():
    pytest.importorskip("pgmpy")
    from pgmpy.base import ADMG, MAG, PDAG, AncestralBase
    from pgmpy.models import SEMGraph

    bidirected = [
        MAG(ebunch=[("L", "A", "-", ">"), ("B", "A", ">", ">")]),
        ADMG(directed_ebunch=[("L", "A")], bidirected_ebunch=[("A", "B")]),
        SEMGraph(ebunch=[("L", "A"), ("L", "B")], err_corr=[("A", "B")]),
    ]
    for mixed in bidirected:
        with pytest.raises(GraphError, match=f"a pgmpy {type(mixed).__name__}: .* bidirected"):
            dsep.check(mixed, "L", "B")
    with pytest.raises(GraphError, match="a pgmpy AncestralBase: .* circle edge A o-> B"):
        graph.load(AncestralBase(ebunch=[("A", "B", "o", ">")]))
    plain = [
        MAG(ebunch=[("A", "B", "-", ">"), ("C", "B", "-", ">")]),
        ADMG(directed_ebunch=[("A", "B"), ("C", "B")]),
        PDAG(directed_ebunch=[("A", "B"), ("C", "B")]),
        SEMGraph(ebunch=[("A", "B"), ("C", "B")]),
    ]
    for directed in plain:
        assert sorted(graph.load(directed).edges) == [("A", "B"), ("C", "B")]
    undirected = graph.load(PDAG(undirected_ebunch=[("A", "B")]))
    assert not undirected.is_directed()
    assert undirected.has_edge("A", "B")


def test_other_graphs_of_pgmpy_are_refused_by_name():
    pytest.importorskip("pgmpy")
    from pgmpy.models import (
        ClusterGraph,
        DynamicBayesianNetwork,
        FactorGraph,
        JunctionTree,
        MarkovChain,
    )

    others = {
        FactorGraph(): "to_markov_model",
        ClusterGraph([(("A", "B"), ("B", "C"))]): "its nodes are cliques",
        JunctionTree([(("A", "B"), ("B", "C"))]): "its nodes are cliques",
        DynamicBayesianNetwork([(("D", 0), ("D", 1))]): "unroll it",
        MarkovChain(["A"], [2]): "",
    }
    for other, hint in others.items():
        with pytest.raises(GraphError, match=f"got {type(other).__name__}.*{hint}"):
            graph.load(other)


def test_latent_nodes_are_marked():
    pytest.importorskip("pgmpy")
    from pgmpy.base import DAG

    loaded = graph.load(DAG([("L", "A"), ("L", "B")], latents={"L"}))
    assert dict(loaded.nodes(data="latent")) == {"L": True, "A": None, "B": None}
