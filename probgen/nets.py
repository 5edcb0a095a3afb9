"""Encoders and decoders: plain modules from images to distribution parameters and back."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

SMALLEST = 8


class NetError(ValueError):
    """A network that cannot be built, or an input of another shape than it was built for."""


class Encoder(nn.Module):
    """x ``(*batch, *shape)`` -> (loc, log_scale), each ``(*batch, latent)``.

    Args:
        shape: shape of one datum.
        latent: dimensions of the latent.
        trunk: module from ``(batch, *shape)`` to ``(batch, features)``.

    Raises:
        NetError: the trunk does not give one row of features per datum.
    """

    def __init__(self, shape: Sequence[int], latent: int, trunk: nn.Module) -> None:
        super().__init__()
        self.shape, self.latent = tuple(shape), _at_least_one("latent", latent)
        features = dry_run(trunk, torch.zeros(2, *self.shape))
        if features.dim() != 2:
            raise NetError(f"expected features (batch, d); got {tuple(features.shape)}")
        self.trunk = trunk
        self.head = nn.Linear(features.shape[1], 2 * latent)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Location and log scale of q(z | x)."""
        batch = x.shape[: x.dim() - len(self.shape)]
        if x.shape[len(batch) :] != self.shape:
            raise NetError(f"expected data (..., {_names(self.shape)}); got {tuple(x.shape)}")
        loc, log_scale = self.head(self.trunk(x.reshape(-1, *self.shape))).chunk(2, dim=-1)
        return loc.reshape(*batch, self.latent), log_scale.reshape(*batch, self.latent)


class Decoder(nn.Module):
    """z ``(*batch, latent)`` -> one distribution parameter per pixel, ``(*batch, *shape)``.

    Args:
        latent: dimensions of the latent.
        shape: shape of one datum.
        trunk: module from ``(batch, latent)`` to ``prod(shape)`` values per row.

    Raises:
        NetError: the trunk gives another number of values.
    """

    def __init__(self, latent: int, shape: Sequence[int], trunk: nn.Module) -> None:
        super().__init__()
        self.shape, self.latent = tuple(shape), _at_least_one("latent", latent)
        out = dry_run(trunk, torch.zeros(2, latent))
        if out.numel() != 2 * math.prod(self.shape):
            raise NetError(f"expected (batch, {_names(self.shape)}); got {tuple(out.shape)}")
        self.trunk = trunk

    def forward(self, z: Tensor) -> Tensor:
        """Parameters of p(x | z) for any leading batch dimensions."""
        if z.shape[-1:] != (self.latent,):
            raise NetError(f"expected latents (..., {self.latent}); got {tuple(z.shape)}")
        return self.trunk(z.reshape(-1, self.latent)).reshape(*z.shape[:-1], *self.shape)


def dry_run(module: nn.Module, x: Tensor) -> Any:
    """What ``module`` gives for ``x`` in evaluation mode, its state and mode left as they were."""
    modes = [(part, part.training) for part in module.modules()]
    try:
        with torch.no_grad():
            return module.eval()(x)
    finally:
        for part, training in modes:
            part.training = training


def dense_encoder(shape: Sequence[int], latent: int, hidden: Sequence[int] = (400,)) -> Encoder:
    """Fully connected encoder; ``hidden=()`` makes it affine.

    Args:
        shape: shape of one datum, e.g. (1, 28, 28).
        latent: dimensions of the latent.
        hidden: widths of the hidden layers, each followed by a ReLU.

    Source: Kingma & Welling 2014, appendix C.

    >>> loc, log_scale = dense_encoder((1, 28, 28), 32)(torch.zeros(5, 1, 28, 28))
    >>> loc.shape
    torch.Size([5, 32])
    """
    widths = [math.prod(_positive(shape)), *_positive(hidden, "hidden")]
    return Encoder(shape, latent, nn.Sequential(nn.Flatten(), *_dense(widths)))


def dense_decoder(latent: int, shape: Sequence[int], hidden: Sequence[int] = (400,)) -> Decoder:
    """Fully connected decoder; ``hidden=()`` makes it affine.

    Args:
        latent: dimensions of the latent.
        shape: shape of one datum.
        hidden: widths of the hidden layers, from the latent on.

    >>> dense_decoder(32, (1, 28, 28))(torch.zeros(7, 5, 32)).shape
    torch.Size([7, 5, 1, 28, 28])
    """
    widths = [_at_least_one("latent", latent), *_positive(hidden, "hidden")]
    out = nn.Linear(widths[-1], math.prod(_positive(shape)))
    return Decoder(latent, shape, nn.Sequential(*_dense(widths), out))


