"""The VQ-VAE: a discrete latent, its codebook, and a learned prior over the codes."""

import math
from collections.abc import Sequence
from typing import Any

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
    penalise,
    stated,
    tried,
)
from probgen.models.likelihoods import Gaussian
from probgen.nets.coders import as_text, dry_run

COLLAPSED = 0.01


class Codebook(nn.Module):
    """K vectors that follow the features nearest to them by exponential moving averages.

    N_k <- decay N_k + (1 - decay) n_k, m_k likewise with the sum of the features, e_k = m_k / N_k

    The counts are smoothed (Laplace, epsilon) on a copy. A code whose count falls below ``revive``
    times the mean count is dead: it restarts at a feature of the batch, with both averages.

    Args:
        size: K, number of codes.
        width: dimensions of a vector.
        decay: weight of the past in the averages.
        revive: share of the mean count below which a code is dead; 0 revives none.

    Raises:
        ModelError: a size below 1, or a decay or share outside [0, 1).

    Source: van den Oord et al. 2017, Neural discrete representation learning, appendix A.1;
    revival: Dhariwal et al. 2020, Jukebox, section 3.1.

    >>> Codebook(32, width=8).nearest(torch.rand(5, 7, 7, 8)).shape
    torch.Size([5, 7, 7])
    """

    vectors: Tensor
    counts: Tensor
    sums: Tensor
    usage: Tensor
    epsilon = 1e-5

    def __init__(self, size: int, width: int, decay: float = 0.99, revive: float = 0.05) -> None:
        super().__init__()
        if min(size, width) < 1 or not (0 <= decay < 1 and 0 <= revive < 1):
            raise ModelError(
                "expected size and width >= 1, decay and revive in [0, 1); "
                f"got {size}, {width}, {decay}, {revive}"
            )
        self.size, self.width, self.decay, self.revive = size, width, decay, revive
        self.register_buffer("vectors", torch.randn(size, width))
        self.register_buffer("counts", torch.zeros(size))
        self.register_buffer("sums", torch.zeros(size, width))
        self.register_buffer("usage", torch.zeros(size))

    def nearest(self, features: Tensor) -> Tensor:
        """Index of the nearest vector for features ``(..., width)``, shape ``(...)``."""
        rows = features.detach().reshape(-1, self.width)
        distances = self.vectors.square().sum(1) - 2 * rows @ self.vectors.T
        return distances.argmin(1).reshape(features.shape[:-1])

    def follow(self, features: Tensor, codes: Tensor) -> None:
        """One step of the averages, with the features ``(..., width)`` and their codes."""
        rows, codes = features.detach().reshape(-1, self.width), codes.flatten()
        n = torch.zeros_like(self.counts).index_add_(0, codes, rows.new_ones(len(rows)))
        total = torch.zeros_like(self.sums).index_add_(0, codes, rows)
        counts = self.counts.lerp(n, 1 - self.decay)
        sums = self.sums.lerp(total, 1 - self.decay)
        typical = counts.mean()
        dead = counts < self.revive * typical
        self.usage.lerp_(n, 1 - self.decay)
        restart = rows[torch.randint(len(rows), (self.size,), device=rows.device)]
        self.counts.copy_(torch.where(dead, typical, counts))
        self.sums.copy_(torch.where(dead[:, None], restart * typical, sums))
        seen = self.counts[:, None] > 0
        self.vectors.copy_(torch.where(seen, self.sums / self._smoothed()[:, None], self.vectors))

    @property
    def perplexity(self) -> Tensor:
        """Exp of the entropy of the codes' usage in recent training, from 1 to ``size``.

        nan before any training. The counts would not tell: a revived code has those of a used one.
        """
        return perplexity(self.usage)

    def _smoothed(self) -> Tensor:
        total = self.counts.sum()
        return (self.counts + self.epsilon) / (total + self.size * self.epsilon) * total


