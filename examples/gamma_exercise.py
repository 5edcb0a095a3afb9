"""Variational inference by hand, and by SVI: z ~ Exp(1), x ~ Exp(z), q(z) = Gamma(2, theta).

ELBO(theta) = -2 (x + 1) / theta - 2 log theta + 2 is largest at theta = x + 1. There q is the
posterior and the ELBO is the evidence, log p(x) = -2 log(x + 1).

python examples/gamma_exercise.py --x 0.1 1 10
"""

import argparse
import math

import pyro
import pyro.distributions as dist
import torch
from pyro.infer import SVI, Trace_ELBO
from torch.distributions import constraints

from probgen import objectives


def model(x):
    z = pyro.sample("z", dist.Exponential(1.0))
    pyro.sample("x", dist.Exponential(z), obs=x)


def guide(x):
    theta = pyro.param("theta", torch.tensor(1.0), constraint=constraints.positive)
    pyro.sample("z", dist.Gamma(2.0, theta))


def elbo(theta, x):
    return -2 * (x + 1) / theta - 2 * math.log(theta) + 2


def main(x, steps=1000, objective=None):
    """Theta as SVI finds it, and the ELBO there from samples: without noise at the posterior."""
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    particles = {"num_particles": 100, "vectorize_particles": True, "max_plate_nesting": 0}
    objective = objective or objectives.ELBO(**particles)
    decay = 0.01 ** (1 / steps)
    svi = SVI(model, guide, pyro.optim.ClippedAdam({"lr": 0.05, "lrd": decay}), objective)
    observed = torch.tensor(x)
    for _ in range(steps):
        svi.step(observed)
    sampled = Trace_ELBO(**particles | {"num_particles": 10_000})
    return pyro.param("theta").item(), -sampled.loss(model, guide, observed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--x", type=float, nargs="+", default=[0.1, 1.0, 10.0])
    parser.add_argument("--steps", type=int, default=1000)
    given = parser.parse_args()
    for x in given.x:
        theta, estimate = main(x, given.steps)
        print(
            f"x = {x:g}: theta {theta:.4f} (x + 1 = {x + 1:g}); ELBO {elbo(theta, x):.5f}, "
            f"by sampling {estimate:.5f} (log p(x) = {-2 * math.log(x + 1):.5f})"
        )
