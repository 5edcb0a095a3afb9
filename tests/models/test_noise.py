"""The schedules of noise are the papers'."""

import math

import pytest
import torch

from probgen.models import noise


def test_the_cosine_schedule_is_the_papers():
    def f(t):
        return math.cos((t / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2

    found = noise.cosine(1000)
    for t in (1, 10, 500, 999):
        assert found[t - 1].item() == pytest.approx(f(t) / f(0), rel=1e-9)
    assert (found[-1] / found[-2]).item() == pytest.approx(0.001)


def test_the_linear_schedule_is_the_papers():
    found, product = noise.linear(1000), 1.0
    for t in range(1000):
        product *= 1 - (1e-4 + (0.02 - 1e-4) * t / 999)
        assert found[t].item() == pytest.approx(product, rel=1e-9)


def test_the_posterior_is_the_papers():
    """Equations 6 and 7 of Ho et al., in betas."""
    alphas = noise.linear(100)
    t, x_t, x_0 = 40, torch.randn(5).double(), torch.randn(5).double()
    beta, now, before = 1 - alphas[t] / alphas[t - 1], alphas[t], alphas[t - 1]
    mean = before.sqrt() * beta / (1 - now) * x_0
    mean = mean + (1 - beta).sqrt() * (1 - before) / (1 - now) * x_t
    found = noise.posterior(x_t, x_0, alphas.logit()[t], alphas.logit()[t - 1])
    torch.testing.assert_close(found[0], mean)
    torch.testing.assert_close(found[1].square(), (1 - before) / (1 - now) * beta)
    torch.testing.assert_close(noise.step_scale(*alphas.logit()[[t, t - 1]]).square(), beta)
