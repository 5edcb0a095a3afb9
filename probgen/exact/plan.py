"""In which order a network is summed out, and what that costs, before it is paid."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from copy import copy
from functools import cached_property
from math import inf, prod
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from probgen.exact.memory import allowance, available
from probgen.exact.network import Array, ExactError, Factor, Network
from probgen.exact.ordering import Order, ordered

SMALL = 1 << 16
"""Table entries that take as long as planning eight nodes."""
OFTEN = 64.0
"""Sweeps that the plan for all questions is made for."""
ONCE = 0.5
"""Sweeps that the search for the plan of one question may take."""
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
    """The cost is above `max_bytes`; nothing was computed. `cost` has the numbers."""

    def __init__(self, cost: Cost, max_bytes: float, advice: str = "") -> None:
        self.cost, self.max_bytes = cost, int(max_bytes)
        helps = [advice] if advice else []
        if cost.memory <= available():
            helps.insert(0, "raise max_bytes=")
        text = f"expected a cost of at most {_bytes(self.max_bytes)}; got {cost}"
        super().__init__(": ".join([text, " or ".join(helps)] if helps else [text]))


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
    """

    scope: tuple[int, ...]
    parent: int
    summed: tuple[int, ...]
    up: Index
    above: tuple[int, ...]
    down: Index
    factors: tuple[int, ...]


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


class Group(NamedTuple):
    """The factors of a clique: those multiplied together beforehand, and the other ones."""

    together: list[int]
    alone: list[int]


class Plan:
    """A junction tree, root first, for a network in which some nodes are always observed.

    What only a sweep needs is made at the first sweep.

    Attributes:
        hard: the nodes that are observed in every question to this plan.
        order: in which the others are summed out.
        cost: of one row without other evidence.
    """

    def __init__(
        self, network: Network, tree: "Tree", order: list[int], hard: frozenset[int]
    ) -> None:
        self._factors, self._cards, self._tree = network.factors, network.cards, tree
        self.hard, self.order = hard, order
        self._sizes = [prod(self._cards[v] for v in scope) for scope in tree.scopes]
        self._groups = [
            _grouped(network, scope, held, hard)
            for scope, held in zip(tree.scopes, tree.held, strict=True)
        ]
        self._visits = [len(group.alone) + 5 for group in self._groups]
        for parent in tree.parents[1:]:
            self._visits[parent] += 2
        self._kept = 8 * sum(self._entries(group) for group in self._groups)
        self.cost = self._cost(self._sizes, list(map(len, tree.scopes)))

    def given(self, observed: Iterable[int]) -> Cost:
        """The cost where these nodes are observed, as axes of size 1."""
        sizes, widths = list(self._sizes), list(map(len, self._tree.scopes))
        for v in observed:
            for k in self._members.get(v, ()):
                sizes[k] //= self._cards[v]
                widths[k] -= 1
        return self._cost(sizes, widths)

    def renewed(self, network: Network) -> "Plan":
        """The plan with the tables of a network that differs in nothing else."""
        made = copy(self)
        made._factors = network.factors
        for name in ("pieces", "safe"):
            made.__dict__.pop(name, None)
        return made

    @cached_property
    def cliques(self) -> tuple[Clique, ...]:
        """The tables of the tree, each after its parent."""
        return tuple(_clique(self._tree, k) for k in range(len(self._tree.scopes)))

    @cached_property
    def pieces(self) -> list[list[Piece]]:
        """What each clique is the product of, as few arrays as possible."""
        return [
            _pieces(self._factors, clique.scope, group)
            for clique, group in zip(self.cliques, self._groups, strict=True)
        ]

    @cached_property
    def homes(self) -> dict[int, Home]:
        """For every node that is not `hard` the smallest clique that has it."""
        homes: dict[int, Home] = {}
        for k in sorted(range(len(self._sizes)), key=self._sizes.__getitem__):
            scope = self._tree.scopes[k]
            for i, v in enumerate(scope):
                if v not in homes:
                    homes[v] = Home(k, (*range(i), *range(i + 1, len(scope))))
        return homes

    @cached_property
    def safe(self) -> bool:
        """Whether no product of table entries can leave the range of float64."""
        used = [self._factors[f].values.ravel() for held in self._tree.held for f in held]
        if not used:
            return True
        flat = np.concatenate(used)
        flat[flat == 0] = 1
        starts = np.cumsum([0, *map(len, used[:-1])])
        least = -np.log(np.minimum.reduceat(flat, starts)).clip(max=0).sum()
        most = np.log(np.maximum.reduceat(flat, starts)).clip(min=0).sum()
        return bool(max(least, most + np.log(self._cards).sum()) < SAFE)

    @cached_property
    def _members(self) -> dict[int, list[int]]:
        members: dict[int, list[int]] = {}
        for k, scope in enumerate(self._tree.scopes):
            for v in scope:
                members.setdefault(v, []).append(k)
        return members

    def _entries(self, group: Group) -> int:
        union = {v for f in group.together for v in self._factors[f].scope}
        alone = sum(self._factors[f].values.size for f in group.alone)
        return prod(self._cards[v] for v in union) + alone

    def _cost(self, sizes: list[int], widths: list[int]) -> Cost:
        """Both sweeps keep every table, and need room for two more of the largest."""
        entries, largest = sum(sizes), max(sizes)
        return Cost(
            width=max(widths) - 1,
            largest=largest,
            entries=entries,
            memory=8 * (entries + 2 * largest) + self._kept,
            operations=sum(n * visits for n, visits in zip(sizes, self._visits, strict=True)),
        )


