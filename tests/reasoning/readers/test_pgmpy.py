"""Networks of pgmpy, there and back."""

import numpy as np
import pytest
from same_graphs import assert_same

from probgen import dsep, graph
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
