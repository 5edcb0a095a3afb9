"""Frechet distance between two sets of features, each taken for a Gaussian."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from probgen.evaluation import interval
from probgen.evaluation.features import Features, FeaturesLike, as_features, matched
from probgen.evaluation.score import EvaluationError, ProtocolError, Score

VARIANT = "float64, ddof 1"
SMALLEST_EIGENVALUE = 1e-10
SMALLEST_SHARE = 0.2


@dataclass(frozen=True)
class Statistics:
    """What the distance needs of a set; those of two parts add up to those of the whole.

    Args:
        n: rows seen.
        mean: (d,) their mean, float64.
        scatter: (d, d) sum of (x - mean)(x - mean)^T.
        extractor: as of ``Features``.

    >>> x = torch.randn(10, 3, generator=torch.Generator().manual_seed(0))
    >>> whole, parts = Statistics.of(x), Statistics.of(x[:4]) + Statistics.of(x[4:])
    >>> torch.allclose(whole.covariance, parts.covariance)
    True
    """

    n: int
    mean: Tensor
    scatter: Tensor
    extractor: str = ""

    @classmethod
    def of(cls, features: FeaturesLike) -> "Statistics":
        """Those of rows (N, d), one or more."""
        known = as_features(features, at_least=1)
        x = known.values
        centred = x - x.mean(0)
        return cls(len(x), x.mean(0), centred.T @ centred, known.extractor)

    def __add__(self, other: "Statistics") -> "Statistics":
        """Chan, Golub and LeVeque, The American Statistician 37 (1983), eq. 2.1."""
        if (self.mean.shape, self.extractor) != (other.mean.shape, other.extractor):
            raise ProtocolError("expected statistics of one extractor; got those of two")
        n, apart = self.n + other.n, other.mean - self.mean
        scatter = self.scatter + other.scatter + torch.outer(apart, apart) * (self.n * other.n / n)
        return Statistics(n, self.mean + apart * (other.n / n), scatter, self.extractor)

    @property
    def covariance(self) -> Tensor:
        """(d, d), ddof 1."""
        return self.scatter / (self.n - 1)


def score(
    real: FeaturesLike | Statistics,
    generated: FeaturesLike | Statistics,
    *,
    level: float | None = None,
) -> Score:
    """The Frechet distance of two sets of features.

    |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)),  all in float64, S with ddof 1

    With L L^T = S1 the last trace is the sum of the roots of the eigenvalues of L^T S2 L, by
    Cholesky. Where the product is near singular, it is the sum of the singular values of R1^T R2,
    with R R^T = S by eigenvectors: the roots of small eigenvalues would be noise. With no more
    rows than dimensions it is the sum of the singular values of the product of the two centred
    tables, exact at any rank.

    Args:
        real: features (N, d), or ``Statistics`` where the rows are too many to hold.
        generated: features (M, d), or ``Statistics``.
        level: confidence of the interval by ``interval.jackknife``, such as 0.95; needs the
            rows. It holds at these N: for what remains of the distance as N grows see
            ``infinity``.

    Raises:
        EvaluationError: fewer than two rows, different dimensions, NaN.
        ProtocolError: features of different extractors.

    Source: Heusel et al., arXiv:1706.08500; Dowson and Landau, J. Multivariate Analysis 12 (1982).

    >>> x = torch.randn(1000, 4, generator=torch.Generator().manual_seed(0))
    >>> round(float(score(x, x + 1.0)), 3)
    4.0
    """
    if isinstance(real, Statistics) or isinstance(generated, Statistics):
        if level is not None:
            raise EvaluationError("expected features to get an interval from; got statistics")
        return _of_statistics(_statistics(real), _statistics(generated))
    x, y, extractor = matched(real, generated)
    [(value, bounds)] = interval.jackknife(
        lambda x, y: _rows(x, y)[None], (x, y), level, within=[(0.0, math.inf)]
    )
    means = (x.mean(0) - y.mean(0)).square().sum().item()
    return Score("FID", value, n=(len(x), len(y)), variant=VARIANT, better="lower",
                 extractor=extractor, interval=bounds, level=level,
                 details={"means": means, "covariances": value - means})  # fmt: skip


def infinity(
    real: FeaturesLike, generated: FeaturesLike, *, shares: int = 15, seed: int = 0
) -> Score:
    """The distance extrapolated to infinitely many rows of both sets.

    The intercept of a line through the distances of random subsets of both, over 1 / their share:
    the bias of the distance is proportional to 1/N. It may be below 0 by chance.

    Args:
        real: features (N, d).
        generated: features (M, d).
        shares: how many, evenly spaced from 0.2 to 1.
        seed: of the subsets.

    Source: Chong and Forsyth, arXiv:1911.07023, who keep one set whole.

    >>> x, y = torch.randn(2, 2000, 4, generator=torch.Generator().manual_seed(0))
    >>> abs(float(infinity(x, y))) < float(score(x, y))
    True
    """
    x, y, extractor = matched(real, generated)
    if shares < 2 or min(len(x), len(y)) * SMALLEST_SHARE < 2:
        raise EvaluationError(
            f"expected shares >= 2 and 10 rows or more; got {shares}, {len(x)} and {len(y)}"
        )
    generator = torch.Generator().manual_seed(seed)
    each = torch.linspace(SMALLEST_SHARE, 1, shares, dtype=torch.float64)
    values = torch.stack(
        [_rows(_part(x, s, generator), _part(y, s, generator)) for s in each.tolist()]
    )
    design = torch.stack([torch.ones_like(each), 1 / each], 1)
    intercept, slope = torch.linalg.lstsq(design, values[:, None]).solution.flatten()
    details = {"slope": slope.item(), "shares": each.tolist(), "distances": values.tolist()}
    return Score("FID infinity", intercept.item(), n=(len(x), len(y)), extractor=extractor,
                 variant=f"{VARIANT}, {shares} shares from {SMALLEST_SHARE}", better="lower",
                 seed=seed, details=details)  # fmt: skip


def floor(real: FeaturesLike, n: int, *, level: float | None = None, seed: int = 0) -> Score:
    """What a perfect generator scores at ``n`` rows: two disjoint random parts of real features.

    Args:
        real: features (N, d), N >= 2 n.
        n: rows of each part, as many as in the score it is to be compared with.
        level: as for ``score``.
        seed: of the parts.

    >>> x = torch.randn(1000, 4, generator=torch.Generator().manual_seed(0))
    >>> float(floor(x, 500)) < 0.1
    True
    """
    known = as_features(real)
    x = known.values
    if not 2 <= n <= len(x) // 2:
        raise EvaluationError(f"expected n from 2 to {len(x) // 2}, half of the rows; got {n}")
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    parts = [Features(x[order[i : i + n]], known.extractor) for i in (0, n)]
    return replace(score(*parts, level=level), seed=seed)


def per_class(
    real: FeaturesLike,
    generated: FeaturesLike,
    real_labels: Tensor,
    generated_labels: Tensor,
    *,
    level: float | None = None,
) -> dict[int, Score]:
    """The distance within each class that both sets have at least two rows of.

    Args:
        real: features (N, d).
        generated: features (M, d).
        real_labels: (N,) class of each row.
        generated_labels: (M,) class of each row.
        level: as for ``score``.

    Raises:
        EvaluationError: labels and rows differ in number, or no class is in both sets.

    >>> x = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
    >>> y = torch.arange(20) % 2
    >>> [round(float(one), 6) for one in per_class(x, x + 1.0, y, y).values()]
    [2.0, 2.0]
    """
    x, y, extractor = matched(real, generated)
    for rows, labels in ((x, real_labels), (y, generated_labels)):
        if tuple(labels.shape) != (len(rows),):
            raise EvaluationError(f"expected {len(rows)} labels; got {tuple(labels.shape)}")
    found = {}
    for label in sorted({*real_labels.tolist()} & {*generated_labels.tolist()}):
        parts = x[real_labels == label], y[generated_labels == label]
        if min(map(len, parts)) >= 2:
            pair = (Features(part, extractor) for part in parts)
            found[label] = replace(score(*pair, level=level), name=f"FID of class {label}")
    if not found:
        raise EvaluationError("expected a class with two rows or more in both sets; got none")
    return found


def _rows(x: Tensor, y: Tensor) -> Tensor:
    """The distance from centred tables where they are short, else from covariances."""
    if min(len(x), len(y)) > x.shape[1]:
        return _distance(Statistics.of(x), Statistics.of(y))
    root_x, root_y = _root(x), _root(y)
    overlap = torch.linalg.svdvals(root_x @ root_y.T).sum()
    spread = root_x.square().sum() + root_y.square().sum()
    return _total(x.mean(0) - y.mean(0), spread - 2 * overlap)


def _root(x: Tensor) -> Tensor:
    """R with R^T R the covariance, of as few rows as it can have."""
    centred = (x - x.mean(0)) / (len(x) - 1) ** 0.5
    return centred if len(x) <= x.shape[1] else torch.linalg.qr(centred, mode="r").R


def _distance(a: Statistics, b: Statistics) -> Tensor:
    first, second = a.covariance, b.covariance
    spread = first.trace() + second.trace() - 2 * _overlap(first, second)
    return _total(a.mean - b.mean, spread)


def _overlap(first: Tensor, second: Tensor) -> Tensor:
    """The trace of (S1 S2)^(1/2)."""
    lower, failed = torch.linalg.cholesky_ex(first)
    if not failed:
        eigenvalues = torch.linalg.eigvalsh(lower.T @ second @ lower)
        if eigenvalues[0] > SMALLEST_EIGENVALUE * eigenvalues[-1]:
            return eigenvalues.sqrt().sum()
    return torch.linalg.svdvals(_factor(first).T @ _factor(second)).sum()


def _factor(covariance: Tensor) -> Tensor:
    """R with R R^T the covariance; what rounding makes of its zeros is 0."""
    values, vectors = torch.linalg.eigh(covariance)
    noise = len(values) * torch.finfo(values.dtype).eps * values[-1]
    return vectors * values.where(values > noise, 0).sqrt()


def _total(apart: Tensor, spread: Tensor) -> Tensor:
    return apart.square().sum() + spread.clamp(min=0)


def _statistics(one: FeaturesLike | Statistics) -> Statistics:
    return one if isinstance(one, Statistics) else Statistics.of(one)


def _of_statistics(a: Statistics, b: Statistics) -> Score:
    if min(a.n, b.n) < 2:
        raise EvaluationError(f"expected at least 2 rows of features; got {a.n} and {b.n}")
    matched(
        Features(a.mean.expand(2, -1), a.extractor), Features(b.mean.expand(2, -1), b.extractor)
    )
    return Score("FID", _distance(a, b).item(), n=(a.n, b.n), variant=VARIANT,
                 better="lower", extractor=a.extractor or b.extractor)  # fmt: skip


def _part(x: Tensor, share: float, generator: torch.Generator) -> Tensor:
    return x[torch.randperm(len(x), generator=generator)[: round(share * len(x))]]
