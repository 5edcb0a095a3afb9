"""What a plan costs, said before it is paid."""

import tracemalloc

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import (
    ask_pgmpy,
    assert_same,
    brute,
    common,
    draw_evidence,
    gibbs,
    hidden_markov,
    networks,
    sampled_evidence,
)
from shared_data import bif_files

from probgen import exact, graph
from probgen.exact import TooCostly, plan


@common
@given(networks | gibbs, st.data())
def test_a_plan_for_the_observed_nodes_answers_as_the_general_one(g, data):
    evidence = draw_evidence(data, g)
    total, expected = brute(g, evidence)
    if not total:
        return
    small = plan.SMALL
    plan.SMALL = 0
    try:
        g = g.copy()
        assert_same(exact.marginals(g, evidence), expected)
        assert exact.probability(g, evidence) == pytest.approx(total / brute(g, {})[0], abs=1e-12)
        rows = exact.marginals(g, [evidence, evidence])
    finally:
        plan.SMALL = small
    for v, row in expected.items():
        assert rows[v][1] == pytest.approx(list(row.values()), abs=1e-12)


REAL = bif_files()
SMALL = [p for p in REAL if not {"link", "munin1", "pigs"} & set(str(p).split("/")[-1].split("."))]


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("name", sorted(set(REAL) - set(SMALL)), ids=lambda p: str(p)[-20:])
def test_large_networks_are_answered_or_refused_with_their_cost(name):
    g = graph.load(name)
    evidence = sampled_evidence(g)
    v = next(v for v in g if v not in evidence and len(g.pred[v]) == 2)
    table = exact.query(g, [v], evidence)
    ((_, row),) = ask_pgmpy(g, evidence, [v])
    assert table.values == pytest.approx(list(row.values()), abs=1e-10)
    if exact.cost(g).memory > 1 << 30:
        with pytest.raises(
            TooCostly, match=r"at most 1.0 GiB; got width \d+, largest table"
        ) as no:
            exact.marginals(g, max_bytes=1 << 30)
        assert no.value.cost == exact.cost(g)
    else:
        assert exact.marginals(g, evidence)[v] == pytest.approx(row, abs=1e-10)


def test_costs_beyond_all_numbers_are_readable():
    cost = exact.Cost(2000, 2**2001, 2**2001, 8 * 2**2002, 2**2005)
    assert str(cost) == (
        "width 2000, largest table 2^2001 entries, 2^2005 bytes, 2^2005 operations"
    )


def test_the_stated_memory_is_an_upper_bound_of_what_is_taken():
    g = hidden_markov(10)
    rng = np.random.default_rng(0)
    wide = nx.Graph([(a, b) for a in range(18) for b in range(a)])
    nx.set_node_attributes(wide, (0, 1), "states")
    wide.graph["factors"] = [((a, b), rng.random((2, 2))) for a, b in wide.edges]
    for network in (g, wide):
        stated = exact.cost(network).memory
        exact.marginals(network)
        tracemalloc.start()
        exact.marginals(network)
        taken = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert taken < 1.1 * stated + 200_000
    assert exact.cost(wide).largest == 2**18