class Question(NamedTuple):
    """What a plan is made for.

    Attributes:
        observed: nodes with evidence in every row, and nodes that are set by `do`.
        forced: nodes that are set by `do`: their tables do not count.
        joint: nodes that one clique has to hold.
        partly: nodes with evidence in some rows.
        pruned: leave out what none of these nodes descends from.
        last: nodes that are eliminated after all others, not by a sum.
    """

    observed: frozenset[int] = frozenset()
    forced: frozenset[int] = frozenset()
    joint: frozenset[int] = frozenset()
    partly: frozenset[int] = frozenset()
    pruned: bool = False
    last: frozenset[int] = frozenset()


def planned(
    network: Network,
    question: Question,
    max_bytes: float | None = None,
    rows: int = 1,
    advice: str = "",
) -> Plan:
    """The plan for a question: the one that takes any evidence, or one without the known nodes.

    In the first observed nodes stay as axes of size 1; in the second they leave the network.

    Args:
        network: with the tables.
        question: what is known and asked for.
        max_bytes: that may be taken.
        rows: of evidence.
        advice: what answers the question where this is refused.

    Raises:
        TooCostly: the cost is above `max_bytes`, by default half of what is available.
    """
    most = allowed(max_bytes)
    whole = _made(network, Question(), OFTEN)
    general = Question(forced=question.forced, joint=question.joint, last=question.last)
    few = SMALL // rows if rows else inf
    if not any(general) and whole.cost.entries > few:
        few = few * len(_used(network, question)) // 8
    if _answers(whole, question, few, most):
        plan = _made(network, general, OFTEN)
        if _answers(plan, question, few, most):
            return plan
    plan = _made(network, question, ONCE * rows, whole.order)
    if plan.cost.memory > most:
        plan = _made(network, question, inf, whole.order)
    if plan.cost.memory > most:
        raise TooCostly(plan.cost, most, advice)
    return plan


def allowed(max_bytes: Any) -> float:
    """The bytes that a call may take.

    Raises:
        ExactError: something else than a number.
    """
    if max_bytes is None:
        return allowance()
    if not isinstance(max_bytes, Real) or max_bytes != max_bytes:
        raise ExactError(f"expected max_bytes as a number of bytes; got {max_bytes!r}")
    return float(max_bytes)


def _answers(plan: Plan, question: Question, few: float, most: float) -> bool:
    """Whether a plan for all questions answers this one with so few table entries."""
    cost = plan.cost
    if cost.entries > few or cost.memory > most:
        cost = plan.given(question.observed)
    return cost.entries <= few and cost.memory <= most


def _made(
    network: Network, question: Question, uses: float, known: Sequence[int] | None = None
) -> Plan:
    """The plan, one of the last 64 if it was searched for as long."""
    before, plan = network.plans.pop(question, (0.0, None))
    if plan is None or before < uses:
        plan = _plan(network, question, uses, known)
    while len(network.plans) >= 64:
        network.plans.pop(next(iter(network.plans)))
    network.plans[question] = max(before, uses), plan
    return plan


def _plan(network: Network, question: Question, uses: float, known: Sequence[int] | None) -> Plan:
    hard, joint = question.observed, question.joint - question.observed
    last = question.last - hard
    scopes = {f: _without(network.factors[f].scope, hard) for f in _used(network, question)}
    forced = [(v,) for v in question.forced - hard]
    order = ordered(network.cards, [*scopes.values(), *forced, tuple(joint)], uses, known, last)
    tree = _filled(_rooted(_tree(order), joint), order.nodes, scopes)
    return Plan(network, tree, order.nodes, hard)


def _without(scope: tuple[int, ...], hard: frozenset[int]) -> tuple[int, ...]:
    return scope if hard.isdisjoint(scope) else tuple(v for v in scope if v not in hard)


def _used(network: Network, question: Question) -> list[int]:
    """The factors that the answer depends on."""
    if not network.directed:
        return list(range(len(network.factors)))
    if not question.pruned:
        return [f for f in range(len(network.factors)) if f not in question.forced]
    asked = question.observed | question.joint | question.partly | question.last
    return sorted(network.ancestors(asked, question.forced) - question.forced)


