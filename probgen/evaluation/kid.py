"""Kernel distance between two sets of features: the squared MMD under a cubic kernel."""

import torch
from torch import Tensor

from probgen.evaluation.features import FeaturesLike, matched
from probgen.evaluation.interval import normal_interval
from probgen.evaluation.score import EvaluationError, Score

CHUNK = 1000


def score(
    real: FeaturesLike,
    generated: FeaturesLike,
    *,
    subsets: int | None = None,
    subset_size: int = 1000,
    level: float | None = None,
    seed: int = 0,
) -> Score:
    """The unbiased squared maximum mean discrepancy with k(x, y) = (x y / d + 1)^3.

    mean of k(x, x') over x != x' + mean of k(y, y') over y != y' - 2 mean of k(x, y)

    Unbiased: its expectation is the same for any number of rows, and it may be below 0 by chance.

    Args:
        real: features (N, d).
        generated: features (M, d).
        subsets: None for all pairs of rows; or the mean over so many random subsets, as in the
            literature (100 of 1,000), which has the same expectation and a greater variance.
        subset_size: rows of each set in a subset.
        level: confidence of the interval, such as 0.95, by the variance of the projections of
            this U-statistic; for all pairs only.
        seed: of the subsets.

    Raises:
        EvaluationError: as for ``features.matched``; a subset larger than a set.

    Source: Binkowski et al., arXiv:1801.01401; Gretton et al., JMLR 13 (2012), lemma 6.

    >>> x, y = torch.randn(2, 500, 4, generator=torch.Generator().manual_seed(0))
    >>> abs(float(score(x, y))) < 0.1
    True
    """
    x, y, extractor = matched(real, generated)
    n = (len(x), len(y))
    if subsets is None:
        value, error = _mmd2_and_error(x, y)
        return Score("KID", value, n=n, variant="unbiased, all pairs", better="lower",
                     extractor=extractor, interval=normal_interval(value, error, level),
                     level=level, details={"standard_error": error})  # fmt: skip
    if level is not None:
        raise EvaluationError("expected subsets=None with a level: subsets overlap")
    if subsets < 1 or not 2 <= subset_size <= min(n):
        raise EvaluationError(
            f"expected subsets >= 1 and subset_size from 2 to {min(n)}; got {subsets} and "
            f"{subset_size}"
        )
    values = torch.tensor(_of_subsets(x, y, subsets, subset_size, seed), dtype=torch.float64)
    return Score("KID", values.mean().item(), n=n, better="lower", extractor=extractor, seed=seed,
                 variant=f"unbiased, {subsets} subsets of {subset_size}",
                 details={"std": values.std(correction=0).item()})  # fmt: skip


def mmd2(x: Tensor, y: Tensor) -> float:
    """The estimate from all pairs of rows, float64."""
    return _mmd2_and_error(x, y)[0]


def _mmd2_and_error(x: Tensor, y: Tensor) -> tuple[float, float]:
    """With h(x_i) = mean k(x_i, x) - mean k(x_i, y) the variance is about 4 Var h / N per set."""
    within_x, within_y = _means(x, x, itself=True), _means(y, y, itself=True)
    x_to_y, y_to_x = _means(x, y), _means(y, x)
    value = within_x.mean() + within_y.mean() - 2 * x_to_y.mean()
    variance = 4 * ((within_x - x_to_y).var() / len(x) + (within_y - y_to_x).var() / len(y))
    return value.item(), variance.sqrt().item()


def _means(x: Tensor, y: Tensor, *, itself: bool = False) -> Tensor:
    """(N,) mean kernel of each x with all y, or with all others of its own set."""
    sums = torch.cat([_kernel(chunk, y).sum(1) for chunk in x.split(CHUNK)])
    return (sums - _kernel_with_itself(x)) / (len(x) - 1) if itself else sums / len(y)


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _kernel_with_itself(x: Tensor) -> Tensor:
    return (x.square().mean(1) + 1) ** 3


def _of_subsets(x: Tensor, y: Tensor, subsets: int, size: int, seed: int) -> list[float]:
    generator = torch.Generator().manual_seed(seed)
    return [
        mmd2(*(t[torch.randperm(len(t), generator=generator)[:size]] for t in (x, y)))
        for _ in range(subsets)
    ]
