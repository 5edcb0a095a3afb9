"""What every model/guide pair of the library must do."""

import copy
from functools import partial

import pyro
import pytest
import torch
from pair_zoo import (
    BATCH,
    NO_PRIOR,
    PAIRS,
    SEES_THE_MODE,
    SHAPE,
    autoencoder,
    back,
    conditional,
    dense,
    vae,
    vampprior,
    vq,
)
from pyro.infer import SVI, Trace_ELBO
from safetensors.torch import load_model, save_model
from torch import nn
from torch.distributions import constraints

from probgen import data, evaluation, models, nets, objectives, training


@pytest.fixture(params=PAIRS)
def name(request):
    return request.param


@pytest.fixture
def pair(name):
    torch.manual_seed(0)
    return PAIRS[name]()


@pytest.fixture
def batch():
    torch.manual_seed(1)
    return torch.rand(BATCH, *SHAPE).mul(255).round() / 255, torch.arange(BATCH)


def moved(pair, step):
    before = [p.detach().clone() for p in pair.parameters()]
    step()
    return [not torch.equal(a, b) for a, b in zip(pair.parameters(), before, strict=True)]


def test_shapes(pair, batch):
    x, y = batch
    found = objectives.terms(pair.model, pair.guide, x, y)
    assert found.log_likelihood.shape == found.total_kl.shape == (BATCH,)
    assert all(cost.shape == (BATCH,) for cost in found.penalty.values())
    assert pair.reconstruct(x, y).shape == x.shape
    z = pair.encode(x, y).sample()
    particles = torch.stack([z, z + 1])
    torch.testing.assert_close(pair.decode(particles, y).mean[0], pair.decode(z, y).mean)


def test_gradients_reach_every_parameter(pair, batch):
    objectives.ELBO(num_particles=2, vectorize_particles=True).loss_and_grads(
        pair.model, pair.guide, *batch
    )
    without = [name for name, p in pair.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without


def test_plain_svi_trains_two_pairs_in_one_process(name, pair, batch):
    other = PAIRS[name]()
    for trained in (pair, other):
        svi = SVI(trained.model, trained.guide, pyro.optim.Adam({"lr": 0.01}), Trace_ELBO())
        assert all(moved(trained, partial(svi.step, *batch)))


def test_the_loss_is_pyros_at_the_same_sample(pair, batch):
    pair.eval()
    torch.manual_seed(2)
    sampled = objectives.terms(pair.model, pair.guide, *batch)
    torch.manual_seed(2)
    expected = Trace_ELBO().differentiable_loss(pair.model, pair.guide, *batch)
    torch.manual_seed(2)
    q = pair.encode(*batch)
    z = q.sample()
    exact = "z" in sampled.kl_per_dim
    kl = q.log_prob(z) - pair.prior(batch[1]).log_prob(z) if exact else sampled.total_kl
    penalty = sum(cost.sum() for cost in sampled.penalty.values())
    found = kl.sum() + penalty - sampled.log_likelihood.sum()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)


def test_saving_and_loading_changes_nothing(name, pair, batch, tmp_path):
    objectives.ELBO().loss_and_grads(pair.model, pair.guide, *batch)  # moves the buffers
    save_model(pair, str(tmp_path / "pair.safetensors"))
    other = PAIRS[name]()
    load_model(other, str(tmp_path / "pair.safetensors"))
    for a, b in ((pair, other),):
        torch.testing.assert_close(a.eval().reconstruct(*batch), b.eval().reconstruct(*batch))


def test_double_precision_agrees_with_single(name, pair, batch):
    x, y = batch
    double = copy.deepcopy(pair).double().eval()
    z = pair.eval().encode(x, y).mean.detach()
    found = [double.decode(z.double(), y).log_prob(x.double()), double.encode(x.double(), y).mean]
    expected = [pair.decode(z, y).log_prob(x), z]
    if name not in NO_PRIOR:
        found.append(double.prior(y).log_prob(z.double()))
        expected.append(pair.prior(y).log_prob(z))
    assert all(tensor.dtype == torch.float64 for tensor in found)
    for ours, single in zip(found, expected, strict=True):
        torch.testing.assert_close(ours.float(), single, rtol=1e-4, atol=1e-3)
    loss = objectives.ELBO(num_particles=2, vectorize_particles=True).loss_and_grads(
        double.train().model, double.guide, x.double(), y
    )
    assert loss == loss
    assert all(p.grad.dtype == torch.float64 for p in double.parameters())


