"""Diffusion of Gaussian data, whose best denoiser is known in closed form."""

from functools import partial

import torch
from torch import nn

from probgen import data, denoisers, models
from probgen.models import noise, samplers

MEAN, SCALE = torch.tensor([1.0, -2.0]), torch.tensor([2.0, 3.0])


class Optimal(nn.Module):
    """E[x_0 | x_t] of Gaussian data, or the noise or the velocity that say the same."""

    shape = (2,)

    def __init__(self, predicts="x0"):
        super().__init__()
        self.predicts = predicts

    def forward(self, x, log_snr):
        alpha, sigma = (sign * log_snr[:, None] for sign in (1, -1))
        alpha, sigma = alpha.sigmoid().sqrt(), sigma.sigmoid().sqrt()
        gain = alpha * SCALE**2 / (alpha**2 * SCALE**2 + sigma**2)
        x_0 = MEAN + gain * (x - alpha * MEAN)
        epsilon = (x - alpha * x_0) / sigma
        return {"x0": x_0, "epsilon": epsilon, "v": alpha * epsilon - sigma * x_0}[self.predicts]


def optimal(steps=1000, predicts="x0", **settings):
    settings = {"levels": None, "predicts": predicts} | settings
    return models.Diffusion(Optimal(predicts), noise.cosine(steps), **settings)


def gaussian(n, seed=0):
    drawn = torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))
    drawn = (drawn - drawn.mean(0)) / drawn.std(0)
    return data.arrays(MEAN + SCALE * drawn)


def labelled(steps=20, unlabelled=0.1, **settings):
    torch.manual_seed(0)
    net = denoisers.dense((1, 8, 8), (16, 16), classes=10)
    return models.Diffusion(net, noise.cosine(steps), unlabelled=unlabelled, **settings)


def digits(n=64):
    return data.digits()[0].take(torch.arange(n))


ODE = partial(samplers.dpm_solver, eta=0.0)
