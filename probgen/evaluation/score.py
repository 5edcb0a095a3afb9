"""A number that says what it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import total_ordering
from statistics import NormalDist
from typing import Any


class EvaluationError(ValueError):
    """What cannot be evaluated, or only to a wrong number."""


class ProtocolError(EvaluationError):
    """Two scores that were not got in the same way and cannot be compared."""


@total_ordering
@dataclass(frozen=True, eq=False)
class Score:
    """The value of a metric with how it was got; ``float(score)`` is the value.

    Scores order by value, and only if their protocols are equal.

    Args:
        name: the metric, as a table heads it: ``"FID"``.
        value: the estimate.
        n: number of items behind it, one number per set compared.
        variant: which of the metric's definitions, and its settings: ``"binned-means, 20 bins"``.
        unit: of the value; empty where it has none.
        extractor: name and hash of the features; empty where there are none.
        seed: of what was drawn; None where nothing was.
        interval: confidence interval (low, high); None unless asked for.
        level: its confidence, 0.95 for instance.
        details: what lies behind: matrices, gaps, parts.

    >>> score = Score("MIG", 0.5, n=(100,), variant="binned-means, 20 bins")
    >>> float(score), score < Score("MIG", 0.7, n=(100,), variant="binned-means, 20 bins")
    (0.5, True)
    """

    name: str
    value: float
    n: tuple[int, ...]
    variant: str = ""
    unit: str = ""
    extractor: str = ""
    seed: int | None = None
    interval: tuple[float, float] | None = None
    level: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def protocol(self) -> dict[str, Any]:
        """What must agree before two values can be compared; the seed need not."""
        names = ("name", "n", "variant", "unit", "extractor")
        return {name: getattr(self, name) for name in names}

    def check_comparable(self, other: "Score") -> None:
        """Raise unless both were got in the same way, naming what differs."""
        ours, theirs = self.protocol, other.protocol
        different = [f"{k} {ours[k]!r} and {theirs[k]!r}" for k in ours if ours[k] != theirs[k]]
        if different:
            raise ProtocolError(f"these scores cannot be compared: {'; '.join(different)}")

    def __float__(self) -> float:
        return self.value

    def __lt__(self, other: "Score") -> bool:
        self.check_comparable(other)
        return self.value < other.value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Score):
            return NotImplemented
        self.check_comparable(other)
        return self.value == other.value

    __hash__ = None  # type: ignore[assignment]


def normal_interval(
    value: float, standard_error: float, level: float | None
) -> tuple[float, float] | None:
    """Where a normal estimate lies with probability ``level``; None without a level.

    value -+ z standard_error

    Raises:
        EvaluationError: a level outside (0, 1).

    >>> normal_interval(0.0, 1.0, 0.95)
    (-1.95..., 1.95...)
    """
    if level is None:
        return None
    if not 0 < level < 1:
        raise EvaluationError(f"expected interval in (0, 1), 0.95 for instance; got {level}")
    half = NormalDist().inv_cdf((1 + level) / 2) * standard_error
    return value - half, value + half
