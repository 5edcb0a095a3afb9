"""Two sweeps over the junction tree: log Z upwards, its derivatives downwards.

The upward sweep sums the product of all tables, Z(e). The downward sweep is its reverse-mode
derivative: a clique's belief is t dZ/dt for every entry t of its table, so that posteriors are
derivatives of log Z (Darwiche 2003, "A differential approach to inference in Bayesian networks",
JACM 50(3); Park and Darwiche 2004, "A differential semantics for jointree algorithms").
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from probgen.exact.network import Array
from probgen.exact.plan import ALL, Piece, Plan

CHUNK = 1 << 20
"""Table entries at a time for many rows: what a processor's cache holds."""


class Algebra(NamedTuple):
    """What a sweep computes: a product, a sum over axes that are kept as 1, and a quotient.

    `enter` takes probabilities in; `permute` and `take` (along the last axis) are the array
    library's.
    """

    times: Callable[[Any, Any], Any]
    plus: Callable[[Any, tuple[int, ...]], Any]
    over: Callable[[Any, Any], Any]
    enter: Callable[[Any], Any] = lambda values: values
    log: Callable[[Any], Any] = lambda values: values
    permute: Callable[[Any, list[int]], Any] = np.transpose
    take: Callable[[Any, Any], Any] = lambda values, code: np.take(values, code, -1)


def _sum(table: Array, axes: tuple[int, ...]) -> Array:
    return np.add.reduce(table, axis=axes, keepdims=True)


def _greatest(table: Array, axes: tuple[int, ...]) -> Array:
    return np.maximum.reduce(table, axis=axes, keepdims=True)


def _log(values: Array) -> Array:
    with np.errstate(divide="ignore"):
        return np.log(values)


def _finite(values: Array) -> Array:
    return np.where(np.isfinite(values), values, 0.0)


def _log_sum(table: Array, axes: tuple[int, ...]) -> Array:
    top = _finite(_greatest(table, axes))
    return _log(_sum(np.exp(table - top), axes)) + top


def _quotient(above: Array, below: Array) -> Array:
    """0 where the message below is 0: what it was part of is 0 as well."""
    return np.divide(above, below, out=np.zeros_like(above), where=below != 0)


def _difference(above: Array, below: Array) -> Array:
    return above - _finite(below)


LINEAR = Algebra(np.multiply, _sum, _quotient, log=_log)
LOGS = Algebra(np.add, _log_sum, _difference, enter=_log)
GREATEST = Algebra(np.add, _greatest, _difference, enter=_log)


class Evidence(NamedTuple):
    """What is known, for one row or for several.

    Attributes:
        rows: how many.
        picks: the position of the observed state: a number, or an array (rows,).
        likely: for nodes that only some rows observe, or observe softly, the likelihood of each
            state, an array (states, rows).
        forced: the nodes among `picks` that are set from outside.
        single: asked as one mapping, so that the answer is one too.
        labels: what the rows are called, where there are several.
    """

    rows: int
    picks: Mapping[int, Any]
    likely: Mapping[int, Array]
    forced: frozenset[int]
    single: bool
    labels: Any = None

    def repeated(self, n: int) -> "Evidence":
        """One row as n rows."""
        return Evidence(
            n,
            {v: np.full(n, np.ravel(code)[0]) for v, code in self.picks.items()},
            {v: np.repeat(like, n, 1) for v, like in self.likely.items()},
            self.forced,
            False,
            np.arange(n),
        )

    def parts(self, size: int) -> "list[Evidence]":
        """The same in parts of at most so many rows."""
        if self.rows <= size:
            return [self]
        spans = [slice(start, start + size) for start in range(0, self.rows, size)]
        return [
            self._replace(
                rows=min(size, self.rows - span.start),
                picks={v: codes[span] for v, codes in self.picks.items()},
                likely={v: like[:, span] for v, like in self.likely.items()},
                labels=None if self.labels is None else self.labels[span],
            )
            for span in spans
        ]


class Beliefs(NamedTuple):
    """Every clique's table after the sweeps: its axes in order, then the rows.

    Attributes:
        tables: each sums to `total` once both sweeps are done.
        total: (rows,) Z(e) up to a scale.
        log_z: (rows,) log Z(e); -inf where the evidence is impossible.
    """

    tables: list[Any]
    total: Any
    log_z: Any


