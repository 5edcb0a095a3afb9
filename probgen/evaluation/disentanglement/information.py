"""Scores from the mutual information of latents and factors: MIG and modularity."""

import math
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from probgen.evaluation.disentanglement.bootstrap import (
    Bootstrap,
    Found,
    gaps,
    scored,
    warn_of_one,
)
from probgen.evaluation.disentanglement.table import ROWS, Table, read
from probgen.evaluation.score import EvaluationError, Score

CELLS = 2**11
BLOCK = 2**16


class Information(NamedTuple):
    """Mutual information (d, k) of latents and factors, and the factors' entropies (k,), nats."""

    mutual: np.ndarray
    entropies: np.ndarray


def mig(
    codes: Any,
    factors: Any,
    *,
    bins: int = 20,
    quantiles: bool = False,
    level: float | None = None,
    resamples: int = 100,
    seed: int = 0,
) -> Score:
    """Mutual information gap of binned codes; 1 where each factor is known from one latent.

    MIG = mean over factors v of (I(z_1; v) - I(z_2; v)) / H(v)

    with z_1 and z_2 the two latents that know most of v. A constant latent knows nothing, a
    constant factor is skipped with a warning, and of a single latent every gap is 0. The plug-in
    estimate is above 0 for codes that know nothing: ``floor`` tells by how much.

    Args:
        codes: (N, d), usually means of q(z | x); Locatello et al. take 10,000.
        factors: (N, k) integers, any table: no grid is needed.
        bins: equal-width bins per latent, from its least to its greatest value.
        quantiles: bins of equal counts instead, which outliers cannot ruin.
        level: confidence of the interval, such as 0.95; bootstrap over items.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        Score with details ``mutual_information`` (d, k) and ``entropies`` (k,) in nats, ``gaps``
        (k,), and ``factors``, the columns that vary.

    Raises:
        EvaluationError: fewer than 2 items, codes that are not finite, factors that are not
            integers or of another length, no factor that varies, fewer than 2 bins.

    Source: Chen et al. 2018, section 4.1; the bins of Locatello et al. 2019, appendix B.

    >>> import numpy as np
    >>> factors = np.indices((3, 4)).reshape(2, -1).T
    >>> float(mig(factors, factors))
    1.0
    """
    table = _read(codes, factors, bins, quantiles)
    warn_of_one(table)

    def statistic(table: Table) -> Found:
        found = information(table, bins, quantiles=quantiles)
        share = gaps(found.mutual) / np.where(found.entropies > 0, found.entropies, 1)
        return float(share.mean()), {**_details(found), "gaps": share}

    variant = f"binned-means, {_bins(bins, quantiles)}"
    bootstrap = Bootstrap(level, resamples, seed)
    return scored("MIG", variant, statistic, (table,), bootstrap, drawn=False)


def modularity(
    codes: Any,
    factors: Any,
    *,
    bins: int = 20,
    quantiles: bool = False,
    level: float | None = None,
    resamples: int = 100,
    seed: int = 0,
) -> Score:
    """Whether each latent knows one factor only: 1 if so.

    mean over latents z of 1 - sum over v != v* of I(z; v)^2 / ((k - 1) I(z; v*)^2)

    with v* the factor that z knows most of. A latent that knows nothing at all counts as 0.

    Args:
        codes: as for ``mig``.
        factors: as for ``mig``, at least two that vary.
        bins: as for ``mig``.
        quantiles: as for ``mig``.
        level: as for ``mig``.
        resamples: as for ``mig``.
        seed: as for ``mig``.

    Returns:
        Score with details ``mutual_information`` (d, k), ``entropies`` (k,), ``per_latent`` (d,).

    Raises:
        EvaluationError: as for ``mig``; fewer than two factors that vary.

    Source: Ridgeway & Mozer 2018, section 3; dead latents as in disentanglement_lib.

    >>> import numpy as np
    >>> factors = np.indices((3, 4)).reshape(2, -1).T
    >>> float(modularity(factors, factors))
    1.0
    """
    table = _read(codes, factors, bins, quantiles, least=2)

    def statistic(table: Table) -> Found:
        found = information(table, bins, quantiles=quantiles)
        per_latent = _modularities(found.mutual)
        return float(per_latent.mean()), {**_details(found), "per_latent": per_latent}

    bootstrap = Bootstrap(level, resamples, seed)
    name, variant = "modularity", _bins(bins, quantiles)
    return scored(name, variant, statistic, (table,), bootstrap, drawn=False)


