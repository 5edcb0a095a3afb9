"""p(x | z) from a decoder's output: one module per family, elementwise distributions out."""

import math
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.distributions import constraints
from torch.nn.functional import logsigmoid, softplus
from torch.special import log_ndtr

from probgen.models.base import ModelError


class LikelihoodError(ModelError):
    """A likelihood that is no distribution."""


class _CrossEntropy(torch.autograd.Function):
    """x l - log(1 + e^l) with the gradient x - sigmoid(l), without torch's slow log1p.

    On a CPU it takes a third of the time of ``binary_cross_entropy_with_logits``. Its absolute
    error is at most the rounding of the larger of 1 and the logit.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(logits: Tensor, x: Tensor) -> Tensor:
        softplus = torch.exp(-logits.abs()).add_(1).log_().add_(logits.relu())
        return x * logits - softplus

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None]:
        logits, x = ctx.saved_tensors
        by_x = gradient * logits if ctx.needs_input_grad[1] else None
        return gradient * (x - torch.sigmoid(logits)), by_x


class _Relaxed(dist.Bernoulli):
    """Bernoulli whose log-density also takes grey values, as the cross-entropy does."""

    support = constraints.unit_interval

    def log_prob(self, value: Tensor) -> Tensor:
        """Of each pixel."""
        if self._validate_args:
            self._validate_sample(value)
        return _CrossEntropy.apply(*torch.broadcast_tensors(self.logits, value))


class Bernoulli(nn.Module):
    """Bernoulli on pixels in [0, 1]; the decoder gives logits.

    log p(x | z) = x log p + (1 - x) log(1 - p), p = sigmoid(logits)

    On grey pixels it is a cross-entropy and no density: compare such numbers only with others of
    the same kind, or binarise the data (``data.Set.binarized``).

    Source: Kingma & Welling 2014, appendix C.1.

    >>> Bernoulli()(torch.zeros(2)).mean
    tensor([0.5000, 0.5000])
    """

    support = constraints.unit_interval

    def forward(self, logits: Tensor, x: Tensor | None = None) -> dist.TorchDistribution:
        """Distribution of each pixel."""
        return _Relaxed(logits=logits)


class ContinuousBernoulli(nn.Module):
    """A density on [0, 1] of the Bernoulli's form; the decoder gives logits.

    log p(x | z) = x log p + (1 - x) log(1 - p) + log C(p), p = sigmoid(logits)

    Unlike ``Bernoulli`` it integrates to 1 over grey pixels, so its numbers are log-likelihoods.
    Its mean is not p.

    Source: Loaiza-Ganem & Cunningham 2019, The continuous Bernoulli, equation 6.

    >>> ContinuousBernoulli()(torch.zeros(2)).mean
    tensor([0.5000, 0.5000])
    """

    support = constraints.unit_interval

    def forward(self, logits: Tensor, x: Tensor | None = None) -> dist.TorchDistribution:
        """Distribution of each pixel."""
        return dist.ContinuousBernoulli(logits=logits)


class _Logistic(dist.TorchDistribution):
    """Logistic on the real line, rounded to k / (levels - 1) and cut off at 0 and 1."""

    arg_constraints = {}
    support = constraints.unit_interval

    def __init__(self, loc: Tensor, log_scale: Tensor, levels: int) -> None:
        self.loc, self.log_scale = torch.broadcast_tensors(loc, log_scale)
        self.levels = levels
        super().__init__(self.loc.shape, validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> "_Logistic":
        """The same over a larger batch."""
        loc, log_scale = self.loc.expand(batch_shape), self.log_scale.expand(batch_shape)
        return _Logistic(loc, log_scale, self.levels)

    @property
    def mean(self) -> Tensor:
        """Mean before rounding, which moves it by half a level at most."""
        scale = self.log_scale.exp()
        return scale * (softplus(self.loc / scale) - softplus((self.loc - 1) / scale))

    def log_prob(self, value: Tensor) -> Tensor:
        """log(F(x + h) - F(x - h)), h half a level; all that lies beyond at 0 and 1."""
        precision, half = (-self.log_scale).exp(), 0.5 / (self.levels - 1)
        upper, lower = (value - self.loc + half) * precision, (value - self.loc - half) * precision
        below, above = logsigmoid(upper), logsigmoid(-lower)
        inside = below + above + torch.log(-torch.expm1(-2 * half * precision))
        return torch.where(value < half, below, torch.where(value > 1 - half, above, inside))

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Values on the levels."""
        shape = self._extended_shape(torch.Size(sample_shape))
        uniform = torch.empty(shape, dtype=self.loc.dtype, device=self.loc.device).uniform_()
        value = self.loc + self.log_scale.exp() * uniform.logit(1e-7)
        return (value.clamp(0, 1) * (self.levels - 1)).round() / (self.levels - 1)


