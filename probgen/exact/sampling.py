"""Independent samples from a network, given evidence or not."""

from collections.abc import Mapping
from graphlib import TopologicalSorter

import numpy as np

from probgen.exact.network import (
    Array,
    ExactError,
    Network,
    State,
    generator,
    network_of,
    whole,
)
from probgen.exact.plan import planned
from probgen.exact.queries import Do, calibrated, question
from probgen.exact.rows import Rows, evidence_of
from probgen.reasoning.loading import GraphLike
from probgen.reasoning.names import Node


def sample(
    network: GraphLike,
    n: int,
    evidence: Mapping[Node, State] | None = None,
    *,
    do: Do = None,
    seed: int = 0,
    max_bytes: int | None = None,
) -> Rows:
    """Draw n independent rows of p(all nodes | evidence).

    Without evidence a Bayesian network is drawn parents first and takes no inference; otherwise
    clique by clique from the calibrated junction tree (Dawid 1992, section 6). No row is
    rejected, however rare the evidence is.

    Args:
        network: as for `marginals`.
        n: how many rows.
        evidence: {node: state}, one row.
        do: as for `marginals`.
        seed: of the rows.
        max_bytes: as for `marginals`.

    Raises:
        ImpossibleEvidence, TooCostly, UnknownNode, ExactError: as `marginals`.

    >>> rows = sample("asia", 1000, {"xray": "yes"}, seed=1)
    >>> len(rows), set(rows["xray"])
    (1000, {'yes'})
    """
    known = network_of(network)
    found = evidence_of(known, evidence, do)
    if not found.single:
        raise ExactError("expected one {node: state} as evidence; got rows: sample once per row")
    n, rng = whole(n, "n", 0, "rows"), generator(seed)
    codes = {v: np.full(n, code) for v, code in found.picks.items()}
    if known.directed and not found.likely and found.picks.keys() == found.forced:
        _forwards(known, codes, n, rng)
    else:
        plan = planned(known, question(found), max_bytes)
        made = calibrated(known, plan, found).tables
        for clique, table in zip(plan.cliques, made, strict=True):
            _clique(clique.scope, table, frozenset(found.picks), codes, n, rng)
    columns = [codes[v] for v in range(len(known.nodes))]
    return Rows(known.nodes, tuple(known.states), np.stack(columns, 1))


def _forwards(network: Network, codes: dict[int, Array], n: int, rng: np.random.Generator) -> None:
    above = {family[-1]: family[:-1] for family in network.families}
    for v in TopologicalSorter(above).static_order():
        if v not in codes:
            codes[v] = drawn(*network.factors[v], v, codes, n, rng)


def _clique(
    scope: tuple[int, ...],
    table: Array,
    observed: frozenset[int],
    codes: dict[int, Array],
    n: int,
    rng: np.random.Generator,
) -> None:
    """Draw the nodes of a clique that its parent does not have, one given the other."""
    values = table[(*(0 if v in observed else slice(None) for v in scope), 0)]
    axes = tuple(v for v in scope if v not in observed)
    fresh = [v for v in axes if v not in codes]
    for k, v in enumerate(fresh):
        later = tuple(axes.index(u) for u in fresh[k + 1 :])
        left = tuple(u for u in axes if u not in fresh[k + 1 :])
        codes[v] = drawn(left, values.sum(later), v, codes, n, rng)


def drawn(
    axes: tuple[int, ...],
    values: Array,
    v: int,
    codes: dict[int, Array],
    n: int,
    rng: np.random.Generator,
) -> Array:
    """One state of v per row, given the states of the table's other nodes."""
    rows = np.moveaxis(values, axes.index(v), -1).cumsum(-1)
    heights = np.broadcast_to(rows[tuple(codes[u] for u in axes if u != v)], (n, rows.shape[-1]))
    top = heights[:, -1]
    level = np.minimum(rng.random(n) * top, np.nextafter(top, 0))
    return np.asarray((heights <= level[:, None]).sum(1))
