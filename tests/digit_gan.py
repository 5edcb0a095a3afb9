"""A small GAN of the digits."""

from functools import partial

import torch

from probgen import data, models, players

DIGITS, TEST = data.digits()
SHAPE = DIGITS.shape
STILL = partial(torch.optim.SGD, lr=1e-20)


def gan(seed=0, **critic):
    torch.manual_seed(seed)
    generator = players.dcgan_generator(8, SHAPE, (8, 16))
    return models.GAN(generator, players.conv_discriminator(SHAPE, (8, 16), **critic))
