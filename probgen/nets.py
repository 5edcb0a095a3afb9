"""Encoders and decoders, generators and discriminators: plain modules, no Pyro."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import constraints
from torch.nn.utils.parametrizations import spectral_norm

SMALLEST = 8


class NetError(ValueError):
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
        self.shape, self.latent = tuple(shape), _at_least_one("latent", latent)
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
            raise NetError(f"expected data (..., {_names(self.shape)}); got {tuple(x.shape)}")
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
            raise NetError(f"expected data (..., {_names(self.shape)}); got {tuple(x.shape)}")
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
        length = math.prod(_positive(sides, "sides"))
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


def dry_run(module: nn.Module, x: Tensor) -> Any:
    """What ``module`` gives for ``x`` in evaluation mode, its state and mode left as they were."""
    modes = [(part, part.training) for part in module.modules()]
    try:
        with torch.no_grad():
            return module.eval()(x)
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
    widths = [math.prod(_positive(shape)), *_positive(hidden, "hidden")]
    return Encoder(shape, latent, nn.Sequential(nn.Flatten(), *_dense(widths, gated)), parts)


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
    widths = [_at_least_one("latent", latent), *_positive(hidden, "hidden")]
    out = nn.Linear(widths[-1], math.prod(_positive(shape)))
    return Decoder(latent, shape, nn.Sequential(*_dense(widths, gated), out))


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
    sides = _halvings(shape, channels)
    layers: list[nn.Module] = []
    for i, o in pairwise([shape[0], *channels]):
        layers += [nn.Conv2d(i, o, 4, stride=2, padding=1), nn.ReLU()]
    flat = channels[-1] * math.prod(sides[-1])
    dense = _dense([flat, _at_least_one("hidden", hidden)])
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
    sides = _halvings(shape, channels)
    start = (channels[-1], *sides[-1])
    widths = [_at_least_one("latent", latent), _at_least_one("hidden", hidden), math.prod(start)]
    upwards = _upwards([*channels[::-1], shape[0]], sides)
    trunk = nn.Sequential(*_dense(widths), nn.Unflatten(1, start), *upwards)
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
    _halvings(shape, channels)
    layers: list[nn.Module] = []
    for i, o in pairwise([shape[0], *channels]):
        layers += [nn.Conv2d(i, o, 4, stride=2, padding=1), nn.ReLU()]
    rest = [_Residual(channels[-1]) for _ in range(blocks)]
    out = nn.Conv2d(channels[-1], _at_least_one("width", width), 1)
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
    sides = _halvings(shape, channels)
    first = nn.Conv2d(_at_least_one("width", width), channels[-1], 3, padding=1)
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


class Generator(Decoder):
    """z ``(*batch, latent)`` -> data ``(*batch, *shape)``; images (C, H, W) come in [0, 1].

    Args:
        latent: dimensions of z.
        shape: shape of one datum.
        trunk: as for ``Decoder``; a sigmoid is put over what it gives for images.
    """

    @property
    def support(self) -> constraints.Constraint:
        """Values a datum may take."""
        return constraints.unit_interval if len(self.shape) == 3 else constraints.real

    def forward(self, z: Tensor) -> Tensor:
        """Data for any leading batch dimensions."""
        out = super().forward(z)
        return out.sigmoid() if len(self.shape) == 3 else out


class Discriminator(nn.Module):
    """x ``(B, *shape)`` -> one unbounded score per datum ``(B,)``: a logit, or a critic's value.

    Images in [0, 1] are seen as 2x - 1.

    Args:
        shape: shape of one datum.
        trunk: module from ``(B, *shape)`` to features ``(B, d)``.
        spectral: the heads' weights divided by their greatest singular value.
        rotations: a second head on the same features, for self-supervision.

    Raises:
        NetError: the trunk does not give one row of features per datum.
    """

    def __init__(
        self,
        shape: Sequence[int],
        trunk: nn.Module,
        spectral: bool = False,
        rotations: bool = False,
    ) -> None:
        super().__init__()
        self.shape, self.trunk = tuple(shape), trunk
        features = dry_run(trunk, torch.zeros(2, *self.shape))
        if features.dim() != 2:
            raise NetError(f"expected features (batch, d); got {tuple(features.shape)}")
        wrap, width = _normalised(spectral), features.shape[1]
        self.head = wrap(nn.Linear(width, 1))
        self.rotation_head = wrap(nn.Linear(width, 4)) if rotations else None

    def forward(self, x: Tensor) -> Tensor:
        """The scores."""
        return self.head(self._features(x)).squeeze(-1)

    def rotation(self, x: Tensor) -> Tensor:
        """Logits ``(B, 4)`` of how often an image was turned by 90 degrees.

        Raises:
            NetError: there is no such head.
        """
        if self.rotation_head is None:
            raise NetError("this discriminator has no rotation head: build it with rotations=True")
        return self.rotation_head(self._features(x))

    def _features(self, x: Tensor) -> Tensor:
        if x.shape[1:] != self.shape:
            raise NetError(f"expected data (B, {_names(self.shape)}); got {tuple(x.shape)}")
        return self.trunk(2 * x - 1 if len(self.shape) == 3 else x)


def dense_generator(
    latent: int, shape: Sequence[int], hidden: Sequence[int] = (256, 512)
) -> Generator:
    """Fully connected generator.

    Args:
        latent: dimensions of z.
        shape: shape of one datum, e.g. (1, 28, 28) or (2,).
        hidden: widths of the hidden layers, each followed by a ReLU.

    >>> dense_generator(64, (1, 28, 28))(torch.randn(5, 64)).shape
    torch.Size([5, 1, 28, 28])
    """
    widths = [_at_least_one("latent", latent), *_positive(hidden, "hidden")]
    out = nn.Linear(widths[-1], math.prod(_positive(shape)))
    return Generator(latent, shape, nn.Sequential(*_dense(widths), out))


def dcgan_generator(
    latent: int, shape: Sequence[int], channels: Sequence[int] = (32, 64)
) -> Generator:
    """Strided transposed 4x4 convolutions, each but the last with BatchNorm and a ReLU.

    Args:
        latent: dimensions of z.
        shape: (channels, height, width) of one image, sides from 8 pixels up.
        channels: widths, image side first; each doubles the sides.

    Raises:
        NetError: sides below 8 pixels or too small for that many halvings.

    Source: Radford et al. 2016, section 3 and figure 1; weights start as N(0, 0.02^2).

    >>> dcgan_generator(64, (3, 32, 32), (32, 64, 128))(torch.randn(5, 64)).shape
    torch.Size([5, 3, 32, 32])
    """
    sides = _halvings(shape, channels)
    layers = _projection(latent, channels[-1], sides[-1])
    widths, doublings = pairwise([*channels[::-1], shape[0]]), pairwise(sides[::-1])
    for (i, o), (small, large) in zip(widths, doublings, strict=True):
        odd = (large[0] - 2 * small[0], large[1] - 2 * small[1])
        last = large == sides[0]
        up = nn.ConvTranspose2d(i, o, 4, 2, padding=1, output_padding=odd, bias=last)
        layers += [up] if last else [up, nn.BatchNorm2d(o), nn.ReLU()]
    return Generator(latent, shape, nn.Sequential(*layers).apply(_dcgan_start))


def subpixel_generator(
    latent: int, shape: Sequence[int], channels: Sequence[int] = (32, 64)
) -> Generator:
    """Sub-pixel convolutions, each but the last with BatchNorm and a ReLU.

    Args:
        latent: dimensions of z.
        shape: (channels, height, width) of one image, sides from 8 pixels up that can be halved
            as often as there are channels.
        channels: widths, image side first; each doubles the sides.

    Raises:
        NetError: sides that cannot be halved so often.

    >>> subpixel_generator(64, (1, 28, 28))(torch.randn(5, 64)).shape
    torch.Size([5, 1, 28, 28])
    """
    sides = _halvings(shape, channels)
    if any(side % 2 ** len(channels) for side in sides[0]):
        raise NetError(
            f"expected sides that can be halved {len(channels)} times, for pixel shuffle doubles "
            f"them; got {sides[0]}: choose another number of channels"
        )
    layers = _projection(latent, channels[-1], sides[-1])
    for i, o in pairwise(channels[::-1]):
        layers += [subpixel_convolution(i, o), nn.BatchNorm2d(o), nn.ReLU()]
    return Generator(
        latent, shape, nn.Sequential(*layers, subpixel_convolution(channels[0], shape[0]))
    )


def subpixel_convolution(inputs: int, outputs: int, factor: int = 2) -> nn.Sequential:
    """A 3x3 convolution to ``outputs * factor^2`` channels, shuffled into ``factor`` more pixels.

    out[c, f i + a, f j + b] = convolved[c f^2 + a f + b, i, j]

    Args:
        inputs: channels in.
        outputs: channels out.
        factor: f, by which the sides grow.

    Source: Shi et al. 2016, Real-time single image and video super-resolution, equation 4.

    >>> convolution, shuffle = subpixel_convolution(1, 1)
    >>> wide = convolution(torch.rand(1, 1, 16, 16))
    >>> wide.shape, shuffle(wide).shape
    (torch.Size([1, 4, 16, 16]), torch.Size([1, 1, 32, 32]))
    """
    wide = outputs * _at_least_one("factor", factor) ** 2
    return nn.Sequential(nn.Conv2d(inputs, wide, 3, padding=1), nn.PixelShuffle(factor))


def dense_discriminator(
    shape: Sequence[int], hidden: Sequence[int] = (512, 256), spectral: bool = False
) -> Discriminator:
    """Fully connected discriminator or critic, LeakyReLU 0.2.

    Args:
        shape: shape of one datum.
        hidden: widths of the hidden layers.
        spectral: every weight divided by its greatest singular value.

    >>> dense_discriminator((2,), (64, 64))(torch.zeros(5, 2)).shape
    torch.Size([5])
    """
    wrap = _normalised(spectral)
    layers: list[nn.Module] = [nn.Flatten()]
    for i, o in pairwise([math.prod(_positive(shape)), *_positive(hidden, "hidden")]):
        layers += [wrap(nn.Linear(i, o)), nn.LeakyReLU(0.2)]
    return Discriminator(shape, nn.Sequential(*layers), spectral)


def conv_discriminator(
    shape: Sequence[int],
    channels: Sequence[int] = (32, 64),
    norm: str | None = None,
    rotations: bool = False,
) -> Discriminator:
    """Strided 4x4 convolutions with LeakyReLU 0.2, then one score.

    Args:
        shape: (channels, height, width) of one image, sides from 8 pixels up.
        channels: widths of the convolutions, each of which halves the sides (rounding down).
        norm: "batch" for DCGAN's, which has it on all but the first convolution; "spectral" for
            every weight divided by its greatest singular value; None.
        rotations: a head for rotations on the same features.

    Raises:
        NetError: sides below 8 pixels or too small for that many halvings, an unknown norm.

    Source: Radford et al. 2016, section 3; Miyato et al. 2018, equation 8 (spectral norm).

    >>> conv_discriminator((1, 28, 28), norm="spectral", rotations=True).rotation(
    ...     torch.zeros(5, 1, 28, 28)).shape
    torch.Size([5, 4])
    """
    if norm not in (None, "batch", "spectral"):
        raise NetError(f"expected norm None, 'batch' or 'spectral'; got {norm!r}")
    _halvings(shape, channels)
    spectral, layers = norm == "spectral", list[nn.Module]()
    wrap = _normalised(spectral)
    for i, o in pairwise([shape[0], *channels]):
        batch = norm == "batch" and bool(layers)
        layers.append(wrap(nn.Conv2d(i, o, 4, 2, padding=1, bias=not batch)))
        layers += [nn.BatchNorm2d(o)] * batch + [nn.LeakyReLU(0.2)]
    net = Discriminator(shape, nn.Sequential(*layers, nn.Flatten()), spectral, rotations)
    return net.apply(_dcgan_start) if norm == "batch" else net


def _projection(latent: int, width: int, sides: Sequence[int]) -> list[nn.Module]:
    """From z to a grid of features."""
    size = width * math.prod(sides)
    dense = nn.Linear(_at_least_one("latent", latent), size, bias=False)
    return [dense, nn.Unflatten(1, (width, *sides)), nn.BatchNorm2d(width), nn.ReLU()]


def _dcgan_start(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, std=0.02)


def _normalised(spectral: bool) -> Callable[[nn.Module], nn.Module]:
    return spectral_norm if spectral else lambda module: module


def _dense(widths: Sequence[int], gated: bool = False) -> list[nn.Module]:
    factor, gate = (2, nn.GLU) if gated else (1, nn.ReLU)
    return [layer for i, o in pairwise(widths) for layer in (nn.Linear(i, factor * o), gate())]


def _upwards(channels: Sequence[int], sides: Sequence[tuple[int, int]]) -> list[nn.Module]:
    """Transposed convolutions from the smallest of ``sides`` to the first."""
    layers: list[nn.Module] = []
    for (i, o), (small, large) in zip(pairwise(channels), pairwise(sides[::-1]), strict=True):
        odd = (large[0] - 2 * small[0], large[1] - 2 * small[1])
        layers += [nn.ConvTranspose2d(i, o, 4, stride=2, padding=1, output_padding=odd), nn.ReLU()]
    return layers[:-1]


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
