"""The likelihood by importance sampling, against exact evidence and reference values."""

import math
from dataclasses import replace

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from shared_data import vectors
from torch import nn

from probgen import data, evaluation, models, nets
from probgen.evaluation import EvaluationError, latents, likelihood
from probgen.models.pairs import PairError
from probgen.objectives import ObjectiveError


class PPCA(nn.Module):
    """x ~ N(W z + b, sigma^2), z ~ N(0, I); q(z | x) exact, or N(its mean, 1)."""

    def __init__(self, weight, bias, sigma, exact=True):
        super().__init__()
        self.weight = nn.Parameter(torch.as_tensor(weight))
        self.bias, self.sigma, self.exact = torch.as_tensor(bias), torch.as_tensor(sigma), exact
        eye = torch.eye(self.weight.shape[1], dtype=self.weight.dtype)
        self.covariance = torch.linalg.inv(eye + self.weight.T @ self.weight / self.sigma**2)

    def model(self, x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", self.prior())
            pyro.sample(
                "x", dist.Normal(z @ self.weight.T + self.bias, self.sigma).to_event(1), obs=x
            )

    def guide(self, x):
        mean = (x - self.bias) @ self.weight @ self.covariance / self.sigma**2
        with pyro.plate("data", len(x)):
            wide = dist.Normal(mean, torch.ones_like(mean)).to_event(1)
            near = dist.MultivariateNormal(mean, self.covariance.detach())
            pyro.sample("z", near if self.exact else wide)

    def prior(self):
        zeros = self.weight.new_zeros(self.weight.shape[1])
        return dist.Normal(zeros, torch.ones_like(zeros)).to_event(1)

    def evidence(self, x):
        eye = torch.eye(len(self.weight), dtype=self.weight.dtype)
        covariance = self.weight @ self.weight.T + self.sigma**2 * eye
        return dist.MultivariateNormal(self.bias, covariance).log_prob(x).detach()


def ppca(n=200, exact=True):
    generator = torch.Generator().manual_seed(0)
    weight, bias, x = (
        torch.randn(shape, generator=generator, dtype=torch.float64)
        for shape in [(6, 3), (6,), (n, 6)]
    )
    pair = PPCA(weight, bias, 0.7, exact)
    return pair, data.arrays(x @ torch.diag(weight.norm(dim=1)) + bias)


def test_the_exact_posterior_gives_the_evidence_with_one_sample():
    given, expected = vectors("ppca_loglik")
    pair = PPCA(given["W"], given["b"], given["sigma"])
    score = likelihood.nll(pair, data.arrays(given["x"]), num_particles=1)
    np.testing.assert_allclose(score.details["log_evidence"], expected["logpx"], atol=1e-8)
    np.testing.assert_allclose(pair.covariance.detach(), expected["posterior_cov"], atol=1e-8)
    assert float(score) == pytest.approx(-np.mean(expected["logpx"]), abs=1e-8)


def test_the_mean_of_tiny_weights_is_the_reference():
    given, expected = vectors("iwae_logmeanexp")
    found = likelihood.ImportanceEstimate.of(given["log_w"].T)
    np.testing.assert_allclose(found.log_evidence, expected["bound"], rtol=0, atol=1e-8)
    assert ((found.effective_sample_size >= 1) & (found.effective_sample_size <= 7)).all()


@pytest.mark.parametrize("exact", [True, False])
def test_it_meets_the_analytic_evidence(exact):
    pair, items = ppca(exact=exact)
    score = likelihood.nll(pair, items, num_particles=1000)
    analytic = -pair.evidence(items.x).mean().item()
    assert abs(float(score) - analytic) < 0.05
    sizes = score.details["effective_sample_size"]
    assert sizes.shape == (200,)
    assert ((sizes >= 1) & (sizes <= 1000 + 1e-6)).all()
    assert (sizes > 999).all() == exact


def test_more_samples_tighten_the_bound():
    pair, items = ppca(exact=False)
    analytic = -pair.evidence(items.x).mean().item()
    one, ten, many = (float(likelihood.nll(pair, items, num_particles=k)) for k in (1, 10, 500))
    assert one > ten > many > analytic - 0.05


def test_one_sample_is_the_elbo_with_sampled_terms():
    pair, items = ppca(exact=False)
    elbo = np.mean(
        [-float(likelihood.nll(pair, items, num_particles=1, seed=s)) for s in range(30)]
    )
    terms = likelihood.terms(pair, items, num_particles=100)
    assert elbo == pytest.approx(terms.elbo.mean().item(), abs=0.8)  # four standard errors


@pytest.mark.parametrize(("chunk", "batch_size"), [(1, 200), (7, 33), (50, 1)])
def test_chunks_and_batches_only_change_the_noise(chunk, batch_size):
    pair, items = ppca(n=40, exact=False)
    score = likelihood.nll(pair, items, num_particles=150, chunk=chunk, batch_size=batch_size)
    evidence = pair.evidence(items.x).mean().item()
    assert score.details["log_evidence"].mean().item() == pytest.approx(evidence, abs=0.2)
    assert score.details["effective_sample_size"].max() <= 150 + 1e-6


def test_it_is_reproducible_and_leaves_generators_and_modes_alone():
    pair, items = ppca(n=20, exact=False)
    pair.train()
    state = torch.random.get_rng_state()
    first, second = (likelihood.nll(pair, items, num_particles=30, seed=4) for _ in range(2))
    assert (
        float(first)
        == float(second)
        != float(likelihood.nll(pair, items, num_particles=30, seed=5))
    )
    assert torch.equal(torch.random.get_rng_state(), state)
    assert pair.training
    assert not pyro.get_param_store().keys()


def test_the_interval_is_that_of_a_mean_over_items():
    pair, items = ppca(n=100)
    score = likelihood.nll(pair, items, num_particles=1, level=0.9)
    values = -score.details["log_evidence"]
    error = values.std().item() / 10
    assert score.details["standard_error"] == pytest.approx(error)
    assert score.interval == pytest.approx(
        (score.value - 1.645 * error, score.value + 1.645 * error), abs=1e-3
    )


class Transposed(PPCA):
    """An inner plate on the left of the data's, and a subsample of ten times the data."""

    def model(self, x):
        with pyro.plate("data", 10 * len(x), subsample_size=len(x), dim=-1):
            z = pyro.sample("z", self.prior())
            mean = (z @ self.weight.T + self.bias).movedim(-1, -2)
            with pyro.plate("pixels", 6, dim=-2):
                pyro.sample("x", dist.Normal(mean, self.sigma), obs=x.T)

    def guide(self, x):
        mean = (x - self.bias) @ self.weight @ self.covariance / self.sigma**2
        with pyro.plate("data", 10 * len(x), subsample_size=len(x), dim=-1):
            pyro.sample("z", dist.MultivariateNormal(mean, self.covariance.detach()))


def test_plates_inside_and_subsamples_do_not_change_it():
    plain, items = ppca(n=30)
    pair = Transposed(plain.weight.detach(), plain.bias, plain.sigma)
    score = likelihood.nll(pair, items, num_particles=4, chunk=1)
    expected = pair.evidence(items.x)
    np.testing.assert_allclose(score.details["log_evidence"], expected, atol=1e-8)


class Global(PPCA):
    def model(self, x):
        pyro.sample("shift", dist.Normal(0.0, 1.0))
        super().model(x)

    def guide(self, x):
        pyro.sample("shift", dist.Normal(0.0, 1.0))
        super().guide(x)


class NoPlate(PPCA):
    def model(self, x):
        z = pyro.sample("z", self.prior().expand([len(x)]).to_event(1))
        pyro.sample("x", dist.Normal(z @ self.weight.T, self.sigma).to_event(2), obs=x)

    def guide(self, x):
        pyro.sample("z", self.prior().expand([len(x)]).to_event(1))


def other(kind):
    plain, items = ppca(n=5)
    return kind(plain.weight.detach(), plain.bias, plain.sigma), items


def test_a_global_latent_is_refused_with_the_reason():
    with pytest.raises(ObjectiveError, match="'shift' lies above the plate data .* one per datum"):
        likelihood.nll(*other(Global), num_particles=3)


def test_a_pair_without_a_plate_is_refused():
    with pytest.raises(EvaluationError, match=r"expected a pyro\.plate over the data"):
        likelihood.nll(*other(NoPlate), num_particles=3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_particles": 0}, "expected num_particles >= 1; got 0"),
        ({"chunk": 0}, "expected chunk >= 1; got 0"),
        ({"batch_size": 0}, "expected batch_size >= 1; got 0"),
        ({"levels": 1}, "expected levels >= 2; got 1"),
        ({"levels": 256}, "expected values on a grid of 256 levels from 0 to 1; got"),
        ({"level": 2.0}, "expected level in"),
    ],
)
def test_bad_settings(settings, message):
    pair, items = ppca(n=5)
    with pytest.raises(EvaluationError, match=message):
        likelihood.nll(pair, items, **({"num_particles": 2} | settings))


