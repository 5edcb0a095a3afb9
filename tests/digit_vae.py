"""A small VAE of the digits, and whether two have the same weights."""

import torch

from probgen import data, models, nets

DIGITS, TEST = data.digits()


def vae(seed=0, latent=4, likelihood=None):
    torch.manual_seed(seed)
    encoder = nets.dense_encoder(DIGITS.shape, latent, (32,))
    return models.VAE(encoder, nets.dense_decoder(latent, DIGITS.shape, (32,)), likelihood)


def weights(pair):
    return [parameter.detach().clone() for parameter in pair.parameters()]


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


X = DIGITS.batch(slice(0, 20))[0]
