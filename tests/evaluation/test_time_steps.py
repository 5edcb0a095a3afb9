"""The bound of diffusion by time step."""

import pytest
from gaussian_diffusion import digits, gaussian, optimal

from probgen import evaluation, models, nets
from probgen.evaluation import likelihood, time_steps


def test_scores_of_few_data_meet_every_step():
    found = likelihood.scores(optimal(1000), gaussian(50))
    assert found.protocol["num_particles"] == 80
    assert found.values["log-likelihood"]["standard_error"] > 0
    bound, error = (found.values["ELBO"][name] for name in ("mean", "standard_error"))
    whole = likelihood.scores(optimal(1000), gaussian(4000))
    assert whole.protocol["num_particles"] == 1
    assert abs(bound - whole.values["ELBO"]["mean"]) < 5 * error


def test_only_diffusion_has_a_sum_over_time():
    encoder, decoder = nets.dense_encoder((1, 8, 8), 2), nets.dense_decoder(2, (1, 8, 8))
    with pytest.raises(evaluation.EvaluationError, match="a sum over time"):
        time_steps.decompose(models.VAE(encoder, decoder), digits())
