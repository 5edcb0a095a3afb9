"""What a guide cannot represent of a model's exact posterior, read from their graphs."""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any, NamedTuple

import networkx as nx

from probgen.program.reading import given, graph_of
from probgen.program.running import Invocation, Program, ProgramError, innermost
from probgen.reasoning import dsep


class Missing(NamedTuple):
    """Two latents that the guide holds independent and the posterior does not, and why."""

    first: str
    second: str
    reason: str

    def __str__(self) -> str:
        return f"the guide drops {self.first} - {self.second}: {self.reason}"


class Factorised(NamedTuple):
    """A site whose dimensions the guide draws independently and the posterior couples."""

    site: str
    dimensions: int

    def __str__(self) -> str:
        return (
            f"the guide draws the {self.dimensions} dimensions of {self.site} independently; what "
            "is observed below can couple them"
        )


class Point(NamedTuple):
    """A site that the guide puts on one value."""

    site: str

    def __str__(self) -> str:
        return f"the guide puts {self.site} on one point, which represents no uncertainty"


class Audit(NamedTuple):
    """What a guide misses; true if nothing.

    Attributes:
        missing: dependences between latent sites.
        factorised: sites with dependences between their own dimensions.
        points: sites without any uncertainty.
        unsure: dependences that neither graph could exclude.
    """

    missing: tuple[Missing, ...]
    factorised: tuple[Factorised, ...]
    points: tuple[Point, ...]
    unsure: tuple[tuple[str, str], ...]

    def __bool__(self) -> bool:
        return not (self.missing or self.factorised or self.points)

    def __str__(self) -> str:
        found = [*map(str, self.missing + self.factorised + self.points)]
        found += [f"{u} -> {v} could not be excluded" for u, v in self.unsure]
        return "\n".join(found) or "the guide can represent every dependence of the posterior"


def audit(model: Program, guide: Program, *args: Any, **kwargs: Any) -> Audit:
    """Which dependences of the model's exact posterior the guide cannot represent.

    For each latent v of the guide, in its order, and each u before it: if the guide makes v and u
    independent given the other latents before v (d-separation in its graph), so must the model
    given these and the data; else the guide drops u - v. That is about structure alone: a guide
    that misses nothing can still have the wrong family, and a dependence can be weak.

    Args:
        model: a Pyro model.
        guide: its guide.
        args: what both are called with.
        kwargs: the same, by keyword.

    Raises:
        ProgramError: as for ``graph_of``; a latent of the model that the guide lacks.

    Source: Webb et al. 2018, Faithful inversion of generative models, section 3.

    >>> import torch, pyro, pyro.distributions as dist
    >>> def model():
    ...     z1, z2 = (pyro.sample(z, dist.Normal(0.0, 1.0)) for z in ("z1", "z2"))
    ...     pyro.sample("x", dist.Normal(z1 + z2, 1.0), obs=torch.tensor(3.0))
    >>> def mean_field():
    ...     for z in ("z1", "z2"):
    ...         pyro.sample(z, dist.Normal(1.0, 1.0))
    >>> print(audit(model, mean_field))
    the guide drops z1 - z2: z1 -> x <- z2 is open at x, an observed collider
    """
    modelled, guided = (graph_of(program, *args, **kwargs) for program in (model, guide))
    latents = _latents(modelled, guided)
    missing = tuple(_missing(modelled, guided, latents))
    sites = Invocation(guide, args, kwargs).run(seed=0).sites
    fns = {v: sites[v]["fn"] for v, kind in guided.nodes(data="kind") if kind == "latent"}
    factorised = tuple(_factorised(fns, modelled, guided))
    points = tuple(Point(v) for v in latents if _is_point(guided, v, fns))
    unsure = (*modelled.graph["unexcluded"], *guided.graph["unexcluded"])
    return Audit(missing, factorised, points, unsure)


def _latents(modelled: nx.DiGraph, guided: nx.DiGraph) -> list[str]:
    """The model's latent sites in the guide's order."""
    wanted = {v for v, kind in modelled.nodes(data="kind") if kind == "latent"}
    if lacking := sorted(wanted - set(guided)):
        raise ProgramError(f"expected a guide with the model's latent sites; it lacks {lacking}")
    return [v for v in guided if v in wanted]


def _missing(modelled: nx.DiGraph, guided: nx.DiGraph, latents: list[str]) -> Iterator[Missing]:
    data, seen = given(modelled), given(guided)
    for i, v in enumerate(latents):
        for u in latents[:i]:
            others = [w for w in latents[:i] if w != u]
            if not dsep.check(guided, u, v, [*others, *seen]):
                continue
            verdict = dsep.check(modelled, u, v, [*others, *data])
            if not verdict:
                reason = str(verdict).partition(": ")[2]
                yield Missing(u, v, reason)


def _factorised(
    fns: Mapping[str, Any], modelled: nx.DiGraph, guided: nx.DiGraph
) -> Iterator[Factorised]:
    for name, fn in fns.items():
        size = _independent_dimensions(fn)
        if size > 1 and (
            _coupled(modelled, name)
            if name in modelled
            else _any_coupled(modelled, [v for v in guided.succ[name] if v in modelled], fns)
        ):
            yield Factorised(name, size)


def _independent_dimensions(fn: Any) -> int:
    """Number of dimensions of one value that a distribution draws independently of each other."""
    while type(fn).__name__ in ("MaskedDistribution", "ExpandedDistribution"):
        fn = fn.base_dist
    if type(fn).__name__ != "Independent" or fn.base_dist.event_shape:
        return 0
    return 0 if innermost(fn) == "Delta" else fn.event_shape.numel()


def _is_point(guided: nx.DiGraph, name: str, fns: Mapping[str, Any]) -> bool:
    """Whether the site is a function of what is known, not of another latent."""
    return innermost(fns[name]) == "Delta" and not fns.keys() & nx.ancestors(guided, name)


def _coupled(modelled: nx.DiGraph, name: str) -> bool:
    """Whether something known depends on the site."""
    return any(modelled.nodes[v]["observed"] for v in nx.descendants(modelled, name))


def _any_coupled(modelled: nx.DiGraph, parts: list[str], fns: Mapping[str, Any]) -> bool:
    """Whether the posterior couples sites, or dimensions of a site, that share one draw."""
    data = given(modelled)
    return any(fns[v].event_shape.numel() > 1 and _coupled(modelled, v) for v in parts) or any(
        not dsep.check(modelled, u, v, data) for u, v in combinations(parts, 2)
    )
