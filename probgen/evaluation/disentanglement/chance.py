"""What a score is worth: the score of the same codes beside factors that are not theirs."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from probgen.evaluation.score import EvaluationError, Score, check_seed

LEVEL = 0.95


def floor(
    metric: Callable[..., Score],
    *table: Any,
    permutations: int = 20,
    seed: int = 0,
    **settings: Any,
) -> Score:
    """The noise floor of a metric: its mean over shuffles of the factors' rows.

    Codes and factors keep their own distributions and lose what ties them. A score within the
    floor's interval says nothing about the codes.

    Args:
        metric: of this package: ``mig``, ``dci`` ...
        table: what it takes, the factors last.
        permutations: how often to shuffle, at least 2.
        seed: of the shuffles, and the metric's.
        settings: the metric's others.

    Returns:
        The metric's score with the mean as its value, the interval that holds 95 % of the
        shuffles, and details ``values``.

    Raises:
        EvaluationError: fewer than 2 permutations; what the metric raises.

    >>> factors = np.indices((3, 4, 10)).reshape(3, -1).T[:, :2]
    >>> from probgen.evaluation.disentanglement import mig
    >>> mig(factors, factors) > floor(mig, factors, factors)
    True
    """
    if permutations < 2:
        raise EvaluationError(f"expected permutations >= 2; got {permutations}")
    check_seed(seed)
    *codes, factors = (t if isinstance(t, torch.Tensor) else np.asarray(t) for t in table)
    if not factors.ndim:
        raise EvaluationError(f"expected factors (N, k); got {table[-1]!r}")
    rng = np.random.default_rng([seed, 2])
    scores = [
        metric(*codes, factors[rng.permutation(len(factors))], seed=seed, **settings)
        for _ in range(permutations)
    ]
    values = np.array([float(score) for score in scores])
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return replace(
        scores[0],
        value=float(values.mean()),
        seed=seed,
        interval=(float(low), float(high)),
        level=LEVEL,
        details={"values": values},
    )
