"""Whether generated images are copies of training images."""

import torch
from torch import Tensor

from probgen.evaluation.features import FeaturesLike, matched
from probgen.evaluation.prdc import CHUNK, squared_distances
from probgen.evaluation.score import Score


def score(train: FeaturesLike, generated: FeaturesLike, *, test: FeaturesLike) -> Score:
    """The probability that a generated image lies nearer to the training set than a test image.

    P(d(generated) < d(test)) + P(d(generated) = d(test)) / 2

    with d the distance to the nearest training row.

    0.5 where generated images are to the training set as new data are, toward 1 for copies of it,
    toward 0 for images away from all data. The Mann-Whitney statistic of the data-copying test.

    Args:
        train: features (N, d) of the images the model saw.
        generated: features (M, d) of generated images.
        test: features of images it did not see.

    Returns:
        The score; ``details`` has the z-value of its difference from 0.5, and per
        generated image the nearest training row ("nearest") and its distance ("distance"),
        nearest first with ``distance.argsort()``.

    Source: Meehan, Chaudhuri and Dasgupta, arXiv:2004.05675, without its cells.

    >>> train, test, new = torch.randn(3, 300, 4, generator=torch.Generator().manual_seed(0))
    >>> float(score(train, train[:50], test=test)), 0.4 < float(score(train, new, test=test)) < 0.6
    (1.0, True)
    """
    seen, x, extractor = matched(train, generated)
    unseen, _, _ = matched(test, generated)
    distance, nearest = nearest_rows(x, seen)
    reference, _ = nearest_rows(unseen, seen)
    value = _probability_below(distance, reference)
    n, m = len(distance), len(reference)
    deviation = ((n + m + 1) / (12 * n * m)) ** 0.5
    details = {"z": (value - 0.5) / deviation, "nearest": nearest, "distance": distance}
    return Score("memorization", value, n=(len(seen), n, m), variant="nearest neighbour",
                 extractor=extractor, details=details)  # fmt: skip


def nearest_rows(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Distance of each x to its nearest y, and which that is."""
    found = [squared_distances(chunk, y).min(1) for chunk in x.split(CHUNK)]
    index = torch.cat([one.indices for one in found])
    return (x - y[index]).norm(dim=1), index


def _probability_below(a: Tensor, b: Tensor) -> float:
    ordered = b.sort().values
    above = len(b) - torch.searchsorted(ordered, a, right=True)
    equal = torch.searchsorted(ordered, a, right=True) - torch.searchsorted(ordered, a)
    return ((above + equal / 2).mean(dtype=torch.float64) / len(b)).item()
