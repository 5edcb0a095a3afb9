"""Is x independent of y given z, and why: `check`, `grade`, `independencies`, `index`."""

from functools import cached_property
from numbers import Integral
from typing import TYPE_CHECKING, Any

from probgen.graph import GraphError, Node, UnknownNode, listed
from probgen.reasoning.separation import Index, Nodes
from probgen.reasoning.statements import Independencies, Statement, independencies
from probgen.reasoning.trails import (
    Judge,
    Step,
    Trail,
    Trails,
    between,
    first_blocks,
    shortest_open,
)

if TYPE_CHECKING:
    from probgen.reasoning.claims import Grades

__all__ = [
    "GraphError",
    "Independencies",
    "Index",
    "Statement",
    "Step",
    "Trail",
    "Trails",
    "UnknownNode",
    "Verdict",
    "check",
    "grade",
    "independencies",
    "index",
]


class Verdict:
    """The answer to one query: truthy for independent; explains itself when asked.

    Attributes:
        independent: the answer.
        x, y, given: the node sets of the query.
        limit: how many trails are listed at most.
    """

    def __init__(self, index: Index, x: Nodes, y: Nodes, given: Nodes, limit: int) -> None:
        self._index, self.x, self.y, self.given, self.limit = index, x, y, given, limit
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
        """The trails between x and y, shortest first, at most `limit`; says whether these are all.

        An inner node of a trail lies in neither x nor y. Each trail is judged at every inner node.
        """
        return Trails(between(self._judge, self.x, self.y), self.limit)

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
        from probgen.reasoning import drawing

        return drawing.plot(self._index.graph, self.given, self.open_trail, ax)

    def _repr_html_(self) -> str:
        from probgen.reasoning import drawing

        return drawing.verdict_html(self, self._index.graph)


def check(graph: Any, x: Any, y: Any, given: Any = (), *, limit: int = 100) -> Verdict:
    """Whether x is separated from y given z, with the reason.

    A trail is open if every collider on it (-> v <-) is observed or has an observed descendant
    and no other inner node is observed; x and y are d-separated if no trail is open, and then
    independent in every distribution that factorises over the graph (Koller and Friedman 2009,
    definition 3.6 and theorem 3.3). In an undirected graph a trail is open if no inner node is
    observed (definition 4.3). Takes time linear in the graph.

    Args:
        graph: anything `graph.load` accepts, or an `index`.
        x: a node or several.
        y: a node or several.
        given: the observed nodes: one, several, or None.
        limit: the number of trails that `verdict.trails` lists at most.

    Raises:
        UnknownNode: a node that the graph does not have.
        GraphError: not an acyclic directed or an undirected graph; x or y empty; a node in two
            of the three.

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
    if not isinstance(limit, Integral) or limit < 1:
        raise GraphError(f"expected a limit of at least 1 trail; got {limit!r}")
    known = graph if isinstance(graph, Index) else Index(graph, copy=False)
    return Verdict(known, *known.query(x, y, given), limit)


def index(graph: Any, *, compiled: bool | None = None) -> Index:
    """A snapshot of the graph for many queries: `check(index, ...)`, `index.separated(...)`.

    Args:
        graph: anything `graph.load` accepts.
        compiled: use numba; None uses it where it is installed.

    >>> many = index("A -> B -> C")
    >>> many.separated("A", "C", "B"), bool(check(many, "A", "C"))
    (True, False)
    """
    return Index(graph, compiled)


def grade(graph: Any, claims: Any) -> "Grades":
    r"""Judge claims about a graph, written as text, against their claimed truth: for coursework.

    A claim is an independence (`"M _||_ T | D, I"`, also with the signs for it or LaTeX's
    `\perp`), an equation (`"p(A|B,C) = p(A|B,C,E)"`, `"p(A,B) = p(A) p(B)"`), `"MB(T) = O, A"`,
    `"cliques = {A,B}, {B,C}"`, `"moral graph: A - B; C"`, `"chordal"`, `"I-map: A - B; C"` or
    `"perfect map: A - B; C"`. Cliques and chordality of a directed graph are its moral graph's.

    Args:
        graph: anything `graph.load` accepts.
        claims: claims taken as true, pairs (claim, claimed truth), or a dict of them.

    Raises:
        GraphError: a claim that cannot be read, or that names an unknown node.

    >>> print(grade("pharmacy", {"M _||_ T | D, I": False, "M _||_ F": True}))
    1 of 2 right
    WRONG: M _||_ T | D, I is said to be false, but is true: every trail is blocked at I, ...
    right: M _||_ F is true: every trail is blocked at T, an unobserved collider ...
    """
    from probgen.reasoning import claims as reader

    return reader.grade(graph, claims)
