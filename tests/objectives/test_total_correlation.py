"""Total correlation as an objective: exact on toys, unbiased in expectation."""

import itertools
import math

import aggregate_toy as toy
import objectives_table as proven
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI
from torch.fx.experimental.proxy_tensor import make_fx
from toy_pairs import PARTICLES, SHAPE, Drawn, Hierarchical, Plain, Scaled, Subsampled, Toy, vae

from probgen import data, models, nets, objectives, recipe, training
from probgen.evaluation import likelihood, pairs
from probgen.objectives.total_correlation import log_weights

X = torch.linspace(-1, 1, 6).double()
Split = objectives.TotalCorrelationELBO


def estimates(objective, pair, x=X, seed=5):
    torch.manual_seed(seed)
    return objective.terms(pair.model, pair.guide, x).estimates


def test_the_grids_of_the_toy_are_fine_enough(monkeypatch):
    pair = toy.Planes()
    fine = [value.item() for value in toy.exact(pair)]
    monkeypatch.setattr(toy, "GRID", torch.linspace(-7, 7, 201, dtype=torch.float64))
    monkeypatch.setattr(toy, "STEP", 14 / 200)
    assert [value.item() for value in toy.exact(pair)] == pytest.approx(fine, abs=1e-9)


def test_of_three_minibatch_estimators_the_corrected_one_has_the_least_biased_gradient(reported):
    (_, correlation), _ = reported
    found = {name: proven.minibatch(name, chunks=10) for name in toy.ESTIMATORS}
    biases = {name: bias for name, (_, _, bias) in found.items()}
    assert min(biases, key=lambda name: biases[name][0]) == "stratified"
    assert min(biases, key=lambda name: biases[name][1]) == "stratified"
    assert biases["stratified"][1] < 0.6 * biases["published stratified"][1]
    off = {name: abs(mean[1] - correlation) for name, (mean, _, _) in found.items()}
    assert off["stratified"] < off["published stratified"] < off["weighted"]


def test_the_weights_are_the_published_ones_averaged_over_the_row_they_single_out():
    """Chen et al. 2018, appendix C.2, with its diagonal where it was meant to be."""
    batch, n = 5, 40
    m = batch - 1
    corrected = torch.full((batch, batch), 1 / m).fill_diagonal_(1 / n)
    shifted = []
    for shift in range(1, batch):
        weight, rows = corrected.clone(), torch.arange(batch)
        weight[rows, (rows + shift) % batch] = (n - m) / (n * m)
        shifted.append(weight)
    ours = log_weights(torch.ones(batch), n, "stratified").exp()
    torch.testing.assert_close(ours, torch.stack(shifted).mean(0))


def test_the_stratified_estimate_of_the_density_is_unbiased():
    """Over all batches of 3 rows from 6 that hold a given row, its q(z) is the aggregate one."""
    density = torch.rand(6, generator=torch.Generator().manual_seed(0)).double()
    weight = log_weights(torch.ones(3).double(), 6, "stratified").exp()
    batches = [(0, *others) for others in itertools.combinations(range(1, 6), 2)]
    means = torch.stack([weight[0] @ density[list(batch)] for batch in batches])
    torch.testing.assert_close(means.mean(), density.mean())


@pytest.mark.parametrize("estimator", ["stratified", "weighted"])
def test_the_estimates_are_those_of_their_definition(estimator):
    pair = Plain().double()
    found = estimates(Split(estimator=estimator, data_size=60), pair)
    torch.manual_seed(5)
    scale = pair.log_scale.exp()
    z = pair.loc + scale * torch.randn(6, 2, dtype=torch.float64)
    each = dist.Normal(pair.loc, scale).log_prob(z.unsqueeze(1))
    weight = log_weights(torch.ones(6).double(), 60, estimator)
    joint = (each.sum(-1) + weight).logsumexp(-1)
    product = (each + weight.unsqueeze(-1)).logsumexp(1).sum(-1)
    own = pair.q().log_prob(z)
    torch.testing.assert_close(found["mutual_information"], own - joint)
    torch.testing.assert_close(found["total_correlation"], joint - product)


