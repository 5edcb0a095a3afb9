"""The VAE whose prior is the mixture of its own posteriors at learned pseudo-inputs."""

import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.distributions import biject_to, constraints

from probgen.models.base import ModelError, check_data
from probgen.models.priors import GaussianMixture
from probgen.models.vae import VAE

LOG_SCALE = (-3.0, 1.0)
MARGIN = 0.02
BATCH_NORMS = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)


class PseudoInputs(nn.Module):
    """Learned inputs (K, *shape) that stay where the likelihood has its support.

    Args:
        start: where they start.
        support: of the data; pixels in [0, 1] are the sigmoid of the parameter.
    """

    def __init__(self, start: Tensor, support: constraints.Constraint) -> None:
        super().__init__()
        self.support, self.to_support = support, biject_to(support)
        self.free = nn.Parameter(torch.empty_like(start))
        self.start_at(start)

    @torch.no_grad()
    def start_at(self, x: Tensor) -> None:
        """Make ``x`` the pseudo-inputs, pixels a little off 0 and 1 so that they can move."""
        if self.support is constraints.unit_interval:
            x = x.clamp(MARGIN, 1 - MARGIN)
        self.free.copy_(self.to_support.inv(x))

    def forward(self) -> Tensor:
        """The pseudo-inputs."""
        return self.to_support(self.free)


class VampPriorVAE(VAE):
    """VAE with the variational mixture of posteriors prior.

    p(z) = 1/K sum_k q(z | u_k), the pseudo-inputs u_k learned

    ``encode`` bounds the log scale to [-3, 1], so that no component of the prior collapses onto
    a point. The KL has no closed form: the objectives take one sample.

    Args:
        encoder: as for ``VAE``; it serves the guide and the prior, so it must treat each row
            alone (no batch normalisation).
        decoder: as for ``VAE``.
        likelihood: as for ``VAE``.
        pseudo_inputs: (K, *shape) where the u_k start: rows of the training data, or any.
        shape: as for ``VAE``.

    Raises:
        ModelError: networks that do not fit, pseudo-inputs of another shape or outside the
            likelihood's support, or an encoder that mixes the rows of a batch.

    Source: Tomczak & Welling 2018, VAE with a VampPrior, equation 9.

    >>> from probgen import data, models, nets
    >>> train, _ = data.digits()
    >>> encoder, decoder = nets.dense_encoder(train.shape, 4), nets.dense_decoder(4, train.shape)
    >>> vae = models.VampPriorVAE(encoder, decoder, pseudo_inputs=train.batch(slice(0, 50))[0])
    >>> vae.sample(3).shape
    torch.Size([3, 1, 8, 8])
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        likelihood: nn.Module | None = None,
        *,
        pseudo_inputs: Tensor,
        shape: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__(encoder, decoder, likelihood, shape=shape)
        if pseudo_inputs.dim() < 1 or not len(pseudo_inputs):
            raise ModelError(f"expected at least one pseudo-input; got {pseudo_inputs}")
        self._check_start(pseudo_inputs)
        mixing = [type(m).__name__ for m in encoder.modules() if isinstance(m, BATCH_NORMS)]
        if mixing:
            raise ModelError(
                f"expected an encoder that treats each row alone; got one with {mixing[0]}: the "
                "prior's batch of pseudo-inputs would be normalised by statistics of its own"
            )
        self.latent_prior = PseudoInputs(pseudo_inputs, self.support)

    def start_at(self, x: Tensor) -> None:
        """Restart the pseudo-inputs at K rows of data, (K, *shape)."""
        self._check_start(x)
        self.latent_prior.start_at(x)  # type: ignore[operator]

    def prior(self, y: Tensor | None = None) -> dist.TorchDistribution:
        """p(z), the mixture of q(z | u_k)."""
        loc, log_scale = self._code(self.latent_prior())
        return GaussianMixture(loc, log_scale, loc.new_zeros(len(loc)))

    def _check_start(self, x: Tensor) -> None:
        check_data(x, self.shape)
        if not x.is_floating_point():
            raise ModelError(f"expected pseudo-inputs of real numbers; got {x.dtype}")
        if not x.is_meta and not (self.support.check(x) & x.isfinite()).all():
            low, high = x.aminmax()
            raise ModelError(
                f"expected pseudo-inputs in the likelihood's support, {self.support}; got "
                f"values from {low:g} to {high:g}"
            )

    def _code(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        loc, log_scale = super()._code(x)
        return loc, log_scale.clamp(*LOG_SCALE)
