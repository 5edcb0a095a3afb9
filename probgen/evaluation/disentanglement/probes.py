"""Scores from predictors of the factors: SAP, DCI and explicitness, by scikit-learn."""

from typing import Any, NamedTuple

import numpy as np

from probgen.evaluation.disentanglement.bootstrap import (
    Bootstrap,
    Found,
    gaps,
    scored,
    warn_of_one,
)
from probgen.evaluation.disentanglement.table import Table, matrix, read, real
from probgen.evaluation.score import EvaluationError, Score, check_seed

Held = tuple[Any, Any]
TINY = 1e-11


class Importance(NamedTuple):
    """What importances (d, k) of latents for factors say as a whole, and one by one."""

    disentanglement: float
    completeness: float
    per_latent: np.ndarray
    per_factor: np.ndarray


def sap(
    codes: Any,
    factors: Any,
    *,
    test: Held | None = None,
    continuous: bool = False,
    train_size: int = 10_000,
    test_size: int = 5_000,
    level: float | None = None,
    resamples: int = 100,
    seed: int = 0,
) -> Score:
    """Separated attribute predictability: by how much one latent predicts a factor best.

    mean over factors of S_1 - S_2, the two highest scores of a single latent

    The score of a latent is the test accuracy of a linear support vector machine (C = 0.01,
    balanced classes) on it alone; for continuous factors it is the squared correlation over all
    items. Of a single latent every gap is 0.

    Args:
        codes: (N, d).
        factors: (N, k) integers, or numbers if ``continuous``.
        test: codes and factors to test on, in place of items held out.
        continuous: take the factors as numbers.
        train_size: where items are held out, train on at most this many, and two thirds.
        test_size: where items are held out, hold out at most this many.
        level: confidence of the interval, such as 0.95; bootstrap over the items of each part.
        resamples: of the bootstrap.
        seed: of the split and the bootstrap.

    Returns:
        Score with details ``scores`` (d, k), ``gaps`` (k,) and ``factors``, the columns that
        vary.

    Raises:
        EvaluationError: as for ``mig``; fewer than 3 items to split; a test set that does not
            fit, or one for continuous factors.

    Source: Kumar et al. 2018, section 3; settings of disentanglement_lib.

    >>> import numpy as np
    >>> z = np.random.default_rng(0).normal(size=(3_000, 2))
    >>> round(float(sap(z, z, continuous=True)), 1)
    1.0
    """
    if continuous and test is not None:
        raise EvaluationError("expected no test set for continuous factors: nothing is fitted")
    if continuous:
        tables: tuple[Table, ...] = (read(codes, factors, continuous=True),)
    else:
        tables = _parts(codes, factors, test, (train_size, test_size), seed)
    warn_of_one(tables[0])
    measure = _correlations if continuous else _accuracies
    variant = "squared correlation" if continuous else "linear SVM, C 0.01"

    def statistic(*tables: Table) -> Found:
        scores = measure(*tables)
        return float(gaps(scores).mean()), {"scores": scores, "gaps": gaps(scores)}

    bootstrap = Bootstrap(level, resamples, seed)
    return scored("SAP", variant, statistic, tables, bootstrap, drawn=len(tables) > 1)


