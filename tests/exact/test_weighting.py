"""Likelihood weighting: unbiased, with intervals that cover; exact where nothing is weighed."""

from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import brute, common, draw_soft, hidden_markov, misconception, networks

from probgen import exact
from probgen.exact import ExactError, weighting
from probgen.reasoning.graph import UnknownNode

LATE = {"xray": "yes", "dysp": "yes"}


@settings(common, max_examples=25)
@given(networks, st.data())
def test_estimates_are_within_their_errors(g, data):
    evidence = draw_soft(data, g, 3)
    total, expected = brute(g, evidence)
    if not total:
        with pytest.raises(ExactError, match="agrees with some of 500 draws"):
            exact.likelihood_weighting(g, evidence, n=500)
        return
    found = exact.likelihood_weighting(g, evidence, n=20_000, seed=1)
    assert found.draws == 20_000
    assert 0 < found.effective_sample_size <= 20_000 * (1 + 1e-9)
    error = found.log_probability_error
    assert found.log_probability == pytest.approx(log(total), abs=6 * error + 1e-9)
    worst = 6 * np.sqrt(0.25 / found.effective_sample_size) + 1e-9
    for v, row in expected.items():
        assert found.marginals[v] == pytest.approx(row, abs=worst)
        assert sum(found.marginals[v].values()) == pytest.approx(1)


def test_intervals_cover_as_often_as_they_say():
    truth, inside, total = exact.marginals("asia", LATE), 0, 0
    for seed in range(100):
        found = exact.likelihood_weighting("asia", LATE, n=1000, seed=seed)
        for v in ("smoke", "lung", "bronc", "tub"):
            low, high = found.intervals[v]["yes"]
            inside += low <= truth[v]["yes"] <= high
            total += 1
    assert 0.91 < inside / total < 0.985


@pytest.mark.parametrize(
    "evidence",
    [{}, {"smoke": "yes"}, {"smoke": {"yes": 0.8, "no": 0.2}, "asia": "no"}],
    ids=["nothing", "a root", "a root softly"],
)
def test_evidence_at_roots_costs_no_draws(evidence):
    found = exact.likelihood_weighting("asia", evidence, n=5000)
    assert found.effective_sample_size == pytest.approx(5000)
    assert found.log_probability == pytest.approx(
        exact.log_probability("asia", evidence), abs=1e-12
    )
    assert found.log_probability_error == pytest.approx(0, abs=1e-6)


def test_interventions_are_not_weighed():
    found = exact.likelihood_weighting("asia", do={"lung": "yes"}, n=5000)
    assert found.effective_sample_size == pytest.approx(5000)
    assert found.marginals["either"] == {"yes": 1.0, "no": 0.0}
    low, high = found.intervals["smoke"]["yes"]
    assert low < 0.5 < high


def test_batches_are_one_estimate(monkeypatch):
    monkeypatch.setattr(weighting, "BATCH", 100)
    found = exact.likelihood_weighting("asia", LATE, n=20_000, seed=3)
    truth = exact.marginals("asia", LATE)["lung"]["yes"]
    assert found.marginals["lung"]["yes"] == pytest.approx(truth, abs=0.05)
    assert found.effective_sample_size > 100


def test_only_what_is_asked_is_drawn():
    found = exact.likelihood_weighting("asia", nodes=["smoke"], n=10)
    assert list(found.marginals) == ["smoke"]
    known = exact.network.network_of("asia")
    none = exact.rows.evidence_of(known, None, None)
    assert weighting._order(known, none, [known.index["lung"]]) == [
        known.index["smoke"],
        known.index["lung"],
    ]


def test_a_thousand_observed_nodes_do_not_underflow():
    g = hidden_markov(1000)
    evidence = {f"x{i}": "s0" for i in range(1000)}
    found = exact.likelihood_weighting(g, evidence, n=200, nodes=["h0"])
    assert -5000 < found.log_probability < -100
    assert found.effective_sample_size >= 1


def test_an_estimate_of_0_or_1_has_an_interval_too():
    found = exact.likelihood_weighting("asia", nodes=["tub"], n=30, seed=0)
    low, high = found.intervals["tub"]["yes"]
    assert found.marginals["tub"]["yes"] == 0
    assert (low, high > 0.05) == (0.0, True)


def test_a_seed_is_a_result():
    again = [exact.likelihood_weighting("asia", LATE, n=100, seed=s) for s in (1, 1, 2)]
    assert again[0] == again[1]
    assert again[0] != again[2]


def test_too_costly_advises_what_works():
    with pytest.raises(exact.TooCostly, match=r"exact\.likelihood_weighting"):
        exact.marginals("asia", max_bytes=10)
    with pytest.raises(exact.TooCostly, match=r"exact\.belief_propagation"):
        exact.marginals(misconception(), max_bytes=10)
    with pytest.raises(exact.TooCostly) as no:
        exact.map("asia", max_bytes=10)
    assert "likelihood" not in str(no.value)


@pytest.mark.parametrize(
    ("question", "error", "match"),
    [
        (lambda: exact.likelihood_weighting("asia", n=0), ExactError, "at least 1 draw; got 0"),
        (lambda: exact.likelihood_weighting("asia", n=1.5), ExactError, "at least 1 draw"),
        (lambda: exact.likelihood_weighting("asia", nodes=["x"]), UnknownNode, "nodes="),
        (lambda: exact.likelihood_weighting("asia", nodes=[]), ExactError, "list of different"),
        (lambda: exact.likelihood_weighting("asia", [{}]), ExactError, "once per row"),
        (lambda: exact.likelihood_weighting(misconception()), ExactError, "belief_propagation"),
        (
            lambda: exact.likelihood_weighting("asia", {"smoke": {"yes": 0, "no": 0}}),
            ExactError,
            "not all 0",
        ),
    ],
)
def test_bad_questions_are_refused(question, error, match):
    with pytest.raises(error, match=match):
        question()