def entropy(counts: np.ndarray) -> float:
    """Of a table of counts, in nats.

    >>> round(entropy(np.array([1, 1, 0])), 4)
    0.6931
    """
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def _read(codes: Any, factors: Any, bins: int, quantiles: bool, least: int = 1) -> Table:
    if bins < 2:
        raise EvaluationError(f"expected bins >= 2; got {bins}")
    table = read(codes, factors, least=least, stacklevel=4)
    if not quantiles:
        _warn_of_outliers(table.codes, bins)
    return table


def _details(found: Information) -> dict[str, np.ndarray]:
    return {"mutual_information": found.mutual, "entropies": found.entropies}


def _bins(bins: int, quantiles: bool) -> str:
    return f"{bins} quantile bins" if quantiles else f"{bins} bins"


def _modularities(mutual: np.ndarray) -> np.ndarray:
    squares = mutual**2
    greatest = squares.max(1)
    rest = (squares.sum(1) - greatest) / (squares.shape[1] - 1)
    return np.where(greatest > 0, 1 - rest / np.where(greatest > 0, greatest, 1), 0.0)


def information(table: Table, bins: int, *, quantiles: bool = False) -> Information:
    """Of every binned latent and every factor."""
    sizes = table.factors.max(0) + 1
    mutual = np.empty((table.codes.shape[1], len(sizes)))
    binned = [in_bins(c, bins, quantiles=quantiles) for c in table.codes.T]
    entropies = [entropy(np.bincount(column)) for column in table.factors.T]
    for group in _groups(sizes):
        together = np.ravel_multi_index(table.factors[:, group].T, sizes[group])
        cells = math.prod(sizes[group])
        for latent, index in enumerate(binned):
            joint = _joint(index, together, bins, cells).reshape(bins, *sizes[group])
            for axis, factor in enumerate(group, start=1):
                others = tuple({*range(1, joint.ndim)} - {axis})
                mutual[latent, factor] = _mutual_information(joint.sum(others))
    return Information(mutual, np.array(entropies))


def _joint(a: np.ndarray, b: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """How often each pair (a, b) occurs, (rows * columns,), without arrays as long as these."""
    counts = np.zeros(rows * columns, np.int64)
    for start in range(0, len(a), BLOCK):
        pairs = a[start : start + BLOCK].astype(np.int64)
        pairs *= columns
        pairs += b[start : start + BLOCK]
        counts += np.bincount(pairs, minlength=len(counts))
    return counts


def _mutual_information(joint: np.ndarray) -> float:
    """Sum of p(a, b) log p(a, b) / (p(a) p(b)) of counts (a, b); 0 exactly of one row."""
    n = joint.sum()
    independent = joint.sum(1)[:, None] * joint.sum(0)
    seen = joint > 0
    ratios = joint[seen] * float(n) / independent[seen]
    return max(0.0, float((joint[seen] * np.log(ratios)).sum() / n))


def _groups(sizes: Sequence[int]) -> Iterator[list[int]]:
    """Factors to count at once: neighbours whose joint table stays small enough for the cache."""
    group: list[int] = []
    for factor in range(len(sizes)):
        if group and math.prod(int(sizes[i]) for i in [*group, factor]) > CELLS:
            yield group
            group = []
        group.append(factor)
    yield group


def in_bins(column: np.ndarray, bins: int, *, quantiles: bool = False) -> np.ndarray:
    """The bin of each value, from 0."""
    return _binned(column, _edges(column, bins, quantiles))


def _edges(column: np.ndarray, bins: int, quantiles: bool) -> np.ndarray:
    """The bins - 1 inner edges; a value on an edge belongs above it."""
    if quantiles:
        return np.quantile(column, np.arange(1, bins) / bins)
    return np.linspace(column.min(), column.max(), bins + 1)[1:-1]


def _binned(column: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The number of edges at or below each value: ``numpy.digitize``, faster for few edges."""
    found = np.zeros(len(column), np.min_scalar_type(len(edges)))
    for start in range(0, len(column), ROWS):
        values, counts = column[start : start + ROWS], found[start : start + ROWS]
        for edge in edges:
            counts += values >= edge
    return found


def _warn_of_outliers(codes: np.ndarray, bins: int) -> None:
    """Say where nine tenths of a latent that varies lie within the width of one bin or so."""
    few = codes[:: 1 + len(codes) // ROWS]
    low, high = np.quantile(few, [0.05, 0.95], axis=0)
    ruined = (high > low) & ((high - low) * max(bins, 10) < np.ptp(codes, axis=0))
    if ruined.any():
        warnings.warn(
            f"outliers: nine tenths of the values of latents {np.flatnonzero(ruined).tolist()} "
            f"lie within {1 / max(bins, 10):.0%} of their range, in one bin or two of {bins}; "
            "quantiles=True gives bins that outliers cannot ruin",
            stacklevel=4,
        )
