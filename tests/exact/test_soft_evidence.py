"""Likelihoods in place of states: as of a child that is observed, wherever evidence is taken."""

from math import log

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import assert_same, brute, common, draw_soft, fits, gibbs, joint_of, networks

from probgen import exact, graph
from probgen.exact import ExactError, ImpossibleEvidence

LIKELY = {"yes": 0.8, "no": 0.2}


def with_child(g, evidence):
    """The network with a child in place of each soft observation, and evidence on it."""
    made, hard = nx.DiGraph(g), {}
    for v, state in evidence.items():
        if not isinstance(state, dict):
            hard[v] = state
            continue
        scale = max(state.values())
        seen = np.array([state[s] / scale for s in g.nodes[v]["states"]])
        child = ("child", v)
        made.add_edge(v, child)
        table = np.stack([seen, 1 - seen], 1)
        made.nodes[child].update(states=("seen", "not"), parents=(v,), table=table)
        hard[child] = "seen"
    return made, hard


@settings(common, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(g=networks | gibbs, data=st.data())
def test_posteriors_are_those_of_the_weighted_joint(plans, g, data):
    evidence = draw_soft(data, g)
    total, expected = brute(g, evidence)
    z = brute(g, {})[0]
    assert exact.probability(g, evidence) == pytest.approx(total / z, abs=1e-12)
    if total:
        assert_same(exact.marginals(g, evidence), expected)
    else:
        with pytest.raises(ImpossibleEvidence, match="probability zero"):
            exact.marginals(g, evidence)


@common
@given(networks, st.data())
def test_it_is_a_virtual_child(g, data):
    evidence = draw_soft(data, g)
    if not brute(g, evidence)[0]:
        return
    found = exact.marginals(g, evidence)
    other = exact.marginals(*with_child(g, evidence))
    assert_same(found, {v: other[v] for v in g})


@common
@given(networks | gibbs, st.data())
def test_rows_of_it_equal_one_by_one(g, data):
    rows = [draw_soft(data, g) for _ in range(3)]
    each = [brute(g, row) for row in rows]
    z = brute(g, {})[0]
    found = np.exp(exact.log_probability(g, rows))
    assert found == pytest.approx([total / z for total, _ in each], abs=1e-12)
    possible = [k for k, (total, _) in enumerate(each) if total]
    posteriors = exact.marginals(g, [rows[k] for k in possible])
    for v in g:
        for i, k in enumerate(possible):
            assert posteriors[v][i] == pytest.approx(list(each[k][1][v].values()), abs=1e-12)


@common
@given(networks | gibbs, st.data())
def test_a_node_can_be_asked_for_that_is_observed_softly(g, data):
    evidence = draw_soft(data, g)
    asked = [v for v in g if not isinstance(evidence.get(v), str | int)][:2]
    total, expected = brute(g, evidence)
    if total and asked:
        found = exact.query(g, asked[:1], evidence).values
        assert found == pytest.approx(list(expected[asked[0]].values()), abs=1e-12)


@common
@given(networks | gibbs, st.data())
def test_explanations_weigh_it(g, data):
    evidence = draw_soft(data, g)
    rows = [(x, w * fits(evidence, x)) for x, w in joint_of(g)]
    greatest = max(w for _, w in rows)
    if greatest:
        best = exact.map(g, evidence)
        assert best.log_joint == pytest.approx(log(greatest), abs=1e-9)
        assert best.probability == pytest.approx(greatest / sum(w for _, w in rows))


@pytest.mark.parametrize("given_", [{"smoke": LIKELY}, {"smoke": LIKELY, "xray": "yes"}])
def test_samples_follow_it(given_):
    n = 100_000
    rows = exact.sample("asia", n, given_, seed=3)
    for v, row in exact.marginals("asia", given_).items():
        for state, p in row.items():
            assert abs((rows[v] == state).mean() - p) < 5 * np.sqrt(p * (1 - p) / n) + 1e-9


@settings(common, max_examples=20)
@given(networks, st.data())
def test_counts_and_gradients_take_it(g, data):
    rows = [row for row in (draw_soft(data, g) for _ in range(3)) if brute(g, row)[0]]
    if not rows:
        return
    expected = exact.counts(g, rows)
    tables = {v: torch.tensor(g.nodes[v]["table"], requires_grad=True) for v in g}
    value = exact.log_likelihood(g, rows, tables)
    value.sum().backward()
    assert value.detach().numpy() == pytest.approx(exact.log_probability(g, rows), abs=1e-12)
    for v in g:
        by_gradient = (tables[v].grad * tables[v].detach()).numpy()
        assert by_gradient == pytest.approx(expected[v], abs=1e-10)


def test_tables_are_learned_from_it():
    """A coin seen as heads with likelihood 3 : 1 in every row lands on heads."""
    rows = [{"A": {"heads": 3.0, "tails": 1.0}}] * 5 + [{"A": "tails"}] * 5
    g = nx.DiGraph()
    g.add_node("A", states=("heads", "tails"), parents=())
    p = exact.fit(g, rows, tolerance=1e-14, steps=5000).network.nodes["A"]["table"][0]
    grid = np.linspace(0.001, 0.999, 999)
    likely = 5 * np.log(3 * grid + 1 - grid) + 5 * np.log(1 - grid)
    assert p == pytest.approx(grid[likely.argmax()], abs=1e-3)


@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize(
    ("likelihoods", "match"),
    [
        ({"yes": 0.0, "no": 0.0}, "not all 0; got \\[0.0, 0.0\\]"),
        ({"yes": -0.1, "no": 1.0}, "at least 0"),
        ({"yes": float("nan"), "no": 1.0}, "finite"),
        ({"yes": float("inf"), "no": 1.0}, "finite"),
        ({"yes": 0.3}, "for every state of smoke; got none for no"),
        ({}, "for every state of smoke; got none for yes, no"),
        ({"yes": 0.3, "no": 0.2, "maybe": 0.5}, "a state of smoke; got 'maybe'"),
        ({"yes": "high", "no": 0.2}, "numbers as likelihoods"),
        ({"yes": [1, 2], "no": 0.2}, "numbers as likelihoods"),
    ],
)
def test_likelihoods_that_are_none_are_refused(rows, likelihoods, match):
    evidence = {"smoke": likelihoods}
    with pytest.raises(ExactError, match=match):
        exact.marginals("asia", [evidence] if rows else evidence)


def test_an_intervention_is_not_soft():
    with pytest.raises(ExactError, match="a state of smoke"):
        exact.marginals("asia", do={"smoke": LIKELY})
    with pytest.raises(ExactError, match="smoke either observed or set"):
        exact.marginals("asia", {"smoke": LIKELY}, do={"smoke": "yes"})


def test_frames_hold_it_too():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"smoke": [LIKELY, "yes", None], "xray": ["yes", "no", "?"]})
    found = exact.marginals("asia", frame)["lung"]
    single = [{"smoke": LIKELY, "xray": "yes"}, {"smoke": "yes", "xray": "no"}, {}]
    for row, evidence in zip(found, single, strict=True):
        assert list(exact.marginals("asia", evidence)["lung"].values()) == pytest.approx(row)


