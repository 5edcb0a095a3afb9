"""Whether a conditional model makes what it is asked for."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from torch import Tensor

from probgen.data import Set
from probgen.evaluation.features import identity
from probgen.evaluation.interval import SHARE, normal_interval
from probgen.evaluation.score import EvaluationError, Score
from probgen.models.pairs import device_of, evaluation_mode
from probgen.nets.interfaces import Module
from probgen.objectives import Generative

Classifier = Callable[[Tensor], Tensor]


def score(
    pair: Generative,
    classifier: Classifier,
    *,
    n: int = 5000,
    real: Set | None = None,
    batch_size: int = 500,
    level: float | None = None,
    seed: int = 0,
) -> Score:
    """Mean over the classes of the share of samples that a classifier assigns to theirs.

    accuracy_y = 1 / n_y sum_i [argmax classifier(x_i) = y],   x_i ~ p(x | y)

    Read it beside the classifier's own accuracy on real images, its ceiling, and beside the
    diversity: a model that makes one perfect image per class has accuracy 1 and diversity 0. The
    diversity of a class is the root mean squared Euclidean distance, over pixels, of all pairs of
    its samples, divided by that of the real images of the class: 1 if as diverse as these.

    Args:
        pair: with ``sample(n, y)``, y int64 (n,), giving images (n, C, H, W).
        classifier: from images (B, C, H, W) to scores of the classes (B, K).
        n: samples in all, as equally many per class as can be.
        real: labelled test images.
        batch_size: images at a time.
        level: confidence of the interval, such as 0.95; from the standard error of the accuracies.
        seed: of the samples.

    Returns:
        Score with details ``accuracy`` (K,) and ``confusion`` (K, K), asked for by row, found by
        column; ``spread`` (K,), the root mean squared distance. With ``real`` also ``ceiling``,
        ``ceiling_accuracy`` (K,), ``ceiling_confusion`` (K, K) and ``diversity`` (K,), nan where
        the set has fewer than two images of a class, or all alike.

    Raises:
        EvaluationError: fewer than two samples per class, images without labels, classifier
            scores of another shape or not numbers, samples of another number or not finite.

    >>> class Painter(torch.nn.Module):
    ...     def sample(self, n, y):
    ...         return torch.eye(3)[y].reshape(n, 1, 1, 3) + 0.1 * torch.rand(n, 1, 1, 3)
    >>> float(score(Painter(), lambda x: x.flatten(1), n=30))
    1.0
    """
    if real is not None and real.y is None:
        raise EvaluationError(f"expected labelled images; {real.name} has no labels")
    with ExitStack() as stack:
        modules: list[Any] = [m for m in (classifier, pair) if isinstance(m, torch.nn.Module)]
        for module in modules:
            stack.enter_context(evaluation_mode(module, seed))
        classes = _scores_of(classifier, _drawn(pair, 0, 1)).shape[1]
        if n < 2 * classes or batch_size < 1:
            raise EvaluationError(
                f"expected n >= 2 for each of {classes} classes and batch_size >= 1; got {n} and "
                f"{batch_size}"
            )
        sizes = [n // classes + (y < n % classes) for y in range(classes)]
        made = [
            _Seen.of(classifier, _samples(pair, y, size, batch_size), classes)
            for y, size in enumerate(sizes)
        ]
        details = _details(made)
        if real is not None:
            details |= _beside(details, _real(classifier, real, classes, batch_size))
    accuracy = details["accuracy"]
    error = (accuracy * (1 - accuracy) / np.array(sizes)).sum() ** 0.5 / classes
    value = float(accuracy.mean())
    return Score(
        "controllability",
        value,
        n=(n,),
        variant="mean class accuracy, diversity over pixels",
        better="higher",
        extractor=identity(classifier),
        seed=seed,
        interval=normal_interval(value, float(error), level, within=SHARE),
        level=level,
        details=details,
    )


class _Seen:
    """What a classifier saw in images of one class: counts (K,), and how far they lie apart."""

    def __init__(self, classes: int) -> None:
        self.counts = np.zeros(classes, int)
        self.total: Tensor | float = 0.0
        self.squares = 0.0

    @classmethod
    def of(cls, classifier: Classifier, batches: Iterable[Tensor], classes: int) -> "_Seen":
        """All batches of a class."""
        seen = cls(classes)
        for x in batches:
            found = _scores_of(classifier, x, classes).argmax(1)
            seen.counts += np.bincount(found.cpu().numpy(), minlength=classes)
            rows = x.flatten(1).double()
            seen.total = seen.total + rows.sum(0)
            seen.squares += float(rows.square().sum())
        return seen

    @property
    def spread(self) -> float:
        """Root mean squared distance of all pairs, which is 2 tr of their covariance."""
        n = self.counts.sum()
        if n < 2:
            return float("nan")
        centred = self.squares - float(torch.as_tensor(self.total).square().sum()) / n
        return float((2 * max(centred, 0.0) / (n - 1)) ** 0.5)


def _details(seen: "list[_Seen]") -> dict[str, Any]:
    confusion = np.stack([each.counts for each in seen])
    totals = confusion.sum(1)
    accuracy = np.diag(confusion) / np.where(totals > 0, totals, np.nan)
    spread = np.array([each.spread for each in seen])
    return {"accuracy": accuracy, "confusion": confusion, "spread": spread}


def _beside(made: dict[str, Any], real: dict[str, Any]) -> dict[str, Any]:
    """The ceiling, and the samples' spread as a share of the real images'."""
    spread = np.where(real["spread"] > 0, real["spread"], np.nan)
    return {
        "ceiling": float(np.nanmean(real["accuracy"])),
        "ceiling_accuracy": real["accuracy"],
        "ceiling_confusion": real["confusion"],
        "diversity": made["spread"] / spread,
    }


def _real(classifier: Classifier, data: Set, classes: int, batch_size: int) -> dict[str, Any]:
    most = int(data.y.max())  # type: ignore[union-attr]
    if most >= classes:
        raise EvaluationError(f"expected labels below {classes}, the classifier's; got {most}")

    def batches(y: int) -> Iterator[Tensor]:
        index = (data.y == y).nonzero().flatten()  # type: ignore[union-attr]
        yield from (data.batch(part)[0] for part in index.split(batch_size) if len(part))

    return _details([_Seen.of(classifier, batches(y), classes) for y in range(classes)])


def _samples(pair: Generative, y: int, n: int, batch_size: int) -> Iterator[Tensor]:
    for start in range(0, n, batch_size):
        yield _drawn(pair, y, min(batch_size, n - start))


def _drawn(pair: Generative, y: int, n: int) -> Tensor:
    labels = torch.full((n,), y, device=device_of(pair))
    images = pair.sample(n, labels)
    if len(images) != n or not images.isfinite().all():
        raise EvaluationError(
            f"expected {n} samples of finite pixels for class {y}; got {tuple(images.shape)}"
        )
    return images


def _scores_of(classifier: Any, images: Tensor, classes: int | None = None) -> Tensor:
    place = device_of(classifier) if isinstance(classifier, Module) else images.device
    found = classifier(images.to(place))
    wide = found.shape[1:] == (classes,) if classes else found.dim() == 2 and found.shape[1] > 1
    if len(found) != len(images) or not wide or found.isnan().any():
        expected = f"({len(images)}, {classes or 'at least 2'})"
        raise EvaluationError(
            f"expected class scores {expected} from the classifier; got {tuple(found.shape)}"
            f"{' with nan' if found.isnan().any() else ''}"
        )
    return found
