"""Two players: what each must converge to, nothing lost, and what is refused."""

import math
from functools import partial

import pytest
import torch
from torch import nn
from torch.distributions import Normal
from torch.nn.functional import binary_cross_entropy_with_logits as bce
from torch.nn.functional import conv2d

from probgen import (
    checkpoint,
    data,
    evaluation,
    models,
    nets,
    objectives,
    players,
    training,
)
from probgen.evaluation.features import Classifier
from probgen.objectives import ObjectiveError
from probgen.objectives.adversarial import (
    GradientPenalty,
    Hinge,
    NonSaturating,
    SelfSupervised,
    Wasserstein,
    rotations,
)
from probgen.run import Folder
from probgen.run.history import NonFiniteError

DIGITS, TEST = data.digits()
SHAPE = DIGITS.shape
STILL = partial(torch.optim.SGD, lr=1e-20)


def gan(seed=0, **critic):
    torch.manual_seed(seed)
    generator = players.dcgan_generator(8, SHAPE, (8, 16))
    return models.GAN(generator, players.conv_discriminator(SHAPE, (8, 16), **critic))


def dense_gan(latent=4, hidden=(32,)):
    torch.manual_seed(0)
    return models.GAN(
        players.dense_generator(latent, SHAPE, hidden), players.dense_discriminator(SHAPE, hidden)
    )


