"""2,000 data whose aggregate posterior is known: a product of two planes, one grid for each.

q(z | x_n) is normal with K = 4. Its means are all 50 x 40 pairs of points in two planes, so that
q(z) is the product of a mixture of 50 normals in the first plane and one of 40 in the second, and
every entropy is an integral over a line or a plane, exact on a grid to about ten digits.
"""

import math

import pyro
import pyro.distributions as dist
import torch
from torch import nn

from probgen import data
from probgen.objectives.total_correlation import log_weights

SIZES, BATCH = (50, 40), 64
N = math.prod(SIZES)
GRID = torch.linspace(-6, 6, 241, dtype=torch.float64)
STEP = float(GRID[1] - GRID[0])


class Planes(nn.Module):
    """q(z | x_n) = N(points_n @ turn, exp(log_scale)) in both planes; x is the index n."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(4)
        shape = torch.tensor([[1.0, 0.4], [0.0, 0.9]], dtype=torch.float64)
        points = [torch.randn(n, 2, generator=generator).double() @ shape for n in SIZES]
        self.first, self.second = points
        self.turn = nn.Parameter(torch.eye(2, dtype=torch.float64).repeat(2, 1, 1))
        self.log_scale = nn.Parameter(torch.full((2, 2), math.log(0.3), dtype=torch.float64))

    def means(self):
        return self.first @ self.turn[0], self.second @ self.turn[1]

    def loc(self, index):
        first, second = self.means()
        return torch.cat([first[index // SIZES[1]], second[index % SIZES[1]]], -1)

    def q(self, index):
        return dist.Normal(self.loc(index), self.log_scale.flatten().exp()).to_event(1)

    def model(self, x, y=None):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros(4).double(), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z.sum(-1), 1.0), obs=torch.zeros(len(x)).double())

    def guide(self, x, y=None):
        with pyro.plate("data", len(x)):
            pyro.sample("z", self.q(x.flatten().long()))


def indices():
    """The set: every datum is its number."""
    return data.arrays(torch.arange(N, dtype=torch.float32).unsqueeze(1))


def exact(pair):
    """(MI, TC) on grids, with their gradients."""
    information, correlation = 0.0, 0.0
    for loc, log_scale in zip(pair.means(), pair.log_scale, strict=True):
        lines = dist.Normal(loc.unsqueeze(1), log_scale.exp()).log_prob(GRID[:, None, None, None])
        lines = lines.squeeze(2).exp()  # (grid, points, 2)
        plane = torch.einsum("anx,bnx->abn", lines[..., :1], lines[..., 1:]).mean(-1)
        marginals = sum(_entropy(lines[..., d].mean(1), STEP) for d in range(2))
        joint = _entropy(plane, STEP**2)
        own = (log_scale + 0.5 * math.log(2 * math.pi * math.e)).sum()
        information, correlation = information + joint - own, correlation + marginals - joint
    return information, correlation


def _entropy(density, cell):
    return -(density * density.clamp(min=1e-300).log()).sum() * cell


def published_log_weights(counts, size):
    """What vae_quant.py of beta-tcvae computes: 1/N in the first column, not on the diagonal."""
    m = len(counts) - 1
    weight = torch.full((m + 1, m + 1), 1 / m, dtype=counts.dtype)
    weight.view(-1)[:: m + 1] = 1 / size
    weight.view(-1)[1 :: m + 1] = (size - m) / (size * m)
    weight[m - 1, 0] = (size - m) / (size * m)
    return weight.log()


ESTIMATORS = {
    "published stratified": published_log_weights,
    "weighted": lambda counts, size: log_weights(counts, size, "weighted"),
    "stratified": lambda counts, size: log_weights(counts, size, "stratified"),
}


def estimated(pair, estimator, batches, generator):
    """(MI, TC), means over so many batches at once."""
    counts = torch.ones(BATCH, dtype=torch.float64)
    index = torch.rand(batches, N, generator=generator).topk(BATCH).indices
    loc, scale = pair.loc(index), pair.log_scale.flatten().exp()
    z = loc + scale * torch.randn(loc.shape, dtype=loc.dtype, generator=generator)
    crossed = dist.Normal(loc.unsqueeze(1), scale).log_prob(z.unsqueeze(2))
    weight = ESTIMATORS[estimator](counts, N)
    own = dist.Normal(loc, scale).log_prob(z).sum(-1)
    joint = (crossed.sum(-1) + weight).logsumexp(-1)
    each = (crossed + weight.unsqueeze(-1)).logsumexp(-2).sum(-1)
    return (own - joint).mean(), (joint - each).mean()


def gradient(pair, value):
    found = torch.autograd.grad(value, list(pair.parameters()), retain_graph=True)
    return torch.cat([g.flatten() for g in found])
