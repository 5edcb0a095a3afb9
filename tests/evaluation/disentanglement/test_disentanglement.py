"""What every score of disentanglement must do, whatever it measures."""

import numpy as np
import pytest
import torch
from codes import SCORES, close, table

from probgen.evaluation import EvaluationError, disentanglement

GRID = np.indices((3, 4, 5)).reshape(3, -1).T
PASSED = {"SAP": 0.3, "modularity": 0.6, "MIG": 0.85}
every_score = pytest.mark.parametrize(("metric", "settings"), SCORES.values(), ids=SCORES)


@every_score
def test_codes_of_one_latent_per_factor_score_near_one_and_noise_near_its_floor(metric, settings):
    codes, factors = table(n=600, noise=0.02)
    noise = np.random.default_rng(1).normal(size=codes.shape)
    good = metric(codes, factors, **settings)
    floor = disentanglement.floor(metric, noise, factors, permutations=3, **settings)
    spread = 6 * floor.details["values"].std(ddof=1) + 1e-9
    assert abs(float(metric(noise, factors, **settings)) - floor.value) < spread
    assert float(good) > max(floor.value + 0.2, PASSED.get(good.name, 0.9))


@every_score
def test_the_order_and_sign_of_latents_do_not_matter(metric, settings):
    codes, factors = table(n=600, noise=0.02, seed=2)
    before, after = (metric(c, factors, **settings) for c in (codes, -codes[:, [2, 0, 1]]))
    close(float(after), float(before), 0.02)


@every_score
def test_any_table_serves(metric, settings):
    """Part of a grid, unequal frequencies, values far apart, a dead latent, integer codes."""
    rng = np.random.default_rng(3)
    rows = rng.choice(len(GRID), 400, p=(weights := np.arange(1, 61.0)) / weights.sum())
    factors = GRID[rows] * np.array([1, 10**9, -7])
    codes = np.concatenate([GRID[rows], np.zeros((400, 1), int)], 1)
    found = metric(torch.from_numpy(codes), torch.from_numpy(factors), **settings)
    assert float(found) == float(metric(codes, factors, **settings))
    assert 0.2 < float(found) <= 1


@every_score
def test_a_constant_factor_is_skipped_with_a_warning(metric, settings):
    codes, factors = table(n=200, noise=0.1)
    plain = metric(codes, factors, **settings)
    wider = np.insert(factors, 1, 7, axis=1)
    with pytest.warns(UserWarning, match="factor 1 is constant: it is skipped") as caught:
        found = metric(codes, wider, **settings)
    assert float(found) == float(plain)
    assert found.details["factors"] == (0, 2)
    if metric is disentanglement.mig:
        assert caught[0].filename == __file__


@pytest.mark.parametrize("name", ["mig", "mig_aggregate", "sap"])
def test_one_latent_has_no_gap(name):
    metric, settings = SCORES[name]
    codes, factors = table(latents=1)
    with pytest.warns(UserWarning, match="there is one latent, no second one: every gap is 0"):
        assert float(metric(codes, factors, **settings)) == 0


@pytest.mark.parametrize("name", ["modularity", "dci", "explicitness", "factor_vae", "beta_vae"])
def test_one_latent_is_scored_where_no_second_is_needed(name):
    metric, settings = SCORES[name]
    codes, factors = table(latents=1)
    assert 0 <= float(metric(codes, factors, **settings)) <= 1


@pytest.mark.parametrize("name", ["mig", "modularity", "sap", "explicitness", "beta_vae"])
def test_dead_codes_know_nothing(name):
    metric, settings = SCORES[name]
    _, factors = table()
    at_chance = {"explicitness": 0.5, "beta_vae": 0.5}.get(name, 0)
    close(float(metric(np.ones((400, 3)), factors, **settings)), at_chance, 0.08)


@pytest.mark.parametrize("name", ["mig", "modularity", "mig_aggregate"])
def test_intervals_cover_the_mean_of_repetitions(name):
    metric, _ = SCORES[name]
    mean = np.mean([float(metric(*table(300, noise=0.4, seed=s))) for s in range(40)])
    scores = [metric(*table(300, noise=0.4, seed=s), level=0.95) for s in range(40, 70)]
    covered = [score.interval[0] <= mean <= score.interval[1] for score in scores]
    assert np.mean(covered) >= 0.8
    assert scores[0].level == 0.95


