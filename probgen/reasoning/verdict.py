"""`check`: is x independent of y given z, and why."""

from functools import cached_property
from html import escape
from numbers import Integral
from typing import Any

import networkx as nx

from probgen.reasoning.colours import BLOCKED, OPEN
from probgen.reasoning.drawing import node_pairs, picture, plot, svg
from probgen.reasoning.loading import GraphLike
from probgen.reasoning.names import GraphError, Node, listed
from probgen.reasoning.separation import Index, Nodes
from probgen.reasoning.trails import (
    Judge,
    Step,
    Trail,
    Trails,
    between,
    first_blocks,
    shortest_open,
)


class Verdict:
    """The answer to one query: truthy for independent; explains itself when asked.

    Attributes:
        independent: the answer.
        x, y, given: the node sets of the query.
        max_trails: how many trails are listed at most.
    """

    def __init__(self, index: Index, x: Nodes, y: Nodes, given: Nodes, max_trails: int) -> None:
        self._index, self.x, self.y, self.given = index, x, y, given
        self.max_trails = max_trails
        self.independent = not index.reaches(x, y, given)

    def __bool__(self) -> bool:
        return self.independent

    @cached_property
    def _judge(self) -> Judge:
        nodes, known = self.x | self.y | self.given, self._index.children.keys()
        if not nodes <= known or self.independent == self._index.reaches(
            self.x, self.y, self.given
        ):
            raise GraphError("the graph changed after the check: check again")
        return Judge(self._index, self.given)

    @cached_property
    def open_trail(self) -> Trail | None:
        """The shortest open trail; None when independent. Found in linear time."""
        return None if self.independent else shortest_open(self._judge, self.x, self.y)

    @cached_property
    def trails(self) -> Trails:
        """The trails between x and y, shortest first, at most `max_trails`.

        They say whether these are all. An inner node of a trail lies in neither x nor y. Each
        trail is judged at every inner node.
        """
        return Trails(between(self._judge, self.x, self.y), self.max_trails)

    @cached_property
    def certificate(self) -> list[Step]:
        """When independent: the nodes at which every trail from x is blocked first, and why."""
        return first_blocks(self._judge, self.x, self.y) if self.independent else []

    def __str__(self) -> str:
        state = "independent" if self.independent else "dependent"
        given = f" given {self._named(self.given)}" if self.given else ""
        return f"{self._named(self.x)} and {self._named(self.y)} are {state}{given}: {self.why}"

    __repr__ = __str__

    @property
    def why(self) -> str:
        """The reason in one line: the shortest open trail, or what blocks all of them."""
        if self.open_trail:
            return str(self.open_trail)
        blocks = list(map(str, self.certificate))
        if not blocks:
            return "no trail connects them"
        more = f" or {len(blocks) - 4} more nodes" if len(blocks) > 4 else ""
        return f"every trail is blocked at {' or at '.join(blocks[:4])}{more}"

    def ordered(self, nodes: Nodes) -> list[Node]:
        """Nodes in the order of the graph."""
        return [v for v in self._index.children if v in nodes]

    def _named(self, nodes: Nodes) -> str:
        return listed(self.ordered(nodes))

    def latex(self) -> str:
        r"""The statement in LaTeX.

        >>> print(check("A -> C <- B", "A", "B", "C").latex())
        \mathrm{A} \not\perp \mathrm{B} \mid \mathrm{C}
        """
        from probgen.reasoning.latex import names

        x, y, given = (names(self.ordered(s)) for s in (self.x, self.y, self.given))
        relation = r"\perp" if self.independent else r"\not\perp"
        return f"{x} {relation} {y}" + (rf" \mid {given}" if given else "")

    def plot(self, ax: Any = None) -> Any:
        """Draw the graph with matplotlib: observed nodes shaded, the open trail marked."""
        return plot(self._index.graph, self.given, self.open_trail, ax)

    def _repr_html_(self) -> str:
        return _html(self, self._index.graph)


def check(graph: GraphLike, x: Any, y: Any, given: Any = (), *, max_trails: int = 100) -> Verdict:
    """Whether x is separated from y given z, with the reason.

    A trail is open if every collider on it (-> v <-) is observed or has an observed descendant
    and no other inner node is observed; x and y are d-separated if no trail is open, and then
    independent in every distribution that factorises over the graph (Koller and Friedman 2009,
    definition 3.6 and theorem 3.3). In an undirected graph a trail is open if no inner node is
    observed (definition 4.3). Takes time linear in the graph.

    Args:
        graph: anything `graph.load` accepts, or an `index`.
        x: a node or several; a tuple that is a node stands for that node.
        y: a node or several.
        given: the observed nodes: one, several, or None.
        max_trails: the number of trails that `verdict.trails` lists at most.

    Raises:
        UnknownNode: a node that the graph does not have.
        GraphError: not an acyclic directed or an undirected graph; x or y empty; a node in two
            of the three; a tuple that is a node of the graph, as are its parts.

    The explanation is read off the graph when it is asked for: `index` keeps a copy if the graph
    changes in between.

    >>> pharmacy = "M -> I <- S; I -> T <- F; I -> D <- T"
    >>> check(pharmacy, "M", "F", given=["T"])
    M and F are dependent given T: M -> I -> T <- F is open at T, an observed collider
    >>> check(pharmacy, "M", "F")
    M and F are independent: every trail is blocked at T, an unobserved collider without observed
    descendants or at D, an unobserved collider
    >>> bool(check(pharmacy, "M", "T", given=["D", "I"]))
    True
    """
    if not isinstance(max_trails, Integral) or max_trails < 1:
        raise GraphError(f"expected max_trails to be at least 1 trail; got {max_trails!r}")
    known = graph if isinstance(graph, Index) else Index(graph, copy=False)
    return Verdict(known, *known.query(x, y, given), max_trails)


def _html(verdict: Verdict, graph: nx.Graph) -> str:
    """The answer, the graph with its open trails and blocks in colour, and the trails."""
    colours = {pair: OPEN for t in verdict.trails if t.active for pair in node_pairs(t.nodes)}
    rims = {step.node: BLOCKED for step in verdict.certificate}
    rims |= dict.fromkeys(verdict.x | verdict.y, OPEN)
    rows = "".join(
        f'<li style="color:{OPEN if t.active else BLOCKED}">{escape(str(t))}</li>'
        for t in verdict.trails
    )
    shown_graph = svg(picture(graph, verdict.given, colours, rims)) if len(graph) <= 200 else ""
    return (
        f"<div><p><b>{escape(str(verdict))}</b></p>{shown_graph}"
        f"<p>{escape(verdict.trails.heading)}</p><ol>{rows}</ol></div>"
    )
