"""Scores of generated images: reference vectors, known moments, invariances, intervals."""

import math
from functools import reduce
from operator import add

import pytest
import torch
from shared_data import vectors

from probgen.evaluation import (
    EvaluationError,
    ProtocolError,
    features,
    fid,
    inception_score,
    interval,
    kid,
    memorization,
    prdc,
)


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


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


def test_kid_meets_the_references():
    given, expected = vectors("kid")
    subsets = zip(given["subset_idx_x"], given["subset_idx_y"], strict=True)
    found = [kid.mmd2(given["x"][i], given["y"][j]) for i, j in subsets]
    values = torch.tensor(found, dtype=torch.float64)
    n = expected["n"]
    whole = float(kid.score(given["x"][:n], given["y"][:n]))
    close = {"abs": 1e-8}
    assert values.mean().item() == pytest.approx(
        expected["kernel_inception_distance_mean"], **close
    )
    assert values.std(correction=0).item() == pytest.approx(
        expected["kernel_inception_distance_std"], **close
    )
    assert whole == pytest.approx(expected["full_unbiased_first_n"], **close)
    assert whole != pytest.approx(expected["full_biased_first_n"], abs=1e-2)


def test_kid_is_unbiased_at_any_size(monkeypatch):
    """Its mean over many pairs of sets of one distribution is 0, at 5 rows as at 50."""
    for n, repeats in ((5, 4000), (50, 400)):
        x, y = normal(repeats, n, 2), normal(repeats, n, 2, seed=1)
        values = torch.tensor([kid.mmd2(a, b) for a, b in zip(x, y, strict=True)])
        assert abs(values.mean()) < 4 * values.std() / repeats**0.5
    x, y = normal(50, 3), normal(40, 3, seed=1)
    whole = kid.mmd2(x, y)
    monkeypatch.setattr(kid, "CHUNK", 7)
    assert kid.mmd2(x, y) == pytest.approx(whole, rel=1e-12)


def test_kid_by_subsets_states_them():
    x, y = normal(300, 3), normal(200, 3, seed=1) + 1
    found = kid.score(x, y, subsets=100, subset_size=50)
    assert found.variant == "unbiased, 100 subsets of 50"
    assert float(found) == pytest.approx(float(kid.score(x, y)), rel=0.15)
    assert float(kid.score(x, y, subsets=100, subset_size=50)) == float(found)
    with pytest.raises(ProtocolError, match="all pairs"):
        found < kid.score(x, y)  # noqa: B015


def test_inception_score_meets_the_references():
    given, expected = vectors("inception_score")
    p = given["logits"].softmax(1)
    for splits in (1, 5, 10):
        found = inception_score.score(p, splits=splits, seed=None)
        wanted = expected[f"splits{splits}"]
        assert float(found) == pytest.approx(wanted["inception_score_mean"], abs=1e-8)
        assert found.details["std"] == pytest.approx(wanted["inception_score_std"], abs=1e-8)


def test_inception_score_bounds_and_order():
    """1 where all answers are alike, the number of classes where each is sure and all occur."""
    sure = torch.eye(5).repeat_interleave(40, 0)
    assert float(inception_score.score(torch.full((50, 5), 0.2))) == pytest.approx(1)
    assert float(inception_score.score(sure, splits=1)) == pytest.approx(5)
    assert float(inception_score.score(sure, splits=5, seed=None)) == pytest.approx(1)
    assert float(inception_score.score(sure, splits=5)) > 4


def prdc_values(*sets, k):
    return {name: float(one) for name, one in prdc.score(*sets, k=k)._asdict().items()}


def test_prdc_meets_the_references():
    given, expected = vectors("prdc")
    for k in (3, 5):
        found = prdc_values(given["real"], given["fake"], k=k)
        assert found == pytest.approx(expected[f"k{k}"], abs=1e-8)


def test_prdc_ties_are_outside():
    given, expected = vectors("prdc_ties")
    found = prdc_values(given["real"], given["fake"], k=3)
    other = expected["torch_fidelity_k3_nonstrict"]
    assert found == pytest.approx(expected["prdc_k3_strict"], abs=1e-8)
    assert all(found[name] != pytest.approx(other[name], abs=0.1) for name in found.keys() & other)


def test_prdc_tells_quality_from_variety(monkeypatch):
    real = torch.cat([normal(300, 2), normal(300, 2, seed=1) + 20])
    collapsed, noise = normal(600, 2, seed=2), 100 + normal(600, 2, seed=3)
    one_mode = prdc_values(real, collapsed, k=5)
    assert one_mode["precision"] > 0.9
    assert one_mode["recall"] == pytest.approx(0.5, abs=0.05)
    assert one_mode["coverage"] == pytest.approx(0.5, abs=0.05)
    assert set(prdc_values(real, noise, k=5).values()) == {0.0}
    monkeypatch.setattr(prdc, "CHUNK", 77)
    assert prdc_values(real, collapsed, k=5) == one_mode


def test_memorization_of_copies_new_data_and_noise():
    train, test, new = normal(400, 3), normal(300, 3, seed=1), normal(300, 3, seed=2)
    copies = train[:200] + 1e-3 * normal(200, 3, seed=3)
    found = memorization.score(copies, train, test)
    assert float(found) > 0.99
    assert torch.equal(found.details["nearest"], torch.arange(200))
    assert found.details["z"] > 10
    assert abs(memorization.score(new, train, test).details["z"]) < 3
    assert float(memorization.score(new + 50, train, test)) == 0
    assert float(memorization.score(test, train, test)) == 0.5


