"""What moves a weight such as beta in training: annealing schedules and PI control."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from probgen.objectives.decomposition import ObjectiveError

Schedule: TypeAlias = Callable[[Tensor], Tensor]
"""A weight as a function of the 0-d step count, both on the device."""


OFFSET = 0.1
"""What ``PI`` adds to a weight below its logarithm; docs/objectives.md has the measurements."""


class ControlError(ObjectiveError):
    """A schedule that cannot be followed, or a controller that cannot control."""


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


def ends(value: float | Schedule) -> tuple[float, ...]:
    """A number, or the ends of a schedule as far as it states them.

    >>> ends(Linear(0.0, 14.0, steps=10)), ends(2.0)
    ((0.0, 14.0), (2.0,))
    """
    if not callable(value):
        return (value,)
    return tuple(getattr(value, end) for end in ("start", "end") if hasattr(value, end))


class Controlled(NamedTuple):
    """Where a controller is: its integral, log(w + 0.1) without an error, and its weight w."""

    integral: Tensor
    weight: Tensor


@dataclass(frozen=True)
class PI:
    """Proportional-integral control of a weight w >= 0 that lowers what is measured.

    Its control variable is u = log(w + 0.1): equal steps of it change the KL of a Gaussian
    guide by equal amounts; the 0.1 lets w reach 0:

        e  = (target - measured) / max(1, |target| / 10)
        u  = I + P,  P = kp (1 / (1 + exp e) - 1/2)
        I <- I - ki e  unless u is at its upper bound and e < 0, or at its lower and e > 0
        w  = exp(u) - 0.1 in [low, high]

    The error is in units of what is measured for targets up to 10, in tenths of the target
    above. The integral never leaves the bounds, so that the weight leaves them when the error
    changes its sign. P is 0 without an error: taking over from a constant weight moves nothing,
    and without gains the weight stays where it is. A measurement that is not finite moves nothing.

    Args:
        kp: proportional gain >= 0: the widest swing of u at once.
        ki: integral gain >= 0, per step.
        low: least weight.
        high: greatest weight.

    Raises:
        ControlError: a gain that is negative or not finite, or bounds out of order.

    Source: Shao et al. 2020, ControlVAE, equation 8 and algorithm 1, whose integral is in w and
    whose test for saturation never holds; docs/objectives.md measures the difference.

    >>> pi = PI(kp=0.0, ki=1.0, low=0.0, high=100.0)
    >>> state = pi(pi.start(torch.tensor(1.0)), torch.tensor(7.0), torch.tensor(6.0))
    >>> state.weight  # w + 0.1 has grown by the factor exp(1)
    tensor(2.8901)
    """

    kp: float
    ki: float
    low: float
    high: float

    def __post_init__(self) -> None:
        for name in ("kp", "ki"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ControlError(f"expected {name} >= 0 and finite; got {getattr(self, name)}")
        if not 0 <= self.low <= self.high < math.inf:
            raise ControlError(
                "expected 0 <= least weight <= greatest weight, finite; got "
                f"{self.low} and {self.high}"
            )

    def start(self, weight: Tensor) -> Controlled:
        """The state that keeps this weight where there is no error."""
        weight = weight.clamp(self.low, self.high)
        return Controlled((weight + OFFSET).log(), weight)

    def __call__(self, state: Controlled, measured: Tensor, target: Tensor) -> Controlled:
        """The state after one more measurement, tensors of one shape throughout."""
        low, high = math.log(self.low + OFFSET), math.log(self.high + OFFSET)
        error = (target - measured) / (target.abs() / 10).clamp(min=1.0)
        swing = self.kp * (torch.sigmoid(-error) - 0.5)
        u = state.integral + swing
        held = ((u >= high) & (error < 0)) | ((u <= low) & (error > 0))
        integral = (state.integral - self.ki * error).clamp(low, high)
        integral = torch.where(held, state.integral, integral)
        weight = ((integral + swing).exp() - OFFSET).clamp(self.low, self.high)
        known = error.isfinite()
        return Controlled(
            torch.where(known, integral, state.integral), torch.where(known, weight, state.weight)
        )
