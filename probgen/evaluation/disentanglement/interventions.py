"""Scores from groups of items that share a factor: those of FactorVAE and beta-VAE."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from probgen.evaluation.disentanglement.bootstrap import Bootstrap, Found, scored
from probgen.evaluation.disentanglement.table import Table, read
from probgen.evaluation.score import EvaluationError, Score, check_seed

BATCHES = 500


def factor_vae(
    codes: Any,
    factors: Any,
    *,
    batch_size: int = 64,
    train_size: int = 10_000,
    test_size: int = 5_000,
    threshold: float = 0.05,
    level: float | None = None,
    resamples: int = 100,
    seed: int = 0,
) -> Score:
    """Accuracy of naming the factor that a batch shares from the latent that varies least in it.

    vote of a batch = argmin over j of Var_batch(z_j) / Var(z_j)

    Each latent stands for the factor that most training batches with its vote share. A batch is
    drawn, with replacement, from the items that have one value of one factor, so any table
    serves, also a partial grid.

    Args:
        codes: (N, d).
        factors: (N, k) integers, at least two that vary.
        batch_size: items in a batch, at least 2.
        train_size: batches for the vote.
        test_size: batches for the accuracy.
        threshold: latents of a smaller standard deviation have no vote.
        level: confidence of the interval, such as 0.95; bootstrap over items.
        resamples: of the bootstrap.
        seed: of the batches and the bootstrap.

    Returns:
        Score, the accuracy of the test batches, with details ``train_accuracy``, ``votes``
        (d, k), ``active``, the latents that vote, and ``factors``, the columns that vary. It is
        0, with a warning, where no latent has a vote.

    Raises:
        EvaluationError: as for ``mig``; fewer than two factors that vary, a factor no value of
            which is shared, sizes below 1, batches below 2.

    Source: Kim & Mnih 2018, section 4; settings of disentanglement_lib.

    >>> import numpy as np
    >>> factors = np.indices((3, 4)).reshape(2, -1).T
    >>> float(factor_vae(factors, factors))
    1.0
    """
    table = _read(codes, factors, batch_size, train_size, test_size, seed)
    if not active(table.codes, threshold).any():
        message = f"no latent has a standard deviation of {threshold} or more: the score is 0"
        warnings.warn(message, stacklevel=2)

    def statistic(table: Table) -> Found:
        codes = np.ascontiguousarray(table.codes)

        def variances(column: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
            first = rng.choice(_shared(column), (n, 1)).repeat(batch_size, 1)
            return codes[_alike(column, first, rng)].var(1, ddof=1)

        alive = active(table.codes, threshold)
        if not alive.any():
            return 0.0, {"train_accuracy": 0.0, "active": np.flatnonzero(alive)}
        factor, within = _batches(table, variances, train_size + test_size, seed)
        latent = ballots(within, table.codes.var(0, ddof=1), alive)
        found = elected(latent, factor, train_size, (len(alive), table.factors.shape[1]))
        return found[0], {**found[1], "active": np.flatnonzero(alive)}

    settings = f"{train_size} + {test_size} batches of {batch_size}, threshold {threshold:g}"
    bootstrap = Bootstrap(level, resamples, seed)
    return scored("FactorVAE score", settings, statistic, (table,), bootstrap)


def beta_vae(
    codes: Any,
    factors: Any,
    *,
    batch_size: int = 64,
    train_size: int = 10_000,
    test_size: int = 5_000,
    level: float | None = None,
    resamples: int = 100,
    seed: int = 0,
) -> Score:
    """Accuracy of a linear classifier that names the factor which pairs of items share.

    feature of a batch = mean over its pairs of |z - z'|

    The two items of a pair have one value of the batch's factor; from pair to pair the value
    may change. The classifier is a logistic regression (C = 1).

    Args:
        codes: (N, d).
        factors: (N, k) integers, at least two that vary.
        batch_size: pairs in a batch, at least 2.
        train_size: batches to train on.
        test_size: batches to test on.
        level: confidence of the interval, such as 0.95; bootstrap over items.
        resamples: of the bootstrap.
        seed: of the batches and the bootstrap.

    Returns:
        Score, the accuracy of the test batches, with details ``train_accuracy`` and
        ``factors``, the columns that vary.

    Raises:
        EvaluationError: as for ``factor_vae``.

    Source: Higgins et al. 2017, section 3; settings of disentanglement_lib.

    >>> import numpy as np
    >>> factors = np.indices((3, 4)).reshape(2, -1).T
    >>> float(beta_vae(factors, factors, train_size=200, test_size=100))
    1.0
    """
    table = _read(codes, factors, batch_size, train_size, test_size, seed)

    def statistic(table: Table) -> Found:
        codes = np.ascontiguousarray(table.codes)

        def differences(column: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
            first = rng.choice(_shared(column), (n, batch_size))
            return np.abs(codes[first] - codes[_alike(column, first, rng)]).mean(1)

        factor, found = _batches(table, differences, train_size + test_size, seed)
        return named(found, factor, train_size)

    settings = f"{train_size} + {test_size} batches of {batch_size} pairs"
    bootstrap = Bootstrap(level, resamples, seed)
    return scored("beta-VAE score", settings, statistic, (table,), bootstrap)


def ballots(within: np.ndarray, overall: np.ndarray, alive: np.ndarray) -> np.ndarray:
    """The latent alive whose variance in each batch (B, d) is least beside its overall one."""
    relative = within / np.where(alive, overall, 1)
    return np.where(alive, relative, np.inf).argmin(1)


def elected(
    latent: np.ndarray, factor: np.ndarray, train_size: int, shape: tuple[int, int]
) -> Found:
    """Test accuracy of the factor that most training batches with a latent's vote share."""
    tally = np.zeros(shape, int)
    np.add.at(tally, (latent[:train_size], factor[:train_size]), 1)
    right = tally.argmax(1)[latent] == factor
    details = {"train_accuracy": float(right[:train_size].mean()), "votes": tally}
    return float(right[train_size:].mean()), details


