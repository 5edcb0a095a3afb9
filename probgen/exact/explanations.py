"""The most probable states of all nodes, or of some with the others summed out."""

from collections.abc import Mapping, Sequence
from math import exp
from typing import Any, NamedTuple

import numpy as np

from probgen.exact.network import (
    ExactError,
    Factor,
    ImpossibleEvidence,
    Network,
    State,
    network_of,
)
from probgen.exact.plan import Plan, Question, piece, planned
from probgen.exact.propagation import GREATEST, LOGS, Beliefs, Evidence, beliefs, sweeps, tables
from probgen.exact.queries import Do, asked_for, impossible, question
from probgen.exact.rows import evidence_of
from probgen.reasoning.loading import GraphLike
from probgen.reasoning.names import Node

TIE = 1e-9
"""Nats within which two explanations are equally probable."""


class Explanation(NamedTuple):
    """The most probable states, given the evidence.

    Attributes:
        states: {node: state}, of all nodes with the evidence included, or of those asked for.
        probability: of these states given the evidence.
        log_joint: log of p(these states, evidence) in nats; of all nodes, the log of the product
            of all tables at these states.
        ties: {node: states} where another state is as probable: the explanation isn't unique.
    """

    states: dict[Node, State]
    probability: float
    log_joint: float
    ties: dict[Node, tuple[State, ...]]


def explanation(
    network: GraphLike,
    evidence: Mapping[Node, Any] | None = None,
    *,
    nodes: Sequence[Node] | None = None,
    do: Do = None,
    max_bytes: int | None = None,
) -> Explanation:
    """The most probable explanation of the evidence: argmax of p(nodes | evidence).

    Of all nodes: the two sweeps with max in place of sum, in logarithms (Dawid 1992,
    "Applications of a general propagation algorithm", section 4). Of some nodes (marginal MAP;
    Park and Darwiche 2004, "Complexity results and approximation strategies for MAP
    explanations"): the others are summed out first, then the same. That order costs more than
    any other, up to a table of all `nodes`: `cost(network, evidence, nodes=nodes)` says how
    much. The best states of some nodes are not those of the best explanation of all. Equally
    probable within 1e-9 nats counts as a tie.

    Args:
        network: as for `marginals`.
        evidence: {node: state or likelihoods}, one row.
        nodes: whose states are asked for; all of them unless given.
        do: as for `marginals`.
        max_bytes: as for `marginals`.

    Raises:
        ImpossibleEvidence, TooCostly, UnknownNode, ExactError: as `marginals`; a node that is
            asked for twice, or known.

    >>> best = explanation("asia", {"dysp": "yes"})
    >>> best.states["bronc"], round(best.probability, 4), best.ties
    ('yes', 0.4613, {})
    >>> some = explanation("asia", {"dysp": "yes"}, nodes=["smoke", "lung"])
    >>> some.states, round(some.probability, 4)
    ({'smoke': 'yes', 'lung': 'no'}, 0.54)
    """
    known = network_of(network)
    found = evidence_of(known, evidence, do)
    if not found.single:
        raise ExactError("expected one {node: state} as evidence; got rows: ask once per row")
    if nodes is None:
        return _of_all(known, found, max_bytes)
    asked = asked_for(known, nodes, found, "nodes")
    return _of_some(known, found, asked, max_bytes)


def _of_all(network: Network, evidence: Evidence, max_bytes: int | None) -> Explanation:
    plan = planned(network, question(evidence), max_bytes)
    made = tables(plan, evidence, GREATEST)
    log_evidence = float(beliefs(plan, evidence, down=False).log_z[0])
    found = _explained(network, plan, made, dict(evidence.picks), evidence, log_evidence)
    return found._replace(states={node: found.states[node] for node in network.nodes})


def _of_some(
    network: Network, evidence: Evidence, asked: list[int], max_bytes: int | None
) -> Explanation:
    plan = planned(network, question(evidence, frozenset(), True, frozenset(asked)), max_bytes)
    log_evidence = float(beliefs(plan, evidence, down=False).log_z[0])
    left = network.with_factors(_summed(plan, evidence, frozenset(asked)), directed=False)
    over = planned(left, Question(), max_bytes)
    made = [_log_product(clique.scope, clique.factors, left.factors) for clique in over.cliques]
    found = _explained(left, over, made, {}, evidence, log_evidence)
    return found._replace(states={network.nodes[v]: found.states[network.nodes[v]] for v in asked})


def _summed(plan: Plan, evidence: Evidence, asked: frozenset[int]) -> list[Factor]:
    """Logarithms of the factors that are left of the asked nodes when the others are summed out.

    The asked nodes are the last of the order: a clique that sums one of them out shares no other
    nodes with its parent.
    """
    made, left = tables(plan, evidence, LOGS), list[Factor]()
    for k in range(len(made) - 1, -1, -1):
        clique = plan.cliques[k]
        own = clique.scope if k == 0 else [clique.scope[i] for i in clique.summed]
        if k and asked.isdisjoint(own):
            message = LOGS.plus(made[k], clique.summed)
            made[clique.parent] = LOGS.times(made[clique.parent], message[clique.up])
            continue
        others = tuple(i for i, v in enumerate(clique.scope) if v not in asked)
        table = LOGS.plus(made[k], others)[..., 0]
        scope = tuple(v for v in clique.scope if v in asked)
        left.append(Factor(scope, table.squeeze(others)))
    return left


def _log_product(scope: tuple[int, ...], held: tuple[int, ...], factors: list[Factor]) -> Any:
    table = np.zeros((1,) * (len(scope) + 1))
    for f in held:
        table = table + piece(scope, *factors[f]).spread
    return table


def _explained(
    network: Network,
    plan: Plan,
    made: list[Any],
    codes: dict[int, int],
    evidence: Evidence,
    log_evidence: float,
) -> Explanation:
    """The best states of the plan's nodes, from logarithms of its cliques' products."""
    best = sweeps(plan, made, GREATEST)
    if not np.isfinite(best.total[0]):
        raise ImpossibleEvidence(impossible(network, evidence, 0))
    codes = _decoded(plan, best, codes)
    log_joint = float(best.total[0])
    return Explanation(
        {network.nodes[v]: network.states[v][code] for v, code in codes.items()},
        exp(log_joint - log_evidence),
        log_joint,
        _ties(network, plan, best, evidence),
    )


def _decoded(plan: Plan, best: Beliefs, codes: dict[int, int]) -> dict[int, int]:
    """Best states, clique by clique from the root, given those chosen above."""
    observed = set(codes)
    for clique, table in zip(plan.cliques, best.tables, strict=True):
        index = tuple(0 if v in observed else codes.get(v, slice(None)) for v in clique.scope)
        open_ = [v for v in clique.scope if v not in codes]
        values = table[(*index, 0)]
        codes.update(zip(open_, np.unravel_index(values.argmax(), values.shape), strict=True))
    return codes


def _ties(
    network: Network, plan: Plan, best: Beliefs, evidence: Evidence
) -> dict[Node, tuple[State, ...]]:
    ties = {}
    for v, home in sorted(plan.homes.items()):
        greatest = np.maximum.reduce(best.tables[home.clique], home.others)[:, 0]
        equal = np.flatnonzero(greatest >= best.total[0] - TIE)
        if len(equal) > 1 and v not in evidence.picks:
            ties[network.nodes[v]] = tuple(network.states[v][k] for k in equal)
    return ties
