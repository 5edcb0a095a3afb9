"""What the scores of one pair share: its samples, features and codes, each got once."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from probgen.data import Set
from probgen.evaluation import (
    EvaluationError,
    Score,
    classes,
    disentanglement,
    fid,
    inception_score,
    kid,
    latents,
    likelihood,
    memorization,
    prdc,
)
from probgen.evaluation.features import (
    Classifies,
    Extractor,
    Features,
    extract,
    extractor,
    identity,
)
from probgen.models import ModelError
from probgen.models.pairs import (
    PairError,
    batches,
    device_of,
    evaluation_mode,
    reconstructed,
    sampled,
)
from probgen.objectives import Codec, Encodes, Generative, ObjectiveError, Pair

LARGEST = 10_000
CHUNK = 500


class Inputs:
    """What scores take: a pair's samples beside real images, as many as the test set has.

    10,000 at most, each computed when it is first asked for.

    Samples are means of p(x | z), put into [0, 1] where a Gaussian's leave it, as are
    reconstructions.

    Args:
        pair: with ``sample(n)``, and ``encode`` and ``decode`` for reconstructions and codes.
        train: images the pair was trained on.
        test: images it was not.
        extractor: of the features, or its name as for ``extractor``, looked up when needed.
        seed: of the samples, and of what is drawn from the sets.
        show: progress bars; None for a line every 30 seconds where there is no terminal.
        n: test images of the NLL, a draw by the seed.
        num_particles: samples of the guide for each of them.
    """

    def __init__(
        self,
        pair: Pair | Generative,
        train: Set,
        test: Set,
        extractor: Extractor | str,
        *,
        seed: int = 0,
        show: bool | None = None,
        n: int = CHUNK,
        num_particles: int = 1000,
    ) -> None:
        self.pair, self.train_set, self.seed, self.show = pair, train, seed, show
        self.n, self.num_particles = n, num_particles
        self._extractor = extractor
        self.test_set = test.draw(LARGEST, seed)

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
        return self._features(self.train_set.draw(len(self.test_set), self.seed))

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
        known = self.extractor
        if not isinstance(known, Classifies):
            raise EvaluationError(f"{identity(known)} gives no class probabilities")
        return known.probabilities(self.samples)

    @cached_property
    def codes(self) -> Tensor:
        """Means of q(z | x) of the test images."""
        if not isinstance(self.pair, Encodes):
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
        if not isinstance(self.pair, Generative):
            raise EvaluationError(f"{type(self.pair).__name__} has no sample, and gives no images")
        return sampled(self.pair, len(self.test_set), self.seed).clamp(0, 1)

    def reconstructed(self) -> Tensor:
        """The reconstructions themselves, on the CPU."""
        if not isinstance(self.pair, Codec):
            raise EvaluationError(f"{type(self.pair).__name__} reconstructs nothing")
        with evaluation_mode(self.pair, self.seed):
            found = batches(self.pair, self.test_set, CHUNK)
            chunks = [reconstructed(self.pair, x, y).clamp(0, 1).cpu() for x, y in found]
        return torch.cat(chunks)

    @property
    def few(self) -> Set:
        """``n`` test images, for scores that cost seconds an image."""
        return self.test_set.draw(self.n, self.seed)

    def nll(self, level: float | None = None) -> Score:
        """The likelihood of a few test images, which its data name."""
        pair: Any = self.pair  # ``nll`` refuses a GAN
        found = likelihood.nll(
            pair, self.few, num_particles=self.num_particles, level=level, seed=self.seed
        )
        return replace(found, data=_named(self.few))

    def floor(self, level: float | None = None) -> Score:
        """The distance of real training images from the test images."""
        found = fid.score(self.test, self.train, level=level)
        return replace(found, name="FID floor", better=None)

    def _features(self, images: Set | Tensor) -> Features:
        return extract(self.extractor, images, show=self.show)


METRICS: dict[str, Callable[[Inputs, float | None], Sequence[Score]]] = {
    "fid": lambda seen, level: [
        fid.score(seen.test, seen.samples, level=level),
        fid.infinity(seen.test, seen.samples),
        seen.floor(level),
    ],
    "kid": lambda seen, level: [kid.score(seen.test, seen.samples, level=level)],
    "prdc": lambda seen, level: prdc.score(seen.test, seen.samples, level=level),
    "is": lambda seen, level: [
        inception_score.score(seen.probabilities, level=level, extractor=seen.samples.extractor)
    ],
    "memorization": lambda seen, _: [memorization.score(seen.train, seen.samples, test=seen.test)],
    "classes": lambda seen, _: [
        classes.score(seen.probabilities, extractor=seen.samples.extractor)
    ],
    "mig": lambda seen, level: [disentanglement.mig(seen.codes, seen.factors, level=level)],
    "nll": lambda seen, level: [seen.nll(level)],
}
"""Scores by the names of the command line: from what they take and a confidence."""


def measured(
    names: Sequence[str],
    seen: Inputs,
    *,
    level: float | None = None,
    keep: Callable[[list[Score]], object] | None = None,
    begin: Callable[[str], object] | None = None,
) -> tuple[list[Score], list[str]]:
    """The scores of these names, and why there are not more: what the pair does not allow.

    Args:
        names: of ``METRICS``.
        seen: what they take.
        level: confidence of the intervals; None for none.
        keep: called with all scores so far whenever there are more of them.
        begin: called with each name as its turn comes, as some take minutes.
    """
    found: list[Score] = []
    failed: dict[str, list[str]] = {}
    data = _named(seen.test_set)
    for name in names:
        if begin is not None:
            begin(name)
        try:
            scores = METRICS[name](seen, level)
        except (EvaluationError, PairError, ModelError, ObjectiveError) as error:
            failed.setdefault(str(error), []).append(name)
        else:
            found += [replace(one, data=one.data or data) for one in scores]
            if keep is not None:
                keep(found)
    return found, [f"no {', '.join(missing)}: {why}" for why, missing in failed.items()]


def _named(data: Set) -> str:
    """Which test images."""
    return f"{data.name} test {data.digest()[:12]}"