def beliefs(plan: Plan, evidence: Evidence, down: bool = True) -> Beliefs:
    """Both sweeps, or only the upward one, in which case only the root's table is final.

    Linear numbers as long as none leaves the range of float64, which the processor reports;
    otherwise all of it again in logarithms.
    """
    try:
        with np.errstate(under="raise", over="raise"):
            return sweeps(plan, tables(plan, evidence, LINEAR), LINEAR, down, not plan.safe)
    except FloatingPointError:
        pass
    with np.errstate(under="ignore"):
        found = sweeps(plan, tables(plan, evidence, LOGS), LOGS, down)
        final, shift = found.tables if down else found.tables[:1], _finite(found.total)
        made = [np.exp(table - shift) for table in final]
        return Beliefs(made, np.exp(found.total - shift), found.log_z)


def sweeps(
    plan: Plan,
    made: list[Any],
    algebra: Algebra,
    down: bool = True,
    scale: bool = False,
) -> Beliefs:
    """Messages from the leaves to the root, then back; consumes the tables.

    With `scale` every message is divided by its sum, so that fewer leave the range of float64.
    """
    messages, scales = _upward(plan, made, algebra, scale)
    total = algebra.plus(made[0], tuple(range(len(plan.cliques[0].scope)))).reshape(-1)
    if down:
        _downward(plan, made, messages, algebra)
    return Beliefs(made, total, algebra.log(total) + scales)


def _upward(plan: Plan, made: list[Any], algebra: Algebra, scale: bool) -> tuple[list[Any], Any]:
    """The messages, and the logarithm of what was divided out of them on their way up."""
    times, plus = algebra.times, algebra.plus
    messages: list[Any] = [None] * len(made)
    scales: Any = 0.0
    for k in range(len(made) - 1, 0, -1):
        clique = plan.cliques[k]
        messages[k] = message = plus(made[k], clique.summed)
        if scale:
            total = plus(message, tuple(range(len(clique.scope))))
            total = total + (total == 0)
            message = message / total
            scales = scales + algebra.log(total.reshape(-1))
        made[clique.parent] = times(made[clique.parent], message[clique.up])
    return messages, scales


def _downward(plan: Plan, made: list[Any], messages: list[Any], algebra: Algebra) -> None:
    times, plus, over = algebra.times, algebra.plus, algebra.over
    for k in range(1, len(made)):
        clique = plan.cliques[k]
        above = plus(made[clique.parent], clique.above)[clique.down]
        made[k] = times(made[k], over(above, messages[k]))


def tables(plan: Plan, evidence: Evidence, algebra: Algebra, pieces: Any = None) -> list[Any]:
    """For every clique the product of its factors at the observed states."""
    pieces = pieces or plan.pieces
    look = looking(plan, evidence, algebra)
    made = []
    for few in pieces:
        table = algebra.enter(look(few[0]))
        for piece in few[1:]:
            table = algebra.times(table, algebra.enter(look(piece)))
        made.append(table)
    for home, like in indicators(plan, evidence):
        made[home] = algebra.times(made[home], algebra.enter(like))
    return made


def indicators(plan: Plan, evidence: Evidence) -> list[tuple[int, Array]]:
    """The likelihoods of nodes that are not observed in every row, each with its clique."""
    found = []
    for v, like in evidence.likely.items():
        home, others = plan.homes[v]
        axes = tuple(None if i in others else ALL for i in range(len(others) + 1))
        found.append((home, like[(*axes, ALL)]))
    return found


def looking(plan: Plan, evidence: Evidence, algebra: Algebra) -> Callable[[Piece], Any]:
    """What looks a piece up at the observed states."""
    return _one_state(plan, evidence) if evidence.single else _states(plan, evidence, algebra)


def _one_state(plan: Plan, evidence: Evidence) -> Callable[[Piece], Any]:
    """Look a piece up at one state of each observed node, which stays as an axis of size 1."""
    cut = {v: e if v in plan.hard else slice(e, e + 1) for v, e in evidence.picks.items()}
    free = cut.keys().isdisjoint

    def look(piece: Piece) -> Any:
        if free(piece.axes):
            return piece.spread
        slots = [None if v is None else cut.get(v, ALL) for v in piece.slots]
        return piece.values[(*slots, None)]

    return look


def _states(plan: Plan, evidence: Evidence, algebra: Algebra) -> Callable[[Piece], Any]:
    """Look a piece up at the observed states of every row, which become the last axis."""
    picks, hard = evidence.picks, plan.hard

    def look(piece: Piece) -> Any:
        seen = [i for i, v in enumerate(piece.axes) if v in picks]
        if not seen:
            return piece.spread
        rest = [i for i in range(len(piece.axes)) if i not in seen]
        shape = piece.values.shape
        code = 0
        for i in seen:
            code = code * shape[i] + picks[piece.axes[i]]
        flat = algebra.permute(piece.values, rest + seen).reshape([shape[i] for i in rest] + [-1])
        slots = [
            ALL if v is not None and v not in picks else None for v in piece.slots if v not in hard
        ]
        return algebra.take(flat, code)[(*slots, ALL)]

    return look
