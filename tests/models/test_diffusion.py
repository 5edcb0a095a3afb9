"""Diffusion: the bound and its training against closed forms."""

import math
from functools import partial

import pyro
import pytest
import torch
from gaussian_diffusion import ODE, SCALE, Optimal, digits, gaussian, labelled, optimal
from pyro.infer import SVI, Trace_ELBO
from torch import nn

from probgen import data, denoisers, models, nets, objectives, training
from probgen.evaluation import likelihood, time_steps
from probgen.models import noise, samplers
from probgen.models.likelihoods import DiscretizedNormal
from probgen.run import Folder
from probgen.run.history import NonFiniteError

RING = ((900, 5e-3), (450, 7e-4), (250, 1e-4))


def test_the_bound_meets_the_entropy_of_gaussian_data():
    entropy = (0.5 * torch.log(2 * math.pi * math.e * SCALE**2)).sum().item()
    pair, many = optimal(300), gaussian(20_000)
    found = time_steps.decompose(pair, many, passes=200, batch_size=20_000)
    assert found.nats == pytest.approx(entropy, rel=0.01)
    assert found.bits_per_dimension == pytest.approx(found.nats / 2 / math.log(2))


def test_the_terms_are_the_sum_over_time():
    pair, few = optimal(40), gaussian(4_000)
    exact = time_steps.decompose(pair, few, passes=10)
    terms = likelihood.terms(pair, few, num_particles=10)
    error = 4 * terms.elbo.std().item() / len(few) ** 0.5
    assert -terms.elbo.mean().item() == pytest.approx(exact.nats, abs=error)
    assert terms.kl["x_T"].mean().item() == pytest.approx(exact.prior, rel=0.01)
    assert not terms.kl["x_t"].any()


