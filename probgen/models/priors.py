"""p(z): modules that give a distribution over the latent when called."""

import math
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.distributions import constraints

from probgen.models.base import ModelError

LARGEST_LOG_SCALE = 3.0


class PriorError(ModelError):
    """A prior that is no distribution over the latent."""


class StandardNormal(nn.Module):
    """N(0, I).

    Args:
        latent: dimensions of z.

    Raises:
        PriorError: a size below 1.

    >>> StandardNormal(4)().log_prob(torch.zeros(5, 4)).shape
    torch.Size([5])
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

    p(z) = sum_k w_k N(z; mu_k, diag(sigma_k^2)), or p(z | y) with as many components per class

    Its KL from a Gaussian has no closed form: the objectives take one sample.

    Args:
        latent: dimensions of z.
        components: number of Gaussians (per class); their means start as draws from N(0, I).
        classes: number of classes, for p(z | y); None for p(z).

    Raises:
        PriorError: a size below 1.

    Source: Dilokthanakul et al. 2016, Deep unsupervised clustering with Gaussian mixture VAEs;
    a prior given what is known: Sohn et al. 2015, equation 4.

    >>> MixturePrior(2, components=5)().sample((3,)).shape
    torch.Size([3, 2])
    >>> MixturePrior(2, components=5, classes=10)(torch.tensor([0, 7])).sample().shape
    torch.Size([2, 2])
    """

    def __init__(self, latent: int, components: int = 50, classes: int | None = None) -> None:
        super().__init__()
        self.latent, size = _at_least("latent", latent, 1), _at_least("components", components, 1)
        self.classes = classes
        every = size if classes is None else size * _at_least("classes", classes, 1)
        self.logits = nn.Parameter(torch.zeros(every))
        self.loc = nn.Parameter(torch.randn(every, latent))
        self.log_scale = nn.Parameter(torch.zeros(every, latent))

    def forward(self, y: Tensor | None = None) -> dist.TorchDistribution:
        """p(z); with classes p(z | y), its batch shape that of the labels ``y``."""
        logits = self.logits if self.classes is None else self._of_class(y, self.classes)
        return GaussianMixture(self.loc, self.log_scale, logits)

    def _of_class(self, y: Tensor | None, classes: int) -> Tensor:
        """The logits (*y.shape, K), those of other classes' components at -infinity."""
        if y is None:
            raise PriorError("expected labels y for a prior per class; got none")
        each = torch.arange(classes, device=y.device)
        own = (y[..., None] == each).repeat_interleave(len(self.logits) // classes, -1)
        return self.logits.masked_fill(~own, -math.inf)


class Coupling(nn.Module):
    """Half of z moved and scaled as the other half says, and then all of it reversed.

    It starts close to the reversal alone.

    Args:
        latent: dimensions of z.
        hidden: width of the hidden layer.
    """

    def __init__(self, latent: int, hidden: int) -> None:
        super().__init__()
        self.kept = latent // 2
        last = nn.Linear(hidden, 2 * (latent - self.kept))
        self.net = nn.Sequential(nn.Linear(self.kept, hidden), nn.ReLU(), last)
        with torch.no_grad():
            last.weight.mul_(0.01)
            last.bias.zero_()

    def forward(self, z: Tensor) -> Tensor:
        """The moved z."""
        kept, moved = z[..., : self.kept], z[..., self.kept :]
        loc, log_scale = self._moves(kept)
        return torch.cat([kept, moved * log_scale.exp() + loc], -1).flip(-1)

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """What was moved to z, and the log determinant of moving it."""
        z = z.flip(-1)
        kept, moved = z[..., : self.kept], z[..., self.kept :]
        loc, log_scale = self._moves(kept)
        return torch.cat([kept, (moved - loc) * (-log_scale).exp()], -1), log_scale.sum(-1)

    def _moves(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        loc, log_scale = self.net(kept).to(kept.dtype).chunk(2, -1)
        return loc, LARGEST_LOG_SCALE * (log_scale / LARGEST_LOG_SCALE).tanh()


class _Flow(dist.TorchDistribution):
    """N(0, I) sent through couplings, none of which keeps what it computed."""

    arg_constraints: dict[str, Any] = {}
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, origin: Tensor, couplings: nn.ModuleList, batch_shape: Any = ()) -> None:
        self.origin, self.couplings = origin, couplings
        super().__init__(torch.Size(batch_shape), origin.shape, validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> "_Flow":
        return _Flow(self.origin, self.couplings, batch_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        value = value.expand(torch.broadcast_shapes(value.shape, self.shape()))
        log_det = value.new_zeros(value.shape[:-1])
        backwards: Any = reversed(self.couplings)
        for coupling in backwards:
            value, own = coupling.inverse(value)
            log_det = log_det + own
        return -0.5 * (value.square() + math.log(2 * math.pi)).sum(-1) - log_det

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        z = torch.randn_like(self.origin.expand(self._extended_shape(torch.Size(sample_shape))))
        for coupling in self.couplings:
            z = coupling(z)
        return z


class FlowPrior(nn.Module):
    """N(0, I) sent through affine couplings, each followed by a reversal of the dimensions.

    z = f_L(... f_1(e)), e ~ N(0, I): log p(z) = log N(e; 0, I) - sum_l log |det f_l'|

    It starts close to N(0, I).

    Args:
        latent: dimensions of z, at least 2.
        layers: number of couplings.
        hidden: width of each coupling's hidden layer.

    Raises:
        PriorError: fewer than 2 dimensions to couple, or a size below 1.

    Source: Dinh et al. 2017, Density estimation using Real NVP, equations 4 and 5; the start:
    Kingma & Dhariwal 2018, Glow, section 3.3.

    >>> FlowPrior(3, layers=2)().log_prob(torch.zeros(5, 3)).shape
    torch.Size([5])
    """

    origin: Tensor

    def __init__(self, latent: int, layers: int = 4, hidden: int = 64) -> None:
        super().__init__()
        self.latent = _at_least("latent of a flow", latent, 2)
        hidden, layers = _at_least("hidden", hidden, 1), _at_least("layers", layers, 1)
        self.couplings = nn.ModuleList(Coupling(latent, hidden) for _ in range(layers))
        self.register_buffer("origin", torch.zeros(latent), persistent=False)

    def forward(self) -> dist.TorchDistribution:
        """The distribution."""
        return _Flow(self.origin, self.couplings)


class GaussianMixture(dist.TorchDistribution):
    """Mixture of diagonal Gaussians from loc, log_scale (K, latent) and logits (..., K).

    Its squares are expanded, so that two matrix products serve all components:

    sum_d (z_d - mu_d)^2 / sigma_d^2 = z^2 . sigma^-2 - 2 z . mu sigma^-2 + mu . mu sigma^-2

    In double precision, which the differences need: 15 times faster than component by component
    (200 of 40 dimensions), and closer to the exact value than that in single precision.
    """

    arg_constraints: dict[str, Any] = {}
    support = constraints.real_vector

    def __init__(self, loc: Tensor, log_scale: Tensor, logits: Tensor, batch: Any = ()) -> None:
        self.loc, self.log_scale, self.logits = loc, log_scale, logits
        shape = torch.broadcast_shapes(torch.Size(batch), logits.shape[:-1])
        super().__init__(shape, loc.shape[-1:], validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> "GaussianMixture":
        """The same for batches."""
        return GaussianMixture(self.loc, self.log_scale, self.logits, batch_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """Of points (..., latent)."""
        value = value.expand(torch.broadcast_shapes(value.shape, self.shape()))
        z, loc, log_scale = value.double(), self.loc.double(), self.log_scale.double()
        precision = (-2 * log_scale).exp()
        across = loc * precision
        squares = z.square() @ precision.T - 2 * z @ across.T + (loc * across).sum(-1)
        log_det = (log_scale + 0.5 * math.log(2 * math.pi)).sum(-1)
        log_weights = self.logits.double().log_softmax(-1)
        return (log_weights - log_det - 0.5 * squares).logsumexp(-1).to(value.dtype)

    @torch.no_grad()
    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Points (*sample_shape, ..., latent)."""
        shape = self._extended_shape(torch.Size(sample_shape))
        logits = self.logits.expand(*shape[:-1], -1)
        chosen = dist.Categorical(logits=logits).sample()
        return torch.normal(self.loc[chosen], self.log_scale.exp()[chosen])


def _at_least(what: str, size: int, least: int) -> int:
    if size < least:
        raise PriorError(f"expected {what} >= {least}; got {size}")
    return size
