"""Steps of a lowered SVI beside those of Pyro's."""

import pyro
import torch
from pyro_zoo import ZOO

from probgen import data, models, nets


def adam():
    return pyro.optim.Adam({"lr": 0.01})


def made(kind, name, optim=adam, **settings):
    """An SVI of a program of the zoo, from a fixed state of store and generator."""
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    model, guide, loss = ZOO[name]()
    return kind(model, guide, optim(), loss, **settings)


def parameters():
    return {n: p.detach().clone() for n, p in pyro.get_param_store().named_parameters()}


def far(a, b):
    return max(float((a[n] - b[n]).norm() / (1e-3 + b[n].norm())) for n in b)


def steps(svi, args, n=4):
    losses = [svi.step(*args) for _ in range(n)]
    return losses, parameters()


DIGITS, TEST = data.digits()


def nets_pair(likelihood=None, conv=False):
    torch.manual_seed(0)
    if conv:
        encoder = nets.conv_encoder(DIGITS.shape, 4, hidden=16)
        return models.VAE(encoder, nets.conv_decoder(4, DIGITS.shape, hidden=16), likelihood)
    encoder = nets.dense_encoder(DIGITS.shape, 4, (16,))
    return models.VAE(encoder, nets.dense_decoder(4, DIGITS.shape, (16,)), likelihood)
