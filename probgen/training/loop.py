"""What every kind of training shares: seeds, shuffles, checkpoints, records and Ctrl-C.

A run is a sequence of steps that a seed decides: the order of an epoch from its number, noise from
generators whose states are saved. So a run that is stopped after any step and resumed does what it
would have done. A loss is known to be finite only when it is read, once per logging interval;
until then the weights of the interval before are kept, to roll back to when training diverges.
"""

import signal
import threading
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from probgen.data import Set
from probgen.lowering import Step
from probgen.lowering.frames import level_outside
from probgen.models import pairs
from probgen.run import progress
from probgen.run.environment import environment
from probgen.run.errors import CheckpointError, NonFiniteError
from probgen.run.folder import Folder
from probgen.run.history import History, Measured, Meter, Record
from probgen.run.snapshot import Snapshot, tensors_of
from probgen.training.settings import Settings, TrainingError

EPOCH_STRIDE = 1_000_003
"""What the seeds of two epochs in a row differ by."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C: the step was finished and saved."""


class RollbackPoint(NamedTuple):
    """A snapshot to roll back to when training diverges.

    Attributes:
        step: after which it was taken.
        state: tensors of the whole run if it has a folder, else the weights, as ``state_dict``.
        extra: what ``_extra_state`` was.
    """

    step: int
    state: Any
    extra: dict[str, Any]


