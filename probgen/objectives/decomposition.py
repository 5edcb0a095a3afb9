"""The terms of an ELBO, read from one trace of the model and one of its guide."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import reduce
from typing import Any, NamedTuple

import pyro.distributions as dist
import torch
from pyro.distributions.util import scale_and_mask
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample
from torch import Tensor

from probgen import ProbgenError

Program = Callable[..., Any]
Site = Mapping[str, Any]
PARTICLES = "num_particles_vectorized"


class ObjectiveError(ProbgenError, ValueError):
    """A model/guide pair or a setting that the objective cannot give a right number for."""


class Terms(NamedTuple):
    """The terms of an ELBO per datum, in nats, without the plate scale.

    A *datum* is one cell of the plates that the observed sites and their local latents share;
    ``batch`` is the shape of those plates. What lies outside a datum plate (a global latent) is
    spread evenly over the data, so that the mean over the batch is the ELBO per datum.

    Attributes:
        log_likelihood: log p(x | z) at the guide's sample, shape ``batch``; a relaxed or scaled
            likelihood counts as it was scaled.
        kl: KL(q(z | x) || p(z)) per latent site, each of shape ``batch``; exact where Pyro
            registers it and it is valid, else log q - log p at the sample.
        kl_per_dim: the same per dimension, ``(*batch, d)``, of the sites that factorise.
        penalty: what a model adds to the loss that is no likelihood, per datum; sites observed
            with ``infer={"penalty": True}``, the negated log-density.
        scale: data set size over batch size, as the plates subsample.
        estimates: what else an objective weighs, per datum; see the objective.
    """

    log_likelihood: Tensor
    kl: dict[str, Tensor]
    kl_per_dim: dict[str, Tensor]
    penalty: dict[str, Tensor]
    scale: float
    estimates: dict[str, Tensor] = {}

    @classmethod
    def joined(
        cls, parts: "Sequence[Terms]", join: Callable[[list[Tensor]], Tensor], scale: float
    ) -> "Terms":
        """One from many: ``join`` on each tensor of the parts."""

        def each(values: list[dict[str, Tensor]]) -> dict[str, Tensor]:
            return {name: join([value[name] for value in values]) for name in values[0]}

        return cls(
            join([part.log_likelihood for part in parts]),
            each([part.kl for part in parts]),
            each([part.kl_per_dim for part in parts]),
            each([part.penalty for part in parts]),
            scale,
            each([part.estimates for part in parts]),
        )

    @classmethod
    def averaged(cls, parts: "Sequence[Terms]") -> "Terms":
        """Means over particles."""
        if len(parts) == 1:
            return parts[0]
        return cls.joined(parts, lambda t: torch.stack(t).mean(0), parts[0].scale)

    @property
    def total_kl(self) -> Tensor:
        """Sum of the KL over the latent sites, shape ``batch``."""
        return sum(self.kl.values(), torch.zeros_like(self.log_likelihood))

    @property
    def elbo(self) -> Tensor:
        """log_likelihood - kl per datum, shape ``batch``."""
        return self.log_likelihood - self.total_kl

    @property
    def size(self) -> float:
        """Number of data the batch stands for: the size of the full plate."""
        return self.scale * self.log_likelihood.numel()


class Sites(NamedTuple):
    """What two traces hold: observed sites, the guide's latent ones, and what a datum is."""

    observed: list[Any]
    latent: list[Any]
    datum: "Datum"


def sites(model_trace: Any, guide_trace: Any, data_size: int | None) -> Sites:
    """The sites of a pair, checked to belong together."""
    observed = [s for s in sample_sites(model_trace) if s["is_observed"] and not _deterministic(s)]
    latent = [s for s in sample_sites(guide_trace) if not s["is_observed"] or _auxiliary(s)]
    _check_sites(model_trace, latent)
    return Sites(observed, latent, Datum.shared_by(observed, latent, data_size))


