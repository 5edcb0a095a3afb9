"""Rows of evidence: many equal one by one."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import brute, common, draw_evidence, gibbs, networks

from probgen import exact


@settings(common, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(g=networks | gibbs, data=st.data())
def test_many_rows_equal_one_by_one(plans, g, data):
    rows = [draw_evidence(data, g) for _ in range(data.draw(st.integers(1, 5)))]
    each = [brute(g, row) for row in rows]
    z = brute(g, {})[0]
    together = exact.log_probability(g, rows)
    assert np.exp(together) == pytest.approx([t / z for t, _ in each], abs=1e-12)
    possible = [k for k, (t, _) in enumerate(each) if t]
    found = exact.marginals(g, [rows[k] for k in possible])
    for v in g:
        for i, k in enumerate(possible):
            assert found[v][i] == pytest.approx(list(each[k][1][v].values()), abs=1e-12)


def test_rows_come_from_frames_and_mappings_alike():
    pandas = pytest.importorskip("pandas")
    rows = exact.sample("asia", 50, seed=0)
    frame = rows.frame()
    frame.loc[3, "bronc"] = None
    frame.loc[4, "lung"] = float("nan")
    lists = [
        {v: s for v, s in row.items() if isinstance(s, str)} for row in frame.to_dict("records")
    ]
    assert exact.log_probability("asia", frame) == pytest.approx(
        exact.log_probability("asia", lists), abs=1e-12
    )
    assert pandas.DataFrame(lists).shape == frame.shape
    assert exact.log_probability("asia", frame)[3] > exact.log_probability("asia", rows)[3]


def test_no_rows_and_rows_that_observe_nothing():
    assert exact.log_probability("asia", []).shape == (0,)
    prior = exact.marginals("asia")["lung"]["yes"]
    assert exact.marginals("asia", [{}, {}])["lung"][:, 0] == pytest.approx([prior, prior])
    assert exact.marginals("asia", [])["lung"].shape == (0, 2)
    everything = exact.map("asia").states
    assert exact.marginals("asia", everything)["lung"] == {"yes": 0.0, "no": 1.0}
