"""How a posterior depends on every entry of every table, and what would be worth observing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from probgen.exact.network import Array, ExactError, Network, State, network_of, whole
from probgen.exact.plan import Plan, TooCostly, allowed, piece, planned
from probgen.exact.propagation import LOGS, Evidence, indicators, looking
from probgen.exact.queries import Do, asked_for, calibrated, posteriors, question
from probgen.exact.rows import evidence_of
from probgen.reasoning.colours import BLOCKED, LINE, OPEN
from probgen.reasoning.loading import GraphLike
from probgen.reasoning.names import Node, shown


class Parameter(NamedTuple):
    """An entry of a table, and what a posterior becomes when it varies.

    Attributes:
        node, state: whose probability it is.
        given: {parent: state}.
        value: of the entry.
        derivative: of the posterior with respect to it.
        low: the posterior where the entry is at the lower end of its range.
        high: the same at the upper end.
    """

    node: Node
    state: State
    given: dict[Node, State]
    value: float
    derivative: float
    low: float
    high: float

    def __str__(self) -> str:
        above = ", ".join(f"{shown(v)} = {shown(s)}" for v, s in self.given.items())
        return f"P({shown(self.node)} = {shown(self.state)}{' | ' if above else ''}{above})"


@dataclass(frozen=True)
class Sensitivity:
    """How the probability of one state depends on the tables.

    As a function of one entry that is changed by d it is (p + a d) / (1 + b d).

    Attributes:
        node, state: whose posterior it is.
        value: p, the posterior.
        derivatives: {node: array in the shape of its table}, a - p b.
        numerators: a in the same shapes.
        denominators: b in the same shapes.
    """

    node: Node
    state: State
    value: float
    derivatives: dict[Node, Array]
    numerators: dict[Node, Array]
    denominators: dict[Node, Array]
    _network: Network

    def largest(self, n: int = 10, spread: float = 0.1) -> list[Parameter]:
        """The entries that move the posterior most when each varies by `spread` times itself.

        Entries are cut at 1; one of 0 stays where it is.

        Raises:
            ExactError: fewer than one entry, or a spread that is no share.

        >>> found = sensitivity("asia", "lung", "yes", {"xray": "yes"}).largest(1)
        >>> str(found[0]), round(found[0].low, 4), round(found[0].high, 4)
        ('P(xray = no | either = no)', 0.2707, 0.8484)
        """
        n = whole(n, "n", 1, "entry")
        if not isinstance(spread, Real) or not 0 < spread <= 1:
            raise ExactError(f"expected spread in (0, 1]; got {spread!r}")
        found = []
        for v, node in enumerate(self._network.nodes):
            table = self._tables[v]
            low, high = (self._moved(node, table, sign * spread) for sign in (-1, 1))
            width = np.abs(high - low)
            for at in np.argsort(-width, axis=None, kind="stable")[:n]:
                index = np.unravel_index(at, width.shape)
                found.append(
                    (float(width[index]), v, index, float(low[index]), float(high[index]))
                )
        found.sort(key=lambda entry: -entry[0])
        return [self._parameter(*entry[1:]) for entry in found[:n]]

    def tornado(self, ax: Any, n: int = 10, spread: float = 0.1) -> Any:
        """Draw what `largest` finds as bars around the posterior, the widest on top.

        Args:
            ax: matplotlib axes to draw on.
            n: how many entries.
            spread: as for `largest`.

        Returns:
            The axes.
        """
        entries = self.largest(n, spread)[::-1]
        for ends, colour, label in (
            ([e.low for e in entries], BLOCKED, f"entry less {spread:.0%}"),
            ([e.high for e in entries], OPEN, f"entry plus {spread:.0%}"),
        ):
            widths = [end - self.value for end in ends]
            ax.barh(range(len(entries)), widths, left=self.value, color=colour, label=label)
        ax.axvline(self.value, color=LINE, linewidth=1)
        ax.set_yticks(range(len(entries)), [f"{e} = {e.value:.3g}" for e in entries])
        ax.set_xlabel(f"P({shown(self.node)} = {shown(self.state)} | evidence)")
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False, loc="lower right")
        return ax

    @property
    def _tables(self) -> list[Array]:
        return self._network.tables()

    def _moved(self, node: Node, table: Array, share: float) -> Array:
        """The posterior where each entry alone is changed by a share of itself."""
        step = np.minimum(table * (1 + share), 1) - table
        return (self.value + self.numerators[node] * step) / (1 + self.denominators[node] * step)

    def _parameter(self, v: int, index: Any, low: float, high: float) -> Parameter:
        known = self._network
        *above, code = index
        parents = known.families[v][:-1]
        return Parameter(
            known.nodes[v],
            known.states[v][code],
            {known.nodes[u]: known.states[u][k] for u, k in zip(parents, above, strict=True)},
            float(self._tables[v][index]),
            float(self.derivatives[known.nodes[v]][index]),
            low,
            high,
        )


def sensitivity(
    network: GraphLike,
    node: Node,
    state: State,
    evidence: Mapping[Node, Any] | None = None,
    *,
    do: Do = None,
    max_bytes: int | None = None,
) -> Sensitivity:
    """The derivative of p(node = state | evidence) by every entry of every table.

    The other entries of a row keep their proportions, so that it still sums to 1 (proportional
    co-variation; Chan and Darwiche 2002, "When do numbers really matter?", JAIR 17); where an
    entry is 1 they share alike what it loses. One sweep up and one down without a division, so
    that entries of 0 have their derivative too.

    Args:
        network: a Bayesian network with tables.
        node: whose posterior it is.
        state: the state.
        evidence: as for `marginals`, one row.
        do: as for `marginals`.
        max_bytes: as for `marginals`.

    Raises:
        ImpossibleEvidence, TooCostly, UnknownNode, ExactError: as `marginals`; a node that is
            known.

    >>> found = sensitivity("asia", "lung", "yes", {"xray": "yes"})
    >>> round(found.value, 4), found.derivatives["smoke"].round(4).tolist()
    (0.4887, [0.4327, -0.4327])
    """
    known, found, v = _one_target(network, node, evidence, do)
    if not known.directed:
        raise ExactError(
            "expected a directed network, whose tables have entries that vary; got an undirected "
            "one: compare exact.marginals before and after a change of a potential"
        )
    code = known.code(v, state)
    plan = planned(known, question(found), max_bytes, 2)
    _require_room(plan, found, max_bytes)
    value = _posterior(known, plan, found, v)[code]
    # An impossible state has no derivative of its own: p(state) = 1 - p(not state).
    against = value == 0
    both = _with_states(known, found, v, [np.ones(known.cards[v]), _only(known, v, code, against)])
    slopes = _slopes(known, plan, both)
    numerators, denominators, derivatives = {}, {}, {}
    for u, table in enumerate(known.tables()):
        whole, part = (_covaried(table, slopes[u][..., row]) for row in (0, 1))
        above = whole - part if against else value * part
        name = known.nodes[u]
        numerators[name], denominators[name] = above, whole
        derivatives[name] = above - value * whole
    return Sensitivity(node, state, value, derivatives, numerators, denominators, known)


def value_of_information(
    network: GraphLike,
    target: Node,
    evidence: Mapping[Node, Any] | None = None,
    *,
    nodes: Sequence[Node] | None = None,
    do: Do = None,
    max_bytes: int | None = None,
) -> dict[Node, float]:
    """How much each node's state is expected to tell about a target, in nats, the most first.

    The expected reduction of the target's entropy, H(target | e) - E H(target | e, node), which
    is the mutual information of the two given the evidence (Lindley 1956, "On a measure of the
    information provided by an experiment"). All nodes at once: one row of evidence for each
    state of the target.

    Args:
        network: as for `marginals`.
        target: the node to learn about.
        evidence: as for `marginals`, one row.
        nodes: which could be observed; all that are not known unless given.
        do: as for `marginals`.
        max_bytes: as for `marginals`.

    Raises:
        ImpossibleEvidence, TooCostly, UnknownNode, ExactError: as `marginals`; a node that is
            known.

    >>> worth = value_of_information("asia", "lung", {"dysp": "yes"}, nodes=["smoke", "xray"])
    >>> {v: round(nats, 4) for v, nats in worth.items()}
    {'xray': 0.2092, 'smoke': 0.0238}
    """
    known, found, v = _one_target(network, target, evidence, do)
    if nodes is None:
        asked = [u for u in range(len(known.nodes)) if u not in found.picks and u != v]
    else:
        asked = asked_for(known, nodes, found, "nodes")
    each = list(np.eye(known.cards[v]))
    plan = planned(known, question(found), max_bytes, len(each))
    weights = np.array(_posterior(known, plan, found, v))
    below = posteriors(known, plan, _with_states(known, found, v, each)).values
    worth, start = {}, 0
    for u in plan.homes:
        stop = start + (1 if u in found.picks else known.cards[u])
        if u in asked:
            worth[known.nodes[u]] = _mutual_information(below[start:stop], weights)
        start = stop
    return dict(sorted(worth.items(), key=lambda pair: -pair[1]))


def _one_target(
    network: GraphLike, node: Node, evidence: Any, do: Do
) -> tuple[Network, Evidence, int]:
    known = network_of(network)
    found = evidence_of(known, evidence, do)
    if not found.single:
        raise ExactError("expected one {node: state} as evidence; got rows: ask once per row")
    (v,) = asked_for(known, [node], found, "node")
    return known, found, v


def _only(network: Network, v: int, code: int, against: bool) -> Array:
    only = np.arange(network.cards[v]) == code
    return (only != against).astype(np.float64)


def _with_states(network: Network, evidence: Evidence, v: int, likely: list[Array]) -> Evidence:
    """One row for each of these likelihoods of a node."""
    rows = evidence.repeated(len(likely))
    before = rows.likely.get(v, np.ones((network.cards[v], 1)))
    return rows._replace(likely={**rows.likely, v: before * np.stack(likely, 1)})


def _posterior(network: Network, plan: Plan, evidence: Evidence, v: int) -> list[float]:
    found = calibrated(network, plan, evidence)
    home = plan.homes[v]
    table = np.add.reduce(found.tables[home.clique], home.others) / found.total
    return list(map(float, table[:, 0]))


def _mutual_information(given: Array, weights: Array) -> float:
    """Of a node with p(node | state of the target) as columns, and the target with `weights`."""
    possible = weights > 0
    columns, weights = given[:, possible], weights[possible]
    mean = columns @ weights
    ratio = np.divide(columns, mean[:, None], out=np.ones_like(columns), where=columns > 0)
    return max(0.0, float((columns * np.log(ratio)).sum(0) @ weights))


def _require_room(plan: Plan, evidence: Evidence, max_bytes: int | None) -> None:
    """Partial products are kept besides what the sweeps keep."""
    cost = plan.given(evidence.picks)
    most = max(len(clique.factors) for clique in plan.cliques) + 4
    cost = cost._replace(memory=2 * (cost.memory + 8 * most * cost.largest))
    if cost.memory > allowed(max_bytes):
        raise TooCostly(cost, allowed(max_bytes))


def _covaried(table: Array, slopes: Array) -> Array:
    """Derivatives by entries whose rows keep summing to 1, from those by entries alone."""
    states, found = table.shape[-1], np.zeros(table.shape)
    for k in range(states if states > 1 else 0):
        others = [j for j in range(states) if j != k]
        rest = table[..., others]
        total = rest.sum(-1, keepdims=True)
        even = np.full(rest.shape, 1 / len(others))
        shares = np.divide(rest, total, out=even, where=total > 0)
        found[..., k] = slopes[..., k] - (shares * slopes[..., others]).sum(-1)
    return found


def _slopes(network: Network, plan: Plan, evidence: Evidence) -> list[Array]:
    """D log Z / d entry for every table, every entry by itself, the rows as the last axis."""
    shapes = [[network.cards[u] for u in family] for family in network.families]
    found = [np.zeros([*shape, evidence.rows]) for shape in shapes]
    parts, children = _parts(network, plan, evidence), _children(plan)
    messages = _messages(plan, parts, children)
    arrives: list[Any] = [np.zeros(1)] * len(plan.cliques)
    root = _total(parts[0] + [messages[c] for c in children[0]])
    log_z = LOGS.plus(root, tuple(range(len(plan.cliques[0].scope)))).reshape(-1)
    for k, clique in enumerate(plan.cliques):
        held = parts[k] + [messages[c] for c in children[k]] + [arrives[k]]
        others = _products_of_others(held)
        for f, rest in zip(clique.factors, others, strict=False):
            _place(found[f], network.families[f], clique.scope, rest - log_z, evidence)
        for child, rest in zip(children[k], others[len(parts[k]) :], strict=False):
            below = plan.cliques[child]
            full = rest + np.zeros([1] * (len(clique.scope) + 1))
            arrives[child] = LOGS.plus(full, below.above)[below.down]
    return found


def _parts(network: Network, plan: Plan, evidence: Evidence) -> list[list[Any]]:
    """The logarithms of each clique's factors at the observed states, then of its likelihoods."""
    look = looking(plan, evidence, LOGS)
    parts = [
        [LOGS.enter(look(piece(clique.scope, *network.factors[f]))) for f in clique.factors]
        for clique in plan.cliques
    ]
    for home, like in indicators(plan, evidence):
        parts[home].append(LOGS.enter(like))
    return parts


def _children(plan: Plan) -> list[list[int]]:
    children: list[list[int]] = [[] for _ in plan.cliques]
    for k, clique in enumerate(plan.cliques[1:], 1):
        children[clique.parent].append(k)
    return children


def _messages(plan: Plan, parts: list[list[Any]], children: list[list[int]]) -> list[Any]:
    """What each clique sends to its parent, on the parent's axes."""
    messages: list[Any] = [None] * len(parts)
    for k in range(len(parts) - 1, 0, -1):
        clique = plan.cliques[k]
        whole = _total(parts[k] + [messages[c] for c in children[k]])
        whole = whole + np.zeros([1] * (len(clique.scope) + 1))
        messages[k] = LOGS.plus(whole, clique.summed)[clique.up]
    return messages


def _total(held: list[Any]) -> Any:
    return sum(held, start=np.zeros(1))


def _products_of_others(held: list[Any]) -> list[Any]:
    """For each the logarithm of the product of all others, without a division."""
    after: list[Any] = [np.zeros(1)]
    for table in reversed(held[1:]):
        after.append(after[-1] + table)
    before, found = np.zeros(1), []
    for table, rest in zip(held, reversed(after), strict=True):
        found.append(before + rest)
        before = before + table
    return found


def _place(
    into: Array, family: tuple[int, ...], scope: tuple[int, ...], logs: Array, evidence: Evidence
) -> None:
    """Sum a clique's table to a family's, at the observed states."""
    shape = [into.shape[family.index(u)] if u in family else 1 for u in scope]
    free = [u for u in scope if u in family and u not in evidence.picks]
    seen = [u for u in family if u in evidence.picks]
    others = tuple(i for i, u in enumerate(scope) if u not in free)
    full = [1 if u in evidence.picks else n for u, n in zip(scope, shape, strict=True)]
    table = np.exp(LOGS.plus(logs + np.zeros([*full, 1]), others))
    order = [family.index(u) for u in (*seen, *free)]
    at = tuple(int(evidence.picks[u][0]) for u in seen)
    into.transpose([*order, len(family)])[at] = table.squeeze(others)
