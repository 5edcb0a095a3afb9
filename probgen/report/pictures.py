"""What a pair can show: reconstructions, samples, ways through the latent space."""

from collections.abc import Sequence
from functools import wraps
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from probgen.data import Set
from probgen.evaluation.latents import posterior
from probgen.models import Diffusion, samplers
from probgen.models.pairs import batch, device_of, evaluation_mode, labels_for, reconstructed
from probgen.nets.interfaces import Module
from probgen.objectives import Codec, Encodes, Generative

Rows = dict[str, Tensor]
CODES = 5_000


def spread(data: Set, n: int) -> Set:
    """``n`` items evenly spaced over a set, so that a sorted one shows all it has.

    >>> from probgen.data import arrays
    >>> spread(arrays(range(10)), 4).x
    tensor([0, 3, 6, 9])
    """
    return data.take(torch.linspace(0, len(data) - 1, min(n, len(data))).round().long())


class Items(NamedTuple):
    """Some data of a set, on a pair's device, with their labels if the set has any."""

    x: Tensor
    y: Tensor | None

    def halves(self) -> "tuple[Items, Items]":
        """The first and the second half of the items, without the last one of an odd number."""
        half = len(self.x) // 2
        first, second = (slice(i * half, (i + 1) * half) for i in (0, 1))
        return tuple(  # type: ignore[return-value]
            Items(self.x[rows], None if self.y is None else self.y[rows])
            for rows in (first, second)
        )


def items(pair: Module, data: Set, n: int = 8) -> Items:
    """``n`` items spread over a set, on the pair's device, binarised alike each time."""
    with evaluation_mode(pair, seed=0):
        return Items(*batch(pair, spread(data, n).to(device_of(pair)), slice(0, n)))


def reconstruction(pair: Codec, items: Items) -> Tensor:
    """Mean of p(x | z) at the mean of q(z | x), shape as their x, on the pair's device."""
    device = device_of(pair)
    y = None if items.y is None else items.y.to(device)
    with evaluation_mode(pair, seed=0):
        return reconstructed(pair, items.x.to(device), y)


def samples(
    pair: Generative, n: int, seed: int = 0, y: Tensor | int | None = None, **settings: Any
) -> Tensor:
    """``pair.sample(n)``, seeded, of labels ``y`` where they are given, with its own settings."""
    with evaluation_mode(pair, seed):
        return pair.sample(n, **settings) if y is None else pair.sample(n, y, **settings)


def denoising(diffusion: Diffusion, n: int = 4, stages: int = 8, seed: int = 0) -> Tensor:
    """Samples on their way from noise to data, ``(n, stages, *shape)``, by DPM-Solver++."""
    passed: list[Tensor] = []

    @wraps(samplers.dpm_solver)
    def watched(denoise: samplers.Denoise, path: Tensor, x: Tensor) -> Tensor:
        def noted(x_t: Tensor, log_snr: Tensor) -> Tensor:
            passed.append(x_t)
            return denoise(x_t, log_snr)

        return samplers.dpm_solver(noted, path, x)

    with evaluation_mode(diffusion, seed):
        last = diffusion.sample(n, sampler=watched)
    chosen = torch.linspace(0, len(passed), stages).round().long()
    levels = diffusion.levels is not None  # such data are in [-1, 1] on their way
    ways = torch.stack([*((x + 1) / 2 if levels else x for x in passed), last], dim=1)
    return ways[:, chosen.to(ways.device)].clamp(0, 1)


def traversal(pair: Codec, items: Items, kl: Tensor, rows: int = 8, steps: int = 9) -> Rows:
    """One latent dimension a row, from -3 to 3, the others at the code of one item.

    Args:
        pair: with ``encode`` and ``decode``.
        items: the item.
        kl: (latent,) mean KL of each dimension; the greatest come first.
        rows: how many dimensions.
        steps: images in a row.
    """
    with evaluation_mode(pair, seed=0):
        labels = labels_for(pair, items.y)
        code = pair.encode(items.x, *labels).mean
        values = torch.linspace(-3, 3, steps).to(code)
        found = {}
        for i in kl.argsort(descending=True)[:rows].tolist():
            z = code.repeat(steps, 1)
            z[:, i] = values
            found[f"z{i + 1}, {kl[i]:.2f} nats"] = pair.decode(z, *labels).mean
    return found


def interpolation(pair: Codec, items: Items, steps: int = 8) -> Tensor:
    """Straight lines between codes: from each item of the first half to one of the other half.

    A conditional pair decodes a whole line with the label of its start.

    Returns:
        Means of p(x | z), (n / 2, steps, *shape).
    """
    with evaluation_mode(pair, seed=0):
        start, end = (pair.encode(x, *labels_for(pair, y)).mean for x, y in items.halves())
        weight = torch.linspace(0, 1, steps).to(start)
        weight = weight.reshape(-1, *[1] * (start.dim() - 1))
        labels = labels_for(pair, None if items.y is None else items.y[: len(start), None])
        return pair.decode(torch.lerp(start[:, None], end[:, None], weight), *labels).mean


def codes(pair: Encodes, data: Set) -> Tensor:
    """Means of q(z | x), (N, latent), a grid of features as one row, on the CPU."""
    return posterior(pair, data).loc.flatten(1)


def codes_on_a_grid(pair: Encodes, data: Set) -> bool:
    """Whether a code is a grid of features, whose dimensions one by one tell nothing."""
    with evaluation_mode(pair, seed=0):
        first = items(pair, data, 1)
        return pair.encode(first.x, *labels_for(pair, first.y)).mean.dim() > 2


def principal(codes: Tensor) -> Tensor:
    """The first two principal components (n, 2) of codes (n, d), zeros where there is none.

    >>> principal(torch.tensor([[0.0, 0.0, 3.0], [0.0, 0.0, -3.0]])).abs()
    tensor([[3., 0.],
            [3., 0.]])
    """
    centred = codes - codes.mean(0)
    _, _, axes = torch.linalg.svd(centred, full_matrices=False)
    points = centred @ axes[:2].T
    return pad(points, (0, 2 - points.shape[1]))


def colourings(data: Set) -> dict[str, tuple[Tensor | None, Sequence[str]]]:
    """What points can be coloured by: the class, or else each factor, or nothing."""
    if data.y is not None:
        return {"class": (data.y, data.classes)}
    if data.factors is None:
        return {"": (None, ())}
    names = data.factor_names or [f"factor {i + 1}" for i in range(data.factors.shape[1])]
    return {name: (data.factors[:, i], ()) for i, name in enumerate(names)}
