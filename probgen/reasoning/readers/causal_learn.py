"""causal-learn's graphs: a matrix whose entry [a, b] is the mark at a of the edge between a and b.

-1 is a tail, 1 an arrowhead, 2 a circle: `m[j, i] = 1` with `m[i, j] = -1` is i -> j
(causallearn/graph/Endpoint.py).
"""

from typing import Any

import networkx as nx

from probgen.reasoning.names import GraphError
from probgen.reasoning.readers import edges
from probgen.reasoning.readers.edges import CIRCLE, HEAD, TAIL, Edge

_MARKS = {-1: TAIL, 1: HEAD, 2: CIRCLE}


def read(source: Any) -> nx.Graph:
    """A `GeneralGraph`, a `Dag` or the result of a search (`CausalGraph`), by its nodes' names.

    Raises:
        GraphError: a graph with edges of both kinds, bidirected edges or circles.
    """
    graph = getattr(source, "G", source)
    if not (hasattr(graph, "graph") and hasattr(graph, "get_nodes")):
        raise GraphError(f"expected a causal-learn graph; got {type(source).__name__}")
    names = [node.get_name() for node in graph.get_nodes()]
    if len(set(names)) < len(names):
        raise GraphError("expected nodes with different names; got two of one name")
    return edges.graph(names, _edges(names, graph.graph))


def _edges(names: list[str], marks: Any) -> list[Edge]:
    import numpy as np

    joined = np.argwhere(np.triu((marks != 0) | (marks.T != 0)))
    return [_edge(names[i], names[j], (int(marks[i, j]), int(marks[j, i]))) for i, j in joined]


def _edge(u: str, v: str, ends: tuple[int, int]) -> Edge:
    if not _MARKS.keys() >= {*ends}:
        raise GraphError(
            f"expected one edge between {u} and {v} with ends -1, 1 or 2; got {ends}: mixed "
            "graphs are not read"
        )
    return Edge(u, v, _MARKS[ends[0]], _MARKS[ends[1]])