class Loop(ABC):
    """One call of ``fit`` or ``fit_adversarial``: steps, records, and what is saved of them.

    A kind of training answers: which batches are left, what one step does, how its steps run, and
    what its checkpoints, records and run.json say beside what all of them do.

    Args:
        module: what is trained.
        data: training set.
        settings: as checked.
        folder: of the run, if it is kept.
        log: called with each record.
        recipe: what a reader needs to build the module again.

    Attributes:
        verb: what a user calls to resume.
        shown: numbers of a record that the progress bar shows.
        diverged: errors on which the weights roll back.
        fixed: what a resumed run must have in common with the saved one.
        snapshot: the tensors that the next step depends on.
    """

    verb: ClassVar[str] = "fit"
    shown: ClassVar[tuple[str, ...]] = ()
    diverged: ClassVar[tuple[type[Exception], ...]] = (NonFiniteError,)
    settings: Settings
    fixed: dict[str, Any]
    snapshot: Snapshot

    def __init__(
        self,
        module: Any,
        data: Set,
        settings: Settings,
        folder: Folder | None,
        log: Callable[[Record], object] | None,
        recipe: Mapping[str, Any] | None,
    ) -> None:
        self.module, self.data, self.folder = module, data, folder
        self.settings, self.log, self.recipe = settings, log, recipe
        self.epoch_steps = settings.epoch_steps(len(data))
        self.total = settings.steps or self.epoch_steps * (settings.epochs or 0)
        self.step, self.seconds = 0, 0.0
        self.history, self.meter = History(), Meter()
        self.images, self.saved_at = 0, time.monotonic()
        self.kept: int | None = None
        self.environments = [environment()]

    @abstractmethod
    def _batches(self) -> Iterator[Tensor]:
        """What each remaining step is called with."""

    @abstractmethod
    def _update(self, index: Tensor) -> None:
        """One step on the data at ``index``."""

    @abstractmethod
    def _record_steps(self) -> None:
        """Record how a step runs, in training mode, without any effect."""

    @abstractmethod
    def _extra_state(self) -> dict[str, Any]:
        """What a checkpoint says beside what the loop does."""

    @abstractmethod
    def _take_extra_state(self, state: Mapping[str, Any]) -> None:
        """Go on from that; any error of a wrong type or value will be reported."""

    @abstractmethod
    def _extra_facts(self) -> dict[str, Any]:
        """What run.json says beside what the loop does."""

    def _evaluated(self) -> Record:
        """What a record says beside what the steps measured."""
        return {}

    def _is_good(self) -> bool:
        """Whether to roll back to the present weights, once a loss at them is known to be finite.

        At the end of an epoch, and where they are saved.
        """
        if self.kept != self.step and self.step % self.epoch_steps:
            return False
        self._check_weights()
        return True

    def _settle(self) -> None:
        """What is done to the module after the last step: what it fits to the data itself."""
        fit = getattr(self.module, "after_training", None)
        if fit is not None:
            with pairs.evaluation_mode(self.module, self.settings.seed):
                fit(self.data)

    def restore(self) -> None:
        """Go on where the newest usable checkpoint ends, if there is one."""
        found = self.folder and self.folder.restore(self.snapshot.expects)
        if not found:
            return
        tensors, state = found
        self._take(state)
        self.snapshot.load(tensors)
        self.kept = self.step
        if self.step > self.total:
            raise TrainingError(
                f"expected at least the {self.step} steps that are done already; got {self.total}"
            )

    def train(self, show: bool | None) -> History:
        """All remaining steps; where they diverge, back to the last good weights."""
        self.module.train()
        self._record_steps()
        self.good = self.candidate = self._rollback_point()
        try:
            return self._train(show)
        except self.diverged:
            self._roll_back()
            raise

    def _train(self, show: bool | None) -> History:
        if self.folder:
            self.folder.write_facts(self._facts())
        self.measured_at = time.monotonic()
        self.started = self.measured_at - self.seconds
        description = f"{type(self.module).__name__} on {self.data.name}"
        try:
            with progress.bar(description, self.total, show) as advance, interrupts() as asked:
                self._steps(advance, asked)
                self._warn()
                return self._finish()
        finally:
            self.module.eval()

    def _take(self, state: Mapping[str, Any]) -> None:
        """Go on from the state of a checkpoint, if it is one of this run."""
        self._check_fixed(state)
        try:
            self.step, self.seconds = int(state["step"]), float(state["seconds"])
            self._take_extra_state(state)
            if min(self.step, self.seconds) < 0:
                raise ValueError("a negative count")
            earlier = [dict(e) for e in state["environments"]]
            self.environments = [e for e in earlier if e != environment()] + self.environments
            self.history.records = [
                {name: float(value) for name, value in record.items()}
                for record in state["records"]
            ]
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise _not_a_runs(error) from error

    def _check_fixed(self, state: Mapping[str, Any]) -> None:
        try:
            before = dict(state["run"])
            changed = {k: v for k, v in before.items() if not _same(v, self.fixed.get(k))}
        except (KeyError, TypeError, ValueError) as error:
            raise _not_a_runs(error) from error
        if changed:
            raise CheckpointError(
                f"expected a run with the same {', '.join(changed)}; the saved one has {changed}"
            )

    def _steps(self, advance: progress.Advance, interrupted: Callable[[], bool]) -> None:
        for index in self._batches():
            self._update(index)
            stop = interrupted() and self.step < self.total
            if stop or self._at_boundary():
                advance(self.step, self._record())
                self._save_if_due(at_once=stop)
                if self._is_good():
                    self.candidate = self._rollback_point()
            if stop:
                raise Interrupted(self._where_to_resume())

    def _at_boundary(self) -> bool:
        at_epoch = self.step % self.epoch_steps == 0
        return at_epoch or self.step % self.settings.log_every == 0 or self.step == self.total

    def _record(self) -> Record:
        record = self._measured() | self._evaluated()
        self.history.records.append(record)
        if self.log is not None:
            self.log(record)
        self.images, self.measured_at = 0, time.monotonic()
        found = {name: record[name] for name in self.shown if name in record}
        return {name.replace("_", " "): value for name, value in found.items()}

    def _measured(self) -> Record:
        try:
            terms = self.meter.read(self.step)
        except NonFiniteError as error:
            self._vouch((error.step or 1) - 1)
            todo = "try a lower lr, or data of unit scale"
            raise NonFiniteError(f"{error}; {self._what_is_kept()}; {todo}", error.step) from None
        self._vouch(self.step)
        now = time.monotonic()
        self.seconds = now - self.started
        return {
            "step": self.step,
            "epoch": self.step / self.epoch_steps,
            **terms,
            "seconds": self.seconds,
            "images_per_second": self.images / max(now - self.measured_at, 1e-9),
        }

    def _save_if_due(self, at_once: bool) -> None:
        due = time.monotonic() - self.saved_at >= self.settings.checkpoint_every
        if self.folder and (due or at_once):
            self._check_weights()
            self.folder.save(self.step, self.snapshot.tensors(), self._state())
            self.kept, self.saved_at = self.step, time.monotonic()

    def _finish(self) -> History:
        """What ``fit`` returns, once the results are written."""
        self._check_weights()
        if self.folder and self.kept != self.step:
            self.folder.save(self.step, self.snapshot.tensors(), self._state())
        self._settle()
        if self.folder:
            results = {"steps": self.step, "seconds": self.seconds}
            facts = {**self._facts(), "results": results}
            self.folder.finish(tensors_of(self.module), self.history.to_csv(), facts)
        return self.history

    def _warn(self) -> None:
        complaint = getattr(self.module, "complaint", lambda: None)()
        if complaint:
            warnings.warn(f"step {self.step}: {complaint}", stacklevel=level_outside())

    def _check_weights(self) -> None:
        for name, parameter in self.module.named_parameters():
            if not parameter.isfinite().all():
                raise NonFiniteError(
                    f"{name} is not finite at step {self.step}; {self._what_is_kept()}"
                )

    def _rollback_point(self) -> RollbackPoint:
        state: Any = [deepcopy(part.state_dict()) for part in self._parts()]
        if self.folder:
            tensors = self.snapshot.tensors()
            state = {name: tensor.clone() for name, tensor in tensors.items()}
        return RollbackPoint(self.step, state, self._extra_state())

    def _parts(self) -> list[nn.Module]:
        return [self.snapshot.module, self.snapshot.objective]

    def _vouch(self, step: int) -> None:
        """The loss of ``step`` was finite, and so were the weights before it."""
        if step > self.candidate.step:
            self.good = self.candidate

    def _roll_back(self) -> None:
        self.step, state, extra = self.good
        self._take_extra_state(extra)
        self.history.records = [r for r in self.history.records if r["step"] <= self.step]
        if self.folder is None:
            for part, values in zip(self._parts(), state, strict=True):
                part.load_state_dict(values)
            return
        self.snapshot.load(state)
        self.folder.forget_after(self.step)
        if self.kept != self.step and self.step:
            self.folder.save(self.step, state, self._state())

    def _what_is_kept(self) -> str:
        step = self.good.step
        saved = f", saved in {self.folder.path}" if self.folder and step else ""
        return f"the {type(self.module).__name__} is again what it was at step {step}{saved}"

    def _where_to_resume(self) -> str:
        stopped = f"stopped at step {self.step}"
        if self.folder is None:
            return f"{stopped}, not saved: no checkpoint folder was given"
        how = (
            f"{self.verb}(..., resume=True)"
            if self.recipe is None
            else f"probgen resume {self.folder.path}"
        )
        return f"{stopped} and saved; resume with: {how}"

    def _facts(self) -> dict[str, Any]:
        common = {"run": self.fixed, "environments": self.environments}
        return {"recipe": self.recipe, **self._extra_facts(), **common}

    def _state(self) -> dict[str, Any]:
        return {
            "run": self.fixed,
            "step": self.step,
            "seconds": self.seconds,
            "records": self.history.records,
            "environments": self.environments,
            **self._extra_state(),
        }


