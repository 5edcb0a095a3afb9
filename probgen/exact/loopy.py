"""Posteriors by loopy belief propagation: exact on trees, an approximation where it converges."""

import warnings
from collections.abc import Mapping
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from probgen import ProbgenWarning
from probgen.exact.network import (
    Array,
    ExactError,
    ImpossibleEvidence,
    Network,
    State,
    closeness,
    network_of,
    whole,
)
from probgen.exact.propagation import Evidence
from probgen.exact.queries import Do, impossible
from probgen.exact.rows import evidence_of
from probgen.reasoning.loading import GraphLike
from probgen.reasoning.names import Node


class NotConverged(ProbgenWarning):
    """Messages still change: the beliefs are those of the last step, not of a fixed point."""


class LoopyBeliefs(NamedTuple):
    """Approximate posteriors; truthy if the messages converged.

    Attributes:
        marginals: {node: {state: belief}}.
        converged: whether no message changed by more than the tolerance in the last step.
        steps: how many were taken.
        change: the largest change of a message in the last one.
    """

    marginals: dict[Node, dict[State, float]]
    converged: bool
    steps: int
    change: float

    def __bool__(self) -> bool:
        return self.converged

    def __str__(self) -> str:
        verb = "converged" if self else "not converged"
        return f"{verb} after {self.steps:,} steps, largest change {self.change:.2g}"


def belief_propagation(
    network: GraphLike,
    evidence: Mapping[Node, Any] | None = None,
    *,
    steps: int = 200,
    tolerance: float = 1e-8,
    damping: float = 0.0,
    do: Do = None,
) -> LoopyBeliefs:
    """Approximate posteriors from messages between nodes and tables, passed until they settle.

    The sum-product algorithm (Kschischang, Frey and Loeliger 2001), one table after the other,
    forwards and backwards. On a tree of tables the beliefs are exact; with loops a fixed point is
    one of the Bethe free energy (Yedidia, Freeman and Weiss 2005) and has no bound of its error:
    `likelihood_weighting` has one. Memory is that of the tables.

    Args:
        network: as for `marginals`.
        evidence: as for `marginals`, one row.
        steps: at most so many; in each every message is sent once.
        tolerance: largest change of a message that counts as none.
        damping: share of its old value that a message keeps; 0.5 often settles what oscillates.
        do: as for `marginals`.

    Warns:
        NotConverged: messages still change after the last step.

    Raises:
        ImpossibleEvidence: no state of a node agrees with its neighbours.
        UnknownNode, ExactError: as `marginals`; fewer than one step, damping outside [0, 1).

    >>> found = belief_propagation("asia", {"dysp": "yes"})
    >>> str(found).partition(" after")[0], round(found.marginals["bronc"]["yes"], 2)
    ('converged', 0.82)
    """
    known = network_of(network)
    steps, tolerance = whole(steps, "steps", 1, "step"), closeness(tolerance)
    if not isinstance(damping, Real) or not 0 <= damping < 1:
        raise ExactError(f"expected damping in [0, 1); got {damping!r}")
    found = evidence_of(known, evidence, do)
    if not found.single:
        raise ExactError("expected one {node: state} as evidence; got rows: ask once per row")
    state = _Messages(known, found)
    change = np.inf
    for step in range(1, steps + 1):
        change = state.step(damping, backwards=step % 2 == 0)
        if change <= tolerance:
            break
    beliefs = LoopyBeliefs(state.marginals(), change <= tolerance, step, change)
    if not beliefs:
        warnings.warn(
            f"belief propagation has {beliefs}: raise steps= or damping=, or ask "
            "likelihood_weighting",
            NotConverged,
            stacklevel=2,
        )
    return beliefs


class _Messages:
    """Logarithms of the messages from every table to every node, normalised."""

    def __init__(self, network: Network, evidence: Evidence) -> None:
        self.network, self.evidence = network, evidence
        self.tables = _tables(network, evidence)
        self.sent = [
            [np.full(network.cards[v], -np.log(network.cards[v])) for v in scope]
            for scope, _ in self.tables
        ]
        self.near: dict[int, list[tuple[int, int]]] = {}
        for f, (scope, _) in enumerate(self.tables):
            for i, v in enumerate(scope):
                self.near.setdefault(v, []).append((f, i))

    def step(self, damping: float, backwards: bool) -> float:
        """Send every message once; the largest change of one."""
        places = range(len(self.tables))
        order = reversed(places) if backwards else places
        return max((self._send(f, damping) for f in order), default=0.0)

    def _send(self, f: int, damping: float) -> float:
        scope, table = self.tables[f]
        arriving = [self._arriving(v, f) for v in scope]
        change = 0.0
        for i in range(len(scope)):
            product = table
            for j, message in enumerate(arriving):
                if j != i:
                    shape = [-1 if k == j else 1 for k in range(len(scope))]
                    product = product * message.reshape(shape)
            fresh = self._normalised(product.sum(tuple(j for j in range(len(scope)) if j != i)))
            before = np.exp(self.sent[f][i])
            fresh = (1 - damping) * fresh + damping * before
            change = max(change, float(np.abs(fresh - before).max()))
            with np.errstate(divide="ignore"):
                self.sent[f][i] = np.log(fresh)
        return change

    def _arriving(self, v: int, without: int) -> Array:
        """What all other tables say of a node."""
        total = np.zeros(self.network.cards[v])
        for f, i in self.near[v]:
            if f != without:
                total = total + self.sent[f][i]
        return self._from_logs(total)

    def _from_logs(self, logs: Array) -> Array:
        top = logs.max()
        if top == -np.inf:
            raise ImpossibleEvidence(impossible(self.network, self.evidence, 0))
        return self._normalised(np.exp(logs - top))

    def _normalised(self, values: Array) -> Array:
        total = values.sum()
        if total <= 0:
            raise ImpossibleEvidence(impossible(self.network, self.evidence, 0))
        return np.asarray(values / total)

    def marginals(self) -> dict[Node, dict[State, float]]:
        """The normalised product of the messages to each node."""
        known, found = self.network, {}
        for v, node in enumerate(known.nodes):
            if v in self.evidence.picks:
                values = np.eye(known.cards[v])[self.evidence.picks[v]]
            else:
                values = self._arriving(v, -1)
            found[node] = dict(zip(known.states[v], values.tolist(), strict=True))
        return found


def _tables(network: Network, evidence: Evidence) -> list[tuple[tuple[int, ...], Array]]:
    """Every table at the observed states, and the likelihoods of soft evidence as tables."""
    made = []
    for f, (axes, values) in enumerate(network.factors):
        if network.directed and f in evidence.forced:
            continue
        cut = tuple(evidence.picks.get(v, slice(None)) for v in axes)
        made.append((tuple(v for v in axes if v not in evidence.picks), values[cut]))
    made += [((v,), like[:, 0]) for v, like in evidence.likely.items()]
    if any(not scope and values <= 0 for scope, values in made):
        raise ImpossibleEvidence(impossible(network, evidence, 0))
    return [(scope, values) for scope, values in made if scope]
