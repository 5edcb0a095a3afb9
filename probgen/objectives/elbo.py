"""The evidence lower bound, a loss that every other objective here derives from."""

import copy
import math
from collections.abc import Iterator
from typing import Any, Self

import torch
from pyro import poutine
from pyro.infer import TraceMeanField_ELBO
from pyro.infer.enum import check_model_guide_match
from pyro.infer.util import is_validation_enabled
from pyro.poutine.util import prune_subsample_sites
from pyro.util import check_site_shape
from torch import Tensor, nn

from probgen.objectives.decomposition import (
    ObjectiveError,
    Program,
    Terms,
    log_density,
    of_traces,
    sample_sites,
)


def terms(model: Program, guide: Program, *args: Any, **kwargs: Any) -> Terms:
    """The ELBO's terms for one batch, one sample of the guide.

    ELBO = E_q log p(x | z) - KL(q(z | x) || p(z))

    The KL of a site is analytic where ``torch.distributions`` registers it and no latent that
    precedes the site in the model follows it in the guide; otherwise it is log q - log p at the
    sample.

    Args:
        model: Pyro model, observed sites included.
        guide: its guide.
        args: what both are called with.
        kwargs: the same, by keyword.

    Raises:
        ObjectiveError: a site without reparameterised samples where gradients are taken.

    Source: Kingma & Welling 2014, equation 3.

    >>> import pyro
    >>> from pyro import distributions as dist
    >>> def model():
    ...     pyro.sample("z", dist.Normal(0.0, 1.0))
    >>> def guide():
    ...     pyro.sample("z", dist.Normal(1.0, 1.0))
    >>> terms(model, guide).kl["z"]
    tensor(0.5000)
    """
    return ELBO().terms(model, guide, *args, **kwargs)


