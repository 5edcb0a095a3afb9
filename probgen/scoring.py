"""What the scores of one pair share: its samples, features and codes, each got once."""

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from probgen.data import Set
from probgen.evaluation import EvaluationError, Score, fid, latents
from probgen.evaluation.features import (
    Classifier,
    Extractor,
    Features,
    Inception,
    extract,
    identity,
)
from probgen.evaluation.features.classifier import shipped
from probgen.evaluation.likelihood import at_rest, batch, device_of, reconstructed

LARGEST = 10_000
CHUNK = 500


class Evidence:
    """A pair's samples beside real images, as many as the test set has, 10,000 at most.

    Samples are means of p(x | z), put into [0, 1] where a Gaussian's leave it, as are
    reconstructions.

    Args:
        pair: with ``sample(n)``, and ``encode`` and ``decode`` for reconstructions and codes.
        train: images the pair was trained on.
        test: images it was not.
        extractor: of the features, or its name as for ``extractor``, looked up when needed.
        seed: of the samples, and of what is drawn from the sets.
        show: progress bars; None for only on a terminal.
    """

    def __init__(
        self,
        pair: Any,
        train: Set,
        test: Set,
        extractor: Extractor | str,
        *,
        seed: int = 0,
        show: bool | None = None,
    ) -> None:
        self.pair, self.train_set, self.seed, self.show = pair, train, seed, show
        self._extractor = extractor
        self.test_set = drawn(test, min(len(test), LARGEST), seed)

    @cached_property
    def extractor(self) -> Extractor:
        """Of the features; a module goes to the pair's device."""
        found = self._extractor
        found = extractor(found, self.test_set.name) if isinstance(found, str) else found
        return found.to(device_of(self.pair)) if isinstance(found, nn.Module) else found

    @cached_property
    def test(self) -> Features:
        """Features of the test images."""
        return self._features(self.test_set)

    @cached_property
    def train(self) -> Features:
        """Features of as many training images."""
        n = min(len(self.train_set), len(self.test_set))
        return self._features(drawn(self.train_set, n, self.seed))

    @cached_property
    def samples(self) -> Features:
        """Features of as many samples."""
        return self._features(self.sampled())

    @cached_property
    def reconstructions(self) -> Features:
        """Features of the test images' reconstructions."""
        return self._features(self.reconstructed())

    @cached_property
    def probabilities(self) -> Tensor:
        """p(class | image) of each sample."""
        known: Any = self.extractor
        if not hasattr(known, "probabilities"):
            raise EvaluationError(f"{identity(self.extractor)} gives no class probabilities")
        return known.probabilities(self.samples)

    @cached_property
    def codes(self) -> Tensor:
        """Means of q(z | x) of the test images."""
        if not hasattr(self.pair, "encode"):
            raise EvaluationError(f"{type(self.pair).__name__} has no encode, and images no codes")
        return latents.posterior(self.pair, self.test_set).loc.flatten(1)

    @property
    def factors(self) -> Tensor:
        """The factors of the test images."""
        if self.test_set.factors is None:
            raise EvaluationError(f"{self.test_set.name} has no factors to disentangle")
        return self.test_set.factors

    def sampled(self) -> Tensor:
        """The samples themselves, on the CPU."""
        sizes = torch.ones(len(self.test_set)).split(CHUNK)
        with at_rest(self.pair, self.seed):
            chunks = [self.pair.sample(len(size)).clamp(0, 1).cpu() for size in sizes]
        return torch.cat(chunks)

    def reconstructed(self) -> Tensor:
        """The reconstructions themselves, on the CPU."""
        if not (hasattr(self.pair, "encode") and hasattr(self.pair, "decode")):
            raise EvaluationError(f"{type(self.pair).__name__} reconstructs nothing")
        data = self.test_set.to(device_of(self.pair))
        with at_rest(self.pair, self.seed):
            chunks = [
                reconstructed(self.pair, *batch(self.pair, data, slice(i, i + CHUNK)))
                for i in range(0, len(data), CHUNK)
            ]
        return torch.cat([chunk.clamp(0, 1).cpu() for chunk in chunks])

    @property
    def few(self) -> Set:
        """500 test images, for scores that cost seconds an image."""
        return drawn(self.test_set, min(CHUNK, len(self.test_set)), self.seed)

    def floor(self, interval: float | None = None) -> Score:
        """The distance of real training images from the test images."""
        return replace(fid.score(self.test, self.train, interval=interval), name="FID floor")

    def _features(self, images: Set | Tensor) -> Features:
        return extract(self.extractor, images, show=self.show)


def extractor(words: str, data: str) -> Extractor:
    """The extractor of a name.

    Args:
        words: "auto" for the shipped classifier of the data; the name of a shipped one or the path
            of a saved one; "inception", which is downloaded, or the path of its .pth file.
        data: name of the data set.

    Raises:
        EvaluationError: there is none.

    >>> identity(extractor("auto", "digits")).split()[:2]
    ['Classifier', 'digits']
    """
    if words == "auto" and data not in shipped():
        raise EvaluationError(
            f"no classifier for {data} is shipped: name the features, one of "
            f"{', '.join(shipped())}, the path of one that training.fit_classifier trained, "
            "inception, or the path of its weights"
        )
    if words == "inception":
        return Inception("download")
    if words.endswith(".pth"):
        return Inception(Path(words))
    return Classifier.load(data if words == "auto" else words)


def drawn(data: Set, n: int, seed: int) -> Set:
    """``n`` items of a set, a seeded draw in their order; the set itself if it has no more."""
    if n == len(data):
        return data
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))
    return data.take(order[:n].sort().values)
