"""The losses of two players: their equations and their optima."""

import math
from functools import partial

import pytest
import torch
from digit_gan import DIGITS, SHAPE, STILL, gan
from torch import nn
from torch.distributions import Normal
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from probgen import data, models, players, training
from probgen.objectives import ObjectiveError
from probgen.objectives.adversarial import (
    GradientPenalty,
    Hinge,
    NonSaturating,
    SelfSupervised,
    Wasserstein,
    rotations,
)


class Affine(nn.Module):
    """x = scale z + shift."""

    def __init__(self, shift, scale=1.0):
        super().__init__()
        self.shape = (len(shift),)
        self.latent = len(shift)
        self.shift, self.scale = nn.Parameter(torch.tensor(shift)), scale

    def forward(self, z):
        return self.scale * z + self.shift


def critic_at_its_best(generator, critic, loss, rows, turns=1000, lr=2e-3):
    """The critic after so many steps against a generator that stands still."""
    duel = models.GAN(generator, critic)
    adam = partial(torch.optim.Adam, lr=lr, betas=(0.5, 0.99))
    for factor in (1.0, 0.1):
        training.fit_adversarial(
            duel, loss, data.arrays(rows), steps=1, batch_size=256, critic_steps=turns,
            generator_optimizer=STILL,
            discriminator_optimizer=partial(adam, lr=factor * lr),
        )  # fmt: skip
    return duel.discriminator


def test_the_best_discriminator_is_the_posterior_of_being_data():
    """sigmoid(D) = p / (p + q) [Goodfellow et al. 2014, proposition 1]."""
    torch.manual_seed(0)
    rows = torch.randn(20_000, 1)
    critic = players.dense_discriminator((1,), (32, 32))
    d = critic_at_its_best(Affine([1.0], 0.5), critic, NonSaturating(), rows)
    x = torch.linspace(-2.5, 2.5, 101)[:, None]
    p, q = Normal(0.0, 1.0).log_prob(x).exp(), Normal(1.0, 0.5).log_prob(x).exp()
    with torch.no_grad():
        error = (d(x).sigmoid() - (p / (p + q)).squeeze(1)).abs()
    share = (p + q).squeeze(1) / (p + q).sum()
    assert (error * share).sum() < 0.02


def test_the_critic_meets_the_wasserstein_distance_of_two_shifted_gaussians():
    """W1 of N(0, I) and N(m, I) is |m|; at weight 100 the optimum exceeds it by 1 %."""
    torch.manual_seed(0)
    shift = [1.2, 1.6]
    critic = players.dense_discriminator((2,), (32, 32))
    d = critic_at_its_best(Affine(shift), critic, GradientPenalty(100.0), torch.randn(20_000, 2))
    with torch.no_grad():
        z = torch.randn(50_000, 2)
        value = (d(z).mean() - d(z + torch.tensor(shift)).mean()).item()
    assert value == pytest.approx(2.0, rel=0.05)


@pytest.mark.parametrize("weight", [10.0, 2.0])
def test_the_penalty_lets_the_slope_exceed_one_by_a_known_share(weight):
    """A linear critic of slope s has s W - weight (s - 1)^2: s = 1 + W / (2 weight)."""
    torch.manual_seed(0)
    linear = nn.Sequential(nn.Linear(2, 1), nn.Flatten(0))
    rows = torch.randn(20_000, 2)
    d = critic_at_its_best(
        Affine([1.2, 1.6]), linear, GradientPenalty(weight), rows, turns=400, lr=1e-2
    )
    assert d[0].weight.norm().item() == pytest.approx(1 + 2 / (2 * weight), rel=0.02)


def test_each_loss_is_its_equation():
    x, made, d = torch.tensor([0.3, 2.0, -1.5]), torch.tensor([-0.5, 0.2, 4.0]), nn.Identity()
    of = {
        loss: sum(loss.of_discriminator(d, x, made).values()).item()
        for loss in (NonSaturating(), Hinge(), Wasserstein())
    }
    ones, zeros = torch.ones(3), torch.zeros(3)
    assert of[NonSaturating()] == pytest.approx((bce(x, ones) + bce(made, zeros)).item())
    assert of[Hinge()] == pytest.approx((0.7 + 0 + 2.5) / 3 + (0.5 + 1.2 + 5) / 3)
    assert of[Wasserstein()] == pytest.approx(made.mean().item() - x.mean().item())
    of_generator = {loss: loss.of_generator(d, made)["g_loss_made"].item() for loss in of}
    assert of_generator[NonSaturating()] == pytest.approx(bce(made, ones).item())
    assert of_generator[Hinge()] == of_generator[Wasserstein()] == -made.mean().item()
    distance = Wasserstein().estimates(Wasserstein().of_discriminator(d, x, made))["distance"]
    assert distance == x.mean() - made.mean()


