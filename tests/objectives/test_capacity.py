"""Capacity and free bits: their formulas and their limits."""

import pytest
import torch
from digit_vae import X, vae
from toy_pairs import Hierarchy

from probgen import objectives
from probgen.objectives import ELBO, BetaELBO, CapacityELBO, FreeBitsELBO


def test_a_capacity_of_zero_is_beta(terms):
    torch.testing.assert_close(CapacityELBO(7.0, 0.0).combine(terms), BetaELBO(7.0).combine(terms))


def test_the_capacity_weighs_the_distance_of_the_batch_mean(terms):
    kl, reconstruction = terms.total_kl.mean(), -terms.log_likelihood.mean()
    expected = reconstruction + 2 * (kl - 9.0).abs()
    torch.testing.assert_close(CapacityELBO(2.0, 9.0).combine(terms), expected)


@pytest.mark.parametrize("words", [{}, {"per": "site"}, {"per": "group", "group_size": 2}])
def test_no_free_bits_are_the_elbo_in_value_and_gradient(words):
    pair = vae()
    found = []
    for objective in (ELBO(), FreeBitsELBO(0.0, **words)):
        torch.manual_seed(1)
        pair.zero_grad()
        loss = objective.loss_and_grads(pair.model, pair.guide, X)
        found.append((loss, [p.grad.clone() for p in pair.parameters()]))
    torch.testing.assert_close(found[0], found[1])


def test_free_bits_are_free_per_dimension_group_and_site(terms):
    per_dim = terms.kl_per_dim["z"].mean(0)
    floor = per_dim.sort().values[1:3].mean()
    pairs = per_dim.reshape(2, 2).sum(1)
    for objective, expected in (
        (FreeBitsELBO(floor.item()), per_dim.maximum(floor).sum()),
        (FreeBitsELBO(0.3, per="group", group_size=2), pairs.clamp(min=0.3).sum()),
        (FreeBitsELBO(50.0, per="site"), torch.tensor(50.0)),
    ):
        kl = objective.combine(terms) + terms.log_likelihood.mean()
        torch.testing.assert_close(kl, expected, rtol=1e-4, atol=1e-4)


def test_free_bits_have_no_gradient_below_the_floor():
    pair = vae()
    loss = FreeBitsELBO(1e6).evaluate(pair.model, pair.guide, X)[0]
    terms = objectives.terms(pair.model, pair.guide, X)
    assert loss.item() == pytest.approx(4e6, rel=1e-3)
    assert terms.total_kl.mean() < 4e6


def test_free_bits_per_dimension_need_dimensions():
    pair, x = Hierarchy(), torch.linspace(-1, 1, 6)
    with pytest.raises(objectives.ObjectiveError, match="KL per dimension at the site 'z1'"):
        FreeBitsELBO(0.1).loss(pair.model, pair.guide, x)
    with pytest.raises(objectives.ObjectiveError, match="site 'z' in groups of 3; got 4"):
        FreeBitsELBO(0.1, per="group", group_size=3).loss(vae().model, vae().guide, X)
