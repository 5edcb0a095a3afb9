"""Confidence intervals, each within the range of its score."""

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist, fmean, stdev

import torch
from torch import Tensor

from probgen.evaluation.score import EvaluationError

Interval = tuple[float, float]
GROUPS = 20
ANY: Interval = (-math.inf, math.inf)
SHARE: Interval = (0.0, 1.0)


def normal_interval(
    value: float, standard_error: float, level: float | None, *, within: Interval = ANY
) -> Interval | None:
    """Where a normal estimate lies with probability ``level``; None without a level.

    value -+ z standard_error, cut to the range that the estimated can have

    Raises:
        EvaluationError: a level outside (0, 1).

    >>> normal_interval(0.0, 1.0, 0.95)
    (-1.95..., 1.95...)
    """
    if level is None:
        return None
    if not 0 < level < 1:
        raise EvaluationError(f"expected level in (0, 1), 0.95 for instance; got {level}")
    half = NormalDist().inv_cdf((1 + level) / 2) * standard_error
    return max(value - half, within[0]), min(value + half, within[1])


def mean_interval(values: Sequence[float], *, level: float = 0.95) -> Interval:
    """Where the mean of independent runs lies, by Student's t: mean -+ t s / sqrt(n).

    Raises:
        EvaluationError: fewer than two values, or a level outside (0, 1).

    Source: Student, Biometrika 6 (1908).

    >>> low, high = mean_interval([1.0, 2.0, 3.0])
    >>> round(low, 3), round(high, 3)
    (-0.484, 4.484)
    """
    from scipy.special import stdtrit

    normal_interval(0.0, 1.0, level)
    n = len(values)
    if n < 2:
        raise EvaluationError(
            f"expected two values or more for an interval of their mean; got {n}"
        )
    half = float(stdtrit(n - 1, (1 + level) / 2)) * stdev(values) / math.sqrt(n)
    return fmean(values) - half, fmean(values) + half


def jackknife(
    estimate: Callable[..., Tensor],
    sets: Sequence[Tensor],
    level: float | None,
    *,
    seed: int = 0,
    within: Sequence[Interval] = (ANY,),
) -> list[tuple[float, Interval | None]]:
    """Each of the estimates (m,) with its interval (low, high), by leaving out groups of rows.

    value -+ z se,  se^2 = sum over sets of (G - 1)/G sum_g (estimate without g - their mean)^2

    Each set is cut at random into G = 20 groups. It holds for the estimate at this number of rows:
    a bias that shrinks with it, as that of the FID, is no part of it. Unlike the bootstrap it
    never shows an estimator the same row twice, which nearest neighbours and covariances of few
    rows do not survive.

    Args:
        estimate: from the sets to a tensor (m,).
        sets: tables with one row per item.
        level: the confidence, 0.95 for instance; None for no interval.
        seed: of the grouping.
        within: the range of each of the estimates.

    Raises:
        EvaluationError: a level outside (0, 1), or too few rows to leave some out.

    Source: Efron and Stein, Annals of Statistics 9 (1981); Shao and Wu, ibid. 17 (1989).

    >>> x = torch.arange(100.0)[:, None]
    >>> [(value, (low, high))] = jackknife(lambda x: x.mean(0), [x], 0.95)
    >>> low < value < high
    True
    """
    normal_interval(0.0, 1.0, level)
    values = estimate(*sets)
    if level is None:
        return [(value, None) for value in values.tolist()]
    if min(map(len, sets)) < 3:
        raise EvaluationError(f"expected 3 rows or more for an interval; got {[*map(len, sets)]}")
    variance = torch.zeros_like(values)
    for i, rows in enumerate(sets):
        kept = _leaving_groups_out(len(rows), seed + i)
        without = torch.stack([estimate(*sets[:i], rows[k], *sets[i + 1 :]) for k in kept])
        variance += (len(kept) - 1) * without.var(0, correction=0)
    if not variance.isfinite().all():
        raise EvaluationError(
            f"expected more rows for an interval; got {[*map(len, sets)]}, and without some of "
            "them there is no estimate"
        )
    found = zip(values.tolist(), variance.sqrt().tolist(), within, strict=True)
    return [
        (value, normal_interval(value, error, level, within=range_))
        for value, error, range_ in found
    ]


def _leaving_groups_out(n: int, seed: int) -> list[Tensor]:
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    groups = order.tensor_split(min(GROUPS, n))
    return [torch.cat([g for g in groups if g is not left]) for left in groups]