def of_traces(model_trace: Any, guide_trace: Any, data_size: int | None) -> Terms:
    """The terms at the guide's sample, which the model's trace replayed."""
    observed, latent, datum = sites(model_trace, guide_trace, data_size)
    values = {site["name"]: datum.of(log_density(site), site) for site in observed}
    penalty = {s["name"]: -values.pop(s["name"]) for s in observed if s["infer"].get("penalty")}
    log_likelihood = reduce(torch.add, values.values()) if values else torch.zeros(())
    interleaved = _interleaved(model_trace, guide_trace)
    kl, kl_per_dim = {}, {}
    for site in latent:
        name = site["name"]
        exact = None if name in interleaved else _exact_kl(site, model_trace.nodes.get(name))
        if exact is None:
            kl[name] = _sampled_kl(site, model_trace.nodes.get(name), datum)
        elif exact.dim() > len(site["fn"].batch_shape):
            kl_per_dim[name] = datum.of(exact, site, trailing=1)
            kl[name] = kl_per_dim[name].sum(-1)
        else:
            kl[name] = datum.of(exact, site)
    return Terms(log_likelihood, kl, kl_per_dim, penalty, datum.scale)


def sample_sites(trace: Any) -> Iterator[Any]:
    """The sample sites of a trace."""
    return (site for site in trace.nodes.values() if site["type"] == "sample")


class Datum(NamedTuple):
    """One cell of the plates that the data share.

    ``names`` of the plates, {dim: size} of them, their ``scale``, and what ``share`` of a global
    latent's KL one batch bears, seen as all of the data that its plates stand for.
    """

    names: frozenset[str]
    plates: dict[int, int]
    scale: float
    share: float

    @classmethod
    def shared_by(
        cls, observed: Iterable[Site], latent: Iterable[Site], data_size: int | None
    ) -> "Datum":
        """What all observed sites and their local latents are inside."""
        stacks = [stack for site in observed if (stack := _plates(site, particles=False))]
        shared = _shared(stacks)
        for stack in (_plates(site, particles=False) for site in latent):
            shared = shared & stack.keys() or shared
        frames = [stacks[0][name] for name in shared]
        plates = {frame.dim: frame.size for frame in sorted(frames, key=lambda f: f.dim)}
        scale = math.prod((f.full_size or f.size) / f.size for f in frames)
        size = scale * math.prod(plates.values())
        return cls(frozenset(shared), plates, scale, size / (data_size or size))

    def of_each_particle(self, site: Site) -> "Datum":
        """The cells of the particles' plate too, where ``site`` lies in it, leftmost."""
        frame = _plates(site).get(PARTICLES)
        if frame is None:
            return self
        names, plates = self.names | {PARTICLES}, {frame.dim: frame.size, **self.plates}
        return self._replace(names=names, plates=plates)

    def holds(self, site: Site) -> bool:
        """Whether the site lies inside the datum, not above it."""
        return self.names <= _plates(site).keys()

    def scales(self, site: Site) -> bool:
        """Whether the plates of the data are all that scales the site."""
        scale = site["scale"]
        return not isinstance(scale, Tensor) and math.isclose(scale, self.scale)

    def over(self, value: Tensor, site: Site) -> Tensor:
        """A value per datum, in the shape that multiplies the site's values."""
        batch = len(site["fn"].batch_shape)
        shape = [self.plates.get(dim, 1) for dim in range(-batch, 0)]
        return value.reshape(shape + [1] * len(site["fn"].event_shape))

    def of(self, value: Tensor, site: Site, trailing: int = 0) -> Tensor:
        """Sum what lies inside a datum, average the particles, spread what lies above."""
        value = self._weighted(value, site, trailing)
        shape = torch.Size(self.plates.values())
        own = {frame.dim for name, frame in _plates(site).items() if name in self.names}
        if value.dim() == len(shape) + trailing and len(own) == len(shape):
            return value
        inside = [d for d in range(trailing - value.dim(), 0) if d not in own]
        particles = {f.dim for name, f in _plates(site).items() if name == PARTICLES}
        for dim in inside:
            merge = torch.mean if dim in particles else torch.sum
            value = merge(value, dim - trailing, keepdim=True)
        events = list(value.shape[value.dim() - trailing :])
        spread = [size for dim, size in self.plates.items() if dim not in own]
        weight = self.share / math.prod(spread) if spread else 1.0
        value = value.reshape([s if d in own else 1 for d, s in self.plates.items()] + events)
        return (value * weight).expand([*shape, *events])

    def _weighted(self, value: Tensor, site: Site, trailing: int) -> Tensor:
        mask, weight = site["mask"], site["scale"]
        weight = weight / self.scale if self.scale != 1 else weight
        if trailing:
            mask, weight = _with_trailing(mask), _with_trailing(weight)
        return scale_and_mask(value, weight, mask)


