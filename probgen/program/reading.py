"""Pyro programs as graphs: which site depends on which, by provenance and by a probe."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

import networkx as nx
from pyro.infer.inspect import TrackProvenance
from pyro.ops.provenance import get_provenance, track_provenance
from torch.utils._pytree import tree_leaves

from probgen.program.probing import TRIES, Probe
from probgen.program.running import (
    Held,
    HostReads,
    Invocation,
    Program,
    ProgramError,
    ProgramWarning,
    Run,
    Site,
    alike,
    check_sites,
    differing,
    innermost,
    is_data,
    kind_of,
    unwrapped,
)
from probgen.reasoning import drawing
from probgen.reasoning.names import UnknownNode, listed, shown, suggestion


class ProgramGraph(nx.DiGraph):
    """A program's graph; a notebook shows it as its picture."""

    def _repr_html_(self) -> str:
        open_pairs = self.graph.get("unexcluded")
        unsure = f"<p>cannot be excluded: {escape(_arrows(open_pairs))}</p>" if open_pairs else ""
        return f"<div>{drawing.svg(drawing.picture(self))}{unsure}</div>"


def graph_of(
    model: Program, *args: Any, observed: Iterable[str] = (), seed: int = 0, **kwargs: Any
) -> ProgramGraph:
    """The graph of a Pyro program: an edge u -> v if v's distribution depends on the value of u.

    Two witnesses are heard. *Provenance* follows values through torch operations; it finds every
    dependence that passes through tensors, and some that cancel. The *probe* changes one site or
    argument, holds all others at their values, runs the program with the same seed, and compares
    every later site's log-density, five times from five runs; it finds dependence through Python
    branches, ``float()``, ``.item()``, writes in place and loop counts, if one of its values
    shows it. Parameters, buffers, arguments and generators are left as they were.

    Args:
        model: a Pyro model or guide.
        args: what it is called with; those that hold tensors or arrays of numbers (in lists,
            tuples and dicts too) become nodes where a site depends on them. Other arguments are
            settings, which are held.
        observed: sites to mark as observed beside those that the program observes.
        seed: of the values it is run with.
        kwargs: what it is called with, by keyword.

    Returns:
        A directed graph, which a notebook shows as a picture. Nodes have ``kind`` ("latent",
        "observed", "deterministic", "factor" or "argument"), ``observed``, ``distribution``,
        ``plates`` (names, outermost first) and
        ``parameters`` (names of ``pyro.param``). Edges have ``provenance`` and ``probe``, whether
        either saw them: one that only the probe saw is warned about, one that only provenance
        saw could not be excluded. ``graph["plates"]`` is {plate: size}. ``graph["unexcluded"]``
        lists pairs that neither saw although the program read u's value on the host.

    Raises:
        ProgramError: the set of sites differs from run to run, or the densities do at the same
            values and the same seed.
        UnknownNode: an observed name that is no site.

    >>> import pyro, pyro.distributions as dist
    >>> def model():
    ...     z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...     return pyro.sample("x", dist.Normal(z, 1.0))
    >>> list(graph_of(model).edges(data=True))
    [('z', 'x', {'provenance': True, 'probe': True})]
    """
    found = _Reading.of(Invocation(model, args, kwargs), seed)
    graph = ProgramGraph(name=getattr(model, "__qualname__", type(model).__name__))
    for name in [*found.arguments, *found.sites]:
        graph.add_node(name, **found.attributes(name))
    for u, v in found.pairs():
        by_provenance, by_probe = u in found.upstream[v], v in found.moved[u]
        if by_provenance or by_probe:
            graph.add_edge(u, v, provenance=by_provenance, probe=by_probe)
    graph.remove_nodes_from([a for a in found.arguments if not graph.out_degree(a)])
    _mark(graph, observed)
    graph.graph["plates"] = found.plates
    graph.graph["unexcluded"] = [
        (u, v) for u, v in found.pairs() if u in found.untold[v] and not graph.has_edge(u, v)
    ]
    _warn(graph)
    return graph


def given(graph: nx.DiGraph) -> list[str]:
    """The nodes that a program's run knows: observed sites, factors and arguments.

    What is independent given the data is ``dsep.check(graph, u, v, given(graph))``.
    """
    return [v for v, known in graph.nodes(data="observed") if known]


