"""Encoders and decoders of any shape."""

import pytest
import torch
from torch import nn

from probgen import nets

SHAPES = [(1, 8, 8), (3, 9, 15), (1, 28, 28), (2, 64, 33)]
ENCODERS = {"dense": nets.dense_encoder, "conv": nets.conv_encoder}
DECODERS = {"dense": nets.dense_decoder, "conv": nets.conv_decoder}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("net", ENCODERS)
def test_nets_take_any_shape_and_decoders_any_batch(net, shape):
    encoder, decoder = ENCODERS[net](shape, 3), DECODERS[net](3, shape)
    loc, log_scale = encoder(torch.zeros(5, *shape))
    assert loc.shape == log_scale.shape == (5, 3)
    for batch in [(), (5,), (2, 5), (2, 1, 5)]:
        assert decoder(torch.zeros(*batch, 3)).shape == (*batch, *shape)


@pytest.mark.parametrize("net", ENCODERS)
def test_particles_are_decoded_as_one_by_one(net):
    decoder, z = DECODERS[net](3, (1, 9, 8)), torch.randn(4, 2, 3)
    torch.testing.assert_close(decoder(z), torch.stack([decoder(row) for row in z]))


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: nets.dense_encoder((1, 8, 8), 0), "latent >= 1; got 0"),
        (lambda: nets.dense_decoder(3, (1, 0, 8)), "shape of positive sizes"),
        (lambda: nets.dense_encoder((4,), 2, hidden=(-1,)), "hidden of positive sizes"),
        (lambda: nets.conv_encoder((1, 7, 8), 2), "sides >= 8; got .1, 7, 8."),
        (lambda: nets.conv_encoder((8, 8), 2), "channels, height, width"),
        (lambda: nets.conv_decoder(2, (1, 8, 8), channels=(4, 4, 4, 4)), "1 to 3 channels"),
        (lambda: nets.conv_encoder((1, 8, 8), 2, channels=()), "1 to 3 channels; got 0"),
        (lambda: nets.Encoder((4,), 2, nn.Unflatten(1, (2, 2))), "features"),
        (lambda: nets.Decoder(2, (5,), nn.Linear(2, 4)), r"got \(2, 4\)"),
        (lambda: nets.dense_encoder((4,), 2)(torch.zeros(3, 5)), r"got \(3, 5\)"),
        (lambda: nets.dense_decoder(2, (4,))(torch.zeros(3, 5)), r"got \(3, 5\)"),
        (lambda: nets.dense_encoder((4,), 2)(torch.zeros(3, 4).byte()), "floats; got torch.uint8"),
        (lambda: nets.dense_encoder((4,), 2, hidden=100), "hidden a tuple, .* got 100"),
    ],
)
def test_impossible_nets_are_refused(make, match):
    with pytest.raises(nets.NetError, match=match):
        make()