def _shared(stacks: Sequence[Mapping[str, Any]]) -> set[str]:
    """Plates of all observed sites; of the first one, where they share none."""
    if not stacks:
        return set()
    return set.intersection(*map(set, stacks)) or set(stacks[0])


def _with_trailing(weight: Any) -> Any:
    return weight.unsqueeze(-1) if isinstance(weight, Tensor) and weight.dim() else weight


def _plates(site: Site, *, particles: bool = True) -> dict[str, Any]:
    frames = {frame.name: frame for frame in site["cond_indep_stack"] if frame.vectorized}
    return frames if particles else {n: f for n, f in frames.items() if n != PARTICLES}


def _check_sites(model_trace: Any, latent: list[Site]) -> None:
    missing = {s["name"] for s in sample_sites(model_trace) if not s["is_observed"]}
    for site in latent:
        if site["name"] not in model_trace.nodes and not _auxiliary(site):
            raise ObjectiveError(
                f"the guide's site {site['name']!r} is not in the model: give it that name there, "
                "or infer={'is_auxiliary': True}"
            )
        missing.discard(site["name"])
        if torch.is_grad_enabled() and not site["fn"].has_rsample and not site["is_observed"]:
            raise ObjectiveError(
                f"expected reparameterised samples at the site {site['name']!r}; got "
                f"{type(site['fn']).__name__}, which has none: use pyro.infer.Trace_ELBO or "
                "TraceEnum_ELBO for it"
            )
    if missing:
        raise ObjectiveError(f"the guide has no site for the model's latent {sorted(missing)}")


def _deterministic(site: Site) -> bool:
    return bool(site["infer"].get("_deterministic"))


def _auxiliary(site: Site) -> bool:
    return bool(site["infer"].get("is_auxiliary"))


def log_density(site: Any) -> Tensor:
    """Log-density at the site's value, kept where a Pyro trace keeps it."""
    if "unscaled_log_prob" not in site:
        try:
            log_prob = site["fn"].log_prob(site["value"], *site["args"], **site["kwargs"])
        except NotImplementedError as error:
            raise ObjectiveError(
                f"expected a log-density at the site {site['name']!r}; "
                f"{type(site['fn']).__name__} has none at {site['value']}: give it log_prob"
            ) from error
        site["unscaled_log_prob"] = log_prob
    held, value = site["unscaled_log_prob"], site["value"]
    # ImproperUniform gives its zeros on the CPU, wherever the value is
    return held.to(value.device) if isinstance(value, Tensor) else held


def held_densities(guide_trace: Any) -> dict[str, Tensor]:
    """Log-density of each latent at its value, as a function of the guide's parameters alone."""
    return {site["name"]: _held_density(site) for site in drawn(guide_trace)}


def drawn(trace: Any) -> list[Any]:
    """The latent sites of a trace that still has its subsamples."""
    return [s for s in sample_sites(trace) if not s["is_observed"] and not site_is_subsample(s)]


