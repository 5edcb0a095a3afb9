"""A network with tables as numbered factors, checked once; the same graph is read once."""

from collections.abc import Hashable, Iterable, Sequence
from copy import copy, deepcopy
from numbers import Integral, Real
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import networkx as nx
import numpy as np

from probgen import ProbgenWarning
from probgen.reasoning import loading, states
from probgen.reasoning.loading import GraphLike
from probgen.reasoning.names import (
    GraphError,
    Node,
    UnknownNode,
    labels,
    listed,
    shown,
    suggestion,
)
from probgen.reasoning.readers.cpds import HAIR, TOLERANCE

Array = np.ndarray[Any, np.dtype[Any]]
State = Hashable


class ExactError(GraphError):
    """The question has no exact answer here; says what to do."""


class ImpossibleEvidence(ExactError):
    """The evidence has probability zero, so nothing follows from it."""


class ImpossibleRows(ProbgenWarning):
    """Some rows of evidence have probability zero; their answers are NaN."""


class Factor(NamedTuple):
    """A table over numbered nodes, one axis per node, ascending."""

    scope: tuple[int, ...]
    values: Array


class Network:
    """Nodes as numbers 0, 1, ..., their states, and one factor per table or potential.

    Attributes:
        nodes, states: names, in the graph's order.
        cards: numbers of states.
        labels: what some of the nodes are labelled.
        factors: of a directed network, factor i is the table of node i with its rows summing to
            1; of an undirected one the potentials, and 1 for a node that has none.
        families: of a directed network, (*parents, node) of every node, in its table's order.
        plans: the elimination plans made so far.
    """

    def __init__(self, graph: nx.Graph) -> None:
        self.directed: bool = graph.is_directed()
        self.nodes = tuple(graph)
        self.index = {v: i for i, v in enumerate(self.nodes)}
        if not self.nodes:
            raise ExactError("expected a network with nodes; got none")
        if not self.directed and "factors" not in graph.graph:
            raise ExactError(
                'expected potentials in graph.graph["factors"] = [(names, array)]; got none'
            )
        self.labels = labels(graph._node)
        self.states = [_states(graph, v) for v in self.nodes]
        self.codes = [{s: k for k, s in enumerate(states)} for states in self.states]
        self.cards = [len(states) for states in self.states]
        self.families = [self._family(graph, v) for v in self.nodes] if self.directed else []
        self.factors = self._tables(graph) if self.directed else self._potentials(graph)
        self.plans: dict[Hashable, Any] = {}

    def with_factors(self, factors: list[Factor], directed: bool | None = None) -> "Network":
        """The same nodes and states with other factors, and no plans."""
        made = copy(self)
        made.factors, made.plans = factors, {}
        made.directed = self.directed if directed is None else directed
        return made

    def tables(self) -> list[Array]:
        """The tables with their axes as the graph has them: (*parents, node)."""
        return [
            values.transpose([scope.index(u) for u in family])
            for (scope, values), family in zip(self.factors, self.families, strict=True)
        ]

    def _family(self, graph: nx.DiGraph, v: Node) -> tuple[int, ...]:
        parents = tuple(graph.nodes[v].get("parents", tuple(graph.pred[v])))
        if set(parents) != set(graph.pred[v]) or len(parents) != len(graph.pred[v]):
            raise ExactError(
                f"expected the parents of {shown(v)} in the order of its table's axes; got "
                f"{listed(parents) or 'none'}, but edges from {listed(graph.pred[v]) or 'none'}"
            )
        return (*(self.index[p] for p in parents), self.index[v])

    def _tables(self, graph: nx.DiGraph) -> list[Factor]:
        return [
            self.factor(family, self.table(v, graph.nodes[v]["table"]))
            for v, family in zip(self.nodes, self.families, strict=True)
        ]

    def table(self, v: Node, values: Any) -> Array:
        """The table of a node, checked, its rows divided by their sums."""
        family = self.families[self.index[v]]
        table = self.checked(f"the table of {shown(v)}", family, values)
        total = table.sum(-1, keepdims=True)
        off = np.abs(total - 1).max()
        if off > TOLERANCE + HAIR:
            raise ExactError(
                f"expected every row of the table of {shown(v)} to sum to 1 within {TOLERANCE}; "
                f"got a row that is off by {off:.2g}: divide the rows by their sums"
            )
        return table / total

    def _potentials(self, graph: nx.Graph) -> list[Factor]:
        found = [self._potential(names, values) for names, values in graph.graph["factors"]]
        covered = {v for factor in found for v in factor.scope}
        alone = [v for v in range(len(self.nodes)) if v not in covered]
        return found + [Factor((v,), np.ones(self.cards[v])) for v in alone]

    def _potential(self, names: Sequence[Node], values: Any) -> Factor:
        scope = tuple(self.number(v, "nodes of a potential") for v in names)
        role = f"the potential of {listed(names)}"
        if len(set(scope)) < len(scope):
            raise ExactError(f"expected every node once in {role}")
        return self.factor(scope, self.checked(role, scope, values))

    def checked(self, role: str, scope: tuple[int, ...], values: Any) -> Array:
        """Numbers of the scope's shape, finite and at least 0."""
        try:
            table = np.array(values, dtype=np.float64)
        except (TypeError, ValueError):
            raise ExactError(f"expected an array as {role}; got {type(values).__name__}") from None
        shape = tuple(self.cards[v] for v in scope)
        if table.shape != shape:
            raise ExactError(f"expected {role} to have shape {shape}; got {table.shape}")
        if not (np.isfinite(table) & (table >= 0)).all():
            raise ExactError(f"expected {role} to be finite and at least 0; got {table.min()}")
        return table

    def factor(self, scope: tuple[int, ...], values: Array) -> Factor:
        """The factor with its axes in ascending order."""
        order = sorted(range(len(scope)), key=scope.__getitem__)
        ordered = np.array(values.transpose(order), order="C")
        return Factor(tuple(scope[k] for k in order), ordered)

    def number(self, node: Any, role: str) -> int:
        """The number of a node.

        Raises:
            UnknownNode: a node that the network does not have.
        """
        try:
            return self.index[node]
        except (KeyError, TypeError):
            raise UnknownNode(
                f"expected {role}; got {shown(node)!r}{suggestion(node, self.index, self.labels)}"
            ) from None

    def code(self, v: int, state: Any) -> int:
        """The position of a state among the node's states, also of another type (`states.match`).

        Raises:
            ExactError: a state that the node does not have; positions are not taken for states.
        """
        codes = self.codes[v]
        try:
            return codes[state]
        except (KeyError, TypeError):
            pass
        if (meant := states.match(state, codes)) is not None:
            return codes[meant]
        got = states.unknown(state, codes)
        if isinstance(state, (int, np.integer)) and 0 <= state < len(codes):
            name = self.states[v][int(state)]
            got += f"; states go by name: did you mean {shown(name)!r}, the state {state}?"
        raise ExactError(f"expected a state of {shown(self.nodes[v])}; got {got}")

    def ancestors(self, of: frozenset[int], cut: frozenset[int]) -> frozenset[int]:
        """The nodes and everything upstream of them, not above a cut node."""
        found, frontier = set(of), set(of)
        while frontier:
            above = {p for v in frontier - cut for p in self.families[v]}
            frontier = above - found
            found |= frontier
        return frozenset(found)


