"""Objectives that reach a target: their settings, their training, their resuming."""

import copy
import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from digit_vae import DIGITS, TEST, X, vae
from no_host import NoHost
from pyro.infer import SVI
from torch import nn
from toy_pairs import Hierarchy

from probgen import checkpoint, control, objectives, training
from probgen.objectives import GECO, BetaELBO, CapacityELBO, ControlledELBO, FreeBitsELBO
from probgen.run.history import NonFiniteError

MAKES = {
    "controlled": lambda **p: ControlledELBO(3.0, **p),
    "ramped": lambda **p: ControlledELBO(control.Linear(0.0, 3.0, steps=5), **p),
    "per site": lambda **p: ControlledELBO({"z1": 1.0, "z.2": control.Linear(0, 2, steps=5)}, **p),
    "one site": lambda **p: ControlledELBO({"z.2": 1.0}, **p),
    "geco": lambda **p: GECO(2.0, **p),
    "capacity": lambda **p: CapacityELBO(5.0, control.Linear(0.0, 3.0, steps=5), **p),
    "free bits": lambda **p: FreeBitsELBO(0.5, per="site", **p),
}
PARTICLES = [
    {},
    {"num_particles": 3},
    {"num_particles": 3, "vectorize_particles": True, "max_plate_nesting": 1},
]


@pytest.mark.parametrize("particles", PARTICLES, ids=["one", "loop", "vectorized"])
@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
def test_any_pair_trains_under_plain_svi(make, particles):
    pair, objective, x = Hierarchy().double(), make(**particles), torch.linspace(-1, 1, 6).double()
    svi = SVI(pair.model, pair.guide, pyro.optim.Adam({"lr": 1e-2}), objective)
    losses = [float(svi.step(x)) for _ in range(5)]
    assert all(map(math.isfinite, losses))
    assert all(p.grad is None or p.grad.isfinite().all() for p in pair.parameters())
    before = copy.deepcopy(objective.state_dict())
    assert math.isfinite(float(svi.evaluate_loss(x)))
    assert all(torch.equal(v, before[k]) for k, v in objective.state_dict().items())


def test_without_gains_the_controlled_elbo_is_beta():
    pairs = vae(), vae()
    constant = ControlledELBO(5.0, kp=0.0, ki=0.0, start=3.0)
    losses = []
    for pair, objective in zip(pairs, (constant, BetaELBO(3.0)), strict=True):
        losses.append(training.fit(pair, objective, DIGITS, steps=20).series("loss")[1])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert constant.weights()["beta"].item() == pytest.approx(3.0)


def test_per_site_weights_are_each_sites_own():
    pair, x = Hierarchy(), torch.linspace(-1, 1, 6)
    torch.manual_seed(0)
    terms = objectives.terms(pair.model, pair.guide, x)
    loss = ControlledELBO({"z.2": 1.0}, start=4.0).combine(terms)
    kl = {site: value.mean() for site, value in terms.kl.items()}
    torch.testing.assert_close(loss, kl["z1"] + 4 * kl["z.2"] - terms.log_likelihood.mean())
    objective = MAKES["per site"]()
    assert objective.weights().keys() == {
        "beta.z1", "beta.z.2", "target_kl.z1", "target_kl.z.2",
    }  # fmt: skip


def test_geco_weighs_the_excess_of_the_error(terms):
    loss = GECO(30.0, start=2.0).combine(terms)
    excess = -terms.log_likelihood.mean() - 30.0
    torch.testing.assert_close(loss, terms.total_kl.mean() + 2.0 * excess)
    higher, lower = GECO(10.0), GECO(90.0)
    higher.steer(terms), lower.steer(terms)
    assert lower.weight < 1 < higher.weight


def last(history, name, n=5):
    return sum(history.series(name)[1][-n:]) / n


