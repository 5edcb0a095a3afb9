"""MIG of the aggregate posterior: the codes as distributions, not as points."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from probgen.evaluation.disentanglement.bootstrap import (
    Bootstrap,
    Found,
    gaps,
    scored,
    warn_of_one,
)
from probgen.evaluation.disentanglement.information import entropy
from probgen.evaluation.disentanglement.table import Table, read, real
from probgen.evaluation.score import EvaluationError, Score, check_seed

CELLS = 2**16


def mig_aggregate(
    loc: Any,
    log_scale: Any,
    factors: Any,
    *,
    z: Any = None,
    points: int = 10_000,
    level: float | None = None,
    resamples: int = 100,
    seed: int = 0,
) -> Score:
    """Mutual information gap of samples of q(z | x) = N(loc, exp(log_scale)).

    I(z_j; v) = mean over n of log q(z_nj | v_n) - log q(z_nj),   q(z) = 1/N sum_n q(z | x_n)

    with one sample z_n of each q(z | x_n), q(z | v) the mixture over the items that have v, and
    every sample's own component in its mixtures. Negative estimates count as 0; the gaps are
    divided by the factors' entropies, as in ``mig``. The cost grows with the square of the
    points: some seconds for 10,000 points and 10 latents.

    Args:
        loc: (N, d).
        log_scale: (N, d).
        factors: (N, k) integers, as for ``mig``.
        z: (N, d) samples; drawn when not given.
        points: of more items than these, so many are drawn and stand for all.
        level: confidence of the interval, such as 0.95; bootstrap over the samples, the
            mixtures held.
        resamples: of the bootstrap.
        seed: of the points, the samples and the bootstrap.

    Returns:
        Score with details ``mutual_information`` (d, k) and ``entropies`` (k,) in nats, ``gaps``
        (k,), and ``factors``, the columns that vary.

    Raises:
        EvaluationError: as for ``mig``; points < 2, parameters of unequal shapes, or a scale
            that leaves no finite density.

    Source: Chen et al. 2018, section 4.1 and appendix C.

    >>> import numpy as np
    >>> factors = np.indices((3, 4)).reshape(2, -1).T
    >>> score = mig_aggregate(factors, np.full((12, 2), -4.0), factors)
    >>> round(float(score), 3)
    1.0
    """
    table = read(loc, factors)
    warn_of_one(table)
    check_seed(seed)
    if points < 2:
        raise EvaluationError(f"expected points >= 2; got {points}")
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(table.codes))[:points])
    scale = _like(table, "log_scale", log_scale)[rows]
    few, noise = table.take(rows), rng.standard_normal(scale.shape)
    drawn = few.codes + np.exp(scale) * noise if z is None else _like(table, "z", z)[rows]
    terms = _pointwise(_tensor(drawn), _tensor(few.codes), _tensor(scale), few.factors)
    if not np.isfinite(terms).all():
        raise EvaluationError(
            f"expected densities of q(z | x) that are numbers; got log_scale from {scale.min():g} "
            f"to {scale.max():g}"
        )

    def statistic(indexed: Table) -> Found:
        mutual = np.maximum(terms[indexed.codes[:, 0]].mean(0), 0.0)
        entropies = np.array([entropy(np.bincount(column)) for column in indexed.factors.T])
        share = gaps(mutual) / np.where(entropies > 0, entropies, 1)
        details = {"mutual_information": mutual, "entropies": entropies, "gaps": share}
        return float(share.mean()), details

    variant = f"aggregate-posterior, one sample each of {len(rows)} points"
    numbered = few._replace(codes=np.arange(len(rows))[:, None])
    return scored("MIG", variant, statistic, (numbered,), Bootstrap(level, resamples, seed))


def _like(table: Table, name: str, values: Any) -> np.ndarray:
    found = real(name, values, length=len(table.codes))
    if found.shape != table.codes.shape:
        raise EvaluationError(f"expected {name} {table.codes.shape}; got {found.shape}")
    return found


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values))


def _pointwise(z: Tensor, loc: Tensor, log_scale: Tensor, factors: np.ndarray) -> np.ndarray:
    """The log of q(z_n | v_n) / q(z_n) of each sample, latent and factor, (N, d, k)."""
    marginal = _log_mixture(z, loc, log_scale)
    terms = np.empty((*z.shape, factors.shape[1]))
    for k, column in enumerate(factors.T):
        for value in np.unique(column):
            same = np.flatnonzero(column == value)
            given = _log_mixture(z[same], loc[same], log_scale[same])
            terms[same, :, k] = given - marginal[same]
    return terms


def _log_mixture(z: Tensor, loc: Tensor, log_scale: Tensor) -> Tensor:
    """The log of the mean over n of N(z; loc_n, exp(log_scale_n)), (S, d) for z (S, d)."""
    sums = [_log_sum(*latent) for latent in zip(z.T, loc.T, log_scale.T, strict=True)]
    return torch.stack(sums, 1) - math.log(len(loc)) - 0.5 * math.log(2 * math.pi)


def _log_sum(z: Tensor, loc: Tensor, log_scale: Tensor) -> Tensor:
    """The log of the sum over n of exp(-(z - loc_n)^2 / (2 scale_n^2)) / scale_n, (S,)."""
    loc, log_scale = loc.contiguous(), log_scale.contiguous()
    rate = math.sqrt(0.5) * (-log_scale).exp()
    blocks = z.split(max(1, CELLS // len(loc)))
    return torch.cat(
        [torch.logsumexp(-((b[:, None] - loc) * rate).square() - log_scale, 1) for b in blocks]
    )
