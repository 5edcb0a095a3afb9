"""Other libraries' graphs, told by the module of their class: no library is imported for it.

A class of which only a part would be understood is refused by name: a mixed graph is no plain
graph, and a matrix of another convention is another graph.
"""

from collections.abc import Callable
from itertools import chain
from typing import Any

import networkx as nx

from probgen.reasoning.names import GraphError, shown
from probgen.reasoning.readers import edges
from probgen.reasoning.readers.edges import HEAD, TAIL, Edge


def read(source: Any) -> nx.Graph | None:
    """The graph of another library's object; None for what none of them made.

    Raises:
        GraphError: an object of these libraries that is no directed or undirected graph.

    >>> read(nx.MultiGraph([(0, 1), (0, 1)])).edges
    EdgeView([(0, 1)])
    """
    for class_ in type(source).__mro__:
        library = class_.__module__.partition(".")[0]
        if reader := _READERS.get(library):
            return reader(source)
    return None


def _pgmpy(source: Any) -> nx.Graph:
    from probgen.reasoning.readers import pgmpy

    return pgmpy.read(source)


def _causal_learn(source: Any) -> nx.Graph:
    from probgen.reasoning.readers import causal_learn

    return causal_learn.read(source)


def _pyagrum(source: Any) -> nx.Graph:
    from probgen.reasoning.readers import pyagrum

    return pyagrum.read(source)


def _networkx(graph: nx.Graph) -> nx.Graph:
    """A networkx graph as it is, unless its edges have ends of their own.

    Attributes that turn an edge or take its head, as `read_dot` leaves them, are honoured.
    """
    if isinstance(graph, nx.PlanarEmbedding):
        return nx.Graph(graph.edges)
    if _may_have_ends(graph):
        return _drawn(graph)
    return _simple(graph)


def _simple(graph: nx.Graph) -> nx.Graph:
    if graph.is_multigraph():
        return nx.DiGraph(graph) if graph.is_directed() else nx.Graph(graph)
    return graph


def _may_have_ends(graph: nx.Graph) -> bool:
    """Whether an edge has an attribute that can say what it is."""
    rows = (row.values() for row in graph._adj.values())
    if not any(chain.from_iterable(rows)):  # at the speed of C: checks of large graphs pass here
        return False
    return any(not _ENDS.isdisjoint(data) for _, _, data in graph.edges(data=True))


def _drawn(graph: nx.Graph) -> nx.Graph:
    from probgen.reasoning.readers import dot

    head = HEAD if graph.is_directed() else TAIL
    found = []
    for u, v, data in graph.edges(data=True):
        if "marks" in data:
            raise GraphError(
                f"expected plain edges; got the attribute 'marks' between {shown(u)} and "
                f"{shown(v)}: load the graph that they come from"
            )
        found.append(dot.drawn(Edge(u, v, TAIL, head, data)))
    if all(edge and (edge.at_u, edge.at_v) == (TAIL, head) for edge in found):
        return _simple(graph)
    made = edges.graph(graph.nodes.items(), filter(None, found), graph.is_directed())
    made.graph.update(graph.graph)
    return made


_ENDS = frozenset({"dir", "arrowhead", "arrowtail", "marks", "style"})


def _graphviz(source: Any) -> nx.Graph:
    """A graph of pydot, pygraphviz or graphviz, by the DOT text that it writes."""
    from probgen.reasoning.readers import dot

    write = getattr(source, "to_string", None)
    text = write() if callable(write) else getattr(source, "source", None)
    if not isinstance(text, str):
        raise GraphError(f"expected a graph; got {type(source).__name__}")
    return dot.read(text)


def _igraph(source: Any) -> nx.Graph:
    """An igraph graph; nodes go by their `name` where they have one."""
    if type(source).__name__ != "Graph" and not hasattr(source, "get_edgelist"):
        raise GraphError(f"expected an igraph.Graph; got {type(source).__name__}")
    named = "name" in source.vs.attributes()
    nodes = list(source.vs["name"]) if named else list(range(source.vcount()))
    if len(set(nodes)) < len(nodes):
        raise GraphError("expected vertices with different names; got two of one name")
    graph = nx.DiGraph() if source.is_directed() else nx.Graph()
    graph.add_nodes_from(nodes)
    graph.add_edges_from((nodes[u], nodes[v]) for u, v in source.get_edgelist())
    return graph


def _lingam(source: Any) -> nx.Graph:
    """A fitted lingam model: its entry [i, j] is the effect of j on i."""
    import numpy as np

    from probgen.reasoning.readers import matrix

    effects = getattr(source, "adjacency_matrix_", None)
    if effects is None or np.ndim(effects) != 2:
        raise GraphError(
            f"expected a fitted lingam model with one adjacency_matrix_; got "
            f"{type(source).__name__}: load the matrix of one lag with rows='children'"
        )
    if np.isnan(effects).any():
        raise GraphError(
            "expected effects without NaN, lingam's sign for a common cause that is not observed; "
            f"got {type(source).__name__} with NaN: mixed graphs are not read"
        )
    return matrix.read(np.asarray(effects) != 0, rows="children")


_READERS: dict[str, Callable[[Any], nx.Graph]] = {
    "causallearn": _causal_learn,
    "graphviz": _graphviz,
    "igraph": _igraph,
    "lingam": _lingam,
    "networkx": _networkx,
    "pgmpy": _pgmpy,
    "pyAgrum": _pyagrum,
    "pyagrum": _pyagrum,
    "pydot": _graphviz,
    "pygraphviz": _graphviz,
}
