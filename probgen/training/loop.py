"""What every kind of training shares: seeds, shuffles, checkpoints, records and Ctrl-C."""

import math
import signal
import threading
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from probgen.data import Set
from probgen.lowering import HOW, How
from probgen.models import pairs
from probgen.run import progress
from probgen.run.environment import environment
from probgen.run.errors import CheckpointError, NonFiniteError, RunError
from probgen.run.folder import Folder
from probgen.run.history import History, Meter, Record
from probgen.run.snapshot import Driven, Snapshot, tensors_of

Precision = Literal["float32", "tf32", "bfloat16"]
Optimizer = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
EPOCH_STRIDE = 1_000_003


class TrainingError(RunError):
    """A training that cannot start as asked."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C: the step was finished and saved."""


@contextmanager
def as_training_errors() -> Iterator[None]:
    """Raise what is wrong with a pair as a ``TrainingError``, which ``fit`` documents."""
    try:
        yield
    except pairs.PairError as error:
        raise TrainingError(str(error)) from error


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every kind of training is told, as ``training.fit`` documents it."""

    precisions: ClassVar[tuple[str, ...]] = ("float32", "tf32", "bfloat16")
    epochs: int | None
    steps: int | None
    batch_size: int
    seed: int
    precision: Precision
    lower: How
    validate_every: int
    checkpoint_every: float
    log_every: int

    def check_common(self, data: Any) -> None:
        """Refuse what no training can start with."""
        if (self.epochs is None) == (self.steps is None):
            raise TrainingError("expected epochs or steps, one of the two")
        if not isinstance(data, Set):
            raise TrainingError(f"expected one data.Set, such as train; got {type(data).__name__}")
        names = ("epochs", "steps", "log_every", "batch_size", "validate_every")
        check_whole(**{name: getattr(self, name) for name in names})
        with as_training_errors():
            pairs.check_seed(self.seed)
        if self.batch_size > len(data):
            raise TrainingError(
                f"expected batch_size from 1 to {len(data)}, the size of {data.name}; "
                f"got {self.batch_size}: give batch_size={len(data)} or less"
            )
        if self.precision not in self.precisions:
            known = " or ".join(self.precisions)
            raise TrainingError(f"expected precision {known}; got {self.precision!r}")
        if self.lower not in HOW:
            raise TrainingError(f"expected lower {', '.join(HOW)}; got {self.lower!r}")


class Copy(NamedTuple):
    """What a run that goes astray goes back to.

    Attributes:
        step: after which it was taken.
        state: tensors of the whole run if it has a folder, else the weights, as ``state_dict``.
        own: what ``_own_state`` was.
    """

    step: int
    state: Any
    own: dict[str, Any]


class Loop(ABC):
    """One call of ``fit`` or ``fit_adversarial``: steps, records, and what is saved of them."""

    verb = "fit"
    shown: tuple[str, ...] = ()
    astray: tuple[type[Exception], ...] = (NonFiniteError,)

    def __init__(
        self,
        module: Any,
        data: Set,
        settings: Settings,
        folder: Folder | None,
        log: Callable[[Record], object] | None,
        recipe: Mapping[str, Any] | None,
        epoch_steps: int,
    ) -> None:
        self.module, self.data, self.folder, self.log = module, data, folder, log
        self.recipe, self.epoch_steps = recipe, epoch_steps
        self.total = settings.steps or epoch_steps * (settings.epochs or 0)
        self.checkpoint_every, self.log_every = settings.checkpoint_every, settings.log_every
        self.step, self.seconds = 0, 0.0
        self.history, self.meter = History(), Meter()
        self.images, self.saved_at = 0, time.monotonic()
        self.kept: int | None = None
        self.environments = [environment()]
        self.snapshot: Snapshot
        self.fixed: dict[str, Any]

    @abstractmethod
    def _update(self, index: Tensor) -> None:
        """One step on the data at ``index``."""

    @abstractmethod
    def _batches(self) -> Iterator[Tensor]:
        """What each remaining step is called with."""

    @abstractmethod
    def _own_state(self) -> dict[str, Any]:
        """What a checkpoint says beside what the loop does."""

    @abstractmethod
    def _take_own(self, state: Mapping[str, Any]) -> None:
        """Go on from that; any error of a wrong type or value will be reported."""

    @abstractmethod
    def _own_facts(self) -> dict[str, Any]:
        """What run.json says beside what the loop does."""

    def _judged(self) -> Record:
        """What a record says beside what the steps measured."""
        return {}

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
        """All remaining steps; when they go astray, back to where they were good."""
        self.good = self.candidate = self._copied()
        try:
            return self._train(show)
        except self.astray:
            self._go_back()
            raise

    def _train(self, show: bool | None) -> History:
        self.module.train()
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
        try:
            before = dict(state["run"])
            changed = {k: v for k, v in before.items() if not _same(v, self.fixed.get(k))}
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"the checkpoint's state is not a run's: {error!r}") from error
        if changed:
            raise CheckpointError(
                f"expected a run with the same {', '.join(changed)}; the saved one has {changed}"
            )
        try:
            self.step, self.seconds = int(state["step"]), float(state["seconds"])
            self._take_own(state)
            if min(self.step, self.seconds) < 0:
                raise ValueError("a negative count")
            earlier = [dict(e) for e in state["environments"]]
            self.environments = [e for e in earlier if e != environment()] + self.environments
            self.history.records = [
                {name: float(value) for name, value in record.items()}
                for record in state["records"]
            ]
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise CheckpointError(f"the checkpoint's state is not a run's: {error!r}") from error

    def _steps(self, advance: progress.Advance, interrupted: Callable[[], bool]) -> None:
        for index in self._batches():
            self._update(index)
            stop = interrupted() and self.step < self.total
            if stop or self._at_boundary():
                advance(self.step, self._record())
                self._save_if_due(at_once=stop)
                if self._seems_good():
                    self.candidate = self._copied()
            if stop:
                raise Interrupted(self._where_to_resume())

    def _at_boundary(self) -> bool:
        at_epoch = self.step % self.epoch_steps == 0
        return at_epoch or self.step % self.log_every == 0 or self.step == self.total

    def _record(self) -> Record:
        record = self._measured() | self._judged()
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
        rate = self.images / max(now - self.measured_at, 1e-9)
        self.seconds = now - self.started
        epoch = self.step / self.epoch_steps
        return {"step": self.step, "epoch": epoch, **terms, "seconds": self.seconds,
                "images_per_second": rate}  # fmt: skip

    def _save_if_due(self, at_once: bool) -> None:
        due = time.monotonic() - self.saved_at >= self.checkpoint_every
        if self.folder and (due or at_once):
            self._check_weights()
            self.folder.save(self.step, self.snapshot.tensors(), self._state())
            self.kept, self.saved_at = self.step, time.monotonic()

    def _finish(self) -> History:
        self._check_weights()
        if self.folder and self.kept != self.step:
            self.folder.save(self.step, self.snapshot.tensors(), self._state())
        return self._closed()

    def _closed(self) -> History:
        """What ``fit`` returns, once the results are written."""
        if self.folder:
            results = {"steps": self.step, "seconds": self.seconds}
            facts = {**self._facts(), "results": results}
            self.folder.finish(tensors_of(self.module), self.history.to_csv(), facts)
        return self.history

    def _warn(self) -> None:
        complaint = getattr(self.module, "complaint", lambda: None)()
        if complaint:
            warnings.warn(f"step {self.step}: {complaint}", stacklevel=4)

    def _check_weights(self) -> None:
        for name, parameter in self.module.named_parameters():
            if not parameter.isfinite().all():
                raise NonFiniteError(
                    f"{name} is not finite at step {self.step}; {self._what_is_kept()}"
                )

    def _seems_good(self) -> bool:
        """Whether to go back to the present weights, once a loss at them is known to be finite."""
        if self.kept != self.step and self.step % self.epoch_steps:
            return False
        self._check_weights()
        return True

    def _copied(self) -> Copy:
        if self.folder:
            tensors = {name: tensor.clone() for name, tensor in self.snapshot.tensors().items()}
            return Copy(self.step, tensors, self._own_state())
        states = [deepcopy(part.state_dict()) for part in self._parts()]
        return Copy(self.step, states, self._own_state())

    def _parts(self) -> list[nn.Module]:
        return [self.snapshot.module, self.snapshot.objective]

    def _vouch(self, step: int) -> None:
        """The loss of ``step`` was finite, and so were the weights before it."""
        if step > self.candidate.step:
            self.good = self.candidate

    def _go_back(self) -> None:
        self.step, state, own = self.good
        self._take_own(own)
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
        where = f"stopped at step {self.step}"
        if self.folder is None:
            return f"{where}, not saved: no checkpoint folder was given"
        how = (
            f"{self.verb}(..., resume=True)"
            if self.recipe is None
            else f"probgen resume {self.folder.path}"
        )
        return f"{where} and saved; resume with: {how}"

    def _facts(self) -> dict[str, Any]:
        common = {"run": self.fixed, "environments": self.environments}
        return {"recipe": self.recipe, **self._own_facts(), **common}

    def _state(self) -> dict[str, Any]:
        return {"run": self.fixed, "step": self.step, "seconds": self.seconds,
                "records": self.history.records, "environments": self.environments,
                **self._own_state()}  # fmt: skip


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


def opened(checkpoint: str | Path | None, resume: bool) -> Folder | None:
    """The run's folder, if one is given; refused if it holds a run that is not to be resumed."""
    folder = None if checkpoint is None else Folder(checkpoint)
    if resume and folder is None:
        raise TrainingError("resume=True needs checkpoint=, the folder of the run to go on with")
    if folder and folder.holds_run() and not resume:
        raise TrainingError(f"{folder.path} already holds a run: resume it or name another folder")
    return folder


