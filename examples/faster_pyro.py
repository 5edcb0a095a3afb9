"""Three models from Pyro's tutorials, made fast by one import.

Each is trained twice from the same seed: with ``pyro.infer.SVI``, and with
``probgen.lowering.SVI`` in its place. The losses are the same; the seconds are not.

python examples/faster_pyro.py --steps 2000 --lower auto
"""

import argparse
import time

import pyro
import pyro.distributions as dist
import pyro.infer
import torch
from pyro import poutine
from pyro.infer import Trace_ELBO, TraceEnum_ELBO, config_enumerate
from pyro.infer.autoguide import AutoDelta, AutoNormal
from torch import nn

from probgen import data, lowering

# models


def regression(group, x, y):
    """Varying slopes: partial pooling over the groups."""
    mean = pyro.sample("mean", dist.Normal(0.0, 1.0))
    spread = pyro.sample("spread", dist.HalfNormal(1.0))
    noise = pyro.sample("noise", dist.HalfNormal(1.0))
    with pyro.plate("groups", 50):
        slope = pyro.sample("slope", dist.Normal(mean, spread))
    with pyro.plate("rows", len(x)):
        pyro.sample("y", dist.Normal(slope[group] * x, noise), obs=y)


@config_enumerate
def mixture(x):
    """Two Gaussians, the assignments summed out."""
    weights = pyro.sample("weights", dist.Dirichlet(0.5 * torch.ones(2)))
    scale = pyro.sample("scale", dist.LogNormal(0.0, 2.0))
    with pyro.plate("components", 2):
        locs = pyro.sample("locs", dist.Normal(0.0, 10.0))
    with pyro.plate("data", len(x)):
        assignment = pyro.sample("assignment", dist.Categorical(weights))
        pyro.sample("x", dist.Normal(locs[assignment], scale), obs=x)


class VAE(nn.Module):
    """The autoencoder of Pyro's VAE tutorial."""

    def __init__(self, pixels, latent=8, hidden=64):
        super().__init__()
        self.latent = latent
        self.encoder = nn.Sequential(
            nn.Linear(pixels, hidden), nn.Softplus(), nn.Linear(hidden, 2 * latent)
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent, hidden), nn.Softplus(), nn.Linear(hidden, pixels)
        )

    def model(self, x):
        """p(x, z)."""
        pyro.module("decoder", self.decoder)
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(x.new_zeros(len(x), self.latent), 1.0).to_event(1))
            pixels = dist.Bernoulli(logits=self.decoder(z), validate_args=False)
            pyro.sample("x", pixels.to_event(1), obs=x)

    def guide(self, x):
        """q(z | x)."""
        pyro.module("encoder", self.encoder)
        with pyro.plate("data", len(x)):
            loc, log_scale = self.encoder(x).chunk(2, dim=-1)
            pyro.sample("z", dist.Normal(loc, log_scale.exp()).to_event(1))


# programs: model, guide, loss, batches


def hierarchical_regression():
    group, x = torch.randint(0, 50, (2000,)), torch.randn(2000)
    y = torch.randn(50)[group] * x + 0.5 * torch.randn(2000)
    return regression, AutoNormal(regression), Trace_ELBO(), [(group, x, y)]


def gaussian_mixture():
    x = torch.randn(1000) + 5.0 * (torch.rand(1000) < 0.3)
    guide = AutoDelta(poutine.block(mixture, hide=["assignment"]))
    return mixture, guide, TraceEnum_ELBO(max_plate_nesting=1), [(x,)]


def autoencoder():
    train, _ = data.digits()
    pixels = train.batch(slice(None))[0].flatten(1)
    vae = VAE(pixels.shape[1])
    return vae.model, vae.guide, Trace_ELBO(), [(batch,) for batch in pixels.split(100)]


PROGRAMS = (hierarchical_regression, gaussian_mixture, autoencoder)

# main


def trained(kind, program, steps, **settings):
    """The losses of a training, and its seconds."""
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    model, guide, loss, batches = program()
    svi = kind(model, guide, pyro.optim.Adam({"lr": 0.01}), loss, **settings)
    start = time.perf_counter()
    losses = [svi.step(*batches[step % len(batches)]) for step in range(steps)]
    return losses, time.perf_counter() - start


def main(steps, lower):
    rows = {}
    for program in PROGRAMS:
        name = program.__name__.replace("_", " ")
        plain, seconds = trained(pyro.infer.SVI, program, steps)
        lowered, fewer = trained(lowering.SVI, program, steps, lower=lower)
        rows[name] = {"pyro": plain, "lowered": lowered}
        print(
            f"{name:24} Pyro {seconds:6.1f} s, lowered {fewer:6.1f} s;"
            f" last losses {plain[-1]:.2f}, {lowered[-1]:.2f}"
        )
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--lower", choices=lowering.HOW, default="auto")
    main(**vars(parser.parse_args()))
