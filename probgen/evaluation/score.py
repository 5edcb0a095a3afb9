"""A number that says what it is."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import total_ordering
from typing import Any, Literal

from probgen import ProbgenError
from probgen.models import pairs

Direction = Literal["lower", "higher"]
UNSTATED: Mapping[str, Direction] = {
    **dict.fromkeys(("FID", "FID infinity", "KID", "NLL", "MSE"), "lower"),
    **dict.fromkeys(("IS", "classes", "PSNR", "SSIM", "controllability"), "higher"),
    **dict.fromkeys(("precision", "recall", "density", "coverage"), "higher"),
    **dict.fromkeys(("log-likelihood", "accuracy", "kNN accuracy", "MIG", "SAP"), "higher"),
    **dict.fromkeys(("modularity", "explicitness", "DCI disentanglement"), "higher"),
    **dict.fromkeys(("FactorVAE score", "beta-VAE score"), "higher"),
}
"""Directions of scores by name, for files from when a score did not state its own."""
PARTICLES = re.compile(r"^importance sampling, k = (\d+)")
"""How the variant of an NLL began in such files."""


class EvaluationError(ProbgenError, ValueError):
    """What cannot be evaluated, or only to a wrong number."""


class ProtocolError(EvaluationError):
    """Two scores that were not got in the same way and cannot be compared."""


def check_seed(seed: int) -> None:
    """Raise unless every generator takes the seed."""
    try:
        pairs.check_seed(seed)
    except pairs.PairError as error:
        raise EvaluationError(str(error)) from None


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
        better: which direction is better, "lower" or "higher"; None where neither is.
        extractor: name and hash of the features; empty where there are none.
        data: what was scored, and beside what; empty where the caller did not say.
        seed: of what was drawn; None where nothing was.
        interval: confidence interval (low, high); None unless a ``level`` was asked for.
        level: its confidence, 0.95 for instance.
        details: what lies behind: matrices, gaps, parts.

    Raises:
        EvaluationError: another direction.

    >>> score = Score("MIG", 0.5, n=(100,), variant="binned-means, 20 bins", better="higher")
    >>> float(score), score < Score("MIG", 0.7, n=(100,), variant="binned-means, 20 bins")
    (0.5, True)
    >>> print(score)
    MIG 0.5 [n 100; binned-means, 20 bins]
    """

    name: str
    value: float
    n: tuple[int, ...]
    variant: str = ""
    unit: str = ""
    better: Direction | None = None
    extractor: str = ""
    data: str = ""
    seed: int | None = None
    interval: tuple[float, float] | None = None
    level: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.better not in (None, "lower", "higher"):
            raise EvaluationError(
                f"expected better: 'lower', 'higher' or None; got {self.better!r}"
            )

    @property
    def protocol(self) -> dict[str, Any]:
        """What must agree before two values can be compared; the seed need not."""
        names = ("name", "n", "variant", "unit", "extractor", "data")
        return {name: getattr(self, name) for name in names}

    @property
    def facts(self) -> dict[str, Any]:
        """Everything but the details, as JSON has it; ``read`` takes it back."""
        known = {one.name: getattr(self, one.name) for one in fields(self)}
        del known["details"]
        interval = None if self.interval is None else list(self.interval)
        return known | {"n": list(self.n), "interval": interval}

    @classmethod
    def read(cls, facts: Any) -> "Score":
        """A score of its ``facts``, those of former versions included.

        Raises:
            EvaluationError: they are not a score's.

        >>> Score.read(Score("MIG", 0.5, n=(100,)).facts)
        Score(name='MIG', value=0.5, n=(100,), ...)
        """
        try:
            words: Any = {
                k: str(facts[k]) for k in ("name", "variant", "unit", "extractor", "data")
            }
            words["variant"] = PARTICLES.sub(
                r"importance sampling, num_particles = \1", words["variant"]
            )
            interval, level, seed = facts["interval"], facts["level"], facts["seed"]
            return cls(
                **words,
                better=facts.get("better", UNSTATED.get(words["name"])),
                value=float(facts["value"]),
                n=tuple(int(n) for n in facts["n"]),
                seed=None if seed is None else int(seed),
                interval=None if interval is None else (float(interval[0]), float(interval[1])),
                level=None if level is None else float(level),
            )
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise EvaluationError(f"expected the facts of a score; got {error!r}") from error

    def check_comparable(self, other: "Score") -> None:
        """Raise unless both were got in the same way, naming what differs."""
        ours, theirs = self.protocol, other.protocol
        different = [f"{k} {ours[k]!r} and {theirs[k]!r}" for k in ours if ours[k] != theirs[k]]
        if different:
            raise ProtocolError(f"these scores cannot be compared: {'; '.join(different)}")

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        sure = ""
        if self.interval and self.level:
            low, high = self.interval
            sure = f" ({100 * self.level:g} %: {low:.4g} to {high:.4g})"
        n = " and ".join(f"{n:,}" for n in self.n)
        how = "; ".join(filter(None, (f"n {n}", self.variant, self.extractor, self.data)))
        return f"{self.name} {self.value:.4g}{unit}{sure} [{how}]"

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
