"""The importance-weighted bound against its definition, its gradients against theirs."""

import math

import objectives_table as proven
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import SVI
from toy_pairs import (
    SHAPE,
    Global,
    Hierarchical,
    Masked,
    Mixture,
    Plain,
    Scaled,
    Two,
    gradients,
    vae,
)

from probgen import data, objectives, training

Bound = objectives.ImportanceWeightedELBO
X = torch.linspace(-1, 1, 6).double()


def drawn(pair, k, seed=5):
    torch.manual_seed(seed)
    return pair.loc + pair.log_scale.exp() * torch.randn(k, *pair.loc.shape, dtype=pair.loc.dtype)


def log_joint(pair, z):
    return pair.prior().log_prob(z) + dist.Normal(z @ pair.weight, 0.5).log_prob(X)


def test_the_bound_is_the_log_mean_weight_of_each_datum():
    pair = Plain().double()
    torch.manual_seed(5)
    terms = Bound(7, max_plate_nesting=1).terms(pair.model, pair.guide, X)
    z = drawn(pair, 7)
    log_weight = log_joint(pair, z) - pair.q().log_prob(z)
    torch.testing.assert_close(
        terms.estimates["bound"], log_weight.logsumexp(0) - math.log(7), rtol=1e-12, atol=0
    )
    torch.testing.assert_close(terms.elbo.shape, terms.estimates["bound"].shape)


def test_the_gradient_is_that_of_the_paper():
    """Tucker et al. 2019, equation 8: w for the model's parameters, w^2 for the guide's path."""
    pair = Plain().double()
    _, found = gradients(Bound(7, max_plate_nesting=1), pair, X)
    z = drawn(pair, 7)
    held = z.detach().requires_grad_()
    q = dist.Normal(pair.loc.detach(), pair.log_scale.detach().exp()).to_event(1)
    log_p = log_joint(pair, held)
    log_weight = log_p - q.log_prob(held)
    share = log_weight.detach().softmax(0)
    (model,) = torch.autograd.grad((share * log_p).sum(), pair.weight, retain_graph=True)
    (through_z,) = torch.autograd.grad((share.square() * log_weight).sum(), held)
    guide = torch.autograd.grad(z, [pair.loc, pair.log_scale], through_z)
    for ours, theirs in zip(found, (*guide, model), strict=True):
        torch.testing.assert_close(ours, -theirs, rtol=1e-10, atol=1e-12)


class MaskedGuide(Masked):
    """Only the guide is masked: the model's density stays in the weights."""

    def model(self, x):
        Plain.model(self, x)


def mean_gradient(kind, gradient, copies=20_000):
    """Per parameter and datum: mean of the guide's gradient over copies of the data, its error."""
    pair = kind().double()
    for name in ("loc", "log_scale"):
        getattr(pair, name).data = getattr(pair, name).data.repeat(copies, 1)
    objective = Bound(3, gradient=gradient, max_plate_nesting=1)
    torch.manual_seed(5)
    objective.loss_and_grads(pair.model, pair.guide, X.repeat(copies))
    draws = torch.cat([pair.loc.grad, pair.log_scale.grad], -1).view(copies, 6, -1)[:, 1:]
    return draws.mean(0), draws.std(0) / copies**0.5


@pytest.mark.parametrize(
    "kind", [Plain, Mixture, Masked, MaskedGuide, Two, Hierarchical], ids=lambda k: k.__name__
)
def test_both_gradients_have_the_same_mean(kind):
    naive, naive_error = mean_gradient(kind, "naive")
    dreg, dreg_error = mean_gradient(kind, "dreg")
    assert ((dreg - naive).abs() < 5 * (naive_error.square() + dreg_error.square()).sqrt()).all()
    assert dreg_error.mean() < naive_error.mean()


