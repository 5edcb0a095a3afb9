"""Networks that do not fit a model: each error says what was expected, what came, and the cure."""

import pytest
from torch import nn

from probgen import models, nets, players
from probgen.models import ModelError

GREY, COLOUR = (1, 8, 8), (3, 8, 8)


def encoder(shape=GREY, latent=4, parts=2):
    return nets.dense_encoder(shape, latent, parts=parts)


def decoder(latent=4, shape=GREY):
    return nets.dense_decoder(latent, shape)


def conditional(first, second, classes=10):
    return models.ConditionalVAE(first, second, classes=classes)


ROWS = {
    "no channel for the label, grey": (
        lambda: conditional(encoder(), decoder(14)),
        r"a channel more than the data.*got shape \(1, 8, 8\): build it for \(2, 8, 8\)",
    ),
    "no channel for the label, colour": (
        lambda: conditional(encoder(COLOUR), decoder(14, COLOUR)),
        r"to give \(\*batch, 2, 8, 8\).*build the encoder for \(4, 8, 8\), a channel more",
    ),
    "no dimensions for the label": (
        lambda: conditional(encoder((2, 8, 8)), decoder(4)),
        "build it for 14 dimensions, 4 and 10 for the label",
    ),
    "other classes": (
        lambda: conditional(encoder((2, 8, 8)), decoder(14), classes=9),
        r"latents \(..., 14\).*build it for 13 dimensions",
    ),
    "two parts for a code": (
        lambda: models.Autoencoder(encoder(), decoder()),
        r"to give code.*got \[\(2, 4\), \(2, 4\)\].*build it with parts=1",
    ),
    "one part for a posterior": (
        lambda: models.VAE(encoder(parts=1), decoder()),
        "to give loc and log_scale.*build it with parts=2",
    ),
    "features on a grid": (
        lambda: models.VAE(nets.grid_encoder(GREY, 16), nets.grid_decoder(16, GREY)),
        r"got \[\(2, 16, 2, 2\)\].*models.VQVAE takes features on a grid",
    ),
    "other latents": (
        lambda: models.VAE(encoder(), decoder(5)),
        r"does not take latents \(3, 2, 4\).*build it for 4 dimensions",
    ),
    "data of another shape": (
        lambda: models.VAE(encoder(), decoder(shape=COLOUR)),
        r"to give \(\*batch, 1, 8, 8\); got \(3, 2, 3, 8, 8\).*both networks for data \(1, 8, 8\)",
    ),
    "an encoder of another shape": (
        lambda: models.VAE(encoder(), decoder(shape=COLOUR), shape=COLOUR),
        r"encoder does not take data \(2, 3, 8, 8\).*build it for data \(3, 8, 8\)",
    ),
    "a class for a network": (
        lambda: models.VAE(nets.Encoder, decoder()),
        "the encoder as a module; got Encoder: build it first",
    ),
    "a function for a network": (
        lambda: models.VAE(encoder(), nets.dense_decoder),
        "the decoder as a module; got dense_decoder: build it first",
    ),
    "a vector for a grid": (
        lambda: models.VQVAE(encoder(), decoder()),
        r"features \(B, width, h, w\); got 2 parts.*nets.grid_encoder",
    ),
    "one vector for a grid": (
        lambda: models.VQVAE(encoder(parts=1), decoder()),
        r"features \(B, width, h, w\); got \(2, 4\)",
    ),
    "another width": (
        lambda: models.VQVAE(nets.grid_encoder(GREY, 16), nets.grid_decoder(8, GREY)),
        r"does not take features \(3, 2, 16, 2, 2\).*build it for features of width 16",
    ),
    "a word for a likelihood": (
        lambda: models.VQVAE(nets.grid_encoder(GREY, 16), nets.grid_decoder(16, GREY), "gauss"),
        "a likelihood such as Gaussian.*got 'gauss'",
    ),
    "no dictionary": (
        lambda: models.SparseVAE(encoder()),
        "models.UnrolledISTA, which owns the dictionary; got Encoder",
    ),
    "a generator of other latents": (
        lambda: models.GAN(generator(), players.conv_discriminator(GREY), latent=8),
        r"generator does not take latents \(2, 8\).*build it for latent=8",
    ),
    "a discriminator of other data": (
        lambda: models.GAN(generator(), players.conv_discriminator(COLOUR)),
        r"discriminator does not take generated data \(2, 1, 8, 8\).*for data \(1, 8, 8\)",
    ),
    "scores in a column": (
        lambda: models.GAN(generator(), nn.Sequential(nn.Flatten(), nn.Linear(64, 1))),
        r"one score per datum, \(B,\); got \(2, 1\).*nn.Flatten\(0\)",
    ),
}


def generator():
    return players.dcgan_generator(16, GREY)


@pytest.mark.parametrize("name", ROWS)
def test_networks_that_do_not_fit_are_refused_with_the_cure(name):
    build, match = ROWS[name]
    with pytest.raises(ModelError, match=match):
        build()
