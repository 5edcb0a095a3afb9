"""The probe: one value changed, all others held, and which densities move."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from probgen.program.running import (
    Held,
    Invocation,
    Run,
    Site,
    check_sites,
    differing,
    innermost,
    is_data,
    kind_of,
    quiet,
    unwrapped,
)
from probgen.reasoning.names import listed

TRIES = 5
"""Runs that a dependence is looked for in."""
GROUPS = 16
"""Up to so many sites are probed one at a time; of more, some that share no child together."""


class Probe:
    """Changes one thing, holds all others, and looks at every site's density."""

    def __init__(
        self,
        program: Invocation,
        bases: Sequence[Run],
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
        self.untested |= {v for v, s in self._bases[0].sites.items() if kind_of(s) != "factor"}
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
        found = self._changed(Held(base.values, others), base)
        if found is not None:
            check_sites(base.sites, found.sites, f"another value of {listed(others)}")
        moved = differing(base, found) if found else set()
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

            found = self._changed(Held(base.values), base, change)
            if found and found.sites.keys() == base.sites.keys():
                self.moved[name] |= differing(base, found, observations=False)
                self.untested.discard(name)

    def _changed(
        self, held: "Held", base: Run, change: Callable[[str, Any], Any] = lambda _, a: a
    ) -> Run | None:
        held.tolerant = True
        try:
            return self._program.run(self._seed, held=held, change=change)
        except Exception:  # noqa: BLE001  the program does not take such a value
            return None


def _other_value(site: Site, seed: int, i: int) -> Tensor | None:
    """Another value that the site could have taken; wider ones as ``i`` grows."""
    value, kind, fn = site["value"].detach(), kind_of(site), site["fn"]
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
    fn = unwrapped(fn)
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
    if not is_data(data):
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