def test_a_copy_of_a_trained_pair_is_its_own(pair, batch):
    objectives.ELBO().loss_and_grads(pair.model, pair.guide, *batch)
    before = {key: value.clone() for key, value in pair.state_dict().items()}
    other = copy.deepcopy(pair)
    other.zero_grad()
    objectives.ELBO().loss_and_grads(other.model, other.guide, *batch)
    torch.optim.SGD(other.parameters(), lr=0.1).step()
    for key, value in pair.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)
    changed = zip(other.parameters(), pair.parameters(), strict=True)
    assert all(not torch.equal(a, b) for a, b in changed)


def test_every_tensor_moves_with_the_pair(pair):
    kept = [
        (type(module).__name__, key)
        for module in pair.modules()
        for key, value in vars(module).items()
        if isinstance(value, torch.Tensor)
    ]
    assert not kept
    pair.to("meta")
    tensors = (*pair.parameters(), *pair.buffers())
    assert all(tensor.is_meta for tensor in tensors)


def test_half_precision_gives_almost_the_loss(name, pair, batch):
    losses = []
    for enabled in (False, True):
        torch.manual_seed(2)
        twin = copy.deepcopy(pair)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss = objectives.ELBO().loss_and_grads(twin.model, twin.guide, *batch)
        losses.append(float(loss))
        assert all(p.grad.isfinite().all() for p in twin.parameters())
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


def test_the_likelihood_of_a_set_can_be_estimated(name, pair):
    few = data.digits()[1].take(torch.arange(3))
    if name.startswith("autoencoder"):
        with pytest.raises(evaluation.EvaluationError, match="prior over 'z'; it is flat"):
            evaluation.likelihood.nll(pair, few, num_particles=4)
        return
    assert evaluation.likelihood.nll(pair, few, num_particles=4).details["log_evidence"].shape == (
        3,
    )


def test_training_mode_changes_nothing_where_it_should_not(name, pair, batch):
    if name in SEES_THE_MODE:
        pytest.skip("differs in training by definition")
    losses = []
    for mode in (True, False):
        torch.manual_seed(3)
        losses.append(objectives.ELBO().loss(pair.train(mode).model, pair.guide, *batch))
    torch.testing.assert_close(*losses)


def test_samples_come_from_the_prior(name, pair):
    if name in NO_PRIOR:
        with pytest.raises(models.ModelError, match="fit"):
            pair.sample(2)
        return
    labels = torch.arange(5) if hasattr(pair, "classes") else None
    torch.manual_seed(4)
    images = pair.sample(5, labels)
    torch.manual_seed(4)
    z = pair.prior(labels).expand((5,)).sample()
    torch.testing.assert_close(images, pair.decode(z, labels).mean)
    if labels is None:
        with pytest.raises(models.ModelError, match="expected no label"):
            pair.sample(5, 3)
    with pytest.raises(models.ModelError, match="n >= 1"):
        pair.sample(0)


def test_a_killed_run_goes_on_to_the_same_weights(name, tmp_path):
    train = data.digits()[0].take(torch.arange(64))
    fit = partial(training.fit, objective=objectives.ELBO(), data=train, batch_size=16, steps=6)
    pairs = []
    for _ in range(2):
        torch.manual_seed(0)
        pairs.append(PAIRS[name]())
    straight, killed = pairs
    fit(straight)
    training.fit(
        killed, objectives.ELBO(), train, batch_size=16, steps=3, checkpoint=tmp_path / "run"
    )
    torch.manual_seed(0)
    again = PAIRS[name]()
    fit(again, checkpoint=tmp_path / "run", resume=True)
    for a, b in zip(straight.state_dict().items(), again.state_dict().items(), strict=True):
        assert a[0] == b[0]
        assert torch.equal(a[1], b[1]), a[0]


def test_fit_lowered_is_fit_eager_bit_for_bit(name):
    train = data.digits()[0].take(torch.arange(40))
    states = []
    for lower in ("eager", "graph"):
        torch.manual_seed(0)
        trained = PAIRS[name]()
        training.fit(trained, objectives.ELBO(), train, batch_size=16, steps=4, lower=lower)
        states.append(trained.state_dict())
    for key, value in states[0].items():
        assert torch.equal(states[1][key], value), key


