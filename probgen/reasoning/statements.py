"""All the independences of a graph: local statements, pairwise ones, separators."""

from collections.abc import Iterator
from itertools import combinations
from math import comb
from typing import Any, NamedTuple

import networkx as nx

from probgen.reasoning.loading import GraphLike
from probgen.reasoning.names import GraphError, Node, listed
from probgen.reasoning.separation import Index, Nodes


class Statement(NamedTuple):
    """x is independent of y given a set; x and y are tuples of nodes."""

    x: tuple[Node, ...]
    y: tuple[Node, ...]
    given: tuple[Node, ...]

    def __str__(self) -> str:
        given = f" | {listed(self.given)}" if self.given else ""
        return f"{listed(self.x)} _||_ {listed(self.y)}{given}"

    def __repr__(self) -> str:
        return str(self)


class Pairwise:
    """The pairwise independences, lazily: `candidates` is how many statements are tried.

    Pairs in the order of the graph, smaller given sets first.
    """

    def __init__(self, index: Index, largest: int | None) -> None:
        self._index, others = index, max(len(index.children) - 2, 0)
        self.largest = others if largest is None else min(largest, others)
        pairs = len(index.children) * (len(index.children) - 1) // 2
        self.candidates = pairs * sum(comb(others, k) for k in range(self.largest + 1))

    def __iter__(self) -> Iterator[Statement]:
        nodes = list(self._index.children)
        for a, b in combinations(nodes, 2):
            others = [v for v in nodes if v not in (a, b)]
            for size in range(self.largest + 1):
                for given in combinations(others, size):
                    if not self._index.reaches(frozenset([a]), frozenset([b]), frozenset(given)):
                        yield Statement((a,), (b,), given)

    def __repr__(self) -> str:
        return f"the independences among {self.candidates:,} pairwise statements; iterate to try"


class Independencies:
    """The independences of one graph, computed as they are asked for."""

    def __init__(self, index: Index) -> None:
        self._index = index

    @property
    def local(self) -> list[Statement]:
        """The local Markov statements, one per node where there is something to say.

        Directed: a node and its other non-descendants given its parents. Undirected: a node and
        all others given its neighbours (Koller and Friedman 2009, definitions 3.1 and 4.10).
        """
        found = [self._local(v) for v in self._index.children]
        return [s for s in found if s.y]

    def _local(self, v: Node) -> Statement:
        index = self._index
        given = tuple(index.parents[v] if index.directed else index.children[v])
        below = nx.descendants(index.graph, v) if index.directed else set()
        kept = below | {v, *given}
        return Statement((v,), tuple(u for u in index.children if u not in kept), given)

    def pairwise(self, largest: int | None = None) -> Pairwise:
        """The pairwise statements that hold, given at most `largest` nodes; lazy."""
        return Pairwise(self._index, largest)

    def minimal_separator(self, x: Any, y: Any) -> list[Node] | None:
        """One set that separates x and y and of which no node can be left out; None if adjacent.

        The nodes next to x's side (van der Zander and Liskiewicz 2020).
        """
        return next(self.minimal_separators(x, y), None)

    def minimum_separator(self, x: Any, y: Any) -> list[Node] | None:
        """One of the smallest sets that separate x and y: a minimum cut; None if adjacent."""
        graph, a, b = self._contracted(x, y)
        if graph.has_edge(a, b):
            return None
        if not nx.has_path(graph, a, b):
            return []
        return self._ordered(nx.minimum_node_cut(graph, a, b))

    def minimal_separators(self, x: Any, y: Any) -> Iterator[list[Node]]:
        """All minimal separators of x and y, those next to x first; none if adjacent.

        Each is a minimal cut of the moral graph of the ancestors of x and y (van der Zander,
        Liskiewicz and Textor 2014); cuts are enumerated by moving one node at a time to x's side
        (Shen and Liang 1997).
        """
        graph, a, b = self._contracted(x, y)
        if graph.has_edge(a, b):
            return
        queue = [_close_to(graph, {a}, b)]
        seen = set(queue)
        for cut in queue:
            yield self._ordered(cut)
            inside = _component(graph, a, cut)
            for v in self._ordered(cut):
                if not graph.has_edge(v, b):
                    moved = _close_to(graph, inside | {v}, b)
                    if moved not in seen:
                        seen.add(moved)
                        queue.append(moved)

    def _contracted(self, x: Any, y: Any) -> tuple[nx.Graph, Node, Node]:
        """The graph in which cuts separate, with x and y each drawn together to one node."""
        xs, ys, _ = self._index.query(x, y)
        graph = self._index.graph
        if self._index.directed:
            from probgen.reasoning.moral import moral

            graph = moral(graph.subgraph(self._index.ancestors(xs | ys)))
        a, b = next(iter(xs)), next(iter(ys))
        stands = dict.fromkeys(xs, a) | dict.fromkeys(ys, b)
        drawn = nx.Graph()
        drawn.add_nodes_from(stands.get(v, v) for v in graph)
        pairs = ((stands.get(u, u), stands.get(v, v)) for u, v in graph.edges)
        drawn.add_edges_from((u, v) for u, v in pairs if u != v)
        return drawn, a, b

    def _ordered(self, nodes: Nodes | set[Node]) -> list[Node]:
        return [v for v in self._index.children if v in nodes]

    def __repr__(self) -> str:
        return f"the independences of {self._index!r}: local, pairwise(), minimal_separators()"


def _component(graph: nx.Graph, start: Node, cut: Nodes) -> set[Node]:
    found, queue = {start}, [start]
    for v in queue:
        fresh = set(graph[v]) - found - cut
        found |= fresh
        queue.extend(fresh)
    return found


def _close_to(graph: nx.Graph, side: set[Node], target: Node) -> Nodes:
    """The cut next to a connected side: its neighbours that see the target's component."""
    rim = frozenset({u for v in side for u in graph[v]} - side)
    beyond = _component(graph, target, rim | side)
    return frozenset(v for v in rim if not beyond.isdisjoint(graph[v]))


def independencies(graph: GraphLike) -> Independencies:
    """The independences of a graph: `local`, `pairwise()`, minimal and minimum separators.

    Args:
        graph: anything `graph.load` accepts, or an `index`.

    >>> every = independencies("A -> B -> C -> D")
    >>> every.local
    [C _||_ A | B, D _||_ A, B | C]
    >>> every.pairwise()
    the independences among 24 pairwise statements; iterate to try
    >>> list(every.pairwise(largest=1))
    [A _||_ C | B, A _||_ D | B, A _||_ D | C, B _||_ D | C]
    >>> list(every.minimal_separators("A", "D"))
    [['B'], ['C']]
    """
    if not isinstance(graph, Index):
        graph = Index(graph)
    if not graph.children:
        raise GraphError("expected a graph with nodes; got none")
    return Independencies(graph)
