"""Where the nodes and edges of a drawing go: layers for directed graphs, springs for others."""

from collections.abc import Collection, Mapping, Sequence
from itertools import combinations, pairwise
from typing import NamedTuple

import networkx as nx

from probgen.reasoning.names import Node

Point = tuple[float, float]

LAYER, GAP = 84.0, 26.0
"""Distance between layers and between nodes of a layer, in pixels."""

Plates = Collection[frozenset[Node]]


class Layout(NamedTuple):
    """Centres of the nodes and the points that each edge runs through, y downwards."""

    centres: dict[Node, Point]
    routes: dict[tuple[Node, Node], list[Point]]


class _Bend(NamedTuple):
    """Where a long edge crosses a layer; stands for no node."""

    edge: tuple[Node, Node]
    layer: int


def layout(
    graph: nx.Graph, widths: Mapping[Node, float], plates: Plates = (), layer: float = LAYER
) -> Layout:
    """Place a graph: layered if it is directed and acyclic, by springs otherwise.

    Between the members of each of the `plates` there is nothing else, if that can be had by
    moving nodes sideways.
    """
    if graph.is_directed() and graph.edges and nx.is_directed_acyclic_graph(graph):
        return _layered(graph, widths, plates, layer)
    centres = _springs(graph, widths)
    return Layout(centres, {(u, v): [centres[u], centres[v]] for u, v in graph.edges})


def _layered(
    graph: nx.DiGraph, widths: Mapping[Node, float], plates: Plates, layer: float
) -> Layout:
    """Layers by longest path, order by barycentres (Sugiyama, Tagawa and Toda 1981)."""
    rank = _ranks(graph)
    chains = {(u, v): _chain(u, v, rank) for u, v in graph.edges}
    skeleton = nx.DiGraph()
    skeleton.add_nodes_from(graph)
    skeleton.add_edges_from(pair for chain in chains.values() for pair in pairwise(chain))
    rank |= {b: rank[c[0]] + i for c in chains.values() for i, b in enumerate(c[1:-1], 1)}
    layers: list[list[Node]] = [[] for _ in range(max(rank.values()) + 1)]
    for v in skeleton:
        layers[rank[v]].append(v)
    layers = _untangled(layers, skeleton)
    x = _abscissae(layers, skeleton, {v: widths.get(v, 0.0) for v in skeleton})
    x |= _parted({v: x[v] for v in graph}, rank, widths, plates)
    places = {v: (x[v], layer * rank[v]) for v in skeleton}
    routes = {edge: [places[v] for v in chain] for edge, chain in chains.items()}
    return Layout({v: places[v] for v in graph}, routes)


def _ranks(graph: nx.DiGraph) -> dict[Node, int]:
    """The layers that make the edges shortest in sum (Gansner, Koutsofios, North and Vo 1993).

    A linear programme whose matrix is a graph's incidence matrix has a solution in integers.
    """
    import numpy as np
    from scipy.optimize import linprog
    from scipy.sparse import coo_array

    place = {v: i for i, v in enumerate(graph)}
    ends = np.array([(place[u], place[v]) for u, v in graph.edges]).T
    edge, one = np.arange(ends.shape[1]), np.ones(ends.shape[1])
    up = coo_array((np.r_[one, -one], (np.r_[edge, edge], ends.ravel())), (len(edge), len(place)))
    solved = linprog(up.sum(0) * -1.0, A_ub=up.tocsr(), b_ub=-one)
    return dict(zip(graph, map(round, solved.x.tolist()), strict=True))


def _chain(u: Node, v: Node, rank: Mapping[Node, int]) -> list[Node]:
    return [u, *(_Bend((u, v), layer) for layer in range(rank[u] + 1, rank[v])), v]


def _untangled(layers: list[list[Node]], graph: nx.DiGraph) -> list[list[Node]]:
    """Sort each layer by the mean place of its neighbours, down and up; keep the best order."""
    best, fewest = layers, _crossings(layers, graph)
    for sweep in range(16):
        if not fewest:
            break
        layers = [list(layer) for layer in layers]
        down = sweep % 2 == 0
        for i in range(1, len(layers)) if down else range(len(layers) - 2, -1, -1):
            near = graph.pred if down else graph.succ
            place = {v: k for k, v in enumerate(layers[i - 1 if down else i + 1])}
            here = {v: k for k, v in enumerate(layers[i])}
            layers[i].sort(key=lambda v: _mean([place[u] for u in near[v]], here[v]))  # noqa: B023
        crossings = _crossings(layers, graph)
        if crossings < fewest:
            best, fewest = layers, crossings
    return best


def _mean(values: Sequence[float], default: float) -> float:
    return sum(values) / len(values) if values else default


def _crossings(layers: list[list[Node]], graph: nx.DiGraph) -> int:
    total = 0
    for upper, lower in pairwise(layers):
        place = {v: k for k, v in enumerate(lower)}
        ends = [k for u in upper for k in sorted(place[v] for v in graph.succ[u])]
        total += sum(a > b for i, a in enumerate(ends) for b in ends[i + 1 :])
    return total


