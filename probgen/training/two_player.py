"""Adversarial training of two players by turns: ``training.fit_adversarial(gan, loss, data)``.

The discriminator learns to tell data from samples of the generator, the generator to make samples
that it takes for data; each descends its own loss. Neither loss says how good samples are, so they
are compared with data as they come: by their variance, and by what a feature extractor sees.

Source: Goodfellow et al. 2014, Generative adversarial nets, algorithm 1.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from probgen import ProbgenWarning
from probgen.data import Set
from probgen.evaluation import classes, features, fid, kid
from probgen.evaluation.features import Extractor
from probgen.lowering import How, Step
from probgen.lowering.frames import level_outside
from probgen.models import GAN, pairs
from probgen.objectives.adversarial import Loss, Parts
from probgen.run.errors import NonFiniteError
from probgen.run.history import History, Measured, Record
from probgen.run.snapshot import Best, Driven, Snapshot
from probgen.training.loop import Loop, fixed_facts, shuffled, updated
from probgen.training.settings import (
    Optimizer,
    Precision,
    Settings,
    TrainingError,
    as_training_errors,
    check_positive,
    check_whole,
    driven,
    opened,
    place,
)

ALIVE, DEAD = 0.1, 0.01
"""Shares of the data's variance: samples have not collapsed, and all are the same."""
OLD, SEVERAL = 1000, 4
"""Steps after which samples should vary, and classes of which a loss is noticed."""
SPREAD = 5000
"""Data whose variance is that of all."""
GRID = 64
"""Samples in a grid."""


class CollapseError(TrainingError):
    """All samples became the same; the run stopped and kept what was good."""


class CollapseWarning(ProbgenWarning):
    """Samples show far fewer classes than they did, or hardly vary."""


def fit_adversarial(
    gan: GAN,
    loss: Loss,
    data: Set,
    *,
    epochs: int | None = None,
    steps: int | None = None,
    batch_size: int = 64,
    critic_steps: int | None = None,
    lr: float | None = None,
    generator_optimizer: Optimizer | None = None,
    discriminator_optimizer: Optimizer | None = None,
    device: str | torch.device | None = None,
    seed: int = 0,
    precision: Precision = "float32",
    lower: How = "auto",
    validation: Set | None = None,
    extractor: Extractor | None = None,
    judged: int = 2000,
    validate_every: int = 1,
    checkpoint: str | Path | None = None,
    checkpoint_every: float = 30.0,
    resume: bool = False,
    log: Callable[[Record], object] | None = None,
    log_every: int = 50,
    recipe: Mapping[str, Any] | None = None,
    show: bool | None = None,
) -> History:
    """Train generator and discriminator by turns, in place, until the generator had its steps.

    A step is one of the generator, after ``critic_steps`` of the discriminator on a batch of data
    each; an epoch is as many steps as fill the data once with generated images, so that epochs
    compare losses at an equal number of them. Deterministic for a seed, and resumed as by
    ``training.fit``: on the CPU to the same weights bit for bit.

    The history has ``d_loss`` and ``g_loss`` with their parts, ``distance`` from a Wasserstein
    critic, and from the end of every ``validate_every`` epochs: ``diversity``, the total variance
    of samples over that of data; with an ``extractor`` ``fid``, ``kid`` and, if it is a
    classifier, ``classes``, how many appear. A run's folder also gets grids/step-N.png, each time
    the samples of the same latents.

    A loss that is NaN or infinite stops the run, and so do samples that all become one. The
    players then get back what they were when samples last varied, and the folder a checkpoint of
    it.

    Args:
        gan: the two players; left in evaluation mode.
        loss: from ``objectives.adversarial``.
        data: training set, kept on the device; batches are sampled without replacement.
        epochs: as many steps as give that many times the data in generated images; or else
        steps: of the generator.
        batch_size: data and samples per update of either player.
        critic_steps: discriminator steps per generator step; the loss's own if None.
        lr: learning rate of both players; the loss's own if None.
        generator_optimizer: called with the parameters, in place of the loss's optimiser.
        discriminator_optimizer: likewise.
        device: where to train, as for ``training.place``; None for where the GAN is.
        seed: of the batches and the latents, from 0 to 2^48 - 1.
        precision: of matrix products and convolutions: "float32" in full, or "tf32".
        lower: how the updates of both run, as for ``training.fit``.
        validation: set whose features are compared with those of samples.
        extractor: gives features, e.g. ``features.Classifier.load("mnist")``.
        judged: samples, and images of the validation set at most, that are compared; distances
            at different numbers do not compare.
        validate_every: epochs between comparisons.
        checkpoint: the run's folder.
        checkpoint_every: seconds between saves.
        resume: continue the run in ``checkpoint``, from the start if it was never saved.
        log: called with each record.
        log_every: steps between records.
        recipe: what a reader needs to build the GAN again, for ``run.json``.
        show: a progress bar; None for a line every 30 seconds where there is no terminal.

    Returns:
        The run's history.

    Raises:
        TrainingError: settings that cannot work, or a GAN that is none, named.
        DataError: data of another shape than the GAN's, or outside of what it takes.
        EvaluationError: an extractor that cannot take them.
        ObjectiveError: a discriminator that the loss cannot take, such as one with a sigmoid.
        NonFiniteError: a NaN or an infinity, with its term and step.
        CollapseError: all samples became the same.
        Interrupted: Ctrl-C, once the step is finished and saved.
        CheckpointError: a save failed, or the saved run is damaged or another one.

    Source: Goodfellow et al. 2014, algorithm 1; Arjovsky et al. 2017, algorithm 1.

    >>> from probgen import data, models, objectives, players, training
    >>> train, _ = data.digits()
    >>> generator = players.dense_generator(8, train.shape)
    >>> gan = models.GAN(generator, players.dense_discriminator(train.shape))
    >>> history = training.fit_adversarial(gan, objectives.adversarial.Hinge(), train, steps=20)
    >>> history.records[-1]["step"]
    20
    """
    _check_loss(loss)
    turns = loss.critic_steps if critic_steps is None else critic_steps
    settings = _Settings(
        epochs=epochs, steps=steps, batch_size=batch_size, critic_steps=turns, lr=lr, seed=seed,
        precision=precision, lower=lower, judged=judged, validate_every=validate_every,
        checkpoint_every=checkpoint_every, log_every=log_every,
    )  # fmt: skip
    settings.check(gan, data)
    loss.check(gan.discriminator, gan.shape)
    compared = _compared(validation, extractor)
    folder = opened(checkpoint, resume)
    module: Any = gan
    there = pairs.device_of(module) if device is None else place(device)
    module.to(there)
    with pairs.isolated(there, seed, tf32=precision == "tf32"):
        run = _Run(module, data.to(there), settings, folder, log, recipe)
        run.prepare(loss, generator_optimizer, discriminator_optimizer, compared)
        if resume:
            run.restore()
        return run.train(show)