@pytest.mark.parametrize("start", [0.0, 100.0], ids=["from above", "from below"])
@pytest.mark.parametrize("target", [4.0, 8.0])
def test_the_kl_of_real_digits_meets_its_target_from_both_sides(target, start):
    objective = ControlledELBO(target, start=start)
    history = training.fit(vae(latent=8), objective, DIGITS, steps=400, log_every=25)
    assert all(abs(kl - target) < 0.5 for kl in history.series("kl")[1][-6:])
    assert len(history.series("beta")[1]) == len(history.records)
    assert history.records[-1]["target_kl"] == target


def test_the_error_of_real_digits_meets_its_tolerance():
    history = training.fit(vae(latent=8), GECO(24.0), DIGITS, steps=800, lr=3e-3)
    assert -last(history, "log_likelihood") == pytest.approx(24.0, abs=0.5)


def test_each_site_meets_its_own_target():
    """Two latents per datum, halves of one code."""

    class Halves(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = vae(latent=8)

        def prior(self):
            return dist.Normal(self.inner.latent_prior.origin[:4], 1.0).to_event(1)

        def model(self, x, y=None):
            with pyro.plate("data", len(x)):
                z = [pyro.sample(name, self.prior()) for name in ("a", "b")]
                pyro.sample("x", self.inner.decode(torch.cat(z, -1)), obs=x)

        def guide(self, x, y=None):
            q = self.inner.encode(x).base_dist
            with pyro.plate("data", len(x)):
                for name, part in (("a", slice(0, 4)), ("b", slice(4, 8))):
                    pyro.sample(name, dist.Normal(q.loc[:, part], q.scale[:, part]).to_event(1))

    objective = ControlledELBO({"a": 2.0, "b": 6.0})
    history = training.fit(Halves(), objective, DIGITS, steps=500, log_every=25)
    assert last(history, "kl.a") == pytest.approx(2.0, abs=0.5)
    assert last(history, "kl.b") == pytest.approx(6.0, abs=0.5)
    assert last(history, "beta.a") != last(history, "beta.b")


@pytest.mark.parametrize(
    "name", [name for name in MAKES if "site" not in name and name != "free bits"]
)
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(tmp_path, name):
    def run(pair, steps, **where):
        return training.fit(
            pair, MAKES[name](), DIGITS, steps=steps, validation=TEST, log_every=5, **where
        )

    whole, fresh = vae(), vae(seed=9)
    reference = run(whole, 30)
    run(vae(), 13, checkpoint=tmp_path)
    history = run(fresh, 30, checkpoint=tmp_path, resume=True)
    pairs = zip(whole.parameters(), fresh.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    for column in reference.records[-1].keys() - {"seconds", "images_per_second"}:
        assert history.records[-1][column] == reference.records[-1][column]


def test_a_resumed_run_with_another_target_is_refused(tmp_path):
    training.fit(vae(), ControlledELBO(5.0), DIGITS, steps=2, checkpoint=tmp_path)
    with pytest.raises(checkpoint.CheckpointError, match="the same objective"):
        training.fit(vae(), ControlledELBO(6.0), DIGITS, steps=3, checkpoint=tmp_path, resume=True)


@pytest.mark.parametrize("name", MAKES)
def test_the_state_goes_round(name):
    pair, x = Hierarchy(), torch.linspace(-1, 1, 6)
    objective, restored = MAKES[name](), MAKES[name]()
    for _ in range(3):
        objective.loss_and_grads(pair.model, pair.guide, x)
    restored.load_state_dict(objective.state_dict())
    for key, value in objective.weights().items():
        assert torch.equal(restored.weights()[key], value)


@pytest.mark.parametrize("name", ["controlled", "geco", "ramped", "capacity"])
def test_early_stopping_refuses_a_moving_objective(name):
    with pytest.raises(training.TrainingError, match="constant objective"):
        training.fit(vae(), MAKES[name](), DIGITS, steps=1, patience=1, validation=TEST)
    assert CapacityELBO(1.0, 2.0).constant


@pytest.mark.parametrize("name", MAKES)
def test_a_step_asks_nothing_of_the_host(name):
    pair, objective, x = Hierarchy(), MAKES[name](max_plate_nesting=1), torch.linspace(-1, 1, 6)
    with pyro.validation_enabled(False):
        objective.loss_and_grads(pair.model, pair.guide, x)
        with NoHost():
            objective.loss_and_grads(pair.model, pair.guide, x)


class Hole(nn.Module):
    """The prior of its second site turns NaN at one call."""

    def __init__(self, at):
        super().__init__()
        self.inner, self.at, self.calls = vae(), at, 0

    def model(self, x, y=None):
        self.calls += self.training
        loc = x.new_full((), math.nan if self.calls == self.at else 0.0)
        self.inner.model(x)
        with pyro.plate("more", len(x)):
            pyro.sample("w", dist.Normal(loc, 1.0, validate_args=False))

    def guide(self, x, y=None):
        self.inner.guide(x)
        with pyro.plate("more", len(x)):
            pyro.sample("w", dist.Normal(self.inner.encoder(x)[0][:, 0], 1.0))


def test_a_nan_names_its_site_and_leaves_the_controller_alone():
    objective = ControlledELBO({"z": 3.0, "w": 1.0})
    with pytest.raises(NonFiniteError, match="kl of the site 'w' is nan at step 7"):
        training.fit(Hole(at=7), objective, DIGITS, steps=30, log_every=10, lower="eager")
    assert all(value.isfinite().all() for value in objective.state_dict().values())
    alone = ControlledELBO({"w": 1.0})
    pair = Hole(at=1)
    nan = pytest.warns(UserWarning, match="NaN: log_prob_sum at site 'w'")
    with nan, pytest.raises(objectives.ObjectiveError, match="KL of the site 'w' is nan"):
        alone.loss_and_grads(pair.model, pair.guide, X)
    assert alone.weights()["beta.w"] == 1.0


IMPOSSIBLE = [
    (lambda: ControlledELBO(-1.0), "target_kl >= 0 and finite; got -1"),
    (lambda: ControlledELBO(math.nan), "target_kl"),
    (lambda: ControlledELBO({"z": -2.0}), "of the site 'z' >= 0 and finite; got -2"),
    (lambda: ControlledELBO({}), "got no site"),
    (lambda: ControlledELBO(control.Linear(-1.0, 2.0, steps=3)), "target_kl"),
    (lambda: ControlledELBO(3.0, kp=-1.0), "kp >= 0"),
    (lambda: ControlledELBO(3.0, ki=-1.0), "ki >= 0"),
    (lambda: ControlledELBO(3.0, beta_min=5.0, beta_max=2.0), "got 5.0 and 2.0"),
    (lambda: ControlledELBO(3.0, beta_min=-5.0), "got -5.0"),
    (lambda: ControlledELBO(3.0, start=-1.0), "first weight >= 0 and finite; got -1"),
    (lambda: GECO(math.inf), "finite tolerance in nats; got inf"),
    (lambda: GECO(1.0, lambda_min=2.0, lambda_max=1.0), "got 2.0 and 1.0"),
    (lambda: CapacityELBO(-1.0, 2.0), "gamma >= 0 and finite; got -1"),
    (lambda: CapacityELBO(1.0, -2.0), "capacity >= 0 and finite; got -2"),
    (lambda: FreeBitsELBO(-0.1), "lambda_ >= 0 and finite; got -0.1"),
    (lambda: FreeBitsELBO(0.1, per="pixel"), "dimension, group or site; got 'pixel'"),
    (lambda: FreeBitsELBO(0.1, per="group"), "group_size >= 1"),
    (lambda: FreeBitsELBO(0.1, group_size=2), "group_size >= 1 for per='group' alone"),
]


@pytest.mark.parametrize(("make", "match"), IMPOSSIBLE)
def test_impossible_settings_are_named(make, match):
    with pytest.raises((objectives.ObjectiveError, control.ControlError), match=match):
        make()


def test_a_target_of_a_site_that_is_not_there_is_named():
    with pytest.raises(objectives.ObjectiveError, match=r"of \['z'\]; got 'w'"):
        ControlledELBO({"w": 1.0}).loss(vae().model, vae().guide, X)
