"""The separation query of `separation.Index` in numba, for directed graphs."""

from collections.abc import Callable, Collection, Mapping
from itertools import chain
from typing import NamedTuple, TypeAlias

import numpy as np
from numba import njit

from probgen.reasoning.names import Node

Rows: TypeAlias = Mapping[Node, Collection[Node]]
Set: TypeAlias = frozenset[Node]

OBSERVED, TARGET, ANCESTRAL, REACHED, OPENED, ABOVE_X, ABOVE_Y = (1 << i for i in range(7))


class Work(NamedTuple):
    """The graph as rows of neighbours, and scratch space of one or two entries per node."""

    ups: np.ndarray
    up: np.ndarray
    downs: np.ndarray
    down: np.ndarray
    flags: np.ndarray
    stack: np.ndarray
    queue: np.ndarray


def reaches(parents: Rows, children: Rows) -> Callable[[Set, Set, Set], bool]:
    """The query function of a directed graph: (x, y, given) -> whether a trail is open."""
    position = {v: i for i, v in enumerate(children)}
    size, known = len(position), position.__getitem__
    scratch = np.zeros(4 * size, np.int32)
    memory = np.concatenate([*_rows(parents, position), *_rows(children, position), scratch])

    def query(x: Set, y: Set, given: Set) -> bool:
        n_x, n_y = len(x), len(y)
        ids = np.fromiter(map(known, chain(x, y, given)), np.int32, n_x + n_y + len(given))
        return bool(_query(memory, size, ids, n_x, n_y))

    query(frozenset(), frozenset(), frozenset())
    return query


def _rows(rows: Rows, position: Mapping[Node, int]) -> tuple[np.ndarray, np.ndarray]:
    ends = np.cumsum([0, *map(len, rows.values())], dtype=np.int32)
    flat = chain.from_iterable(rows.values())
    return ends, np.fromiter(map(position.__getitem__, flat), np.int32, int(ends[-1]))


@njit(cache=True)
def _parts(memory: np.ndarray, size: int) -> Work:
    """Views of one array: a call costs by the arrays that it is given."""
    edges = memory[size]
    up, downs = size + 1, size + 1 + edges
    down, flags = downs + size + 1, downs + size + 1 + edges
    return Work(
        memory[:up],
        memory[up:downs],
        memory[downs:down],
        memory[down:flags],
        memory[flags : flags + size],
        memory[flags + size : flags + 3 * size],
        memory[flags + 3 * size :],
    )


@njit(cache=True)
def _query(memory: np.ndarray, size: int, nodes: np.ndarray, n_x: int, n_y: int) -> bool:
    work = _parts(memory, size)
    flags, stack = work.flags, work.stack
    x, y, given = nodes[:n_x], nodes[n_x : n_x + n_y], nodes[n_x + n_y :]
    for v in given:
        flags[v] = OBSERVED
    top, met = _climb(work, x, 0, ABOVE_X, OBSERVED | ABOVE_X, 0)
    if not met:
        top, met = _climb(work, y, top, ABOVE_Y, OBSERVED | ABOVE_Y, ABOVE_X)
    if not met:
        top, _ = _climb(work, nodes, top, ANCESTRAL, ANCESTRAL, 0)
        met = _flood(work, x, y)
    for v in stack[:top]:
        flags[v] = 0
    for v in given:
        flags[v] = 0
    return met


@njit(cache=True)
def _climb(
    work: Work, starts: np.ndarray, at: int, own: int, skip: int, stop: int
) -> tuple[int, bool]:
    """Flag what lies upstream with `own`, around `skip`; true on meeting `stop`."""
    ups, up, flags, stack = work.ups, work.up, work.flags, work.stack
    size = at  # the stack has room: what lies above x, above y (disjoint), and all ancestors
    for v in starts:
        if flags[v] & stop:
            return size, True
        flags[v] |= own
        stack[size] = v
        size += 1
    while at < size:
        v = stack[at]
        at += 1
        for i in range(ups[v], ups[v + 1]):
            p = up[i]
            if flags[p] & stop:
                return size, True
            if not flags[p] & skip:
                flags[p] |= own
                stack[size] = p
                size += 1
    return size, False


@njit(cache=True)
def _flood(work: Work, x: np.ndarray, y: np.ndarray) -> bool:
    """Flood the moral graph of the ancestors from x, around the observed, until y.

    A node reaches its family, itself with its parents, and the families of its children.
    """
    ups, up, downs, down = work.ups, work.up, work.downs, work.down
    flags, queue = work.flags, work.queue
    for v in y:
        flags[v] |= TARGET
    for i, v in enumerate(x):
        flags[v] |= REACHED
        queue[i] = v
    at, size = 0, len(x)
    while at < size:
        v = queue[at]
        at += 1
        for i in range(downs[v] - 1, downs[v + 1]):
            family = v if i < downs[v] else down[i]
            if flags[family] & (ANCESTRAL | OPENED) != ANCESTRAL:
                continue
            flags[family] |= OPENED
            for j in range(ups[family] - 1, ups[family + 1]):
                u = family if j < ups[family] else up[j]
                if flags[u] & TARGET:
                    return True
                if not flags[u] & (OBSERVED | REACHED):
                    flags[u] |= REACHED
                    queue[size] = u
                    size += 1
    return False