def _check_loss(loss: Any) -> None:
    if not isinstance(loss, Loss):
        hint = ": call it" if isinstance(loss, type) else ""
        raise TrainingError(f"expected a loss of objectives.adversarial; got {loss!r}{hint}")


def _compared(validation: Set | None, extractor: Extractor | None) -> tuple[Set, Extractor] | None:
    """What samples are compared with, and by what, if they are."""
    if validation is None and extractor is None:
        return None
    if validation is None or extractor is None:
        raise TrainingError(
            "expected validation data and an extractor of their features, or neither"
        )
    if not callable(extractor):
        raise TrainingError(
            "expected extractor, a function from images to features, such as "
            f"features.Classifier.load('mnist'); got {extractor!r}"
        )
    return validation, extractor


@dataclass(frozen=True, kw_only=True)
class _Settings(Settings):
    precisions = ("float32", "tf32")
    critic_steps: int
    lr: float | None
    judged: int

    def epoch_steps(self, rows: int) -> int:
        """What does not fill a batch is left for the next epoch."""
        return rows // self.batch_size

    def check(self, gan: Any, data: Any) -> None:
        """Refuse what ``fit_adversarial`` cannot start with."""
        if not isinstance(gan, GAN):
            raise TrainingError(
                f"expected a models.GAN; got {type(gan).__name__}: training.fit is for pairs"
            )
        self.check_common(data)
        check_whole(critic_steps=self.critic_steps)
        check_positive(lr=self.lr)
        if not (isinstance(self.judged, int) and self.judged >= 2):
            raise TrainingError(f"expected judged a whole number >= 2; got {self.judged!r}")


