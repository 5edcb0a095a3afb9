"""Precision, recall, density and coverage: quality and variety of a generated set apart."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from probgen.evaluation import interval
from probgen.evaluation.features import FeaturesLike, matched
from probgen.evaluation.score import EvaluationError, Score

CHUNK = 1000
RANGES = (interval.SHARE, interval.SHARE, (0.0, math.inf), interval.SHARE)


class PRDC(NamedTuple):
    """Four scores, each better the higher; density may exceed 1."""

    precision: Score
    recall: Score
    density: Score
    coverage: Score


def score(
    real: FeaturesLike, generated: FeaturesLike, *, k: int = 5, level: float | None = None
) -> PRDC:
    """The four scores by balls about each point that reach to its k-th nearest neighbour.

    precision  share of generated points in a ball of a real one
    recall     share of real points in a ball of a generated one
    density    mean over generated points of the number of balls of real ones around each, over k
    coverage   share of real points whose ball holds a generated one

    A point is in a ball if its distance is less than the radius (torch-fidelity has "at most").

    Args:
        real: features (N, d).
        generated: features (M, d).
        k: neighbours, the point itself not counted; fewer than N and M.
        level: confidence of the intervals by ``interval.jackknife``.

    Raises:
        EvaluationError: as for ``features.matched``; k < 1 or not fewer than the rows.

    Source: Kynkaanniemi et al., arXiv:1904.06991; Naeem et al., arXiv:2002.09797.

    >>> x, y = torch.randn(2, 200, 2, generator=torch.Generator().manual_seed(0))
    >>> [round(float(one), 1) for one in score(x, y)]
    [1.0, 1.0, 1.0, 1.0]
    """
    x, y, extractor = matched(real, generated)
    if not 1 <= k < min(len(x), len(y)):
        raise EvaluationError(
            f"expected k from 1 to {min(len(x), len(y)) - 1}, fewer than the rows; got {k}"
        )
    found = interval.jackknife(lambda x, y: _values(x, y, k), (x, y), level, within=RANGES)
    scores = [
        Score(name, value, n=(len(x), len(y)), variant=f"k = {k}", better="higher",
              extractor=extractor, interval=bounds, level=level)
        for name, (value, bounds) in zip(PRDC._fields, found, strict=True)
    ]  # fmt: skip
    return PRDC(*scores)


def _values(real: Tensor, generated: Tensor, k: int) -> Tensor:
    reach_real, reach_generated = _squared_radii(real, k), _squared_radii(generated, k)
    around = torch.zeros(len(generated), dtype=torch.float64)
    recalled, covered = [], []
    for chunk, reach in zip(real.split(CHUNK), reach_real.split(CHUNK), strict=True):
        squared = squared_distances(chunk, generated)
        inside = squared < reach[:, None]
        around += inside.sum(0)
        covered.append(inside.any(1))
        recalled.append((squared < reach_generated).any(1))
    precision, density = (around > 0).double().mean(), around.mean() / k
    recall, coverage = (torch.cat(found).double().mean() for found in (recalled, covered))
    return torch.stack([precision, recall, density, coverage])


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """(N, M) squared Euclidean distances of rows."""
    squares = x.square().sum(1)[:, None] + y.square().sum(1)
    return torch.addmm(squares, x, y.T, alpha=-2).clamp_(min=0)


def _squared_radii(x: Tensor, k: int) -> Tensor:
    """(N,) squared distance to the k-th nearest other row."""
    radii = []
    for start in range(0, len(x), CHUNK):
        squared = squared_distances(x[start : start + CHUNK], x)
        squared.diagonal(start).fill_(torch.inf)
        radii.append(squared.topk(k, largest=False).values[:, -1])
    return torch.cat(radii)
