"""Protocols: what isinstance says of ours, of users' own, and of wrapped modules."""

import pytest
import torch
from torch import nn

from probgen import denoisers, models, nets, players
from probgen.models import Codec, Generative, Pair
from probgen.models.pairs import labels_for, stated, takes_labels
from probgen.nets.interfaces import Decodes, Encodes, Module

SHAPE = (1, 8, 8)


def vae():
    return models.VAE(nets.dense_encoder(SHAPE, 4), nets.dense_decoder(4, SHAPE))


def conditional():
    encoder, decoder = nets.dense_encoder((2, 8, 8), 4), nets.dense_decoder(14, SHAPE)
    return models.ConditionalVAE(encoder, decoder, classes=10)


def diffusion(**settings):
    return models.Diffusion(denoisers.dense(SHAPE, **settings))


def gan():
    return models.GAN(players.dcgan_generator(16, SHAPE), players.conv_discriminator(SHAPE))


class OfParts(nn.Module):
    """Its two programs are modules, which lie behind ``__getattr__``."""

    def __init__(self):
        super().__init__()
        self.model, self.guide = nn.Linear(2, 2), nn.Linear(2, 2)


ROWS = {
    "VAE": (vae, {Pair, Codec, Encodes, Decodes, Generative}),
    "ConditionalVAE": (conditional, {Pair, Codec, Encodes, Decodes, Generative}),
    "Diffusion": (diffusion, {Pair, Generative}),
    "GAN": (gan, {Generative}),
    "a net": (lambda: nets.dense_encoder(SHAPE, 4), set()),
    "of parts": (OfParts, {Pair}),
}


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("wrap", [lambda module: module, torch.compile], ids=["itself", "wrapped"])
def test_a_module_is_what_it_has_the_methods_of(name, wrap):
    make, wanted = ROWS[name]
    module = wrap(make())
    kinds = (Pair, Codec, Encodes, Decodes, Generative)
    assert {kind for kind in kinds if isinstance(module, kind)} == wanted
    assert isinstance(module, Module)


@pytest.mark.parametrize("value", [None, 3, "vae", vae, models.VAE])
def test_what_is_no_module_is_none_of_them(value):
    kinds = (Module, Pair, Codec, Generative)
    assert not any(isinstance(value, kind) for kind in kinds)


@pytest.mark.parametrize(
    ("make", "classes", "levels", "steps"),
    [
        (vae, None, None, None),
        (conditional, 10, None, None),
        (diffusion, None, 256, 1000),
        (lambda: diffusion(classes=3), 3, 256, 1000),
        (OfParts, None, None, None),
    ],
    ids=["VAE", "ConditionalVAE", "Diffusion", "Diffusion of classes", "of parts"],
)
def test_what_a_pair_states_and_whether_it_takes_labels(make, classes, levels, steps):
    pair, y = make(), torch.arange(3)
    found = stated(pair)
    assert (found.classes, found.levels, found.steps) == (classes, levels, steps)
    assert takes_labels(pair) == (classes is not None)
    assert labels_for(pair, y) == (() if classes is None else (y,))
