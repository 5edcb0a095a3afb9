"""p(x | z) from a decoder's output: one module per family, elementwise distributions out."""

import math
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.distributions import constraints


class LikelihoodError(ValueError):
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

    Source: Rybkin et al. 2021, sigma-VAE, equation 5.
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