def whole(number: Any, name: str, least: int, unit: str) -> int:
    """A whole number of at least so much.

    Raises:
        ExactError: another number, or none.
    """
    if isinstance(number, bool) or not isinstance(number, Integral) or number < least:
        raise ExactError(
            f"expected {name} as a whole number of at least {least} {unit}; got {number!r}"
        )
    return int(number)


def closeness(tolerance: Any) -> float:
    """A tolerance of at least 0.

    Raises:
        ExactError: a negative one, not-a-number, or no number.
    """
    if not isinstance(tolerance, Real) or not float(tolerance) >= 0:
        raise ExactError(f"expected tolerance as a number of at least 0; got {tolerance!r}")
    return float(tolerance)


def generator(seed: Any) -> np.random.Generator:
    """Random numbers from a seed.

    Raises:
        ExactError: a seed that is none.
    """
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError):
        raise ExactError(f"expected seed as a whole number of at least 0; got {seed!r}") from None


_known: WeakKeyDictionary[nx.Graph, tuple[list[Any], Network]] = WeakKeyDictionary()


def network_of(source: GraphLike) -> Network:
    """The numbered network of anything that `graph.load` accepts.

    A networkx graph is read once and again only after its nodes, edges or tables changed.

    Raises:
        GraphError: not a network with tables; the tables do not fit or do not sum to 1.
    """
    if isinstance(source, Network):
        return source
    if type(source) not in (nx.DiGraph, nx.Graph):
        return Network(loading.load(source))
    stamp = _stamp(source)
    if source not in _known or _known[source][0] != stamp:
        _known[source] = stamp, Network(loading.load(source))
    return _known[source][1]


