"""One run of a program under control: its values held, what each site hangs on looked at."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import numpy as np
import pyro
import torch
from pyro import poutine
from pyro.ops.provenance import get_provenance
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample
from pyro.util import get_rng_state, set_rng_state
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from probgen import ProbgenWarning
from probgen.reasoning.names import GraphError, listed

Program = Callable[..., Any]
Site = Mapping[str, Any]
READS = {
    "item", "tolist", "numpy", "tensor", "__array__", "__bool__", "__float__", "__int__",
    "__index__", "__contains__", "__format__", "__setitem__", "equal", "allclose", "nonzero",
    "is_nonzero",
}  # fmt: skip
"""Torch functions by which Python learns a value, or a tensor takes it in without a trace."""


class ProgramError(GraphError):
    """A program that has no graph: its sites or densities change from run to run."""


class ProgramWarning(ProbgenWarning):
    """What a graph of a program does not know for sure."""


class Run(NamedTuple):
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
        held: "Held | None" = None,
        change: Callable[[str, Any], Any] = lambda _, value: value,
    ) -> Run:
        """One run with arguments changed, and the densities of the held values."""
        with quiet(seed), _buffers_kept(self.call), ExitStack() as stack:
            held = held or Held({})
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
        return Run(sites, drawn, looks, frozenset(trace.param_nodes))


class HostReads(TorchFunctionMode):
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


class Held(Messenger):
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
        reads: HostReads | None = None,
    ) -> None:
        super().__init__()
        self.before, self._values = before, {**before, **(other or {})}
        self.observations: dict[str, Tensor] = {}
        self.reads, self.read = reads or HostReads(), dict[str, set[Any]]()
        self.tolerant = False

    def _pyro_sample(self, msg: Any) -> None:
        self.read[msg["name"]] = set(self.reads.found)
        if msg["name"] in self._values:
            if msg["is_observed"]:
                self.observations[msg["name"]] = msg["value"]
            msg["value"], msg["done"] = self._values[msg["name"]], True


def _looks(name: str, site: Site, held: Held) -> tuple[Any, ...]:
    """What of a site may depend on others: its density at the held value, mask, scale, shape."""
    fn, held.reads.found = site["fn"], held.read[name]
    try:
        density = _density(site, held.before.get(name, site["value"]))
    except (RuntimeError, ValueError, IndexError):
        if not held.tolerant:
            raise
        density = None
    observation = None if kind_of(site) == "deterministic" else held.observations.get(name)
    return density, site["mask"], site["scale"], fn.batch_shape, fn.event_shape, observation


def _density(site: Site, value: Tensor) -> Tensor:
    if kind_of(site) == "deterministic":
        return unwrapped(site["fn"]).v
    return site["fn"].log_prob(value, *site["args"], **site["kwargs"])


def differing(a: Run, b: Run, observations: bool = True) -> set[str]:
    """Sites that look otherwise."""
    kept = slice(None if observations else -1)
    return {
        v
        for v, look in a.looks.items()
        if not all(alike(*pair) for pair in zip(look[kept], b.looks[v][kept], strict=True))
    }


def alike(a: Any, b: Any) -> bool:
    """Whether two looks are equal, tensors up to rounding."""
    if a is b:
        return True
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        same = a.shape == b.shape and a.dtype == b.dtype
        return same and bool(torch.isclose(a, b, rtol=1e-6, equal_nan=True).all())
    return not isinstance(a, Tensor) and not isinstance(b, Tensor) and bool(a == b)


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


def check_sites(expected: Mapping[str, Any], found: Mapping[str, Any], when: str) -> None:
    """Raise a ProgramError unless two runs have the same sites."""
    if different := [v for v in {**expected, **found} if (v in expected) != (v in found)]:
        raise ProgramError(
            f"expected the same sites in every run; with {when} the program has or lacks "
            f"{listed(different)}: such a program has no one graph"
        )


def kind_of(site: Site) -> str:
    """What a site is: "latent", "observed", "deterministic" or "factor"."""
    if site["infer"].get("_deterministic"):
        return "deterministic"
    if site["is_observed"]:
        return "factor" if innermost(site["fn"]) == "Unit" else "observed"
    return "latent"


def innermost(fn: Any) -> str:
    """Name of the distribution within ``to_event``, ``mask`` and ``expand``."""
    return type(unwrapped(fn)).__name__


def unwrapped(fn: Any) -> Any:
    """The distribution within ``to_event``, ``mask`` and ``expand``."""
    while type(fn).__name__ in ("Independent", "MaskedDistribution", "ExpandedDistribution"):
        fn = fn.base_dist
    return fn


def is_data(value: Any) -> bool:
    """Whether an argument can be changed as data: a tensor, or an array of numbers."""
    if isinstance(value, np.ndarray):
        return value.size > 0 and value.dtype.kind in "biufc"
    return isinstance(value, Tensor) and value.numel() > 0


def _copied(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.clone()
    return value.copy() if isinstance(value, np.ndarray) else value
