"""Two players trained by turns: ``training.fit_adversarial(gan, loss, data)``."""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from probgen import ProbgenWarning
from probgen.data import Set
from probgen.evaluation import classes, features, fid, kid
from probgen.evaluation.features import Extractor
from probgen.lowering import How
from probgen.models import GAN, pairs
from probgen.objectives.adversarial import Loss, Parts
from probgen.run.errors import NonFiniteError
from probgen.run.folder import Folder
from probgen.run.history import History, Measured, Record
from probgen.run.snapshot import Best, Snapshot
from probgen.training.loop import (
    Loop,
    Optimizer,
    Precision,
    Settings,
    TrainingError,
    as_training_errors,
    check_positive,
    check_whole,
    driven,
    fixed_facts,
    opened,
    place,
    shuffled,
)
from probgen.training.step import Update

ALIVE, DEAD = 0.1, 0.01
OLD, SEVERAL = 1000, 4
GRID = 64


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
    judge: Extractor | None = None,
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
    of samples over that of data; with a ``judge`` ``fid``, ``kid`` and, if it is a classifier,
    ``classes``, how many appear. A run's folder also gets grids/step-N.png, each time the samples
    of the same latents.

    A loss that is NaN or infinite stops the run, and so do samples that all become one. The
    players then get back what they were when last judged, and the folder a checkpoint of it.

    Args:
        gan: the two players; left in evaluation mode.
        loss: from ``objectives.adversarial``.
        data: training set, kept on the device; batches are drawn without replacement.
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
        validation: set whose features the judge compares samples with.
        judge: gives features, e.g. ``features.Classifier.load("mnist")``.
        judged: samples, and images of the validation set at most, that are compared; distances
            at different numbers do not compare.
        validate_every: epochs between judgements.
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
        TrainingError: settings that cannot work, named.
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
    if not isinstance(loss, Loss):
        hint = ": call it" if isinstance(loss, type) else ""
        raise TrainingError(f"expected a loss of objectives.adversarial; got {loss!r}{hint}")
    turns = loss.critic_steps if critic_steps is None else critic_steps
    settings = _Settings(
        epochs=epochs, steps=steps, batch_size=batch_size, critic_steps=turns, lr=lr, seed=seed,
        precision=precision, lower=lower, judged=judged, validate_every=validate_every,
        checkpoint_every=checkpoint_every, log_every=log_every,
    )  # fmt: skip
    settings.check(gan, data)
    loss.check(gan.discriminator, gan.shape)
    if (judge is None) != (validation is None):
        raise TrainingError("expected validation data and a judge of their features, or neither")
    folder = opened(checkpoint, resume)
    duel: Any = gan
    where = pairs.device_of(duel) if device is None else place(device)
    duel.to(where)
    with pairs.isolated(where, seed, tf32=precision == "tf32"):
        run = _Duel(duel, loss, data.to(where), settings, folder, log, recipe)
        run.prepare(generator_optimizer, discriminator_optimizer, validation, judge)
        if resume:
            run.restore()
        return run.train(show)


@dataclass(frozen=True, kw_only=True)
class _Settings(Settings):
    precisions = ("float32", "tf32")
    critic_steps: int
    lr: float | None
    judged: int

    def check(self, gan: Any, data: Any) -> None:
        if not isinstance(gan, GAN):
            raise TrainingError(
                f"expected a models.GAN; got {type(gan).__name__}: training.fit is for pairs"
            )
        self.check_common(data)
        check_whole(critic_steps=self.critic_steps)
        check_positive(lr=self.lr)
        if not (isinstance(self.judged, int) and self.judged >= 2):
            raise TrainingError(f"expected judged a whole number >= 2; got {self.judged!r}")


