"""Samplers of diffusion: exact for Gaussian data."""

from functools import partial, wraps

import pytest
import torch
from gaussian_diffusion import MEAN, ODE, SCALE, labelled, optimal

from probgen.models import samplers

SAMPLERS = {
    "ancestral": (samplers.ancestral, 1000),
    "ancestral beta": (partial(samplers.ancestral, variance="beta"), 1000),
    "ddim": (samplers.ddim, 1000),
    "ddim eta 0.5": (partial(samplers.ddim, eta=0.5), 1000),
    "dpm-solver": (samplers.dpm_solver, 100),
    "dpm-solver eta 0.5": (partial(samplers.dpm_solver, eta=0.5), 100),
    "dpm-solver eta 0": (ODE, 100),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_samples_of_gaussian_data_have_their_mean_and_covariance(name, monkeypatch):
    """With this denoiser a sample is affine in its noises: each moves a row of its own."""
    sampler, steps = SAMPLERS[name]
    pair, noises = optimal(), iter(torch.eye(steps + 2)[2:, :, None].expand(-1, -1, 2))
    monkeypatch.setattr(torch, "randn_like", lambda x: next(noises))
    start = torch.eye(steps + 2)[1, :, None].expand(-1, 2)
    path = pair.path(steps, sampler)
    x = sampler(lambda x, log_snr: pair.net(x, log_snr[None]), path, start)
    mean, variance = x[0], (x[1:] - x[0]).square().sum(0)
    torch.testing.assert_close(mean / SCALE, MEAN / SCALE, rtol=0, atol=0.01)
    torch.testing.assert_close(variance / SCALE**2, torch.ones(2), rtol=0, atol=0.01)


@pytest.mark.parametrize("steps", [1, 2, 7, 20, 49, 50])
@pytest.mark.parametrize("sampler", [samplers.ancestral, samplers.dpm_solver])
def test_a_path_rises_to_the_data_without_a_step_twice(steps, sampler):
    pair = optimal(50)
    path = pair.path(steps, sampler)
    assert len(path) == steps + 1
    assert path[0] == pair.log_snr[-1]
    assert (path.diff() > 0).all()
    if steps > 1:
        assert path[-2] == pair.log_snr[0]
    if steps == 50:
        assert torch.equal(path[:-1], pair.log_snr.flip(0))


def test_a_sampler_says_how_its_steps_are_spread():
    pair = optimal(100)
    own, even = pair.path(20, samplers.dpm_solver), pair.path(20)
    assert not torch.equal(own, even)
    assert torch.equal(pair.path(20, ODE), own)
    assert torch.equal(pair.path(20, wraps(samplers.dpm_solver)(lambda *_: None)), own)
    assert torch.equal(pair.path(20, lambda *_: None), even)


def test_a_pair_samples_as_its_samplers_do():
    pair = optimal(50)
    torch.manual_seed(0)
    found = pair.sample(9, steps=10, sampler=samplers.ddim)
    torch.manual_seed(0)
    expected = samplers.ddim(pair.denoise, pair.path(10), torch.randn(9, 2))
    torch.testing.assert_close(found, expected)


def test_ddim_is_a_map_of_the_noise_and_with_eta_1_ancestral_sampling():
    pair, start = optimal(50), torch.randn(7, 2)
    path = pair.path(10)
    first, second = (samplers.ddim(pair.denoise, path, start) for _ in range(2))
    assert torch.equal(first, second)
    found = []
    for sampler in (samplers.ancestral, partial(samplers.ddim, eta=1.0)):
        torch.manual_seed(0)
        found.append(sampler(pair.denoise, path, start))
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-4)


def test_dpm_solver_begins_as_ddim_and_is_of_higher_order():
    pair, start = optimal(), torch.randn(50, 2)
    one = pair.path(1)
    torch.testing.assert_close(
        ODE(pair.denoise, one, start), samplers.ddim(pair.denoise, one, start)
    )
    exact = ODE(pair.denoise, pair.path(1000), start)
    errors = {
        name: (sampler(pair.denoise, pair.path(100, sampler), start) - exact).norm()
        for name, sampler in (("ddim", samplers.ddim), ("dpm", ODE))
    }
    assert errors["dpm"] < errors["ddim"] / 5


def test_guidance_goes_from_the_unconditional_through_the_conditional_estimate():
    pair, x, y = labelled(levels=None), torch.randn(5, 1, 8, 8), torch.arange(5)
    at = pair.log_snr[9]
    plain, without = pair.denoise(x, at, y), pair.denoise(x, at)
    assert not torch.allclose(plain, without, atol=1e-4)
    for scale in (0.0, 1.0, 3.0):
        guided = pair.denoise(x, at, y, scale)
        torch.testing.assert_close(guided, without + scale * (plain - without))