def updated(step: Step[Measured], *args: Any) -> Measured:
    """Update the weights; what was measured before."""
    values = step(*args)
    return step.measured._replace(values=values)


def shuffled(data: Set, seed: int, epoch: int) -> Tensor:
    """All indices of a set in the order of an epoch, on its device."""
    generator = torch.Generator().manual_seed(seed + EPOCH_STRIDE * epoch)
    return torch.randperm(len(data), generator=generator).to(data.x.device)


def fixed_facts(data: Set, folder: Folder | None) -> dict[str, Any]:
    """What a resumed run must have in common with the saved one, of the data."""
    return {
        "data": {"name": data.name, "n": len(data), "shape": [*data.shape]},
        "data_sha256": data.digest() if folder else None,
    }


def _not_a_runs(error: Exception) -> CheckpointError:
    return CheckpointError(f"the checkpoint's state is not a run's: {error!r}")


_PLACES = {"capturable", "foreach", "fused"}
"""Settings that say where an optimiser computes, not what."""


_FORMER = ("ImportanceWeightedELBO(k=", "ImportanceWeightedELBO(num_particles=")
"""How a former version wrote an objective, and how it is written now."""


def _same(saved: Any, current: Any) -> bool:
    """Whether a setting is the saved one; of an optimiser's, those that both versions have."""
    if isinstance(saved, str):
        return saved.replace(*_FORMER) == current
    if isinstance(saved, dict) and isinstance(current, dict):
        common = (saved.keys() & current.keys()) - _PLACES
        return all(saved[name] == current[name] for name in common)
    return saved == current


@contextmanager
def interrupts() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed since; a second one interrupts at once."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    asked: list[int] = []

    def ask(number: int, frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: bool(asked)
    finally:
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)