@pytest.mark.parametrize("vectorize", [True, False], ids=["vectorized", "loop"])
@pytest.mark.parametrize("gradient", ["dreg", "naive"])
def test_the_three_losses_agree(gradient, vectorize):
    pair, losses = vae(), []
    x = torch.rand(6, *SHAPE, generator=torch.Generator().manual_seed(3))
    objective = Bound(4, gradient=gradient, vectorize_particles=vectorize, max_plate_nesting=1)
    for method in ("loss", "differentiable_loss", "loss_and_grads"):
        torch.manual_seed(1)
        losses.append(getattr(objective, method)(pair.model, pair.guide, x).item())
    assert losses[0] == losses[1] == losses[2]


def test_one_sample_has_the_value_of_pyros_elbo_whatever_its_gradient():
    pair = Plain().double()
    value, _ = gradients(Bound(1), pair, X)
    theirs, _ = gradients(pyro.infer.Trace_ELBO(), pair, X)
    assert value == pytest.approx(theirs, rel=1e-12)


def test_the_bound_per_datum_does_not_move_with_the_plate():
    found = proven.bounds_by_plate()
    ours, renyi = (torch.tensor(values) for values in zip(*found.values(), strict=True))
    torch.testing.assert_close(ours, ours[:1].expand(3), rtol=1e-12, atol=0)
    assert ours[0].item() == pytest.approx(renyi[0].item(), rel=1e-12)
    assert (renyi.diff() > 0.1).all()


def test_the_bound_rises_with_k_towards_the_evidence():
    found, evidence = proven.bounds_by_samples()
    bounds = torch.tensor([*found.values(), evidence])
    assert (bounds.diff() > 0).all()
    assert evidence - bounds[-2] < 0.01


def test_the_signal_of_dreg_grows_with_k_where_the_naive_one_fades():
    naive, dreg = (torch.tensor([*proven.signal_to_noise(g).values()]) for g in ("naive", "dreg"))
    assert (dreg.diff() > 0).all()
    assert (naive.diff() < 0).all()
    assert dreg[-1] > 100 * naive[-1]


@pytest.mark.parametrize("k", [0, -1, 2.5, None])
def test_impossible_numbers_of_samples_are_refused(k):
    with pytest.raises(objectives.ObjectiveError, match=f"whole number >= 1; got {k}"):
        Bound(k)


def test_an_unknown_gradient_is_refused():
    with pytest.raises(objectives.ObjectiveError, match="dreg or naive; got 'path'"):
        Bound(2, gradient="path")


def test_a_global_latent_is_named():
    pair = Global().double()
    with pytest.raises(objectives.ObjectiveError, match="site 'w' lies above the plate data"):
        Bound(2).loss(pair.model, pair.guide, X)


def test_a_scaled_latent_has_the_naive_gradient_only():
    pair = Scaled().double()
    with pytest.raises(objectives.ObjectiveError, match="scaled site 'z' has no 'dreg'"):
        Bound(2).loss_and_grads(pair.model, pair.guide, X)
    assert Bound(2, gradient="naive").loss_and_grads(pair.model, pair.guide, X).isfinite()


def test_a_penalty_has_the_naive_gradient_only():
    class Penalised(Plain):
        def more(self, x):
            unit = dist.Unit(-self.loc.square().sum(-1))
            pyro.sample("commitment", unit, obs=x.new_empty(len(x), 0), infer={"penalty": True})

    pair = Penalised().double()
    with pytest.raises(objectives.ObjectiveError, match="penalty 'commitment' has no 'dreg'"):
        Bound(2).loss_and_grads(pair.model, pair.guide, X)
    torch.manual_seed(0)
    loss = Bound(2).loss(pair.model, pair.guide, X)
    torch.manual_seed(0)
    without = Bound(2).loss(Plain().double().model, Plain().double().guide, X)
    torch.testing.assert_close(loss - without, pair.loc.square().sum())


