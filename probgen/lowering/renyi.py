"""Pyro's Rényi bound with the size of the data outside it, and with unbiased gradients."""

import math
import warnings
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from pyro.distributions.util import is_identically_zero
from pyro.infer import RenyiELBO
from torch import Tensor

from probgen.objectives.decomposition import OneSubsample, sample_sites


class Renyi(RenyiELBO):
    """Rényi bound: -loss = N/B sum_b 1 / (1 - alpha) log 1/K sum_k w_bk^(1 - alpha).

    The weights w = p(x, z) / q(z) are those of one datum, a cell of the plates that all sites of
    model and guide share; all K samples are of the same B out of N data, whose bounds are
    multiplied by N / B. Pyro's loss raises the weights to that power instead, draws each sample
    for other data unless they are vectorised, counts a joint log q at every datum where only the
    model has the plate, and gives samples without reparameterisation the gradient of the limit of
    many samples: here it is the score function's, with the bound of the other samples as its
    baseline. Elsewhere the two agree.

    A site above a subsampled plate leaves no unbiased estimate: its weight takes the power N / B,
    and a warning says that the value is no bound.

    Args:
        loss: Pyro's, for its settings.

    Source: Li & Turner 2016, Rényi divergence variational inference, equation 7 and section 4.3;
    Mnih & Rezende 2016, Variational inference for Monte Carlo objectives, equation 9.
    """

    def __init__(self, loss: RenyiELBO) -> None:
        super().__init__(
            alpha=loss.alpha,
            num_particles=loss.num_particles,
            max_plate_nesting=loss.max_plate_nesting,
            vectorize_particles=loss.vectorize_particles and loss.num_particles > 1,
            strict_enumeration_warning=loss.strict_enumeration_warning,
        )
        self.warned = False

    @torch.no_grad()
    def loss(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> Tensor:
        """The bound's negative, a 0-d tensor."""
        log_weight, _, scale = self._weights(model, guide, args, kwargs)
        return -scale * self._bound(log_weight).sum()

    def loss_and_grads(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> Tensor:
        """As ``loss``; its gradient goes to the parameters."""
        log_weight, score, scale = self._weights(model, guide, args, kwargs)
        bound = self._bound(log_weight)
        surrogate = bound.sum()
        if isinstance(score, Tensor):
            advantage = bound.detach() - self._bound_of_the_others(log_weight.detach())
            surrogate = surrogate + (advantage * score).sum()
        if surrogate.requires_grad:
            (-scale * surrogate).backward()
        return -scale * bound.detach().sum()

    def _weights(self, model: Any, guide: Any, args: Any, kwargs: Any) -> "_Weights":
        with OneSubsample():
            parts = [
                self._of_traces(*pair) for pair in self._get_traces(model, guide, args, kwargs)
            ]
        if self.vectorize_particles:
            return parts[0]
        log_weight = torch.stack([part.log_weight for part in parts])
        scored = isinstance(parts[0].score, Tensor)
        score = torch.stack([part.score for part in parts]) if scored else 0.0  # type: ignore[misc]
        return _Weights(log_weight, score, parts[0].scale)

    def _of_traces(self, model_trace: Any, guide_trace: Any) -> "_Weights":
        modelled = [s for s in sample_sites(model_trace) if not s["infer"].get("_deterministic")]
        sampled = [*sample_sites(guide_trace)]
        shared = _shared([*modelled, *sampled])
        self._check(shared, [*modelled, *sampled])
        scale = math.prod((f.full_size or f.size) / f.size for f in shared)
        dims = {frame.dim for frame in shared}
        log_p, log_q = (_summed([s["log_prob"] for s in of], dims) for of in (modelled, sampled))
        log_weight = torch.as_tensor(log_p - log_q) / scale
        scores = [s["score_parts"].score_function for s in sampled]
        score = _summed([s for s in scores if not is_identically_zero(s)], dims)
        return _Weights(log_weight, score, scale)

    def _bound(self, log_weight: Tensor) -> Tensor:
        """Per datum, of the samples along the first dimension."""
        power = 1 - self.alpha
        return ((power * log_weight).logsumexp(0) - math.log(len(log_weight))) / power

    def _bound_of_the_others(self, log_weight: Tensor) -> Tensor | float:
        """For each sample, the bound of the rest of them."""
        k = len(log_weight)
        if k == 1:
            return 0.0
        rest = [self._bound(torch.cat([log_weight[:i], log_weight[i + 1 :]])) for i in range(k)]
        return torch.stack(rest)

    def _check(self, shared: Iterable[Any], sites: Iterable[Any]) -> None:
        frames = {frame for site in sites for frame in site["cond_indep_stack"]}
        inside = [f.name for f in frames - set(shared) if f.size != (f.full_size or f.size)]
        if inside and not self.warned:
            self.warned = True
            warnings.warn(
                f"RenyiELBO: sites lie above the subsampled plate {inside[0]!r}, so its weights "
                "are powers of a subsample's and its value is no bound (see docs/lowering.md)",
                stacklevel=2,
            )


class _Weights(NamedTuple):
    """Log-weights and scores of the guide, ``(K, *data)``, and N / B."""

    log_weight: Tensor
    score: Tensor | float
    scale: float


def _shared(sites: Sequence[Any]) -> list[Any]:
    """The plates that all sites lie in, that of the particles among them."""
    stacks = [{f for f in site["cond_indep_stack"] if f.vectorized} for site in sites]
    common = set.intersection(*stacks) if stacks else set()
    return sorted(common, key=lambda frame: frame.dim)


def _summed(values: Iterable[Tensor], dims: set[int]) -> Tensor | float:
    """Over the sites, and over all dimensions but these."""
    total: Tensor | float = 0.0
    for value in values:
        inside = [d for d in range(-value.dim(), 0) if d not in dims]
        total = total + (value.sum(inside) if inside else value)
    return total