def covered(values, truth, n):
    """How often intervals hold the truth, and that it is 95 % within what n repeats can tell."""
    inside = sum(low <= truth <= high for low, high in values)
    return abs(inside / n - 0.95) < 4 * math.sqrt(0.95 * 0.05 / n)


def test_fid_intervals_cover_the_mean_of_the_estimate():
    """Of N(0, 1) against N(1, 4) in one dimension, 100 rows each."""
    n = 150
    x, y = normal(n, 100, 1), 1 + 2 * normal(n, 100, 1, seed=1)
    scores = [fid.score(a, b, interval=0.95) for a, b in zip(x, y, strict=True)]
    mean = sum(map(float, scores)) / n
    assert covered([one.interval for one in scores], mean, n)
    assert mean == pytest.approx(2.05, abs=0.2)


def test_kid_intervals_cover():
    """Linear features: E k = (x y + 1)^3 has the closed form 1 + 3 m m' + 3 s s' + t t'."""
    n = 200
    x, y = normal(n, 100, 1), 0.5 + normal(n, 100, 1, seed=1)
    moments = {m: (m, 1 + m**2, m**3 + 3 * m) for m in (0.0, 0.5)}
    mean = {
        (a, b): 1
        + sum(c * p * q for c, p, q in zip((3, 3, 1), moments[a], moments[b], strict=True))
        for a in moments
        for b in moments
    }
    truth = mean[0.0, 0.0] + mean[0.5, 0.5] - 2 * mean[0.0, 0.5]
    scores = [kid.score(a, b, interval=0.95) for a, b in zip(x, y, strict=True)]
    assert covered([one.interval for one in scores], truth, n)


def test_intervals_stay_within_the_range_of_the_score():
    real = normal(60, 3)
    collapsed = real[:1] + 0.01 * normal(60, 3, seed=1)
    for share in prdc.score(real, collapsed, interval=0.95):
        low, high = share.interval
        assert 0 <= low <= float(share) <= high
        assert high <= 1 or share.name == "density"
    assert fid.score(real, normal(60, 3, seed=2), interval=0.999).interval[0] >= 0
    alike = torch.full((100, 4), 0.25)
    assert inception_score.score(alike, interval=0.95).interval[0] >= 1


def test_jackknife_of_a_mean_is_the_standard_error():
    x = normal(20, 1)
    [(_, (low, high))] = interval.jackknife(lambda rows: rows.mean(0), [x], 0.95)
    error = (x.std() / len(x) ** 0.5).item()
    assert (high - low) / 2 / 1.959964 == pytest.approx(error, rel=1e-6)


def test_every_score_says_how_it_was_got():
    x, y = (features.Features(normal(60, 3, seed=s), "net 0123") for s in (0, 1))
    found = [
        fid.score(x, y, interval=0.9),
        fid.infinity(x, y),
        kid.score(x, y, interval=0.9),
        inception_score.score(normal(60, 3).softmax(1), extractor="net 0123", interval=0.9),
        *prdc.score(x, y, interval=0.9),
        memorization.score(x, y, y),
    ]
    for one in found:
        assert one.extractor == "net 0123"
        assert one.variant
        assert one.n[0] == 60
        assert (one.interval is None) == (one.level is None)
        if one.interval:
            assert one.interval[0] <= float(one) <= one.interval[1]


X = normal(30, 3)
WRONG = [
    (lambda: fid.score(X[:1], X), "at least 2 rows of features; got 1"),
    (lambda: fid.score(X, X[:, :2]), "same dimension; got 3 and 2"),
    (lambda: fid.score(X[0], X), r"features \(N, d\); got \(3,\)"),
    (lambda: fid.score(X, X.index_fill(0, torch.tensor(4), math.nan)), "infinity in row 4"),
    (lambda: kid.score(X, X / 0), "NaN or infinity in row 0"),
    (lambda: fid.score(fid.Statistics.of(X[:1]), fid.Statistics.of(X)), "at least 2 rows"),
    (lambda: fid.score(fid.Statistics.of(X), X[:, :2]), "same dimension"),
    (lambda: fid.score(fid.Statistics.of(X), X, interval=0.95), "got statistics"),
    (lambda: fid.Statistics.of(X) + fid.Statistics.of(X[:, :2]), "of one extractor"),
    (lambda: fid.infinity(X[:5], X), "10 rows or more"),
    (lambda: fid.infinity(X, X, points=1), "points >= 2"),
    (lambda: fid.score(X, X, interval=95), r"interval in \(0, 1\)"),
    (lambda: kid.score(X, X, subsets=0), "subsets >= 1"),
    (lambda: kid.score(X, X, subsets=5), "subset_size from 2 to 30; got 5 and 1000"),
    (lambda: kid.score(X, X, subsets=5, subset_size=9, interval=0.95), "subsets=None"),
    (lambda: prdc.score(X, X, k=0), "k from 1 to 29, fewer than the rows; got 0"),
    (lambda: prdc.score(X, X[:4], k=4), "k from 1 to 3"),
    (lambda: fid.score(X[:2], X, interval=0.95), "3 rows or more for an interval"),
    (lambda: inception_score.score(X[:10].softmax(1), interval=0.95), "more rows for an interval"),
    (lambda: inception_score.score(X), "logits need a softmax"),
    (lambda: inception_score.score(X.softmax(1), splits=31), "splits from 1 to 30; got 31"),
    (lambda: inception_score.score(X.softmax(1)[:1]), "N >= 2"),
    (lambda: inception_score.score(X.softmax(1) * math.nan), "in row 0"),
    (lambda: memorization.score(X, X, X[:, :1]), "same dimension"),
]


@pytest.mark.parametrize(("call", "match"), WRONG)
def test_wrong_input_is_named(call, match):
    with pytest.raises(EvaluationError, match=match):
        call()
