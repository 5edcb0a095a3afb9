"""FID meets its references, and is a distance."""

from functools import reduce
from operator import add

import pytest
import torch
from samples import covered, normal
from shared_data import vectors

from probgen.evaluation import EvaluationError, ProtocolError, features, fid

CASES = ["collapsed_generator", "d1", "dead_features", "full_rank", "identical", "rank_deficient"]


@pytest.mark.parametrize("name", CASES)
def test_fid_meets_the_references(name):
    given, expected = vectors(f"fid_{name}")
    found = float(fid.score(given["x"], given["y"]))
    assert found == pytest.approx(expected["nuclear_norm_float64"], abs=1e-9)
    for library in ("pytorch_fid", "torch_fidelity", "torchmetrics_compute_fid"):
        if (value := expected.get(library)) is not None:
            assert found == pytest.approx(value, abs=3e-6)


@pytest.mark.parametrize("name", CASES)
def test_fid_of_merged_statistics_is_that_of_the_rows(name):
    given, expected = vectors(f"fid_{name}")
    parts = [
        reduce(add, map(fid.Statistics.of, given[side].split(size)))
        for side, size in (("x", 7), ("y", 1))
    ]
    assert float(fid.score(*parts)) == pytest.approx(expected["nuclear_norm_float64"], abs=1e-7)
    assert fid.score(*parts).n == tuple(len(given[side]) for side in "xy")


def known_moments(mean, covariance, n, seed):
    """Rows whose sample moments are the given ones exactly."""
    x = normal(n, len(mean), seed=seed)
    x = x - x.mean(0)
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(x.T.cov()), x.T, upper=False).T
    return white @ torch.linalg.cholesky(covariance).T + mean


def test_fid_of_gaussians_with_known_moments():
    """Commuting covariances: |m|^2 + sum (sqrt a - sqrt b)^2 in their common basis."""
    basis = torch.linalg.qr(normal(5, 5)).Q
    a, b = torch.tensor([1.0, 2, 3, 4, 5]).double(), torch.tensor([2.0, 2, 1, 9, 0.01]).double()
    mean = torch.arange(5.0).double()
    x = known_moments(torch.zeros(5).double(), basis @ a.diag() @ basis.T, 40, seed=1)
    y = known_moments(mean, basis @ b.diag() @ basis.T, 50, seed=2)
    expected = mean.square().sum() + (a.sqrt() - b.sqrt()).square().sum()
    found = fid.score(x, y)
    assert float(found) == pytest.approx(expected.item(), abs=1e-9)
    assert found.details["means"] == pytest.approx(30, abs=1e-9)


@pytest.mark.parametrize(("n", "d"), [(2, 1), (200, 8), (8, 200), (9, 8), (2, 64)])
def test_fid_is_a_distance(n, d):
    x, y = normal(n, d), normal(n, d, seed=1) + 0.5
    rotation = torch.linalg.qr(normal(d, d, seed=2)).Q
    distance = float(fid.score(x, y))
    close = pytest.approx(distance, rel=1e-9)
    assert float(fid.score(x, x)) == pytest.approx(0, abs=1e-9)
    assert float(fid.score(x, x[torch.randperm(n)])) == pytest.approx(0, abs=1e-9)
    assert distance > 0
    assert float(fid.score(y, x)) == close
    assert float(fid.score(x @ rotation + 3, y @ rotation + 3)) == close
    assert float(fid.score(2 * x, 2 * y)) == pytest.approx(4 * distance, rel=1e-9)


def test_fid_of_a_set_with_itself_is_0_however_close_to_singular():
    skewed = normal(21, 20) @ normal(20, 20, seed=1)
    flat = normal(100, 3) @ normal(3, 8, seed=1)
    for x in (skewed, flat, normal(500, 8) * torch.logspace(0, -7, 8)):
        scale = fid.Statistics.of(x).covariance.trace().item()
        assert float(fid.score(x, x)) == pytest.approx(0, abs=1e-12 * scale)
        assert float(fid.score(x, x + 1)) == pytest.approx(x.shape[1], abs=1e-12 * (1 + scale))


def test_fid_of_long_and_short_tables_agree():
    """500 rows against 20 in 30 dimensions: by singular values and by covariances."""
    x, y = normal(500, 30), normal(20, 30, seed=1)
    by_covariance = fid.score(fid.Statistics.of(x), fid.Statistics.of(y))
    assert float(fid.score(x, y)) == pytest.approx(float(by_covariance), abs=1e-6)
    assert float(fid.score(x, y)) == pytest.approx(float(fid.score(y, x)), rel=1e-12)


def test_fid_infinity_removes_the_bias():
    """Two draws of one Gaussian: the distance is 0, its estimate about d^2 / 2N."""
    x, y = normal(1000, 20), normal(1000, 20, seed=1)
    plain, limit = fid.score(x, y), fid.infinity(x, y)
    assert float(plain) > 0.15
    assert abs(float(limit)) < 0.05
    assert limit.details["slope"] == pytest.approx(float(plain), abs=0.05)
    shifted = fid.infinity(x, y + 1)
    assert float(shifted) == pytest.approx(20, rel=0.05)
    with pytest.raises(ProtocolError):
        plain < limit  # noqa: B015


def test_the_floor_is_what_a_perfect_generator_scores():
    real, fresh = normal(2000, 10), normal(20, 2, 500, 10, seed=1)
    floors = [fid.floor(real, 500, seed=seed) for seed in range(20)]
    perfect = [fid.score(a, b) for a, b in fresh]
    mean = sum(map(float, perfect)) / 20
    assert sum(map(float, floors)) / 20 == pytest.approx(mean, rel=0.15)
    floors[0].check_comparable(perfect[0])
    assert float(fid.floor(real, 1000)) < mean
    with pytest.raises(EvaluationError, match="n from 2 to 1000"):
        fid.floor(real, 1001)


def test_features_are_as_long_as_their_rows():
    real = features.Features(normal(60, 3), "net 0123")
    assert len(real) == 60
    assert fid.floor(real, len(real) // 2).n == (30, 30)


def test_fid_per_class():
    labels = torch.arange(300) % 3
    x = normal(300, 4)
    y = normal(300, 4, seed=1) + (labels == 1)[:, None]
    found = fid.per_class(x, y, labels, labels)
    assert [*found] == [0, 1, 2]
    assert float(found[1]) > 3 > 1 > float(found[0])
    assert float(found[2]) == float(fid.score(x[labels == 2], y[labels == 2]))
    assert [*fid.per_class(x, y, labels, labels.clamp(min=1))] == [1, 2]
    with pytest.raises(EvaluationError, match="300 labels; got"):
        fid.per_class(x, y, labels[:5], labels)
    with pytest.raises(EvaluationError, match="in both sets; got none"):
        fid.per_class(x, y, labels, labels + 3)


def test_fid_intervals_cover_the_mean_of_the_estimate():
    """Of N(0, 1) against N(1, 4) in one dimension, 100 rows each."""
    n = 150
    x, y = normal(n, 100, 1), 1 + 2 * normal(n, 100, 1, seed=1)
    scores = [fid.score(a, b, level=0.95) for a, b in zip(x, y, strict=True)]
    mean = sum(map(float, scores)) / n
    assert covered([one.interval for one in scores], mean, n)
    assert mean == pytest.approx(2.05, abs=0.2)
