"""The most probable states of some nodes, the others summed out."""

from itertools import product
from math import log, prod

import networkx as nx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import common, draw_soft, fits, gibbs, hidden_markov, joint_of, networks

from probgen import exact
from probgen.exact import ExactError, ImpossibleEvidence, TooCostly, ordering
from probgen.reasoning.graph import UnknownNode


def summed(g, evidence, asked, do=()):
    """The weight of every state of the asked nodes, the others summed out, by enumeration."""
    found = {key: 0.0 for key in product(*(g.nodes[v]["states"] for v in asked))}
    for x, weight in joint_of(g, do):
        found[tuple(x[v] for v in asked)] += weight * fits(evidence, x)
    return found


@settings(common, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(g=networks | gibbs, data=st.data())
def test_it_is_the_greatest_of_the_summed_joint(plans, g, data):
    evidence = draw_soft(data, g, 3)
    free = [v for v in g if not isinstance(evidence.get(v), str | int)]
    if not free:
        return
    asked = data.draw(st.lists(st.sampled_from(free), min_size=1, unique=True))
    weights = summed(g, evidence, asked)
    total, greatest = sum(weights.values()), max(weights.values())
    if not total:
        with pytest.raises(ImpossibleEvidence):
            exact.map(g, evidence, nodes=asked)
        return
    best = exact.map(g, evidence, nodes=asked)
    assert list(best.states) == asked
    assert weights[tuple(best.states.values())] == pytest.approx(greatest)
    assert best.probability == pytest.approx(greatest / total)
    assert best.log_joint == pytest.approx(log(greatest), abs=1e-9)
    equal = [key for key, w in weights.items() if w >= greatest * (1 - 1e-10)]
    for i, v in enumerate(asked):
        assert set(best.ties.get(v, [best.states[v]])) == {key[i] for key in equal}


@settings(common, max_examples=20)
@given(networks, st.data())
def test_interventions(g, data):
    v, *asked = data.draw(st.permutations(sorted(g)))
    do = {v: data.draw(st.sampled_from(g.nodes[v]["states"]))}
    weights = summed(g, do, asked, do)
    best = exact.map(g, do=do, nodes=asked)
    assert best.log_joint == pytest.approx(log(max(weights.values())), abs=1e-9)


@common
@given(networks | gibbs)
def test_of_all_nodes_it_is_the_explanation(g):
    all_, some = exact.map(g), exact.map(g, nodes=list(g))
    assert some.log_joint == pytest.approx(all_.log_joint, abs=1e-9)
    assert some.ties == all_.ties


def test_the_best_of_some_is_not_part_of_the_best_of_all():
    """Park and Darwiche 2004, section 2: the most probable explanation may mislead."""
    g = nx.DiGraph([("S", "T")])
    g.nodes["S"].update(states=("male", "female"), parents=(), table=np.array([0.45, 0.55]))
    rows = np.array([[0.95, 0.05], [0.5, 0.5]])
    g.nodes["T"].update(states=("yes", "no"), parents=("S",), table=rows)
    assert exact.map(g).states["S"] == "male"
    best = exact.map(g, nodes=["S"])
    assert best.states == {"S": "female"}
    assert best.probability == pytest.approx(0.55)


def test_a_long_chain_neither_underflows_nor_takes_a_table_of_all():
    g = hidden_markov(400)
    evidence = {f"x{i}": "s0" for i in range(400)}
    asked = [f"h{i}" for i in range(400)]
    best, whole = exact.map(g, evidence, nodes=asked), exact.map(g, evidence)
    assert best.states == {v: whole.states[v] for v in asked}
    assert best.log_joint == pytest.approx(whole.log_joint, rel=1e-12)


@given(networks, st.data())
def test_the_asked_nodes_are_eliminated_last(g, data):
    place = {v: k for k, v in enumerate(g)}
    scopes = [[place[u] for u in (*g.pred[v], v)] for v in g]
    last = frozenset(data.draw(st.lists(st.sampled_from(range(len(g))), unique=True)))
    order = ordering.ordered([2] * len(g), scopes, 0, None, last)
    moral = nx.Graph((a, b) for scope in scopes for a in scope for b in scope)
    for part in nx.connected_components(moral):
        late = [v in last for v in order.nodes if v in part]
        assert late == sorted(late)


def test_the_cost_is_stated_and_refused_before_it_is_paid():
    """Leaves under one root: the root is summed first, which joins all of them."""
    n = 40
    g = nx.star_graph(n, create_using=nx.DiGraph)
    rows = np.array([[0.9, 0.1], [0.2, 0.8]])
    for v, data in g.nodes(data=True):
        data.update(states=(0, 1), parents=tuple(g.pred[v]), table=rows if v else rows[0])
    leaves = list(range(1, n + 1))
    assert exact.cost(g).largest == 4
    stated = exact.cost(g, nodes=leaves)
    assert stated.largest == prod([2] * (n + 1))
    with pytest.raises(TooCostly) as no:
        exact.map(g, nodes=leaves, max_bytes=1 << 30)
    assert no.value.cost == stated
    assert exact.map(g, nodes=leaves[:10]).probability > 0


@pytest.mark.parametrize(
    ("nodes", "error", "match"),
    [
        (["lung", "nobody"], UnknownNode, "nodes in nodes=; got 'nobody'"),
        ([], ExactError, "list of different nodes"),
        ("lung", ExactError, "list of different nodes"),
        (["lung", "lung"], ExactError, "list of different nodes"),
        (["lung", "smoke"], ExactError, "smoke in both"),
    ],
)
def test_bad_nodes_are_refused(nodes, error, match):
    with pytest.raises(error, match=match):
        exact.map("asia", {"smoke": "yes"}, nodes=nodes)
