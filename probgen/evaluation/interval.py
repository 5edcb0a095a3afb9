"""Confidence intervals for scores that are no means of independent terms."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from probgen.evaluation.score import normal_interval

Interval = tuple[float, float]
GROUPS = 20


def jackknife(
    estimate: Callable[..., Tensor], sets: Sequence[Tensor], level: float | None, seed: int = 0
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
        level: the confidence, 0.95 for instance; None for no intervals.
        seed: of the grouping.

    Raises:
        EvaluationError: a level outside (0, 1).

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
    variance = torch.zeros_like(values)
    for i, rows in enumerate(sets):
        kept = _leaving_groups_out(len(rows), seed + i)
        without = torch.stack([estimate(*sets[:i], rows[k], *sets[i + 1 :]) for k in kept])
        variance += (len(kept) - 1) * without.var(0, correction=0)
    errors = variance.sqrt().tolist()
    pairs = zip(values.tolist(), errors, strict=True)
    return [(value, normal_interval(value, error, level)) for value, error in pairs]


def _leaving_groups_out(n: int, seed: int) -> list[Tensor]:
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    groups = order.tensor_split(min(GROUPS, n))
    return [torch.cat([g for g in groups if g is not left]) for left in groups]
