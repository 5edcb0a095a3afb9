"""The KL of a whole set, split by the aggregate posterior q(z) = 1/N sum_n q(z | x_n)."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any, NamedTuple

import torch
from torch import Tensor

from probgen.evaluation.score import EvaluationError, Score
from probgen.objectives import ObjectiveError, Terms
from probgen.objectives.aggregate import BatchPosterior, Factors
from probgen.objectives.decomposition import log_density, of_traces

ACTIVE = 0.01


class Decomposition(NamedTuple):
    """MI + TC + DWKL = KL of a set in nats per datum, and what else its aggregate posterior tells.

    Each score has its ``standard_error`` in its details.

    Attributes:
        mutual_information: MI = E log q(z | x) / q(z), between a datum's index and its latents.
        total_correlation: TC = E log q(z) / prod_j q(z_j).
        dimension_wise_kl: DWKL = E log prod_j q(z_j) / p(z); in ``details["per_dimension"]`` the
            KL(q(z_j) || p(z_j)) of each, where the prior factorises.
        kl: the rate, exact per datum where Pyro registers it.
        log_likelihood: minus the distortion.
        active_units: dimensions whose posterior mean has a variance above 0.01 over the data.
        largest_mutual_information: log N, what MI cannot exceed however much z tells of x.
        residual: MI + TC + DWKL - KL: noise of the samples, 0 where the KL is sampled too.
    """

    mutual_information: Score
    total_correlation: Score
    dimension_wise_kl: Score
    kl: Score
    log_likelihood: Score
    active_units: Score
    largest_mutual_information: float
    residual: float

    @property
    def rate_distortion(self) -> tuple[float, float]:
        """KL and minus the log-likelihood: the point of the rate-distortion plane."""
        return float(self.kl), -float(self.log_likelihood)


class Draw(NamedTuple):
    """One sample of the guide for each row of a batch, and densities there, ``(rows,)``."""

    rows: BatchPosterior
    terms: Terms
    log_q: Tensor
    log_p: Tensor
    log_p_per_dim: Tensor | None

    @classmethod
    def of(cls, model_trace: Any, guide_trace: Any) -> "Draw":
        """The densities of the latents that have a value per datum."""
        terms = of_traces(model_trace, guide_trace, None)
        rows = BatchPosterior.of(model_trace, guide_trace)
        names = [factors.name for factors in rows.factors]
        drawn = [guide_trace.nodes[name] for name in names]
        priors = [model_trace.nodes[name] for name in names if name in model_trace.nodes]
        log_q, log_p = (_sum(rows.datum.of(log_density(s), s) for s in t) for t in (drawn, priors))
        return cls(rows, terms, log_q, log_p, _per_dim(priors, rows))

    def parts(
        self, index: Tensor, components: Sequence[BatchPosterior], size: int
    ) -> dict[str, Tensor]:
        """The parts of the KL at the rows of ``index``, given the rows of the whole set."""
        joint, each = _aggregate(self.rows.at(index), components, size)
        product = each.sum(-1)
        kl = _sum(self.terms.kl[factors.name] for factors in self.rows.factors)
        found = {
            "mutual information": self._log_q_by_dim()[index] - joint,
            "total correlation": joint - product,
            "dimension-wise KL": product - self.log_p[index],
            "KL": kl[index],
            "log-likelihood": self.terms.log_likelihood[index],
        }
        if self.log_p_per_dim is not None:
            found["per dimension"] = each - self.log_p_per_dim[index]
        return {name: value.double().cpu() for name, value in found.items()}

    def _log_q_by_dim(self) -> Tensor:
        """The sum over the dimensions, checked against the guide's own log-density."""
        log_q = self.rows.own()[0].sum(-1) * self.rows.counts
        if not torch.allclose(log_q, self.log_q, rtol=1e-3, atol=1e-3):
            worst = (log_q - self.log_q).abs().max().item()
            raise EvaluationError(
                "MI + TC + DWKL is not the KL of the samples: the log-densities of the "
                f"dimensions differ from that of the guide by up to {worst:g} nats"
            )
        return log_q