def weights(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


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


def test_spectral_norm_holds_every_layer_at_one():
    torch.manual_seed(0)
    d = players.conv_discriminator((1, 8, 8), (8, 16), norm="spectral", rotations=True).train()
    for _ in range(200):
        d(torch.rand(2, 1, 8, 8)), d.rotation(torch.rand(2, 1, 8, 8))
    layers = [part for part in d.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    assert len(layers) == 4
    for layer in layers:
        greatest = torch.linalg.matrix_norm(layer.weight.flatten(1), 2)
        assert greatest.item() == pytest.approx(1, rel=1e-3)


def test_a_subpixel_convolution_is_the_strided_transposed_one_of_the_same_kernels():
    """Pixel (f i + a, f j + b) of channel c is channel c f^2 + a f + b at (i, j)."""
    torch.manual_seed(0)
    layer = players.subpixel_convolution(3, 2, factor=2)
    x = torch.randn(1, 3, 5, 6)
    wide, out = conv2d(x, layer[0].weight, layer[0].bias, padding=1), layer(x)
    assert out.shape == (1, 2, 10, 12)
    for c, a, b in ((0, 0, 0), (0, 1, 0), (1, 0, 1), (1, 1, 1)):
        assert torch.allclose(out[:, c, a::2, b::2], wide[:, 4 * c + 2 * a + b], atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (1, 9, 15)])
def test_generators_and_discriminators_fit_every_shape(shape):
    makers = [players.dense_generator, players.dcgan_generator]
    makers += [players.subpixel_generator] if shape[2] % 4 == 0 else []
    for make in makers:
        made = make(6, shape)(torch.randn(2, 3, 6))
        assert made.shape == (2, 3, *shape)
        assert made.min() >= 0
        assert made.max() <= 1
    for norm in (None, "batch", "spectral"):
        assert players.conv_discriminator(shape, norm=norm)(torch.rand(4, *shape)).shape == (4,)
    assert players.dense_discriminator(shape)(torch.rand(4, *shape)).shape == (4,)


def test_the_sampler_is_the_moving_average_of_the_generator():
    duel = gan()
    duel.decay = 0.5
    kept = duel.average.trunk[0].weight.clone()
    for step in (1, 2, 3):
        with torch.no_grad():
            duel.generator.trunk[0].weight.add_(1.0)
        duel.follow()
        decay = min(0.5, (1 + step) / (10 + step))
        kept = decay * kept + (1 - decay) * duel.generator.trunk[0].weight
    assert torch.allclose(duel.average.trunk[0].weight, kept)
    duel.train()
    with torch.no_grad():
        duel.draw(64)
    assert duel.generator.trunk[2].running_mean.abs().sum() > 0
    duel.follow()
    assert torch.equal(duel.average.trunk[2].running_mean, duel.generator.trunk[2].running_mean)
    assert not any(p.requires_grad for p in duel.average.parameters())


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
    judge = {"validation": TEST, "judge": Classifier.load("digits"), "judged": 100}
    settings = {"batch_size": 150, "critic_steps": 2, "log_every": 4, **judge}
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


def test_training_makes_samples_that_the_judge_takes_for_digits(tmp_path):
    duel = dense_gan(latent=16, hidden=(128,))
    history = training.fit_adversarial(
        duel, NonSaturating(), DIGITS, epochs=60, batch_size=64, lr=1e-3, validate_every=20,
        validation=TEST, judge=Classifier.load("digits"), checkpoint=tmp_path,
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
    """The judge sees ten classes at first, and four at the end."""
    lost = []

    class Judge(nn.Module):
        def forward(self, x):
            return x.flatten(1)

        def probabilities(self, found):
            lost.append(len(lost))
            seen = torch.arange(len(found.values)) % (10 if len(lost) < 2 else 4)
            return nn.functional.one_hot(seen, 10).double()

    settings = {"steps": 20, "batch_size": 150, "judged": 100}
    with pytest.warns(training.CollapseWarning, match="4 classes, after 10 at their best"):
        training.fit_adversarial(
            gan(), Hinge(), DIGITS, validation=TEST, judge=Judge(), **settings
        )


def test_classes_count_those_with_a_tenth_of_an_even_share():
    counts = torch.tensor([500, 480, 10, 9, 1])
    answers = torch.arange(5).repeat_interleave(counts)
    found = evaluation.classes.score(nn.functional.one_hot(answers, 5).double())
    assert float(found) == 2
    assert float(evaluation.classes.score(torch.eye(5), least=1.0)) == 5
    assert torch.allclose(found.details["shares"], counts.double() / 1000)
    with pytest.raises(evaluation.EvaluationError, match="expected finite probabilities"):
        evaluation.classes.score(torch.zeros(5))
    with pytest.raises(evaluation.EvaluationError, match="expected least in"):
        evaluation.classes.score(torch.eye(5), least=0)


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
    ("changes", "match"),
    [
        ({"steps": None}, "epochs or steps"),
        ({"critic_steps": 0}, "critic_steps a whole number >= 1; got 0"),
        ({"lr": -1.0}, "lr > 0 and finite; got -1"),
        ({"batch_size": 10**6}, "batch_size from 1 to 1500"),
        ({"judged": 1}, "judged a whole number >= 2"),
        ({"validate_every": 0}, "validate_every a whole number"),
        ({"precision": "bfloat16"}, "precision float32 or tf32"),
        ({"validation": TEST}, "validation data and a judge"),
        ({"judge": Classifier.load("digits")}, "validation data and a judge"),
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


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: players.subpixel_generator(4, (1, 9, 12)), "can be halved 2 times"),
        (lambda: players.dcgan_generator(4, (1, 6, 6)), "sides >= 8"),
        (lambda: players.dcgan_generator(0, SHAPE), "latent >= 1"),
        (lambda: players.conv_discriminator(SHAPE, norm="layer"), "expected norm None"),
        (lambda: players.subpixel_convolution(1, 1, 0), "factor >= 1"),
        (lambda: gan().discriminator.rotation(torch.zeros(1, 1, 8, 8)), "no rotation head"),
        (lambda: gan().discriminator(torch.zeros(1, 1, 9, 8)), r"data \(B, 1, 8, 8\)"),
    ],
)
def test_nets_that_cannot_be_built_are_refused(make, match):
    with pytest.raises(nets.NetError, match=match):
        make()


