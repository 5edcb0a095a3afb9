"""The separation query of `separation.Index` in numba, for directed graphs."""

from collections.abc import Callable, Collection, Mapping
from itertools import chain

import numpy as np
from numba import njit

from probgen.graph import Node

OBSERVED, TARGET, ANCESTRAL, REACHED, OPENED = 1, 2, 4, 8, 16


def reaches(
    parents: Mapping[Node, Collection[Node]], children: Mapping[Node, Collection[Node]]
) -> Callable[[frozenset[Node], frozenset[Node], frozenset[Node]], bool]:
    """The query function of a directed graph: (x, y, given) -> whether a trail is open."""
    position = {v: i for i, v in enumerate(children)}
    up, down = _rows(parents, position), _rows(children, position)
    flags = np.zeros(len(position), dtype=np.uint8)
    queue, stack = np.empty((2, len(position)), dtype=np.int32)

    def query(x: frozenset[Node], y: frozenset[Node], given: frozenset[Node]) -> bool:
        nodes = np.array([position[v] for v in chain(x, y, given)], dtype=np.int32)
        return _query(*up, *down, nodes, len(x), len(y), flags, stack, queue)

    query(frozenset(), frozenset(), frozenset())
    return query


def _rows(rows: Mapping[Node, Collection[Node]], position: Mapping[Node, int]) -> tuple[np.ndarray, np.ndarray]:
    ends = np.cumsum([0, *map(len, rows.values())], dtype=np.int32)
    flat = chain.from_iterable(rows.values())
    return ends, np.fromiter(map(position.__getitem__, flat), np.int32, int(ends[-1]))


@njit(cache=True)
def _ancestors(ups, up, nodes, n_x, n_y, flags, stack):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    size = 0
    for i in range(nodes.size):
        v = nodes[i]
        role = 0 if i < n_x else (TARGET if i < n_x + n_y else OBSERVED)
        flags[v] = ANCESTRAL | role
        stack[size] = v
        size += 1
    at = 0
    while at < size:
        v = stack[at]
        at += 1
        for p in up[ups[v] : ups[v + 1]]:
            if not flags[p]:
                flags[p] = ANCESTRAL
                stack[size] = p
                size += 1
    return size


@njit(cache=True)
def _enter(v, flags, queue, size):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Reach v unless it is observed or reached; the new size of the queue, -1 at the target."""
    if flags[v] & TARGET:
        return -1
    if not flags[v] & (OBSERVED | REACHED):
        flags[v] |= REACHED
        queue[size] = v
        size += 1
    return size


@njit(cache=True)
def _open(v, ups, up, flags, queue, size):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Reach the parents of v, which are married in the moral graph."""
    if flags[v] & OPENED:
        return size
    flags[v] |= OPENED
    for p in up[ups[v] : ups[v + 1]]:
        size = _enter(p, flags, queue, size)
        if size < 0:
            break
    return size


@njit(cache=True)
def _flood(ups, up, downs, down, flags, queue, size):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    at = 0
    while at < size:
        v = queue[at]
        at += 1
        size = _open(v, ups, up, flags, queue, size)
        if size < 0:
            return True
        for c in down[downs[v] : downs[v + 1]]:
            if flags[c] & ANCESTRAL:
                size = _enter(c, flags, queue, size)
                if size < 0:
                    return True
                size = _open(c, ups, up, flags, queue, size)
                if size < 0:
                    return True
    return False


@njit(cache=True)
def _query(ups, up, downs, down, nodes, n_x, n_y, flags, stack, queue):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    touched = _ancestors(ups, up, nodes, n_x, n_y, flags, stack)
    for i in range(n_x):
        flags[nodes[i]] |= REACHED
        queue[i] = nodes[i]
    answer = _flood(ups, up, downs, down, flags, queue, n_x)
    for i in range(touched):
        flags[stack[i]] = 0
    return answer
