"""Adversarial training: what it must converge to, nothing lost, and what is refused."""

import math

import pytest
import torch
from digit_gan import DIGITS, SHAPE, STILL, TEST, gan
from torch import nn

from probgen import checkpoint, data, models, objectives, players, training
from probgen.evaluation.features import Classifier
from probgen.objectives.adversarial import (
    GradientPenalty,
    Hinge,
    NonSaturating,
    SelfSupervised,
    Wasserstein,
)
from probgen.run import Folder
from probgen.run.history import NonFiniteError


def dense_gan(latent=4, hidden=(32,)):
    torch.manual_seed(0)
    return models.GAN(
        players.dense_generator(latent, SHAPE, hidden), players.dense_discriminator(SHAPE, hidden)
    )


def weights(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def ring(n, seed=0):
    """Eight Gaussians of standard deviation 0.1 on a circle of radius 2, and their centres."""
    generator = torch.Generator().manual_seed(seed)
    angles = torch.arange(8) * math.pi / 4
    centres = 2 * torch.stack([angles.cos(), angles.sin()], 1)
    which = torch.randint(8, (n,), generator=generator)
    return centres[which] + 0.1 * torch.randn(n, 2, generator=generator), centres


def test_wgan_gp_covers_all_eight_gaussians_of_the_ring():
    rows, centres = ring(20_000)
    torch.manual_seed(0)
    duel = models.GAN(
        players.dense_generator(2, (2,), (64, 64)),
        players.dense_discriminator((2,), (64, 64)),
        decay=0.99,
    )
    history = training.fit_adversarial(
        duel, GradientPenalty(1.0), data.arrays(rows), steps=1200, batch_size=128, lr=1e-3
    )
    torch.manual_seed(1)
    samples = duel.sample(10_000)
    apart, nearest = torch.cdist(samples, centres).min(1)
    shares = nearest[apart < 0.4].bincount(minlength=8) / len(samples)
    assert shares.min() > 0.06
    assert shares.sum() > 0.75
    assert history.records[-1]["diversity"] == pytest.approx(1, abs=0.2)


LOSSES = {
    "gan": (NonSaturating(), {"norm": "batch"}),
    "wgan-clip": (Wasserstein(), {}),
    "wgan-gp": (GradientPenalty(), {}),
    "hinge": (Hinge(), {"norm": "spectral"}),
    "ssgan": (SelfSupervised(), {"norm": "spectral", "rotations": True}),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_resumed_duel_is_the_uninterrupted_one_bit_for_bit(name, tmp_path):
    loss, critic = LOSSES[name]
    compared = {"validation": TEST, "extractor": Classifier.load("digits"), "judged": 100}
    settings = {"batch_size": 150, "critic_steps": 2, "log_every": 4, **compared}
    whole, part, fresh = gan(**critic), gan(**critic), gan(seed=9, **critic)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    reference = training.fit_adversarial(whole, loss, DIGITS, steps=25, **settings)
    assert torch.equal(torch.rand(3), expected)
    training.fit_adversarial(part, loss, DIGITS, steps=13, checkpoint=tmp_path, **settings)
    history = training.fit_adversarial(
        fresh, loss, DIGITS, steps=25, checkpoint=tmp_path, resume=True, **settings
    )
    assert same(weights(whole), weights(fresh))
    skip = {"seconds", "images_per_second"}
    last, mine = (
        {k: v for k, v in h.records[-1].items() if k not in skip} for h in (reference, history)
    )
    assert last == mine
    assert {"d_loss", "g_loss", "fid", "kid", "classes", "diversity"} <= mine.keys()
    assert ("distance" in mine) == ("wgan" in name)
    for player, parts in (("d", loss.of_discriminator), ("g", loss.of_generator)):
        own = [value for key, value in mine.items() if key.startswith(f"{player}_loss_")]
        assert mine[f"{player}_loss"] == pytest.approx(sum(own), abs=1e-5)
        assert parts
    assert not fresh.training
    if name == "wgan-clip":
        assert all(p.abs().max() <= 0.01 for p in fresh.discriminator.parameters())


def test_training_makes_samples_that_the_classifier_takes_for_digits(tmp_path):
    duel = dense_gan(latent=16, hidden=(128,))
    history = training.fit_adversarial(
        duel, NonSaturating(), DIGITS, epochs=60, batch_size=64, lr=1e-3, validate_every=20,
        validation=TEST, extractor=Classifier.load("digits"), checkpoint=tmp_path,
    )  # fmt: skip
    steps, fid = history.series("fid")
    assert steps == [20 * 23, 40 * 23, 60 * 23]
    assert fid[-1] < fid[0]
    assert history.series("classes")[1][-1] >= 9
    names = [path.name for path in sorted((tmp_path / "grids").glob("*.png"))]
    assert names == ["step-000460.png", "step-000920.png", "step-001380.png"]
    folder = Folder(tmp_path)
    other = dense_gan(latent=16, hidden=(128,))
    other.load_state_dict(folder.read_weights(other))
    assert same(weights(duel), weights(other))
    assert folder.facts()["run"]["loss"] == "NonSaturating()"


class Exploding(Hinge):
    """Its loss is NaN from some call on."""

    def __init__(self, at):
        object.__setattr__(self, "left", [at])

    def of_generator(self, d, made):
        self.left[0] -= 1
        factor = 1.0 if self.left[0] > 0 else math.nan
        return {"g_loss_made": factor * -d(made).mean()}


@pytest.mark.parametrize("checkpoint_every", [0, 1e9])
def test_a_duel_that_is_not_finite_goes_back_to_what_was_good(tmp_path, checkpoint_every):
    duel, reference = gan(norm="spectral"), gan(norm="spectral")
    settings = {"batch_size": 150, "log_every": 3, "checkpoint_every": checkpoint_every}
    training.fit_adversarial(reference, Hinge(), DIGITS, steps=10, **settings)
    message = "g_loss is nan at step 17; the GAN is again what it was at step 10, saved in"
    with pytest.raises(NonFiniteError, match=message):
        training.fit_adversarial(
            duel, Exploding(17), DIGITS, steps=40, checkpoint=tmp_path, lower="eager", **settings
        )
    assert same(weights(duel), weights(reference))
    tensors, state = checkpoint.load(tmp_path / "checkpoints", lambda name, spec: True)
    assert state["step"] == 10
    assert state["records"][-1]["step"] == 10
    kept = {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
    assert same(kept, weights(reference))


class Forgetting(nn.Module):
    """A generator of data that makes one point only once it was trained for some steps."""

    def __init__(self, after):
        super().__init__()
        self.latent, self.shape, self.after = 2, (2,), after
        self.weight, self.register = nn.Parameter(torch.ones(1)), None
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    def forward(self, z):
        if self.training:
            self.calls += 1
        return z * self.weight * (self.calls <= self.after)


def test_samples_that_become_one_stop_the_run_and_those_before_are_kept():
    rows = data.arrays(torch.randn(64, 2, generator=torch.Generator().manual_seed(0)))
    duel = models.GAN(Forgetting(after=10), players.dense_discriminator((2,), (8,)))
    settings = {"steps": 40, "batch_size": 32, "generator_optimizer": STILL}
    with (
        pytest.warns(training.CollapseWarning, match="samples have 0 of the data's variance"),
        pytest.raises(training.CollapseError, match=r"same at step 8.*again .* at step 4"),
    ):
        training.fit_adversarial(duel, Hinge(), rows, **settings)
    assert duel.sample(50).var(0).min() > 0.2


def test_classes_that_vanish_are_said():
    """The extractor sees ten classes at first, and four at the end."""
    lost = []

    class Sees(nn.Module):
        def forward(self, x):
            return x.flatten(1)

        def probabilities(self, found):
            lost.append(len(lost))
            seen = torch.arange(len(found.values)) % (10 if len(lost) < 2 else 4)
            return nn.functional.one_hot(seen, 10).double()

    settings = {"steps": 20, "batch_size": 150, "judged": 100}
    with pytest.warns(training.CollapseWarning, match="4 classes, after 10 at their best"):
        training.fit_adversarial(
            gan(), Hinge(), DIGITS, validation=TEST, extractor=Sees(), **settings
        )


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"steps": None}, "epochs or steps"),
        ({"critic_steps": 0}, "critic_steps a whole number >= 1; got 0"),
        ({"lr": -1.0}, "lr > 0 and finite; got -1"),
        ({"batch_size": 10**6}, "batch_size from 1 to 1500"),
        ({"judged": 1}, "judged a whole number >= 2"),
        ({"validate_every": 0}, "validate_every a whole number"),
        ({"precision": "bfloat16"}, "precision float32 or tf32"),
        ({"validation": TEST}, "validation data and an extractor"),
        ({"extractor": Classifier.load("digits")}, "validation data and an extractor"),
        ({"extractor": "digits", "validation": TEST}, "a function from images.*got 'digits'"),
        ({"validation": (TEST,), "extractor": Classifier.load("digits")}, "one data.Set"),
        ({"seed": -1}, "seed from 0"),
        ({"loss": Hinge}, "expected a loss of objectives.adversarial; got .*: call it"),
        ({"loss": objectives.ELBO()}, "expected a loss of objectives.adversarial"),
        ({"data": (DIGITS, TEST)}, "expected one data.Set"),
        ({"gan": nn.Linear(1, 1)}, "expected a models.GAN; got Linear: training.fit is for"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes, match):
    words = {"gan": dense_gan(), "loss": Hinge(), "data": DIGITS, "steps": 2} | changes
    first = [words.pop(name) for name in ("gan", "loss", "data")]
    with pytest.raises(training.TrainingError, match=match):
        training.fit_adversarial(*first, **words)


def test_data_that_the_generator_cannot_make_are_refused():
    rows = torch.zeros(20, *SHAPE)
    rows[3] = -1
    with pytest.raises(data.DataError, match=r"expected values in .* got -1.0 in item 3"):
        training.fit_adversarial(gan(), Hinge(), data.arrays(rows), steps=1, batch_size=10)
    with pytest.raises(data.DataError, match="expected items"):
        training.fit_adversarial(gan(), Hinge(), data.arrays(torch.zeros(9, 2)), steps=1,
                                 batch_size=4)  # fmt: skip


def test_data_that_do_not_vary_are_refused():
    for same in (torch.zeros(20, *SHAPE), torch.rand(1, *SHAPE)):
        with pytest.raises(training.TrainingError, match=f"vary; all {len(same)} items are the s"):
            training.fit_adversarial(gan(), Hinge(), data.arrays(same), steps=1, batch_size=1)


def test_resuming_a_duel_with_other_settings_is_refused(tmp_path):
    settings = {"steps": 2, "batch_size": 100, "checkpoint": tmp_path}
    training.fit_adversarial(gan(), Hinge(), DIGITS, **settings)
    with pytest.raises(training.TrainingError, match="already holds a run"):
        training.fit_adversarial(gan(), Hinge(), DIGITS, **settings)
    changes = [
        ({"loss": NonSaturating()}, "the same loss"),
        ({"critic_steps": 2}, "the same critic_steps"),
        ({"lr": 0.1}, "the same generator_optimizer, discriminator_optimizer"),
    ]
    for change, match in changes:
        words = settings | change
        loss = words.pop("loss", Hinge())
        with pytest.raises(checkpoint.CheckpointError, match=match):
            training.fit_adversarial(gan(), loss, DIGITS, resume=True, **words)


@pytest.mark.parametrize("name", LOSSES)
def test_lowered_duels_are_the_eager_ones(name, tmp_path):
    loss, critic = LOSSES[name]
    found = []
    for lower in ("eager", "graph"):
        duel = gan(**critic)
        settings = {"steps": 6, "batch_size": 200, "log_every": 2, "lower": lower}
        history = training.fit_adversarial(
            duel, loss, DIGITS, checkpoint=tmp_path / lower, **settings
        )
        facts = Folder(tmp_path / lower).facts()
        for player in ("discriminator", "generator"):
            assert facts[player] == {"lowered": lower, "captured": False}
        found.append((history, weights(duel)))
    (eager, expected), (graph, values) = found
    assert same(values, expected)
    assert graph.series("d_loss") == eager.series("d_loss")
    assert graph.series("g_loss") == eager.series("g_loss")


@pytest.mark.parametrize("lower", ["eager", "graph"])
def test_what_is_frozen_stays_frozen(lower):
    duel = dense_gan()
    frozen = next(duel.discriminator.parameters()).requires_grad_(False)
    training.fit_adversarial(duel, Hinge(), DIGITS, steps=4, batch_size=100, lower=lower)
    assert not frozen.requires_grad
    assert frozen.grad is None
    assert all(p.requires_grad for p in duel.discriminator.parameters() if p is not frozen)


def test_an_error_in_the_generators_turn_leaves_the_discriminator_learning():
    class Fails(Hinge):
        def of_generator(self, *args):
            raise ZeroDivisionError

    duel = dense_gan()
    with pytest.raises(ZeroDivisionError):
        training.fit_adversarial(duel, Fails(), DIGITS, steps=4, batch_size=100, lower="eager")
    assert all(p.requires_grad for p in duel.discriminator.parameters())
