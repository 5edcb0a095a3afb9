"""Small Pyro programs whose graphs are known."""

import pyro
import pyro.distributions as dist
import torch

UNIT = dist.Normal(0.0, 1.0)


def collider():
    a, b = pyro.sample("a", UNIT), pyro.sample("b", UNIT)
    pyro.sample("x", dist.Normal(a + b, 1.0), obs=torch.tensor(3.0))


def branch():
    z = pyro.sample("z", UNIT)
    pyro.sample("x", dist.Normal(0.0, 1.0 if z < 0 else 2.0))
