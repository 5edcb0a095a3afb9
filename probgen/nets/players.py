"""The networks of a GAN's two players, generators and discriminators: plain modules, no Pyro."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.distributions import constraints
from torch.nn.utils.parametrizations import spectral_norm

from probgen.nets.coders import (
    Decoder,
    NetError,
    as_text,
    at_least_one,
    dense_layers,
    dry_run,
    halvings,
    positive,
)


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
            raise NetError(f"expected data (B, {as_text(self.shape)}); got {tuple(x.shape)}")
        return self.trunk(2 * x - 1 if len(self.shape) == 3 else x)


def dense_generator(
    latent: int, shape: Sequence[int], hidden: Sequence[int] = (256, 512), norm: bool = False
) -> Generator:
    """Fully connected generator.

    Args:
        latent: dimensions of z.
        shape: shape of one datum, e.g. (1, 28, 28) or (2,).
        hidden: widths of the hidden layers, each followed by a ReLU.
        norm: BatchNorm before each ReLU, without which the non-saturating game on MNIST ends with
            one image.

    >>> dense_generator(64, (1, 28, 28))(torch.randn(5, 64)).shape
    torch.Size([5, 1, 28, 28])
    """
    widths = [at_least_one("latent", latent), *positive(hidden, "hidden")]
    out = nn.Linear(widths[-1], math.prod(positive(shape)))
    hiddens = dense_layers(widths)
    if norm:
        norms = [nn.BatchNorm1d(width) for width in widths[1:]]
        triples = zip(hiddens[::2], norms, hiddens[1::2], strict=True)
        hiddens = [layer for triple in triples for layer in triple]
    return Generator(latent, shape, nn.Sequential(*hiddens, out))


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
    sides = halvings(shape, channels)
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
    sides = halvings(shape, channels)
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
    wide = outputs * at_least_one("factor", factor) ** 2
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
    for i, o in pairwise([math.prod(positive(shape)), *positive(hidden, "hidden")]):
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
    halvings(shape, channels)
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
    dense = nn.Linear(at_least_one("latent", latent), size, bias=False)
    return [dense, nn.Unflatten(1, (width, *sides)), nn.BatchNorm2d(width), nn.ReLU()]


def _dcgan_start(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, std=0.02)


def _normalised(spectral: bool) -> Callable[[nn.Module], nn.Module]:
    return spectral_norm if spectral else lambda module: module
