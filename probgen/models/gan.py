"""The generative adversarial network: two players, and no density."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import constraints

from probgen.models.base import (
    ModelError,
    check_count,
    check_module,
    check_unlabelled,
    stated,
    tried,
)
from probgen.nets.coders import as_text


class GAN(nn.Module):
    """x = generator(z), z ~ N(0, I), learned by playing against a discriminator.

    No pair: there is no density, no guide and no ELBO. It is trained by
    ``training.fit_adversarial`` with a loss of ``objectives.adversarial``; samples come from the
    moving average of the generator's weights, which that keeps.

    Args:
        generator: module from z ``(B, latent)`` to data ``(B, *shape)``, e.g.
            ``players.dcgan_generator``.
        discriminator: module from data ``(B, *shape)`` to one score each ``(B,)``, with no
            sigmoid: a logit or a critic's value, as the loss takes it.
        decay: of the moving average, per step of the generator; lower in the first steps,
            (1 + t) / (10 + t).
        latent: dimensions of z; the generator's own where it has one.
        shape: shape of one datum; the generator's own where it has one.

    Raises:
        ModelError: the two do not fit together (checked by a dry run).

    Source: Goodfellow et al. 2014; moving average: Yazici et al. 2019.

    >>> from probgen import models, players
    >>> shape = (1, 8, 8)
    >>> gan = models.GAN(players.dcgan_generator(16, shape), players.conv_discriminator(shape))
    >>> gan.sample(3).shape
    torch.Size([3, 1, 8, 8])
    """

    steps: Tensor

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        *,
        decay: float = 0.999,
        latent: int | None = None,
        shape: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise ModelError(f"expected decay from 0 to below 1; got {decay}")
        check_module("generator", generator)
        check_module("discriminator", discriminator)
        self.latent = stated("generator", generator, "latent", latent)
        self.shape = tuple(stated("generator", generator, "shape", shape))
        self.generator, self.discriminator, self.decay = generator, discriminator, decay
        self._check_nets()
        self.average = copy.deepcopy(generator).requires_grad_(False)
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    @property
    def support(self) -> constraints.Constraint:
        """Values a datum may take."""
        return getattr(self.generator, "support", constraints.real)

    def latents(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw z from N(0, I), ``(n, latent)``."""
        check_count(n)
        like = next(self.generator.parameters())
        device = like.device if generator is None else generator.device
        shape = (n, self.latent)
        return torch.randn(shape, generator=generator, dtype=like.dtype, device=device).to(like)

    def draw(self, n: int) -> Tensor:
        """Samples of the generator itself, for training, ``(n, *shape)``."""
        return self.generator(self.latents(n))

    @torch.no_grad()
    def sample(self, n: int, y: Tensor | int | None = None) -> Tensor:
        """Samples of the averaged generator, ``(n, *shape)``."""
        check_unlabelled(y)
        return self.average(self.latents(n))

    @torch.no_grad()
    def follow(self) -> None:
        """One step of the moving average; what BatchNorm counts is copied."""
        self.steps += 1
        decay = ((1 + self.steps) / (10 + self.steps)).clamp(max=self.decay)
        weights = zip(self.average.parameters(), self.generator.parameters(), strict=True)
        for mean, value in weights:
            mean.lerp_(value, (1 - decay).to(mean))
        counted = zip(self.average.buffers(), self.generator.buffers(), strict=True)
        for kept, count in counted:
            kept.copy_(count)

    def kept(self) -> list[Tensor]:
        """What ``follow`` writes to."""
        return [self.steps, *self.average.parameters(), *self.average.buffers()]

    def _check_nets(self) -> None:
        like = next(self.generator.parameters(), torch.zeros(()))
        z, cure = like.new_zeros(2, self.latent), f"build it for latent={self.latent}"
        out = tried("generator", self.generator, z, what="latents", cure=cure)
        if tuple(out.shape) != (2, *self.shape):
            raise ModelError(
                f"expected the generator to give (B, {as_text(self.shape)}); got "
                f"{tuple(out.shape)} for B = 2"
            )
        cure = f"build it for data ({as_text(self.shape)})"
        scores = tried("discriminator", self.discriminator, out, what="generated data", cure=cure)
        found = tuple(scores.shape)
        if found != (2,):
            raise ModelError(
                f"expected the discriminator to give one score per datum, (B,); got {found} for "
                "B = 2: end it with nn.Flatten(0) if that is (B, 1)"
            )
