"""Small pairs with everything an ELBO has to get right: plates, masks, scales, mixtures."""

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from torch import nn

from probgen import models, nets

SHAPE = (1, 8, 8)


def vae(seed=0):
    torch.manual_seed(seed)
    return models.VAE(nets.dense_encoder(SHAPE, 3, (16,)), nets.dense_decoder(3, SHAPE, (16,)))


class Toy(nn.Module):
    """q(z) = N(loc, scale) per datum, however ``model`` and ``guide`` use it."""

    def __init__(self, n=6, d=2):
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.loc = nn.Parameter(torch.randn(n, d, generator=generator))
        self.log_scale = nn.Parameter(0.3 * torch.randn(n, d, generator=generator))
        self.weight = nn.Parameter(torch.randn(d, generator=generator))

    def register(self):
        pyro.module(f"toy{id(self)}", self)

    def q(self, rows=slice(None)):
        return dist.Normal(self.loc[rows], self.log_scale[rows].exp()).to_event(1)

    def prior(self):
        return dist.Normal(0.0, 1.0).expand([self.loc.shape[1]]).to_event(1)


class Plain(Toy):
    def model(self, x):
        self.register()
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", self.prior())
            pyro.sample("x", dist.Normal(z @ self.weight, 0.5), obs=x)
            self.more(x)

    def guide(self, x):
        self.register()
        with pyro.plate("data", len(x)):
            pyro.sample("z", self.q())

    def more(self, x):
        """What else a datum observes."""


class Subsampled(Toy):
    """Rows drawn from a plate of 60."""

    def model(self, x):
        self.register()
        with pyro.plate("data", 60, subsample_size=len(x)):
            z = pyro.sample("z", self.prior())
            pyro.sample("x", dist.Normal(z @ self.weight, 0.5), obs=x)

    def guide(self, x):
        self.register()
        with pyro.plate("data", 60, subsample_size=len(x)):
            pyro.sample("z", self.q())


class Masked(Plain):
    """The first row does not count."""

    def masked(self, program, x):
        with poutine.mask(mask=torch.arange(len(x)) > 0):
            program(x)

    def model(self, x):
        self.masked(super().model, x)

    def guide(self, x):
        self.masked(super().guide, x)


class Scaled(Plain):
    def model(self, x):
        with poutine.scale(scale=0.3):
            super().model(x)

    def guide(self, x):
        with poutine.scale(scale=0.3):
            super().guide(x)


class Mixture(Plain):
    """A prior without analytic KL."""

    def prior(self):
        parts = dist.Normal(torch.tensor([[-1.0, 0.0], [1.0, 0.5]]), 0.7).to_event(1)
        return dist.MixtureSameFamily(dist.Categorical(torch.tensor([0.3, 0.7])), parts)


class Nested(Toy):
    """Pixels in a plate of their own; the datum is a row."""

    def model(self, x):
        self.register()
        with pyro.plate("data", 60, subsample_size=len(x), dim=-2):
            z = pyro.sample("z", dist.Normal(torch.zeros(len(x), 1), 1.0))
            with pyro.plate("pixels", 3, dim=-1):
                pyro.sample(
                    "x", dist.Normal(z * self.weight[0], 1.0), obs=x[:, None].expand(-1, 3)
                )

    def guide(self, x):
        self.register()
        with pyro.plate("data", 60, subsample_size=len(x), dim=-2):
            pyro.sample("z", dist.Normal(self.loc[:, :1], self.log_scale[:, :1].exp()))


class Global(Toy):
    """One global latent, one per datum, and a deterministic site."""

    def model(self, x):
        self.register()
        w = pyro.sample("w", dist.Normal(0.0, 1.0))
        with pyro.plate("data", 60, subsample_size=len(x)):
            z = pyro.sample("z", self.prior())
            mean = pyro.deterministic("mean", w + z @ self.weight)
            pyro.sample("x", dist.Normal(mean, 0.5), obs=x)

    def guide(self, x):
        self.register()
        pyro.sample("w", dist.Normal(self.weight[0], self.log_scale[0, 0].exp()))
        with pyro.plate("data", 60, subsample_size=len(x)):
            pyro.sample("z", self.q())


class Factor(Plain):
    """A term that is no likelihood."""

    def more(self, x):
        pyro.factor("extra", -self.loc.sum(-1).square())


PAIRS = [Plain, Subsampled, Masked, Scaled, Mixture, Nested, Global, Factor]
PARTICLES = [
    {},
    {"num_particles": 3},
    {"num_particles": 3, "vectorize_particles": True, "max_plate_nesting": 2},
]


def gradients(loss, pair, x, seed=5):
    pyro.clear_param_store()
    torch.manual_seed(seed)
    pair.zero_grad()
    value = loss.loss_and_grads(pair.model, pair.guide, x)
    zero = torch.zeros(())
    return float(value), [zero if p.grad is None else p.grad.clone() for p in pair.parameters()]


class Two(Toy):
    """Two latents per datum; in the guide the second looks at x alone."""

    def model(self, x):
        self.register()
        with pyro.plate("data", len(x)):
            first = pyro.sample("first", self.prior())
            second = pyro.sample("second", dist.Normal(first * self.weight, 1.0).to_event(1))
            pyro.sample("x", dist.Normal(second.sum(-1) + first[..., 0], 0.5), obs=x)

    def guide(self, x):
        self.register()
        with pyro.plate("data", len(x)):
            first = pyro.sample("first", self.q())
            loc = self.second(first)
            pyro.sample("second", dist.Normal(loc, self.log_scale.exp()).to_event(1))

    def second(self, first):
        return 0.5 * self.loc


class Hierarchical(Two):
    """The guide's second latent depends on the first."""

    def second(self, first):
        return self.loc + first.tanh() + 0.1 * first.square()


class Hierarchy(nn.Module):
    """z1 -> z2 -> x with rows of a larger plate, one row masked, and a prior without exact KL."""

    def __init__(self):
        super().__init__()
        self.loc = nn.Parameter(torch.randn(6, 2, generator=torch.Generator().manual_seed(0)))
        self.weight = nn.Parameter(torch.ones(2))
        self.counts = torch.arange(6) > 0

    def rows(self, x):
        pyro.module(f"hierarchy{id(self)}", self)
        rows = pyro.plate("data", 60, subsample_size=len(x))
        return rows, pyro.poutine.mask(mask=self.counts)

    def model(self, x, y=None):
        plate, mask = self.rows(x)
        parts = dist.Normal(x.new_tensor([[-1.0], [1.0]]), 0.7).to_event(1)
        with plate, mask:
            mixture = dist.MixtureSameFamily(dist.Categorical(x.new_ones(2) / 2), parts)
            z1 = pyro.sample("z1", mixture)
            z2 = pyro.sample("z.2", dist.Normal(z1.expand(*z1.shape[:-1], 2), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z2 @ self.weight, 0.5), obs=x)

    def guide(self, x, y=None):
        plate, mask = self.rows(x)
        with plate, mask:
            z1 = pyro.sample("z1", dist.Normal(self.loc[:, :1], 0.5).to_event(1))
            pyro.sample("z.2", dist.Normal(self.loc + z1, 0.4).to_event(1))


class Drawn(dist.Normal):
    """A normal whose sample is known."""

    def __init__(self, loc, scale, z):
        super().__init__(loc, scale)
        self.z = z

    def expand(self, batch_shape, _instance=None):
        return Drawn(self.loc.expand(batch_shape), self.scale.expand(batch_shape), self.z)

    def rsample(self, sample_shape=()):
        return self.z
