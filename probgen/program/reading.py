"""Pyro programs as graphs: which site depends on which, by provenance and by a probe."""

import inspect
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from html import escape
from random import Random
from typing import Any, NamedTuple

import networkx as nx
import numpy as np
import pyro
import torch
from pyro import poutine
from pyro.infer.inspect import TrackProvenance
from pyro.ops.provenance import get_provenance, track_provenance
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample
from pyro.util import get_rng_state, set_rng_state
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from probgen.graph import GraphError, UnknownNode, listed, shown, suggestion
from probgen.reasoning import drawing

Program = Callable[..., Any]
Site = Mapping[str, Any]
TRIES = 5
GROUPS = 16
"""Up to so many sites are probed one at a time; of more, some that share no child together."""
READS = {
    "item", "tolist", "numpy", "tensor", "__array__", "__bool__", "__float__", "__int__",
    "__index__", "__contains__", "__format__", "__setitem__", "equal", "allclose", "nonzero",
    "is_nonzero",
}  # fmt: skip
"""Torch functions by which Python learns a value, or a tensor takes it in without a trace."""


class ProgramError(GraphError):
    """A program that has no graph: its sites or densities change from run to run."""


class ProgramWarning(UserWarning):
    """What a graph of a program does not know for sure."""


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


class _Run(NamedTuple):
    """One run: its sites, their values, and what of each may depend on others."""

    sites: Mapping[str, Site]
    values: dict[str, Tensor]
    looks: dict[str, tuple[Any, ...]]
    parameters: frozenset[str]


class Invocation(NamedTuple):
    """A program with what it is called with."""

    call: Program
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    @property
    def arguments(self) -> dict[str, Any]:
        """All arguments by name, in order."""
        called = self.call.forward if isinstance(self.call, nn.Module) else self.call
        try:
            known = [*inspect.signature(called).parameters.values()]
        except (TypeError, ValueError):
            known = []
        names = [p.name for p in known if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        star = next((p.name for p in known if p.kind is p.VAR_POSITIONAL), "argument")
        names += [f"{star}[{i}]" for i in range(len(self.args) - len(names))]
        return dict(zip(names, self.args, strict=False)) | dict(self.kwargs)

    def holds_arrays(self, argument: str) -> bool:
        """Whether an argument has arrays, which provenance cannot follow."""
        return any(isinstance(a, np.ndarray) for a in tree_leaves(self.arguments[argument]))

    def run(
        self,
        seed: int,
        *around: Any,
        held: "_Held | None" = None,
        change: Callable[[str, Any], Any] = lambda _, value: value,
    ) -> _Run:
        """One run with arguments changed, and the densities of the held values."""
        with quiet(seed), _buffers_kept(self.call), ExitStack() as stack:
            held = held or _Held({})
            for context in (_Drawn(), *around, held):
                stack.enter_context(context)
            values = [change(n, tree_map(_copied, a)) for n, a in self.arguments.items()]
            n = len(self.args)
            kwargs = dict(zip(self.kwargs, values[n:], strict=True))
            trace = poutine.trace(self.call).get_trace(*values[:n], **kwargs)
            nodes: Mapping[str, Any] = trace.nodes
            sampled = {v: s for v, s in nodes.items() if s["type"] == "sample"}
            sites = {v: s for v, s in sampled.items() if not site_is_subsample(s)}
            looks = {v: _looks(v, s, held) for v, s in sites.items()}
        drawn = {v: s["value"].detach() for v, s in sampled.items()}
        return _Run(sites, drawn, looks, frozenset(trace.param_nodes))


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

    base: _Run
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
            if any(map(_is_data, tree_leaves(value)))
        }
        followed, read = _followed(program, base, seed, names)
        upstream = {v: _provenance(look) - {v} for v, look in followed.looks.items()}
        known = {*names.values(), *base.sites}
        probe = _Probe(program, bases, seed, upstream, set().union(*read.values()))
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
        kind = "deterministic" if _restates(site) else _kind(site)
        frames = sorted((f for f in site["cond_indep_stack"] if f.vectorized), key=_left_first)
        return {
            "kind": kind,
            "observed": kind in ("observed", "factor"),
            "distribution": innermost(site["fn"]),
            "plates": tuple(f.name for f in frames),
            "parameters": self.parameters[name],
        }


