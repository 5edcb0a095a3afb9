"""Trails between two sets of nodes, and what opens or blocks each of them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import heappop, heappush
from itertools import count, islice, pairwise
from typing import NamedTuple, overload

import networkx as nx

from probgen.reasoning.names import Node, shown
from probgen.reasoning.separation import Index, Nodes


class Step(NamedTuple):
    """An inner node of a trail: its kind (chain, fork, collider), whether it is open, why."""

    node: Node
    kind: str
    open: bool
    reason: str

    def __str__(self) -> str:
        return f"{shown(self.node)}, {self.reason}"


class Trail(NamedTuple):
    """A path in the skeleton, with its arrows and its inner nodes judged."""

    nodes: tuple[Node, ...]
    arrows: tuple[str, ...]
    steps: tuple[Step, ...]

    @property
    def active(self) -> bool:
        """Whether every inner node is open."""
        return all(step.open for step in self.steps)

    @property
    def path(self) -> str:
        """The trail as text, `M -> I -> T <- F`; long ones without their middle."""
        words = [shown(self.nodes[0])]
        words += [f"{a} {shown(v)}" for a, v in zip(self.arrows, self.nodes[1:], strict=False)]
        if len(words) > 12:
            words[6:-5] = [f"... ({len(words) - 11:,} nodes)"]
        return " ".join(words)

    @property
    def why(self) -> str:
        """What opens or blocks the trail: `is open at T, an observed collider`."""
        if not self.steps:
            return "is open: the nodes are adjacent"
        if blocks := [step for step in self.steps if not step.open]:
            return f"is blocked at {_joined(blocks)}"
        if colliders := [step for step in self.steps if step.kind == "collider"]:
            return f"is open at {_joined(colliders)}"
        return "is open: no node on it is observed"

    def __str__(self) -> str:
        return f"{self.path} {self.why}"


def _joined(steps: Sequence[Step]) -> str:
    more = f" and {len(steps) - 3} more" if len(steps) > 3 else ""
    return " and ".join(map(str, steps[:3])) + more


class Trails(Sequence[Trail]):
    """The trails found, shortest first; `complete` tells whether these are all."""

    def __init__(self, found: Iterable[Trail], max_trails: int) -> None:
        some = list(islice(found, max_trails + 1))
        self.max_trails, self.complete = max_trails, len(some) <= max_trails
        self._trails = some[:max_trails]

    @overload
    def __getitem__(self, index: int) -> Trail: ...
    @overload
    def __getitem__(self, index: slice) -> list[Trail]: ...
    def __getitem__(self, index: int | slice) -> Trail | list[Trail]:
        return self._trails[index]

    def __len__(self) -> int:
        return len(self._trails)

    @property
    def heading(self) -> str:
        """How many, and whether that is all."""
        if not self.complete:
            return f"the {self.max_trails:,} shortest trails; there are more"
        return {0: "no trail", 1: "the only trail"}.get(len(self), f"all {len(self):,} trails")

    def __str__(self) -> str:
        return "\n".join([f"{self.heading}:", *(f"  {trail}" for trail in self)])

    __repr__ = __str__


class Judge:
    """Judges the inner nodes of trails in one graph, given the observed nodes."""

    def __init__(self, index: Index, given: Nodes) -> None:
        self.index, self.given = index, given
        self._steps: dict[tuple[Node, str, str], Step] = {}
        self.opened_by = _observed_descendants(index, given) if index.directed else {}

    def arrow(self, u: Node, v: Node) -> str:
        """How u and v are joined."""
        if not self.index.directed:
            return "-"
        return "->" if u in self.index.parents[v] else "<-"

    def step(self, before: Node, node: Node, after: Node) -> Step:
        """The verdict at one inner node."""
        key = node, self.arrow(before, node), self.arrow(node, after)
        if key not in self._steps:
            self._steps[key] = self._step(*key)
        return self._steps[key]

    def _step(self, node: Node, into: str, out: str) -> Step:
        if (into, out) == ("->", "<-"):
            return self.collider(node)
        kind = {("<-", "->"): "fork", ("-", "-"): "node"}.get((into, out), "chain")
        observed = node in self.given
        state = "an observed" if observed else "an unobserved"
        return Step(node, kind, not observed, f"{state} {kind}")

    def collider(self, node: Node) -> Step:
        """The verdict at a collider."""
        if node in self.given:
            return Step(node, "collider", True, "an observed collider")
        if node in self.opened_by:
            below = shown(self.opened_by[node])
            return Step(node, "collider", True, f"a collider with the observed descendant {below}")
        reason = "an unobserved collider" + (
            " without observed descendants" if self.index.children[node] else ""
        )
        return Step(node, "collider", False, reason)

    def trail(self, nodes: Sequence[Node]) -> Trail:
        """The trail along these nodes."""
        arrows = tuple(self.arrow(u, v) for u, v in pairwise(nodes))
        steps = tuple(map(self.step, nodes, nodes[1:], nodes[2:]))
        return Trail(tuple(nodes), arrows, steps)


def _observed_descendants(index: Index, given: Nodes) -> dict[Node, Node]:
    """For every ancestor of an observed node, the nearest observed one."""
    frontier = [v for v in index.children if v in given]
    nearest = {v: v for v in frontier}
    for v in frontier:
        for parent in index.parents[v]:
            if parent not in nearest:
                nearest[parent] = nearest[v]
                frontier.append(parent)
    return nearest


def between(judge: Judge, x: Nodes, y: Nodes) -> Iterator[Trail]:
    """Every trail from x to y whose inner nodes lie outside both, shortest first."""
    rows, start, end = _skeleton(judge.index, x, y)
    for path in _simple_paths(rows, start, end) if rows else ():
        inner = path[1:-1]
        for u, v in _ends(judge.index, inner, x, y):
            yield judge.trail([u, *inner, v])


def _skeleton(
    index: Index, x: Nodes, y: Nodes
) -> tuple[Mapping[Node, list[Node]], "_End", "_End"]:
    """What trails can use: a biconnected component, with x and y contracted to two ends."""
    start, end = _End(), _End()
    stands = dict.fromkeys(x, start) | dict.fromkeys(y, end)
    pairs = (
        (stands.get(u, u), stands.get(v, v)) for u in index.children for v in index.children[u]
    )
    graph = nx.Graph((u, v) for u, v in pairs if u is not v)
    adjacent = graph.has_edge(start, end)
    graph.add_edge(start, end)
    used = next(c for c in nx.biconnected_components(graph) if start in c and end in c)
    if not adjacent:
        graph.remove_edge(start, end)
    rows = {u: [v for v in graph[u] if v in used] for u in graph if u in used}
    return (rows if rows[start] else {}), start, end


def _simple_paths(rows: Mapping[Node, list[Node]], start: Node, end: Node) -> Iterator[list[Node]]:
    """The paths without a repeated node, shortest first (Yen 1971, Lawler 1972).

    The paths that leave a known one at one node wait under a lower bound of their length, and
    are searched for only when their turn comes.
    """
    distance, order = _distances(rows, end), count()
    first: tuple[Node, ...] = ()
    heap = [(distance[start], True, next(order), [start], 0, first)]
    while heap:
        _, waiting, _, path, at, taken = heappop(heap)
        if waiting:
            if whole := _completed(rows, path[: at + 1], taken, end):
                heappush(heap, (len(whole) - 1, False, next(order), whole, at, taken))
            continue
        yield path
        place = {v: i for i, v in enumerate(path)}
        for i in range(at, len(path) - 1):
            taken = (*(taken if i == at else ()), path[i + 1])
            ways = [
                distance[v] for v in rows[path[i]] if v not in taken and place.get(v, i + 1) > i
            ]
            if ways:
                heappush(heap, (i + 1 + min(ways), True, next(order), path, i, taken))


def _distances(rows: Mapping[Node, list[Node]], end: Node) -> dict[Node, int]:
    found, queue = {end: 0}, [end]
    for v in queue:
        for u in rows[v]:
            if u not in found:
                found[u] = found[v] + 1
                queue.append(u)
    return found


def _completed(
    rows: Mapping[Node, list[Node]], path: list[Node], taken: tuple[Node, ...], end: Node
) -> list[Node]:
    """The path with the shortest way on to the end, first to none of `taken`; empty if none."""
    came = dict.fromkeys(path, path[-1])
    queue = [v for v in rows[path[-1]] if v not in came and v not in taken]
    came |= dict.fromkeys(queue, path[-1])
    for v in queue:
        if v == end:
            return path + _back(came, path[-1], end)
        for u in rows[v]:
            if u not in came:
                came[u] = v
                queue.append(u)
    return []


def _back(came: Mapping[Node, Node], start: Node, end: Node) -> list[Node]:
    """The nodes after the start that led to the end."""
    nodes = [end]
    while came[nodes[-1]] != start:
        nodes.append(came[nodes[-1]])
    return nodes[::-1]


def _ends(index: Index, inner: Sequence[Node], x: Nodes, y: Nodes) -> Iterator[tuple[Node, Node]]:
    """The pairs of real end nodes that complete an inner path."""
    if inner:
        after = _neighbours(index, inner[-1])
        for u in _neighbours(index, inner[0]):
            if u in x:
                yield from ((u, v) for v in after if v in y)
        return
    for u in index.children:
        if u in x:
            yield from ((u, v) for v in _neighbours(index, u) if v in y)


def _neighbours(index: Index, node: Node) -> tuple[Node, ...]:
    return *index.parents.get(node, ()), *index.children[node]


class _End:
    """A node that equals no node of the user's."""


