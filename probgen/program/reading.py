"""Pyro programs as graphs: which site depends on which, by provenance and by a probe."""

import inspect
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import networkx as nx
import pyro
import torch
from pyro import poutine
from pyro.infer.inspect import TrackProvenance
from pyro.ops.provenance import detach_provenance, get_provenance, track_provenance
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample
from torch import Tensor
from torch.overrides import TorchFunctionMode

from probgen.graph import GraphError, listed

Program = Callable[..., Any]
Site = Mapping[str, Any]
TRIES = 5
READS = {
    "item", "tolist", "numpy", "__bool__", "__float__", "__int__", "__index__", "__contains__",
    "__format__", "equal", "allclose", "nonzero", "is_nonzero",
}  # fmt: skip
"""Tensor methods by which Python learns a value."""


class ProgramError(GraphError):
    """A program that has no graph: its sites change from run to run."""


class ProgramWarning(UserWarning):
    """What a graph of a program does not know for sure."""


def graph_of(
    model: Program, *args: Any, observed: Iterable[str] = (), seed: int = 0, **kwargs: Any
) -> nx.DiGraph:
    """The graph of a Pyro program: an edge u -> v if v's distribution depends on the value of u.

    Two witnesses are heard. *Provenance* follows values through torch operations; it finds every
    dependence that passes through tensors, and some that cancel. The *probe* changes one site or
    argument, holds all others at their values, runs the program with the same seed, and compares
    every later site's log-density; it finds dependence through Python branches, ``float()``,
    ``.item()``, writes in place and loop counts, if one of its values shows it.

    Args:
        model: a Pyro model or guide.
        args: what it is called with; tensors that a site depends on become nodes.
        observed: sites to mark as observed beside those that the program observes.
        seed: of the values it is run with.
        kwargs: what it is called with, by keyword.

    Returns:
        A directed graph. Nodes have ``kind`` ("latent", "observed", "deterministic", "factor" or
        "argument"), ``observed``, ``distribution``, ``plates`` (names, outermost first) and
        ``parameters`` (names of ``pyro.param``). Edges have ``provenance`` and ``probe``, whether
        either saw them: one that only the probe saw is warned about, one that only provenance
        saw could not be excluded. ``graph["plates"]`` is {plate: size}. ``graph["unexcluded"]``
        lists pairs that neither saw although the program read u's value on the host.

    Raises:
        ProgramError: the set of sites differs from run to run.
        UnknownNode: an observed name that is no site.

    >>> import pyro, pyro.distributions as dist
    >>> def model():
    ...     z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...     return pyro.sample("x", dist.Normal(z, 1.0))
    >>> list(graph_of(model).edges(data=True))
    [('z', 'x', {'provenance': True, 'probe': True})]
    """
    run = _Program(model, args, kwargs, seed)
    found = _Reading.of(run)
    graph = nx.DiGraph(name=getattr(model, "__qualname__", type(model).__name__))
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
        (u, v) for u, v in found.pairs() if u in found.read and u in graph
        and not graph.has_edge(u, v) and v in graph
    ]  # fmt: skip
    _warn(graph)
    return graph


def given(graph: nx.DiGraph) -> list[str]:
    """The nodes that a program's run knows: observed sites, factors and arguments.

    What is independent given the data is ``dsep.check(graph, u, v, given(graph))``.
    """
    return [v for v, known in graph.nodes(data="observed") if known]


class _Program(NamedTuple):
    """A program with what it is called with."""

    call: Program
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    seed: int

    @property
    def arguments(self) -> dict[str, Any]:
        """What holds tensors among the arguments, by name."""
        try:
            bound = inspect.signature(self.call).bind(*self.args, **self.kwargs).arguments
        except (TypeError, ValueError):
            bound = {f"argument {i}": a for i, a in enumerate(self.args)} | dict(self.kwargs)
        named: dict[str, Any] = {}
        for name, value in bound.items():
            several = isinstance(value, tuple) and value == self.args
            named |= {f"{name}[{i}]": v for i, v in enumerate(value)} if several else {name: value}
        return {name: value for name, value in named.items() if _tensors(value)}

    def trace(self, change: Callable[[Any], Any] = lambda value: value, *around: Any) -> Any:
        """One run, same seed, every argument with tensors changed."""
        with quiet(self.seed), ExitStack() as stack:
            for context in (_Drawn(), *around):
                stack.enter_context(context)
            args = [change(a) if _tensors(a) else a for a in self.args]
            kwargs = {k: change(a) if _tensors(a) else a for k, a in self.kwargs.items()}
            return poutine.trace(self.call).get_trace(*args, **kwargs)