class _Run(Loop):
    """One call of ``fit_adversarial``."""

    verb = "fit_adversarial"
    shown = (
        "d_loss", "g_loss", "distance", "fid", "classes", "diversity", "images_per_second",
    )  # fmt: skip
    diverged = (NonFiniteError, CollapseError)
    settings: _Settings

    def prepare(
        self,
        loss: Loss,
        of_generator: Optimizer | None,
        of_discriminator: Optimizer | None,
        compared: tuple[Set, Extractor] | None,
    ) -> None:
        """Try everything that can be wrong before the first step, then make the optimisers."""
        self.loss, self.gan = loss, self.module
        with as_training_errors():
            pairs.check_weights(self.gan)
            pairs.check_data(self.gan, self.data)
            if compared is not None:
                pairs.check_data(self.gan, compared[0])
        self.g = self._driven(of_generator, "generator")
        self.d = self._driven(of_discriminator, "discriminator")
        device = self.data.x.device
        self.snapshot = Snapshot(self.gan, nn.Module(), [self.g, self.d], Best(), device)
        self._see_data(compared)
        self._make_steps()
        self.fixed = self._fixed()

    def _driven(self, make: Optimizer | None, player: str) -> Driven:
        def own(parameters: Any) -> torch.optim.Optimizer:
            return self.loss.optimizer(parameters, self.settings.lr)

        return driven(make or own, _trained(self.gan, player))

    def _see_data(self, compared: tuple[Set, Extractor] | None) -> None:
        """What samples will be compared with: the variance of data, and their features."""
        self.extractor: Extractor | None = None
        if compared is not None:
            validation, self.extractor = compared
            few = validation.draw(self.settings.judged, self.settings.seed)
            self.real = features.extract(self.extractor, few, show=False)
        spread = self.data.draw(SPREAD, self.settings.seed)
        self.variance = _variance(spread.batch(slice(None))[0])
        if not self.variance > 0:
            raise TrainingError(f"expected data that vary; all {len(spread)} items are the same")

    def _make_steps(self) -> None:
        self.discriminate = Step(
            self._of_discriminator,
            _trained(self.gan, "discriminator"),
            self.d.optimizer,
            name="training the discriminator",
            steps=self.settings.critic_steps * self.total,
            after=lambda: self.loss.constrain(self.gan.discriminator),
            **self._shared(),
        )
        self.generate = Step(
            self._of_generator,
            _trained(self.gan, "generator"),
            self.g.optimizer,
            name="training the generator",
            steps=self.total,
            after=self.gan.follow,
            moved=self.gan.kept,
            **self._shared(),
        )

    def _shared(self) -> dict[str, Any]:
        roots, values = (self.gan, self.loss), attrgetter("values")
        return {"values": values, "roots": roots, "how": self.settings.lower, "keep": 1}

    def _record_steps(self) -> None:
        size = self.settings.batch_size
        self.discriminate.prepare(torch.arange(size, device=self.data.x.device))
        self.generate.prepare(size)

    def _fixed(self) -> dict[str, Any]:
        """What a resumed run must have in common with the saved one."""
        return {
            **{name: getattr(self.settings, name) for name in _FIXED},
            "loss": repr(self.loss),
            "decay": self.gan.decay,
            "generator_optimizer": _as_text(self.g.optimizer),
            "discriminator_optimizer": _as_text(self.d.optimizer),
            **fixed_facts(self.data, self.folder),
        }

    def _batches(self) -> Iterator[Tensor]:
        """Indices (critic_steps, B) of each remaining step."""
        turns, size = self.settings.critic_steps, self.settings.batch_size
        batch, epoch, order = self.step * turns, -1, torch.empty(0)
        for _ in range(self.step, self.total):
            rows = []
            for turn in range(batch, batch + turns):
                if turn // self.epoch_steps != epoch:
                    epoch = turn // self.epoch_steps
                    order = shuffled(self.data, self.settings.seed, epoch)
                start = turn % self.epoch_steps * size
                rows.append(order[start : start + size])
            batch += turns
            yield torch.stack(rows)

    def _update(self, index: Tensor) -> None:
        for rows in index:
            of_discriminator = updated(self.discriminate, rows)
        of_generator = updated(self.generate, index.shape[1])
        names = of_discriminator.names + of_generator.names
        values = torch.cat([of_discriminator.values, of_generator.values])
        self.meter.add(Measured(names, {}, values))
        self.images += index.shape[1]
        self.step += 1

    def _of_discriminator(self, rows: Tensor) -> Measured:
        x, _ = pairs.batch(self.gan, self.data, rows)
        with torch.no_grad():
            generated = self.gan.draw(len(rows))
        parts = self.loss.of_discriminator(self.gan.discriminator, x, generated)
        return _descended("d_loss", parts, self.loss.estimates(parts))

    def _of_generator(self, n: int) -> Measured:
        with _frozen(self.gan.discriminator):
            parts = self.loss.of_generator(self.gan.discriminator, self.gan.draw(n))
            return _descended("g_loss", parts, {})

    def _evaluated(self) -> Record:
        epoch, rest = divmod(self.step, self.epoch_steps)
        due = rest == 0 and epoch % self.settings.validate_every == 0
        if not (due or self.step == self.total):
            return {}
        self._check_weights()
        self._save_grid()
        record = self._compare(self._sampled())
        self._check_collapse(record)
        return record

    def _is_good(self) -> bool:
        """Where samples are compared, and found to vary."""
        last, (_, seen) = self.history.records[-1], self.history.series("diversity")
        return "diversity" in last and last["diversity"] >= min(ALIVE, max(seen))

    def _sampled(self) -> Tensor:
        n = self.settings.judged if self.extractor is None else len(self.real.values)
        return pairs.sampled(self.gan, n, self.settings.seed)

    def _compare(self, samples: Tensor) -> Record:
        record = {"diversity": _variance(samples) / self.variance}
        if self.extractor is None:
            return record
        found = features.extract(self.extractor, samples.clamp(0, 1), cache=False, show=False)
        record["fid"] = float(fid.score(self.real, found))
        record["kid"] = float(kid.score(self.real, found))
        if isinstance(self.extractor, features.Classifies):
            record["classes"] = float(classes.score(self.extractor.probabilities(found)))
        return record

    def _save_grid(self) -> None:
        if self.folder is None:
            return
        from probgen.run import grids  # with torchvision, for runs that are kept

        if not grids.is_image(self.gan.shape):
            return
        with pairs.evaluation_mode(self.gan, self.settings.seed):
            images = self.gan.sample(GRID)
        grids.save_grid(self.folder.path / "grids" / f"step-{self.step:06d}.png", images)

    def _check_collapse(self, record: Record) -> None:
        self._check_all_the_same(record["diversity"])
        if "classes" not in record or not self._lost_classes(record["classes"]):
            self._check_variance(record["diversity"])

    def _check_all_the_same(self, now: float) -> None:
        _, before = self.history.series("diversity")
        if now < DEAD and before and before[-1] < DEAD and max(before) >= ALIVE:
            raise CollapseError(
                f"all samples are the same at step {self.step}: their variance is {now:.2g} of "
                f"the data's, after {max(before):.2g} at its best; {self._what_is_kept()}; try "
                "another loss (GradientPenalty), a smaller lr or more critic_steps"
            )

    def _lost_classes(self, now: float) -> bool:
        """Whether half of the classes are gone since the last comparison; says so."""
        _, before = self.history.series("classes")
        lost = bool(before) and max(before) >= SEVERAL and now <= max(before) / 2 < before[-1]
        if lost:
            self._say(f"samples show {now:.0f} classes, after {max(before):.0f} at their best")
        return lost

    def _check_variance(self, now: float) -> None:
        _, before = self.history.series("diversity")
        old = self.step == self.total >= OLD
        if now < ALIVE and (old or (before and before[-1] >= ALIVE)):
            self._say(f"samples have {now:.2g} of the data's variance")

    def _say(self, what: str) -> None:
        warnings.warn(
            f"step {self.step}: the generator has collapsed: {what}; try another loss "
            "(GradientPenalty, SelfSupervised), a smaller lr or more critic_steps",
            CollapseWarning,
            stacklevel=level_outside(),
        )

    def _extra_facts(self) -> dict[str, Any]:
        facts = {"discriminator": self.discriminate.facts, "generator": self.generate.facts}
        return {"settings": asdict(self.settings), **facts}

    def _extra_state(self) -> dict[str, Any]:
        return {"lowered": [one.facts["lowered"] for one in (self.discriminate, self.generate)]}

    def _take_extra_state(self, state: Mapping[str, Any]) -> None:
        saved = state.get("lowered", ["auto", "auto"])
        for player, lowered in zip((self.discriminate, self.generate), saved, strict=True):
            player.run_as(lowered)


