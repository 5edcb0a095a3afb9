"""Chordal graphs: a test with a witness, min-fill triangulation, junction trees."""

from collections.abc import Callable, Iterable, Iterator
from heapq import heapify, heappop, heappush
from itertools import combinations
from typing import NamedTuple

import networkx as nx

from probgen.reasoning import loading
from probgen.reasoning.loading import GraphLike
from probgen.reasoning.moral import undirected
from probgen.reasoning.names import GraphError, Node, listed, shown


class Chordality(NamedTuple):
    """Truthy if chordal, with a perfect elimination order; else with a chordless cycle."""

    order: list[Node]
    cycle: list[Node]

    def __bool__(self) -> bool:
        return not self.cycle

    def __str__(self) -> str:
        if self.cycle:
            return (
                f"not chordal: {' - '.join(map(shown, [*self.cycle, self.cycle[0]]))} has no chord"
            )
        return f"chordal: eliminating {listed(self.order)} adds no edge"

    def __repr__(self) -> str:
        return str(self)


def chordal(graph: GraphLike) -> Chordality:
    """Whether every cycle of four or more nodes has a chord, with the proof.

    Maximum cardinality search (Tarjan and Yannakakis 1984) gives an elimination order that adds
    no edge if and only if the graph is chordal.

    >>> chordal("A - B; B - C; C - D; D - A")
    not chordal: A - B - C - D - A has no chord
    >>> chordal("A - B; B - C; C - A; C - D")
    chordal: eliminating B, A, C, D adds no edge
    """
    loaded = undirected(graph, "chordality")
    order = _maximum_cardinality(loaded)
    later = {v: i for i, v in enumerate(order)}
    for v in order:
        ahead = sorted((u for u in loaded[v] if later[u] > later[v]), key=later.__getitem__)
        if any(u not in loaded[ahead[0]] for u in ahead[1:]):
            return Chordality([], _chordless(loaded))
    return Chordality(order, [])


def _maximum_cardinality(graph: nx.Graph) -> list[Node]:
    """Numbered last to first, next always a node with the most numbered neighbours."""
    weight = dict.fromkeys(graph, 0)
    buckets: list[dict[Node, None]] = [dict(weight)]
    order = []
    while weight:
        while not buckets[-1]:
            buckets.pop()
        v, _ = buckets[-1].popitem()
        del weight[v]
        order.append(v)
        for u in graph[v]:
            if u in weight:
                del buckets[weight[u]][u]
                weight[u] += 1
                if weight[u] == len(buckets):
                    buckets.append({})
                buckets[weight[u]][u] = None
    return order[::-1]


def _chordless(graph: nx.Graph) -> list[Node]:
    """A node, two neighbours that are not adjacent, and a shortest way round between them."""
    for v in graph:
        around = graph.subgraph(set(graph) - set(graph[v]) - {v})
        for component in nx.connected_components(around):
            rim = [u for u in graph[v] if not component.isdisjoint(graph[u])]
            for a, b in combinations(rim, 2):
                if b not in graph[a]:
                    return [v, *nx.shortest_path(graph.subgraph(component | {a, b}), a, b)]
    raise AssertionError("a graph that is not chordal has a chordless cycle")


def triangulate(graph: GraphLike) -> nx.Graph:
    """A chordal graph that contains this one, by the min-fill heuristic.

    Eliminates next the node whose neighbours lack the fewest edges (Kjaerulff 1990), fewest
    neighbours first among equals. A directed graph is moralised first.

    Returns:
        The graph with `graph["order"]`, the elimination order, and `graph["width"]`, the size of
        the largest clique less one; every edge has a `reason`, an added one `fill=True`.

    >>> square = triangulate("A - B; B - C; C - D; D - A")
    >>> [e for e in square.edges(data="reason") if e[2] != "given"], square.graph["width"]
    ([('B', 'D', 'joined when A was eliminated')], 2)
    """
    base = loading.load(graph)
    if base.is_directed():
        from probgen.reasoning.moral import moral

        base = moral(base)
    chordal_graph = nx.Graph()
    chordal_graph.add_nodes_from(base)
    chordal_graph.add_edges_from(base.edges, fill=False, reason="given")
    names = list(base)
    order, fills, width = eliminate(_bitsets(base))
    for v, u, w in fills:
        reason = f"joined when {shown(names[v])} was eliminated"
        chordal_graph.add_edge(names[u], names[w], fill=True, reason=reason)
    chordal_graph.graph.update(order=[names[v] for v in order], width=width)
    return chordal_graph


def _bitsets(graph: nx.Graph) -> list[int]:
    position = {v: i for i, v in enumerate(graph)}
    return [sum(1 << position[u] for u in graph[v]) for v in graph]


def bits(number: int) -> Iterator[int]:
    """The positions of the ones in a bit set, lowest first."""
    while number:
        low = number & -number
        yield low.bit_length() - 1
        number ^= low


def fill(neighbours: list[int], v: int) -> tuple[float, ...]:
    """How many edges the neighbours of v lack, and how many neighbours there are."""
    around = left = neighbours[v]
    degree = around.bit_count()
    lacking = -degree
    while left:
        low = left & -left
        lacking += (around & ~neighbours[low.bit_length() - 1]).bit_count()
        left ^= low
    return lacking // 2, degree


