"""Is x independent of y given z, and why: `check`, `grade`, `independencies`, `index`."""

from typing import TYPE_CHECKING, Any

from probgen.reasoning.loading import GraphLike
from probgen.reasoning.names import GraphError, UnknownNode
from probgen.reasoning.separation import Index
from probgen.reasoning.statements import Independencies, Statement, independencies
from probgen.reasoning.trails import Step, Trail, Trails
from probgen.reasoning.verdict import Verdict, check

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


def index(graph: GraphLike, *, compiled: bool | None = None) -> Index:
    """A snapshot of the graph for many queries: `check(index, ...)`, `index.separated(...)`.

    Args:
        graph: anything `graph.load` accepts.
        compiled: use numba; None uses it where it is installed.

    >>> many = index("A -> B -> C")
    >>> many.separated("A", "C", "B"), bool(check(many, "A", "C"))
    (True, False)
    """
    return Index(graph, compiled)


def grade(graph: GraphLike, claims: Any) -> "Grades":
    r"""Judge claims about a graph, written as text, against their claimed truth: for coursework.

    A claim is an independence (`"M _||_ T | D, I"`, also `"(M ⟂ T | D, I)"`, with the other signs
    for it or LaTeX's `\perp`; denied by `\not` or `"not (...)"`), an equation
    (`"p(A|B,C) = p(A|B,C,E)"`, `"p(A,B) = p(A) p(B)"`), `"MB(T) = O, A"`,
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
