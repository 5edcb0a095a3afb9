"""Separation in linear time: who can reach whom, in a directed or an undirected graph."""

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cached_property
from itertools import chain
from typing import Any

import networkx as nx

from probgen.reasoning import loading
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

Nodes = frozenset[Node]


class Index:
    """A snapshot of a graph that answers many separation queries.

    d-separation of x and y given z is separation in the moral graph of the ancestors of x, y
    and z (Lauritzen 1990, "Independence properties of directed Markov fields"), so a query
    costs what the ancestors cost, not what the graph costs.

    Args:
        graph: anything `graph.load` accepts.
        compiled: use numba; None uses it where it is installed.
        copy: keep a copy; otherwise the graph must not change while the index is used.

    >>> Index("A -> B -> C").separated("A", "C", ["B"])
    True
    """

    def __init__(
        self, graph: GraphLike, compiled: bool | None = False, *, copy: bool = True
    ) -> None:
        source = loading.load(graph)
        self.directed: bool = source.is_directed()
        below = source._succ if self.directed else source._adj
        above = source._pred if self.directed else {}
        self.children: Mapping[Node, Collection[Node]] = _tuples(below) if copy else below
        self.parents: Mapping[Node, Collection[Node]] = _tuples(above) if copy else above
        self._data = source._node
        self._reaches = self._compiled(compiled) if compiled is not False else None

    def __repr__(self) -> str:
        kind = "directed" if self.directed else "undirected"
        return f"Index({kind}, {len(self.children):,} nodes)"

    def separated(self, x: Any, y: Any, given: Any = ()) -> bool:
        """Whether every trail between x and y is blocked by given."""
        return not self.reaches(*self.query(x, y, given))

    def reaches(self, x: Nodes, y: Nodes, given: Nodes) -> bool:
        """Whether a trail from x to y is open given the observed nodes; sets of known nodes."""
        if self._reaches:
            return self._reaches(x, y, given)
        if not self.directed:
            return _flood(self.children, x, y, given)
        return _share_a_cause(self.parents, x, y, given) or self._moral_flood(x, y, given)

    def query(self, x: Any, y: Any, given: Any = ()) -> tuple[Nodes, Nodes, Nodes]:
        """The three node sets of a query.

        Raises:
            GraphError: x or y is empty, or two of the sets share a node.
            UnknownNode: a node that the graph does not have.
        """
        xs, ys = self.nodes(x, "x"), self.nodes(y, "y")
        zs = frozenset() if given is None else self.nodes(given, "given")
        if not xs or not ys:
            raise GraphError(f"expected at least one node as {'y' if xs else 'x'}; got none")
        if not xs.isdisjoint(ys):
            raise GraphError(f"expected different nodes as x and y; got {listed(xs & ys)} in both")
        for role, nodes in (("x", xs), ("y", ys)):
            if not zs.isdisjoint(nodes):
                raise GraphError(
                    f"expected {role} and given without a common node; got "
                    f"{listed(zs & nodes)} in both: what is given is known, drop it from one"
                )
        return xs, ys, zs

    def nodes(self, value: Any, role: str) -> Nodes:
        """The nodes that a name, an iterable of names or None stands for."""
        try:
            known = value.__hash__ is not None and value in self.children
        except TypeError:  # a tuple with a list inside
            known = False
        if known:
            if isinstance(value, (tuple, frozenset)):
                self._require_one(value, role)
            return frozenset((value,))
        if value is None:
            return frozenset()
        if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
            raise self._unknown(value, role)
        try:
            every = list(value)
            found = frozenset(every)
        except TypeError as error:
            raise GraphError(f"expected node names as {role}; got {error}") from None
        if found <= self.children.keys():
            return found
        raise self._unknown(next(v for v in every if v not in self.children), role)

    def _require_one(self, node: tuple[Node, ...] | Nodes, role: str) -> None:
        """Refuse a tuple that is a node if its parts are nodes too."""
        if node and self.children.keys() >= set(node):
            raise GraphError(
                f"expected one node or several as {role}; got {shown(node)}, a node whose parts "
                f"are nodes as well: write {[node]} or {[*node]}"
            )

    def _unknown(self, node: object, role: str) -> UnknownNode:
        hint = suggestion(node, self.children, labels(self._data))
        parts = [p.strip() for p in str(node).split(",")] if isinstance(node, str) else []
        if len(parts) > 1 and all(p in self.children for p in parts):
            hint = f"; did you mean {parts}?"
        return UnknownNode(f"expected nodes of the graph as {role}; got {shown(node)!r}{hint}")

    def ancestors(self, nodes: Iterable[Node]) -> set[Node]:
        """The nodes and everything upstream of them."""
        frontier = found = set(nodes)
        while frontier:
            frontier = set(chain.from_iterable(map(self.parents.__getitem__, frontier))) - found
            found = found | frontier
        return found

    def _moral_flood(self, x: Nodes, y: Nodes, given: Nodes) -> bool:
        """Flood the moral graph of the ancestors from x, around given, until y."""
        ancestral = self.ancestors(x | y | given)
        parents, children = self.parents.__getitem__, self.children.__getitem__
        frontier: set[Node] = set(x)
        reached, families = set(x | given), set[Node]()
        while frontier:
            below = ancestral.intersection(chain.from_iterable(map(children, frontier)))
            opened = (below | frontier) - families
            families |= opened
            frontier = below.union(chain.from_iterable(map(parents, opened))) - reached
            if not frontier.isdisjoint(y):
                return True
            reached |= frontier
        return False

    @cached_property
    def graph(self) -> nx.Graph:
        """The snapshot as a networkx graph."""
        made = nx.DiGraph() if self.directed else nx.Graph()
        made.add_nodes_from(self.children)
        made.add_edges_from((u, v) for u, below in self.children.items() for v in below)
        return made

    def _compiled(self, required: bool | None) -> Callable[[Nodes, Nodes, Nodes], bool] | None:
        try:
            from probgen.reasoning.separation_numba import reaches
        except ImportError:
            if required:
                raise ImportError(
                    "compiled=True needs numba: pip install 'probgen[fast]'"
                ) from None
            return None
        return reaches(self.parents, self.children) if self.directed else None


def _tuples(rows: Mapping[Node, Collection[Node]]) -> dict[Node, tuple[Node, ...]]:
    return dict(zip(rows, map(tuple, rows.values()), strict=False))


def _share_a_cause(
    parents: Mapping[Node, Collection[Node]], x: Nodes, y: Nodes, given: Nodes
) -> bool:
    """Whether x and y meet upstream without passing given: an open trail without a collider."""
    seen, near = [set(x), set(y)], [set(x), set(y)]
    while near[0] or near[1]:
        side = 0 if near[0] and (len(near[0]) <= len(near[1]) or not near[1]) else 1
        above = set(chain.from_iterable(map(parents.__getitem__, near[side])))
        near[side] = above - seen[side] - given
        if not near[side].isdisjoint(seen[1 - side]):
            return True
        seen[side] |= near[side]
    return False


def _flood(neighbours: Mapping[Node, Collection[Node]], x: Nodes, y: Nodes, given: Nodes) -> bool:
    frontier, reached = set(x), set(x | given)
    while frontier:
        frontier = set(chain.from_iterable(map(neighbours.__getitem__, frontier))) - reached
        if not frontier.isdisjoint(y):
            return True
        reached |= frontier
    return False