def test_a_factor_in_the_guide_has_the_naive_gradient_only():
    class Tilted(Plain):
        def guide(self, x):
            self.register()
            with pyro.plate("data", len(x)):
                pyro.sample("z", self.q())
                pyro.factor("tilt", self.loc.sum(-1), has_rsample=True)

    pair = Tilted().double()
    with pytest.raises(objectives.ObjectiveError, match="guide's factor 'tilt' has no 'dreg'"):
        Bound(2).loss_and_grads(pair.model, pair.guide, X)


class Flow(Plain):
    """A guide through a transform without an inverse."""

    def q(self):
        flow = dist.transforms.Planar(2).double()
        return dist.TransformedDistribution(super().q(), flow)


def test_a_flow_that_cannot_be_inverted_is_named():
    pair = Flow().double()
    with pytest.raises(objectives.ObjectiveError, match="site 'z' cannot evaluate its density"):
        Bound(2).loss_and_grads(pair.model, pair.guide, X)
    assert Bound(2, gradient="naive").loss_and_grads(pair.model, pair.guide, X).isfinite()


def test_a_site_without_reparameterised_samples_is_named():
    def discrete():
        with pyro.plate("data", 3):
            pyro.sample("k", dist.Bernoulli(torch.tensor(0.4)))

    with pytest.raises(objectives.ObjectiveError, match="site 'k'; got Bernoulli"):
        Bound(2).loss_and_grads(discrete, discrete)


def test_a_nan_is_named_with_its_site_and_datum():
    class Unchecked(Plain):
        def model(self, x):
            with pyro.plate("data", len(x)):
                z = pyro.sample("z", self.prior())
                pyro.sample("x", dist.Normal(z.sum(-1), 0.5, validate_args=False), obs=x)

    pair = Unchecked().double()
    with (
        pytest.warns(UserWarning, match="NaN: log_prob_sum at site 'x'"),
        pytest.raises(objectives.ObjectiveError, match=r"log-likelihood is nan, .* datum \[2\]"),
    ):
        Bound(2).loss(pair.model, pair.guide, torch.where(torch.arange(6) == 2, math.nan, X))


def test_plain_svi_finds_the_posterior_exactly():
    """At the posterior every weight is p(x), and the path's gradient has no noise left."""
    pair = proven.Normals(torch.randn(8, 2, generator=torch.Generator().manual_seed(0)))
    optim = pyro.optim.ClippedAdam({"lr": 0.05, "lrd": 0.995})
    svi = SVI(pair.model, pair.guide, optim, Bound(1))
    for _ in range(800):
        svi.step()
    torch.testing.assert_close(pair.loc.data, pair.x / 2, atol=1e-3, rtol=0)
    assert -svi.evaluate_loss() / 8 == pytest.approx(pair.evidence(), abs=1e-4)


def test_fit_trains_and_validates_by_the_bound():
    train, test = data.digits()
    pair = vae()
    history = training.fit(
        pair, Bound(8, max_plate_nesting=1), train, epochs=2, validation=test, patience=5
    )
    losses = history.series("validation_loss")[1]
    elbos = history.series("validation_elbo")[1]
    assert losses[1] < losses[0]
    assert all(-loss > elbo for loss, elbo in zip(losses, elbos, strict=True))


def test_all_samples_are_of_the_same_subsample():
    """The data are far apart: a sample of another datum would have no weight at all."""
    x = 100.0 * torch.arange(50)

    def program(observed):
        with pyro.plate("data", 50, subsample_size=5) as index:
            z = pyro.sample("z", dist.Normal(x[index], 1.0))
            if observed:
                pyro.sample("x", dist.Normal(z, 1.0), obs=x[index])

    exact = dist.Normal(0.0, 2**0.5).log_prob(torch.tensor(0.0)).item()
    objective = objectives.ImportanceWeightedELBO(500, vectorize_particles=False)
    terms = objective.terms(lambda: program(True), lambda: program(False))
    assert terms.estimates["bound"].tolist() == pytest.approx([exact] * 5, abs=0.2)