def eliminate(
    neighbours: list[int],
    cost: Callable[[list[int], int], tuple[float, ...]] = fill,
    goes_on: Callable[[int], bool] = lambda clique: True,
) -> tuple[list[int], list[tuple[int, int, int]], int]:
    """Eliminate the cheapest node until none is left; consumes the bit sets.

    Args:
        neighbours: a bit set per node.
        cost: what eliminating a node costs; a first element of 0 says that it adds no edge.
        goes_on: asked before each elimination, of the node and its neighbours; stops if not.

    Returns:
        The order, the added edges (eliminated, u, v) and the width.
    """
    costs = [cost(neighbours, v) for v in range(len(neighbours))]
    heap = [(c, v) for v, c in enumerate(costs)]
    heapify(heap)
    order: list[int] = []
    fills: list[tuple[int, int, int]] = []
    width = 0
    gone = bytearray(len(neighbours))
    while heap:
        price, v = heappop(heap)
        if gone[v] or price != costs[v]:
            continue
        around = neighbours[v]
        if not goes_on(around | 1 << v):
            break
        gone[v] = 1
        order.append(v)
        width = max(width, around.bit_count())
        touched = _eliminate(neighbours, v, fills) if price[0] else around
        for u in bits(around):
            neighbours[u] &= ~(1 << v)
        for u in bits(touched):
            costs[u] = cost(neighbours, u)
            heappush(heap, (costs[u], u))
    return order, fills, width


def _eliminate(neighbours: list[int], v: int, fills: list[tuple[int, int, int]]) -> int:
    """Join the neighbours of v; the bit set of nodes whose cost may have changed."""
    around = neighbours[v]
    touched = around
    for u in bits(around):
        missing = around & ~neighbours[u] & ~(1 << u)
        for w in bits(missing):
            touched |= neighbours[u] & neighbours[w]
            neighbours[w] |= 1 << u
            fills.append((v, u, w))
        neighbours[u] |= missing
    return touched & ~(1 << v)


def junction_tree(graph: GraphLike) -> nx.Graph:
    """The maximal cliques of a triangulation, joined so that they satisfy running intersection.

    Nodes are frozensets; edges carry their `separator`, the intersection. A disconnected graph
    gives a forest. A directed graph is moralised first (Lauritzen and Spiegelhalter 1988).

    Returns:
        A networkx tree or forest with `graph["width"]`.

    >>> tree = junction_tree("A -> B -> C")
    >>> [sorted(s) for _, _, s in tree.edges(data="separator")]
    [['B']]
    """
    filled = triangulate(graph)
    later = {v: i for i, v in enumerate(filled.graph["order"])}
    tree = nx.Graph(width=filled.graph["width"])
    home: dict[Node, frozenset[Node]] = {}
    for v in reversed(filled.graph["order"]):
        ahead = [u for u in filled[v] if later[u] > later[v]]
        parent = home[min(ahead, key=later.__getitem__)] if ahead else frozenset[Node]()
        _grow(tree, home, v, frozenset(ahead), parent)
    for a, b in tree.edges:
        tree.edges[a, b]["separator"] = a & b
    return tree


def _grow(
    tree: nx.Graph,
    home: dict[Node, frozenset[Node]],
    v: Node,
    ahead: frozenset[Node],
    parent: frozenset[Node],
) -> None:
    """Extend the parent clique by v if all of it is adjacent, else hang a new clique below it."""
    clique = ahead | {v}
    if ahead and ahead == parent:
        nx.relabel_nodes(tree, {parent: clique}, copy=False)
        home.update(dict.fromkeys((u for u in parent if home[u] == parent), clique))
    else:
        tree.add_node(clique)
        if ahead:
            tree.add_edge(parent, clique)
    home[v] = clique


class RunningIntersection(NamedTuple):
    """Truthy if the cliques with each node are connected; else the nodes that are scattered."""

    scattered: list[Node]

    def __bool__(self) -> bool:
        return not self.scattered

    def __str__(self) -> str:
        if self.scattered:
            return f"the cliques with {listed(self.scattered)} are not connected"
        return "the cliques with any node are connected"

    def __repr__(self) -> str:
        return str(self)


def running_intersection(tree: nx.Graph) -> RunningIntersection:
    """Whether the cliques that hold a node form a connected part of the tree, for every node.

    Raises:
        GraphError: not a tree or forest of sets.

    >>> running_intersection(junction_tree("A -> B -> C"))
    the cliques with any node are connected
    """
    sets = isinstance(tree, nx.Graph) and all(isinstance(c, frozenset) for c in tree)
    if not sets or (tree.nodes and not nx.is_forest(tree)):
        raise GraphError("expected a tree or forest of node sets, as junction_tree returns it")
    cliques: dict[Node, int] = _counts(v for clique in tree for v in clique)
    links: dict[Node, int] = _counts(v for a, b in tree.edges for v in a & b)
    return RunningIntersection([v for v, n in cliques.items() if n - links.get(v, 0) != 1])


def _counts(nodes: Iterable[Node]) -> dict[Node, int]:
    counts: dict[Node, int] = {}
    for v in nodes:
        counts[v] = counts.get(v, 0) + 1
    return counts