def named(features: np.ndarray, factor: np.ndarray, train_size: int) -> Found:
    """Test accuracy of a logistic regression from features (B, d) to the factor shared."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=1000)
    model.fit(features[:train_size], factor[:train_size])
    right = model.predict(features) == factor
    details = {"train_accuracy": float(right[:train_size].mean())}
    return float(right[train_size:].mean()), details


def _read(codes: Any, factors: Any, batch: int, train: int, test: int, seed: int) -> Table:
    check_seed(seed)
    if batch < 2 or train < 1 or test < 1:
        raise EvaluationError(
            "expected batch_size >= 2, train_size >= 1 and test_size >= 1; got "
            f"{batch}, {train} and {test}"
        )
    table = read(codes, factors, least=2, stacklevel=4)
    for i, column in zip(table.columns, table.factors.T, strict=True):
        if not len(_shared(column)):
            raise EvaluationError(f"factor {i} has no value that two items share")
    return table


def active(codes: np.ndarray, threshold: float) -> np.ndarray:
    """Which latents vary, and enough."""
    return (codes.std(0, ddof=1) >= threshold) & (np.ptp(codes, axis=0) > 0)


def _batches(
    table: Table,
    summary: Callable[[np.ndarray, int, np.random.Generator], np.ndarray],
    count: int,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The factor that each batch shares, (count,), and the summary of its codes, (count, d).

    ``summary`` takes a factor's column, the number of batches and a generator.
    """
    rng = np.random.default_rng(seed)
    factor = rng.integers(table.factors.shape[1], size=count)
    found = np.empty((count, table.codes.shape[1]))
    for k, column in enumerate(table.factors.T):
        here = np.flatnonzero(factor == k)
        for block in np.array_split(here, 1 + len(here) // BATCHES):
            found[block] = summary(column, len(block), rng)
    return factor, found


def _shared(column: np.ndarray) -> np.ndarray:
    """Items whose value another item has too."""
    return np.flatnonzero(np.bincount(column)[column] > 1)


def _alike(column: np.ndarray, items: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For each of the items one drawn from those of the same value."""
    order, counts = np.argsort(column, kind="stable"), np.bincount(column)
    values = column[items]
    starts = counts.cumsum() - counts
    return order[starts[values] + (rng.random(items.shape) * counts[values]).astype(int)]
