"""Pyro programs of every kind that lowering has to get right."""

from functools import partial

import pyro
import pyro.distributions as dist
import torch
from pyro import infer, poutine
from pyro.infer import Trace_ELBO, TraceEnum_ELBO, TraceMeanField_ELBO, autoguide
from pyro.infer.reparam import StableReparam
from torch import nn
from torch.distributions import constraints

from probgen import objectives

GROUPS = torch.arange(40) % 5


def hierarchical(x, y):
    mean = pyro.sample("mean", dist.Normal(0.0, 1.0))
    spread = pyro.sample("spread", dist.HalfNormal(1.0))
    noise = pyro.sample("noise", dist.HalfNormal(1.0))
    with pyro.plate("groups", 5):
        slope = pyro.sample("slope", dist.Normal(mean, spread))
    with pyro.plate("rows", len(x)):
        pyro.sample("y", dist.Normal(slope[..., GROUPS] * x, noise), obs=y)


@infer.config_enumerate
def mixture(x):
    weights = pyro.sample("weights", dist.Dirichlet(0.5 * torch.ones(3)))
    scale = pyro.sample("scale", dist.LogNormal(0.0, 2.0))
    with pyro.plate("components", 3):
        loc = pyro.sample("loc", dist.Normal(0.0, 10.0))
    with pyro.plate("data", len(x)):
        component = pyro.sample("component", dist.Categorical(weights))
        pyro.sample("x", dist.Normal(loc[component], scale), obs=x)


@infer.config_enumerate
def markov(x):
    with pyro.plate("states", 3):
        transition = pyro.sample("transition", dist.Dirichlet(torch.ones(3)))
    loc = pyro.param("state_locs", torch.arange(3.0).to(x))
    state = 0
    for t in pyro.markov(range(10)):
        state = pyro.sample(f"state{t}", dist.Categorical(transition[state]))
        pyro.sample(f"x{t}", dist.Normal(loc[state], 1.0), obs=x[t])


@infer.config_enumerate
def impossible_state(x):
    """A component of probability 0, which the enumerated loss leaves out."""
    loc = pyro.sample("loc", dist.Normal(0.0, 1.0))
    with pyro.plate("data", len(x)):
        weights = torch.tensor([0.5, 0.5, 0.0]).to(x)
        component = pyro.sample("component", dist.Categorical(weights))
        pyro.sample("x", dist.Normal(loc + component, 1.0), obs=x)


def impossible_guide(x):
    loc = pyro.param("q_loc", torch.zeros((), dtype=x.dtype))
    pyro.sample("loc", dist.Normal(loc, 1.0))
    with pyro.plate("data", len(x)):
        weights = torch.tensor([0.4, 0.6, 0.0]).to(x)
        pyro.sample("component", dist.Categorical(weights), infer={"enumerate": "parallel"})


def subsampled(x):
    loc = pyro.sample("loc", dist.Normal(0.0, 1.0))
    with pyro.plate("data", len(x), subsample_size=10) as index:
        pyro.sample("x", dist.Normal(loc, 1.0), obs=x[index])


def by_hand(x):
    loc = pyro.param("q_loc", torch.zeros((), dtype=x.dtype))
    scale = pyro.param("q_scale", torch.ones((), dtype=x.dtype), constraint=constraints.positive)
    pyro.sample("loc", dist.Normal(loc, scale))


def masked(x):
    loc = pyro.sample("loc", dist.Normal(0.0, 1.0))
    scale = pyro.sample("scale", dist.LogNormal(0.0, 1.0))
    pyro.deterministic("twice", 2 * loc)
    with pyro.plate("data", len(x)), poutine.scale(scale=0.5), poutine.mask(mask=x > 0):
        pyro.sample("x", dist.Normal(loc, scale), obs=x)


def transformed(x):
    steps = [dist.transforms.AffineTransform(1.0, 2.0), dist.transforms.ExpTransform()]
    base = dist.Normal(torch.zeros((), dtype=x.dtype), 1.0)
    z = pyro.sample("z", dist.TransformedDistribution(base, steps))
    with pyro.plate("data", len(x)):
        pyro.sample("x", dist.Normal(z, 1.0), obs=x)


def discrete(x):
    with pyro.plate("data", len(x)):
        b = pyro.sample("b", dist.Bernoulli(0.5 * torch.ones_like(x[0])))
        pyro.sample("x", dist.Normal(b, 1.0), obs=x)


def score_function(x):
    p = pyro.param("p", torch.tensor(0.4).to(x), constraint=constraints.unit_interval)
    with pyro.plate("data", len(x)):
        pyro.sample("b", dist.Bernoulli(p))


def stable(x):
    """Stability near 1 is interpolated, by a decision that reads it."""
    stability = pyro.sample("stability", dist.Uniform(0.5, 1.9))
    with pyro.plate("data", len(x)):
        pyro.sample("x", dist.Stable(stability, 0.1, 1.0, 0.0), obs=x)


stable = poutine.reparam(stable, {"x": StableReparam()})


def correlated(x):
    z = pyro.sample("z", dist.Normal(torch.zeros(3).to(x), 1.0).to_event(1))
    assert not z.isnan().any(), "a check that a recording keeps"
    with pyro.plate("data", len(x)):
        pyro.sample("x", dist.Normal(z.sum(-1), 1.0), obs=x)


