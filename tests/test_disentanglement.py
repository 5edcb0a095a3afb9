"""Disentanglement scores: reference vectors, what must not change them, any table."""

import numpy as np
import pytest
import torch
from shared_data import vectors
from sklearn.metrics import mutual_info_score

from probgen.evaluation import EvaluationError, disentanglement
from probgen.evaluation.disentanglement import interventions, probes

GRID = np.indices((3, 4, 5)).reshape(3, -1).T
SMALL = {"train_size": 300, "test_size": 200}
SCORES = {
    "mig": (disentanglement.mig, {}),
    "modularity": (disentanglement.modularity, {}),
    "mig_aggregate": (
        lambda codes, factors, **settings: disentanglement.mig_aggregate(
            codes, np.full(np.shape(codes), -4.0), factors, **settings
        ),
        {},
    ),
    "sap": (disentanglement.sap, SMALL),
    "dci": (disentanglement.dci, {"train_size": 80, "test_size": 60}),
    "explicitness": (disentanglement.explicitness, SMALL),
    "factor_vae": (disentanglement.factor_vae, SMALL),
    "beta_vae": (disentanglement.beta_vae, SMALL),
}
PASSED = {"SAP": 0.3, "modularity": 0.6, "MIG": 0.85}
every_score = pytest.mark.parametrize(("metric", "settings"), SCORES.values(), ids=SCORES)


def table(n=400, noise=0.0, sizes=(3, 4), latents=3, seed=0):
    """Latents that show one factor each, then such that show none."""
    rng = np.random.default_rng(seed)
    factors = np.stack([rng.integers(size, size=n) for size in sizes], 1)
    codes = rng.normal(size=(n, latents))
    shown = min(latents, len(sizes))
    codes[:, :shown] = factors[:, :shown] + noise * codes[:, :shown]
    return codes, factors


def close(found, expected, tolerance=1e-8):
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


def test_mig_is_the_reference():
    given, expected = vectors("mig")
    score = disentanglement.mig(given["codes"], given["factors"])
    close(float(score), expected["discrete_mig"])
    close(score.details["mutual_information"], expected["mi"])
    close(score.details["entropies"], expected["factor_entropy"])
    close(score.details["gaps"], expected["per_factor_gap"])
    assert abs(float(score) - expected["WRONG_gap_over_factors_per_latent"]) > 0.01
    single = disentanglement.mig(given["codes"].float(), given["factors"])
    close(float(single), expected["mig_float32_codes"])


def test_scores_without_factors_are_the_reference():
    given, expected = vectors("unsupervised_gaussian")
    codes = given["codes"]
    for name in ("gaussian_total_correlation", "gaussian_wasserstein_correlation"):
        close(float(getattr(disentanglement, name)(codes)), expected[name])
    close(float(disentanglement.latent_information(codes)), expected["mutual_info_score"])


@pytest.mark.parametrize(
    ("name", "codes", "match"),
    [
        ("gaussian_total_correlation", [[1.0, 0.0], [2.0, 0.0]], "latents that vary"),
        ("gaussian_total_correlation", [[1.0], [2.0]], "at least 2 latents"),
        ("gaussian_wasserstein_correlation", [[np.nan, 1.0], [2.0, 0.0]], "finite"),
        ("latent_information", [[1.0, 1.0]], "at least 2"),
    ],
)
def test_codes_without_a_covariance_are_refused(name, codes, match):
    with pytest.raises(EvaluationError, match=match):
        getattr(disentanglement, name)(codes)


def test_a_constant_latent_counts_as_in_the_reference():
    given, expected = vectors("mig_constant_latent")
    close(float(disentanglement.mig(**given)), expected["discrete_mig"])
    close(float(disentanglement.modularity(**given)), expected["modularity"])


def test_mig_of_the_aggregate_posterior_is_the_reference():
    given, expected = vectors("mig_chen")
    score = disentanglement.mig_aggregate(
        given["mu"], given["logsigma"], given["factors"], z=given["z"]
    )
    close(float(score), expected["mig"], 2e-7)
    mutual = np.array(expected["marginal_entropies"]) - expected["cond_entropies"]
    close(score.details["mutual_information"].T, np.maximum(mutual, 0), 2e-7)
    close(score.details["mutual_information"].T, np.maximum(expected["mi"], 0), 2e-7)


def parts(given):
    codes, factors = given["codes_train"], given["factors_train"]
    return (codes, factors), {"test": (given["codes_test"], given["factors_test"])}


def test_sap_is_the_reference():
    given, expected = vectors("sap")
    train, test = parts(given)
    score = disentanglement.sap(*train, **test)
    close(float(score), expected["sap_discrete"], 1e-12)
    close(score.details["scores"], expected["score_matrix_discrete"], 1e-12)
    score = disentanglement.sap(*train, continuous=True)
    close(float(score), expected["sap_continuous"])
    close(score.details["scores"], expected["score_matrix_continuous"])


