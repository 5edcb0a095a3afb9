"""Likelihoods are densities, with the values of their formulas."""

import math

import pytest
import torch
from torch import nn

from probgen import models


def test_bernoulli_is_the_cross_entropy_in_value_and_gradient():
    logits = torch.cat([torch.linspace(-200, 200, 401), torch.tensor([1e-8])]).requires_grad_()
    x = torch.rand(402)
    exact = logits.detach().double().requires_grad_()
    reference = nn.functional.binary_cross_entropy_with_logits
    expected = -reference(exact, x.double(), reduction="none")
    found = models.Bernoulli()(logits).log_prob(x)
    rounding = torch.finfo(torch.float32).eps * (1 + logits.abs())
    assert ((found - expected).abs() <= rounding).all()
    (ours,) = torch.autograd.grad(found.sum(), logits)
    (theirs,) = torch.autograd.grad(expected.sum(), exact)
    torch.testing.assert_close(ours.double(), theirs, rtol=1e-6, atol=1e-7)


def test_bernoulli_is_differentiable_twice_and_vectorised():
    logits = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    x = torch.rand(3, 4, dtype=torch.float64, requires_grad=True)

    def log_prob(logits, x):
        return models.Bernoulli()(logits).log_prob(x)

    assert torch.autograd.gradcheck(log_prob, (logits, x))
    assert torch.autograd.gradgradcheck(log_prob, (logits, x))
    torch.testing.assert_close(torch.func.vmap(log_prob)(logits, x), log_prob(logits, x))


def test_gaussian_of_half_variance_is_the_sum_of_squares():
    mean, x = torch.randn(4, 5), torch.randn(4, 5)
    log_prob = models.Gaussian(math.sqrt(0.5))(mean).log_prob(x).sum()
    expected = -(x - mean).square().sum() - 10 * math.log(math.pi)
    torch.testing.assert_close(log_prob, expected)


def test_optimal_sigma_is_the_maximum_likelihood_one():
    likelihood = models.OptimalGaussian(momentum=0.5)
    mean, x = torch.zeros(1000), 3 * torch.randn(1000)
    in_training = likelihood(mean, x)
    torch.testing.assert_close(in_training.stddev[0], x.square().mean().sqrt())
    for sigma in (0.9 * in_training.stddev, 1.1 * in_training.stddev):
        other = torch.distributions.Normal(mean, sigma)
        assert in_training.log_prob(x).sum() > other.log_prob(x).sum()
    torch.testing.assert_close(likelihood.variance, x.square().mean())
    likelihood.eval()
    torch.testing.assert_close(likelihood(mean, 5 * x).stddev, in_training.stddev)


def test_continuous_bernoulli_is_a_density():
    x = torch.linspace(0, 1, 20_001, dtype=torch.float64)
    for logit in (-5.0, 0.0, 1e-4, 3.0):
        logits = torch.tensor(logit, dtype=torch.float64)
        density = models.ContinuousBernoulli()(logits).log_prob(x).exp()
        torch.testing.assert_close(torch.trapezoid(density, x).item(), 1.0, rtol=0, atol=1e-6)


@pytest.mark.parametrize("loc", [-0.2, 0.0, 0.31, 1.1])
@pytest.mark.parametrize("scale", [0.002, 0.05, 1.0])
def test_discretized_logistic_is_a_distribution_over_the_levels(loc, scale):
    levels = torch.arange(256, dtype=torch.float64) / 255
    likelihood = models.DiscretizedLogistic(scale).double()
    found = likelihood(torch.tensor(loc, dtype=torch.float64))
    p = found.log_prob(levels).exp()
    torch.testing.assert_close(p.sum().item(), 1.0, rtol=0, atol=1e-6)
    assert abs((p * levels).sum() - found.mean) <= 0.5 / 255
    torch.manual_seed(0)
    draws = found.sample((20_000,))
    torch.testing.assert_close(draws * 255, (draws * 255).round())
    assert abs(draws.mean() - (p * levels).sum()) < 5 * draws.std() / 20_000**0.5 + 1e-4
