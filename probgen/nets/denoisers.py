"""Networks of diffusion: (x_t, log-SNR, label) -> one value per value of x_t; no Pyro."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pixel_shuffle, pixel_unshuffle
from torch.nn.functional import scaled_dot_product_attention as attend

from probgen.nets.coders import NetError, positive

GROUP = 8
"""Channels of a group that is normalised together, at most."""


class Embedding(nn.Module):
    """Log-SNR and label -> (B, width).

    The level of noise is u = 2 / pi atan(sigma / alpha) in (0, 1), in sines and cosines of
    frequencies from 1 to 1,000; a label's vector is added. Label ``classes`` means none.

    Args:
        width: of the embedding.
        classes: number of classes; None without labels.

    Source: Ho et al. 2020, appendix B; u as in Salimans & Ho 2022, Progressive distillation.
    """

    frequencies: Tensor

    def __init__(self, width: int, classes: int | None) -> None:
        super().__init__()
        frequencies = torch.logspace(0, 3, 32)
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.level = nn.Sequential(nn.Linear(64, width), nn.SiLU(), nn.Linear(width, width))
        self.label = nn.Embedding(classes + 1, width) if classes else None

    def forward(self, log_snr: Tensor, y: Tensor | None = None) -> Tensor:
        """One row per datum."""
        level = torch.atan((-log_snr / 2).exp()) * (2 / math.pi)
        waves = level[:, None] * self.frequencies
        found = self.level(torch.cat([waves.sin(), waves.cos()], dim=1))
        return found if self.label is None or y is None else found + self.label(y)


class DenseDenoiser(nn.Module):
    """Fully connected: each hidden layer sees the embedding too. Made by ``dense``."""

    def __init__(self, shape: Sequence[int], hidden: Sequence[int], classes: int | None) -> None:
        super().__init__()
        self.shape, self.classes = tuple(shape), classes
        size = math.prod(positive(self.shape))
        widths = [size, *positive(hidden, "hidden")]
        if len(widths) < 2:
            raise NetError("expected at least one hidden layer; got none")
        self.embedding = Embedding(widths[-1], _at_least_one(classes))
        self.layers = nn.ModuleList(nn.Linear(i, o) for i, o in pairwise(widths))
        self.seen = nn.ModuleList(nn.Linear(widths[-1], o) for o in widths[1:])
        self.out = nn.Linear(widths[-1], size)

    def forward(self, x: Tensor, log_snr: Tensor, y: Tensor | None = None) -> Tensor:
        """One value per value of x."""
        embedded, h = self.embedding(log_snr, y), x.flatten(1)
        for layer, seen in zip(self.layers, self.seen, strict=True):
            h = nn.functional.silu(layer(h) + seen(embedded))
        return self.out(h).reshape(x.shape)


class _Residual(nn.Module):
    """Two 3x3 convolutions beside the identity; the embedding scales and shifts in between."""

    def __init__(self, before: int, after: int, embedded: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Sequential(_norm(before), nn.SiLU(), nn.Conv2d(before, after, 3, 1, 1))
        self.embedded, self.norm = nn.Linear(embedded, 2 * after), _norm(after)
        last = _zero(nn.Conv2d(after, after, 3, 1, 1))
        self.second = nn.Sequential(nn.SiLU(), nn.Dropout(dropout), last)
        self.skip = nn.Conv2d(before, after, 1) if before != after else nn.Identity()

    def forward(self, x: Tensor, embedded: Tensor) -> Tensor:
        scale, shift = self.embedded(nn.functional.silu(embedded))[..., None, None].chunk(2, 1)
        h = self.norm(self.first(x)) * (1 + scale) + shift
        return self.skip(x) + self.second(h)


class _Attention(nn.Module):
    """Self-attention between the pixels, beside the identity."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise NetError(f"expected heads that divide the width {width}; got {heads}")
        self.heads, self.norm = heads, _norm(width)
        self.mix, self.out = nn.Conv2d(width, 3 * width, 1), _zero(nn.Conv2d(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        mixed = self.mix(self.norm(x)).flatten(2).unflatten(1, (3, self.heads, -1))
        q, k, v = mixed.transpose(-1, -2).unbind(1)
        return x + self.out(attend(q, k, v).transpose(-1, -2).reshape(x.shape))


class _Block(nn.Module):
    """Residual, then attention where there is any."""

    def __init__(
        self, before: int, after: int, embedded: int, dropout: float, heads: int | None
    ) -> None:
        super().__init__()
        self.residual = _Residual(before, after, embedded, dropout)
        self.attention = nn.Identity() if heads is None else _Attention(after, heads)

    def forward(self, x: Tensor, embedded: Tensor) -> Tensor:
        return self.attention(self.residual(x, embedded))


class UNet(nn.Module):
    """Down and up again with a skip from each block; built by ``unet``."""

    def __init__(
        self,
        shape: Sequence[int],
        channels: Sequence[int],
        blocks: int,
        attention: Sequence[int],
        heads: int,
        classes: int | None,
        dropout: float,
        patch: int,
    ) -> None:
        super().__init__()
        self.shape, self.classes, self.patch = tuple(shape), classes, patch
        sides = _halvings(shape, channels, patch, attention)
        if blocks < 1:
            raise NetError(f"expected blocks >= 1; got {blocks}")
        embedded = 4 * channels[0]

        def block(before: int, after: int, side: tuple[int, int]) -> _Block:
            seen = heads if side[0] in attention else None
            return _Block(before, after, embedded, dropout, seen)

        self.embedding = Embedding(embedded, _at_least_one(classes))
        seen = shape[0] * patch**2
        self.first = nn.Conv2d(seen, channels[0], 3, 1, 1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        self.halvings, self.doublings = nn.ModuleList(), nn.ModuleList()
        width, skips = channels[0], [channels[0]]
        for level, (after, side) in enumerate(zip(channels, sides, strict=True)):
            if level:
                self.halvings.append(nn.Conv2d(width, width, 3, 2, 1))
                skips.append(width)
            for _ in range(blocks):
                self.down.append(block(width, after, side))
                width = after
                skips.append(width)
        self.middle = nn.ModuleList(
            [
                _Block(width, width, embedded, dropout, h)
                for h in (heads if attention else None, None)
            ]
        )
        for level, (after, side) in reversed([*enumerate(zip(channels, sides, strict=True))]):
            for _ in range(blocks + 1):
                self.up.append(block(width + skips.pop(), after, side))
                width = after
            if level:
                self.doublings.append(nn.Conv2d(width, width, 3, 1, 1))
        self.blocks = blocks
        self.last = nn.Sequential(_norm(width), nn.SiLU(), _zero(nn.Conv2d(width, seen, 3, 1, 1)))

    def forward(self, x: Tensor, log_snr: Tensor, y: Tensor | None = None) -> Tensor:
        """One value per value of x."""
        embedded = self.embedding(log_snr, y)
        h = self.first(pixel_unshuffle(x, self.patch) if self.patch > 1 else x)
        skips = [h]
        for i, block in enumerate(self.down):
            if i and i % self.blocks == 0:
                h = self.halvings[i // self.blocks - 1](h)
                skips.append(h)
            h = block(h, embedded)
            skips.append(h)
        for block in self.middle:
            h = block(h, embedded)
        for i, block in enumerate(self.up):
            if i and i % (self.blocks + 1) == 0:
                h = self.doublings[i // (self.blocks + 1) - 1](interpolate(h, scale_factor=2.0))
            h = block(torch.cat([h, skips.pop()], dim=1), embedded)
        h = self.last(h)
        return pixel_shuffle(h, self.patch) if self.patch > 1 else h


def dense(
    shape: Sequence[int], hidden: Sequence[int] = (128, 128, 128), classes: int | None = None
) -> DenseDenoiser:
    """Fully connected denoiser, for vectors and small images.

    Args:
        shape: of one datum.
        hidden: widths of the hidden layers.
        classes: number of classes of the labels it takes; None without labels.

    Raises:
        NetError: a size below 1, or no hidden layer.

    >>> dense((2,))(torch.zeros(5, 2), torch.zeros(5)).shape
    torch.Size([5, 2])
    """
    return DenseDenoiser(shape, hidden, classes)


def unet(
    shape: Sequence[int],
    channels: Sequence[int] = (64, 128, 256),
    *,
    blocks: int = 2,
    attention: Sequence[int] = (),
    heads: int = 4,
    classes: int | None = None,
    dropout: float = 0.0,
    patch: int = 1,
) -> UNet:
    """U-Net of residual blocks with group norm, the embedding in each.

    Args:
        shape: (channels, height, width) of one image.
        channels: widths, from the image's sides to the smallest; each but the first halves them.
        blocks: residual blocks of each width on the path down, one more on the path up.
        attention: heights at which pixels attend to each other, e.g. (16,).
        heads: of the attention; they divide its width.
        classes: number of classes of the labels it takes; None without labels.
        dropout: in the residual blocks.
        patch: side of the squares of pixels that become channels at the start: 2 is about four
            times as fast as 1.

    Raises:
        NetError: sides that cannot be halved so often, an attention at heights that there are
            not, or other sizes that make no network.

    Source: Ho et al. 2020, appendix B; scale and shift as in Dhariwal & Nichol 2021, section 3.1.

    >>> net = unet((3, 32, 32), (16, 32), attention=(16,), classes=10)
    >>> net(torch.zeros(2, 3, 32, 32), torch.zeros(2), torch.tensor([3, 10])).shape
    torch.Size([2, 3, 32, 32])
    """
    return UNet(shape, channels, blocks, attention, heads, classes, dropout, patch)


def _halvings(
    shape: Sequence[int], channels: Sequence[int], patch: int, attention: Sequence[int]
) -> list[tuple[int, int]]:
    """(height, width) at each of the channels."""
    if len(shape) != 3:
        raise NetError(f"expected (channels, height, width); got {tuple(shape)}")
    positive(shape), positive(channels, "channels")
    if patch < 1 or not channels:
        raise NetError(f"expected patch >= 1 and channels; got {patch} and {tuple(channels)}")
    unit, (height, width) = patch * 2 ** (len(channels) - 1), shape[1:]
    if height % unit or width % unit:
        raise NetError(
            f"expected sides that are multiples of {unit}, patch {patch} and {len(channels) - 1} "
            f"halvings; got {height} x {width}: pad the images, or use fewer channels"
        )
    sides = [(height // patch >> i, width // patch >> i) for i in range(len(channels))]
    if missing := {*attention} - {side for side, _ in sides}:
        found = ", ".join(str(side) for side, _ in sides)
        raise NetError(f"expected attention at heights among {found}; got {missing.pop()}")
    return sides


def _at_least_one(classes: int | None) -> int | None:
    if classes is not None and classes < 1:
        raise NetError(f"expected classes >= 1, or None; got {classes}")
    return classes


def _norm(width: int) -> nn.GroupNorm:
    """Group norm of up to 32 groups, of 8 channels where those divide the width."""
    return nn.GroupNorm(math.gcd(max(1, width // GROUP), width), width)


def _zero(layer: nn.Conv2d) -> nn.Conv2d:
    """A layer that gives zeros until trained, so that blocks begin as the identity."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
