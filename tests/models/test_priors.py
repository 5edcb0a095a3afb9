"""Priors are densities and samplers of them."""

import math

import pyro.distributions as dist
import torch
from torch import nn

from probgen import models, nets
from probgen.models.priors import GaussianMixture


def test_a_flow_prior_is_a_density_and_a_sampler_of_it():
    torch.manual_seed(0)
    flow = models.FlowPrior(2, layers=3, hidden=8)
    for coupling in flow.couplings:
        nn.init.normal_(coupling.net[-1].weight, std=0.1)
    side = torch.linspace(-9, 9, 361)
    grid = torch.cartesian_prod(side, side)
    mass = flow().log_prob(grid).exp()
    torch.testing.assert_close((mass.sum() * 0.05**2).item(), 1.0, rtol=0, atol=2e-3)
    z = flow().sample((20_000,))
    torch.testing.assert_close(
        z.mean(0), (mass[:, None] * grid).sum(0) * 0.05**2, rtol=0, atol=0.05
    )


def test_a_flow_prior_starts_at_the_normal_one_and_keeps_no_old_density():
    torch.manual_seed(0)
    flow, z = models.FlowPrior(5), torch.randn(100, 5)
    torch.testing.assert_close(
        flow().log_prob(z), models.StandardNormal(5)().log_prob(z), atol=0.2, rtol=0
    )
    before = flow().log_prob(z)
    before.sum().backward()
    torch.optim.SGD(flow.parameters(), lr=1e-3).step()
    assert (flow().log_prob(z) != before).all()


def test_a_mixture_is_its_components_summed():
    """Also far from the origin with small scales, where expanded squares cancel."""
    torch.manual_seed(0)
    loc, log_scale, logits = 20 + torch.randn(6, 3), torch.randn(6, 3) - 3, torch.randn(6)
    ours = GaussianMixture(loc, log_scale, logits)
    parts = dist.Normal(loc.double(), log_scale.double().exp()).to_event(1)
    exact = dist.MixtureSameFamily(dist.Categorical(logits=logits.double()), parts)
    z = exact.sample((50, 4)).float()
    torch.testing.assert_close(ours.log_prob(z).double(), exact.log_prob(z), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(ours.expand((4,)).log_prob(z), ours.log_prob(z))
    many = ours.sample((200_000,)).double()
    torch.testing.assert_close(many.mean(0), exact.mean, rtol=0, atol=0.02)
    torch.testing.assert_close(many.var(0), exact.variance, rtol=0.02, atol=0)


def test_a_prior_per_class_is_that_classes_mixture():
    torch.manual_seed(0)
    prior, y = models.MixturePrior(2, 3, classes=4), torch.tensor([2, 0, 2])
    torch.nn.init.normal_(prior.logits)
    z = torch.randn(3, 2)
    for row, label, found in zip(z, y, prior(y).log_prob(z), strict=True):
        own = slice(3 * label, 3 * label + 3)
        alone = GaussianMixture(prior.loc[own], prior.log_scale[own], prior.logits[own])
        torch.testing.assert_close(found, alone.log_prob(row))
    drawn = prior(torch.tensor(2)).expand((50_000,)).sample()
    weights = prior.logits[6:9].softmax(0)
    torch.testing.assert_close(drawn.mean(0), weights @ prior.loc[6:9], rtol=0, atol=0.03)


def test_the_vampprior_is_the_mixture_of_the_posteriors():
    u, z = torch.rand(5, 1, 8, 8), torch.randn(7, 3)
    vae = models.VampPriorVAE(
        nets.dense_encoder((1, 8, 8), 3), nets.dense_decoder(3, (1, 8, 8)), pseudo_inputs=u
    )
    each = torch.stack([vae.encode(vae.latent_prior()).log_prob(row) for row in z])
    torch.testing.assert_close(vae.prior().log_prob(z), each.logsumexp(1) - math.log(5))
    torch.testing.assert_close(vae.latent_prior(), u.clamp(0.02, 0.98))
    assert vae.encode(1e4 * torch.rand(2, 1, 8, 8)).base_dist.scale.log().abs().max() <= 3.0
