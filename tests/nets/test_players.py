"""Generators and discriminators of every shape."""

import pytest
import torch
from digit_gan import SHAPE, gan
from torch import nn
from torch.nn.functional import conv2d

from probgen import nets, players


def test_spectral_norm_holds_every_layer_at_one():
    torch.manual_seed(0)
    d = players.conv_discriminator((1, 8, 8), (8, 16), norm="spectral", rotations=True).train()
    for _ in range(200):
        d(torch.rand(2, 1, 8, 8)), d.rotation(torch.rand(2, 1, 8, 8))
    layers = [part for part in d.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    assert len(layers) == 4
    for layer in layers:
        greatest = torch.linalg.matrix_norm(layer.weight.flatten(1), 2)
        assert greatest.item() == pytest.approx(1, rel=1e-3)


def test_a_subpixel_convolution_is_the_strided_transposed_one_of_the_same_kernels():
    """Pixel (f i + a, f j + b) of channel c is channel c f^2 + a f + b at (i, j)."""
    torch.manual_seed(0)
    layer = players.subpixel_convolution(3, 2, factor=2)
    x = torch.randn(1, 3, 5, 6)
    wide, out = conv2d(x, layer[0].weight, layer[0].bias, padding=1), layer(x)
    assert out.shape == (1, 2, 10, 12)
    for c, a, b in ((0, 0, 0), (0, 1, 0), (1, 0, 1), (1, 1, 1)):
        assert torch.allclose(out[:, c, a::2, b::2], wide[:, 4 * c + 2 * a + b], atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (1, 9, 15)])
def test_generators_and_discriminators_fit_every_shape(shape):
    makers = [players.dense_generator, players.dcgan_generator]
    makers += [players.subpixel_generator] if shape[2] % 4 == 0 else []
    for make in makers:
        made = make(6, shape)(torch.randn(2, 3, 6))
        assert made.shape == (2, 3, *shape)
        assert made.min() >= 0
        assert made.max() <= 1
    for norm in (None, "batch", "spectral"):
        assert players.conv_discriminator(shape, norm=norm)(torch.rand(4, *shape)).shape == (4,)
    assert players.dense_discriminator(shape)(torch.rand(4, *shape)).shape == (4,)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: players.subpixel_generator(4, (1, 9, 12)), "can be halved 2 times"),
        (lambda: players.dcgan_generator(4, (1, 6, 6)), "sides >= 8"),
        (lambda: players.dcgan_generator(0, SHAPE), "latent >= 1"),
        (lambda: players.conv_discriminator(SHAPE, norm="layer"), "expected norm None"),
        (lambda: players.subpixel_convolution(1, 1, 0), "factor >= 1"),
        (lambda: gan().discriminator.rotation(torch.zeros(1, 1, 8, 8)), "no rotation head"),
        (lambda: gan().discriminator(torch.zeros(1, 1, 9, 8)), r"data \(B, 1, 8, 8\)"),
    ],
)
def test_nets_that_cannot_be_built_are_refused(make, match):
    with pytest.raises(nets.NetError, match=match):
        make()
