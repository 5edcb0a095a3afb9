"""Encoders and decoders: plain modules from images to distribution parameters and back."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from probgen import ProbgenError

SMALLEST = 8


class NetError(ProbgenError, ValueError):
    """A network that cannot be built, or an input of another shape than it was built for."""


class Encoder(nn.Module):
    """x ``(*batch, *shape)`` -> (loc, log_scale), each ``(*batch, latent)``, or a code alone.

    Args:
        shape: shape of one datum.
        latent: dimensions of the latent.
        trunk: module from ``(batch, *shape)`` to ``(batch, features)``.
        parts: 2 for a distribution's (loc, log_scale), 1 for a code ``(*batch, latent)``.

    Raises:
        NetError: the trunk does not give one row of features per datum.
    """

    def __init__(
        self, shape: Sequence[int], latent: int, trunk: nn.Module, parts: int = 2
    ) -> None:
        super().__init__()
        if parts not in (1, 2):
            raise NetError(f"expected parts 1 or 2; got {parts}")
        self.shape, self.latent = tuple(shape), at_least_one("latent", latent)
        self.parts = parts
        features = dry_run(trunk, torch.zeros(2, *self.shape))
        if features.dim() != 2:
            raise NetError(f"expected features (batch, d); got {tuple(features.shape)}")
        self.trunk = trunk
        self.head = nn.Linear(features.shape[1], parts * latent)

    def forward(self, x: Tensor) -> Any:
        """Location and log scale of q(z | x), or the code."""
        batch = x.shape[: x.dim() - len(self.shape)]
        if x.shape[len(batch) :] != self.shape:
            raise NetError(f"expected data (..., {as_text(self.shape)}); got {tuple(x.shape)}")
        if not x.is_floating_point():
            raise NetError(
                f"expected floats; got {x.dtype}: data.Set.batch scales bytes to [0, 1]"
            )
        out = self.head(self.trunk(x.reshape(-1, *self.shape))).chunk(self.parts, dim=-1)
        shaped = tuple(part.reshape(*batch, self.latent) for part in out)
        return shaped if self.parts > 1 else shaped[0]


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
        self.shape, self.latent = tuple(shape), at_least_one("latent", latent)
        out = dry_run(trunk, torch.zeros(2, latent))
        if out.numel() != 2 * math.prod(self.shape):
            raise NetError(f"expected (batch, {as_text(self.shape)}); got {tuple(out.shape)}")
        self.trunk = trunk

    def forward(self, z: Tensor) -> Tensor:
        """Parameters of p(x | z) for any leading batch dimensions."""
        if z.shape[-1:] != (self.latent,):
            raise NetError(f"expected latents (..., {self.latent}); got {tuple(z.shape)}")
        return self.trunk(z.reshape(-1, self.latent)).reshape(*z.shape[:-1], *self.shape)


class GridEncoder(nn.Module):
    """x ``(*batch, *shape)`` -> features ``(*batch, width, h, w)``.

    Args:
        shape: shape of one image.
        trunk: module from ``(batch, *shape)`` to ``(batch, width, h, w)``.
    """

    def __init__(self, shape: Sequence[int], trunk: nn.Module) -> None:
        super().__init__()
        self.shape, self.trunk = tuple(shape), trunk

    def forward(self, x: Tensor) -> Tensor:
        """The features."""
        if x.shape[x.dim() - len(self.shape) :] != self.shape:
            raise NetError(f"expected data (..., {as_text(self.shape)}); got {tuple(x.shape)}")
        out = self.trunk(x.reshape(-1, *self.shape))
        return out.reshape(*x.shape[: x.dim() - len(self.shape)], *out.shape[1:])


class GridDecoder(nn.Module):
    """Features ``(*batch, width, h, w)`` -> ``(*batch, *shape)``.

    Args:
        shape: shape of one image.
        trunk: module from ``(batch, width, h, w)`` to ``(batch, *shape)``.
    """

    def __init__(self, shape: Sequence[int], trunk: nn.Module) -> None:
        super().__init__()
        self.shape, self.trunk = tuple(shape), trunk

    def forward(self, z: Tensor) -> Tensor:
        """Parameters of p(x | z) for any leading batch dimensions."""
        return self.trunk(z.reshape(-1, *z.shape[-3:])).reshape(*z.shape[:-3], *self.shape)


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        first, second = nn.Conv2d(width, width // 2, 3, padding=1), nn.Conv2d(width // 2, width, 1)
        self.body = nn.Sequential(nn.ReLU(), first, nn.ReLU(), second)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class CodeTransformer(nn.Module):
    """Codes ``(B, h, w)`` -> logits ``(B, h, w, K)`` of each code given those before it.

    Args:
        codes: K.
        sides: (h, w), read row by row.
        width: of a token.
        layers: number of blocks of causal self-attention.
        heads: of each; they divide ``width``.
    """

    causal: Tensor

    def __init__(
        self, codes: int, sides: Sequence[int], width: int, layers: int, heads: int
    ) -> None:
        super().__init__()
        length = math.prod(positive(sides, "sides"))
        if min(codes, width, layers, heads) < 1 or width % heads:
            raise NetError(
                "expected codes, width, layers, heads >= 1 and heads that divide width; got "
                f"{codes}, {width}, {layers}, {heads}"
            )
        self.token, self.start = nn.Embedding(codes, width), nn.Parameter(torch.zeros(width))
        self.position = nn.Parameter(0.02 * torch.randn(length, width))
        block = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout=0.0, batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(block, layers, enable_nested_tensor=False)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, codes))
        causal = torch.ones(length, length, dtype=torch.bool).triu(1)
        self.register_buffer("causal", causal, persistent=False)

    def forward(self, codes: Tensor) -> Tensor:
        """Logits; those at a position do not depend on its code or later ones."""
        before = self.token(codes.flatten(1)[:, :-1])
        start = self.start.expand(len(codes), 1, -1)
        tokens = torch.cat([start, before], dim=1) + self.position
        logits = self.head(self.blocks(tokens, mask=self.causal, is_causal=True))
        return logits.reshape(*codes.shape, -1)


def dry_run(module: nn.Module, *x: Tensor) -> Any:
    """What ``module`` gives for ``x`` in evaluation mode, its state and mode left as they were."""
    modes = [(part, part.training) for part in module.modules()]
    try:
        with torch.no_grad():
            return module.eval()(*x)
    finally:
        for part, training in modes:
            part.training = training


def dense_encoder(
    shape: Sequence[int],
    latent: int,
    hidden: Sequence[int] = (400,),
    parts: int = 2,
    gated: bool = False,
) -> Encoder:
    """Fully connected encoder; ``hidden=()`` makes it affine.

    Args:
        shape: shape of one datum, e.g. (1, 28, 28).
        latent: dimensions of the latent.
        hidden: widths of the hidden layers, each followed by a ReLU.
        parts: as for ``Encoder``.
        gated: gates for ReLUs, (W x + b) sigmoid(V x + c): twice the weights.

    Source: Kingma & Welling 2014, appendix C; gates: Dauphin et al. 2017, equation 1.

    >>> loc, log_scale = dense_encoder((1, 28, 28), 32)(torch.zeros(5, 1, 28, 28))
    >>> loc.shape
    torch.Size([5, 32])
    """
    widths = [math.prod(positive(shape)), *positive(hidden, "hidden")]
    return Encoder(shape, latent, nn.Sequential(nn.Flatten(), *dense_layers(widths, gated)), parts)


def dense_decoder(
    latent: int, shape: Sequence[int], hidden: Sequence[int] = (400,), gated: bool = False
) -> Decoder:
    """Fully connected decoder; ``hidden=()`` makes it affine.

    Args:
        latent: dimensions of the latent.
        shape: shape of one datum.
        hidden: widths of the hidden layers, from the latent on.
        gated: as for ``dense_encoder``.

    >>> dense_decoder(32, (1, 28, 28))(torch.zeros(7, 5, 32)).shape
    torch.Size([7, 5, 1, 28, 28])
    """
    widths = [at_least_one("latent", latent), *positive(hidden, "hidden")]
    out = nn.Linear(widths[-1], math.prod(positive(shape)))
    return Decoder(latent, shape, nn.Sequential(*dense_layers(widths, gated), out))


def conv_encoder(
    shape: Sequence[int],
    latent: int,
    channels: Sequence[int] = (32, 64),
    hidden: int = 256,
    parts: int = 2,
) -> Encoder:
    """Convolutional encoder: 4x4 kernels of stride 2, then one dense layer.

    Args:
        shape: (channels, height, width) of one image, sides from 8 pixels up, odd ones too.
        latent: dimensions of the latent.
        channels: widths of the convolutions, each of which halves the sides (rounding down).
        hidden: width of the dense layer.
        parts: as for ``Encoder``.

    Raises:
        NetError: sides below 8 pixels or too small for that many halvings.

    >>> loc, log_scale = conv_encoder((3, 32, 32), 64)(torch.zeros(5, 3, 32, 32))
    >>> log_scale.shape
    torch.Size([5, 64])
    """
    sides = halvings(shape, channels)
    layers = _downwards([shape[0], *channels])
    flat = channels[-1] * math.prod(sides[-1])
    dense = dense_layers([flat, at_least_one("hidden", hidden)])
    return Encoder(shape, latent, nn.Sequential(*layers, nn.Flatten(), *dense), parts)


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
    sides = halvings(shape, channels)
    start = (channels[-1], *sides[-1])
    widths = [at_least_one("latent", latent), at_least_one("hidden", hidden), math.prod(start)]
    upwards = _upwards([*channels[::-1], shape[0]], sides)
    trunk = nn.Sequential(*dense_layers(widths), nn.Unflatten(1, start), *upwards)
    return Decoder(latent, shape, trunk)


def grid_encoder(
    shape: Sequence[int], width: int, channels: Sequence[int] = (32, 64), blocks: int = 2
) -> GridEncoder:
    """Convolutional encoder that keeps a grid of features: convolutions, then residual blocks.

    Args:
        shape: (channels, height, width) of one image, sides from 8 pixels up.
        width: dimensions of a feature.
        channels: widths of the convolutions, each of which halves the sides (rounding down).
        blocks: number of residual blocks.

    Raises:
        NetError: sides below 8 pixels or too small for that many halvings.

    Source: van den Oord et al. 2017, section 4.1.

    >>> grid_encoder((1, 28, 28), 64)(torch.zeros(5, 1, 28, 28)).shape
    torch.Size([5, 64, 7, 7])
    """
    halvings(shape, channels)
    layers = _downwards([shape[0], *channels])
    rest = [_Residual(channels[-1]) for _ in range(blocks)]
    out = nn.Conv2d(channels[-1], at_least_one("width", width), 1)
    return GridEncoder(shape, nn.Sequential(*layers[:-1], *rest, nn.ReLU(), out))


def grid_decoder(
    width: int, shape: Sequence[int], channels: Sequence[int] = (32, 64), blocks: int = 2
) -> GridDecoder:
    """Mirror of ``grid_encoder``.

    Args:
        width: dimensions of a feature.
        shape: (channels, height, width) of one image.
        channels: as for ``grid_encoder``, image side first.
        blocks: number of residual blocks.

    >>> grid_decoder(64, (1, 28, 28))(torch.zeros(3, 5, 64, 7, 7)).shape
    torch.Size([3, 5, 1, 28, 28])
    """
    sides = halvings(shape, channels)
    first = nn.Conv2d(at_least_one("width", width), channels[-1], 3, padding=1)
    rest = [_Residual(channels[-1]) for _ in range(blocks)]
    layers = _upwards([*channels[::-1], shape[0]], sides)
    return GridDecoder(shape, nn.Sequential(first, *rest, nn.ReLU(), *layers))


def code_transformer(
    codes: int, sides: Sequence[int], width: int = 64, layers: int = 3, heads: int = 4
) -> CodeTransformer:
    """Causal transformer over a grid of codes.

    Args:
        codes: number of different codes.
        sides: (h, w) of the grid.
        width: of a token.
        layers: number of blocks.
        heads: attention heads of each.

    Raises:
        NetError: a size below 1, or heads that do not divide the width.

    Source: Vaswani et al. 2017, section 3, with the norm first.

    >>> code_transformer(32, (7, 7))(torch.zeros(5, 7, 7, dtype=torch.long)).shape
    torch.Size([5, 7, 7, 32])
    """
    return CodeTransformer(codes, sides, width, layers, heads)


def dense_layers(widths: Sequence[int], gated: bool = False) -> list[nn.Module]:
    """Linear layers from each width to the next, each with a ReLU or a gate."""
    factor, gate = (2, nn.GLU) if gated else (1, nn.ReLU)
    return [layer for i, o in pairwise(widths) for layer in (nn.Linear(i, factor * o), gate())]


def _downwards(channels: Sequence[int]) -> list[nn.Module]:
    """Convolutions that halve the sides, each with a ReLU."""
    pairs = pairwise(channels)
    return [m for i, o in pairs for m in (nn.Conv2d(i, o, 4, stride=2, padding=1), nn.ReLU())]


def _upwards(channels: Sequence[int], sides: Sequence[tuple[int, int]]) -> list[nn.Module]:
    """Transposed convolutions from the smallest of ``sides`` to the first."""
    layers: list[nn.Module] = []
    for (i, o), (small, large) in zip(pairwise(channels), pairwise(sides[::-1]), strict=True):
        odd = (large[0] - 2 * small[0], large[1] - 2 * small[1])
        layers += [nn.ConvTranspose2d(i, o, 4, stride=2, padding=1, output_padding=odd), nn.ReLU()]
    return layers[:-1]


def halvings(shape: Sequence[int], channels: Sequence[int]) -> list[tuple[int, int]]:
    """(height, width) before and after each convolution."""
    if len(shape) != 3 or min(positive(shape)[1:]) < SMALLEST:
        raise NetError(
            f"expected (channels, height, width) with sides >= {SMALLEST}; got {tuple(shape)}"
        )
    depth = len(positive(channels, "channels"))
    height, width = shape[1:]
    if depth < 1 or min(height, width) >> depth < 1:
        raise NetError(
            f"expected 1 to {min(height, width).bit_length() - 1} channels; got {depth}"
        )
    return [(height >> i, width >> i) for i in range(depth + 1)]


def positive(sizes: Sequence[int], what: str = "shape") -> Sequence[int]:
    """The sizes, all from 1."""
    if not isinstance(sizes, Sequence):
        raise NetError(f"expected {what} a tuple, such as (400,); got {sizes!r}")
    if any(size < 1 for size in sizes):
        raise NetError(f"expected {what} of positive sizes; got {tuple(sizes)}")
    return sizes


def at_least_one(what: str, size: int) -> int:
    """The size, from 1."""
    if size < 1:
        raise NetError(f"expected {what} >= 1; got {size}")
    return size


def as_text(shape: Sequence[int]) -> str:
    """A shape as part of another: "1, 28, 28"."""
    return ", ".join(map(str, shape))