def test_dci_is_the_reference():
    given, expected = vectors("dci")
    train, test = parts(given)
    score = disentanglement.dci(*train, **test)
    close(score.details["importance"], expected["importance"], 2e-2)
    close(float(score), expected["disentanglement"], 2e-2)
    close(score.details["completeness"], expected["completeness"], 2e-2)
    close(score.details["informativeness"], expected["informativeness_test"], 2e-2)
    close(score.details["informativeness_train"], expected["informativeness_train"], 2e-2)
    exact = probes.importances(given["importance"].numpy())
    close(exact.disentanglement, expected["disentanglement"], 1e-10)
    close(exact.completeness, expected["completeness"], 1e-10)
    close(exact.per_latent, expected["disentanglement_per_code"], 1e-10)
    close(exact.per_factor, expected["completeness_per_factor"], 1e-10)


def test_importances_are_the_reference():
    given, expected = vectors("dci_from_importance")
    found = probes.importances(given["importance"].numpy())
    close([found.disentanglement, found.completeness], list(expected.values()), 1e-10)


def test_modularity_and_explicitness_are_the_reference():
    given, expected = vectors("modularity_explicitness")
    train, test = parts(given)
    modularity = disentanglement.modularity(*train)
    close(float(modularity), expected["modularity"])
    close(modularity.details["mutual_information"], given["mi"])
    details = disentanglement.explicitness(*train, **test).details
    close(details["per_factor"], expected["explicitness_test_per_factor"], 1e-4)
    close(details["per_factor_train"], expected["explicitness_train_per_factor"], 1e-4)


@pytest.mark.parametrize("threshold", ["0.0", "0.05"])
def test_votes_of_factor_vae_are_the_reference(threshold):
    given, expected = vectors(f"factor_vae_thr{threshold}")
    given = {name: values.numpy() for name, values in given.items()}
    batches = np.concatenate([given["batches_train"], given["batches_eval"]])
    factor = np.concatenate([given["factor_train"], given["factor_eval"]])
    alive = interventions.active(given["variance_codes"], float(given["prune_threshold"]))
    overall = given["variance_codes"].var(0, ddof=1)
    latent = interventions.ballots(batches.var(1, ddof=1), overall, alive)
    shape = (len(alive), factor.max() + 1)
    value, details = interventions.elected(latent, factor, len(given["factor_train"]), shape)
    assert alive.sum() == expected["true_active_dims"]
    assert (latent == np.flatnonzero(alive)[expected["argmin_within_active"]]).all()
    close(value, expected["eval_accuracy"])
    close(details["train_accuracy"], expected["train_accuracy"])
    assert details["votes"].sum() == len(given["factor_train"])


def test_classifier_of_beta_vae_is_the_reference():
    given, expected = vectors("beta_vae")
    features = (given["rep1"] - given["rep2"]).abs().mean(1).numpy()
    close(features[:3], expected["features_train_first3"])
    train = int(given["num_train"])
    value, details = interventions.named(features, given["factor"].numpy(), train)
    close(value, expected["eval_accuracy"], 1 / (len(features) - train))
    close(details["train_accuracy"], expected["train_accuracy"], 1 / train)


@pytest.mark.parametrize("bins", [2, 20, 300])
def test_information_is_that_of_digitize_and_scikit_learn(bins):
    rng = np.random.default_rng(0)
    factors = np.stack([rng.integers(size, size=2000) for size in (3, 40, 32, 700)], 1)
    codes = rng.normal(size=(2000, 3)) + 0.1 * factors[:, :3]
    found = disentanglement.mig(codes, factors, bins=bins).details
    for latent, column in enumerate(codes.T):
        binned = np.digitize(column, np.histogram(column, bins)[1][:-1])
        expected = [mutual_info_score(factor, binned) for factor in factors.T]
        close(found["mutual_information"][latent], expected, 1e-12)


def test_a_perfect_code_has_mig_one_and_noise_has_the_floor():
    codes, factors = table(n=2000)
    assert float(disentanglement.mig(codes, factors)) == pytest.approx(1, abs=0.01)
    noise = np.random.default_rng(1).normal(size=(2000, 3))
    floor = disentanglement.floor(disentanglement.mig, noise, factors, permutations=100)
    low, high = floor.interval
    assert low <= float(disentanglement.mig(noise, factors)) <= high
    assert disentanglement.mig(codes, factors) > floor
    assert floor.value < 0.01


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