class _Reading(NamedTuple):
    """What two witnesses say of a program."""

    trace: Any
    sites: list[str]
    arguments: list[str]
    upstream: dict[str, set[str]]
    parameters: dict[str, list[str]]
    moved: dict[str, set[str]]
    read: set[str]

    @classmethod
    def of(cls, run: _Program) -> "_Reading":
        trace = run.trace()
        sites = _sites(trace)
        _check_sites(sites, _sites(run._replace(seed=run.seed + 1).trace()), "another seed")
        by_identity = {id(value): name for name, value in run.arguments.items()}
        names = {i: _free(name, sites) for i, name in by_identity.items()}
        reads, held = _HostReads(), _Held(_values(trace))
        followed = run.trace(
            lambda a: track_provenance(a, frozenset({names[id(a)]})),
            TrackProvenance(include_deterministic=True),
            held,
            reads,
        )
        upstream = {v: _provenance(followed.nodes[v]) - {v} for v in sites}
        parameters = {v: sorted(n for n in upstream[v] if _is_param(followed, n)) for v in sites}
        arguments = list(names.values())
        known = {*sites, *arguments}
        upstream = {v: found & known for v, found in upstream.items()}
        moved = {u: _probe_site(run, trace, u) for u in sites}
        moved |= {names[i]: _probe_argument(run, trace, i) for i in names}
        return cls(trace, sites, arguments, upstream, parameters, moved, reads.found & known)

    def pairs(self) -> Iterator[tuple[str, str]]:
        """All (u, v) in which v may depend on u: v comes later, or u is an argument."""
        yield from ((u, v) for u in self.arguments for v in self.sites)
        yield from ((u, v) for i, v in enumerate(self.sites) for u in self.sites[:i])

    @property
    def plates(self) -> dict[str, int]:
        stacks = [self.trace.nodes[v]["cond_indep_stack"] for v in self.sites]
        frames = sorted((f for stack in stacks for f in stack if f.vectorized), key=_left_first)
        return {f.name: f.full_size or f.size for f in frames}

    def attributes(self, name: str) -> dict[str, Any]:
        if name in self.arguments:
            return {"kind": "argument", "observed": True, "plates": ()}
        site = self.trace.nodes[name]
        kind = _kind(site)
        frames = sorted((f for f in site["cond_indep_stack"] if f.vectorized), key=_left_first)
        return {
            "kind": kind,
            "observed": kind in ("observed", "factor"),
            "distribution": innermost(site["fn"]),
            "plates": tuple(f.name for f in frames),
            "parameters": self.parameters[name],
        }