def test_a_batch_of_all_data_is_the_whole_set():
    pair, everything = toy.Planes(), toy.indices().take(torch.arange(0, 2000, 25))
    found = likelihood.decompose(pair, everything, seed=3)
    with pairs.evaluation_mode(pair, 3):
        torch.randperm(len(everything))
        given = pairs.arguments(pair, everything, slice(None))
        terms = Split(data_size=len(everything)).terms(pair.model, pair.guide, *given)
    for name, value in terms.estimates.items():
        assert getattr(found, name).value == pytest.approx(value.mean().item(), abs=1e-9)


@pytest.mark.parametrize("particles", PARTICLES, ids=["one", "loop", "vectorized"])
def test_a_subsampled_plate_says_its_size(particles):
    pair = Subsampled().double()
    named = estimates(Split(data_size=60, **particles), pair)
    for name, value in estimates(Split(**particles), pair).items():
        assert value.shape == (6,)
        torch.testing.assert_close(value, named[name])


class Apart(Plain):
    """The two dimensions of Plain's latent as two sites, one of them in a plate of its own."""

    def model(self, x):
        self.register()
        with pyro.plate("data", len(x), dim=-2):
            first = pyro.sample("first", dist.Normal(torch.zeros(len(x), 1).double(), 1.0))
            with pyro.plate("inner", 1, dim=-1):
                second = pyro.sample("second", dist.Normal(torch.zeros(len(x), 1).double(), 1.0))
            loc = first * self.weight[0] + second * self.weight[1]
            pyro.sample("x", dist.Normal(loc, 0.5), obs=x[:, None])

    def guide(self, x):
        scale = self.log_scale.exp()
        with pyro.plate("data", len(x), dim=-2):
            pyro.sample("first", Drawn(self.loc[:, :1], scale[:, :1], self.z[:, :1]))
            with pyro.plate("inner", 1, dim=-1):
                pyro.sample("second", Drawn(self.loc[:, 1:], scale[:, 1:], self.z[:, 1:]))


class Together(Plain):
    def q(self, rows=slice(None)):
        return Drawn(self.loc, self.log_scale.exp(), self.z).to_event(1)


def test_particles_in_a_plate_are_particles_in_a_loop():
    pair = Together().double()
    particles = torch.randn(3, 6, 2, generator=torch.Generator().manual_seed(1)).double()
    loop = []
    for pair.z in particles:
        loop.append(estimates(Split(data_size=60), pair))
    pair.z = particles
    plate = {"num_particles": 3, "vectorize_particles": True, "max_plate_nesting": 1}
    for name, value in estimates(Split(data_size=60, **plate), pair).items():
        torch.testing.assert_close(value, torch.stack([one[name] for one in loop]).mean(0))


def test_several_sites_are_one_site_of_all_their_dimensions():
    found = []
    for kind in (Apart, Together):
        pair = kind().double()
        pair.z = torch.randn(6, 2, generator=torch.Generator().manual_seed(1)).double()
        found.append(estimates(Split(data_size=60), pair))
    for name, value in found[0].items():
        torch.testing.assert_close(value, found[1][name])


def test_masked_rows_are_as_if_they_were_not_there():
    class Masked(Together):
        def model(self, x):
            with poutine.mask(mask=torch.arange(6) > 1):
                super().model(x)

        def guide(self, x):
            with poutine.mask(mask=torch.arange(6) > 1):
                super().guide(x)

    masked, shorter = Masked().double(), Together().double()
    masked.z = torch.randn(6, 2, generator=torch.Generator().manual_seed(1)).double()
    for name in ("loc", "log_scale"):
        setattr(shorter, name, torch.nn.Parameter(getattr(masked, name)[2:].detach()))
    shorter.z = masked.z[2:]
    kept = estimates(Split(data_size=40), shorter, X[2:])
    for name, value in estimates(Split(data_size=60), masked).items():
        torch.testing.assert_close(value[2:], kept[name])
        assert (value[:2] == 0).all()


