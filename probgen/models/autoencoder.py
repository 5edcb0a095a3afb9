"""Deterministic autoencoders: plain, denoising and regularised, with an ex-post density."""

from collections.abc import Sequence
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.distributions import constraints

from probgen.models.vae import VAE, ModelError, penalise

CODES, BATCH = 10_000, 500


class Density(nn.Module):
    """Mixture of Gaussians with full covariances, fitted to codes after training.

    Args:
        latent: dimensions of a code.
        components: number of Gaussians; 1 for a single one.

    Source: Ghosh et al. 2020, From variational to deterministic autoencoders, section 4.
    """

    weights: Tensor
    loc: Tensor
    scale_tril: Tensor
    fitted: Tensor

    def __init__(self, latent: int, components: int = 10) -> None:
        super().__init__()
        if components < 1:
            raise ModelError(f"expected components >= 1; got {components}")
        self.register_buffer("weights", torch.full((components,), 1 / components))
        self.register_buffer("loc", torch.zeros(components, latent))
        self.register_buffer("scale_tril", torch.eye(latent).repeat(components, 1, 1))
        self.register_buffer("fitted", torch.tensor(False))

    def fit(self, codes: Tensor, seed: int = 0) -> "Density":
        """Take the mixture of the greatest likelihood that expectation maximisation finds.

        Args:
            codes: (N, latent), N at least the number of components.
            seed: of the starting points.
        """
        from sklearn.mixture import GaussianMixture

        components, latent = self.loc.shape
        if codes.dim() != 2 or codes.shape[1] != latent or len(codes) < max(2, components):
            wanted = f"at least {max(2, components)} codes of {latent} dimensions"
            raise ModelError(f"expected {wanted}; got {tuple(codes.shape)}")
        if not codes.isfinite().all():
            raise ModelError("expected finite codes; got NaN or infinity")
        found = GaussianMixture(components, random_state=seed).fit(codes.cpu().double().numpy())
        factors = torch.linalg.cholesky(torch.as_tensor(found.covariances_))
        for name, value in (("weights", found.weights_), ("loc", found.means_)):
            getattr(self, name).copy_(torch.as_tensor(value))
        self.scale_tril.copy_(factors)
        self.fitted.fill_(True)
        return self

    def forward(self) -> dist.TorchDistribution:
        """The distribution."""
        if not self.fitted:
            raise ModelError(
                "this autoencoder has no density of codes to sample from: fit it to the training "
                "codes, autoencoder.density.fit(autoencoder.encode(x).mean)"
            )
        components = dist.MultivariateNormal(self.loc, scale_tril=self.scale_tril)
        return dist.MixtureSameFamily(dist.Categorical(self.weights), components)


class ImproperUniform(dist.ImproperUniform):
    """Pyro's, with its zeros on the device of the values."""

    def log_prob(self, value: Tensor) -> Tensor:
        """Zero."""
        return value.new_zeros(()).expand(super().log_prob(value).shape)


class Autoencoder(VAE):
    """x ~ likelihood(decoder(z)), z = encoder(x): no prior, no KL.

    loss = -log p(x | encoder(x + noise)) + code_weight |z|^2 / 2 + decoder_weight |theta|^2

    With noise it is a denoising autoencoder, with the weights RAE-L2. Sampling draws codes from
    ``density``, which ``training.fit`` fits to training codes at its end.

    Args:
        encoder: module from x ``(B, *shape)`` to a code ``(B, latent)``, e.g.
            ``nets.dense_encoder(shape, latent, parts=1)``.
        decoder: as for ``VAE``.
        likelihood: as for ``VAE``.
        noise: standard deviation of what is added to the encoder's input in training.
        code_weight: weight of half the squared norm of the code.
        decoder_weight: weight of the squared norm of the decoder's parameters.
        components: Gaussians of the density.
        shape: as for ``VAE``.

    Raises:
        ModelError: networks that do not fit together, a negative weight, or sampling before the
            density was fitted.

    Source: Vincent et al. 2008 (denoising); Ghosh et al. 2020, section 3.1 (RAE-L2).

    >>> from probgen import data, models, nets
    >>> train, _ = data.digits()
    >>> encoder = nets.dense_encoder(train.shape, 4, parts=1)
    >>> autoencoder = models.Autoencoder(encoder, nets.dense_decoder(4, train.shape))
    >>> codes = autoencoder.encode(train.batch(slice(0, 500))[0]).mean.detach()
    >>> _ = autoencoder.density.fit(codes)
    >>> autoencoder.sample(3).shape
    torch.Size([3, 1, 8, 8])
    """

    parts = ("code",)

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        likelihood: nn.Module | None = None,
        *,
        noise: float = 0.0,
        code_weight: float = 0.0,
        decoder_weight: float = 0.0,
        components: int = 10,
        shape: Sequence[int] | None = None,
    ) -> None:
        super().__init__(encoder, decoder, likelihood, shape=shape)
        weights = {"noise": noise, "code_weight": code_weight, "decoder_weight": decoder_weight}
        for name, value in weights.items():
            if not 0 <= value < float("inf"):
                raise ModelError(f"expected {name} >= 0 and finite; got {value}")
        self.noise, self.code_weight, self.decoder_weight = weights.values()
        like = next(encoder.parameters(), torch.zeros(()))
        self.latent_prior = Density(self.latent, components).to(like)

    @property
    def density(self) -> Density:
        """What ``sample`` draws codes from; fit it after training."""
        return self.latent_prior  # type: ignore[return-value]

    def after_training(self, data: Any) -> None:
        """Fit the density to the codes of 10,000 items at most, if they are enough for it."""
        few = range(0, min(len(data), CODES), BATCH)
        codes = torch.cat([self.encode(data.batch(slice(i, i + BATCH))[0]).mean for i in few])
        if len(codes) > len(self.density.weights):
            self.density.fit(codes)

    def model(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """p(x | z), with a flat measure over z."""
        flat = ImproperUniform(constraints.real_vector, (), (self.latent,))
        self._check(x)
        self._register("decoder", "likelihood")
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", flat)
            if self.code_weight:
                penalise("code", self.code_weight * z.square().sum(-1) / 2)
            if self.decoder_weight:
                norms = [p.square().sum() for p in self.decoder.parameters()]
                cost = self.decoder_weight * torch.stack(norms).sum()
                penalise("decoder", cost.expand(z.shape[:-1]))
            return pyro.sample("x", self._decode(z, y, x), obs=x)

    def guide(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The code of x."""
        self._check(x)
        self._register("encoder")
        noisy = x + self.noise * torch.randn_like(x) if self.noise and self.training else x
        with pyro.plate("data", len(x)):
            return pyro.sample("z", self.encode(noisy, y))

    def encode(self, x: Tensor, y: Tensor | None = None) -> dist.TorchDistribution:
        """The code of x, a distribution on one point."""
        return dist.Delta(self.encoder(x).to(x.dtype), event_dim=1)