IMPOSSIBLE = {"tub": "yes", "either": "no"}


@pytest.mark.parametrize("many", [{"xray": "yes"}, {"tub": "yes", "either": "yes"}])
def test_an_impossible_row_is_nan_and_named(many):
    with pytest.warns(exact.ImpossibleRows, match=r"1 of 3 rows .* row 1 \(.*either = no"):
        found = exact.marginals("asia", [many, IMPOSSIBLE, many])
    for values in found.values():
        assert np.isnan(values).all(1).tolist() == [False, True, False]
    single = exact.marginals("asia", many)
    assert found["lung"][2] == pytest.approx(list(single["lung"].values()), abs=1e-12)
    with pytest.warns(exact.ImpossibleRows, match="row 1"):
        joint = exact.query("asia", ["lung", "bronc"], [many, IMPOSSIBLE, many]).values
    assert np.isnan(joint).all((1, 2)).tolist() == [False, True, False]
    assert exact.log_probability("asia", [many, IMPOSSIBLE])[1] == -np.inf


def test_it_is_named_as_its_frame_has_it():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame([{"xray": "yes"}, IMPOSSIBLE], index=["Ada", "Bo"])
    with pytest.warns(exact.ImpossibleRows, match="row Bo"):
        exact.marginals("asia", frame)
    with pytest.raises(ImpossibleEvidence, match="in row Bo"):
        exact.fit("asia", frame)
    with pytest.raises(ImpossibleEvidence, match="in row 2"):
        exact.counts("asia", [{}, {}, IMPOSSIBLE])


@pytest.mark.usefixtures("plans")
def test_all_rows_may_be_impossible():
    with pytest.warns(exact.ImpossibleRows, match="7 of 7 rows .* and 2 more"):
        found = exact.marginals("asia", [IMPOSSIBLE] * 7)
    assert np.isnan(found["tub"]).all()


@pytest.mark.parametrize("missing", [None, float("nan"), "?"])
def test_what_is_missing(missing):
    rows = [{"smoke": missing, "xray": "yes"}]
    found = exact.marginals("asia", rows)["smoke"][0]
    assert found == pytest.approx(list(exact.marginals("asia", {"xray": "yes"})["smoke"].values()))


def test_a_state_called_question_mark_is_a_state():
    g = graph.load("asia").copy()
    g.nodes["smoke"]["states"] = ("yes", "?")
    assert exact.marginals(g, [{"smoke": "?"}])["smoke"][0].tolist() == [0.0, 1.0]