def conv_encoder(
    shape: Sequence[int], latent: int, channels: Sequence[int] = (32, 64), hidden: int = 256
) -> Encoder:
    """Convolutional encoder: 4x4 kernels of stride 2, then one dense layer.

    Args:
        shape: (channels, height, width) of one image, sides from 8 pixels up, odd ones too.
        latent: dimensions of the latent.
        channels: widths of the convolutions, each of which halves the sides (rounding down).
        hidden: width of the dense layer.

    Raises:
        NetError: sides below 8 pixels or too small for that many halvings.

    >>> loc, log_scale = conv_encoder((3, 32, 32), 64)(torch.zeros(5, 3, 32, 32))
    >>> log_scale.shape
    torch.Size([5, 64])
    """
    sides = _halvings(shape, channels)
    layers: list[nn.Module] = []
    for i, o in pairwise([shape[0], *channels]):
        layers += [nn.Conv2d(i, o, 4, stride=2, padding=1), nn.ReLU()]
    flat = channels[-1] * math.prod(sides[-1])
    dense = _dense([flat, _at_least_one("hidden", hidden)])
    return Encoder(shape, latent, nn.Sequential(*layers, nn.Flatten(), *dense))


def conv_decoder(
    latent: int, shape: Sequence[int], channels: Sequence[int] = (32, 64), hidden: int = 256
) -> Decoder:
    """Mirror of ``conv_encoder``: dense, then transposed 4x4 convolutions of stride 2.

    Args:
        latent: dimensions of the latent.
        shape: (channels, height, width) of one image.
        channels: as for ``conv_encoder``, image side first.
        hidden: width of the dense layer.

    Raises:
        NetError: sides below 8 pixels or too small for that many halvings.

    >>> conv_decoder(64, (1, 9, 15))(torch.zeros(5, 64)).shape
    torch.Size([5, 1, 9, 15])
    """
    sides = _halvings(shape, channels)
    start = (channels[-1], *sides[-1])
    widths = [_at_least_one("latent", latent), _at_least_one("hidden", hidden), math.prod(start)]
    layers: list[nn.Module] = [*_dense(widths), nn.Unflatten(1, start)]
    outward = pairwise([*channels[::-1], shape[0]])
    for (i, o), (small, large) in zip(outward, pairwise(sides[::-1]), strict=True):
        odd = (large[0] - 2 * small[0], large[1] - 2 * small[1])
        layers += [nn.ConvTranspose2d(i, o, 4, stride=2, padding=1, output_padding=odd), nn.ReLU()]
    return Decoder(latent, shape, nn.Sequential(*layers[:-1]))


def _dense(widths: Sequence[int]) -> list[nn.Module]:
    return [layer for i, o in pairwise(widths) for layer in (nn.Linear(i, o), nn.ReLU())]


def _halvings(shape: Sequence[int], channels: Sequence[int]) -> list[tuple[int, int]]:
    """(height, width) before and after each convolution."""
    if len(shape) != 3 or min(_positive(shape)[1:]) < SMALLEST:
        raise NetError(
            f"expected (channels, height, width) with sides >= {SMALLEST}; got {tuple(shape)}"
        )
    depth = len(_positive(channels, "channels"))
    height, width = shape[1:]
    if depth < 1 or min(height, width) >> depth < 1:
        raise NetError(
            f"expected 1 to {min(height, width).bit_length() - 1} channels; got {depth}"
        )
    return [(height >> i, width >> i) for i in range(depth + 1)]


def _positive(sizes: Sequence[int], what: str = "shape") -> Sequence[int]:
    if any(size < 1 for size in sizes):
        raise NetError(f"expected {what} of positive sizes; got {tuple(sizes)}")
    return sizes


def _at_least_one(what: str, size: int) -> int:
    if size < 1:
        raise NetError(f"expected {what} >= 1; got {size}")
    return size


def _names(shape: Sequence[int]) -> str:
    return ", ".join(map(str, shape))