def split(batches: Sequence[Sequence[Draw]], chosen: Tensor, seed: int) -> Decomposition:
    """The decomposition of a set that came in batches, each drawn equally often.

    Args:
        batches: the draws of each batch.
        chosen: bool per datum, those that the means are taken over.
        seed: of the draws.

    Raises:
        EvaluationError: the parts do not add up, or a latent has no mean.
    """
    components = [draws[0].rows for draws in batches]
    counted = [rows.counts.cpu() > 0 for rows in components]
    size, parts = int(sum(part.sum() for part in counted)), []
    for draws, kept, own in zip(batches, chosen.split([*map(len, counted)]), counted, strict=True):
        index = (kept & own).nonzero().squeeze(1).to(draws[0].log_q.device)
        parts += [draw.parts(index, components, size) for draw in draws]
    found = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    variances = _variances(components)
    points = len(found["KL"]) // len(batches[0])
    variant = (
        f"aggregate posterior of {size}, means over {points}, {len(batches[0])} drawn of each"
    )
    return _scored(found, variances, Score("", 0.0, (size,), variant, "nats", seed=seed))


def _aggregate(
    values: list[Tensor], components: Sequence[BatchPosterior], size: int
) -> tuple[Tensor, ...]:
    """Log q(z_i), and log q(z_ij) per dimension, of the mixture of all components."""
    joint: list[Tensor] = []
    each: list[Tensor] = []
    for rows in components:
        crossed = rows.log_density(values)[0] + rows.counts.log().unsqueeze(-1)
        joint.append(crossed.sum(-1).logsumexp(1))
        each.append(crossed.logsumexp(1))
    return tuple(torch.stack(t).logsumexp(0) - math.log(size) for t in (joint, each))


def _scored(found: dict[str, Tensor], variances: Tensor, like: Score) -> Decomposition:
    per_dim = found.pop("per dimension", None)
    error = {name: (value.std() / len(value) ** 0.5).item() for name, value in found.items()}
    scores = {
        name: replace(
            like,
            name=name,
            value=value.mean().item(),
            details={"standard_error": error[name]},
            better="higher" if name == "log-likelihood" else None,
        )  # fmt: skip
        for name, value in found.items()
    }
    if per_dim is not None:
        whole = scores["dimension-wise KL"]
        details = {**whole.details, "per_dimension": per_dim.mean(0).tolist()}
        scores["dimension-wise KL"] = replace(whole, details=details)
    active = replace(
        like, name="active units", value=float((variances > ACTIVE).sum()), unit="dimensions",
        variant=f"variance of posterior means > {ACTIVE}",
        details={"variances": variances.tolist()},
    )  # fmt: skip
    *parts, kl, log_likelihood = scores.values()
    residual = sum(map(float, parts)) - float(kl)
    return Decomposition(
        parts[0], parts[1], parts[2], kl, log_likelihood, active, math.log(like.n[0]), residual
    )


def _variances(components: Sequence[BatchPosterior]) -> Tensor:
    """Variance over the data of each dimension's posterior mean."""
    try:
        means = torch.cat([rows.means()[rows.counts > 0] for rows in components])
    except NotImplementedError as error:
        kinds = {factors.name: type(factors.each).__name__ for factors in components[0].factors}
        raise EvaluationError(f"expected posteriors with a mean; got {kinds}") from error
    return means.double().var(0).cpu()


def _per_dim(priors: Sequence[Any], rows: BatchPosterior) -> Tensor | None:
    """Log p(z_j) per dimension, where every prior factorises."""
    try:
        return torch.cat([Factors.of(site, rows.datum).own()[0] for site in priors], -1)
    except ObjectiveError:
        return None


def _sum(values: Iterable[Tensor]) -> Tensor:
    return reduce(torch.add, values)
