"""The VAE with sparse codes: an unrolled ISTA encoder over a learned dictionary."""

from collections.abc import Sequence
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, softplus

from probgen.models.base import ModelError
from probgen.models.vae import VAE
from probgen.nets.coders import dry_run


class LaplacePrior(nn.Module):
    """Independent Laplace distributions around 0.

    Args:
        latent: dimensions of z.
        scale: of each.
    """

    scale: Tensor

    def __init__(self, latent: int, scale: float = 1.0) -> None:
        super().__init__()
        if not 0 < scale < float("inf"):
            raise ModelError(f"expected scale > 0 and finite; got {scale}")
        self.latent = latent
        self.register_buffer("scale", torch.full((latent,), scale), persistent=False)

    def forward(self) -> dist.TorchDistribution:
        """The distribution."""
        return dist.Laplace(torch.zeros_like(self.scale), self.scale).to_event(1)


class UnrolledISTA(nn.Module):
    """x -> (code, log scale): so many steps of ISTA towards a sparse code of x in a dictionary.

    z <- soft(z + D^T (h - D z) / c, penalty / c), from z = 0, h = features(x)

    Its fixed point minimises |h - D z|^2 / 2 + penalty |z|_1. The atoms, columns of D, have norm
    1. The learned 1 / c stays below 2 / |D|^2, where ISTA converges; |D|^2 is followed by power
    iteration.

    Args:
        shape: shape of one datum.
        atoms: columns of the dictionary, dimensions of the code.
        steps: number of ISTA steps.
        penalty: weight of the l1 norm.
        features: module from ``(B, *shape)`` to h ``(B, m)``; None flattens.

    Raises:
        ModelError: a size below 1, or a penalty that is not positive.

    Source: Daubechies et al. 2004, equation 1.6; Gregor & LeCun 2010, Learning fast approximations
    of sparse coding, section 3.

    >>> code, log_scale = UnrolledISTA((1, 8, 8), atoms=100)(torch.rand(5, 1, 8, 8))
    >>> code.shape
    torch.Size([5, 100])
    """

    direction: Tensor

    def __init__(
        self,
        shape: Sequence[int],
        atoms: int,
        steps: int = 10,
        penalty: float = 0.1,
        features: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if min(atoms, steps) < 1 or not 0 < penalty < float("inf"):
            raise ModelError(
                f"expected atoms and steps >= 1 and penalty > 0; got {atoms}, {steps}, {penalty}"
            )
        self.shape, self.steps, self.penalty = tuple(shape), steps, penalty
        self.features = nn.Flatten() if features is None else features
        width = dry_run(self.features, torch.zeros(2, *self.shape)).shape[1]
        self.free = nn.Parameter(torch.randn(width, atoms))
        self.free_step = nn.Parameter(torch.tensor(-0.4328))  # c = |D|^2
        self.log_scale = nn.Parameter(torch.full((atoms,), -3.0))
        self.register_buffer("direction", normalize(torch.ones(atoms), dim=0))
        if not self.free.is_meta:
            with torch.no_grad():
                self._follow(self.dictionary, rounds=20)

    @property
    def dictionary(self) -> Tensor:
        """D (m, atoms), its columns of norm 1."""
        return normalize(self.free, dim=0)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The code and the log scale around it, each (B, atoms)."""
        h, dictionary = self.features(x), self.dictionary
        if self.training and torch.is_grad_enabled():
            self._follow(dictionary.detach())
        c = self._bound(dictionary)
        correlation, gram = h @ dictionary, dictionary.T @ dictionary
        z = soft(correlation / c, self.penalty / c)
        for _ in range(self.steps - 1):
            z = soft(z + (correlation - z @ gram) / c, self.penalty / c)
        return z, self.log_scale.to(z.dtype).expand_as(z)

    def _bound(self, dictionary: Tensor) -> Tensor:
        """C > |D|^2 / 2."""
        norm = (dictionary @ self.direction.clone()).square().sum()
        return norm * (0.5 + softplus(self.free_step))

    def _follow(self, dictionary: Tensor, rounds: int = 1) -> None:
        direction = self.direction
        for _ in range(rounds):
            direction = normalize(dictionary.T @ (dictionary @ direction), dim=0)
        self.direction.copy_(direction)


class DictionaryDecoder(nn.Module):
    """z -> rest(D z + bias), the dictionary being the encoder's.

    Args:
        encoder: whose dictionary it is.
        rest: module from (..., m) to (..., *shape); None only gives the shape.
    """

    def __init__(self, encoder: UnrolledISTA, rest: nn.Module | None = None) -> None:
        super().__init__()
        self.tied = (encoder,)  # in a tuple, so that its parameters are not this module's too
        self.shape, self.rest = encoder.shape, rest
        self.bias = nn.Parameter(torch.zeros(len(encoder.free)))

    def forward(self, z: Tensor) -> Tensor:
        """Parameters of p(x | z) for any leading batch dimensions."""
        h = z @ self.tied[0].dictionary.T.to(z.dtype) + self.bias.to(z.dtype)
        return h.reshape(*z.shape[:-1], *self.shape) if self.rest is None else self.rest(h)


class SparseVAE(VAE):
    """z ~ Laplace(0, b), x ~ likelihood(D z); q(z | x) = Laplace(ISTA(x), s), s learned.

    The location of q is an exact zero where ISTA leaves one; a sample of q never is. So sparsity
    is counted on ``encode(x).mean``. The KL of two Laplace distributions is closed:

    KL = log(b / s) + (|mu| + s exp(-|mu| / s)) / b - 1 for each dimension

    Args:
        encoder: ``UnrolledISTA``, which owns the dictionary.
        likelihood: as for ``VAE``.
        scale: b of the prior.
        rest: module from D z, of any batch shape, to the decoder's output; None for D z itself.

    Raises:
        ModelError: as for ``VAE``.

    Source: Xiao et al. 2023, SC-VAE: Sparse coding-based variational autoencoder (there the code
    is deterministic).

    >>> from probgen import models
    >>> ista = models.UnrolledISTA((1, 8, 8), atoms=100)
    >>> vae = models.SparseVAE(ista, models.Gaussian(0.1))
    >>> vae.sample(3).shape
    torch.Size([3, 1, 8, 8])
    """

    def __init__(
        self,
        encoder: UnrolledISTA,
        likelihood: nn.Module | None = None,
        *,
        scale: float = 1.0,
        rest: nn.Module | None = None,
    ) -> None:
        if not isinstance(encoder, UnrolledISTA):
            raise ModelError(
                "expected the encoder as models.UnrolledISTA, which owns the dictionary; got "
                f"{type(encoder).__name__}"
            )
        prior = LaplacePrior(encoder.free.shape[1], scale)
        decoder = DictionaryDecoder(encoder, rest)
        super().__init__(encoder, decoder, likelihood, prior=prior, shape=encoder.shape)

    def encode(self, x: Tensor, y: Tensor | None = None) -> dist.TorchDistribution:
        """q(z | x) for x ``(B, *shape)``."""
        loc, log_scale = self._code(x, y)
        return dist.Laplace(loc, log_scale.exp()).to_event(1)


def soft(z: Tensor, threshold: Tensor | float) -> Tensor:
    """Soft threshold: sign(z) max(|z| - threshold, 0).

    >>> soft(torch.tensor([-2.0, 0.5, 3.0]), 1.0)
    tensor([-1.,  0.,  2.])
    """
    excess: Any = (z.abs() - threshold).relu()
    return z.sign() * excess