def check_whole(**settings: Any) -> None:
    """Refuse a setting that is given and no whole number from 1."""
    for name, value in settings.items():
        if value is not None and not (isinstance(value, int) and value >= 1):
            raise TrainingError(f"expected {name} a whole number >= 1; got {value!r}")


def check_positive(**settings: Any) -> None:
    """Refuse a setting that is given and not positive and finite."""
    for name, value in settings.items():
        if value is not None and not (isinstance(value, int | float) and 0 < value < math.inf):
            raise TrainingError(f"expected {name} > 0 and finite; got {value!r}")


def place(device: str | torch.device) -> torch.device:
    """The device of that name; "auto" is CUDA where there is any, else the CPU.

    Raises:
        TrainingError: no such device, or not here.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise TrainingError(f"expected a device such as cpu or cuda; got {device!r}") from error
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise TrainingError(f"{device} was asked for and there is no CUDA here: use device='cpu'")
    if found.type not in ("cpu", "cuda"):
        raise TrainingError(f"expected cpu or cuda; got {device}, which is not supported")
    return found


def driven(make: Optimizer, parameters: list[nn.Parameter]) -> Driven:
    """The optimiser of these parameters."""
    found: Any = make(parameters) if callable(make) else make
    if make is found or not isinstance(found, torch.optim.Optimizer):
        raise TrainingError(
            "expected optimizer, a function from parameters to a torch optimiser, such as "
            f"partial(torch.optim.SGD, lr=0.1); got {type(make).__name__}"
        )
    return Driven(found, _layout(make, parameters[0].dtype))


def _layout(make: Optimizer, dtype: torch.dtype) -> dict[str, torch.dtype]:
    """What an optimiser keeps per parameter, found by one step on a parameter of its own."""
    probe = nn.Parameter(torch.zeros(2, 2, dtype=dtype))
    probe.grad = torch.zeros_like(probe)
    optimizer = make([probe])
    try:
        optimizer.step()
    except TypeError as error:
        raise TrainingError(f"cannot drive {type(optimizer).__name__}: {error}") from error
    state = optimizer.state[probe].items()
    return {name: value.dtype for name, value in state if isinstance(value, Tensor)}


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