class Autoregressive(dist.TorchDistribution):
    """Codes on a grid, each from a categorical distribution given those before it.

    log p(c) = sum_i log p(c_i | c_1 ... c_{i-1}), in raster order

    Args:
        net: module from codes ``(B, h, w)`` to logits ``(B, h, w, K)``, causal.
        sides: (h, w).
    """

    arg_constraints: dict[str, Any] = {}

    def __init__(self, net: nn.Module, sides: Sequence[int], batch_shape: Any = ()) -> None:
        self.net, self.sides = net, torch.Size(sides)
        super().__init__(torch.Size(batch_shape), self.sides, validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> "Autoregressive":
        """The same over a larger batch."""
        return Autoregressive(self.net, self.sides, batch_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """Of codes ``(*batch, h, w)``, shape ``batch``, in nats."""
        codes = value.long().reshape(-1, *self.sides)
        log_probs = self.net(codes).log_softmax(-1).gather(-1, codes[..., None])
        return log_probs.flatten(1).sum(1).reshape(value.shape[:-2])

    @torch.no_grad()
    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Codes, one position after the other."""
        shape = self._extended_shape(torch.Size(sample_shape))
        device = next(self.net.parameters()).device
        codes = torch.zeros(shape, dtype=torch.long, device=device).reshape(-1, *self.sides)
        for row in range(self.sides[0]):
            for column in range(self.sides[1]):
                logits = self.net(codes)[:, row, column]
                codes[:, row, column] = dist.Categorical(logits=logits).sample()
        return codes.reshape(shape)


class CodePrior(Registered, nn.Module):
    """A pair over codes alone: ``training.fit(prior, objectives.ELBO(), data.arrays(codes))``.

    Args:
        net: causal module from codes ``(B, h, w)`` to logits ``(B, h, w, K)``, e.g.
            ``nets.code_transformer``.
        sides: (h, w).

    Raises:
        ModelError: a net that does not give logits for codes of these sides.

    Source: van den Oord et al. 2017, section 3.3, with a transformer for its PixelCNN.

    >>> from probgen import models, nets
    >>> prior = models.CodePrior(nets.code_transformer(32, (7, 7)), (7, 7))
    >>> prior.sample(3).shape
    torch.Size([3, 7, 7])
    """

    def __init__(self, net: nn.Module, sides: Sequence[int]) -> None:
        super().__init__()
        self.net, self.shape = net, tuple(sides)
        like = next(net.parameters(), torch.zeros(()))
        codes = torch.zeros(1, *self.shape, dtype=torch.long, device=like.device)
        try:
            *found, self.codes = dry_run(net, codes).shape
        except RuntimeError as error:
            raise ModelError(
                f"the net takes no codes (B, {as_text(self.shape)}): {error}"
            ) from error
        if tuple(found) != tuple(codes.shape):
            raise ModelError(
                f"expected logits (B, {as_text(self.shape)}, K); got "
                f"({as_text([*found, self.codes])})"
            )

    def forward(self) -> Autoregressive:
        """The distribution."""
        return Autoregressive(self.net, self.shape)

    def model(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """p(codes), observed."""
        self._register("net")
        with pyro.plate("data", len(x)):
            return pyro.sample("codes", self(), obs=x)

    def guide(self, x: Tensor, y: Tensor | None = None) -> None:
        """Nothing is latent."""

    def sample(self, n: int) -> Tensor:
        """Codes (n, h, w)."""
        return self().sample((n,))


class _Cells(dist.TorchDistribution):
    """Features by the code they are nearest to: log p(feature) = log p(its codes).

    With no prior over codes they are uniform: -h w log K.
    """

    arg_constraints: dict[str, Any] = {}
    support = constraints.independent(constraints.real, 3)

    def __init__(
        self, codebook: Codebook, sides: Sequence[int], prior: CodePrior | None, batch: Any = ()
    ) -> None:
        self.codebook, self.sides, self.prior = codebook, tuple(sides), prior
        shape = torch.Size([codebook.width, *sides])
        super().__init__(torch.Size(batch), shape, validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> "_Cells":
        return _Cells(self.codebook, self.sides, self.prior, batch_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        if self.prior is None:
            uniform = -math.prod(self.sides) * math.log(self.codebook.size)
            return value.new_full(value.shape[:-3], uniform)
        return self.prior().log_prob(self.codebook.nearest(value.movedim(-3, -1)))

    def sample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(torch.Size(sample_shape))[:-3]
        if self.prior is None:
            size, device = self.codebook.size, self.codebook.vectors.device
            codes = torch.randint(size, (*shape, *self.sides), device=device)
        else:
            codes = self.prior().sample(shape)
        return self.codebook.vectors[codes].movedim(-1, -3)


class VQVAE(Registered, nn.Module):
    """x ~ likelihood(decoder(e_c)), c the nearest of K codes to each feature encoder(x).

    loss = -log p(x | e_c) + commitment |z - sg(e_c)|^2 - log p(c), z = encoder(x)

    The decoder's gradient passes straight through to z; the codebook follows z by moving
    averages. log p(c) is -h w log K until a prior over codes is learned: fit a ``CodePrior`` to
    ``codes(x)`` of the training data and set ``code_prior``; sampling needs it. ``training.fit``
    warns if only a few codes are in use at its end.

    Args:
        encoder: module from x ``(B, *shape)`` to features ``(B, width, h, w)``.
        decoder: module from ``(*batch, width, h, w)`` to ``(*batch, *shape)``.
        likelihood: as for ``VAE``; Gaussian with sigma^2 = 1/2 when not given, so that the first
            term is the sum of squares.
        codes: K, size of the codebook.
        commitment: weight of the commitment, a penalty and no part of the likelihood.
        decay: of the codebook's moving averages.
        revive: as for ``Codebook``.
        code_prior: p(c), learned with the rest if given here.
        shape: shape of one datum; the encoder's own where it has one.

    Raises:
        ModelError: networks that do not fit together, or sampling without a prior over codes.

    Source: van den Oord et al. 2017, Neural discrete representation learning, equation 3.

    >>> from probgen import models, nets
    >>> encoder, decoder = nets.grid_encoder((1, 8, 8), 16), nets.grid_decoder(16, (1, 8, 8))
    >>> vqvae = models.VQVAE(encoder, decoder, codes=32)
    >>> vqvae.codes(torch.rand(5, 1, 8, 8)).shape
    torch.Size([5, 2, 2])
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        likelihood: nn.Module | None = None,
        *,
        codes: int = 512,
        commitment: float = 0.25,
        decay: float = 0.99,
        revive: float = 0.05,
        code_prior: CodePrior | None = None,
        shape: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        check_module("encoder", encoder)
        check_module("decoder", decoder)
        if not 0 <= commitment < math.inf:
            raise ModelError(f"expected commitment >= 0 and finite; got {commitment}")
        self.encoder, self.decoder, self.commitment = encoder, decoder, commitment
        self.likelihood = checked_likelihood(likelihood, Gaussian(math.sqrt(0.5)))
        self.shape = tuple(stated("encoder", encoder, "shape", shape))
        width, *self.sides = self._check_nets()
        self.codebook = Codebook(codes, width, decay, revive)
        self.code_prior = code_prior

    @property
    def support(self) -> constraints.Constraint:
        """Values a datum may take."""
        return getattr(self.likelihood, "support", constraints.real)

    def model(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """p(x, z) with ``x`` observed: z are features, of which the nearest code counts."""
        check_data(x, self.shape)
        self._register("decoder", "likelihood", *(["code_prior"] if self.code_prior else []))
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", self.prior())
            vectors, codes = self._quantised(z)
            if self.training and torch.is_grad_enabled():
                self.codebook.follow(z.movedim(-3, -1), codes)
            distance = (z - vectors).square().flatten(-3).sum(-1)
            penalise("commitment", self.commitment * distance)
            return pyro.sample("x", self._decode(z + (vectors - z).detach(), x), obs=x)

    def guide(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The features of x."""
        check_data(x, self.shape)
        self._register("encoder")
        with pyro.plate("data", len(x)):
            return pyro.sample("z", self.encode(x))

    def prior(self, y: Tensor | None = None) -> dist.TorchDistribution:
        """p(z): that of the codes which features are nearest to."""
        wanted, prior = (self.codebook.size, tuple(self.sides)), self.code_prior
        if prior is not None and (prior.codes, prior.shape) != wanted:
            raise ModelError(
                f"expected a prior over {wanted[0]} codes on a grid of {wanted[1]}; got one over "
                f"{prior.codes} on {prior.shape}"
            )
        return _Cells(self.codebook, self.sides, self.code_prior)

    def encode(self, x: Tensor, y: Tensor | None = None) -> dist.TorchDistribution:
        """The features of x, a distribution on one point; ``decode`` quantises them."""
        return dist.Delta(self.encoder(x).to(x.dtype), event_dim=3)

    def decode(self, z: Tensor, y: Tensor | None = None) -> dist.TorchDistribution:
        """p(x | z) for features ``(*batch, width, h, w)``, of which the nearest codes count."""
        return self._decode(self._quantised(z)[0])

    def complaint(self) -> str | None:
        """What ``training.fit`` warns of at its end: that the codebook has collapsed."""
        perplexity, size = self.codebook.perplexity.item(), self.codebook.size
        if size < 2 or not perplexity < max(1.5, COLLAPSED * size):
            return None
        return (
            f"the codebook has collapsed: of {size} codes {perplexity:.1f} are in use "
            "(perplexity of recent training); try a smaller decay, a larger revive, fewer codes, "
            "or a smaller learning rate"
        )

    @torch.no_grad()
    def codes(self, x: Tensor) -> Tensor:
        """Codes (B, h, w) of x ``(B, *shape)``."""
        check_data(x, self.shape)
        return self.codebook.nearest(self.encoder(x).movedim(-3, -1))

    @torch.no_grad()
    def reconstruct(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Mean of p(x | z) at the codes of x, shape as ``x``."""
        return self.decode(self.encode(x).mean).mean

    @torch.no_grad()
    def sample(self, n: int, y: Tensor | int | None = None) -> Tensor:
        """Means of p(x | z) for n draws of codes from their learned prior, ``(n, *shape)``."""
        check_count(n)
        check_unlabelled(y)
        if self.code_prior is None:
            raise ModelError(
                "this VQ-VAE has no prior over its codes, and uniform codes give no images: fit "
                "a models.CodePrior to vqvae.codes(x) and set vqvae.code_prior to it"
            )
        return self.decode(self.prior().sample((n,))).mean

    def _quantised(self, z: Tensor) -> tuple[Tensor, Tensor]:
        codes = self.codebook.nearest(z.movedim(-3, -1))
        return self.codebook.vectors[codes].movedim(-1, -3).to(z.dtype), codes

    def _decode(self, z: Tensor, x: Tensor | None = None) -> dist.TorchDistribution:
        return self.likelihood(self.decoder(z).to(z.dtype), x).to_event(len(self.shape))

    def _check_nets(self) -> tuple[int, ...]:
        like = next(self.encoder.parameters(), torch.zeros(()))
        x = like.new_zeros(2, *self.shape)
        cure = f"build it for data ({as_text(self.shape)})"
        found = tried("encoder", self.encoder, x, what="data", cure=cure)
        if not isinstance(found, Tensor) or found.dim() != 4:
            got = tuple(found.shape) if isinstance(found, Tensor) else f"{len(found)} parts"
            raise ModelError(
                f"expected the encoder to give features (B, width, h, w); got {got} for B = 2: "
                "nets.grid_encoder makes one that does"
            )
        features = found.shape[1:]
        cure = f"build it for features of width {features[0]}"
        grids = like.new_zeros(3, 2, *features)
        output = tried("decoder", self.decoder, grids, what="features", cure=cure).shape
        if output != (3, 2, *self.shape):
            raise ModelError(
                f"expected the decoder to give (*batch, {as_text(self.shape)}); got "
                f"{tuple(output)} for features (3, 2, {as_text(features)})"
            )
        return tuple(features)


def perplexity(counts: Tensor) -> Tensor:
    """exp(-sum_k p_k log p_k), p the normalised counts: how many codes are in use.

    >>> perplexity(torch.tensor([5.0, 5.0, 0.0]))
    tensor(2.)
    """
    return torch.special.entr(counts / counts.sum()).sum().exp()