@every_score
def test_an_interval_holds_the_value_and_is_reproducible(metric, settings):
    codes, factors = table(n=90, noise=0.6)
    given = {**settings, "level": 0.9, "resamples": 2, "seed": 5}
    first, second = (metric(codes, factors, **given) for _ in range(2))
    assert first.interval[0] <= first.value <= first.interval[1]
    assert (first.value, first.interval) == (second.value, second.interval)
    assert first.seed == 5


def test_more_items_than_points_are_drawn_from():
    codes, factors = table(n=500, noise=0.1)
    scale = np.full(codes.shape, -2.0)
    few = disentanglement.mig_aggregate(codes, scale, factors, points=300)
    every = disentanglement.mig_aggregate(codes, scale, factors)
    assert "of 300 points" in few.variant
    assert few.n == (300,)
    close(float(few), float(every), 0.05)


BAD = {
    "one item": ([[1.0]], [[1]], "at least 2 items; got 1"),
    "NaN": ([[np.nan], [1.0]], [[0], [1]], r"finite codes; got \[nan\] in row 0"),
    "infinite": ([[0.0], [np.inf]], [[0], [1]], "in row 1"),
    "other length": ([[0.0], [1.0]], [[0], [1], [2]], "factors of 2 items; got 3"),
    "float factors": ([[0.0], [1.0]], [[0.0], [1.0]], "factors: integers .*; got float64"),
    "flat codes": (
        [0.0, 1.0],
        [[0], [1]],
        r"codes: numbers \(N, at least 1\); got float64 \(2,\)",
    ),
    "flat factors": ([[0.0], [1.0]], [0, 1], r"got int64 \(2,\)"),
    "words": ([["a"], ["b"]], [[0], [1]], "codes: numbers"),
    "no latents": (np.zeros((5, 0)), [[0]] * 5, "got float64"),
}


@every_score
@pytest.mark.parametrize(("codes", "factors", "message"), BAD.values(), ids=BAD)
def test_bad_tables(metric, settings, codes, factors, message):
    with pytest.raises(EvaluationError, match=message):
        metric(codes, factors, **settings)


@every_score
@pytest.mark.filterwarnings("ignore:factor 0 is constant")
def test_no_factor_that_varies(metric, settings):
    with pytest.raises(EvaluationError, match="factors that vary; got 0 of 1"):
        metric(np.arange(10.0)[:, None], np.ones((10, 1), int), **settings)


@every_score
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seed": -1}, "expected seed"),
        ({"seed": 2**48}, "expected seed"),
        ({"level": 1.0}, "expected level"),
        ({"level": 0.9, "resamples": 1}, "expected resamples >= 2"),
    ],
)
def test_bad_settings(metric, settings, wrong, message):
    with pytest.raises(EvaluationError, match=message):
        metric(*table(n=50), **(settings | wrong))


def test_a_floor_takes_what_its_metric_takes():
    codes, factors = table(n=60)
    given = [
        (codes, factors),
        map(torch.from_numpy, (codes, factors)),
        (codes.tolist(), factors.tolist()),
    ]
    floors = [disentanglement.floor(disentanglement.mig, *pair, seed=2) for pair in given]
    assert floors[0].value == floors[1].value == floors[2].value


def test_a_floor_needs_shuffles():
    with pytest.raises(EvaluationError, match="permutations >= 2; got 1"):
        disentanglement.floor(disentanglement.mig, *table(n=50), permutations=1)


def test_what_has_no_number_is_refused():
    codes, factors = table(n=50)
    with pytest.raises(EvaluationError, match="log_scale from -800 to -800"):
        disentanglement.mig_aggregate(codes, np.full(codes.shape, -800.0), factors)
    with pytest.raises(EvaluationError, match="some test items have and others not; got 1 items"):
        disentanglement.explicitness(codes[:3], [[0], [1], [0]])


def test_scores_of_different_variants_do_not_compare():
    codes, factors = table(n=50)
    with pytest.raises(ValueError, match="20 bins' and 'binned-means, 10 bins"):
        assert disentanglement.mig(codes, factors) < disentanglement.mig(codes, factors, bins=10)