def _bases(program: Invocation, seed: int) -> list[_Run]:
    """Runs from different seeds, each repeated with its own values held."""
    drawn = [program.run(seed + i) for i in range(TRIES)]
    for run in drawn[1:]:
        _check_sites(drawn[0].sites, run.sites, "another seed")
    bases = [program.run(seed, held=_Held(run.values)) for run in drawn]
    for a, b in zip(bases, drawn, strict=True):
        _check_sites(b.sites, a.sites, "its own values again")
    again = program.run(seed, held=_Held(drawn[0].values))
    _check_sites(bases[0].sites, again.sites, "its own values again")
    if moving := _differing(bases[0], again):
        raise ProgramError(
            "expected the same densities from the same values and the same seed; those of "
            f"{listed(sorted(moving))} differ from run to run: the program keeps a state or has "
            "a source of randomness of its own"
        )
    return bases


def _followed(
    program: Invocation, base: _Run, seed: int, names: Mapping[str, str]
) -> tuple[_Run, dict[str, set[str]]]:
    """A run that records what each density hangs on, and what Python has looked at before it."""
    reads = _HostReads()
    held = _Held(base.values, reads=reads)
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


class _Probe:
    """Changes one thing, holds all others, and looks at every site's density."""

    def __init__(
        self,
        program: Invocation,
        bases: Sequence[_Run],
        seed: int,
        upstream: Mapping[str, set[str]],
        reads: set[str],
    ) -> None:
        self._program, self._bases, self._seed, self._reads = program, bases, seed, reads
        self._below: dict[str, set[str]] = defaultdict(set)
        for v, above in upstream.items():
            for u in above:
                self._below[u].add(v)
        self.moved: dict[str, set[str]] = defaultdict(set)
        self.untested: set[str] = set()

    def sites(self) -> None:
        """Probe every site that can have another value."""
        self.untested |= {v for v, s in self._bases[0].sites.items() if _kind(s) != "factor"}
        for i in range(TRIES):
            for group in self._groups(i):
                self._probe(i, group)

    def _groups(self, i: int) -> list[list[str]]:
        """Sites that share no child by provenance; alone if Python has looked at the value."""
        sites = list(self._bases[0].sites)
        most = -(-len(sites) // GROUPS) if len(sites) > GROUPS else 1
        groups, children = list[list[str]](), list[set[str]]()
        for u in Random(i).sample(sites, len(sites)):
            below = self._below[u]
            for group, taken in zip(groups, children, strict=True):
                if len(group) < most and u not in self._reads and taken.isdisjoint(below):
                    group.append(u)
                    taken |= below
                    break
            else:
                groups.append([u])
                children.append(set(below) if u not in self._reads else set(sites))
        return groups

    def _probe(self, i: int, group: list[str]) -> None:
        base = self._bases[i]
        values = {u: _other_value(base.sites[u], self._seed + TRIES + i, i) for u in group}
        others = {u: value for u, value in values.items() if value is not None}
        if not others:
            return
        found = self._changed(_Held(base.values, others), base)
        if found is not None:
            _check_sites(base.sites, found.sites, f"another value of {listed(others)}")
        moved = _differing(base, found) if found else set()
        if len(others) > 1 and (
            not found or moved - set().union(*(self._below[u] for u in others))
        ):
            for u in others:
                self._probe(i, [u])
        elif found:
            self.untested -= others.keys()
            for u in others:
                self.moved[u] |= moved if len(others) == 1 else moved & self._below[u]

    def argument(self, argument: str, name: str) -> None:
        """Probe an argument; what it makes of the sites themselves is none of the graph's."""
        self.untested.add(name)
        for i, base in enumerate(self._bases):

            def change(a: str, value: Any, i: int = i) -> Any:
                return tree_map(lambda t: _other_data(t, i), value) if a == argument else value

            found = self._changed(_Held(base.values), base, change)
            if found and found.sites.keys() == base.sites.keys():
                self.moved[name] |= _differing(base, found, observations=False)
                self.untested.discard(name)

    def _changed(
        self, held: "_Held", base: _Run, change: Callable[[str, Any], Any] = lambda _, a: a
    ) -> _Run | None:
        held.tolerant = True
        try:
            return self._program.run(self._seed, held=held, change=change)
        except Exception:  # noqa: BLE001  the program does not take such a value
            return None


class _HostReads(TorchFunctionMode):
    """Which sites' values Python has looked at, or were written into a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name = getattr(function, "__name__", "")
        if name in READS:
            self.found |= get_provenance([*args])
        elif (name.endswith("_") and not name.endswith("__")) or "out" in (kwargs or {}):
            self.found |= get_provenance([*args[1:]])
        return function(*args, **(kwargs or {}))


class _Drawn(Messenger):
    """A value for what has a density but no sampler, an improper prior."""

    def _pyro_sample(self, msg: Any) -> None:
        if innermost(msg["fn"]) == "ImproperUniform" and msg["value"] is None:
            msg["value"], msg["done"] = torch.randn(msg["fn"].shape()), True


class _Held(Messenger):
    """Every site at a value of before, some at another; their observations are only looked at.

    Attributes:
        before: the values at which densities are compared.
        observations: what the program observes, which may hang on its latent sites.
        read: for each site, what Python has looked at before it, and while it is scored.
        tolerant: whether a value that a site cannot score counts as a look of its own.
    """

    def __init__(
        self,
        before: Mapping[str, Tensor],
        other: Mapping[str, Tensor] | None = None,
        reads: _HostReads | None = None,
    ) -> None:
        super().__init__()
        self.before, self._values = before, {**before, **(other or {})}
        self.observations: dict[str, Tensor] = {}
        self.reads, self.read = reads or _HostReads(), dict[str, set[Any]]()
        self.tolerant = False

    def _pyro_sample(self, msg: Any) -> None:
        self.read[msg["name"]] = set(self.reads.found)
        if msg["name"] in self._values:
            if msg["is_observed"]:
                self.observations[msg["name"]] = msg["value"]
            msg["value"], msg["done"] = self._values[msg["name"]], True


def _looks(name: str, site: Site, held: _Held) -> tuple[Any, ...]:
    """What of a site may depend on others: its density at the held value, mask, scale, shape."""
    fn, held.reads.found = site["fn"], held.read[name]
    try:
        density = _density(site, held.before.get(name, site["value"]))
    except (RuntimeError, ValueError, IndexError):
        if not held.tolerant:
            raise
        density = None
    observation = None if _kind(site) == "deterministic" else held.observations.get(name)
    return density, site["mask"], site["scale"], fn.batch_shape, fn.event_shape, observation


def _density(site: Site, value: Tensor) -> Tensor:
    if _kind(site) == "deterministic":
        return _unwrapped(site["fn"]).v
    return site["fn"].log_prob(value, *site["args"], **site["kwargs"])


def _differing(a: _Run, b: _Run, observations: bool = True) -> set[str]:
    """Sites that look otherwise."""
    kept = slice(None if observations else -1)
    return {
        v
        for v, look in a.looks.items()
        if not all(_alike(*pair) for pair in zip(look[kept], b.looks[v][kept], strict=True))
    }


def _alike(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        same = a.shape == b.shape and a.dtype == b.dtype
        return same and bool(torch.isclose(a, b, rtol=1e-6, equal_nan=True).all())
    return not isinstance(a, Tensor) and not isinstance(b, Tensor) and bool(a == b)


def _provenance(look: tuple[Any, ...]) -> set[str]:
    """What a site hangs on; an argument that is observed is no cause of the site."""
    *distribution, observation = look
    observed = {u for u in get_provenance(observation) if not isinstance(u, _Argument)}
    return observed.union(*map(get_provenance, distribution))


def _other_value(site: Site, seed: int, i: int) -> Tensor | None:
    """Another value that the site could have taken; wider ones as ``i`` grows."""
    value, kind, fn = site["value"].detach(), _kind(site), site["fn"]
    if kind == "factor" or not value.numel():
        return None
    if kind == "deterministic" or innermost(fn) in ("Delta", "ImproperUniform"):
        return _other_data(value, i)
    if (other := _next_state(fn, value, i)) is not None:
        return other
    with quiet(seed):
        drawn = fn(*site["args"], **site["kwargs"]).detach()
    if not torch.is_floating_point(drawn) or "Real()" not in str(fn.support):
        return drawn
    return value + 4.0**i / 4 * (drawn - value)


def _next_state(fn: Any, value: Tensor, i: int) -> Tensor | None:
    """The value some states further on, however improbable, where there are finitely many."""
    fn = _unwrapped(fn)
    if not fn.has_enumerate_support:
        return None
    states = fn.enumerate_support(expand=False)
    if len(states) < 2:
        return None
    event = tuple(range(states.dim() - len(fn.event_shape), states.dim()))
    same = (states == value).all(event, keepdim=True) if event else states == value
    at = (same.int().argmax(0) + 1 + i % (len(states) - 1)) % len(states)
    if not event:
        return states.reshape(-1)[at]
    return states.reshape(len(states), -1)[at.squeeze(tuple(range(-len(event), 0)))]


def _other_data(data: Any, i: int) -> Any:
    """Another tensor or array of its shape, type and, but for floats, range."""
    if not _is_data(data):
        return data
    if isinstance(data, np.ndarray):
        return _other_data(torch.from_numpy(data.copy()), i).numpy()
    generator, t = torch.Generator().manual_seed(i), data.detach()
    if t.is_floating_point() or t.is_complex():
        noise = torch.randn(t.shape, generator=generator, dtype=t.dtype).to(t.device)
        return t + 4.0**i / 4 * noise * _spread(t)
    if t.dtype == torch.bool:
        return ~t if i == 0 else torch.rand(t.shape, generator=generator).to(t.device) < 0.5
    low, high = int(t.min()), int(t.max())
    if low == high:
        return torch.full_like(t, i % low if low > 0 else low + 1)
    return torch.randint(low, high + 1, t.shape, generator=generator).to(t)


def _spread(t: Tensor) -> Tensor:
    """The standard deviation of what is finite; the magnitude where it is constant."""
    size = t[t.isfinite()].abs()
    spread = size.std() if size.numel() > 1 else size.new_zeros(())
    return spread if spread > 0 else size.amax() + 1 if size.numel() else spread + 1


def _is_data(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.size > 0 and value.dtype.kind in "biufc"
    return isinstance(value, Tensor) and value.numel() > 0


def _copied(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.clone()
    return value.copy() if isinstance(value, np.ndarray) else value


@contextmanager
def quiet(seed: int) -> Iterator[None]:
    """Own generators and store, no validation."""
    store, state = pyro.get_param_store(), get_rng_state()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices))
        stack.callback(set_rng_state, state)
        stack.enter_context(pyro.validation_enabled(False))
        stack.enter_context(store.scope(store.get_state()))
        pyro.set_rng_seed(seed)
        yield


@contextmanager
def _buffers_kept(call: Program) -> Iterator[None]:
    """Buffers of all modules that run stay as they were: running statistics, say."""
    found: dict[tuple[int, str], tuple[nn.Module, str, Tensor, Tensor]] = {}

    def note(module: nn.Module, _: Any = None) -> None:
        for name, value in module._buffers.items():
            if value is not None and (id(module), name) not in found:
                found[id(module), name] = module, name, value, value.clone()

    owner = getattr(call, "__self__", call)
    for module in owner.modules() if isinstance(owner, nn.Module) else ():
        note(module)
    hook = register_module_forward_pre_hook(note)
    try:
        yield
    finally:
        hook.remove()
        with torch.no_grad():
            for module, name, value, before in found.values():
                module._buffers[name] = value
                if not torch.equal(value, before):
                    value.copy_(before)


def _check_sites(expected: Mapping[str, Any], found: Mapping[str, Any], when: str) -> None:
    if different := [v for v in {**expected, **found} if (v in expected) != (v in found)]:
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


def _restates(site: Site) -> bool:
    """Whether a site observes what it is computed to be, as a reparametrised one does."""
    fn = site["fn"]
    if not site["is_observed"] or innermost(fn) != "Delta":
        return False
    return _alike(site["value"].detach(), _unwrapped(fn).v.detach())


def _left_first(frame: Any) -> int:
    return frame.dim


def innermost(fn: Any) -> str:
    """Name of the distribution within ``to_event``, ``mask`` and ``expand``."""
    return type(_unwrapped(fn)).__name__


def _unwrapped(fn: Any) -> Any:
    while type(fn).__name__ in ("Independent", "MaskedDistribution", "ExpandedDistribution"):
        fn = fn.base_dist
    return fn


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
