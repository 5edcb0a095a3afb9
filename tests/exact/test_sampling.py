"""Samples have the frequencies of the posteriors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import brute, common, draw_evidence, gibbs, joint_of, networks

from probgen import exact


@pytest.mark.parametrize("evidence", [{}, {"dysp": "yes", "asia": "yes"}, {"tub": "yes"}])
@pytest.mark.parametrize("do", [{}, {"either": "yes"}])
def test_frequencies_of_samples_are_the_posteriors(evidence, do):
    n = 200_000
    rows = exact.sample("asia", n, evidence, do=do, seed=5)
    expected = exact.marginals("asia", evidence, do=do)
    for v, row in expected.items():
        for state, p in row.items():
            error = 5 * np.sqrt(p * max(1 - p, 0) / n) + 1e-9
            assert abs((rows[v] == state).mean() - p) < error, (v, state)
    pair = exact.query("asia", ["lung", "bronc"], evidence, do=do)
    both = ((rows["lung"] == "yes") & (rows["bronc"] == "yes")).mean()
    p = pair["yes", "yes"]
    assert abs(both - p) < 5 * np.sqrt(p * (1 - p) / n)
    again = exact.sample("asia", n, evidence, do=do, seed=5)
    assert (again.codes == rows.codes).all()


@common
@given(networks | gibbs, st.data())
def test_impossible_states_are_never_drawn(g, data):
    evidence = draw_evidence(data, g, 2)
    if not brute(g, evidence)[0]:
        return
    weights = {tuple(x.values()): w for x, w in joint_of(g)}
    rows = exact.sample(g, 50, evidence, seed=data.draw(st.integers(0, 99)))
    for row in zip(*(rows[v] for v in rows.nodes), strict=True):
        assert weights[row] > 0
        assert all(row[rows.nodes.index(v)] == s for v, s in evidence.items())
