"""In which order a network is summed out, and what that costs, before it is paid."""

import random
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from math import inf, log, prod
from typing import Any, NamedTuple

import numpy as np

from probgen.exact.network import Array, ExactError, Network
from probgen.reasoning.triangulation import bits, eliminate, fill

LIMIT = 1 << 30
"""Bytes that one call may take unless told otherwise."""
SMALL = 1 << 16
"""Table entries up to which one plan serves every question."""
TRIALS = 24
"""Random-greedy orders that are tried where the greedy ones cost more than that."""
SAFE = 650.0
"""Below exp(-708) float64 loses digits: products within this many nats of 1 cannot."""

Index = tuple[int | slice | None, ...]
ALL = slice(None)


class Cost(NamedTuple):
    """What exact inference takes: computed from the shapes, before anything is allocated.

    Attributes:
        width: nodes in the largest clique, less one.
        largest: entries of the largest clique's table.
        entries: entries of all clique tables.
        memory: bytes of one call with one row of evidence, at its peak.
        operations: multiplications, additions and divisions, of both sweeps.
    """

    width: int
    largest: int
    entries: int
    memory: int
    operations: int

    def __str__(self) -> str:
        return (
            f"width {self.width}, largest table {_number(self.largest)} entries, "
            f"{_bytes(self.memory)}, {_number(self.operations)} operations"
        )

    def __repr__(self) -> str:
        return str(self)


def _number(n: int) -> str:
    return f"{n:,}" if n < 1e15 else f"2^{n.bit_length() - 1}"


