"""Confidence intervals for scores that are no means of independent terms."""

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

import torch
from torch import Tensor

from probgen.evaluation.score import EvaluationError

GROUPS = 20


def jackknife(
    estimate: Callable[..., Tensor], sets: Sequence[Tensor], level: float, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Standard-error interval (low, high) of estimates (m,) by leaving out groups of rows.

    value ± z se,  se^2 = sum over sets of (G - 1)/G sum_g (estimate without g - their mean)^2

    Each set is cut at random into G = 20 groups. It holds for the estimate at this number of rows:
    a bias that shrinks with it, as that of the FID, is no part of it. Unlike the bootstrap it
    never shows an estimator the same row twice, which nearest neighbours and covariances of few
    rows do not survive.

    Args:
        estimate: from the sets to a tensor (m,).
        sets: tables with one row per item.
        level: the confidence, 0.95 for instance.
        seed: of the grouping.

    Source: Efron and Stein, Annals of Statistics 9 (1981); Shao and Wu, ibid. 17 (1989).

    >>> x = torch.arange(100.0)[:, None]
    >>> low, high = jackknife(lambda x: x.mean(0), [x], 0.95)
    >>> bool(low < 49.5 < high)
    True
    """
    check_level(level)
    value, variance = estimate(*sets), torch.zeros(())
    for i, rows in enumerate(sets):
        without = torch.stack(
            [
                estimate(*sets[:i], rows[kept], *sets[i + 1 :])
                for kept in _leaving_groups_out(len(rows), seed + i)
            ]
        )
        variance = variance + (len(without) - 1) * without.var(0, correction=0)
    half = quantile(level) * variance.sqrt()
    return value - half, value + half


def quantile(level: float) -> float:
    """How many standard errors lie on either side of the value.

    >>> round(quantile(0.95), 2)
    1.96
    """
    check_level(level)
    return NormalDist().inv_cdf(0.5 + level / 2)


def check_level(level: float) -> None:
    """Raise unless it is a confidence."""
    if not (isinstance(level, float) and 0 < level < 1 and math.isfinite(level)):
        raise EvaluationError(f"expected an interval such as 0.95, between 0 and 1; got {level!r}")


def _leaving_groups_out(n: int, seed: int) -> list[Tensor]:
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    groups = order.tensor_split(min(GROUPS, n))
    return [torch.cat([g for g in groups if g is not left]) for left in groups]