def test_mig_is_invariant_to_permuting_and_flipping_latents():
    codes, factors = table(n=500, noise=0.3)
    mig = disentanglement.mig
    close(float(mig(-codes[:, ::-1], factors)), float(mig(codes, factors)), 1e-12)
    turned = disentanglement.mig_aggregate(
        -codes[:, ::-1], np.full(codes.shape, -1.0), factors, z=-codes[:, ::-1] + 0.1
    )
    plain = disentanglement.mig_aggregate(
        codes, np.full(codes.shape, -1.0), factors, z=codes - 0.1
    )
    close(float(turned), float(plain), 1e-12)


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


def test_codes_too_quiet_to_vote_are_said_to_be():
    codes, factors = table()
    with pytest.warns(UserWarning, match="standard deviation of 0.05 or more: the score is 0"):
        assert float(disentanglement.factor_vae(codes * 1e-3, factors, **SMALL)) == 0
    found = disentanglement.factor_vae(codes * 1e-3, factors, threshold=0, **SMALL)
    assert float(found) == 1
    assert found.details["active"].tolist() == [0, 1, 2]


def test_outliers_ruin_equal_bins_and_not_quantile_bins():
    codes, factors = table(n=1000, noise=0.05)
    good = float(disentanglement.mig(codes, factors))
    codes[0] = 1e4
    with pytest.warns(
        UserWarning, match=r"outliers: nine tenths of the values of latents \[0, 1, 2\]"
    ):
        assert float(disentanglement.mig(codes, factors)) < 0.01
    found = disentanglement.mig(codes, factors, quantiles=True)
    assert float(found) > good - 0.15
    assert found.variant == "binned-means, 20 quantile bins"


def test_most_codes_alike_is_no_outlier():
    codes, factors = table(n=1000)
    codes[:, 2] = np.arange(1000) < 5
    assert float(disentanglement.mig(codes, factors)) > 0.95


@pytest.mark.parametrize("name", ["mig", "modularity", "mig_aggregate"])
def test_intervals_cover_the_mean_of_repetitions(name):
    metric, _ = SCORES[name]
    mean = np.mean([float(metric(*table(300, noise=0.4, seed=s))) for s in range(40)])
    scores = [metric(*table(300, noise=0.4, seed=s), interval=0.95) for s in range(40, 70)]
    covered = [score.interval[0] <= mean <= score.interval[1] for score in scores]
    assert np.mean(covered) >= 0.8
    assert scores[0].level == 0.95


@every_score
def test_an_interval_holds_the_value_and_is_reproducible(metric, settings):
    codes, factors = table(n=90, noise=0.6)
    given = {**settings, "interval": 0.9, "resamples": 2, "seed": 5}
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
        ({"interval": 1.0}, "expected interval"),
        ({"interval": 0.9, "resamples": 1}, "expected resamples >= 2"),
    ],
)
def test_bad_settings(metric, settings, wrong, message):
    with pytest.raises(EvaluationError, match=message):
        metric(*table(n=50), **(settings | wrong))


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("mig", {"bins": 1}, "expected bins >= 2; got 1"),
        ("mig_aggregate", {"points": 1}, "expected points >= 2; got 1"),
        ("mig_aggregate", {"z": np.zeros((50, 1))}, r"expected z \(50, 3\); got \(50, 1\)"),
        ("sap", {"train_size": 0}, "train >= 1"),
        ("sap", {"test": (np.zeros((4, 2)), np.zeros((4, 2), int))}, "of widths"),
        ("sap", {"test": (np.zeros((4, 3)), np.zeros((4, 2)))}, "integers"),
        ("factor_vae", {"batch_size": 1}, "expected batch_size >= 2"),
        ("beta_vae", {"test_size": 0}, "test_size >= 1"),
    ],
)
def test_bad_sizes(name, wrong, message):
    metric, settings = SCORES[name]
    with pytest.raises(EvaluationError, match=message):
        metric(*table(n=50), **(settings | wrong))


def test_continuous_factors_have_no_test_set():
    codes, factors = table(n=50)
    with pytest.raises(EvaluationError, match="no test set for continuous factors"):
        disentanglement.sap(codes, factors, continuous=True, test=(codes, factors))
    assert 0 < float(disentanglement.sap(codes, factors * 0.5, continuous=True)) <= 1


@pytest.mark.parametrize("name", ["factor_vae", "beta_vae"])
def test_a_factor_nobody_shares(name):
    factors = np.stack([np.arange(50), np.arange(50) % 2], 1)
    with pytest.raises(EvaluationError, match="factor 0 has no value that two items share"):
        SCORES[name][0](table(n=50)[0], factors)


@pytest.mark.parametrize("name", ["dci", "modularity", "factor_vae", "beta_vae"])
def test_one_factor_is_too_few_to_compare(name):
    codes, factors = table(n=50)
    with pytest.raises(EvaluationError, match="at least 2 factors that vary; got 1 of 1"):
        SCORES[name][0](codes, factors[:, :1])


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