class _HostReads(TorchFunctionMode):
    """Which sites' values Python has looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if getattr(function, "__name__", "") in READS:
            for argument in args:
                self.found |= get_provenance(argument)
        return function(*args, **(kwargs or {}))


class _Drawn(Messenger):
    """A value for what has a density but no sampler, an improper prior."""

    def _pyro_sample(self, msg: Any) -> None:
        if innermost(msg["fn"]) == "ImproperUniform" and msg["value"] is None:
            msg["value"], msg["done"] = torch.randn(msg["fn"].shape()), True


class _Held(Messenger):
    """Every site at a value of before; what the program computes for it is only looked at."""

    def __init__(self, values: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.values = values

    def _pyro_sample(self, msg: Any) -> None:
        if msg["name"] in self.values:
            msg["value"], msg["done"] = self.values[msg["name"]], True


def _probe_site(run: _Program, trace: Any, u: str) -> set[str]:
    """Sites whose log-density changes with the value of ``u``, all others held."""
    values = _values(trace)
    later = _sites(trace)[_sites(trace).index(u) + 1 :]
    base = run.trace(lambda a: a, _Held(values))
    moved: set[str] = set()
    for i in range(TRIES):
        other = _other_value(trace.nodes[u], run.seed + 1 + i, i)
        if other is not None:
            moved |= _changed(run, base, later, u, lambda a: a, values | {u: other})
    return moved


def _probe_argument(run: _Program, trace: Any, identity: int) -> set[str]:
    """Sites whose log-density changes with an argument, all sites held."""
    values = _values(trace)
    base = run.trace(lambda a: a, _Held(values))
    moved: set[str] = set()
    for i in range(TRIES):

        def change(a: Any, i: int = i) -> Any:
            return _mapped(a, lambda t: _other_data(t, i)) if id(a) == identity else a

        moved |= _changed(run, base, _sites(trace), "an argument", change, values)
    return moved


def _changed(
    run: _Program,
    base: Any,
    later: list[str],
    what: str,
    change: Callable[[Any], Any],
    values: Mapping[str, Tensor],
) -> set[str]:
    try:
        found = run.trace(change, _Held(values))
    except (RuntimeError, ValueError, IndexError):  # the program does not take such a value
        return set()
    _check_sites(_sites(base), _sites(found), f"another value of {what}")
    return {v for v in later if not _alike(base.nodes[v], found.nodes[v])}


def _alike(a: Site, b: Site) -> bool:
    return all(
        x is y or (isinstance(x, Tensor) and isinstance(y, Tensor) and _equal(x, y)) or _same(x, y)
        for x, y in zip(_looks(a), _looks(b), strict=True)
    )


def _equal(x: Tensor, y: Tensor) -> bool:
    return x.shape == y.shape and bool(torch.isclose(x, y, rtol=1e-6, equal_nan=True).all())


def _same(x: Any, y: Any) -> bool:
    return not isinstance(x, Tensor) and not isinstance(y, Tensor) and bool(x == y)


def _looks(site: Site) -> tuple[Any, ...]:
    """What of a site may depend on others: its density at the held value, mask and scale."""
    return _density(site), site["mask"], site["scale"], site["fn"].event_shape


def _density(site: Site) -> Tensor:
    fn = site["fn"]
    if _kind(site) == "deterministic":
        return fn.base_dist.v if hasattr(fn, "base_dist") else fn.v
    return fn.log_prob(site["value"], *site["args"], **site["kwargs"])


def _provenance(site: Site) -> set[str]:
    parts = (_density(site), site["mask"], site["scale"])
    return set().union(*(get_provenance(part) for part in parts))


def _other_value(site: Site, seed: int, i: int) -> Tensor | None:
    """Another value that the site could have taken; wider ones as ``i`` grows."""
    value, kind = site["value"], _kind(site)
    if kind == "factor" or not value.numel():
        return None
    if kind == "deterministic":
        return _other_data(value, i)
    with quiet(seed):
        if innermost(site["fn"]) == "ImproperUniform":
            return _other_data(value, i)
        drawn = site["fn"](*site["args"], **site["kwargs"])
    if not torch.is_floating_point(drawn) or str(site["fn"].support) != "Real()":
        return drawn
    return value + 4.0**i / 4 * (drawn - value)


def _other_data(t: Tensor, i: int) -> Tensor:
    """Another tensor of its shape, type and, but for floats, range."""
    generator = torch.Generator().manual_seed(i)
    if torch.is_floating_point(t):
        noise = torch.randn(t.shape, generator=generator).to(t)
        return t + 4.0**i / 4 * noise * (t.std() if t.numel() > 1 else t.abs() + 1)
    if t.dtype == torch.bool:
        return ~t
    low, high = int(t.min()), int(t.max())
    return torch.randint(low, high + 2, t.shape, generator=generator).to(t)


@contextmanager
def quiet(seed: int) -> Iterator[None]:
    """Own generators and store, no gradients, no validation."""
    store = pyro.get_param_store()
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng())
        stack.enter_context(torch.no_grad())
        stack.enter_context(pyro.validation_enabled(False))
        stack.enter_context(store.scope(store.get_state()))
        torch.manual_seed(seed)
        yield


def _values(trace: Any) -> dict[str, Tensor]:
    return {v: s["value"] for v, s in trace.nodes.items() if s["type"] == "sample"}


def _sites(trace: Any) -> list[str]:
    return [
        name
        for name, site in trace.nodes.items()
        if site["type"] == "sample" and not site_is_subsample(site)
    ]


def _check_sites(expected: list[str], found: list[str], when: str) -> None:
    if different := [name for name in {**dict.fromkeys(expected), **dict.fromkeys(found)}
                     if (name in expected) != (name in found)]:  # fmt: skip
        raise ProgramError(
            f"expected the same sites in every run; with {when} the program has or lacks "
            f"{listed(different)}: such a program has no one graph"
        )


def _kind(site: Site) -> str:
    if site["infer"].get("_deterministic"):
        return "deterministic"
    if site["is_observed"]:
        return "factor" if innermost(site["fn"]) == "Unit" else "observed"
    return "latent"


def _left_first(frame: Any) -> int:
    return frame.dim


def innermost(fn: Any) -> str:
    """Name of the distribution within ``to_event``, ``mask`` and ``expand``."""
    while type(fn).__name__ in ("Independent", "MaskedDistribution", "ExpandedDistribution"):
        fn = fn.base_dist
    return type(fn).__name__


def _is_param(trace: Any, name: str) -> bool:
    return name in trace.nodes and trace.nodes[name]["type"] == "param"


def _free(name: str, sites: list[str]) -> str:
    """The argument's name, or another one where a site has it."""
    return f"{name} (argument)" if name in sites else name


def _tensors(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_tensors, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_tensors, value))
    return isinstance(value, Tensor) and value.numel() > 0


def _mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Mapping):
        return {k: _mapped(v, change) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_mapped(v, change) for v in value)
    return change(detach_provenance(value)) if isinstance(value, Tensor) else value


def _mark(graph: nx.DiGraph, observed: Iterable[str]) -> None:
    for name in [observed] if isinstance(observed, str) else observed:
        if name not in graph:
            raise ProgramError(f"expected observed sites of {listed(list(graph))}; got {name!r}")
        graph.nodes[name]["observed"] = True
        if graph.nodes[name]["kind"] == "latent":
            graph.nodes[name]["kind"] = "observed"


def _warn(graph: nx.DiGraph) -> None:
    hidden = [f"{u} -> {v}" for u, v, d in graph.edges(data=True) if not d["provenance"]]
    if hidden:
        warnings.warn(
            f"{', '.join(hidden)}: found by the probe alone, the value passes through Python",
            ProgramWarning,
            stacklevel=3,
        )
    if open_pairs := graph.graph["unexcluded"]:
        named = ", ".join(f"{u} -> {v}" for u, v in open_pairs)
        warnings.warn(
            f"the program reads a value on the host; no run showed {named}, which cannot be "
            "excluded",
            ProgramWarning,
            stacklevel=3,
        )