def test_the_weights_multiply_their_terms():
    pair = Plain().double()
    objective = Split(2.0, 6.0, 0.5, data_size=60)
    torch.manual_seed(1)
    terms = objective.terms(pair.model, pair.guide, X)
    information, correlation = (value.mean() for value in terms.estimates.values())
    rest = terms.total_kl.mean() - information - correlation
    expected = 2 * information + 6 * correlation + 0.5 * rest - terms.log_likelihood.mean()
    torch.testing.assert_close(objective.combine(terms), expected)


def test_the_three_losses_agree():
    pair, losses = vae(), []
    x = torch.rand(6, *SHAPE, generator=torch.Generator().manual_seed(3))
    for method in ("loss", "differentiable_loss", "loss_and_grads"):
        torch.manual_seed(1)
        objective = Split(beta=4.0, data_size=1500)
        losses.append(getattr(objective, method)(pair.model, pair.guide, x).item())
    assert losses[0] == losses[1] == losses[2]


def test_fit_says_the_size_of_the_data_and_validates():
    train, test = data.digits()
    pair = vae()
    settings = {"epochs": 2, "batch_size": 100, "validation": test, "patience": 5}
    history = training.fit(pair, Split(beta=4.0), train, **settings)
    losses = history.series("validation_loss")[1]
    assert losses[1] < losses[0]


def test_plain_svi_lowers_the_total_correlation_that_is_reported():
    pair = toy.Planes()
    before = likelihood.decompose(pair, toy.indices(), points=500).total_correlation
    objective = Split(0.0, 20.0, 0.0, data_size=toy.N)

    def guide(x):
        pyro.module("planes", pair)
        pair.guide(x)

    svi = SVI(pair.model, guide, pyro.optim.Adam({"lr": 0.01}), objective)
    generator = torch.Generator().manual_seed(0)
    for _ in range(100):
        svi.step(torch.randperm(toy.N, generator=generator)[:200])
    after = likelihood.decompose(pair, toy.indices(), points=500).total_correlation
    assert after.value < 0.7 * before.value


@pytest.mark.parametrize("weights", [(-1, 1, 1), (1, math.nan, 1), (1, 1, math.inf)])
def test_impossible_weights_are_refused(weights):
    with pytest.raises(objectives.ObjectiveError, match="a finite number >= 0; got"):
        Split(*weights)


def test_an_unknown_estimator_is_refused():
    with pytest.raises(objectives.ObjectiveError, match="stratified or weighted; got 'mss'"):
        Split(estimator="mss")


class Full(Plain):
    def q(self, rows=slice(None)):
        return dist.MultivariateNormal(self.loc, torch.eye(2, dtype=self.loc.dtype))


class Point(Plain):
    def q(self, rows=slice(None)):
        return dist.Delta(self.loc, event_dim=1)


class Unplated(Toy):
    def model(self, x):
        z = pyro.sample("z", self.prior())
        pyro.sample("x", dist.Normal(z @ self.weight, 0.5), obs=x[0])

    def guide(self, x):
        pyro.sample("z", dist.Normal(self.loc[0], 1.0).to_event(1))


class PartlyMasked(Toy):
    """Two latents per datum in a plate of their own, the second one masked."""

    def latents(self, q):
        mask = torch.tensor([[True, False]]).expand(6, 2)
        with pyro.plate("inner", 2, dim=-1), poutine.mask(mask=mask):
            return pyro.sample("z", q)

    def model(self, x):
        with pyro.plate("data", len(x), dim=-2):
            z = self.latents(dist.Normal(torch.zeros(6, 2).double(), 1.0))
            pyro.sample("x", dist.Normal(z[:, :1], 0.5), obs=x[:, None])

    def guide(self, x):
        with pyro.plate("data", len(x), dim=-2):
            self.latents(dist.Normal(self.loc, 1.0))


