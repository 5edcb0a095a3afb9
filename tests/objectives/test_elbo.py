"""The ELBO is Pyro's, and its terms are per datum."""

import copy
import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI, Trace_ELBO, TraceMeanField_ELBO
from pyro.infer.autoguide import AutoNormal
from torch import nn
from toy_pairs import (
    PAIRS,
    PARTICLES,
    SHAPE,
    Global,
    Masked,
    Nested,
    Plain,
    Subsampled,
    Toy,
    gradients,
    vae,
)

from probgen import data, objectives
from probgen.evaluation import likelihood

X = torch.rand(6, *SHAPE, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("particles", PARTICLES, ids=["one", "loop", "vectorized"])
@pytest.mark.parametrize("kind", PAIRS, ids=lambda k: k.__name__)
def test_elbo_is_pyros_in_value_and_gradient(kind, particles):
    pair, x = kind().double(), torch.linspace(-1, 1, 6).double()
    theirs, their_gradients = gradients(TraceMeanField_ELBO(**particles), pair, x)
    for ours in (objectives.ELBO(**particles), objectives.BetaELBO(1.0, **particles)):
        value, our_gradients = gradients(ours, pair, x)
        assert value == pytest.approx(theirs, rel=1e-6)
        for a, b in zip(our_gradients, their_gradients, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-8)


def test_elbo_of_a_vae_is_pyros_exactly():
    pair = vae()
    theirs, their_gradients = gradients(TraceMeanField_ELBO(), pair, X)
    value, our_gradients = gradients(objectives.ELBO(), pair, X)
    assert value == pytest.approx(theirs, rel=1e-6)
    for a, b in zip(our_gradients, their_gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", PAIRS, ids=lambda k: k.__name__)
def test_terms_are_per_datum_and_sum_to_the_loss(kind):
    pair, x = kind(), torch.linspace(-1, 1, 6)
    torch.manual_seed(2)
    terms = objectives.terms(pair.model, pair.guide, x)
    torch.manual_seed(2)
    loss = objectives.ELBO().loss(pair.model, pair.guide, x)
    assert terms.log_likelihood.shape == (6,)
    assert all(value.shape == (6,) for value in terms.kl.values())
    assert all(value.shape[:1] == (6,) for value in terms.kl_per_dim.values())
    for name, per_dim in terms.kl_per_dim.items():
        torch.testing.assert_close(per_dim.sum(-1), terms.kl[name])
    assert loss.item() == pytest.approx(-terms.size * terms.elbo.mean().item(), rel=1e-5)
    assert terms.size == (60 if kind in (Subsampled, Nested, Global) else 6)


def test_terms_are_free_of_the_plate_scale():
    torch.manual_seed(0)
    plain, subsampled = Plain(), Subsampled()
    x = torch.linspace(-1, 1, 6)
    a = objectives.terms(plain.model, plain.guide, x)
    b = objectives.terms(subsampled.model, subsampled.guide, x)
    torch.testing.assert_close(a.kl["z"], b.kl["z"])
    assert (a.scale, b.scale) == (1.0, 10.0)


def test_a_mask_on_one_side_alone_is_each_sides_own():
    class HalfMasked(Masked):
        def guide(self, x):
            Plain.guide(self, x)

    pair, x = HalfMasked().double(), torch.linspace(-1, 1, 6).double()
    particles = {"num_particles": 20_000, "vectorize_particles": True, "max_plate_nesting": 1}
    torch.manual_seed(0)
    ours = objectives.ELBO(**particles).loss(pair.model, pair.guide, x).item()
    reference = Trace_ELBO(**particles).loss(pair.model, pair.guide, x)
    assert ours == pytest.approx(reference, abs=0.15)


def test_a_tensor_scale_keeps_the_analytic_kl():
    class ScaledByTensor(Plain):
        def scaled(self, program, x):
            with poutine.scale(scale=torch.linspace(0.1, 0.6, 6, dtype=torch.float64)):
                program(x)

        def model(self, x):
            self.scaled(super().model, x)

        def guide(self, x):
            self.scaled(super().guide, x)

    pair, x = ScaledByTensor().double(), torch.linspace(-1, 1, 6).double()
    theirs, _ = gradients(TraceMeanField_ELBO(), pair, x)
    value, _ = gradients(objectives.ELBO(), pair, x)
    assert value == pytest.approx(theirs, rel=1e-6)
    assert objectives.terms(pair.model, pair.guide, x).kl_per_dim["z"].shape == (6, 2)


class TwoPlates(Plain):
    """Observed sites that share no plate: the first one's rows are the data."""

    def model(self, x):
        super().model(x)
        with pyro.plate("other", 3):
            pyro.sample("w", dist.Normal(self.weight.sum(), 1.0), obs=torch.zeros(3))


def test_sites_of_another_plate_are_spread_over_the_data():
    pair, x = TwoPlates().double(), torch.linspace(-1, 1, 6).double()
    terms = objectives.terms(pair.model, pair.guide, x)
    theirs, _ = gradients(TraceMeanField_ELBO(), pair, x)
    value, _ = gradients(objectives.ELBO(), pair, x)
    assert terms.log_likelihood.shape == (6,)
    assert value == pytest.approx(theirs, rel=1e-6)


@pytest.mark.parametrize("batch_size", [10, 3, 1])
def test_a_global_kl_counts_once_over_a_whole_set(batch_size):
    class Regression(nn.Module):
        def __init__(self):
            super().__init__()
            self.loc = nn.Parameter(torch.tensor(2.0))

        def model(self, x, y=None):
            w = pyro.sample("w", dist.Normal(0.0, 1.0))
            with pyro.plate("data", len(x)):
                pyro.sample("x", dist.Normal(w, 1.0), obs=x)

        def guide(self, x, y=None):
            pyro.sample("w", dist.Normal(self.loc, 1.0))

    found = likelihood.terms(Regression(), data.arrays(torch.zeros(10)), batch_size=batch_size)
    assert found.total_kl.sum().item() == pytest.approx(2.0)


def test_a_penalty_stands_apart_from_the_likelihood():
    class Penalised(Plain):
        def more(self, x):
            unit = dist.Unit(-self.loc.square().sum(-1))
            pyro.sample("commitment", unit, obs=x.new_empty(len(x), 0), infer={"penalty": True})

    x = torch.linspace(-1, 1, 6)
    torch.manual_seed(0)
    with_penalty = objectives.terms(Penalised().model, Penalised().guide, x)
    torch.manual_seed(0)
    without = objectives.terms(Plain().model, Plain().guide, x)
    torch.testing.assert_close(with_penalty.log_likelihood, without.log_likelihood)
    expected = Plain().loc.square().sum(-1)
    torch.testing.assert_close(with_penalty.penalty["commitment"], expected)
    difference = objectives.ELBO().combine(with_penalty) - objectives.ELBO().combine(without)
    torch.testing.assert_close(difference, expected.mean())


class Interleaved(Toy):
    """Model z1 -> z2, guide z2 -> z1: an analytic KL of z2 would be wrong."""

    def model(self):
        z1 = pyro.sample("z1", dist.Normal(0.0, 1.0))
        z2 = pyro.sample("z2", dist.Normal(z1, 1.0))
        pyro.sample("x", dist.Normal(z2, 1.0), obs=torch.tensor(1.0))

    def guide(self):
        z2 = pyro.sample("z2", dist.Normal(0.5, 0.8))
        pyro.sample("z1", dist.Normal(0.9 * z2, 0.6))


def test_kl_is_sampled_where_the_analytic_one_would_be_wrong():
    """ELBO in closed form: z2 ~ N(0.5, 0.8^2), z1 | z2 ~ N(0.9 z2, 0.6^2)."""
    m2, v2, m1, v1 = 0.5, 0.64, 0.45, 0.81 * 0.64 + 0.36
    half_log = 0.5 * math.log(2 * math.pi)
    between = (m2 - m1) ** 2 + v2 + v1 - 2 * 0.9 * v2  # E (z2 - z1)^2
    energy = -3 * half_log - 0.5 * (m1**2 + v1 + between + (1 - m2) ** 2 + v2)
    exact = energy + 2 * half_log + 1 + math.log(0.8) + math.log(0.6)
    pair, particles = Interleaved(), {"num_particles": 400_000, "vectorize_particles": True}
    torch.manual_seed(0)
    with pyro.validation_enabled(False):
        ours = -objectives.ELBO(max_plate_nesting=0, **particles).loss(pair.model, pair.guide)
        theirs = -TraceMeanField_ELBO(max_plate_nesting=0, **particles).loss(
            pair.model, pair.guide
        )
    assert ours.item() == pytest.approx(exact, abs=0.01)
    assert abs(theirs / particles["num_particles"] - exact) > 0.05


def test_an_autoguide_keeps_its_jacobian():
    """Pyro's KL of a Delta drops log_density, so its analytic ELBO is off for sigma > 0."""

    def model():
        scale = pyro.sample("scale", dist.LogNormal(0.3, 0.5))
        pyro.sample("x", dist.Normal(0.0, scale), obs=torch.tensor(1.0))

    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    guide = AutoNormal(model, init_scale=0.5)
    guide()
    n = 20_000
    reference = -Trace_ELBO(n, vectorize_particles=True, max_plate_nesting=0).loss(model, guide)
    ours = -objectives.ELBO(num_particles=n, vectorize_particles=True, max_plate_nesting=0).loss(
        model, guide
    )
    assert ours.item() == pytest.approx(reference, abs=0.03)


def test_particles_are_counted():
    with pytest.raises(objectives.ObjectiveError, match="num_particles >= 1; got 0"):
        objectives.ELBO(num_particles=0)


def discrete():
    pyro.sample("k", dist.Bernoulli(torch.tensor(0.4)))


def test_a_site_without_reparameterised_samples_is_named():
    with pytest.raises(objectives.ObjectiveError, match="site 'k'; got Bernoulli"):
        objectives.ELBO().loss_and_grads(discrete, discrete)


def test_sites_that_do_not_match_are_named():
    def other():
        pyro.sample("j", dist.Normal(0.0, 1.0))

    def model():
        pyro.sample("z", dist.Normal(0.0, 1.0))

    with pyro.validation_enabled(False):
        with pytest.raises(objectives.ObjectiveError, match="'j' is not in the model"):
            objectives.terms(model, other)
        with pytest.raises(objectives.ObjectiveError, match=r"no site for .* \['z'\]"):
            objectives.terms(model, lambda: None)


def moved(pair, before):
    return [not torch.equal(a, b) for a, b in zip(pair.parameters(), before, strict=True)]


def test_two_vaes_and_a_copy_train_under_plain_svi_in_one_process():
    pyro.clear_param_store()
    first, second = vae(0), vae(1)
    third = copy.deepcopy(first)
    objectives.terms(first.model, first.guide, X)
    for pair in (first, second, third, copy.deepcopy(first)):
        before = [p.detach().clone() for p in pair.parameters()]
        svi = SVI(pair.model, pair.guide, pyro.optim.Adam({"lr": 1e-2}), TraceMeanField_ELBO())
        first_loss = svi.step(X)
        last = [svi.step(X) for _ in range(50)][-1]
        assert all(moved(pair, before))
        assert last < first_loss


@pytest.mark.parametrize("validation", [True, False])
def test_a_prior_without_a_density_is_named(validation):
    class Improper(dist.Normal):
        def log_prob(self, value):
            raise NotImplementedError

    def model():
        pyro.sample("z", Improper(0.0, 1.0))
        pyro.sample("x", dist.Normal(0.0, 1.0), obs=torch.tensor(1.0))

    def guide():
        pyro.sample("z", dist.LogNormal(0.0, 1.0))

    with pyro.validation_enabled(validation):
        with pytest.raises(objectives.ObjectiveError, match="site 'z'; Improper has none at"):
            objectives.ELBO().loss(model, guide)
