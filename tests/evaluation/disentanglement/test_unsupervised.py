"""Scores without factors: their reference, and codes without a covariance."""

import numpy as np
import pytest
from codes import close
from shared_data import vectors

from probgen.evaluation import EvaluationError, disentanglement


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