@pytest.mark.parametrize("seed", [-1, 2**48])
def test_a_seed_that_no_generator_takes_is_refused(seed):
    pair, items = ppca(n=5)
    with pytest.raises(PairError, match="expected seed from 0"):
        likelihood.nll(pair, items, num_particles=2, seed=seed)


def test_data_of_another_shape_are_refused():
    vae = digits_vae()
    with pytest.raises(data.DataError, match=r"expected items \(1, 8, 8\)"):
        likelihood.nll(vae, data.arrays(torch.zeros(3, 1, 4, 4)), num_particles=2)


def test_weights_that_are_no_numbers_are_refused():
    vae = digits_vae()
    few = data.digits()[1].take(range(3))
    with torch.no_grad():
        next(vae.decoder.parameters())[0, 0] = math.nan
    scores = (likelihood.nll, likelihood.terms, likelihood.scores, likelihood.decompose)
    for score in (*scores, latents.posterior):
        with pytest.raises(PairError, match="finite weights; got NaN .* in decoder.*of VAE"):
            score(vae, few)


class Impossible(PPCA):
    def model(self, x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", self.prior())
            pyro.sample("x", dist.Uniform(-1.0, 1.0).expand([6]).to_event(1), obs=x)


@pytest.mark.parametrize("chunk", [1, 4])
def test_an_item_without_density_is_named(chunk):
    pair, _ = other(Impossible)
    items = data.arrays(
        torch.zeros(5, 6, dtype=torch.float64).index_fill(0, torch.tensor([3]), 2.0)
    )
    with pytest.raises(EvaluationError, match="the ELBO is -inf for item 3"):
        likelihood.scores(pair, items)
    with pyro.validation_enabled(False), pytest.raises(EvaluationError, match="-inf for item 3"):
        likelihood.nll(pair, items, num_particles=4, chunk=chunk, batch_size=2)


def digits_vae(kind=None):
    torch.manual_seed(0)
    shape = (1, 8, 8)
    return models.VAE(nets.dense_encoder(shape, 4), nets.dense_decoder(4, shape), kind)


def test_bits_are_those_of_the_grid():
    _, test = data.digits()
    vae = digits_vae(models.Gaussian(0.3))
    plain = likelihood.nll(vae, test, num_particles=5)
    spread = likelihood.nll(vae, test, num_particles=5, levels=256)
    bits = plain.details["bits_per_dimension"]
    assert bits == pytest.approx(plain.value / 64 / math.log(2))
    assert spread.details["bits_per_dimension"] == pytest.approx(
        spread.value / 64 / math.log(2) + 8
    )
    assert spread.variant.endswith("256 levels, uniform dequantisation")
    with pytest.raises(evaluation.ProtocolError):
        assert plain < spread


def test_dequantised_pixels_are_uniform_in_their_cells():
    levels, x = 4, torch.linspace(0, 1, 4).repeat(5000, 1)
    torch.manual_seed(0)
    noisy = likelihood._dequantised(x, levels, 0)
    assert torch.equal((noisy * levels).floor(), (x * (levels - 1)).round())
    rest = noisy * levels - (noisy * levels).floor()
    assert rest.mean().item() == pytest.approx(0.5, abs=0.01)
    assert rest.var().item() == pytest.approx(1 / 12, abs=0.002)


def test_a_bernoulli_of_grey_values_says_that_it_is_no_likelihood():
    _, test = data.digits()
    grey = likelihood.nll(digits_vae(), test, num_particles=2)
    binary = likelihood.nll(digits_vae(), test.binarized(), num_particles=2)
    assert grey.variant.endswith("Bernoulli of grey values: no likelihood")
    assert binary.variant.endswith("no dequantisation")
    with pytest.raises(EvaluationError, match="a density for dequantised data; got a Bernoulli"):
        likelihood.nll(digits_vae(), test, num_particles=2, levels=256)


def test_a_conditional_pair_sees_the_labels():
    _, test = data.digits()
    few, encoder = test.take(torch.arange(20)), nets.dense_encoder((2, 8, 8), 4)
    vae = models.ConditionalVAE(encoder, nets.dense_decoder(14, (1, 8, 8)), classes=10)
    found = likelihood.nll(vae, few, num_particles=5)
    assert "no likelihood" in found.variant
    other = likelihood.nll(vae, replace(few, y=(few.y + 1) % 10), num_particles=5)
    assert found.value != other.value


def test_a_pair_without_a_prior_has_no_likelihood():
    _, test = data.digits()
    encoder = nets.dense_encoder(test.shape, 4, parts=1)
    pair = models.Autoencoder(encoder, nets.dense_decoder(4, test.shape))
    with pytest.raises(EvaluationError, match="a prior over 'z'; it is flat"):
        likelihood.nll(pair, test, num_particles=5)