def _abscissae(
    layers: list[list[Node]], graph: nx.DiGraph, widths: Mapping[Node, float]
) -> dict[Node, float]:
    """Pull nodes towards their neighbours' mean, keeping order and distance in each layer."""
    x: dict[Node, float] = {}
    for layer in layers:
        x |= dict(zip(layer, _spaced([0.0] * len(layer), layer, widths), strict=False))
    for _ in range(24):
        for order in (layers, layers[::-1]):
            for layer in order:
                wanted = [
                    _mean([x[u] for u in (*graph.pred[v], *graph.succ[v])], x[v]) for v in layer
                ]
                x |= dict(zip(layer, _spaced(wanted, layer, widths), strict=False))
    return x


def _spaced(wanted: list[float], layer: list[Node], widths: Mapping[Node, float]) -> list[float]:
    """The nearest places to the wanted ones that keep the gaps: pooling adjacent violators."""
    offsets = [0.0]
    for a, b in pairwise(layer):
        offsets.append(offsets[-1] + (widths[a] + widths[b]) / 2 + GAP)
    pools: list[list[float]] = []
    for want, offset in zip(wanted, offsets, strict=False):
        pools.append([want - offset, 1])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            mean, count = pools.pop()
            pools[-1] = [
                (pools[-1][0] * pools[-1][1] + mean * count) / (pools[-1][1] + count),
                pools[-1][1] + count,
            ]
    shifts = [mean for mean, count in pools for _ in range(int(count))]
    return [shift + offset for shift, offset in zip(shifts, offsets, strict=False)]


def _parted(
    x: dict[Node, float], rank: Mapping[Node, int], widths: Mapping[Node, float], plates: Plates
) -> dict[Node, float]:
    """Move what lies between the members of a plate out to its nearer side."""
    for plate in sorted(plates, key=len):
        middle = sum(x[v] for v in plate) / len(plate)
        units = _units(x, rank, plate, plates)
        right = [unit for unit in units if sum(x[v] for v in unit) >= middle * len(unit)]
        _pushed(x, rank, widths, plate, right, 1)
        _pushed(x, rank, widths, plate, [unit for unit in units if unit not in right], -1)
    return x


def _units(
    x: Mapping[Node, float], rank: Mapping[Node, int], plate: frozenset[Node], plates: Plates
) -> list[frozenset[Node]]:
    """What stands beside a plate, in its layers: nodes, or whole other plates."""
    layers = [rank[v] for v in plate]
    beside = [v for v in x if v not in plate and min(layers) <= rank[v] <= max(layers)]
    others = [p for p in sorted(plates, key=len, reverse=True) if not p & plate]
    units = (next((p for p in others if v in p), frozenset([v])) for v in beside)
    return list(dict.fromkeys(units))


def _pushed(
    x: dict[Node, float],
    rank: Mapping[Node, int],
    widths: Mapping[Node, float],
    plate: frozenset[Node],
    units: Sequence[frozenset[Node]],
    side: int,
) -> None:
    """Move units away from a plate, to the right for side 1, until they are clear of it."""
    rim = max(side * x[v] + widths[v] / 2 for v in plate) + GAP
    taken: dict[int, float] = {}
    for unit in sorted(units, key=lambda unit: min(side * x[v] for v in unit)):
        near = min(side * x[v] - widths[v] / 2 for v in unit)
        clear = max(taken.get(rank[v], rim) for v in unit) + GAP
        for v in unit:
            x[v] += side * max(0.0, clear - near)
            taken[rank[v]] = max(taken.get(rank[v], rim), side * x[v] + widths[v] / 2)


def _springs(graph: nx.Graph, widths: Mapping[Node, float]) -> dict[Node, Point]:
    """Each component by Kamada and Kawai (1989), side by side."""
    centres: dict[Node, Point] = {}
    left = 0.0
    plain = nx.Graph(graph.edges)
    plain.add_nodes_from(graph)
    for component in sorted(nx.connected_components(plain), key=len, reverse=True):
        nodes = [v for v in graph if v in component]
        widest = max(widths[v] for v in nodes)
        size = (len(nodes) - 1) ** 0.5 * max(widest + GAP, LAYER) * 0.55
        places = nx.kamada_kawai_layout(nx.Graph(plain.subgraph(nodes).edges), scale=size)
        places = {v: tuple(map(float, places[v])) for v in places} or {nodes[0]: (0.0, 0.0)}
        _push_apart(places, widths)
        shift = left - min(p[0] for p in places.values()) + widest / 2
        centres |= {v: (x + shift, y) for v, (x, y) in places.items()}
        left = max(centres[v][0] for v in nodes) + widest / 2 + GAP
    return centres


def _push_apart(places: dict[Node, Point], widths: Mapping[Node, float]) -> None:
    """Move nodes that overlap, each half of the way, along the axis on which it is shorter."""
    overlap = True
    for _ in range(50):
        if not overlap:
            return
        overlap = False
        for a, b in combinations(places, 2):
            (x0, y0), (x1, y1) = places[a], places[b]
            wide = (widths[a] + widths[b]) / 2 + GAP / 2 - abs(x1 - x0)
            high = LAYER / 2 - abs(y1 - y0)
            if wide > 0 and high > 0:
                dx = wide / 2 * (1 if x1 >= x0 else -1) if wide < high else 0.0
                dy = 0.0 if dx else high / 2 * (1 if y1 >= y0 else -1)
                places[a], places[b] = (x0 - dx, y0 - dy), (x1 + dx, y1 + dy)
                overlap = True
