"""The ELBO with its KL split into what dimensions share, what they tell of x, and the rest."""

import math
from typing import Any, Literal

import torch
from pyro.poutine import replay
from torch import Tensor

from probgen.objectives.aggregate import BatchPosterior
from probgen.objectives.decomposition import (
    ObjectiveError,
    Program,
    Terms,
    dependence,
    drawn,
    held_densities,
    of_traces,
    with_values,
)
from probgen.objectives.elbo import ELBO

ESTIMATORS = ("stratified", "weighted")


class TotalCorrelationELBO(ELBO):
    """-loss = E_q log p(x | z) - alpha MI - beta TC - gamma DWKL, where MI + TC + DWKL = KL.

    MI = E log q(z | x) / q(z), TC = E log q(z) / prod_j q(z_j), DWKL = sum_j KL(q(z_j) || p(z_j))

    with the aggregate posterior q(z) over the N data, z all latents of a datum together. Computed
    as gamma KL + (alpha - gamma) MI + (beta - gamma) TC, with the KL of ``ELBO``: equal weights
    are ``BetaELBO`` exactly, alpha = beta = gamma = 1 is ``ELBO``, and the prior need not
    factorise. MI and TC are estimated from the B rows of the batch:

        "stratified"  q(z_i) ~ 1/N q(z_i | x_i) + (N - 1) / (N (B - 1)) sum_{j != i} q(z_i | x_j)
        "weighted"    q(z_i) ~ 1/(N B) sum_j q(z_i | x_j)

    The first is unbiased for q(z_i), not for its logarithm; B = N makes it exact. It is the
    published stratified estimator averaged over the row that it singles out. The second's value
    is no estimate of MI or TC; to report them, use ``evaluation.likelihood.decompose``.

    Args:
        alpha: weight of the mutual information of x and z, >= 0.
        beta: weight of the total correlation of z, >= 0.
        gamma: weight of the KL per dimension, >= 0.
        estimator: "stratified" or "weighted".
        data_size: N, where the plate over the data is not subsampled and so does not say it;
            ``training.fit`` does.
        settings: others of ``ELBO``, such as ``num_particles``.

    Raises:
        ObjectiveError: a weight that is negative or not finite; N unknown or below B; fewer than
            two rows; not one plate over the data; a q(z | x) that does not factorise, depends on
            another latent, or is scaled by ``poutine.scale``.

    Source: Chen et al. 2018, Isolating sources of disentanglement in VAEs, equations 2 and 4 and
    appendix C. (Its code gives the row's own weight 1/N to the first column, not the diagonal.)

    >>> TotalCorrelationELBO(beta=6.0, data_size=60_000)
    TotalCorrelationELBO(alpha=1.0, beta=6.0, gamma=1.0, estimator=stratified, data_size=60000)
    """

    def __init__(
        self,
        alpha: float = 1.0,
        beta: float = 1.0,
        gamma: float = 1.0,
        *,
        estimator: Literal["stratified", "weighted"] = "stratified",
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        for name, weight in (("alpha", alpha), ("beta", beta), ("gamma", gamma)):
            if not 0 <= weight < math.inf:
                raise ObjectiveError(f"expected {name} a finite number >= 0; got {weight}")
        if estimator not in ESTIMATORS:
            known = " or ".join(ESTIMATORS)
            raise ObjectiveError(f"expected estimator {known}; got {estimator!r}")
        self.alpha, self.beta, self.gamma = alpha, beta, gamma
        self.estimator = estimator

    def combine(self, terms: Terms) -> Tensor:
        """Loss per datum: gamma kl + (alpha - gamma) mi + (beta - gamma) tc - log_likelihood."""
        information = terms.estimates["mutual_information"].mean()
        correlation = terms.estimates["total_correlation"].mean()
        extra = (self.alpha - self.gamma) * information + (self.beta - self.gamma) * correlation
        return self._penalised(terms, self.gamma * terms.total_kl.mean() + extra)

    def terms(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> Terms:
        """The ELBO's terms, and estimates of MI and TC from the batch alone, per datum."""
        parts = [
            of_traces(*traces, self.data_size)._replace(estimates=self._estimates(*traces))
            for traces in self.traces(model, guide, *args, **kwargs)
        ]
        return Terms.averaged(parts)

    def extra_repr(self) -> str:
        """Its settings, for a recipe."""
        own = [f"{name}={getattr(self, name)}" for name in ("alpha", "beta", "gamma", "estimator")]
        own += [f"data_size={self.data_size}"] if self.data_size else []
        return ", ".join(filter(None, [*own, super().extra_repr()]))

    def _estimates(self, model_trace: Any, guide_trace: Any) -> dict[str, Tensor]:
        rows = BatchPosterior.of(model_trace, guide_trace, self.data_size)
        weight = log_weights(rows.counts, self._size(rows), self.estimator)
        crossed, own = rows.log_density(rows.values()), rows.own().sum(-1)
        joint = (crossed.sum(-1) + weight).logsumexp(-1)
        each = (crossed + weight.unsqueeze(-1)).logsumexp(-2).sum(-1)
        found = {"mutual_information": own - joint, "total_correlation": joint - each}
        return {name: value.mean(0) * rows.counts for name, value in found.items()}

    def _size(self, rows: BatchPosterior) -> float:
        """N, checked against the batch."""
        batch, datum = len(rows.counts), rows.datum
        if self.data_size is None and datum.scale == 1:
            raise ObjectiveError(
                f"expected data_size=, the number of data that the {batch} rows are from: the "
                f"plate {next(iter(datum.names))} does not say it"
            )
        size = self.data_size or datum.scale * batch
        if not 2 <= batch <= size:
            raise ObjectiveError(f"expected a batch of 2 to {size:g} rows, all data; got {batch}")
        return size

    def _guide_trace(self, guide: Program, args: Any, kwargs: Any) -> Any:
        trace = super()._guide_trace(guide, args, kwargs)
        if len(drawn(trace)) > 1:
            self._check_independent(trace, guide, args, kwargs)
        return trace

    def _check_independent(self, trace: Any, guide: Program, args: Any, kwargs: Any) -> None:
        """Raise if a latent depends on another, which the graph shows; without one, make one."""
        with torch.enable_grad():
            if not any(site["value"].requires_grad for site in drawn(trace)):
                leaves = with_values(trace, _leaf)
                trace = super()._guide_trace(replay(guide, leaves), args, kwargs)
            found = dependence(trace, held_densities(trace))
        if found:
            raise ObjectiveError(
                f"expected every latent independent of the others given x; the guide's "
                f"{found[0]!r} depends on {found[1]!r}, so that its q(z | x) is not known"
            )


def _leaf(value: Tensor) -> Tensor:
    return value.detach().requires_grad_(value.is_floating_point())


def log_weights(counts: Tensor, size: float, estimator: str) -> Tensor:
    """Logarithms of the weights of q(z_i | x_j) in the estimate of q(z_i), ``(i, j)``.

    Args:
        counts: 1 for a row, 0 where it is masked, shape (B,).
        size: N of all data, masked ones included.
        estimator: as for ``TotalCorrelationELBO``.

    >>> log_weights(torch.ones(3), 10, "stratified").exp()
    tensor([[0.1000, 0.4500, 0.4500],
            [0.4500, 0.1000, 0.4500],
            [0.4500, 0.4500, 0.1000]])
    """
    batch, present = len(counts), counts.sum()
    n = present * (size / batch)
    if estimator == "weighted":
        return (counts / (n * present)).log().expand(batch, batch)
    others = counts * (n - 1) / (n * (present - 1).clamp(min=1))
    own = torch.eye(batch, dtype=torch.bool, device=counts.device)
    return torch.where(own, 1 / n, others).log()
