"""The bound of a diffusion model, step by step of its sum over time."""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from probgen.data import Set
from probgen.evaluation.score import EvaluationError
from probgen.models.pairs import arguments, check_data, check_weights, device_of, evaluation_mode
from probgen.objectives import ELBO, Pair
from probgen.objectives.decomposition import of_traces, sample_sites

BATCH_SIZE = 500


class Steps(NamedTuple):
    """-ELBO = prior + sum_t steps[t], means per datum over a set, in nats.

    Attributes:
        prior: KL(q(x_T | x) || p(x_T)).
        steps: (T,), float64: first -log p(x | x_1), then the KL of each step.
        counts: (T,), how many terms each mean is over.
        size: values in a datum.
    """

    prior: float
    steps: Tensor
    counts: Tensor
    size: int

    @property
    def nats(self) -> float:
        """-ELBO per datum."""
        return self.prior + self.steps.sum().item()

    @property
    def bits_per_dimension(self) -> float:
        """-ELBO in bits per value of a datum; those of a code only for data with levels."""
        return self.nats / self.size / math.log(2)


def decompose(
    pair: Pair, data: Set, *, passes: int = 1, batch_size: int = BATCH_SIZE, seed: int = 0
) -> Steps:
    """What each step of a sum over time takes of the bound.

    Every pass draws one step for each datum, evenly; a step's mean is over the data that drew it.
    ``likelihood.terms`` gives the same sum, datum by datum and thus with more noise.

    Args:
        pair: with sites in a plate over time that state ``infer={"step": t, "steps": T}``, t of
            the plate's shape from 0 on, as ``models.Diffusion``; left in the mode it was in.
        data: the set.
        passes: over the data; more for smaller errors.
        batch_size: rows at a time.
        seed: of the steps and the samples.

    Raises:
        EvaluationError: a pair without such sites, or whose weights are not finite, or too few
            draws for so many steps.
        DataError: as for ``likelihood.terms``.

    Source: Ho et al. 2020, section 4.3; Nichol & Dhariwal 2021, figure 2.

    >>> from probgen import data, denoisers, models
    >>> train, test = data.digits()
    >>> diffusion = models.Diffusion(denoisers.dense(test.shape), models.noise.cosine(10))
    >>> found = decompose(diffusion, test)
    >>> found.steps.shape, found.bits_per_dimension > 0
    (torch.Size([10]), True)
    """
    if passes < 1 or batch_size < 1:
        raise EvaluationError(f"expected passes, batch_size >= 1; got {passes}, {batch_size}")
    check_weights(pair)
    check_data(pair, data)
    data = data.to(device_of(pair))
    draws = []
    with evaluation_mode(pair, seed):
        for start in list(range(0, len(data), batch_size)) * passes:
            given = arguments(pair, data, slice(start, start + batch_size))
            draws += [_Draw.of(*both) for both in ELBO().traces(pair.model, pair.guide, *given)]
    step, value, prior = (torch.cat(part).cpu() for part in list(zip(*draws, strict=True))[:3])
    total = draws[0].total
    counts = step.bincount(minlength=total)
    if not counts.all():
        needed = math.ceil(2 * total / len(data))
        raise EvaluationError(
            f"expected every one of {total} steps to be drawn; {int((counts == 0).sum())} were "
            f"not: take passes={max(needed, passes + 1)}"
        )
    means = torch.zeros(total, dtype=torch.float64).index_add_(0, step, value) / counts
    size = math.prod(data.shape) or 1
    return Steps(prior.mean().item(), means, counts, size)


class _Draw(NamedTuple):
    """The step that each datum drew, its term, the KL of what lies outside of time, and T."""

    step: Tensor
    value: Tensor
    prior: Tensor
    total: int

    @classmethod
    def of(cls, model_trace: Any, guide_trace: Any) -> "_Draw":
        timed = {s["name"]: s for s in sample_sites(model_trace) if "step" in s["infer"]}
        if not timed:
            raise EvaluationError(
                "expected a pair with a sum over time, whose sites state infer={'step': t}; got "
                "none"
            )
        found = of_traces(model_trace, guide_trace, None)
        inside = sum(kl for name, kl in found.kl.items() if name in timed)
        site = next(iter(timed.values()))
        total = site["infer"]["steps"]
        value = (inside - found.log_likelihood).double() / total
        return cls(site["infer"]["step"].flatten(), value, found.total_kl - inside, total)