def column():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 1))


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: models.GAN(gan().generator, column()), r"one score per datum, \(B,\); got"),
        (
            lambda: models.GAN(gan().generator, players.dense_discriminator((2,))),
            "no generated data",
        ),
        (lambda: models.GAN(nn.Linear(4, 64), column()), "expected latent=: the generator does"),
        (
            lambda: models.GAN(nn.Linear(4, 64), column(), latent=4, shape=SHAPE),
            "generator to give",
        ),
        (lambda: models.GAN(gan().generator, gan().discriminator, decay=1.0), "decay from 0"),
        (lambda: gan().sample(0), "n >= 1 samples; got 0"),
    ],
)
def test_players_that_do_not_fit_together_are_refused(make, match):
    with pytest.raises(models.ModelError, match=match):
        make()


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


def test_a_gan_trains_resumes_and_is_scored_on_the_command_line(probgen, tmp_path):
    folder = tmp_path / "run"
    words = ("--net", "conv", "--loss", "wasserstein-gp", "--latent", 8, "--batch-size", 50)
    few = ("--limit", 200, "--critic-steps", 1, "--epochs", 1)
    status, out, err = probgen("train", "gan", *words, *few, "--out", folder)
    assert status == 0, err
    assert "no density to score: probgen evaluate" in out
    assert not (folder / "reconstructions.png").exists()
    status, _, err = probgen("resume", folder, "--epochs", 2)
    assert status == 0, err
    facts = checkpoint.read_json(folder / "run.json")
    assert facts["results"]["steps"] == 8
    assert facts["run"]["loss"] == "GradientPenalty(weight=10.0)"
    status, out, err = probgen("evaluate", folder, "--metrics", "fid,prdc,classes,nll,mig")
    assert status == 2
    assert "no nll: expected a module with a model and a guide, such as models.VAE; got GAN" in err
    assert "no mig: GAN has no encode" in err
    saved = checkpoint.read_json(folder / "scores.json")
    assert saved["scores"] == {}
    assert {"FID", "coverage", "classes"} <= {s["name"] for s in saved["metrics"]["scores"]}
    page = (folder / "report.html").read_text()
    assert "Wasserstein distance, as the critic has it" in page
    assert (folder / "report" / "d_loss.svg").exists()
    status, out, err = probgen("sample", folder, "-n", 4, "--out", tmp_path / "four.png")
    assert status == 0, err
    assert (tmp_path / "four.png").exists()


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (("gan", "--objective", "beta", "--beta", 2), "--objective goes with other models"),
        (("gan", "--beta", 2), "--beta goes with --objective"),
        (("gan", "--patience", 2), "--patience goes with other models"),
        (("gan", "--net", "gated"), "expected --net dense, conv, subpixel"),
        (("gan", "--net", "dense", "--loss", "self-supervised"), "expected --net conv, sub"),
        (("vae", "--net", "subpixel"), "--net subpixel goes with gan"),
        (("vae", "--loss", "hinge"), "--loss goes with gan"),
        (("vae", "--critic-steps", 2), "--critic-steps goes with gan"),
        (("gan", "--by-class"), "--by-class goes with diffusion; got gan"),
        (("gan", "--likelihood", "gaussian"), "--likelihood goes with other models"),
        (("vae", "--noise", 0.3), "--noise goes with autoencoder; got vae"),
        (
            ("autoencoder", "--objective", "controlled", "--target-kl", 3.0),
            "--objective goes with other models; got autoencoder",
        ),
        (("vae", "--sigma", 0.3), "--sigma goes with --likelihood gaussian and gaussian-learned"),
        (("vq", "--net", "conv"), "--net goes with other models"),
        (("gan", "--net", "conv", "--hidden", 9), "--hidden goes with --net dense"),
        (("diffusion", "--width", 9), "--width goes with --net conv"),
        (("diffusion", "--net", "gated"), "expected --net dense, conv for diffusion"),
        (("vae", "--components", 5), "--components goes with vampprior and --prior mixture"),
    ],
)
def test_words_of_the_others_are_refused(probgen, tmp_path, words, match):
    status, _, err = probgen("train", *words, "--limit", 200, "--out", tmp_path / "run")
    assert status == 2
    assert match in err


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