_FIXED = ("batch_size", "critic_steps", "seed", "precision")


def _descended(name: str, parts: Parts, estimates: Parts) -> Measured:
    """Gradients of the sum of the parts; the sum, the parts and what they estimate."""
    total = torch.stack([*parts.values()]).sum()
    total.backward()
    named = {name: total, **parts, **estimates}
    return Measured([*named], {}, torch.stack([value.detach() for value in named.values()]))


@contextmanager
def _frozen(player: nn.Module) -> Iterator[None]:
    """Without gradients for its parameters; afterwards those learn that did before."""
    learning = [parameter for parameter in player.parameters() if parameter.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)


def _trained(gan: Any, player: str) -> list[nn.Parameter]:
    parameters = getattr(gan, player).parameters()
    found = [parameter for parameter in parameters if parameter.requires_grad]
    if not found:
        raise TrainingError(f"the {player} has no parameters to train")
    return found


def _as_text(optimizer: torch.optim.Optimizer) -> dict[str, str]:
    settings = {name: repr(value) for name, value in optimizer.defaults.items()}
    return {"name": type(optimizer).__name__, **settings}


def _variance(x: Tensor) -> float:
    """Sum of the variances of all dimensions."""
    return x.double().flatten(1).var(0, correction=min(1, len(x) - 1)).sum().item()
