"""Derivatives of posteriors by table entries, and what an observation is worth: by enumeration."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import brute, common, draw_soft, fits, hidden_markov, joint_of, networks

from probgen import exact, graph
from probgen.exact import ExactError, ImpossibleEvidence, TooCostly
from probgen.reasoning.graph import UnknownNode


def changed(g, v, index, step):
    """The network with one entry changed, the others of its row in proportion."""
    made = g.copy()
    table = np.array(made.nodes[v]["table"])
    row = table[index[:-1]]
    others = np.arange(row.size) != index[-1]
    rest = row[others]
    shares = rest / rest.sum() if rest.sum() else np.full(rest.size, 1 / rest.size)
    row[index[-1]] += step
    row[others] -= step * shares
    made.nodes[v]["table"] = table
    return made


def posterior(g, v, state, evidence, do=None):
    total = hit = 0.0
    for x, weight in joint_of(g, do or {}):
        weight *= fits({**evidence, **(do or {})}, x)
        total += weight
        hit += weight * (x[v] == state)
    return hit / total if total else None


@settings(common, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(g=networks, data=st.data())
def test_a_changed_entry_moves_the_posterior_as_said(plans, g, data):
    evidence = draw_soft(data, g, 2)
    free = [v for v in g if not isinstance(evidence.get(v), str)]
    if not free or not brute(g, evidence)[0]:
        return
    v = data.draw(st.sampled_from(free))
    state = data.draw(st.sampled_from(g.nodes[v]["states"]))
    found = exact.sensitivity(g, v, state, evidence)
    assert found.value == pytest.approx(posterior(g, v, state, evidence), abs=1e-12)
    for u in g:
        table = g.nodes[u]["table"]
        assert found.derivatives[u].shape == table.shape
        for index in np.ndindex(table.shape):
            step = 0.05 if table[index] < 0.5 else -0.05
            truth = posterior(changed(g, u, index, step), v, state, evidence)
            if truth is None:
                continue
            a, b = found.numerators[u][index], found.denominators[u][index]
            if abs(1 + b * step) > 1e-9:
                assert (found.value + a * step) / (1 + b * step) == pytest.approx(truth, abs=1e-9)
            assert found.derivatives[u][index] == pytest.approx(a - found.value * b, abs=1e-12)


@settings(common, max_examples=20)
@given(networks, st.data())
def test_interventions_leave_their_own_tables_out(g, data):
    u, *others = data.draw(st.permutations(sorted(g)))
    v = others[0]
    do = {u: g.nodes[u]["states"][0]}
    state = g.nodes[v]["states"][-1]
    found = exact.sensitivity(g, v, state, do=do)
    assert not found.derivatives[u].any()
    for index in np.ndindex(g.nodes[v]["table"].shape):
        step = 0.01 if g.nodes[v]["table"][index] < 0.5 else -0.01
        truth = posterior(changed(g, v, index, step), v, state, {}, do)
        a, b = found.numerators[v][index], found.denominators[v][index]
        assert (found.value + a * step) / (1 + b * step) == pytest.approx(truth, abs=1e-10)


def test_a_state_that_is_impossible_can_become_possible():
    found = exact.sensitivity("asia", "either", "no", {"tub": "yes"})
    assert found.value == 0
    assert found.derivatives["either"].max() > 0.9


def test_largest_is_the_widest_range_and_the_ends_are_exact():
    asia = graph.load("asia")
    found = exact.sensitivity("asia", "lung", "yes", {"xray": "yes"})
    ranges = [abs(entry.high - entry.low) for entry in found.largest(8, 0.2)]
    assert ranges == sorted(ranges, reverse=True)
    top = found.largest(1, 0.2)[0]
    parents = asia.nodes[top.node]["parents"]
    index = tuple(asia.nodes[p]["states"].index(top.given[p]) for p in parents)
    index += (asia.nodes[top.node]["states"].index(top.state),)
    assert asia.nodes[top.node]["table"][index] == top.value
    for share, end in ((-0.2, top.low), (0.2, top.high)):
        step = min(top.value * (1 + share), 1.0) - top.value
        truth = posterior(changed(asia, top.node, index, step), "lung", "yes", {"xray": "yes"})
        assert end == pytest.approx(truth, abs=1e-12)


def test_long_chains_do_not_underflow():
    g = hidden_markov(300)
    found = exact.sensitivity(g, "h299", "s0", {f"x{i}": "s0" for i in range(300)})
    assert all(np.isfinite(d).all() for d in found.derivatives.values())
    assert np.abs(found.derivatives["x299"]).max() > 0.01


def test_a_thousand_observations_for_and_against():
    g = nx.DiGraph([("c", f"x{i}") for i in range(1200)])
    nx.set_node_attributes(g, ("a", "b"), "states")
    g.nodes["c"]["table"] = np.array([0.4, 0.6])
    for i in range(1200):
        odds = (0.9, 0.1) if i < 600 else (0.1, 0.9)
        g.nodes[f"x{i}"]["table"] = np.array([odds, odds[::-1]])
    found = exact.sensitivity(g, "c", "a", {f"x{i}": "a" for i in range(1200)})
    assert found.value == pytest.approx(0.4, abs=1e-9)
    assert found.derivatives["c"] == pytest.approx(np.array([1.0, -1.0]), abs=1e-6)


def test_a_tornado_is_drawn():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    _, axes = pyplot.subplots()
    ax = exact.sensitivity("asia", "lung", "yes", {"xray": "yes"}).tornado(axes, 5)
    assert ax is axes
    labels = [text.get_text() for text in ax.get_yticklabels()]
    assert len(labels) == 5
    assert labels[-1].startswith("P(xray = no | either = no) = ")
    assert len(ax.patches) == 10
    pyplot.close("all")


def entropy(row):
    row = np.array([p for p in row if p > 0])
    return -(row * np.log(row)).sum()


@settings(common, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(g=networks, data=st.data())
def test_the_worth_of_an_observation_is_the_expected_fall_of_entropy(plans, g, data):
    evidence = draw_soft(data, g, 2)
    free = [v for v in g if not isinstance(evidence.get(v), str)]
    if not free or not brute(g, evidence)[0]:
        return
    target = data.draw(st.sampled_from(free))
    worth = exact.value_of_information(g, target, evidence)
    assert set(worth) == set(free) - {target}
    assert list(worth.values()) == sorted(worth.values(), reverse=True)
    before = brute(g, evidence)[1]
    for v, nats in worth.items():
        left = 0.0
        for state, p in before[v].items():
            if p > 1e-15:
                likely = evidence.get(v, dict.fromkeys(g.nodes[v]["states"], 1.0))
                known = {s: likely[s] * (s == state) for s in g.nodes[v]["states"]}
                left += p * entropy(brute(g, {**evidence, v: known})[1][target].values())
        assert nats == pytest.approx(entropy(before[target].values()) - left, abs=1e-10)


@pytest.mark.parametrize(
    ("question", "error", "match"),
    [
        (lambda: exact.sensitivity("asia", "lung", "maybe"), ExactError, "a state of lung"),
        (lambda: exact.sensitivity("asia", "lun", "yes"), UnknownNode, "did you mean 'lung'"),
        (
            lambda: exact.sensitivity("asia", "lung", "yes", {"lung": "no"}),
            ExactError,
            "lung in both",
        ),
        (lambda: exact.sensitivity("asia", "lung", "yes", [{}]), ExactError, "once per row"),
        (
            lambda: exact.sensitivity("asia", "lung", "yes", {"tub": "yes", "either": "no"}),
            ImpossibleEvidence,
            "probability zero",
        ),
        (lambda: exact.sensitivity("asia", "lung", "yes", max_bytes=10), TooCostly, "10 bytes"),
        (lambda: exact.sensitivity("asia", "lung", "yes").largest(0), ExactError, "at least 1"),
        (lambda: exact.sensitivity("asia", "lung", "yes").largest(1, 2), ExactError, "spread"),
        (lambda: exact.value_of_information("asia", "lun"), UnknownNode, "did you mean 'lung'"),
        (
            lambda: exact.value_of_information("asia", "lung", {"smoke": "no"}, nodes=["smoke"]),
            ExactError,
            "smoke in both",
        ),
    ],
)
def test_bad_questions_are_refused(question, error, match):
    with pytest.raises(error, match=match):
        question()
