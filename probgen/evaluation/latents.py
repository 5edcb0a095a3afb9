"""What codes know of labels: nearest neighbours, a linear probe, principal components."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from probgen.data import Set
from probgen.evaluation.interval import SHARE, normal_interval
from probgen.evaluation.score import EvaluationError, Score, check_seed
from probgen.models.pairs import batches, check_weights, evaluation_mode, labels_for
from probgen.objectives import Encodes

Labelled = tuple[Any, Any]


class Posterior(NamedTuple):
    """Means and logarithms of the standard deviations of q(z | x), each (N, d), on the CPU."""

    loc: Tensor
    log_scale: Tensor


class Components(NamedTuple):
    """Principal components of two sets of codes, and the share of variance of each, (c,)."""

    train: np.ndarray
    test: np.ndarray
    explained: np.ndarray


def posterior(pair: Encodes, data: Set, *, batch_size: int = 500) -> Posterior:
    """q(z | x) of every item of a set.

    Args:
        pair: with ``encode``; used in evaluation mode and left in the mode it was in.
        data: the set, moved to the pair's device.
        batch_size: rows at a time.

    Raises:
        PairError: batch_size below 1, or weights that are not finite.

    >>> from probgen import data, models, nets
    >>> train, test = data.digits()
    >>> vae = models.VAE(nets.dense_encoder(test.shape, 4), nets.dense_decoder(4, test.shape))
    >>> posterior(vae, test).loc.shape
    torch.Size([297, 4])
    """
    check_weights(pair)
    with evaluation_mode(pair, seed=0):
        found = [pair.encode(x, *labels_for(pair, y)) for x, y in batches(pair, data, batch_size)]
    loc, scale = (torch.cat([getattr(q, of) for q in found]).cpu() for of in ("mean", "stddev"))
    return Posterior(loc, scale.log())


def pca(train: Any, test: Any, components: int | float) -> Components:
    """Principal components fitted to training codes alone.

    Args:
        train: (N, d).
        test: (M, d).
        components: how many, or which share of the variance, in (0, 1), they explain at least.

    Raises:
        EvaluationError: codes of other shapes or not finite; more components than there are
            dimensions or items.

    >>> pca([[0.0, 0.0], [2.0, 0.0], [4.0, 0.0]], [[2.0, 5.0]], 1).test.round(6).tolist()
    [[0.0]]
    """
    from sklearn.decomposition import PCA

    known, unknown = _codes("train", train), _codes("test", test, np.shape(train)[-1])
    most = min(known.shape)
    if not (0 < components < 1 or (components == int(components) and 1 <= components <= most)):
        raise EvaluationError(
            f"expected components from 1 to {most}, or a share in (0, 1); got {components}"
        )
    fitted = PCA(components, svd_solver="full").fit(known)
    return Components(
        fitted.transform(known), fitted.transform(unknown), fitted.explained_variance_ratio_
    )


def knn(
    train: Labelled,
    test: Labelled,
    *,
    neighbours: Sequence[int] = range(1, 20),
    weights: Sequence[str] = ("uniform", "distance"),
    folds: int = 3,
    level: float | None = None,
    seed: int = 0,
) -> Score:
    """Test accuracy of the k nearest neighbours (Euclidean), by the best k and weights.

    Both are chosen by cross-validation on the training codes; of equally good ones the first.
    One search of neighbours per fold serves all of them.

    Args:
        train: codes (N, d) and labels (N,), integers.
        test: codes (M, d) and labels (M,).
        neighbours: values of k to choose from.
        weights: "uniform", "distance" (1 / distance) or both, to choose from.
        folds: of the cross-validation, stratified.
        level: confidence of the interval, such as 0.95; from the standard error of the accuracy.
        seed: of the folds.

    Returns:
        Score with details ``precision``, ``recall``, ``f1`` and ``support`` per class (c,),
        ``macro_precision``, ``macro_recall``, ``macro_f1``, ``classes``, ``confusion``
        (c, c) with the true class as the row, ``chosen``, ``validation`` (the accuracy of each
        choice), and ``search_seconds``, ``fit_seconds``, ``predict_seconds``.

    Raises:
        EvaluationError: codes that are not finite or of unequal widths, labels that are no
            integers or of another length, one class, k < 1 or above what a fold holds, other
            weights, folds < 2, a class with fewer training items than folds.

    >>> codes = np.array([[0.0], [0.1], [0.2], [5.0], [5.1], [5.2]])
    >>> labels = [0, 0, 0, 1, 1, 1]
    >>> score = knn((codes, labels), (codes + 0.05, labels), neighbours=[1])
    >>> float(score), score.details["chosen"]
    (1.0, {'k': 1, 'weights': 'uniform'})
    """
    known, unknown, classes = _checked(train, test, folds, seed)
    smallest = len(known.codes) - -(-len(known.codes) // folds)
    if not neighbours or not 1 <= min(neighbours) <= max(neighbours) <= smallest:
        raise EvaluationError(
            f"expected k from 1 to {smallest}, which every fold holds; got {list(neighbours)}"
        )
    if not weights or {*weights} - {"uniform", "distance"}:
        raise EvaluationError(f"expected weights uniform or distance; got {list(weights)}")
    started = time.perf_counter()
    right = dict.fromkeys([(k, weight) for k in neighbours for weight in weights], 0)
    for fold, rest in _folds(known, folds, seed):
        near = _near(known.take(fold), known.codes[rest], max(neighbours))
        for k, weight in right:
            right[k, weight] += int((_elected(*near, k, weight) == known.labels[rest]).sum())
    k, weight = max(right, key=lambda choice: right[choice])
    choice = {
        "chosen": {"k": k, "weights": weight},
        "validation": {choice: count / len(known.codes) for choice, count in right.items()},
        "search_seconds": time.perf_counter() - started,
    }

    def predict(model: Any) -> np.ndarray:
        distances, rows = model.kneighbors(unknown.codes)
        return _elected(distances, known.labels[rows], k, weight)

    predicted, seconds = _timed(lambda: _index(known.codes, k), predict)
    found = _judged(unknown.labels, predicted, classes) | choice | seconds
    return _score("kNN accuracy", folds, found, (known, unknown), level, seed)


def linear_probe(
    train: Labelled,
    test: Labelled,
    *,
    strengths: Sequence[float] = (0.01, 0.1, 1.0, 10.0, 100.0),
    folds: int = 3,
    level: float | None = None,
    seed: int = 0,
) -> Score:
    """Test accuracy of a logistic regression on standardised codes.

    Mean and scale are those of the training codes; the inverse regularisation C is chosen by
    cross-validation on them.

    Args:
        train: as for ``knn``.
        test: as for ``knn``.
        strengths: values of C to choose from.
        folds: as for ``knn``.
        level: as for ``knn``.
        seed: of the folds.

    Returns:
        As for ``knn``; ``fit_seconds`` are those of the chosen C, ``search_seconds`` of all.

    Raises:
        EvaluationError: as for ``knn``; a C that is not positive.

    >>> codes = np.array([[0.0], [0.1], [0.2], [5.0], [5.1], [5.2]])
    >>> labels = [0, 0, 0, 1, 1, 1]
    >>> float(linear_probe((codes, labels), (codes + 0.05, labels)))
    1.0
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    known, unknown, classes = _checked(train, test, folds, seed)
    if not strengths or not min(strengths) > 0:
        raise EvaluationError(f"expected strengths C > 0; got {list(strengths)}")

    def model(strength: float) -> Any:
        return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))

    started = time.perf_counter()
    parts = list(_folds(known, folds, seed))
    validation = {
        c: float(cross_val_score(model(c), known.codes, known.labels, cv=parts).mean())
        for c in strengths
    }
    best = max(validation, key=lambda c: validation[c])
    choice = {
        "chosen": {"C": best},
        "validation": validation,
        "search_seconds": time.perf_counter() - started,
    }
    predicted, seconds = _timed(
        lambda: model(best).fit(known.codes, known.labels),
        lambda fitted: fitted.predict(unknown.codes),
    )
    found = _judged(unknown.labels, predicted, classes) | choice | seconds
    return _score("linear probe accuracy", folds, found, (known, unknown), level, seed)


