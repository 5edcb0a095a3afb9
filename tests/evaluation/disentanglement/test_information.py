"""Mutual information, its gap and modularity against reference values."""

import numpy as np
import pytest
from codes import close, table
from shared_data import vectors
from sklearn.metrics import mutual_info_score

from probgen.evaluation import disentanglement


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


def test_mig_of_the_aggregate_posterior_is_the_reference():
    given, expected = vectors("mig_chen")
    score = disentanglement.mig_aggregate(
        given["mu"], given["logsigma"], given["factors"], z=given["z"]
    )
    close(float(score), expected["mig"], 2e-7)
    mutual = np.array(expected["marginal_entropies"]) - expected["cond_entropies"]
    close(score.details["mutual_information"].T, np.maximum(mutual, 0), 2e-7)
    close(score.details["mutual_information"].T, np.maximum(expected["mi"], 0), 2e-7)


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
