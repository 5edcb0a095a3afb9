"""Questions to a network with tables: posteriors, probabilities, joint tables."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, NamedTuple

import numpy as np

from probgen.exact.network import (
    Array,
    ExactError,
    ImpossibleEvidence,
    ImpossibleRows,
    Network,
    State,
    network_of,
)
from probgen.exact.plan import Cost, Plan, Question, planned
from probgen.exact.propagation import CHUNK, Beliefs, Evidence, beliefs
from probgen.exact.rows import evidence_of
from probgen.reasoning.loading import GraphLike
from probgen.reasoning.names import Node, listed, shown

ZERO = "expected potentials with a product above 0 somewhere; got Z = 0"

Do = Mapping[Node, State] | None


def cost(
    network: GraphLike,
    evidence: Any = None,
    *,
    do: Do = None,
    joint: Sequence[Node] = (),
    nodes: Sequence[Node] = (),
) -> Cost:
    """What a question takes, before it is paid: width, largest table, bytes, operations.

    Args:
        network: a network with tables, as `graph.load` returns it or takes it.
        evidence: as for `marginals`; observed nodes make tables smaller.
        do: nodes that are set from outside.
        joint: nodes whose joint table `query` is asked for.
        nodes: whose most probable states `map` is asked for.

    >>> cost("asia")
    width 2, largest table 8 entries, 712 bytes, 280 operations
    """
    known = network_of(network)
    found = evidence_of(known, evidence, do)
    asked = frozenset(_numbers(known, joint, "joint"))
    last = frozenset(_numbers(known, nodes, "nodes"))
    asking = question(found, asked, bool(asked or last), last)
    return planned(known, asking, inf, found.rows).given(asking.observed)


def marginals(
    network: GraphLike, evidence: Any = None, *, do: Do = None, max_bytes: int | None = None
) -> dict[Node, Any]:
    """The posterior of every node, all of them from two sweeps over one junction tree.

    p(v | e) = d log Z(e) / d log lambda_v, the derivative of the network's polynomial with
    respect to the evidence indicators lambda (Darwiche 2003, section 3). Rows of tables are
    divided by their sums first, where a file has them off 1 by up to 1e-6.

    Args:
        network: a Bayesian network with tables or a Markov network with potentials.
        evidence: {node: state}; or many rows at once: a list of such mappings, a pandas data
            frame or `Rows`, with None where a row does not observe a node. In place of a state
            {state: likelihood} for all states is soft evidence: p(what was seen | state), as
            of a child of the node that is observed (Pearl 1988, "Probabilistic Reasoning in
            Intelligent Systems", section 2.2.2). Its scale changes no posterior.
        do: {node: state} set from outside: p(. | do(node = state), evidence), in which the node's
            own table does not count (Pearl 2009, "Causality", definition 3.2.1).
        max_bytes: that may be taken; half of what the machine has available unless given.

    Returns:
        {node: {state: probability}}; for many rows {node: array (rows, states)}, NaN in rows of
        probability zero, which an `ImpossibleRows` warning names.

    Raises:
        ImpossibleEvidence: evidence of probability zero.
        TooCostly: more than `max_bytes`; `cost` has the numbers.
        UnknownNode, ExactError: what is not in the network, tables that are no distributions.

    >>> posterior = marginals("asia", {"xray": "yes", "smoke": "no"})
    >>> round(posterior["tub"]["yes"], 6)
    0.147978
    >>> round(marginals("asia", do={"lung": "yes"})["smoke"]["yes"], 6)
    0.5
    >>> round(marginals("asia", {"smoke": {"yes": 0.8, "no": 0.2}})["lung"]["yes"], 6)
    0.082
    """
    known = network_of(network)
    found = evidence_of(known, evidence, do)
    instead = "likelihood_weighting" if known.directed else "belief_propagation"
    advice = f"approximate by exact.{instead}"
    plan = planned(known, question(found), max_bytes, found.rows, advice)
    parts = [posteriors(known, plan, part) for part in parts_of(plan, found)]
    if found.single:
        return _named(known, plan, found, parts[0].values)
    return _stacked(known, plan, found, parts)


def question(
    evidence: Evidence,
    joint: frozenset[int] = frozenset(),
    pruned: bool = False,
    last: frozenset[int] = frozenset(),
) -> Question:
    """What a plan has to be made for, given which nodes are known."""
    partly = frozenset(evidence.likely)
    return Question(frozenset(evidence.picks), evidence.forced, joint, partly, pruned, last)


def asked_for(network: Network, nodes: Any, evidence: Evidence, name: str) -> list[int]:
    """The numbers of nodes that are asked for.

    Raises:
        UnknownNode: a node that the network does not have.
        ExactError: no list, none or one twice, or one that is known.
    """
    asked = _numbers(network, nodes, name)
    if not asked or len(set(asked)) < len(asked):
        raise ExactError(f"expected {name}= as a list of different nodes; got {nodes!r}")
    if both := set(asked) & evidence.picks.keys():
        names = listed(network.nodes[v] for v in both)
        raise ExactError(f"expected other nodes than the known ones; got {names} in both: drop it")
    return asked


def _numbers(network: Network, nodes: Any, name: str) -> list[int]:
    if isinstance(nodes, str) or not isinstance(nodes, Iterable):
        raise ExactError(f"expected {name}= as a list of different nodes; got {nodes!r}")
    return [network.number(v, f"nodes in {name}=") for v in nodes]


def parts_of(plan: Plan, evidence: Evidence) -> list[Evidence]:
    """The rows, as many at a time as the cache takes."""
    if evidence.rows == 1:
        return [evidence]
    return evidence.parts(max(1, CHUNK // plan.given(evidence.picks).entries))


def calibrated(network: Network, plan: Plan, evidence: Evidence, down: bool = True) -> Beliefs:
    """Beliefs given evidence that is possible in every row."""
    found = beliefs(plan, evidence, down)
    if found.total.min(initial=1.0) <= 0:
        raise ImpossibleEvidence(impossible(network, evidence, int(found.total.argmin())))
    return found


def _where_possible(network: Network, plan: Plan, evidence: Evidence, down: bool) -> Beliefs:
    """Beliefs; the total of an impossible row among several is NaN."""
    if evidence.single or not (evidence.picks or evidence.likely):
        return calibrated(network, plan, evidence, down)
    found = beliefs(plan, evidence, down)
    return found._replace(total=np.where(found.total > 0, found.total, np.nan))


def impossible(network: Network, evidence: Evidence, row: int) -> str:
    """What is wrong with evidence of probability zero."""
    if not evidence.picks and not evidence.likely:
        return ZERO
    at = "" if evidence.single else f" in row {shown(evidence.labels[row])}"
    return (
        f"expected possible evidence; got evidence of probability zero{at}: "
        f"{_observed(network, evidence, row)}; drop an observation, or give the state that never "
        "occurs a small probability"
    )


def _observed(network: Network, evidence: Evidence, row: int) -> str:
    """What a row observes, as text."""
    found = [
        f"{shown(network.nodes[v])} = {shown(network.states[v][int(np.ravel(codes)[row])])}"
        for v, codes in evidence.picks.items()
    ]
    for v, like in evidence.likely.items():
        values = like[:, row]
        some = [shown(s) for s, x in zip(network.states[v], values, strict=True) if x > 0]
        if len(some) < len(values):
            found.append(f"{shown(network.nodes[v])} = {' or '.join(some)}")
    return ", ".join(found) or "none"


def _warn(network: Network, evidence: Evidence, impossible: Array) -> None:
    """Name the rows whose answers are NaN."""
    rows = np.flatnonzero(impossible)
    if not rows.size:
        return
    names = [
        f"{shown(evidence.labels[row])} ({_observed(network, evidence, int(row))})"
        for row in rows[:5]
    ]
    more = f" and {rows.size - 5:,} more" if rows.size > 5 else ""
    warnings.warn(
        f"{rows.size:,} of {evidence.rows:,} rows have probability zero, so that their answers "
        f"are NaN: row {', '.join(names)}{more}",
        ImpossibleRows,
        stacklevel=3,
    )


class Posteriors(NamedTuple):
    """The posteriors of the nodes in `plan.homes`, one below the other, and where there are none.

    Attributes:
        values: (states, rows).
        impossible: (rows,) whether the row has probability zero, so that its values are NaN.
    """

    values: Array
    impossible: Array


def posteriors(network: Network, plan: Plan, evidence: Evidence) -> Posteriors:
    """The posteriors of one part of the rows."""
    found = _where_possible(network, plan, evidence, down=True)
    made, reduce = found.tables, np.add.reduce
    sums = [reduce(made[home.clique], home.others) for home in plan.homes.values()]
    below = np.concatenate(sums or [np.empty((0, 1))]) / found.total
    if evidence.rows == 1:
        return Posteriors(below, np.isnan(found.total))
    return Posteriors(
        np.broadcast_to(below, (len(below), evidence.rows)),
        np.broadcast_to(np.isnan(found.total), evidence.rows),
    )


def _named(network: Network, plan: Plan, evidence: Evidence, below: Array) -> dict[Node, Any]:
    values, start = below[:, 0].tolist(), 0
    found: dict[int, list[float]] = {}
    for v in plan.homes:
        stop = start + (1 if v in evidence.picks else network.cards[v])
        found[v] = values[start:stop]
        start = stop
    for v, code in evidence.picks.items():
        found[v] = [float(k == code) for k in range(network.cards[v])]
    states = network.states
    return {
        node: dict(zip(states[v], found[v], strict=True)) for v, node in enumerate(network.nodes)
    }


def _stacked(
    network: Network, plan: Plan, evidence: Evidence, parts: list[Posteriors]
) -> dict[Node, Any]:
    below = np.concatenate([part.values for part in parts], 1)
    impossible = np.concatenate([part.impossible for part in parts])
    found, start = {}, 0
    for v in plan.homes:
        stop = start + (1 if v in evidence.picks else network.cards[v])
        found[v] = below[start:stop].T
        start = stop
    for v, codes in evidence.picks.items():
        found[v] = (codes[:, None] == np.arange(network.cards[v])).astype(np.float64)
        found[v][impossible] = np.nan
    _warn(network, evidence, impossible)
    return {node: found[v] for v, node in enumerate(network.nodes)}


def log_probability(
    network: GraphLike, evidence: Any, *, do: Do = None, max_bytes: int | None = None
) -> Any:
    """The log-probability of evidence in nats; -inf if impossible; for many rows an array (rows,).

    In a Markov network log Z(evidence) - log Z. Neither underflows: 1,000 observed nodes are
    fine.

    Args:
        network: as for `marginals`.
        evidence: as for `marginals`.
        do: as for `marginals`.
        max_bytes: as for `marginals`.

    Raises:
        TooCostly, UnknownNode, ExactError: as `marginals`.

    >>> round(log_probability("asia", {"smoke": "yes"}), 9)
    -0.693147181
    """
    known = network_of(network)
    found = evidence_of(known, evidence, do)
    advice = "approximate by exact.likelihood_weighting" if known.directed else ""
    plan = planned(known, question(found, pruned=True), max_bytes, found.rows, advice)
    logs = [
        np.broadcast_to(beliefs(plan, part, down=False).log_z, part.rows)
        for part in parts_of(plan, found)
    ]
    values = np.concatenate(logs) - log_partition(known, max_bytes=max_bytes)
    return float(values[0]) if found.single else values


def probability(
    network: GraphLike, evidence: Any, *, do: Do = None, max_bytes: int | None = None
) -> Any:
    """p(evidence), or p(evidence | do); for many rows an array (rows,).

    Arguments and errors are those of `log_probability`.

    >>> round(probability("asia", {"tub": "yes", "dysp": "yes"}), 6)
    0.008216
    """
    value = np.exp(log_probability(network, evidence, do=do, max_bytes=max_bytes))
    return value if value.ndim else float(value)


def log_partition(network: GraphLike, *, max_bytes: int | None = None) -> float:
    """The logarithm of Z, the sum over all states of the product of all potentials, in nats.

    A Bayesian network has Z = 1. Scaling a potential scales Z and changes no probability.

    >>> import networkx as nx
    >>> pair = nx.Graph([("A", "B")], factors=[(("A", "B"), [[1.0, 2.0], [3.0, 4.0]])])
    >>> round(float(np.exp(log_partition(pair))), 9)
    10.0
    """
    known = network_of(network)
    if known.directed:
        return 0.0
    plan = planned(known, Question(), max_bytes)
    value = float(beliefs(plan, evidence_of(known, None, None), down=False).log_z[0])
    if value == -np.inf:
        raise ExactError(ZERO)
    return value


@dataclass(frozen=True)
class Joint:
    """A joint table: `values` has one axis per node; `joint[states]` is one entry.

    For many rows of evidence `values` has the rows as its first axis.
    """

    nodes: tuple[Node, ...]
    states: tuple[tuple[State, ...], ...]
    values: Array

    def __getitem__(self, states: Any) -> Any:
        names = states if isinstance(states, tuple) and len(self.nodes) > 1 else (states,)
        at: list[Any] = [k.index(s) for k, s in zip(self.states, names, strict=True)]
        found = self.values[(..., *at)]
        return float(found) if found.ndim == 0 else found


def query(
    network: GraphLike,
    joint: Sequence[Node],
    evidence: Any = None,
    *,
    do: Do = None,
    max_bytes: int | None = None,
) -> Joint:
    """The joint posterior table p(joint | evidence) of a few nodes.

    Only what these nodes and the evidence descend from is summed, so that this may be cheap
    where `marginals` is not.

    Args:
        network: as for `marginals`.
        joint: the nodes, in the order of the table's axes.
        evidence: as for `marginals`, of other nodes.
        do: as for `marginals`.
        max_bytes: as for `marginals`.

    Raises:
        ImpossibleEvidence, TooCostly, UnknownNode, ExactError: as `marginals`; a node that is
            asked for twice, or known.

    >>> round(query("asia", ["lung", "bronc"], {"dysp": "yes"})["yes", "yes"], 6)
    0.065027
    """
    known = network_of(network)
    found = evidence_of(known, evidence, do)
    asked = asked_for(known, joint, found, "joint")
    asking = question(found, frozenset(asked), pruned=True)
    plan = planned(known, asking, max_bytes, found.rows)
    below = [_root_table(known, plan, part, asked) for part in parts_of(plan, found)]
    values = np.concatenate(below, -1)
    if found.single:
        values = values[..., 0]
    else:
        values = np.moveaxis(values, -1, 0)
        _warn(known, found, np.isnan(values).any(tuple(range(1, values.ndim))))
    return Joint(
        tuple(known.nodes[v] for v in asked), tuple(known.states[v] for v in asked), values
    )


def _root_table(network: Network, plan: Plan, evidence: Evidence, asked: list[int]) -> Array:
    """The table of the asked nodes, in their order, and the rows; the root clique holds them."""
    found = _where_possible(network, plan, evidence, down=False)
    scope = plan.cliques[0].scope
    others = tuple(i for i, v in enumerate(scope) if v not in asked)
    table = np.add.reduce(found.tables[0], others) / found.total
    table = np.broadcast_to(table, (*table.shape[:-1], evidence.rows))
    kept = [v for v in scope if v in asked]
    return table.transpose([*(kept.index(v) for v in asked), len(kept)])