class _Reading(NamedTuple):
    """What two witnesses say of a program.

    Attributes:
        base: a run of it.
        arguments: names of those that hold data.
        upstream: what each site's distribution hangs on, by provenance.
        parameters: the same, of ``pyro.param``.
        moved: the sites that the probe has seen change with each site or argument.
        untold: for each site, what the witnesses may have missed an effect of.
    """

    base: Run
    arguments: list[str]
    upstream: dict[str, set[str]]
    parameters: dict[str, list[str]]
    moved: dict[str, set[str]]
    untold: dict[str, set[str]]

    @classmethod
    def of(cls, program: Invocation, seed: int) -> "_Reading":
        bases = _bases(program, seed)
        base = bases[0]
        names = {
            a: f"{a} (argument)" if a in base.sites else a
            for a, value in program.arguments.items()
            if any(map(is_data, tree_leaves(value)))
        }
        followed, read = _followed(program, base, seed, names)
        upstream = {v: _provenance(look) - {v} for v, look in followed.looks.items()}
        known = {*names.values(), *base.sites}
        probe = Probe(program, bases, seed, upstream, set().union(*read.values()))
        probe.sites()
        for argument, name in names.items():
            probe.argument(argument, name)
        unseen = probe.untested | {names[a] for a in names if program.holds_arrays(a)}
        return cls(
            base,
            list(names.values()),
            {
                v: {_named(u, names) for u in found - followed.parameters}
                for v, found in upstream.items()
            },
            {v: sorted(found & followed.parameters) for v, found in upstream.items()},
            probe.moved,
            {v: (found | unseen) & known for v, found in read.items()},
        )

    @property
    def sites(self) -> list[str]:
        return list(self.base.sites)

    def pairs(self) -> Iterator[tuple[str, str]]:
        """All (u, v) in which v may depend on u: v comes later, or u is an argument."""
        yield from ((u, v) for u in self.arguments for v in self.sites)
        yield from ((u, v) for i, v in enumerate(self.sites) for u in self.sites[:i])

    @property
    def plates(self) -> dict[str, int]:
        stacks = [site["cond_indep_stack"] for site in self.base.sites.values()]
        frames = sorted((f for stack in stacks for f in stack if f.vectorized), key=_left_first)
        return {f.name: f.full_size or f.size for f in frames}

    def attributes(self, name: str) -> dict[str, Any]:
        if name in self.arguments:
            return {"kind": "argument", "observed": True, "plates": ()}
        site = self.base.sites[name]
        kind = "deterministic" if _restates(site) else kind_of(site)
        frames = sorted((f for f in site["cond_indep_stack"] if f.vectorized), key=_left_first)
        return {
            "kind": kind,
            "observed": kind in ("observed", "factor"),
            "distribution": innermost(site["fn"]),
            "plates": tuple(f.name for f in frames),
            "parameters": self.parameters[name],
        }


def _bases(program: Invocation, seed: int) -> list[Run]:
    """Runs from different seeds, each repeated with its own values held."""
    drawn = [program.run(seed + i) for i in range(TRIES)]
    for run in drawn[1:]:
        check_sites(drawn[0].sites, run.sites, "another seed")
    bases = [program.run(seed, held=Held(run.values)) for run in drawn]
    for a, b in zip(bases, drawn, strict=True):
        check_sites(b.sites, a.sites, "its own values again")
    again = program.run(seed, held=Held(drawn[0].values))
    check_sites(bases[0].sites, again.sites, "its own values again")
    if moving := differing(bases[0], again):
        raise ProgramError(
            "expected the same densities from the same values and the same seed; those of "
            f"{listed(sorted(moving))} differ from run to run: the program keeps a state or has "
            "a source of randomness of its own"
        )
    return bases


def _followed(
    program: Invocation, base: Run, seed: int, names: Mapping[str, str]
) -> tuple[Run, dict[str, set[str]]]:
    """A run that records what each density hangs on, and what Python has looked at before it."""
    reads = HostReads()
    held = Held(base.values, reads=reads)
    follow = TrackProvenance(include_deterministic=True)

    def mark(name: str, value: Any) -> Any:
        return track_provenance(value, frozenset({_Argument(name)})) if name in names else value

    try:
        run = program.run(seed, follow, reads, held=held, change=mark)
    except Exception as error:  # noqa: BLE001
        warnings.warn(
            f"provenance cannot follow the program ({type(error).__name__}: {error}); edges are "
            "those that the probe has seen",
            ProgramWarning,
            stacklevel=5,
        )
        return base, {v: {*base.sites, *names.values()} for v in base.sites}
    return run, {v: {_named(u, names) for u in held.read[v]} for v in base.sites}


class _Argument(NamedTuple):
    """An argument, apart from a site or parameter of the same name."""

    name: str


def _named(u: "str | _Argument", names: Mapping[str, str]) -> str:
    return names[u.name] if isinstance(u, _Argument) else u


def _provenance(look: tuple[Any, ...]) -> set[str]:
    """What a site hangs on; an argument that is observed is no cause of the site."""
    *distribution, observation = look
    observed = {u for u in get_provenance(observation) if not isinstance(u, _Argument)}
    return observed.union(*map(get_provenance, distribution))


def _restates(site: Site) -> bool:
    """Whether a site observes what it is computed to be, as a reparametrised one does."""
    fn = site["fn"]
    if not site["is_observed"] or innermost(fn) != "Delta":
        return False
    return alike(site["value"].detach(), unwrapped(fn).v.detach())


def _left_first(frame: Any) -> int:
    return frame.dim


def _mark(graph: nx.DiGraph, observed: Iterable[str]) -> None:
    for name in [observed] if isinstance(observed, str) else observed:
        if name not in graph:
            raise UnknownNode(
                f"expected observed sites; got {shown(name)!r}{suggestion(name, graph)}"
            )
        graph.nodes[name]["observed"] = True
        if graph.nodes[name]["kind"] == "latent":
            graph.nodes[name]["kind"] = "observed"


def _warn(graph: nx.DiGraph) -> None:
    hidden = [(u, v) for u, v, seen in graph.edges(data="provenance") if not seen]
    if hidden:
        warnings.warn(
            f"{_arrows(hidden)}: found by the probe alone, the value passes through Python",
            ProgramWarning,
            stacklevel=3,
        )
    if open_pairs := graph.graph["unexcluded"]:
        warnings.warn(
            "the program reads a value on the host, or could not be run with another one; no run "
            f"showed {_arrows(open_pairs)}, which cannot be excluded",
            ProgramWarning,
            stacklevel=3,
        )


def _arrows(pairs: Sequence[tuple[str, str]]) -> str:
    more = f" and {len(pairs) - 8} more" if len(pairs) > 8 else ""
    return ", ".join(f"{u} -> {v}" for u, v in pairs[:8]) + more