@pytest.mark.parametrize("predicts", ["epsilon", "v"])
def test_what_is_predicted_changes_nothing_in_the_bound_or_the_samples(predicts):
    x, found = gaussian(500).batch(slice(0, 500))[0], []
    for pair in (optimal(100).double(), optimal(100, predicts).double()):
        torch.manual_seed(0)
        terms = objectives.terms(pair.model, pair.guide, x.double())
        path, start = pair.path(20), torch.ones(3, 2).double()
        found.append((terms.elbo, ODE(pair.denoise, path, start)))
    for ours, reference in zip(*found, strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("predicts", ["epsilon", "v", "x0"])
def test_the_simple_loss_is_the_squared_error_of_the_network(predicts):
    torch.manual_seed(0)
    net = denoisers.dense((2,), (16,))
    settings = {"levels": None, "predicts": predicts, "variance": "posterior"}
    pair = models.Diffusion(net, noise.linear(50), **settings).double()
    x = gaussian(300).batch(slice(0, 300))[0].double()
    torch.manual_seed(1)
    ((model, guide),) = objectives.ELBO().traces(pair.model, pair.guide, x)
    torch.manual_seed(1)
    found = objectives.SimpleELBO().terms(pair.model, pair.guide, x).estimates["weighted"]
    t, x_t = model.nodes["x"]["infer"]["step"][0], guide.nodes["x_t"]["value"][0]
    alpha, sigma = ((sign * pair.log_snr[t]).sigmoid().sqrt()[:, None] for sign in (1, -1))
    epsilon = (x_t - alpha * x) / sigma
    wanted = {"epsilon": epsilon, "v": alpha * epsilon - sigma * x, "x0": x}[predicts]
    error = (net(x_t, pair.log_snr[t]) - wanted).square().sum(1)
    torch.testing.assert_close(found[t > 0], error[t > 0])
    constant = (found - error)[t == 0]
    torch.testing.assert_close(constant, constant[:1].expand_as(constant))


def test_the_simple_loss_needs_weights():
    vae = models.VAE(nets.dense_encoder((2,), 1), nets.dense_decoder(1, (2,)), models.Gaussian())
    with pytest.raises(objectives.ObjectiveError, match="state infer=.*got none"):
        objectives.SimpleELBO().loss(vae.model, vae.guide, torch.zeros(3, 2))


@pytest.mark.parametrize("scale", [1e-3, 0.02, 1.0])
def test_a_discretised_normal_is_finite_however_far_the_mean(scale):
    loc = torch.tensor([-5.0, 0.0, 0.4, 1.0, 7.0], requires_grad=True)
    grid = (torch.arange(256) / 255)[:, None]
    found = DiscretizedNormal(loc, torch.tensor(scale)).log_prob(grid)
    torch.testing.assert_close(found.exp().sum(0), torch.ones(5), rtol=1e-4, atol=1e-4)
    found.sum().backward()
    assert found.isfinite().all()
    assert loc.grad.isfinite().all()


def test_steps_are_spread_evenly_over_a_batch():
    pair, x = optimal(50), torch.zeros(100, 2)
    torch.manual_seed(0)
    trace = pyro.poutine.trace(pair.guide).get_trace(x)
    step = trace.nodes["x_s"]["infer"]["step"]
    assert step.shape == (1, 100)
    assert step.flatten().bincount().tolist() == [2] * 50


@pytest.mark.parametrize("objective", [objectives.ELBO, objectives.SimpleELBO])
def test_recorded_steps_are_those_of_pyro(objective):
    histories, weights = [], []
    for how in ("eager", "graph"):
        pair = labelled()
        histories.append(training.fit(pair, objective(), digits(), batch_size=16, steps=6,
                                      log_every=1, lower=how).series("loss")[1])  # fmt: skip
        weights.append(pair.state_dict())
    assert histories[1] == pytest.approx(histories[0], rel=1e-5)
    for a, b in zip(*(w.values() for w in weights), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_training_knows_that_a_sum_over_time_is_inside_a_datum():
    """The size of the data spreads what lies above them, not what lies below."""
    pair = labelled().eval()
    x, y = digits().batch(slice(0, 16))
    found = []
    for size in (None, 1000):
        torch.manual_seed(0)
        objective = objectives.ELBO(data_size=size)
        found.append(objective.terms(pair.model, pair.guide, x, y).elbo)
    torch.testing.assert_close(*found)


def test_plain_svi_trains_and_agrees_in_expectation():
    pair, (x, y) = labelled(), digits().batch(slice(0, 64))
    svi = SVI(pair.model, pair.guide, pyro.optim.Adam({"lr": 0.01}), Trace_ELBO())
    before = [p.clone() for p in pair.parameters()]
    svi.step(x, y)
    svi.step(x, y)
    assert all(not torch.equal(a, b) for a, b in zip(before, pair.parameters(), strict=True))
    pair.eval()
    found = torch.tensor([
        [float(loss.loss(pair.model, pair.guide, x, y)) for _ in range(60)]
        for loss in (Trace_ELBO(), objectives.ELBO())
    ])  # fmt: skip
    error = 4 * (found.var(1) / 60).sum().sqrt()
    assert abs(found.mean(1).diff()) < error


def test_vectorised_particles_are_a_loop_of_them():
    pair = optimal(20)
    x = gaussian(2000).batch(slice(0, 2000))[0]
    means = []
    for vectorised in (False, True):
        loss = objectives.ELBO(num_particles=8, vectorize_particles=vectorised)
        terms = loss.terms(pair.model, pair.guide, x)
        assert terms.elbo.shape == (2000,)
        means.append(terms.elbo)
    error = 4 * sum(m.var() / len(m) for m in means).sqrt()
    assert abs(means[0].mean() - means[1].mean()) < error


def test_evaluation_takes_the_average_of_the_weights():
    pair = labelled(decay=0.5)
    x, y = digits().batch(slice(0, 16))
    weight = pair.net.out.weight
    mean = weight.detach().clone()
    for step in range(1, 4):
        with torch.no_grad():
            weight.add_(1.0)
        objectives.ELBO().loss_and_grads(pair.model, pair.guide, x, y)
        mean.lerp_(weight.detach(), 1 - min(0.5, step / (step + 9)))
    torch.testing.assert_close(pair.average.out.weight, mean)
    at, noisy = pair.log_snr[3], torch.randn(2, 1, 8, 8)
    trained = pair.denoise(noisy, at, y[:2])
    assert not torch.allclose(pair.eval().denoise(noisy, at, y[:2]), trained.clamp(-1, 1))
    assert not {id(p) for p in pair.parameters()} & {id(b) for b in pair.average.buffers()}


def test_a_killed_run_goes_on_to_the_same_weights(tmp_path):
    fit = partial(
        training.fit,
        objective=objectives.SimpleELBO(),
        data=digits(),
        batch_size=16,
        lower="eager",
    )
    straight, killed, again = labelled(), labelled(), labelled()
    fit(straight, steps=6)
    fit(killed, steps=3, checkpoint=tmp_path / "run")
    fit(again, steps=6, checkpoint=tmp_path / "run", resume=True)
    for a, b in zip(straight.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_divergence_keeps_the_last_good_weights(tmp_path):
    fit = partial(
        training.fit, objective=objectives.SimpleELBO(), data=digits(), batch_size=16, log_every=1
    )
    pair = labelled()
    fit(pair, steps=2, checkpoint=tmp_path / "run", lower="eager")
    with pytest.raises(NonFiniteError, match="again what it was at step 0"):
        fit(pair, steps=9, lr=1e30, lower="eager")
    kept = Folder(tmp_path / "run").read_weights(labelled())
    assert all(torch.equal(weight, kept[name]) for name, weight in pair.state_dict().items())


def test_a_ring_of_eight_gaussians_is_covered_evenly():
    """Every mode within 3 % of its share; 120,000 samples leave an error of 0.8 % of chance."""
    torch.manual_seed(0)
    angle = torch.arange(16_000) % 8 * (math.pi / 4)
    centre = math.sqrt(2) * torch.stack([angle.cos(), angle.sin()], dim=1)
    train = data.arrays(centre + 0.1 * torch.randn(16_000, 2))
    net = denoisers.dense((2,), (64, 64, 64))
    pair = models.Diffusion(net, noise.cosine(20), levels=None)
    for steps, lr in RING:
        training.fit(pair, objectives.SimpleELBO(), train, steps=steps, batch_size=800, lr=lr,
                     lower="graph")  # fmt: skip
    torch.manual_seed(1)
    x = pair.sample(120_000, steps=20, sampler=samplers.ancestral)
    found = (torch.atan2(x[:, 1], x[:, 0]) / (math.pi / 4)).round().long() % 8
    shares = found.bincount(minlength=8) / len(found)
    assert (shares * 8 - 1).abs().max() < 0.03
    assert ((x - centre[:8][found]).norm(dim=1) < 0.4).float().mean() > 0.95


X = torch.rand(4, 1, 8, 8)
Y = torch.arange(4)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: optimal(20).sample(2, guidance=2.0), "guidance 1, none, for a model without lab"),
        (lambda: labelled(unlabelled=0.0).sample(2, guidance=2.0), "unlabelled=0"),
        (lambda: labelled().sample(2, guidance=-1.0), "guidance >= 0"),
        (lambda: labelled().sample(2, steps=21), "steps from 1 to 20, those of training; got 21"),
        (lambda: labelled().sample(2, steps=0), "got 0"),
        (lambda: labelled().sample(0), "n >= 1"),
        (lambda: labelled().sample(2, 10), "labels from 0 to 9; got 10"),
        (lambda: labelled().sample(3, torch.tensor([1, 2])), r"whole labels \(3\)"),
        (lambda: optimal(20).sample(2, 3), "no label, for an unconditional model"),
        (lambda: optimal(20).sample(2, Y[:2]), "no label, for an unconditional model"),
        (lambda: optimal(20).sample(2, sampler="ddim"), "a sampler such as .* got 'ddim'"),
        (
            lambda: optimal(20).sample(2, sampler=partial(samplers.ancestral, variance="alpha")),
            "variance posterior, beta; got 'alpha'",
        ),
        (lambda: models.Diffusion(denoisers.dense((2,)), classes=3), "those of the net, None"),
        (lambda: models.Diffusion(Optimal(), classes=0), "classes >= 1, .* got 0"),
        (lambda: models.Diffusion(Optimal(), 1000), "a schedule such as .* got 1000"),
        (lambda: labelled().sample(2, sampler=partial(samplers.ddim, eta=2.0)), "eta from 0 to 1"),
        (lambda: labelled().model(X), r"labels y \(4\), 0 to 9; got none"),
        (lambda: labelled().model(X, Y + 7), "labels from 0 to 9; got 10"),
        (lambda: labelled().model(X, Y.float()), "whole labels"),
        (lambda: labelled().guide(X[:, :, 1:], Y), r"got \(4, 1, 7, 8\)"),
        (lambda: noise.cosine(0), "steps, a whole number >= 1; got 0"),
        (lambda: noise.linear(2.5), "got 2.5"),
        (lambda: models.Diffusion(Optimal(), torch.tensor([0.1, 0.9])), "falling between 1 and 0"),
        (lambda: models.Diffusion(Optimal(), torch.zeros(0)), "falling"),
        (lambda: models.Diffusion(Optimal(), shape=(3,)), "net"),
        (lambda: models.Diffusion(nn.Identity()), "shape="),
        (lambda: models.Diffusion(nn.Linear(2, 2), shape=(2,)), "takes no x_t and log-SNRs"),
        (lambda: optimal(predicts="score"), "predicts epsilon, v, x0; got 'score'"),
        (lambda: optimal(variance="learned"), "variance posterior, beta"),
        (lambda: optimal(levels=1), "levels >= 2"),
        (lambda: optimal(levels=16.5), "whole levels >= 2"),
        (lambda: optimal(decay=1.0), "decay from 0 to below 1"),
        (lambda: denoisers.unet((1, 28, 28), (8, 8, 8, 8)), "multiples of 8, .* got 28 x 28"),
        (lambda: denoisers.unet((1, 9, 8), (8, 8)), "got 9 x 8"),
        (lambda: denoisers.unet((1, 8, 8), (8, 8), attention=(5,)), "among 8, 4; got 5"),
        (lambda: denoisers.unet((8, 8), (8, 8)), "channels, height, width"),
        (lambda: denoisers.unet((1, 8, 8), (8, 6), attention=(4,)), "divide the width 6; got 4"),
        (lambda: denoisers.unet((1, 8, 8), (8,), blocks=0), "blocks >= 1"),
        (lambda: denoisers.unet((1, 8, 8), (8,), classes=0), "classes >= 1"),
        (lambda: denoisers.dense((2,), ()), "at least one hidden layer"),
        (lambda: time_steps.decompose(optimal(100), gaussian(20)), "take passes=10"),
        (lambda: time_steps.decompose(optimal(10), gaussian(20), passes=0), "passes"),
        (
            lambda: likelihood.nll(optimal(10), gaussian(20), num_particles=2),
            "'time' takes 1 of 10 cells",
        ),
        (lambda: training.fit(labelled(), objectives.ELBO(), gaussian(200), steps=1), "items"),
    ],
)
def test_what_cannot_work_is_refused(make, match):
    with pytest.raises(ValueError, match=match):
        make()