def dci(
    codes: Any,
    factors: Any,
    *,
    test: Held | None = None,
    train_size: int = 10_000,
    test_size: int = 5_000,
    level: float | None = None,
    resamples: int = 100,
    seed: int = 0,
) -> Score:
    """Disentanglement of DCI: whether each latent is important for one factor only.

    D = sum over latents of share_j (1 - H_k(P_j)), P_j the importances of latent j over factors

    with the entropy to the base k and share_j the latent's part of all importance; completeness
    is the same with latents and factors changed about (1 of a single latent). Importances are
    those of gradient boosted trees, which take minutes for 10,000 items and factors of many
    values.

    Args:
        codes: (N, d).
        factors: (N, k) integers, at least two that vary.
        test: as for ``sap``.
        train_size: as for ``sap``.
        test_size: as for ``sap``.
        level: confidence of the interval, such as 0.95; bootstrap over the items of each part,
            all fitted anew.
        resamples: of the bootstrap.
        seed: of the split, the trees and the bootstrap.

    Returns:
        Score whose value is the disentanglement, with details ``completeness``,
        ``informativeness`` (test accuracy; also ``informativeness_train``), ``importance``
        (d, k), ``per_latent`` (d,), ``per_factor`` (k,) and ``factors``, the columns that vary.

    Raises:
        EvaluationError: as for ``sap``; fewer than two factors that vary.

    Source: Eastwood & Williams 2018, section 2; trees as in disentanglement_lib.

    >>> import numpy as np
    >>> factors = np.indices((3, 4, 10)).reshape(3, -1).T[:, :2]
    >>> score = dci(factors, factors)
    >>> round(float(score), 3), score.details["informativeness"]
    (1.0, 1.0)
    """
    tables = _parts(codes, factors, test, (train_size, test_size), seed, least=2)

    def statistic(train: Table, test: Table) -> Found:
        importance, accuracy = _boosted(train, test, seed)
        found = importances(importance)
        details = found._asdict() | {
            "importance": importance,
            "informativeness_train": float(accuracy[0].mean()),
            "informativeness": float(accuracy[1].mean()),
        }
        return details.pop("disentanglement"), details

    bootstrap = Bootstrap(level, resamples, seed)
    return scored("DCI disentanglement", "gradient boosted trees", statistic, tables, bootstrap)


def explicitness(
    codes: Any,
    factors: Any,
    *,
    test: Held | None = None,
    train_size: int = 10_000,
    test_size: int = 5_000,
    level: float | None = None,
    resamples: int = 100,
    seed: int = 0,
) -> Score:
    """How well a linear classifier on all latents tells each value of a factor from the rest.

    mean over factors of the mean over their values of the test area under the ROC curve, by
    logistic regression (C = 1) on codes standardised by the training part; 1/2 at chance. A
    value that all test items have, or none, has no such curve and is left out.

    Args:
        codes: (N, d).
        factors: (N, k) integers.
        test: as for ``sap``.
        train_size: as for ``sap``.
        test_size: as for ``sap``.
        level: as for ``sap``.
        resamples: as for ``sap``.
        seed: of the split and the bootstrap.

    Returns:
        Score with details ``per_factor`` (k,), ``per_factor_train`` (k,) and ``factors``, the
        columns that vary.

    Raises:
        EvaluationError: as for ``sap``; test items too few or alike for any curve.

    Source: Ridgeway & Mozer 2018, section 3, not rescaled to [0, 1], as in disentanglement_lib.

    >>> import numpy as np
    >>> factors = np.indices((3, 4, 10)).reshape(3, -1).T[:, :2]
    >>> float(explicitness(np.eye(4)[factors[:, 1]], factors[:, 1:]))
    1.0
    """
    tables = _parts(codes, factors, test, (train_size, test_size), seed)

    def statistic(train: Table, test: Table) -> Found:
        areas = _areas(train, test)
        if np.isnan(areas[1]).all():
            raise EvaluationError(
                f"expected a value that some test items have and others not; got {len(test.codes)}"
                " items without one"
            )
        details = {"per_factor": areas[1], "per_factor_train": areas[0]}
        return float(np.nanmean(areas[1])), details

    bootstrap = Bootstrap(level, resamples, seed)
    return scored("explicitness", "logistic regression, ROC AUC", statistic, tables, bootstrap)


def importances(matrix: np.ndarray) -> Importance:
    """Disentanglement and completeness of importances (d, k), as in ``dci``."""
    weights = matrix if matrix.sum() else np.ones_like(matrix)
    per_latent, per_factor = _concentration(matrix.T), _concentration(matrix)
    return Importance(
        float(per_latent @ weights.sum(1) / weights.sum()),
        float(per_factor @ weights.sum(0) / weights.sum()),
        per_latent,
        per_factor,
    )


def _concentration(matrix: np.ndarray) -> np.ndarray:
    """1 - entropy of each column, to the base of the number of rows; 1 where that is one."""
    if len(matrix) == 1:
        return np.ones(matrix.shape[1])
    shares = (matrix + TINY) / (matrix + TINY).sum(0)
    return 1 + (shares * np.log(shares)).sum(0) / np.log(len(matrix))


