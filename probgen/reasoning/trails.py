"""Trails between two sets of nodes, and what opens or blocks each of them."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, pairwise
from typing import NamedTuple, overload

import networkx as nx

from probgen.graph import Node, shown
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

    def __init__(self, found: Iterable[Trail], limit: int) -> None:
        some = list(islice(found, limit + 1))
        self.limit, self.complete = limit, len(some) <= limit
        self._trails = some[:limit]

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
            return f"the {self.limit:,} shortest trails; there are more"
        return {0: "no trail", 1: "the only trail"}.get(len(self), f"all {len(self):,} trails")

    def __str__(self) -> str:
        return "\n".join([f"{self.heading}:", *(f"  {trail}" for trail in self)])

    __repr__ = __str__


class Judge:
    """Judges the inner nodes of trails in one graph, given the observed nodes."""

    def __init__(self, index: Index, given: Nodes) -> None:
        self.index, self.given = index, given
        self.opened_by = _observed_descendants(index, given) if index.directed else {}

    def arrow(self, u: Node, v: Node) -> str:
        """How u and v are joined."""
        if not self.index.directed:
            return "-"
        return "->" if u in self.index.parents[v] else "<-"

    def step(self, before: Node, node: Node, after: Node) -> Step:
        """The verdict at one inner node."""
        arrows = self.arrow(before, node), self.arrow(node, after)
        if arrows == ("->", "<-"):
            return self.collider(node)
        kind = {("<-", "->"): "fork", ("-", "-"): "node"}.get(arrows, "chain")
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
    """Every trail from x to y whose inner nodes lie outside both, shortest first.

    Yen's algorithm (1971) on the skeleton, as networkx has it, with x and y drawn together.
    """
    skeleton, ends = _skeleton(judge.index, x, y)
    if not skeleton:
        return
    for path in nx.shortest_simple_paths(skeleton, *ends):
        inner = path[1:-1]
        for u, v in _ends(judge.index, inner, x, y):
            yield judge.trail([u, *inner, v])


def _skeleton(index: Index, x: Nodes, y: Nodes) -> tuple[nx.Graph, tuple[object, object]]:
    """What trails can use: a biconnected component, with x and y contracted to two ends."""
    ends = _End(), _End()
    stands = dict.fromkeys(x, ends[0]) | dict.fromkeys(y, ends[1])
    pairs = (
        (stands.get(u, u), stands.get(v, v)) for u in index.children for v in index.children[u]
    )
    graph = nx.Graph((u, v) for u, v in pairs if u is not v)
    adjacent = graph.has_edge(*ends)
    graph.add_edge(*ends)
    used = next(c for c in nx.biconnected_components(graph) if ends[0] in c and ends[1] in c)
    skeleton = nx.Graph(graph.subgraph(used))
    if not adjacent:
        skeleton.remove_edge(*ends)
    return (skeleton if skeleton.edges else nx.Graph()), ends


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
                return judge.trail(_back(came, following))
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


def _back(
    came: dict[tuple[Node, bool], tuple[Node, bool] | None], state: tuple[Node, bool]
) -> list[Node]:
    nodes, at = [], state
    while at is not None:
        nodes.append(at[0])
        at = came[at]  # type: ignore[assignment]
    return nodes[::-1]


def first_blocks(judge: Judge, x: Nodes, y: Nodes) -> list[Step]:
    """Where the open walks from x end: every trail to y is blocked first at one of these nodes."""
    skeleton, _ = _skeleton(judge.index, x, y)
    used = x | y | frozenset(skeleton)
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
