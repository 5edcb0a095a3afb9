"""From a statistic of tables to a score with its interval."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from probgen.evaluation.disentanglement.table import Table
from probgen.evaluation.interval import normal_interval
from probgen.evaluation.score import EvaluationError, Score, check_seed

Found = tuple[float, Mapping[str, Any]]


class Bootstrap(NamedTuple):
    """An interval about a value: its confidence (None for no interval), resamples and seed."""

    level: float | None
    resamples: int
    seed: int

    def check(self) -> None:
        """Raise unless the settings make an interval."""
        check_seed(self.seed)
        normal_interval(0.0, 1.0, self.level)
        if self.resamples < 2:
            raise EvaluationError(f"expected resamples >= 2; got {self.resamples}")

    def about(
        self, value: float, redraw: Callable[[np.random.Generator], float]
    ) -> tuple[float, float] | None:
        """The value -+ z s, s the standard deviation of ``redraw``; None without a level.

        Source: Efron & Tibshirani 1993, section 13.2: the standard normal interval.
        """
        if self.level is None:
            return None
        rng = np.random.default_rng([self.seed, 1])
        spread = float(np.std([redraw(rng) for _ in range(self.resamples)], ddof=1))
        return normal_interval(value, spread, self.level)


def scored(
    name: str,
    variant: str,
    statistic: Callable[..., Found],
    tables: tuple[Table, ...],
    bootstrap: Bootstrap,
    *,
    drawn: bool = True,
) -> Score:
    """The statistic of the tables as a score, better the higher, with its interval.

    The interval comes from redrawing the rows of each table. ``drawn`` tells whether the value
    itself depends on the seed.
    """
    bootstrap.check()
    value, details = statistic(*tables)
    interval = bootstrap.about(
        value, lambda rng: statistic(*(table.redrawn(rng) for table in tables))[0]
    )
    return Score(
        name,
        value,
        n=tuple(len(table.codes) for table in tables),
        variant=variant,
        better="higher",
        seed=bootstrap.seed if drawn or interval else None,
        interval=interval,
        level=bootstrap.level,
        details={**details, "factors": tables[0].columns},
    )


def gaps(matrix: np.ndarray) -> np.ndarray:
    """The greatest less the second greatest of each column (d, k); 0 where there is one row.

    >>> gaps(np.array([[0.1, 0.9], [0.5, 0.8], [0.2, 0.0]]))
    array([0.3, 0.1])
    """
    if len(matrix) == 1:
        return np.zeros(matrix.shape[1])
    ordered = np.sort(matrix, axis=0)
    return ordered[-1] - ordered[-2]


def warn_of_one(table: Table) -> None:
    """Say that a gap needs two latents."""
    if table.codes.shape[1] == 1:
        warnings.warn("there is one latent, no second one: every gap is 0", stacklevel=3)