def test_a_wrong_shape_is_named(pair):
    with pytest.raises(ValueError, match=r"\(6, 1, 8, 9\)"):
        pair.model(torch.rand(BATCH, 1, 8, 9), torch.arange(BATCH))


class Normed(nn.Module):
    """An encoder that mixes the rows of a batch."""

    shape = SHAPE

    def __init__(self):
        super().__init__()
        self.norm, self.head = nn.BatchNorm1d(64), nn.Linear(64, 6)

    def forward(self, x):
        return self.head(self.norm(x.flatten(1))).chunk(2, -1)


class Flat(nn.Module):
    """A prior that is no distribution."""

    def forward(self):
        return pyro.distributions.ImproperUniform(constraints.real_vector, (), (3,))


def with_prior(codes, sides):
    pair = vq()
    pair.code_prior = models.CodePrior(nets.code_transformer(codes, sides, 8, 1, 2), sides)
    return pair


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: vae(prior=models.MixturePrior(4)), "prior over 3 dimensions; got 4"),
        (lambda: models.MixturePrior(3, 0), "components >= 1; got 0"),
        (lambda: models.FlowPrior(1), "latent of a flow >= 2; got 1"),
        (lambda: models.VampPriorVAE(dense(), back(), pseudo_inputs=torch.rand(0, *SHAPE)), "one"),
        (
            lambda: models.VampPriorVAE(dense(), back(), pseudo_inputs=torch.rand(5, 3)),
            r"\(5, 3\)",
        ),
        (
            lambda: models.VampPriorVAE(Normed(), back(), pseudo_inputs=torch.rand(5, *SHAPE)),
            "BatchNorm1d",
        ),
        (lambda: conditional().sample(2, 10), "labels from 0 to 9; got 10"),
        (lambda: conditional().sample(2, torch.tensor([0, -1])), "got -1"),
        (lambda: conditional().model(torch.rand(2, *SHAPE)), "got none"),
        (lambda: conditional(prior=models.MixturePrior(3, 2, 9)), "prior of 10 classes; got 9"),
        (lambda: models.MixturePrior(3, 2, 10)(), "labels y for a prior per class; got none"),
        (
            lambda: conditional().model(torch.rand(2, *SHAPE), torch.tensor([0.0, 1.0])),
            r"whole labels \(2\); got torch.float32",
        ),
        (lambda: conditional().guide(torch.rand(2, *SHAPE), torch.tensor([3, 11])), "got 11"),
        (lambda: models.ConditionalVAE(dense(), back(), classes=10), "a channel more"),
        (lambda: vampprior().start_at(255 * torch.ones(5, *SHAPE)), "values from 255 to 255"),
        (lambda: vampprior().start_at(torch.ones(5, *SHAPE).log().log()), "support"),
        (lambda: vampprior().start_at(torch.ones(5, *SHAPE, dtype=torch.uint8)), "torch.uint8"),
        (lambda: vae(prior=Flat()).sample(2), "a prior that can be sampled; got ImproperUniform"),
        (lambda: autoencoder().density.fit(torch.full((9, 3), float("nan"))), "finite codes"),
        (
            lambda: with_prior(9, (2, 2)).sample(2),
            r"7 codes on a grid of \(2, 2\); got one over 9",
        ),
        (lambda: with_prior(7, (1, 2)).prior(), r"got one over 7 on \(1, 2\)"),
        (
            lambda: models.CodePrior(nets.code_transformer(7, (2, 2), 8, 1, 2), (3, 3)),
            r"takes no codes \(B, 3, 3\)",
        ),
        (lambda: models.UnrolledISTA(SHAPE, 0), "atoms and steps >= 1"),
        (lambda: models.SparseVAE(models.UnrolledISTA(SHAPE, 5), scale=0.0), "scale > 0"),
        (lambda: autoencoder(noise=-1.0), "noise >= 0"),
        (lambda: autoencoder().density.fit(torch.rand(1, 3)), "at least 2 codes"),
        (lambda: models.Autoencoder(dense(), back()), "to give code"),
        (lambda: models.DiscretizedLogistic(scale=-1.0), "scale from"),
        (lambda: models.DiscretizedLogistic(levels=1), "levels >= 2"),
        (lambda: nets.code_transformer(7, (2, 2), 8, 1, 3), "divide width"),
        (lambda: nets.dense_encoder(SHAPE, 0), "latent >= 1; got 0"),
    ],
)
def test_what_cannot_work_is_refused(make, match):
    with pytest.raises(ValueError, match=match):
        make()
