"""Edges by the marks at their ends, as mixed graphs write them, to one kind of graph or an error.

An edge has a tail (-), an arrowhead (>) or a circle (o) at either end (Richardson and Spirtes
2002, "Ancestral graph Markov models"; Zhang 2008 for the circle). Two tails make an undirected
edge, one arrowhead a directed one; every other edge belongs to a mixed graph and is refused by
name, for d-separation alone does not answer for it.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import networkx as nx

from probgen.reasoning.names import GraphError, Node, shown

TAIL, HEAD, CIRCLE = "-", ">", "o"


class Edge(NamedTuple):
    """An edge u - v: the marks at u and at v, its attributes, and where it was read."""

    u: Node
    v: Node
    at_u: str = TAIL
    at_v: str = HEAD
    attributes: Mapping[str, Any] = {}
    where: str = ""

    def __str__(self) -> str:
        left = "<" if self.at_u == HEAD else self.at_u.replace(TAIL, "")
        right = self.at_v.replace(TAIL, "")
        return f"{shown(self.u)} {left}-{right} {shown(self.v)}"

    @property
    def directed(self) -> bool:
        """Whether one end has an arrowhead and the other a tail."""
        return {self.at_u, self.at_v} == {TAIL, HEAD}


def graph(nodes: Iterable[Any], edges: Iterable[Edge], directed: bool = True) -> nx.Graph:
    """The graph of edges that are all directed, or all undirected.

    Args:
        nodes: nodes, or pairs of a node and its attributes.
        edges: the edges; one that goes back is turned.
        directed: what a graph without edges is.

    Raises:
        GraphError: a bidirected edge, a circle, or edges of both kinds.

    >>> graph("AB", [Edge("A", "B", ">", "-")]).edges
    OutEdgeView([('B', 'A')])
    """
    found = list(edges)
    for edge in found:
        _require_plain(edge)
    kinds = {edge.directed for edge in found} or {directed}
    if len(kinds) == 2:
        loose = next(edge for edge in found if not edge.directed)
        raise GraphError(
            f"{loose.where}expected edges of one kind; got the undirected {loose} "
            "beside directed ones: orient every edge or none"
        )
    made = nx.DiGraph() if kinds == {True} else nx.Graph()
    made.add_nodes_from(nodes)
    for u, v, at_u, _, attributes, _ in found:
        pair = (v, u) if at_u == HEAD else (u, v)
        made.add_edges_from([(*pair, attributes)])
    return made


def _require_plain(edge: Edge) -> None:
    if CIRCLE in (edge.at_u, edge.at_v):
        raise GraphError(
            f"{edge.where}expected ->, <- or -; got the circle edge {edge}: a circle leaves open "
            "whether there is an arrowhead: write each graph that it stands for"
        )
    if edge.at_u == edge.at_v == HEAD:
        raise GraphError(
            f"{edge.where}expected ->, <- or -; got the bidirected edge {edge}: name the common "
            f"cause, '{shown(edge.u)} <- U -> {shown(edge.v)}'"
        )
