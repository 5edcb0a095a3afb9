"""Codes beside factors, checked once."""

import warnings
from typing import Any, NamedTuple

import numpy as np
import torch

from probgen.evaluation.score import EvaluationError

WIDEST = 2**16
ROWS = 2**14


class Table(NamedTuple):
    """Codes (N, d) beside the factors (N, k) that vary, each of them counted from 0.

    Both lie in memory column by column, as the scores read them; ``columns`` tells which of the
    factors given these are.
    """

    codes: np.ndarray
    factors: np.ndarray
    columns: tuple[int, ...]

    def take(self, rows: np.ndarray) -> "Table":
        """The table of some rows."""
        return self._replace(codes=self.codes[rows], factors=self.factors[rows])

    def redrawn(self, rng: np.random.Generator) -> "Table":
        """As many rows, drawn with replacement."""
        return self.take(rng.integers(len(self.codes), size=len(self.codes)))

    def split(self, train: int, test: int, rng: np.random.Generator) -> "tuple[Table, Table]":
        """Two parts without a common row: at most two thirds to train on, the rest to test."""
        n = len(self.codes)
        if min(train, test) < 1 or n < 3:
            raise EvaluationError(
                f"expected at least 3 items, train >= 1 and test >= 1; got {n}, {train}, {test}"
            )
        size = min(train, 2 * n // 3)
        order = rng.permutation(n)
        return self.take(order[:size]), self.take(order[size : size + test])


def read(
    codes: Any, factors: Any, *, least: int = 1, continuous: bool = False, stacklevel: int = 3
) -> Table:
    """The table of codes (N, d) and factors (N, k); constant factors are left out.

    Args:
        codes: array or tensor, finite.
        factors: array or tensor of integers, or of any numbers if ``continuous``.
        least: how many factors must vary.
        continuous: keep the factors as numbers.
        stacklevel: of the caller that a warning names.

    Raises:
        EvaluationError: other shapes or types, fewer than 2 items, NaN or infinite codes, or
            fewer factors that vary.
    """
    codes = real("codes", codes)
    values = (
        real("factors", factors, length=len(codes))
        if continuous
        else _counted(factors, len(codes))
    )
    columns = tuple(np.flatnonzero(np.ptp(values, axis=0) > 0).tolist())
    for i in sorted({*range(values.shape[1])} - {*columns}):
        warnings.warn(f"factor {i} is constant: it is skipped", stacklevel=stacklevel)
    if len(columns) < least:
        raise EvaluationError(
            f"expected at least {least} factors that vary; got {len(columns)} of {values.shape[1]}"
        )
    varying = values if len(columns) == values.shape[1] else values[:, columns]
    return Table(codes, varying, columns)


def real(name: str, values: Any, *, length: int | None = None) -> np.ndarray:
    """(N, d) float64, finite, at least 2 rows, column by column in memory."""
    found = _by_column(matrix(name, values, length, "numbers", kinds="fiu"), np.float64)
    if not np.isfinite(found).all():
        row = int(np.argmin(np.isfinite(found).all(1)))
        raise EvaluationError(f"expected finite {name}; got {found[row]} in row {row}")
    return found


def matrix(name: str, values: Any, length: int | None, what: str, kinds: str) -> np.ndarray:
    """(N, d) array of the kinds of numpy dtypes named, ``length`` rows, at least 2."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        values = (values.double() if values.is_floating_point() else values).numpy()
    found = np.asarray(values)
    if found.ndim != 2 or found.dtype.kind not in kinds or not found.shape[1]:
        raise EvaluationError(
            f"expected {name}: {what} (N, at least 1); got {found.dtype} {found.shape}"
        )
    if len(found) < 2 or len(found) != (length or len(found)):
        raise EvaluationError(
            f"expected {name} of {length or 'at least 2'} items; got {len(found)}"
        )
    return found


def _by_column(values: np.ndarray, dtype: Any) -> np.ndarray:
    """A copy with each column in one piece, made in blocks that stay in the cache."""
    found = np.empty(values.shape, dtype, order="F")
    for start in range(0, len(values), ROWS):
        found[start : start + ROWS] = values[start : start + ROWS]
    return found


def _counted(factors: Any, length: int) -> np.ndarray:
    """Each column as int64 from 0; by the rank of its values where they lie far apart."""
    found = _by_column(matrix("factors", factors, length, "integers", kinds="iub"), np.int64)
    for column in found.T:
        low, high = int(column.min()), int(column.max())
        if high - low < WIDEST:
            column -= low
        else:
            column[:] = np.unique(column, return_inverse=True)[1]
    return found
