"""What every kind of training is told, checked before anything is built.

A setting is wrong on its own, or beside the data or another setting; each error names it, what was
expected, and what to do.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from probgen.data import Set
from probgen.lowering import HOW, How
from probgen.models import pairs
from probgen.run.errors import RunError
from probgen.run.folder import Folder
from probgen.run.snapshot import Driven

Precision = Literal["float32", "tf32", "bfloat16"]
Optimizer = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


class TrainingError(RunError):
    """A training that cannot start as asked."""


@contextmanager
def as_training_errors() -> Iterator[None]:
    """Raise what is wrong with a pair as a ``TrainingError``, which ``fit`` documents."""
    try:
        yield
    except pairs.PairError as error:
        raise TrainingError(str(error)) from error


@dataclass(frozen=True, kw_only=True)
class Settings(ABC):
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

    @abstractmethod
    def epoch_steps(self, rows: int) -> int:
        """Steps in an epoch of so many data."""

    def check_common(self, data: Any) -> None:
        """Refuse what no training can start with."""
        if (self.epochs is None) == (self.steps is None):
            raise TrainingError("expected epochs or steps, one of the two")
        if not isinstance(data, Set):
            raise TrainingError(f"expected one data.Set, such as train; got {type(data).__name__}")
        self._check_numbers()
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

    def _check_numbers(self) -> None:
        names = ("epochs", "steps", "log_every", "batch_size", "validate_every")
        check_whole(**{name: getattr(self, name) for name in names})
        if not (isinstance(self.checkpoint_every, int | float) and self.checkpoint_every >= 0):
            raise TrainingError(
                f"expected checkpoint_every in seconds >= 0; got {self.checkpoint_every!r}"
            )
        with as_training_errors():
            pairs.check_seed(self.seed)


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
    except (RuntimeError, TypeError) as error:
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