class ELBO(TraceMeanField_ELBO, nn.Module):
    """Evidence lower bound: -loss = E_q log p(x | z) - KL(q(z | x) || p(z)).

    Equal in value and gradient to Pyro's ``TraceMeanField_ELBO``, and to ``Trace_ELBO`` in
    expectation. ``loss``, ``differentiable_loss`` and ``loss_and_grads`` follow Pyro (the sum over
    the batch times the plate scale) but stay on the device; ``evaluate`` gives the loss per datum.

    Args:
        num_particles: samples of the guide per evaluation.
        vectorize_particles: draw them in one extra leftmost plate instead of a loop.
        max_plate_nesting: greatest number of nested plates; guessed when not given.
        data_size: number of data that a global latent's KL is spread over, where that is not the
            size of their plate; ``training.fit`` knows it.
    """

    constant = True
    """Whether two losses at different steps can be compared, as early stopping does."""

    def __init__(
        self,
        *,
        num_particles: int = 1,
        vectorize_particles: bool = False,
        max_plate_nesting: float = math.inf,
        data_size: int | None = None,
    ) -> None:
        if num_particles < 1:
            raise ObjectiveError(f"expected num_particles >= 1; got {num_particles}")
        if data_size is not None and data_size < 1:
            raise ObjectiveError(f"expected data_size >= 1; got {data_size}")
        nn.Module.__init__(self)
        self.data_size = data_size
        TraceMeanField_ELBO.__init__(
            self,
            num_particles=num_particles,
            vectorize_particles=vectorize_particles and num_particles > 1,
            max_plate_nesting=max_plate_nesting,
        )

    def over(self, data_size: int) -> Self:
        """The same objective, its state shared, for so many data."""
        other = copy.copy(self)
        other.data_size = data_size
        return other

    def combine(self, terms: Terms) -> Tensor:
        """Loss per datum from the terms of a batch, a 0-d tensor."""
        return self._penalised(terms, terms.total_kl.mean())

    def weights(self) -> dict[str, Tensor]:
        """Weights of the terms now, and targets as ``target_TERM``, 0-d, for the history."""
        return {}

    def steer(self, terms: Terms) -> None:
        """Set this step's weights by what it measured; as ``advance``, but before the loss."""

    def advance(self, terms: Terms) -> None:
        """Move the objective's own state by one step; called only where gradients are taken."""

    def traces(
        self, model: Program, guide: Program, *args: Any, **kwargs: Any
    ) -> Iterator[tuple[Any, Any]]:
        """Traces (model, guide), a pair per particle or one of them all, as Pyro draws them."""
        yield from self._get_traces(model, guide, args, kwargs)

    def terms(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> Terms:
        """As ``objectives.terms``, averaged over ``num_particles``."""
        traces = self.traces(model, guide, *args, **kwargs)
        return Terms.averaged([of_traces(*each, self.data_size) for each in traces])

    def evaluate(
        self, model: Program, guide: Program, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Terms]:
        """Loss per datum and the terms behind it; advances where gradients are taken.

        Raises:
            ObjectiveError: a term is NaN while ``pyro.validation_enabled()``, Pyro's default.
        """
        terms = self.terms(model, guide, *args, **kwargs)
        if is_validation_enabled():
            _check_numbers(terms)
        moves = torch.is_grad_enabled()
        if moves:
            self.steer(terms)
        loss = self.combine(terms)
        if moves:
            self.advance(terms)
        return loss, terms

    def differentiable_loss(
        self, model: Program, guide: Program, *args: Any, **kwargs: Any
    ) -> Tensor:
        """Loss for the whole plate, with its graph."""
        loss, terms = self.evaluate(model, guide, *args, **kwargs)
        return loss * terms.size

    def loss(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> Tensor:
        """Loss for the whole plate; leaves the objective's state alone."""
        with torch.no_grad():
            return self.differentiable_loss(model, guide, *args, **kwargs)

    def loss_and_grads(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> Tensor:
        """Loss for the whole plate; adds its gradients to the parameters."""
        loss = self.differentiable_loss(model, guide, *args, **kwargs)
        if loss.requires_grad:
            loss.backward(retain_graph=self.retain_graph)
        return loss.detach()

    def extra_repr(self) -> str:
        """Its settings, for a recipe."""
        return f"num_particles={self.num_particles}" if self.num_particles > 1 else ""

    def _penalised(self, terms: Terms, kl: Tensor) -> Tensor:
        return kl + self._penalty(terms) - terms.log_likelihood.mean()

    def _penalty(self, terms: Terms) -> Tensor | int:
        return sum(p.mean() for p in terms.penalty.values())

    def _get_trace(self, model: Program, guide: Program, args: Any, kwargs: Any) -> Any:
        guide_trace = self._guide_trace(guide, args, kwargs)
        model_trace = self._model_trace(model, guide_trace, args, kwargs)
        if is_validation_enabled():
            check_model_guide_match(model_trace, guide_trace, self.max_plate_nesting)
        traces = prune_subsample_sites(model_trace), prune_subsample_sites(guide_trace)
        if is_validation_enabled():
            _check_shapes(*traces, max_plate_nesting=self.max_plate_nesting)
        return traces

    def _guide_trace(self, guide: Program, args: Any, kwargs: Any) -> Any:
        return poutine.trace(guide).get_trace(*args, **kwargs)

    def _model_trace(self, model: Program, guide_trace: Any, args: Any, kwargs: Any) -> Any:
        replayed = poutine.replay(model, trace=guide_trace)
        return poutine.trace(replayed).get_trace(*args, **kwargs)


def _check_numbers(terms: Terms) -> None:
    named = {"the log-likelihood": terms.log_likelihood}
    named |= {f"the KL of the site {site!r}": kl for site, kl in terms.kl.items()}
    named |= {f"the penalty {name!r}": penalty for name, penalty in terms.penalty.items()}
    named |= {f"the {name.replace('_', ' ')}": values for name, values in terms.estimates.items()}
    for name, values in named.items():
        if values.isnan().any():
            where = values.isnan().nonzero()[0].tolist()
            raise ObjectiveError(f"expected numbers; {name} is nan, first at the datum {where}")


def _check_shapes(*traces: Any, max_plate_nesting: Any) -> None:
    for trace in traces:
        for site in sample_sites(trace):
            log_density(site)  # names the site that has none
        trace.compute_log_prob()
        for site in sample_sites(trace):
            check_site_shape(site, max_plate_nesting)


def number(value: float | Tensor, like: Tensor) -> Tensor:
    """A 0-d tensor on the device of another, for which the host does not wait."""
    return value if isinstance(value, Tensor) else torch.full((), float(value), device=like.device)
