"""Intervals hold what they promise."""

import pytest
import torch
from samples import normal

from probgen.evaluation import fid, inception_score, interval, prdc


def test_intervals_stay_within_the_range_of_the_score():
    real = normal(60, 3)
    collapsed = real[:1] + 0.01 * normal(60, 3, seed=1)
    for share in prdc.score(real, collapsed, level=0.95):
        low, high = share.interval
        assert 0 <= low <= float(share) <= high
        assert high <= 1 or share.name == "density"
    assert fid.score(real, normal(60, 3, seed=2), level=0.999).interval[0] >= 0
    alike = torch.full((100, 4), 0.25)
    assert inception_score.score(alike, level=0.95).interval[0] >= 1


def test_jackknife_of_a_mean_is_the_standard_error():
    x = normal(20, 1)
    [(_, (low, high))] = interval.jackknife(lambda rows: rows.mean(0), [x], 0.95)
    error = (x.std() / len(x) ** 0.5).item()
    assert (high - low) / 2 / 1.959964 == pytest.approx(error, rel=1e-6)