def shortest_open(judge: Judge, x: Nodes, y: Nodes) -> Trail | None:
    """The shortest open trail, by breadth-first search over (node, entered by an arrow head).

    A shortest open walk repeats no node: a shortcut at a repeated node stays open, because a
    loop that leaves it downwards and comes back from below has an open collider beneath it.
    """
    came: dict[tuple[Node, bool], tuple[Node, bool] | None] = {
        (v, False): None for v in judge.index.children if v in x
    }
    queue = list(came)
    for state in queue:
        for following in _passed(judge, *state, starting=came[state] is None):
            if following in came or following[0] in x:
                continue
            came[following] = state
            if following[0] in y:
                return judge.trail(_walk(came, following))
            queue.append(following)
    return None


def _passed(judge: Judge, node: Node, head: bool, starting: bool) -> Iterator[tuple[Node, bool]]:
    index, observed = judge.index, node in judge.given
    if not index.directed:
        if not observed:
            yield from ((v, False) for v in index.children[node])
        return
    if starting or not observed:
        yield from ((v, True) for v in index.children[node])
    if starting or (node in judge.opened_by if head else not observed):
        yield from ((v, False) for v in index.parents[node])


def _walk(
    came: dict[tuple[Node, bool], tuple[Node, bool] | None], state: tuple[Node, bool]
) -> list[Node]:
    nodes, at = [], state
    while at is not None:
        nodes.append(at[0])
        at = came[at]  # type: ignore[assignment]
    return nodes[::-1]