def flow(transform, **settings):
    return autoguide.AutoNormalizingFlow(correlated, partial(transform, **settings))


def one_hot(x):
    with pyro.plate("data", len(x)):
        y = pyro.sample("y", dist.OneHotCategorical(torch.ones(3).to(x)))
        pyro.sample("x", dist.Normal(y @ torch.arange(3).to(x), 1.0), obs=x)


def one_hot_guide(x):
    p = pyro.param("p", torch.ones(3).to(x) / 3, constraint=constraints.simplex)
    with pyro.plate("data", len(x)):
        pyro.sample("y", dist.OneHotCategorical(p))


class Amortised(nn.Module):
    """Networks with batch normalisation, dropout and a learned scale."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(1, 4), nn.Tanh(), nn.BatchNorm1d(4), nn.Linear(4, 2)
        )
        self.decoder = nn.Sequential(nn.Linear(1, 4), nn.Dropout(0.2), nn.Linear(4, 1))

    def model(self, x):
        pyro.module("decoder", self.decoder)
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros_like(x[:, None]), 1.0).to_event(1))
            loc = self.decoder(z).squeeze(-1)
            pyro.sample("x", dist.Normal(loc, 1.0, validate_args=True), obs=x)

    def guide(self, x):
        pyro.module("encoder", self.encoder)
        with pyro.plate("data", len(x)):
            loc, log_scale = self.encoder(x[:, None]).chunk(2, -1)
            pyro.sample("z", dist.Normal(loc, log_scale.exp()).to_event(1))


def amortised(loss):
    module = Amortised()
    return module.model, module.guide, loss


def hidden(model, *names):
    return autoguide.AutoNormal(poutine.block(model, hide=names))


def plates(x):
    return pyro.plate("data", len(x), subsample_size=10)


ENUM = {"max_plate_nesting": 1}
ZOO = {
    "hierarchical": lambda: (hierarchical, autoguide.AutoNormal(hierarchical), Trace_ELBO()),
    "mean field": lambda: (
        hierarchical, autoguide.AutoNormal(hierarchical), TraceMeanField_ELBO()
    ),
    "ours": lambda: (hierarchical, autoguide.AutoNormal(hierarchical), objectives.ELBO()),
    "ours, weighted": lambda: (
        hierarchical, autoguide.AutoNormal(hierarchical), objectives.BetaELBO(4.0)
    ),
    "multivariate, particles": lambda: (
        hierarchical, autoguide.AutoMultivariateNormal(hierarchical), Trace_ELBO(num_particles=2)
    ),
    "low rank, vectorised": lambda: (
        hierarchical,
        autoguide.AutoLowRankMultivariateNormal(hierarchical),
        Trace_ELBO(num_particles=3, vectorize_particles=True, max_plate_nesting=1),
    ),
    "delta": lambda: (hierarchical, autoguide.AutoDelta(hierarchical), Trace_ELBO()),
    "inverse autoregressive flow": lambda: (
        hierarchical, autoguide.AutoIAFNormal(hierarchical), Trace_ELBO()
    ),
    "Renyi": lambda: (
        hierarchical, autoguide.AutoNormal(hierarchical), infer.RenyiELBO(num_particles=4)
    ),
    "enumerated mixture": lambda: (mixture, hidden(mixture, "component"), TraceEnum_ELBO(**ENUM)),
    "hidden Markov model": lambda: (
        markov,
        autoguide.AutoDelta(poutine.block(markov, expose=["transition"])),
        TraceEnum_ELBO(**ENUM),
    ),
    "impossible state": lambda: (impossible_state, impossible_guide, TraceEnum_ELBO(**ENUM)),
    "subsampled": lambda: (
        subsampled, autoguide.AutoNormal(subsampled, create_plates=plates), Trace_ELBO()
    ),
    "guide by hand": lambda: (subsampled, by_hand, Trace_ELBO()),
    "mask and scale": lambda: (masked, autoguide.AutoNormal(masked), Trace_ELBO()),
    "mask and scale, mean field": lambda: (
        masked, autoguide.AutoNormal(masked), TraceMeanField_ELBO()
    ),
    "transformed": lambda: (transformed, autoguide.AutoNormal(transformed), Trace_ELBO()),
    "score function": lambda: (discrete, score_function, Trace_ELBO()),
    "score function, graph": lambda: (discrete, score_function, infer.TraceGraph_ELBO()),
    "score function, one-hot": lambda: (one_hot, one_hot_guide, Trace_ELBO()),
    "stable": lambda: (stable, autoguide.AutoNormal(stable), Trace_ELBO()),
    "spline flow": lambda: (
        correlated, flow(dist.transforms.spline_coupling, count_bins=4), Trace_ELBO()
    ),
    "neural flow": lambda: (
        correlated, flow(dist.transforms.neural_autoregressive), Trace_ELBO()
    ),
    "networks": lambda: amortised(Trace_ELBO()),
    "networks, ours": lambda: amortised(objectives.ELBO()),
}  # fmt: skip


def arguments(name):
    """Fixed data for a program of the zoo, in the default dtype."""
    x = torch.randn(40, generator=torch.Generator().manual_seed(1))
    x = x.to(torch.get_default_dtype())
    two = ZOO[name]()[0] is hierarchical
    return (x, 2 * x + 0.1) if two else (x,)