def with_values(trace: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """A copy of the trace with other values at its latent sites."""
    copy = trace.copy()
    for site in drawn(trace):
        copy.nodes[site["name"]] = site | {"value": change(site["value"])}
    return copy


class OneSubsample(Messenger):
    """The indices that a plate draws first are those of all its later calls.

    Importance weights of one datum need samples of that datum: traced one after the other, every
    sample would draw a subsample of its own.
    """

    def __init__(self) -> None:
        self.drawn: dict[str, Any] = {}

    def _pyro_sample(self, message: Any) -> None:
        if site_is_subsample(message) and message["name"] in self.drawn:
            message["value"], message["done"] = self.drawn[message["name"]], True

    def _pyro_post_sample(self, message: Any) -> None:
        if site_is_subsample(message):
            self.drawn.setdefault(message["name"], message["value"])


def _held_density(site: Site) -> Tensor:
    try:
        return site["fn"].log_prob(site["value"].detach())
    except (KeyError, NotImplementedError) as error:
        raise ObjectiveError(
            f"{type(site['fn']).__name__} at the site {site['name']!r} cannot evaluate its "
            f"density at a value that it did not draw: {error}"
        ) from error


def dependence(guide_trace: Any, held: Mapping[str, Tensor]) -> tuple[str, str] | None:
    """A latent whose density in the guide depends on the value of another, and that other."""
    values = {n: v for n in held if (v := guide_trace.nodes[n]["value"]).requires_grad}
    for name, density in held.items():
        others = [other for other in values if other != name]
        if others and density.requires_grad:
            gradients = torch.autograd.grad(
                density.sum(), [values[n] for n in others], retain_graph=True, allow_unused=True
            )
            for other, gradient in zip(others, gradients, strict=True):
                if gradient is not None:
                    return name, other
    return None


def _interleaved(model_trace: Any, guide_trace: Any) -> set[str]:
    """Sites whose prior may depend on a latent that the guide draws after them."""
    position = {site["name"]: i for i, site in enumerate(sample_sites(guide_trace))}
    latest, interleaved = -1, set()
    for site in sample_sites(model_trace):
        if site["is_observed"] or site["name"] not in position:
            continue
        if latest > position[site["name"]]:
            interleaved.add(site["name"])
        latest = max(latest, position[site["name"]])
    return interleaved


def _exact_kl(guide_site: Site, model_site: Site | None) -> Tensor | None:
    """KL (*batch, d) where the site factorises, (*batch) where not, None where unknown."""
    if model_site is None or not all(
        _same(guide_site[weight], model_site[weight]) for weight in ("scale", "mask")
    ):
        return None
    q, p = guide_site["fn"], model_site["fn"]
    if isinstance(q.base_dist if isinstance(q, dist.Independent) else q, dist.Delta):
        return None  # Pyro's formula drops the Delta's log_density, an autoguide's Jacobian
    try:
        return _factorised_kl(q, p)
    except NotImplementedError:
        return None


def _factorised_kl(q: Any, p: Any) -> Tensor:
    if isinstance(q, dist.Independent) and isinstance(p, dist.Independent):
        dims = q.reinterpreted_batch_ndims
        if dims == p.reinterpreted_batch_ndims > 0 and not q.base_dist.event_shape:
            kl = torch.distributions.kl_divergence(q.base_dist, p.base_dist)
            return kl.flatten(-dims) if dims > 1 else kl
    kl = torch.distributions.kl_divergence(q, p)
    if not isinstance(kl, Tensor):
        raise NotImplementedError("Pyro's 0.0 for what .mask(False) leaves out has no shape")
    return kl if q.event_shape else kl.unsqueeze(-1)


def _sampled_kl(guide_site: Site, model_site: Site | None, datum: Datum) -> Tensor:
    log_q = datum.of(log_density(guide_site), guide_site)
    return log_q if model_site is None else log_q - datum.of(log_density(model_site), model_site)


def _same(a: Any, b: Any) -> bool:
    """Whether two scales or masks are equal."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a is b or (a.shape == b.shape and bool((a == b).all()))
    return not isinstance(a, Tensor) and not isinstance(b, Tensor) and a == b
