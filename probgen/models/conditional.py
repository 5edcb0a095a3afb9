"""The VAE of data given a class."""

import math
from collections.abc import Sequence
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from probgen.models.base import ModelError, check_count, check_module, check_range, checked_labels
from probgen.models.vae import VAE
from probgen.nets.coders import as_text


class LabelledEncoder(nn.Module):
    """(x, y) -> (loc, log_scale): the label enters as one more channel, learned per class.

    Args:
        encoder: of shape (channels + 1, *sides).
        classes: number of classes.
    """

    def __init__(self, encoder: nn.Module, classes: int) -> None:
        super().__init__()
        channels, *self.sides = _shape_of(encoder)
        self.shape = (channels - 1, *self.sides)
        self.encoder = encoder
        self.label = nn.Embedding(classes, math.prod(self.sides))

    def forward(self, x: Tensor, y: Tensor | None = None) -> Any:
        """The encoder's output; without a label the channel is zero."""
        plane = x.new_zeros(len(x), 1, *self.sides)
        if y is not None:
            plane = self.label(y.expand(len(x))).to(x.dtype).reshape(plane.shape)
        return self.encoder(torch.cat([x, plane], dim=1))


class LabelledDecoder(nn.Module):
    """(z, y) -> distribution parameters: the label enters as one-hot values beside z.

    Args:
        decoder: of latents with ``latent + classes`` dimensions.
        classes: number of classes.
    """

    def __init__(self, decoder: nn.Module, classes: int) -> None:
        super().__init__()
        self.decoder, self.classes = decoder, classes

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """The decoder's output; without a label the values are zero."""
        label = z.new_zeros(*z.shape[:-1], self.classes)
        if y is not None:
            each = torch.arange(self.classes, device=z.device)  # one_hot would ask the host
            label = (y[..., None] == each).to(z.dtype).expand_as(label)
        return self.decoder(torch.cat([z, label], dim=-1))


class ConditionalVAE(VAE):
    """z ~ prior, x ~ likelihood(decoder(z, y)); q(z | x, y) by the encoder.

    Maximises log p(x | y) >= E_q log p(x | z, y) - KL(q(z | x, y) || p(z)), or from p(z | y) where
    the prior has ``classes``.

    Args:
        encoder: as for ``VAE``, of data with one more channel, which holds the label.
        decoder: as for ``VAE``, of latents with ``classes`` more dimensions, which hold the
            label.
        likelihood: as for ``VAE``.
        classes: number of classes, labels 0 to ``classes`` - 1.
        prior: as for ``VAE``; called with the labels if its ``classes`` are not None.

    Raises:
        ModelError: networks that do not fit together, a prior of other classes, labels that are
            missing or out of range.

    Source: Sohn et al. 2015, Learning structured output representation using deep conditional
    generative models; Kingma et al. 2014, Semi-supervised learning with deep generative models.

    >>> from probgen import models, nets
    >>> encoder, decoder = nets.dense_encoder((2, 8, 8), 4), nets.dense_decoder(4 + 10, (1, 8, 8))
    >>> vae = models.ConditionalVAE(encoder, decoder, classes=10)
    >>> vae.sample(3, 7).shape
    torch.Size([3, 1, 8, 8])
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        likelihood: nn.Module | None = None,
        *,
        classes: int,
        prior: nn.Module | None = None,
    ) -> None:
        if classes < 1:
            raise ModelError(f"expected classes >= 1; got {classes}")
        check_module("encoder", encoder)
        check_module("decoder", decoder)
        encoder, decoder = LabelledEncoder(encoder, classes), LabelledDecoder(decoder, classes)
        super().__init__(encoder, decoder, likelihood, prior=prior)
        self.classes = classes
        self.prior_of_class = getattr(prior, "classes", None) is not None
        if self.prior_of_class and prior.classes != classes:  # type: ignore[union-attr]
            raise ModelError(f"expected a prior of {classes} classes; got {prior.classes}")  # type: ignore[union-attr]

    def prior(self, y: Tensor | None = None) -> dist.TorchDistribution:
        """p(z), or p(z | y) for labels ``y`` (B)."""
        if not self.prior_of_class:
            return self.latent_prior()
        return self.latent_prior(None if y is None else y.long())

    @torch.no_grad()
    def sample(self, n: int, y: Tensor | int | None = None) -> Tensor:
        """Means of p(x | z, y) for n draws of z from the prior, ``(n, *shape)``.

        Args:
            n: how many.
            y: one label for all, or one for each; None draws them uniformly.
        """
        check_count(n)
        device = next(self.parameters()).device
        if y is None:
            y = torch.randint(self.classes, (n,), device=device)
        y = torch.as_tensor(y, device=device)
        check_range(self._checked(y, torch.Size([n])), self.classes)
        return self.decode(self._latents(n, y), y).mean

    def _cure_of_latents(self, latent: int) -> str:
        decoder: Any = self.decoder
        wanted = latent + decoder.classes
        return f"build it for {wanted} dimensions, {latent} and {decoder.classes} for the label"

    def _cure_of_output(self, found: tuple[int, ...]) -> str:
        encoder: Any = self.encoder
        channels, *sides = encoder.encoder.shape
        if found != (channels, *sides):
            return super()._cure_of_output(found)
        wanted = as_text((channels + 1, *sides))
        return f"if it is right, build the encoder for ({wanted}), a channel more for the label"

    def _code(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        loc, log_scale = self.encoder(x, self._checked(y, x.shape[:1]))
        return loc.to(x.dtype), log_scale.to(x.dtype)

    def _output(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.decoder(z, self._checked(y, z.shape[:-1])).to(z.dtype)

    def _checked(self, y: Tensor | None, batch: torch.Size) -> Tensor:
        return checked_labels(y, batch, self.classes)


def _shape_of(encoder: nn.Module) -> Sequence[int]:
    shape = getattr(encoder, "shape", None)
    if shape is None or len(shape) < 1 or shape[0] < 2:
        wanted = f"({as_text((shape[0] + 1, *shape[1:]))})" if shape else "(channels + 1, *sides)"
        raise ModelError(
            "expected an encoder whose shape has a channel more than the data, for the label; "
            f"got shape {shape}: build it for {wanted}"
        )
    return shape
