"""What moves a weight during training: schedules, tensors in and tensors out."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

Schedule: TypeAlias = Callable[[Tensor], Tensor]
"""A weight as a function of the 0-d step count, both on the device."""


class ControlError(ValueError):
    """A schedule that cannot be followed."""


def _check_ends(*ends: float) -> None:
    if not all(math.isfinite(end) for end in ends):
        raise ControlError(f"expected finite weights; got {ends}")


def _at_least_one(steps: int, what: str) -> None:
    if steps < 1:
        raise ControlError(f"expected {what} >= 1; got {steps}")


@dataclass(frozen=True)
class Linear:
    """Ramp from ``start`` to ``end`` in ``steps`` steps, then stay.

    w(t) = start + (end - start) min(t / steps, 1)

    Source: Bowman et al. 2016, Generating sentences from a continuous space, section 3.1.

    >>> Linear(0.0, 1.0, steps=10)(torch.tensor(5))
    tensor(0.5000)
    """

    start: float
    end: float
    steps: int

    def __post_init__(self) -> None:
        _check_ends(self.start, self.end)
        _at_least_one(self.steps, "steps")

    def __call__(self, step: Tensor) -> Tensor:
        """Weight at a 0-d step count."""
        return self.start + (self.end - self.start) * (step / self.steps).clamp(max=1.0)


@dataclass(frozen=True)
class Cyclic:
    """Ramps from ``start`` to ``end``, one each ``period`` steps, ``rise`` of it spent rising.

    w(t) = start + (end - start) min((t mod period) / (rise period), 1)

    Source: Fu et al. 2019, Cyclical annealing schedule, equation 6.

    >>> Cyclic(0.0, 1.0, period=10)(torch.tensor([0, 2, 5, 9, 10]))
    tensor([0.0000, 0.4000, 1.0000, 1.0000, 0.0000])
    """

    start: float
    end: float
    period: int
    rise: float = 0.5

    def __post_init__(self) -> None:
        _check_ends(self.start, self.end)
        _at_least_one(self.period, "period")
        if not 0 < self.rise <= 1:
            raise ControlError(f"expected rise in (0, 1], the rising share; got {self.rise}")

    def __call__(self, step: Tensor) -> Tensor:
        """Weight at a 0-d step count."""
        phase = (step % self.period) / (self.rise * self.period)
        return self.start + (self.end - self.start) * phase.clamp(max=1.0)


@dataclass(frozen=True)
class Sigmoid:
    """Smooth ramp from ``start`` to ``end``, half way at ``middle``, within about 8 ``width``.

    w(t) = start + (end - start) / (1 + exp((middle - t) / width))

    Source: Bowman et al. 2016, Generating sentences from a continuous space, figure 2.

    >>> Sigmoid(0.0, 1.0, middle=100, width=10)(torch.tensor(100))
    tensor(0.5000)
    """

    start: float
    end: float
    middle: int
    width: int

    def __post_init__(self) -> None:
        _check_ends(self.start, self.end)
        _at_least_one(self.width, "width")

    def __call__(self, step: Tensor) -> Tensor:
        """Weight at a 0-d step count."""
        ramp = torch.sigmoid((step - self.middle) / self.width)
        return self.start + (self.end - self.start) * ramp