def test_the_penalty_is_of_the_slope_between_data_and_samples():
    linear = nn.Sequential(nn.Flatten(), nn.Linear(12, 1), nn.Flatten(0)).double()
    x, made = torch.randn(2, 5, 3, 2, 2, dtype=torch.float64)
    slope = linear[1].weight.norm().item()
    parts = GradientPenalty(7.0).of_discriminator(linear, x, made)
    assert parts["d_loss_penalty"].item() == pytest.approx(7 * (slope - 1) ** 2)

    seen = []
    GradientPenalty().slopes(lambda u: seen.append(u) or u.flatten(1).sum(1), x, made)
    t = (seen[0] - made) / (x - made)
    assert torch.allclose(t, t[:, :1, :1, :1].expand_as(t))
    assert (t.flatten(1)[:, 0].sort().values.diff() > 0).all()
    assert t.min() >= 0
    assert t.max() <= 1


def test_self_supervision_sees_rotations_apart_from_the_game():
    torch.manual_seed(0)
    d = players.conv_discriminator((1, 8, 8), (8,), norm="spectral", rotations=True).eval()
    x, made = torch.rand(2, 8, 1, 8, 8)
    with torch.no_grad():
        mine = SelfSupervised(data=0.5).of_discriminator(d, x, made)
        of_generator = SelfSupervised().of_generator(d, made)
        hinge = Hinge().of_discriminator(d, x, made)
        turned = torch.cat([torch.rot90(x[:2], r, (2, 3)) for r in range(4)])
        logs = d.rotation(turned).log_softmax(1).reshape(4, 2, 4)
        expected = -torch.stack([logs[r, :, r] for r in range(4)]).mean()
    rotation = mine.pop("d_loss_rotation")
    assert mine == hinge
    assert rotation.item() == pytest.approx(0.5 * expected.item())
    assert {*of_generator} == {"g_loss_made", "g_loss_rotation"}
    assert SelfSupervised() == SelfSupervised(Hinge(), 1.0, 0.2)
    back = [torch.rot90(part, -r, (2, 3)) for r, part in enumerate(rotations(x)[0].split(8))]
    assert all(torch.equal(part, x) for part in back)


class Functional(nn.Module):
    """Ends with a sigmoid that is no module."""

    def __init__(self, squash=torch.sigmoid):
        super().__init__()
        self.inner, self.squash = players.dense_discriminator(SHAPE, (8,)), squash

    def forward(self, x):
        return self.squash(self.inner(x)[:, None]).squeeze(1)


@pytest.mark.parametrize(
    ("loss", "reason"),
    [
        (NonSaturating(), "the loss applies the sigmoid itself"),
        (Hinge(), "cannot reach the margins"),
        (SelfSupervised(), "cannot reach the margins"),
        (Wasserstein(), "a distance has no upper bound"),
        (GradientPenalty(), "a distance has no upper bound"),
    ],
)
def test_a_critic_with_a_sigmoid_is_refused_with_the_reason(loss, reason):
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 1), nn.Sigmoid(), nn.Flatten(0))
    for critic in (module, Functional(), Functional(torch.tanh)):
        duel = models.GAN(players.dense_generator(4, SHAPE, (8,)), critic)
        with pytest.raises(ObjectiveError, match=f"ends with (Sigmoid|Tanh): .*{reason}"):
            training.fit_adversarial(duel, loss, DIGITS, steps=1)
    for after in (
        lambda score: score.clamp(1e-6, 1 - 1e-6),
        lambda score: score.expand(-1, 4).mean(1, keepdim=True),
        lambda score: score.T.T.chunk(1)[0],
        lambda score: 5 * score - 2,
    ):
        with pytest.raises(ObjectiveError, match=f"ends with Sigmoid: .*{reason}"):
            loss.check(Functional(lambda score, after=after: after(score.sigmoid())), SHAPE)
    inside = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Sigmoid(), nn.Linear(8, 1))
    loss_ = loss if not isinstance(loss, SelfSupervised) else Hinge()
    loss_.check(nn.Sequential(inside, nn.Flatten(0)), SHAPE)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: GradientPenalty(0.0), "weight > 0"),
        (lambda: Wasserstein(math.nan), "clip > 0"),
        (lambda: SelfSupervised(data=-1.0), "weights >= 0"),
        (
            lambda: training.fit_adversarial(
                gan(norm="batch"), GradientPenalty(), DIGITS, steps=1
            ),
            "a critic without BatchNorm",
        ),
        (
            lambda: training.fit_adversarial(gan(), SelfSupervised(), DIGITS, steps=1),
            r"rotation\(x\) -> \(B, 4\)",
        ),
        (
            lambda: SelfSupervised().check(players.conv_discriminator((1, 8, 16)), (1, 8, 16)),
            "square images to turn",
        ),
    ],
)
def test_losses_that_cannot_work_are_refused(make, match):
    with pytest.raises(ObjectiveError, match=match):
        make()