class _Known(NamedTuple):
    """Codes and the number of each one's class."""

    codes: np.ndarray
    labels: np.ndarray

    def take(self, rows: np.ndarray) -> "_Known":
        return _Known(self.codes[rows], self.labels[rows])


def _checked(
    train: Labelled, test: Labelled, folds: int, seed: int
) -> tuple[_Known, _Known, np.ndarray]:
    check_seed(seed)
    codes = _codes("train", train[0])
    parts = [codes, _codes("test", test[0], codes.shape[1])]
    labels = [_labels(y, len(x)) for x, y in zip(parts, (train[1], test[1]), strict=True)]
    classes, numbers = np.unique(np.concatenate(labels), return_inverse=True)
    known, unknown = map(_Known, parts, np.split(numbers, [len(codes)]))
    counts = np.bincount(known.labels)
    if folds < 2 or np.count_nonzero(counts) < 2 or counts[counts > 0].min() < folds:
        raise EvaluationError(
            "expected folds >= 2, at least two classes, and as many training items of each as "
            f"folds; got {folds} folds and {counts[counts > 0].tolist()} items"
        )
    return known, unknown, classes


def _codes(name: str, values: Any, width: int | None = None) -> np.ndarray:
    found = _array(values)
    if found.ndim != 2 or found.dtype.kind not in "fiu" or not found.size:
        raise EvaluationError(f"expected {name} codes (N, d); got {found.dtype} {found.shape}")
    if width not in (None, found.shape[1]):
        raise EvaluationError(f"expected {name} codes of width {width}; got {found.shape}")
    if not np.isfinite(found).all():
        row = int(np.argmin(np.isfinite(found).all(1)))
        raise EvaluationError(f"expected finite {name} codes; got {found[row]} in row {row}")
    return found