def _parts(
    codes: Any,
    factors: Any,
    test: Held | None,
    sizes: tuple[int, int],
    seed: int,
    least: int = 1,
) -> tuple[Table, Table]:
    """A part to train on and one to test on: items held out, or those of ``test``."""
    check_seed(seed)
    if test is None:
        table = read(codes, factors, least=least, stacklevel=4)
        return table.split(*sizes, np.random.default_rng(seed))
    known, unknown = (_pair(*part) for part in ((codes, factors), test))
    widths = [[values.shape[1] for values in part] for part in (known, unknown)]
    if widths[0] != widths[1]:
        raise EvaluationError(
            f"expected test codes and factors of widths {widths[0]}; got {widths[1]}"
        )
    both = (np.concatenate(parts) for parts in zip(known, unknown, strict=True))
    table = read(*both, least=least, stacklevel=4)
    rows = np.arange(len(table.codes))
    return table.take(rows[: len(known[0])]), table.take(rows[len(known[0]) :])


def _pair(codes: Any, factors: Any) -> tuple[np.ndarray, np.ndarray]:
    found = real("codes", codes)
    return found, matrix("factors", factors, len(found), "integers", kinds="iub")


def _fitted(model: Any, codes: np.ndarray, values: np.ndarray) -> Any:
    """The model, or where a part has a single value of a factor, its constant prediction."""
    from sklearn.dummy import DummyClassifier

    return (model if np.ptp(values) else DummyClassifier()).fit(codes, values)


def _accuracies(train: Table, test: Table) -> np.ndarray:
    """Of each latent alone for each factor, (d, k)."""
    from sklearn.svm import LinearSVC

    def accuracy(j: int, k: int) -> float:
        model = LinearSVC(C=0.01, class_weight="balanced", random_state=0)
        model = _fitted(model, train.codes[:, [j]], train.factors[:, k])
        return float((model.predict(test.codes[:, [j]]) == test.factors[:, k]).mean())

    latents, factors = train.codes.shape[1], train.factors.shape[1]
    return np.array([[accuracy(j, k) for k in range(factors)] for j in range(latents)])


def _correlations(table: Table) -> np.ndarray:
    """Squared, (d, k); 0 of a constant."""
    x, y = (values - values.mean(0) for values in (table.codes, table.factors))
    varies = (np.ptp(table.codes, axis=0) > 0)[:, None] & (np.ptp(table.factors, axis=0) > 0)
    products = np.outer((x**2).sum(0), (y**2).sum(0))
    return np.where(varies, (x.T @ y) ** 2 / np.where(varies, products, 1), 0.0)


def _boosted(train: Table, test: Table, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Importances (d, k), and accuracy of train and test (2, k)."""
    from sklearn.ensemble import GradientBoostingClassifier

    importance, accuracy = [], []
    for known, unknown in zip(train.factors.T, test.factors.T, strict=True):
        model = GradientBoostingClassifier(random_state=seed % 2**32)
        model = _fitted(model, train.codes, known)
        importance.append(getattr(model, "feature_importances_", np.zeros(train.codes.shape[1])))
        accuracy.append([model.score(train.codes, known), model.score(test.codes, unknown)])
    return np.stack(importance, 1), np.array(accuracy).T


def _areas(train: Table, test: Table) -> np.ndarray:
    """Mean area under the ROC curve of each factor's values, of train and test, (2, k)."""
    from sklearn.linear_model import LogisticRegression

    spread = train.codes.std(0)
    centre, spread = train.codes.mean(0), np.where(spread > 0, spread, 1)
    areas = []
    for k, values in enumerate(train.factors.T):
        model = _fitted(LogisticRegression(), (train.codes - centre) / spread, values)
        areas.append([_area(model, (p.codes - centre) / spread, p.factors[:, k])
                      for p in (train, test)])  # fmt: skip
    return np.array(areas).T


def _area(model: Any, codes: np.ndarray, values: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    chances = model.predict_proba(codes)
    each = [
        roc_auc_score(values == value, chances[:, i])
        for i, value in enumerate(model.classes_)
        if 0 < (values == value).sum() < len(values)
    ]
    return float(np.mean(each)) if each else np.nan