class Tree(NamedTuple):
    """Maximal cliques, ascending, each after its parent.

    Attributes:
        scopes: the nodes of each clique.
        parents: of each clique.
        home: for each node the clique at which it is summed out.
        held: for each clique the numbers of its factors.
    """

    scopes: list[tuple[int, ...]]
    parents: list[int]
    home: dict[int, int]
    held: list[list[int]]


def _tree(order: Order) -> Tree:
    place = {v: k for k, v in enumerate(order.nodes)}
    scopes: list[frozenset[int]] = []
    parents, home = list[int](), dict[int, int]()
    for v, clique in zip(reversed(order.nodes), reversed(order.cliques), strict=True):
        around = clique - {v}
        parent = home[min(around, key=place.__getitem__)] if around else 0
        if around and scopes[parent] == around:
            scopes[parent] = clique
            home[v] = parent
        else:
            home[v] = len(scopes)
            parents.append(parent)
            scopes.append(clique)
    if not scopes:
        return Tree([()], [0], {}, [])
    return Tree([tuple(sorted(scope)) for scope in scopes], parents, home, [])


def _rooted(tree: Tree, joint: frozenset[int]) -> Tree:
    """The same tree with a clique that holds the joint nodes as its root."""
    root = next(k for k, scope in enumerate(tree.scopes) if joint.issubset(scope))
    if not root:
        return tree
    near: list[list[int]] = [[] for _ in tree.scopes]
    for k, parent in enumerate(tree.parents[1:], 1):
        near[k].append(parent)
        near[parent].append(k)
    found, parents = [root], {root: root}
    for k in found:
        for other in near[k]:
            if other not in parents:
                parents[other] = k
                found.append(other)
    place = {k: i for i, k in enumerate(found)}
    return Tree(
        [tree.scopes[k] for k in found],
        [place[parents[k]] for k in found],
        {v: place[k] for v, k in tree.home.items()},
        [],
    )


def _filled(tree: Tree, order: list[int], scopes: dict[int, tuple[int, ...]]) -> Tree:
    """The tree with its factors: one goes where its first node is summed out."""
    held: list[list[int]] = [[] for _ in tree.scopes]
    place = {v: k for k, v in enumerate(order)}
    for factor, scope in scopes.items():
        home = tree.home[min(scope, key=place.__getitem__)] if scope else 0
        held[home].append(factor)
    return tree._replace(held=held)


def _grouped(
    network: Network, scope: tuple[int, ...], held: list[int], hard: frozenset[int]
) -> Group:
    """Small factors without an observed node are multiplied together."""
    group, union, size = Group([], []), set[int](), 1
    for f in held:
        axes = network.factors[f].scope
        larger = size * prod(network.cards[v] for v in axes if v not in union)
        if hard.isdisjoint(axes) and larger <= SMALL:
            group.together.append(f)
            union.update(axes)
            size = larger
        else:
            group.alone.append(f)
    return group


def _clique(tree: Tree, k: int) -> Clique:
    scope, parent = tree.scopes[k], tree.parents[k]
    around = tree.scopes[parent]
    both = sorted({*scope, *around})
    return Clique(
        scope,
        parent,
        tuple(i for i, v in enumerate(scope) if v not in around),
        _between(both, scope, around),
        tuple(i for i, v in enumerate(around) if v not in scope),
        _between(both, around, scope),
        tuple(tree.held[k]),
    )


def _between(both: list[int], source: tuple[int, ...], target: tuple[int, ...]) -> Index:
    """Index from a message on the axes of one clique to the axes of its neighbour."""
    drop = [(ALL if v in source else None) if v in target else 0 for v in both]
    return (*drop, ALL)


def _pieces(factors: list[Factor], scope: tuple[int, ...], group: Group) -> list[Piece]:
    """The factors of a clique, multiplied together unless that leaves the range of float64."""
    made = list[Piece]()
    start = factors[group.together[0]] if group.together else Factor((), np.ones(()))
    whole = piece(scope, *start)
    for f in group.together[1:]:
        axes, values = factors[f]
        union = tuple(sorted({*whole.axes, *axes}))
        left, right = _spread(whole.values, whole.axes, union), _spread(values, axes, union)
        with suppress(FloatingPointError), np.errstate(under="raise", over="raise"):
            whole = piece(scope, union, left * right)
            continue
        made.append(piece(scope, axes, values))
    return [whole, *made, *(piece(scope, *factors[f]) for f in group.alone)]


def piece(scope: tuple[int, ...], axes: tuple[int, ...], values: Any) -> Piece:
    """A factor placed in a clique; the nodes that the clique lacks are observed ones."""
    slots = tuple(v if v in axes else None for v in sorted({*scope, *axes}))
    spread = values[(*(None if v is None else ALL for v in slots), None)]
    return Piece(axes, slots, values, spread)


def _spread(values: Array, axes: tuple[int, ...], union: tuple[int, ...]) -> Array:
    return values[tuple(ALL if v in axes else None for v in union)]
