"""The variational autoencoder; beta-VAE and its kin are objectives on it."""

import warnings
from collections.abc import Sequence

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.distributions import constraints

from probgen.models.base import (
    ModelError,
    Registered,
    check_count,
    check_data,
    check_module,
    check_unlabelled,
    checked_likelihood,
    stated,
    tried,
)
from probgen.models.likelihoods import Bernoulli, ContinuousBernoulli
from probgen.models.priors import StandardNormal
from probgen.nets.coders import as_text


class VAE(Registered, nn.Module):
    """z ~ prior, x ~ likelihood(decoder(z)); q(z | x) = N(loc, exp(log_scale)) by the encoder.

    ``model`` and ``guide`` are a Pyro pair: they go into ``training.fit`` and into plain
    ``pyro.infer.SVI``.

    Args:
        encoder: module from x ``(B, *shape)`` to (loc, log_scale), each ``(B, latent)``.
        decoder: module from z ``(*batch, latent)`` to ``(*batch, *shape)``.
        likelihood: ``Bernoulli()`` (the default), ``Gaussian(sigma)``, ``OptimalGaussian()``, or
            any module from (decoder output, x or None) to an elementwise distribution.
        prior: module that gives p(z) when called: ``MixturePrior``, ``FlowPrior``; N(0, I) when
            not given.
        shape: shape of one datum; the encoder's own where it has one.

    Raises:
        ModelError: encoder and decoder do not fit together (checked by a dry run).

    Source: Kingma & Welling 2014, Auto-encoding variational Bayes.

    >>> from probgen import models, nets
    >>> shape = (1, 8, 8)
    >>> vae = models.VAE(nets.dense_encoder(shape, 4), nets.dense_decoder(4, shape))
    >>> vae.sample(3).shape
    torch.Size([3, 1, 8, 8])
    """

    parts: tuple[str, ...] = ("loc", "log_scale")
    """What the encoder gives, each of shape (B, latent)."""

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        likelihood: nn.Module | None = None,
        *,
        prior: nn.Module | None = None,
        shape: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        check_module("encoder", encoder)
        check_module("decoder", decoder)
        self.encoder, self.decoder = encoder, decoder
        self.likelihood = checked_likelihood(likelihood, Bernoulli())
        self.shape = tuple(stated("encoder", encoder, "shape", shape))
        self.latent = self._check_nets()
        self.latent_prior = self._checked_prior(prior)

    @property
    def support(self) -> constraints.Constraint:
        """Values a datum may take."""
        return getattr(self.likelihood, "support", constraints.real)

    def model(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """p(x, z) with ``x`` observed, one row per datum."""
        check_data(x, self.shape)
        self._register("decoder", "likelihood", "latent_prior")
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", self.prior(y))
            return pyro.sample("x", self._decode(z, y, x), obs=x)

    def guide(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """q(z | x)."""
        check_data(x, self.shape)
        self._register("encoder")
        with pyro.plate("data", len(x)):
            return pyro.sample("z", self.encode(x, y))

    def prior(self, y: Tensor | None = None) -> dist.TorchDistribution:
        """p(z)."""
        return self.latent_prior()

    def encode(self, x: Tensor, y: Tensor | None = None) -> dist.TorchDistribution:
        """q(z | x) for x ``(B, *shape)``."""
        loc, log_scale = self._code(x, y)
        return dist.Normal(loc, log_scale.exp()).to_event(1)

    def decode(self, z: Tensor, y: Tensor | None = None) -> dist.TorchDistribution:
        """p(x | z) for z ``(*batch, latent)``."""
        return self._decode(z, y)

    @torch.no_grad()
    def reconstruct(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Mean of p(x | z) at the mean of q(z | x), shape as ``x``."""
        return self.decode(self.encode(x, y).mean, y).mean

    @torch.no_grad()
    def sample(self, n: int, y: Tensor | int | None = None) -> Tensor:
        """Means of p(x | z) for n draws of z from the prior, ``(n, *shape)``.

        For draws of the pixels too: ``vae.decode(vae.prior().sample((n,))).sample()``.
        """
        check_unlabelled(y)
        return self.decode(self._latents(n)).mean

    def _latents(self, n: int, y: Tensor | None = None) -> Tensor:
        """Latents (n, latent) from the prior."""
        check_count(n)
        prior = self.prior(y)
        try:
            return prior.expand((n,)).sample()
        except NotImplementedError as error:
            raise ModelError(
                f"expected a prior that can be sampled; got {type(prior).__name__}: {error}"
            ) from error

    def _code(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        loc, log_scale = self.encoder(x)
        return loc.to(x.dtype), log_scale.to(x.dtype)

    def _output(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.decoder(z).to(z.dtype)

    def _decode(
        self, z: Tensor, y: Tensor | None = None, x: Tensor | None = None
    ) -> dist.TorchDistribution:
        return self.likelihood(self._output(z, y), x).to_event(len(self.shape))

    def _checked_prior(self, prior: nn.Module | None) -> nn.Module:
        if prior is None:
            return StandardNormal(self.latent).to(self._like())
        if not isinstance(prior, nn.Module):
            kind = type(prior).__name__
            raise ModelError(f"expected a module that gives p(z) when called; got {kind}")
        size = getattr(prior, "latent", self.latent)
        if size != self.latent:
            raise ModelError(f"expected a prior over {self.latent} dimensions; got {size}")
        return prior

    def _check_nets(self) -> int:
        """The dimensions of the latent, once both networks were tried."""
        latent = self._tried_encoder()
        output = self._tried_decoder(latent)
        if isinstance(self.likelihood, Bernoulli | ContinuousBernoulli) and _squashed(output):
            warnings.warn(
                "all outputs of the decoder lie in [0, 1]: the likelihood takes logits, and "
                "applies the sigmoid itself; leave out the decoder's",
                stacklevel=4,
            )
        return latent

    def _tried_encoder(self) -> int:
        x = self._like().new_zeros(2, *self.shape)
        cure = f"build it for data ({as_text(self.shape)})"
        code = tried("encoder", self.encoder, x, what="data", cure=cure)
        found = [tuple(part.shape) for part in (code if isinstance(code, tuple) else (code,))]
        if len({*found}) == 1 and len(found) == len(self.parts) and len(found[0]) == 2:
            return found[0][1]
        wanted = " and ".join(self.parts)
        cure = f"build it with parts={len(self.parts)}"
        if any(len(shape) > 2 for shape in found):
            cure = "end it with a linear layer; models.VQVAE takes features on a grid"
        raise ModelError(
            f"expected the encoder to give {wanted}, each (B, latent); got {found} for B = 2: "
            f"{cure}"
        )

    def _tried_decoder(self, latent: int) -> Tensor:
        like = self._like()
        wide = torch.linspace(-100, 100, 6 * latent, dtype=like.dtype, device=like.device)
        z = wide.reshape(3, 2, latent)
        cure = self._cure_of_latents(latent)
        output = tried("decoder", self.decoder, z, what="latents", cure=cure)
        if output.shape != (3, 2, *self.shape):
            raise ModelError(
                f"expected the decoder to give (*batch, {as_text(self.shape)}); got "
                f"{tuple(output.shape)} for latents {tuple(z.shape)}: "
                f"{self._cure_of_output(tuple(output.shape[2:]))}"
            )
        return output

    def _cure_of_latents(self, latent: int) -> str:
        """What to do about a decoder that does not take the encoder's latents."""
        return f"build it for {latent} dimensions, and for any number of batch dimensions"

    def _cure_of_output(self, found: tuple[int, ...]) -> str:
        """What to do about a decoder that gives data of another shape."""
        return f"build both networks for data ({as_text(self.shape)})"

    def _like(self) -> Tensor:
        return next(self.encoder.parameters(), torch.zeros(()))


def _squashed(output: Tensor) -> bool:
    """Whether it is of probabilities: so far out, logits are large."""
    return not output.is_meta and bool(((output >= 0) & (output <= 1)).all())
