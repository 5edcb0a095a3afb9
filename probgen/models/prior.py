"""p(z): modules that give a distribution over the latent when called."""

from typing import Any

import pyro.distributions as dist
import torch
from pyro.distributions import transforms
from torch import Tensor, nn


class PriorError(ValueError):
    """A prior that is no distribution over the latent."""


class StandardNormal(nn.Module):
    """N(0, I).

    Args:
        latent: dimensions of z.
    """

    origin: Tensor

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.latent = _at_least("latent", latent, 1)
        self.register_buffer("origin", torch.zeros(latent), persistent=False)

    def forward(self) -> dist.TorchDistribution:
        """The distribution."""
        return dist.Normal(self.origin, torch.ones_like(self.origin)).to_event(1)


class MixturePrior(nn.Module):
    """Mixture of Gaussians with learned weights, means and diagonal scales.

    p(z) = sum_k w_k N(z; mu_k, diag(sigma_k^2))

    Its KL from a Gaussian has no closed form: the objectives take one sample.

    Args:
        latent: dimensions of z.
        components: number of Gaussians; their means start as draws from N(0, I).

    Raises:
        PriorError: a size below 1.

    Source: Dilokthanakul et al. 2016, Deep unsupervised clustering with Gaussian mixture VAEs.

    >>> MixturePrior(2, components=5)().sample((3,)).shape
    torch.Size([3, 2])
    """

    def __init__(self, latent: int, components: int = 50) -> None:
        super().__init__()
        self.latent, size = _at_least("latent", latent, 1), _at_least("components", components, 1)
        self.logits = nn.Parameter(torch.zeros(size))
        self.loc = nn.Parameter(torch.randn(size, latent))
        self.log_scale = nn.Parameter(torch.zeros(size, latent))

    def forward(self) -> dist.TorchDistribution:
        """The distribution."""
        return mixture(self.loc, self.log_scale, self.logits)


class FlowPrior(nn.Module):
    """N(0, I) sent through affine couplings, each after a fixed permutation of the dimensions.

    z = f_L(... f_1(e)), e ~ N(0, I): log p(z) = log N(e; 0, I) - sum_l log |det f_l'|

    Args:
        latent: dimensions of z, at least 2.
        layers: number of couplings.
        hidden: width of each coupling's hidden layer.

    Raises:
        PriorError: fewer than 2 dimensions to couple, or a size below 1.

    Source: Dinh et al. 2017, Density estimation using Real NVP, equations 4 and 5.

    >>> FlowPrior(3, layers=2)().log_prob(torch.zeros(5, 3)).shape
    torch.Size([5])
    """

    origin: Tensor

    def __init__(self, latent: int, layers: int = 4, hidden: int = 64) -> None:
        super().__init__()
        self.latent = _at_least("latent of a flow", latent, 2)
        couplings = [
            transforms.affine_coupling(latent, [_at_least("hidden", hidden, 1)])
            for _ in range(_at_least("layers", layers, 1))
        ]
        self.couplings = nn.ModuleList(couplings)
        self.register_buffer("origin", torch.zeros(latent), persistent=False)

    def forward(self) -> dist.TorchDistribution:
        """The distribution."""
        reverse: Any = transforms.Permute(torch.arange(self.latent - 1, -1, -1), dim=-1)
        base = dist.Normal(self.origin, torch.ones_like(self.origin)).to_event(1)
        steps = [step for coupling in self.couplings for step in (reverse, coupling)]
        return dist.TransformedDistribution(base, steps)


def mixture(loc: Tensor, log_scale: Tensor, logits: Tensor) -> dist.TorchDistribution:
    """Mixture of diagonal Gaussians from loc, log_scale (K, latent) and logits (K)."""
    components = dist.Normal(loc, log_scale.exp()).to_event(1)
    return dist.MixtureSameFamily(dist.Categorical(logits=logits), components)


def _at_least(what: str, size: int, least: int) -> int:
    if size < least:
        raise PriorError(f"expected {what} >= {least}; got {size}")
    return size
