"""The importance-weighted bound, with a gradient whose signal does not fade as it tightens."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import torch
from pyro.poutine import replay
from torch import Tensor

from probgen.objectives.decomposition import (
    Datum,
    ObjectiveError,
    OneSubsample,
    Program,
    Terms,
    dependence,
    held_densities,
    log_density,
    of_traces,
    sites,
    with_values,
)
from probgen.objectives.elbo import ELBO

GRADIENTS = ("dreg", "naive")


class ImportanceWeightedELBO(ELBO):
    """Importance-weighted bound: -loss = E log 1/K sum_i p(x, z_i) / q(z_i | x), z_i ~ q(z | x).

    The mean over K samples is taken within each datum, and the plate scale multiplies the bound,
    not the weights, so that the bound per datum is the same whatever the size of the plate. A
    scale of ``poutine.scale`` is a power of the density, within the weights. With K = 1 it is
    ``Trace_ELBO`` at the same sample: an ELBO whose every KL is sampled. It rises with K towards
    log p(x).

    The gradient "dreg" is the doubly reparameterised one: the weights w_i of a datum, normalised
    to sum 1, multiply the gradient of the model's parameters, and w_i^2 that of the guide's, which
    is taken through the samples alone. "naive" differentiates the bound as it stands; of the
    guide's gradient more and more is noise as K grows.

    ``Terms`` hold the ELBO's terms, means over the samples, and ``estimates["bound"]``.

    Args:
        num_particles: K, samples of the guide per datum, from 1 up.
        gradient: "dreg" or "naive".
        vectorize_particles: draw the K samples in one extra leftmost plate, not in a loop.
        max_plate_nesting: as for ``ELBO``.

    Raises:
        ObjectiveError: num_particles below 1; a site above the data's plate (its weight would not
            be one per datum); no reparameterised samples at a latent site; with "dreg" a penalty,
            a latent with a ``poutine.scale``, a factor in the guide, or a guide that cannot
            evaluate its density at a value that it did not draw.

    Source: Burda et al. 2016, Importance weighted autoencoders, equation 8; Tucker et al. 2019,
    Doubly reparameterized gradient estimators, equation 8.

    >>> ImportanceWeightedELBO(50)
    ImportanceWeightedELBO(num_particles=50, gradient=dreg)
    """

    def __init__(
        self,
        num_particles: int,
        *,
        gradient: Literal["dreg", "naive"] = "dreg",
        vectorize_particles: bool = True,
        max_plate_nesting: float = math.inf,
        data_size: int | None = None,
    ) -> None:
        if not (isinstance(num_particles, int) and num_particles >= 1):
            raise ObjectiveError(
                f"expected num_particles, a whole number >= 1; got {num_particles!r}"
            )
        if gradient not in GRADIENTS:
            raise ObjectiveError(f"expected gradient {' or '.join(GRADIENTS)}; got {gradient!r}")
        super().__init__(
            num_particles=num_particles,
            vectorize_particles=vectorize_particles,
            max_plate_nesting=max_plate_nesting,
            data_size=data_size,
        )
        self.gradient = gradient

    def combine(self, terms: Terms) -> Tensor:
        """Loss per datum: penalty - bound."""
        return self._penalty(terms) - terms.estimates["bound"].mean()

    def terms(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> Terms:
        """The ELBO's terms, means over the samples, and their bound."""
        draws = [self._draw(*pair) for pair in self.traces(model, guide, *args, **kwargs)]
        terms = Terms.averaged([draw.terms for draw in draws])
        return terms._replace(estimates={"bound": self._bound(draws, terms)})

    def log_weights(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> Tensor:
        """The K samples of each datum as log p(x, z_i) - log q(z_i | x), ``(K, *batch)``."""
        traces = self.traces(model, guide, *args, **kwargs)
        return self._joined([self._draw(*pair).log_weight() for pair in traces])

    def traces(
        self, model: Program, guide: Program, *args: Any, **kwargs: Any
    ) -> Iterator[tuple[Any, Any]]:
        """As ``ELBO.traces``, all of the same data where the programs draw a subsample."""
        with OneSubsample():
            found = [*super().traces(model, guide, *args, **kwargs)]
        yield from found

    def extra_repr(self) -> str:
        """Its settings, for a recipe."""
        return f"num_particles={self.num_particles}, gradient={self.gradient}"

    def _guide_trace(self, guide: Program, args: Any, kwargs: Any) -> Any:
        trace = super()._guide_trace(guide, args, kwargs)
        if self.gradient == "dreg" and torch.is_grad_enabled():
            held = held_densities(trace)
            if dependence(trace, held):
                values = with_values(trace, Tensor.detach)
                held = held_densities(super()._guide_trace(replay(guide, values), args, kwargs))
            for name, density in held.items():
                trace.nodes[name]["held"] = density
        return trace

    def _model_trace(self, model: Program, guide_trace: Any, args: Any, kwargs: Any) -> Any:
        own = with_values(guide_trace, lambda value: value.view_as(value))
        return super()._model_trace(model, own, args, kwargs)

    def _draw(self, model_trace: Any, guide_trace: Any) -> "_Draw":
        terms = of_traces(model_trace, guide_trace, self.data_size)
        observed, latent, datum = sites(model_trace, guide_trace, self.data_size)
        names = [s["name"] for s in observed if s["name"] not in terms.penalty]
        names += [s["name"] for s in latent if s["name"] in model_trace.nodes]
        modelled = [model_trace.nodes[name] for name in names]
        _check_inside(datum, [*modelled, *latent])
        return _Draw(terms, datum.of_each_particle(modelled[0]), modelled, latent)

    def _bound(self, draws: "list[_Draw]", terms: Terms) -> Tensor:
        """Log of the mean weight per datum, shape ``batch``, with the gradient asked for."""
        log_weight = self._joined([draw.log_weight() for draw in draws])
        bound = log_weight.logsumexp(0) - math.log(self.num_particles)
        if self.gradient == "naive" or not log_weight.requires_grad:
            return bound
        _check_doubly_reparameterised(draws[0])
        share = log_weight.detach().softmax(0)
        shares = [share] if self.vectorize_particles else share.unbind()
        path = self._joined(
            [draw.path(part) for draw, part in zip(draws, shares, strict=True)]
        ).sum(0)
        return bound.detach() + (path - path.detach())

    def _joined(self, parts: Sequence[Tensor]) -> Tensor:
        """The samples of all traces, along the first dimension."""
        return (torch.cat if self.vectorize_particles else torch.stack)(tuple(parts))


class _Draw(NamedTuple):
    """The sites of a pair of traces that one sample, or one plate of samples, was drawn in."""

    terms: Terms
    datum: Datum
    modelled: list[Any]
    latent: list[Any]

    def log_weight(self) -> Tensor:
        """Log p(x, z) - log q(z | x) per sample and datum."""
        return self._log_p() - self._log_q()

    def path(self, share: Tensor) -> Tensor:
        """A number per sample and datum whose gradient is the doubly reparameterised one.

        sum w log p(x, z) - w^2 (log q(z) - log q(held z)); a hook on the model's own z makes its
        share of the first w^2 too. What is left of the second is the path through z alone.
        """
        drawn = {site["name"]: site for site in self.latent}
        for site in self.modelled:
            if site["name"] in drawn and site["value"].requires_grad:
                site["value"].register_hook(self._weight(share, drawn[site["name"]]).mul)
        held = sum(self.datum.of(site["held"], site) for site in self.latent)
        return share * self._log_p() - share.square() * (self._log_q() - held)

    def _weight(self, share: Tensor, site: Any) -> Tensor:
        """The share of each value, 1 where the guide's density is masked out of the weights."""
        weight, mask = self.datum.over(share, site), site["mask"]
        if not isinstance(mask, Tensor):
            return weight
        return weight.where(mask.reshape(mask.shape + (1,) * len(site["fn"].event_shape)), 1.0)

    def _log_p(self) -> Tensor:
        return sum(self.datum.of(log_density(s), s) for s in self.modelled)  # type: ignore[return-value]

    def _log_q(self) -> Tensor:
        return sum(self.datum.of(log_density(s), s) for s in self.latent)  # type: ignore[return-value]


def _check_doubly_reparameterised(draw: _Draw) -> None:
    unfit = {"penalty": list(draw.terms.penalty)}
    unfit["scaled site"] = [s["name"] for s in draw.latent if not draw.datum.scales(s)]
    unfit["guide's factor"] = [s["name"] for s in draw.latent if s["is_observed"]]
    for what, names in unfit.items():
        if names:
            raise ObjectiveError(
                f"the {what} {names[0]!r} has no 'dreg' gradient: use gradient='naive'"
            )


def _check_inside(datum: Datum, found: Sequence[Any]) -> None:
    for site in found:
        if not datum.holds(site):
            raise ObjectiveError(
                f"the site {site['name']!r} lies above the plate {', '.join(sorted(datum.names))}"
                " of the data, and importance weights are one per datum: put it inside, make it "
                "a parameter, or use ELBO"
            )
        for frame in site["cond_indep_stack"]:
            if frame.name not in datum.names and frame.size < (frame.full_size or 0):
                raise ObjectiveError(
                    f"the plate {frame.name!r} takes {frame.size} of {frame.full_size} cells of "
                    f"the site {site['name']!r}, and the weight of a part of the latents bounds "
                    "nothing: use ELBO"
                )