class DiscretizedNormal(dist.TorchDistribution):
    """Normal on the real line, rounded to k / (levels - 1) and cut off at 0 and 1.

    log p(x) = log(F(x + h) - F(x - h)), h = 1 / (2 (levels - 1)); at 0 and 1 all that lies beyond

    Args:
        loc: mean before rounding, in units of the data.
        scale: standard deviation before rounding.
        levels: number of levels, evenly spaced on [0, 1].

    Source: Ho et al. 2020, Denoising diffusion probabilistic models, equation 13.

    >>> grid = torch.arange(256) / 255
    >>> DiscretizedNormal(torch.tensor(0.3), torch.tensor(0.01)).log_prob(grid).exp().sum()
    tensor(1.0000)
    """

    arg_constraints = {}
    support = constraints.unit_interval

    def __init__(self, loc: Tensor, scale: Tensor, levels: int = 256) -> None:
        self.loc, self.scale = torch.broadcast_tensors(loc, scale)
        self.levels = levels
        super().__init__(self.loc.shape, validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> "DiscretizedNormal":
        """The same over a larger batch."""
        loc, scale = self.loc.expand(batch_shape), self.scale.expand(batch_shape)
        return DiscretizedNormal(loc, scale, self.levels)

    @property
    def mean(self) -> Tensor:
        """Mean of the normal cut off, which differs by half a level at most from the true one."""
        return self.loc.clamp(0, 1)

    def log_prob(self, value: Tensor) -> Tensor:
        """By the lower tail, which the interval's mirror image about the mean lies in."""
        half, distance = 0.5 / (self.levels - 1), value - self.loc
        upper = log_ndtr((half - distance.abs()) / self.scale)
        lower = log_ndtr((-half - distance.abs()) / self.scale)
        inside = upper + torch.log(-torch.expm1(lower - upper))
        below = log_ndtr((distance + half) / self.scale)
        above = log_ndtr((half - distance) / self.scale)
        return torch.where(value < half, below, torch.where(value > 1 - half, above, inside))

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Values on the levels."""
        shape = self._extended_shape(torch.Size(sample_shape))
        value = self.loc + self.scale * torch.randn(shape).to(self.loc)
        return (value.clamp(0, 1) * (self.levels - 1)).round() / (self.levels - 1)


class DiscretizedLogistic(nn.Module):
    """Probabilities of the 256 grey levels, from a logistic with one learned scale.

    log p(x | z) = log(F(x + h) - F(x - h)), F(t) = 1 / (1 + exp(-(t - loc) / s)), h = 1 / 510

    At 0 and 1 it takes all that lies beyond. The decoder gives loc. As a probability of levels it
    is comparable in bits per pixel with other discrete models.

    Args:
        scale: where s starts, in units of the data.
        levels: number of grey levels, evenly spaced on [0, 1].

    Raises:
        LikelihoodError: scale not positive, or fewer than 2 levels.

    Source: Kingma et al. 2016, Inverse autoregressive flow, section 5.1; Salimans et al. 2017,
    PixelCNN++, equation 2.

    >>> levels = torch.arange(256) / 255
    >>> DiscretizedLogistic()(torch.tensor(0.3)).log_prob(levels).exp().sum()
    tensor(1., grad_fn=<SumBackward0>)
    """

    support = constraints.unit_interval

    def __init__(self, scale: float = 0.1, levels: int = 256) -> None:
        super().__init__()
        if not 1e-6 <= scale <= 1e6:
            raise LikelihoodError(f"expected scale from 1e-6 to 1e6; got {scale}")
        if levels < 2:
            raise LikelihoodError(f"expected levels >= 2; got {levels}")
        self.log_scale, self.levels = nn.Parameter(torch.tensor(math.log(scale))), levels

    def forward(self, loc: Tensor, x: Tensor | None = None) -> dist.TorchDistribution:
        """Distribution of each pixel."""
        return _Logistic(loc, self.log_scale.to(loc.dtype), self.levels)


class Gaussian(nn.Module):
    """Gaussian with one sigma for all pixels, fixed or learned; the decoder gives the mean.

    log p(x | z) = -(x - mean)^2 / (2 sigma^2) - log sigma - log(2 pi) / 2

    Args:
        sigma: standard deviation, in units of the data; where it starts if ``learned``. With
            sqrt(1/2) the reconstruction term is the sum of squares up to a constant.
        learned: train log sigma with the other parameters.

    Raises:
        LikelihoodError: sigma not positive, or its square not a float32.

    >>> Gaussian(sigma=2.0)(torch.zeros(2)).stddev
    tensor([2., 2.])
    """

    support = constraints.real
    log_sigma: Tensor

    def __init__(self, sigma: float = 1.0, learned: bool = False) -> None:
        super().__init__()
        if not 1e-18 <= sigma <= 1e18:
            raise LikelihoodError(f"expected sigma from 1e-18 to 1e18; got {sigma}")
        log_sigma = torch.tensor(math.log(sigma))
        if learned:
            self.log_sigma = nn.Parameter(log_sigma)
        else:
            self.register_buffer("log_sigma", log_sigma)

    def forward(self, mean: Tensor, x: Tensor | None = None) -> dist.TorchDistribution:
        """Distribution of each pixel."""
        return dist.Normal(mean, self.log_sigma.exp().to(mean.dtype))


class OptimalGaussian(nn.Module):
    """Gaussian whose sigma is, in training, the maximum-likelihood one of the batch.

    sigma^2 = mean over batch and pixels of (x - mean)^2

    Everywhere else (evaluation, sampling) sigma is the running mean of the training batches', so
    that a test likelihood is that of one fixed density.

    Args:
        momentum: weight of the newest batch in the running mean of sigma^2.

    Raises:
        LikelihoodError: a momentum outside (0, 1].

    Source: Rybkin et al. 2021, sigma-VAE, equation 5.

    >>> OptimalGaussian()(torch.zeros(2), x=torch.tensor([3.0, 4.0])).variance
    tensor([12.5000, 12.5000])
    """

    support = constraints.real
    variance: Tensor
    batches: Tensor

    def __init__(self, momentum: float = 0.01) -> None:
        super().__init__()
        if not 0 < momentum <= 1:
            raise LikelihoodError(f"expected momentum in (0, 1]; got {momentum}")
        self.momentum = momentum
        self.register_buffer("variance", torch.ones(()))
        self.register_buffer("batches", torch.zeros(()))

    def forward(self, mean: Tensor, x: Tensor | None = None) -> dist.TorchDistribution:
        """Distribution of each pixel."""
        variance = self.variance
        if x is not None and self.training and torch.is_grad_enabled():
            variance = (x - mean).detach().square().mean().clamp(min=1e-12)
            self._follow(variance)
        return dist.Normal(mean, variance.sqrt().to(mean.dtype))

    def _follow(self, variance: Tensor) -> None:
        self.batches += 1
        weight = torch.clamp(1 / self.batches, min=self.momentum)
        self.variance.lerp_(variance.to(self.variance.dtype), weight)
