"""What a pair can show: reconstructions, samples, ways through the latent space."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from probgen.data import Set
from probgen.evaluation.latents import posterior
from probgen.evaluation.likelihood import at_rest, device_of, reconstructed

Rows = dict[str, Tensor]
CODES = 5_000


def spread(data: Set, n: int) -> Set:
    """``n`` items evenly spaced over a set, so that a sorted one shows all it has.

    >>> from probgen.data import arrays
    >>> spread(arrays(range(10)), 4).x
    tensor([0, 3, 6, 9])
    """
    return data.take(torch.linspace(0, len(data) - 1, min(n, len(data))).round().long())


def items(pair: Any, data: Set, n: int = 8) -> Tensor:
    """``n`` items spread over a set, on the pair's device, binarised alike each time."""
    with at_rest(pair, seed=0):
        return spread(data, n).to(device_of(pair)).batch(slice(0, n))[0]


def reconstruction(pair: Any, x: Tensor) -> Tensor:
    """Mean of p(x | z) at the mean of q(z | x), shape as ``x``."""
    with at_rest(pair, seed=0):
        return reconstructed(pair, x.to(device_of(pair)))


def samples(pair: Any, n: int, seed: int = 0) -> Tensor:
    """``pair.sample(n)``, seeded."""
    with at_rest(pair, seed):
        return pair.sample(n)


def traversal(pair: Any, x: Tensor, kl: Tensor, rows: int = 8, steps: int = 9) -> Rows:
    """One latent dimension a row, from -3 to 3, the others at the code of one item.

    Args:
        pair: with ``encode`` and ``decode``.
        x: (1, *shape), the item.
        kl: (latent,) mean KL of each dimension; the greatest come first.
        rows: how many dimensions.
        steps: images in a row.
    """
    with at_rest(pair, seed=0):
        code = pair.encode(x.to(device_of(pair))).mean
        values = torch.linspace(-3, 3, steps).to(code)
        found = {}
        for i in kl.argsort(descending=True)[:rows].tolist():
            z = code.repeat(steps, 1)
            z[:, i] = values
            found[f"z{i + 1}, {kl[i]:.2f} nats"] = pair.decode(z).mean
    return found


def interpolation(pair: Any, x: Tensor, steps: int = 8) -> Tensor:
    """Straight lines between codes: from each of the first half of ``x`` to its other half.

    Returns:
        Means of p(x | z), (n / 2, steps, *shape).
    """
    with at_rest(pair, seed=0):
        start, end = pair.encode(x.to(device_of(pair))).mean.chunk(2)
        weight = torch.linspace(0, 1, steps).to(start)[:, None]
        return pair.decode(torch.lerp(start[:, None], end[:, None], weight)).mean


def codes(pair: Any, data: Set) -> Tensor:
    """Means of q(z | x), (N, latent), on the CPU."""
    return posterior(pair, data).loc


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