def bayesian(source: Any) -> Network:
    """`network_of` a directed network.

    Raises:
        ExactError: an undirected one.
    """
    known = network_of(source)
    if not known.directed:
        raise ExactError("expected a directed network to learn tables of; got an undirected one")
    return known


def _stamp(graph: nx.Graph) -> list[Any]:
    """What an answer depends on, by value."""
    near = graph._pred if graph.is_directed() else graph._adj
    stamp: list[Any] = [
        (
            v,
            tuple(near[v]),
            _tuple(d.get("states")),
            _tuple(d.get("parents")),
            _content(d.get("table")),
        )
        for v, d in graph._node.items()
    ]
    stamp += [(tuple(names), _content(t)) for names, t in graph.graph.get("factors", ())]
    return stamp


def _tuple(names: Any) -> Any:
    return tuple(names) if isinstance(names, Iterable) else names


def _content(table: Any) -> Any:
    """A copy that compares by value."""
    if isinstance(table, np.ndarray):
        return table.shape, table.dtype, table.tobytes()
    return table.tolist() if hasattr(table, "tolist") else deepcopy(table)


def _states(graph: nx.Graph, v: Node) -> tuple[State, ...]:
    data = graph.nodes[v]
    if graph.is_directed() and "table" not in data:
        raise ExactError(_without_table(graph, v))
    if "states" not in data:
        states: Sequence[State] = range(_card(graph, v))
    else:
        states = _tuple(data["states"])
    if not isinstance(states, Sequence):
        raise ExactError(f"expected a tuple of states of {shown(v)}; got {states!r}")
    if not states or len(set(states)) < len(states):
        raise ExactError(
            f"expected at least one state of {shown(v)}, all different; got "
            f"{listed(states) or 'none'}"
        )
    return tuple(states)


def _without_table(graph: nx.Graph, v: Node) -> str:
    absent = [u for u, data in graph.nodes(data=True) if "table" not in data]
    if all("states" in graph.nodes[u] for u in absent):
        return (
            f"expected a table at every node; got none at {listed(absent)}: learn what is absent "
            "from data by exact.fit(network, rows), or set graph.nodes[...]['table']"
        )
    data = graph.nodes[v]
    kind = f"a {type(data['cpd']).__name__}" if "cpd" in data else "none"
    return (
        f"expected a table at every node; got {kind} at {shown(v)}: set "
        f"graph.nodes[{shown(v)!r}]['states'], ['parents'] and ['table'] (discrete nodes "
        "only), or load a network with tables"
    )


def _card(graph: nx.Graph, v: Node) -> int:
    """The number of states as the tables have it, where the states have no names."""
    if graph.is_directed():
        return int(np.shape(graph.nodes[v]["table"])[-1])
    for names, values in graph.graph.get("factors", ()):
        if v in names and np.ndim(values) == len(names):
            return int(np.shape(values)[list(names).index(v)])
    raise ExactError(f"expected states of {shown(v)}, which no potential has; got none")