def _labels(values: Any, length: int) -> np.ndarray:
    found = _array(values)
    if found.shape != (length,) or found.dtype.kind not in "iub":
        raise EvaluationError(
            f"expected labels: integers ({length},); got {found.dtype} {found.shape}"
        )
    return found


def _array(values: Any) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def _folds(known: _Known, folds: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    from sklearn.model_selection import StratifiedKFold

    split = StratifiedKFold(folds, shuffle=True, random_state=seed % 2**32)
    return split.split(known.codes, known.labels)


def _index(codes: np.ndarray, k: int) -> Any:
    from sklearn.neighbors import NearestNeighbors

    return NearestNeighbors(n_neighbors=k).fit(codes)


def _near(known: _Known, codes: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances and labels of the k nearest, (n, k), nearest first."""
    distances, rows = _index(known.codes, k).kneighbors(codes)
    return distances, known.labels[rows]


def _elected(distances: np.ndarray, labels: np.ndarray, k: int, weight: str) -> np.ndarray:
    """The class with most weight among the first k, of equal ones the first; (n,).

    Weighted by distance, neighbours at distance 0 decide alone.
    """
    weights = np.ones_like(distances[:, :k])
    if weight == "distance":
        weights = (distances[:, :k] == 0).astype(float)
        apart = distances[:, 0] > 0
        weights[apart] = 1 / distances[apart, :k]
    votes = np.zeros((len(labels), labels.max() + 1))
    np.add.at(votes, (np.arange(len(labels))[:, None], labels[:, :k]), weights)
    return votes.argmax(1)


def _timed(
    fit: Callable[[], Any], predict: Callable[[Any], np.ndarray]
) -> tuple[np.ndarray, dict[str, float]]:
    started = time.perf_counter()
    model = fit()
    fitted = time.perf_counter()
    predicted = predict(model)
    ended = time.perf_counter()
    return predicted, {"fit_seconds": fitted - started, "predict_seconds": ended - fitted}


def _judged(labels: np.ndarray, predicted: np.ndarray, classes: np.ndarray) -> dict[str, Any]:
    """Accuracy, and precision, recall and F1 of each class (0 where undefined)."""
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    every = np.arange(len(classes))
    parts = precision_recall_fscore_support(labels, predicted, labels=every, zero_division=0)
    names = ("precision", "recall", "f1", "support")
    means = {f"macro_{name}": float(v.mean()) for name, v in zip(names[:3], parts, strict=False)}
    return dict(zip(names, parts, strict=True)) | means | {
        "accuracy": float((labels == predicted).mean()),
        "classes": classes,
        "confusion": confusion_matrix(labels, predicted, labels=every),
    }  # fmt: skip


def _score(
    name: str,
    folds: int,
    found: dict[str, Any],
    parts: tuple[_Known, _Known],
    level: float | None,
    seed: int,
) -> Score:
    value, n = found.pop("accuracy"), tuple(len(part.codes) for part in parts)
    return Score(
        name,
        value,
        n=n,
        variant=f"chosen by {folds}-fold cross-validation",
        better="higher",
        seed=seed,
        interval=normal_interval(value, (value * (1 - value) / n[1]) ** 0.5, level, within=SHARE),
        level=level,
        details=found,
    )
