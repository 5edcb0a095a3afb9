"""In which order nodes are summed out: those that cost nothing first, the rest by greedy rules.

A node whose neighbours are all joined to each other is simplicial: some cheapest order begins with
it, so that only the core that remains is searched, one connected part at a time.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from math import inf, log, prod
from typing import NamedTuple

from probgen.reasoning.triangulation import bits, eliminate, fill

TRIALS = 200
"""Random-greedy orders that are tried at most."""
LEAST, MANY = 2, 18
"""Orders that are tried in any case, and those after which a search has to pay at once."""
LONGEST = 1 << 27
"""Table entries that take about a second: no longer is searched after those."""
SEARCH = 1 << 13
"""Table entries that take as long as finding the place of one node in one order."""

LATER = 1e12
"""Above every price of a node."""

Near = dict[int, set[int]]
Rule = Callable[[list[int], int], tuple[float, ...]]


class Order(NamedTuple):
    """Nodes in the order in which they are summed out.

    Attributes:
        nodes: node numbers.
        cliques: of each node, itself and its neighbours when it is summed out.
    """

    nodes: list[int]
    cliques: list[frozenset[int]]


def ordered(
    cards: Sequence[int],
    scopes: Iterable[Iterable[int]],
    uses: float,
    known: Sequence[int] | None = None,
    last: frozenset[int] = frozenset(),
) -> Order:
    """An order with few table entries.

    Args:
        cards: numbers of states of all nodes.
        scopes: sets of nodes that are joined to each other; other nodes are left out.
        uses: how often the tables will be passed through, which says what a search may take.
        known: a good order of a network with more nodes and edges, to be tried first.
        last: nodes before which all nodes stand that are connected to them.
    """
    near = _neighbours(scopes)
    order = _simplicial(near, last)
    for part in _parts(near):
        found = _best(cards, near, part, uses, known, last)
        order.nodes.extend(found.nodes)
        order.cliques.extend(found.cliques)
    return order


def _neighbours(scopes: Iterable[Iterable[int]]) -> Near:
    near: Near = {}
    for scope in scopes:
        for v in scope:
            near.setdefault(v, set()).update(scope)
    for v, around in near.items():
        around.discard(v)
    return near


def _simplicial(near: Near, last: frozenset[int]) -> Order:
    """Sum simplicial nodes out as long as there are any; takes them out of `near`."""
    order = Order([], [])
    waiting = sorted(near, key=lambda v: (len(near[v]), v), reverse=True)
    while waiting:
        v = waiting.pop()
        around = near.get(v)
        if around is None or v in last or not _is_complete(near, around):
            continue
        order.nodes.append(v)
        order.cliques.append(frozenset((v, *around)))
        del near[v]
        for u in around:
            near[u].discard(v)
        waiting += sorted(around, reverse=True)
    return order


def _is_complete(near: Near, nodes: set[int]) -> bool:
    joined = len(nodes) - 1
    return joined < 1 or all(len(near[u] & nodes) == joined for u in nodes)


def _parts(near: Near) -> list[list[int]]:
    """The connected components, each in ascending order."""
    parts, seen = [], set[int]()
    for start in sorted(near):
        if start in seen:
            continue
        part = [start]
        seen.add(start)
        for v in part:
            fresh = near[v] - seen
            seen |= fresh
            part += fresh
        parts.append(sorted(part))
    return parts


def _best(
    cards: Sequence[int],
    near: Near,
    part: list[int],
    uses: float,
    known: Sequence[int] | None,
    last: frozenset[int],
) -> Order:
    """The cheapest of a few orders; random-greedy ones are tried while they may pay."""
    place = {v: k for k, v in enumerate(part)}
    neighbours = [sum(1 << place[u] for u in near[v]) for v in part]
    sizes = [cards[v] for v in part]
    rules = _rules(sizes)
    if known is not None:
        rules.insert(0, _as_before([place[v] for v in known if v in place]))
    if late := {place[v] for v in part if v in last}:
        rules = [_late(rule, late) for rule in rules]
    best: tuple[list[int], list[int]] = [], []
    cheapest, searched = inf, 0
    for trial, rule in enumerate(rules):
        if trial >= LEAST and searched > cheapest * uses:
            break
        if trial >= MANY and searched > min(cheapest, LONGEST):
            break
        order, cliques, entries = _eliminated(neighbours, rule, sizes, cheapest)
        searched += SEARCH * len(order)
        if entries < cheapest:
            best, cheapest = (order, cliques), entries
    scopes = [frozenset(part[k] for k in bits(clique)) for clique in best[1]]
    return Order([part[k] for k in best[0]], scopes)


def _rules(cards: Sequence[int]) -> list[Rule]:
    """Fewest fill edges; smallest table; roughly fewest fill edges, plain and weighted in turn.

    Kjaerulff 1990, "Triangulation of graphs"; Fishelson and Geiger 2003, "Optimizing exact
    genetic linkage computations", who weigh an edge by its table and draw among good nodes.
    """
    logs = [log(n) for n in cards]

    def size(neighbours: list[int], v: int) -> tuple[float, ...]:
        return 1.0 + logs[v] + sum(logs[u] for u in bits(neighbours[v])), v

    def weighted(neighbours: list[int], v: int) -> tuple[float, ...]:
        around, total = neighbours[v], 0
        for u in bits(around):
            lacking, others = around & ~neighbours[u] & (-2 << u), 0
            while lacking:
                low = lacking & -lacking
                others += cards[low.bit_length() - 1]
                lacking ^= low
            total += cards[u] * others
        return total, v

    def loose(seed: int) -> Rule:
        draw, price = random.Random(seed).uniform, weighted if seed % 2 else fill
        low, high = (0.6, 1.4) if seed % 4 < 2 else (0.8, 1.2)
        return lambda around, v: (price(around, v)[0] * draw(low, high), draw(0, 1))

    return [fill, size, *map(loose, range(TRIALS))]


def _late(rule: Rule, late: set[int]) -> Rule:
    def cost(neighbours: list[int], v: int) -> tuple[float, ...]:
        price, *ties = rule(neighbours, v)
        return (price + LATER if v in late else price, *ties)

    return cost


def _as_before(order: Sequence[int]) -> Rule:
    rank = {v: k for k, v in enumerate(order)}
    return lambda around, v: (1, rank[v])


def _eliminated(
    neighbours: list[int], rule: Rule, sizes: Sequence[int], most: float
) -> tuple[list[int], list[int], float]:
    """An elimination order, each node's clique as a bit set, and the entries of all tables.

    Stops where these are more than `most`.
    """
    cliques, entries = list[int](), 0

    def goes_on(clique: int) -> bool:
        nonlocal entries
        cliques.append(clique)
        entries += prod(sizes[k] for k in bits(clique))
        return entries < most

    order, _, _ = eliminate(list(neighbours), rule, goes_on)
    return order, cliques, entries