class _Duel(Loop):
    """One call of ``fit_adversarial``."""

    verb = "fit_adversarial"
    shown = (
        "d_loss", "g_loss", "distance", "fid", "classes", "diversity", "images_per_second",
    )  # fmt: skip
    astray = (NonFiniteError, CollapseError)

    def __init__(
        self,
        gan: Any,
        loss: Loss,
        data: Set,
        settings: _Settings,
        folder: Folder | None,
        log: Callable[[Record], object] | None,
        recipe: Mapping[str, Any] | None,
    ) -> None:
        super().__init__(
            gan, data, settings, folder, log, recipe, len(data) // settings.batch_size
        )
        self.gan, self.loss, self.settings = gan, loss, settings

    def prepare(
        self,
        of_generator: Optimizer | None,
        of_discriminator: Optimizer | None,
        validation: Set | None,
        judge: Extractor | None,
    ) -> None:
        """Everything that can be wrong before the first step, then the optimisers."""
        for one in (self.data, validation):
            if one is not None:
                with as_training_errors():
                    pairs.check_data(self.gan, one)

        def own(parameters: Any) -> torch.optim.Optimizer:
            return self.loss.optimizer(parameters, self.settings.lr)

        self.g = driven(of_generator or own, _trained(self.gan.generator, "generator"))
        self.d = driven(of_discriminator or own, _trained(self.gan.discriminator, "discriminator"))
        self.snapshot = Snapshot(
            self.gan, nn.Module(), [self.g, self.d], Best(), self.data.x.device
        )
        self.judge = None if judge is None or validation is None else judge
        if self.judge is not None and validation is not None:
            few = validation.draw(self.settings.judged, self.settings.seed)
            self.real = features.extract(self.judge, few, show=False)
        spread = self.data.draw(5000, self.settings.seed)
        self.variance = _variance(spread.batch(slice(None))[0])
        if not self.variance > 0:
            raise TrainingError(f"expected data that vary; all {len(spread)} items are the same")
        self.discriminate = Update(
            self._of_discriminator,
            _trained(self.gan.discriminator, "discriminator"),
            self.d.optimizer,
            steps=self.settings.critic_steps * self.total,
            after=lambda: self.loss.constrain(self.gan.discriminator),
            **self._shared("discriminator"),
        )
        self.generate = Update(
            self._of_generator,
            _trained(self.gan.generator, "generator"),
            self.g.optimizer,
            steps=self.total,
            after=self.gan.follow,
            moved=self.gan.kept,
            **self._shared("generator"),
        )
        self.fixed = self._fixed()

    def _shared(self, name: str) -> dict[str, Any]:
        roots, lower = (self.gan, self.loss), self.settings.lower
        return {"name": f"the {name}", "roots": roots, "lower": lower}

    def train(self, show: bool | None) -> History:
        """All remaining steps."""
        self.module.train()
        size = self.settings.batch_size
        self.discriminate.prepare(torch.arange(size, device=self.data.x.device))
        self.generate.prepare(size)
        return super().train(show)

    def _fixed(self) -> dict[str, Any]:
        made = {"generator_optimizer": self.g, "discriminator_optimizer": self.d}
        settings = {name: getattr(self.settings, name) for name in _FIXED}
        return settings | {
            "loss": repr(self.loss),
            "decay": self.gan.decay,
            **{name: _words(one.optimizer) for name, one in made.items()},
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
            of_discriminator = self.discriminate(rows)
        of_generator = self.generate(index.shape[1])
        names = of_discriminator.names + of_generator.names
        values = torch.cat([of_discriminator.values, of_generator.values])
        self.meter.add(Measured(names, {}, values))
        self.images += index.shape[1]
        self.step += 1

    def _of_discriminator(self, rows: Tensor) -> Measured:
        x, _ = pairs.batch(self.gan, self.data, rows)
        with torch.no_grad():
            made = self.gan.draw(len(rows))
        parts = self.loss.of_discriminator(self.gan.discriminator, x, made)
        return _descended("d_loss", parts, self.loss.estimates(parts))

    def _of_generator(self, n: int) -> Measured:
        with _frozen(self.gan.discriminator):
            parts = self.loss.of_generator(self.gan.discriminator, self.gan.draw(n))
            return _descended("g_loss", parts, {})

    def _judged(self) -> Record:
        epoch, rest = divmod(self.step, self.epoch_steps)
        due = rest == 0 and epoch % self.settings.validate_every == 0
        if not (due or self.step == self.total):
            return {}
        self._check_weights()
        self._draw_grid()
        record = self._measure(self._sampled())
        self._check_collapse(record)
        return record

    def _seems_good(self) -> bool:
        """When judged, and found to vary."""
        last, (_, seen) = self.history.records[-1], self.history.series("diversity")
        return "diversity" in last and last["diversity"] >= min(ALIVE, max(seen))

    def _sampled(self) -> Tensor:
        n = self.settings.judged if self.judge is None else len(self.real.values)
        return pairs.sampled(self.gan, n, self.settings.seed)

    def _measure(self, samples: Tensor) -> Record:
        record = {"diversity": _variance(samples) / self.variance}
        if self.judge is None:
            return record
        found = features.extract(self.judge, samples.clamp(0, 1), cache=False, show=False)
        record |= {"fid": float(fid.score(self.real, found)),
                   "kid": float(kid.score(self.real, found))}  # fmt: skip
        if isinstance(self.judge, features.Classifies):
            record["classes"] = float(classes.score(self.judge.probabilities(found)))
        return record

    def _draw_grid(self) -> None:
        if self.folder is None:
            return
        from probgen.run.grids import (
            is_image,
            save_grid,  # with torchvision, for runs that are kept
        )

        if not is_image(self.gan.shape):
            return
        with pairs.evaluation_mode(self.gan, self.settings.seed):
            images = self.gan.sample(GRID)
        save_grid(self.folder.path / "grids" / f"step-{self.step:06d}.png", images)

    def _check_collapse(self, record: Record) -> None:
        _, before = self.history.series("diversity")
        now, least = record["diversity"], DEAD
        if now < least and before and before[-1] < least and max(before) >= ALIVE:
            raise CollapseError(
                f"all samples are the same at step {self.step}: their variance is {now:.2g} of "
                f"the data's, after {max(before):.2g} at its best; {self._what_is_kept()}; try "
                "another loss (GradientPenalty), a smaller lr or more critic_steps"
            )
        _, seen = self.history.series("classes")
        found, old = record.get("classes", math.inf), self.step == self.total >= OLD
        if seen and max(seen) >= SEVERAL and found <= max(seen) / 2 < seen[-1]:
            self._say(f"samples show {found:.0f} classes, after {max(seen):.0f} at their best")
        elif now < ALIVE and (old or (before and before[-1] >= ALIVE)):
            self._say(f"samples have {now:.2g} of the data's variance")

    def _say(self, what: str) -> None:
        warnings.warn(
            f"step {self.step}: the generator has collapsed: {what}; try another loss "
            "(GradientPenalty, SelfSupervised), a smaller lr or more critic_steps",
            CollapseWarning,
            stacklevel=8,
        )

    def _own_facts(self) -> dict[str, Any]:
        facts = {"discriminator": self.discriminate.facts, "generator": self.generate.facts}
        return {"settings": asdict(self.settings), **facts}

    def _own_state(self) -> dict[str, Any]:
        return {"lowered": [one.facts["lowered"] for one in (self.discriminate, self.generate)]}

    def _take_own(self, state: Mapping[str, Any]) -> None:
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


def _trained(player: nn.Module, name: str) -> list[nn.Parameter]:
    found = [parameter for parameter in player.parameters() if parameter.requires_grad]
    if not found:
        raise TrainingError(f"the {name} has no parameters to train")
    return found


def _words(optimizer: torch.optim.Optimizer) -> dict[str, str]:
    settings = {name: repr(value) for name, value in optimizer.defaults.items()}
    return {"name": type(optimizer).__name__, **settings}


def _variance(x: Tensor) -> float:
    """Sum of the variances of all dimensions."""
    return x.double().flatten(1).var(0, correction=min(1, len(x) - 1)).sum().item()