def _bytes(n: int) -> str:
    if n >= 1 << 60:
        return f"{_number(n)} bytes"
    for unit, size in (("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if n >> size:
            return f"{n / (1 << size):,.1f} {unit}"
    return f"{n} bytes"


class TooCostly(ExactError):
    """The cost is beyond the limit; nothing was computed. `cost` has the numbers."""

    def __init__(self, cost: Cost, limit: int) -> None:
        self.cost, self.limit = cost, limit
        super().__init__(
            f"expected a cost of at most {_bytes(limit)}; got {cost}: give evidence, ask "
            "query(joint=[...]) for few nodes, sample, or raise limit="
        )


class Clique(NamedTuple):
    """One table of the junction tree; axes are its scope, ascending, then the rows.

    Attributes:
        scope: node numbers.
        parent: the clique's parent in the tree, which stands before it.
        summed: axes that the parent does not have.
        up: index that brings a message (own axes, 1 where summed) to the parent's axes.
        above: axes of the parent that this clique does not have.
        down: index that brings the parent's message to the own axes.
        factors: the numbers of the factors that are multiplied in here.
        pieces: those factors, as few arrays as they can be multiplied together beforehand.
    """

    scope: tuple[int, ...]
    parent: int
    summed: tuple[int, ...]
    up: Index
    above: tuple[int, ...]
    down: Index
    factors: tuple[int, ...]
    pieces: "tuple[Piece, ...]"


class Piece(NamedTuple):
    """A factor within a clique.

    Attributes:
        axes: its nodes.
        slots: its nodes and, as None, the clique's other ones, ascending.
        values: the table.
        spread: the table on the clique's axes and one for the rows, where nothing is observed.
    """

    axes: tuple[int, ...]
    slots: tuple[int | None, ...]
    values: Any
    spread: Any


class Home(NamedTuple):
    """Where the marginal of a node is read off: a clique and its other axes."""

    clique: int
    others: tuple[int, ...]


class Plan(NamedTuple):
    """Cliques, root first, for a network in which some nodes are always observed.

    Attributes:
        hard: the nodes that are observed in every question to this plan.
        homes: for every other node the smallest clique that has it.
        safe: no product of table entries can leave the range of float64.
    """

    cliques: tuple[Clique, ...]
    hard: frozenset[int]
    homes: dict[int, Home]
    cost: Cost
    safe: bool


class Question(NamedTuple):
    """What a plan is made for.

    Attributes:
        observed: nodes with evidence in every row, and nodes that are set by `do`.
        forced: nodes that are set by `do`: their tables do not count.
        joint: nodes that one clique has to hold.
        partly: nodes with evidence in some rows.
        pruned: leave out what none of these nodes descends from.
    """

    observed: frozenset[int] = frozenset()
    forced: frozenset[int] = frozenset()
    joint: frozenset[int] = frozenset()
    partly: frozenset[int] = frozenset()
    pruned: bool = False


def planned(network: Network, question: Question, limit: float) -> Plan:
    """The plan for a question: in a small network one that takes any evidence.

    There observed nodes stay in the plan as axes of size 1; elsewhere they leave it.

    Raises:
        TooCostly: the cost is above the limit in bytes.
    """
    general = Question(forced=question.forced, joint=question.joint)
    small = all(_made(network, q).cost.entries <= SMALL for q in (Question(), general))
    plan = _made(network, general if small else question)
    if plan.cost.memory > limit:
        raise TooCostly(plan.cost, int(limit))
    return plan


def _made(network: Network, question: Question) -> Plan:
    if question not in network.plans:
        while len(network.plans) >= 64:
            network.plans.pop(next(iter(network.plans)))
        network.plans[question] = _plan(network, question)
    return network.plans[question]


def _plan(network: Network, question: Question) -> Plan:
    used, hard = _used(network, question), question.observed
    scopes = [_bitset(network.factors[f].scope, hard) for f in used]
    forced = [_bitset([v], hard) for v in question.forced]
    joint = _bitset(question.joint, hard)
    order, cliques = _best_order(network.cards, [*scopes, *forced, joint])
    tree = _rooted(_tree(order, cliques), joint)
    held = _held(tree, order, dict(zip(used, scopes, strict=True)))
    made = tuple(_clique(network, tree, k, held[k], hard) for k in range(len(tree.scopes)))
    sizes = [prod(network.cards[v] for v in clique.scope) for clique in made]
    return Plan(made, hard, _homes(made, sizes), _cost(made, sizes), _is_safe(network, used))


def renewed(plan: Plan, network: Network) -> Plan:
    """The plan with the tables of a network that differs in nothing else."""
    made = tuple(
        c._replace(pieces=tuple(pieces(network, c.scope, c.factors, plan.hard)))
        for c in plan.cliques
    )
    used = [f for c in plan.cliques for f in c.factors]
    return plan._replace(cliques=made, safe=_is_safe(network, used))


def _used(network: Network, question: Question) -> list[int]:
    """The factors that the answer depends on."""
    if not network.directed:
        return list(range(len(network.factors)))
    kept = frozenset(range(len(network.nodes)))
    if question.pruned:
        asked = question.observed | question.joint | question.partly
        kept = network.ancestors(asked, question.forced)
    return sorted(kept - question.forced)


def _bitset(nodes: Iterable[int], without: frozenset[int] = frozenset()) -> int:
    return sum(1 << v for v in nodes if v not in without)


def _best_order(cards: Sequence[int], scopes: Sequence[int]) -> tuple[list[int], list[int]]:
    """The cheapest of the greedy orders, and of random-greedy ones if those are dear."""
    neighbours, present = [0] * len(cards), 0
    for scope in scopes:
        present |= scope
        for v in bits(scope):
            neighbours[v] |= scope & ~(1 << v)
    best: tuple[list[int], list[int]] = [], []
    cheapest = inf
    for trial, rule in enumerate(_rules(cards)):
        if trial >= 2 and cheapest <= SMALL:
            break
        found = _ordered(neighbours, present, rule)
        entries = sum(prod(cards[v] for v in bits(clique)) for clique in found[1])
        if entries < cheapest:
            best, cheapest = found, entries
    return best


Rule = Callable[[list[int], int], tuple[float, ...]]


def _rules(cards: Sequence[int]) -> list[Rule]:
    """Fewest fill edges; smallest table; roughly fewest fill edges (Fishelson and Geiger 2003)."""
    logs = [log(n) for n in cards]

    def size(neighbours: list[int], v: int) -> tuple[float, ...]:
        return 1.0 + logs[v] + sum(logs[u] for u in bits(neighbours[v])), v

    def loose(seed: int) -> Rule:
        draw = random.Random(seed).uniform
        return lambda around, v: (fill(around, v)[0] * draw(0.6, 1.4), draw(0, 1))

    return [fill, size, *map(loose, range(TRIALS))]


def _ordered(neighbours: list[int], present: int, rule: Rule) -> tuple[list[int], list[int]]:
    """An elimination order of the present nodes, and each one's clique at its elimination."""
    order, fills, _ = eliminate(list(neighbours), rule)
    filled = list(neighbours)
    for _, u, w in fills:
        filled[u] |= 1 << w
        filled[w] |= 1 << u
    order = [v for v in order if present >> v & 1]
    cliques, later = [], 0
    for v in reversed(order):
        cliques.append(filled[v] & later | 1 << v)
        later |= 1 << v
    return order, cliques[::-1]


class _Tree(NamedTuple):
    """Maximal cliques as bit sets, each one's parent before it, and where a node was summed."""

    scopes: list[int]
    parents: list[int]
    home: dict[int, int]


def _tree(order: list[int], cliques: list[int]) -> _Tree:
    place = {v: k for k, v in enumerate(order)}
    tree = _Tree([], [], {})
    for v, clique in zip(reversed(order), reversed(cliques), strict=True):
        around = clique & ~(1 << v)
        parent = tree.home[min(bits(around), key=place.__getitem__)] if around else 0
        if around and tree.scopes[parent] == around:
            tree.scopes[parent] = clique
            tree.home[v] = parent
        else:
            tree.home[v] = len(tree.scopes)
            tree.parents.append(parent)
            tree.scopes.append(clique)
    return tree if order else _Tree([0], [0], {})


def _rooted(tree: _Tree, joint: int) -> _Tree:
    """The same tree with a clique that holds the joint nodes as its root."""
    near: list[list[int]] = [[] for _ in tree.scopes]
    for k, parent in enumerate(tree.parents[1:], 1):
        near[k].append(parent)
        near[parent].append(k)
    root = next(k for k, scope in enumerate(tree.scopes) if joint & ~scope == 0)
    found, parents = [root], {root: root}
    for k in found:
        for other in near[k]:
            if other not in parents:
                parents[other] = k
                found.append(other)
    place = {k: i for i, k in enumerate(found)}
    return _Tree(
        [tree.scopes[k] for k in found],
        [place[parents[k]] for k in found],
        {v: place[k] for v, k in tree.home.items()},
    )


def _held(tree: _Tree, order: list[int], scopes: dict[int, int]) -> list[list[int]]:
    """The factors of each clique: a factor goes where its first node is summed out."""
    held: list[list[int]] = [[] for _ in tree.scopes]
    place = {v: k for k, v in enumerate(order)}
    for factor, scope in scopes.items():
        first = min(bits(scope), key=place.__getitem__) if scope else None
        held[0 if first is None else tree.home[first]].append(factor)
    return held


def _clique(
    network: Network, tree: _Tree, k: int, held: list[int], hard: frozenset[int]
) -> Clique:
    scope, parent = tuple(bits(tree.scopes[k])), tree.parents[k]
    around = tuple(bits(tree.scopes[parent]))
    both = set(scope).intersection(around)
    return Clique(
        scope,
        parent,
        tuple(i for i, v in enumerate(scope) if v not in both),
        _between(scope, around),
        tuple(i for i, v in enumerate(around) if v not in both),
        _between(around, scope),
        tuple(held),
        tuple(pieces(network, scope, held, hard)),
    )


def _between(source: tuple[int, ...], target: tuple[int, ...]) -> Index:
    """Index from a message on the axes of one clique to the axes of its neighbour."""
    both = sorted({*source, *target})
    drop = [(ALL if v in source else None) if v in target else 0 for v in both]
    return (*drop, ALL)


def pieces(
    network: Network, scope: tuple[int, ...], held: Sequence[int], hard: frozenset[int]
) -> list[Piece]:
    """The factors of a clique; small ones without an observed node multiplied together."""
    made: list[Piece] = []
    whole = piece(scope, (), np.ones(()))
    for f in held:
        axes, values = network.factors[f]
        union = tuple(sorted({*whole.axes, *axes}))
        if hard.isdisjoint(axes) and prod(network.cards[v] for v in union) <= SMALL:
            left = _spread(whole.values, whole.axes, union)
            right = _spread(values, axes, union)
            with suppress(FloatingPointError), np.errstate(under="raise", over="raise"):
                whole = piece(scope, union, left * right)
                continue
        made.append(piece(scope, axes, values))
    return [whole, *made]


def piece(scope: tuple[int, ...], axes: tuple[int, ...], values: Any) -> Piece:
    """A factor placed in a clique; the nodes that the clique lacks are observed ones."""
    slots = tuple(v if v in axes else None for v in sorted({*scope, *axes}))
    spread = values[(*(None if v is None else ALL for v in slots), None)]
    return Piece(axes, slots, values, spread)


def _spread(values: Array, axes: tuple[int, ...], union: tuple[int, ...]) -> Array:
    return values[tuple(ALL if v in axes else None for v in union)]


def _homes(cliques: tuple[Clique, ...], sizes: list[int]) -> dict[int, Home]:
    homes: dict[int, Home] = {}
    for k in sorted(range(len(cliques)), key=sizes.__getitem__):
        scope = cliques[k].scope
        for v in scope:
            if v not in homes:
                homes[v] = Home(k, tuple(i for i, u in enumerate(scope) if u != v))
    return homes


def _cost(cliques: tuple[Clique, ...], sizes: list[int]) -> Cost:
    """Both sweeps keep every table, and need room for two more of the largest."""
    visits = [len(c.pieces) + 4 for c in cliques]
    for clique in cliques[1:]:
        visits[clique.parent] += 2
    kept = sum(piece.values.nbytes for c in cliques for piece in c.pieces)
    return Cost(
        width=max(len(c.scope) for c in cliques) - 1,
        largest=max(sizes),
        entries=sum(sizes),
        memory=8 * (sum(sizes) + 2 * max(sizes)) + kept,
        operations=sum(n * visit for n, visit in zip(sizes, visits, strict=True)),
    )


def _is_safe(network: Network, used: list[int]) -> bool:
    least = most = 0.0
    for f in used:
        values = network.factors[f].values
        positive = values[values > 0]
        least -= min(0.0, log(positive.min())) if positive.size else 0.0
        most += max(0.0, log(positive.max())) if positive.size else 0.0
    return max(least, most + sum(map(log, network.cards))) < SAFE