def first_blocks(judge: Judge, x: Nodes, y: Nodes) -> list[Step]:
    """Where the open walks from x end: every trail to y is blocked first at one of these nodes."""
    rows, *_ = _skeleton(judge.index, x, y)
    used = x | y | frozenset(rows)
    queue: list[tuple[Node, bool]] = [(v, False) for v in judge.index.children if v in x]
    seen, blocks = set(queue), dict[Node, Step]()
    for node, head in queue:
        if node not in x and _blocks(judge, node, head, used):
            blocks.setdefault(node, _block(judge, node))
        for state in _passed(judge, node, head, starting=node in x):
            if state not in seen and state[0] in used and state[0] not in x:
                seen.add(state)
                queue.append(state)
    return list(blocks.values())


def _blocks(judge: Judge, node: Node, head: bool, used: Nodes) -> bool:
    """Whether a walk that enters the node is stopped from going on along some trail."""
    if not (head and judge.index.directed):
        return node in judge.given
    if node in judge.given:
        return not used.isdisjoint(judge.index.children[node])
    return node not in judge.opened_by and len(used.intersection(judge.index.parents[node])) > 1


def _block(judge: Judge, node: Node) -> Step:
    if node not in judge.given:
        return judge.collider(node)
    kind = "non-collider" if judge.index.directed else "node"
    return Step(node, kind, False, f"an observed {kind}")