@pytest.mark.parametrize(
    ("kind", "size", "match"),
    [
        (Plain, None, "expected data_size=, .* 6 rows are from: the plate data does not say it"),
        (Plain, 5, "a batch of 2 to 5 rows, all data; got 6"),
        (Full, 60, "factorises over the dimensions of 'z'; got MultivariateNormal"),
        (Point, 60, "factorises over the dimensions of 'z'; got Delta"),
        (Scaled, 60, "site 'z' is scaled beyond its plate"),
        (Hierarchical, 60, "guide's 'second' depends on 'first'"),
        (Unplated, 60, "one pyro.plate over the data.*got none"),
        (PartlyMasked, 60, "rows masked as a whole at the site 'z'"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
@pytest.mark.parametrize("method", ["loss", "loss_and_grads"])
def test_what_cannot_be_split_is_refused(kind, size, match, method):
    pair = kind().double()
    with pytest.raises(objectives.ObjectiveError, match=match):
        getattr(Split(beta=2.0, data_size=size), method)(pair.model, pair.guide, X)


def test_one_row_is_no_batch():
    pair = Plain().double()
    pair.loc.data, pair.log_scale.data = pair.loc.data[:1], pair.log_scale.data[:1]
    with pytest.raises(objectives.ObjectiveError, match="a batch of 2 to 60 rows, all data; got"):
        Split(data_size=60).loss(pair.model, pair.guide, X[:1])


def test_a_last_batch_of_one_row_stops_fit_before_the_first_step():
    train, _ = data.digits()
    steps = []

    def fit(n, validation):
        vae = models.VAE(nets.dense_encoder(train.shape, 2), nets.dense_decoder(2, train.shape))
        few, held = (train.take(torch.arange(size)) for size in (n, validation))
        settings = {"epochs": 1, "batch_size": 50, "log_every": 1, "log": steps.append}
        return training.fit(vae, Split(beta=2.0), few, validation=held, **settings)

    with pytest.raises(training.TrainingError, match="last batch of an epoch has 1 of 101 rows"):
        fit(101, 10)
    with pytest.raises(objectives.ObjectiveError, match="2 to 1 rows"):
        fit(100, 1)
    assert not steps
    assert math.isfinite(fit(100, 501).records[-1]["validation_loss"])


def test_a_recipe_names_both_objectives():
    words = recipe.Recipe(objective="total-correlation", beta=6.0)
    assert repr(recipe.objective(words)) == repr(Split(beta=6.0))
    words = recipe.Recipe(objective="iwae", num_particles=5)
    assert repr(recipe.objective(words)) == repr(objectives.ImportanceWeightedELBO(5))
    with pytest.raises(recipe.RecipeError, match="--objective iwae needs --num-particles"):
        recipe.objective(recipe.Recipe(objective="iwae"))


@pytest.mark.parametrize(
    "objective",
    [
        Split(beta=4.0, data_size=60),
        objectives.ImportanceWeightedELBO(3, max_plate_nesting=1),
        objectives.ImportanceWeightedELBO(3, vectorize_particles=False),
    ],
    ids=["total correlation", "vectorized", "loop"],
)
def test_a_step_is_a_tensor_program_that_asks_nothing_of_the_host(objective):
    pair = vae()
    x = torch.rand(6, *SHAPE, generator=torch.Generator().manual_seed(3))

    def step(x):
        loss = objective.differentiable_loss(pair.model, pair.guide, x)
        return loss, *torch.autograd.grad(loss, list(pair.parameters()))

    with pyro.validation_enabled(False):
        program = make_fx(step, tracing_mode="fake", _allow_non_fake_inputs=True)(x)
        torch.manual_seed(1)
        eager = step(x)
    torch.manual_seed(1)
    for ours, theirs in zip(program(x), eager, strict=True):
        torch.testing.assert_close(ours, theirs)
