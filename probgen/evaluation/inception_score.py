"""Inception score: how sure a classifier is of each image, and how varied its answers are."""

from typing import Any

import torch
from torch import Tensor

from probgen.evaluation import interval
from probgen.evaluation.score import EvaluationError, Score

TOLERANCE = 1e-3


def score(
    probabilities: Any,
    *,
    splits: int = 10,
    extractor: str = "",
    level: float | None = None,
    seed: int | None = 0,
) -> Score:
    """Exponential of the mean KL(p(y | x) || p(y)); the mean over splits.

    From 1, all answers alike, to the number of classes.

    Args:
        probabilities: (N, classes), of each image.
        splits: parts, split i of rows i N // splits to (i + 1) N // splits. Fewer rows per split
            give a smaller score.
        extractor: of the classifier, as ``features.identity`` has it.
        level: confidence of the interval by ``interval.jackknife``.
        seed: of the permutation before the split, without which images sorted by class score 1;
            None for the rows as they come.

    Raises:
        EvaluationError: fewer than two rows, rows that are no probabilities, splits that are more
            than the rows.

    Source: Salimans et al., arXiv:1606.03498.

    >>> round(float(score(torch.eye(10).repeat(100, 1), splits=1)), 3)
    10.0
    """
    rows = _checked(probabilities, splits)
    if seed is not None:
        rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))]
    [(value, bounds)] = interval.jackknife(
        lambda rows: _of_splits(rows, splits).mean(0, keepdim=True),
        [rows],
        level,
        within=[(1.0, rows.shape[1])],
    )
    std = _of_splits(rows, splits).std(correction=0).item()
    return Score("IS", value, n=(len(rows),), variant=f"{splits} splits", better="higher",
                 extractor=extractor, seed=seed, interval=bounds, level=level,
                 details={"std": std})  # fmt: skip


def _of_splits(rows: Tensor, splits: int) -> Tensor:
    bounds = [i * len(rows) // splits for i in range(splits + 1)]
    return torch.stack([_of_one(rows[a:b]) for a, b in zip(bounds[:-1], bounds[1:], strict=True)])


def _of_one(rows: Tensor) -> Tensor:
    """exp(H(mean of p) - mean of H(p))."""
    return (_entropy(rows.mean(0)) - _entropy(rows).mean()).exp()


def _entropy(p: Tensor) -> Tensor:
    return -torch.xlogy(p, p).sum(-1)


def _checked(probabilities: Any, splits: int) -> Tensor:
    rows = torch.as_tensor(probabilities).detach()
    if rows.dim() != 2 or len(rows) < 2:
        raise EvaluationError(
            f"expected probabilities (N, classes), N >= 2; got {tuple(rows.shape)}"
        )
    if not 1 <= splits <= len(rows):
        raise EvaluationError(f"expected splits from 1 to {len(rows)}; got {splits}")
    rows = rows.double()
    valid = (rows >= 0).all(1) & ((rows.sum(1) - 1).abs() < TOLERANCE)
    if not valid.all():
        row = int((~valid).nonzero()[0])
        raise EvaluationError(
            f"expected probabilities, rows >= 0 that sum to 1; got {rows[row].tolist()[:4]} in "
            f"row {row} (logits need a softmax)"
        )
    return rows
