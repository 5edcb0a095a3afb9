"""Moral graphs, and the demands for a directed or an undirected graph."""

from itertools import combinations

import networkx as nx

from probgen.reasoning import loading
from probgen.reasoning.loading import GraphLike
from probgen.reasoning.names import GraphError, Node, listed, shown


def directed(graph: GraphLike, use: str) -> nx.DiGraph:
    """The graph, which has to be directed for this use."""
    loaded = loading.load(graph)
    if not loaded.is_directed():
        raise GraphError(f"expected a directed graph for {use}; got an undirected one")
    return loaded


def moral(graph: GraphLike) -> nx.Graph:
    """The undirected graph in which parents of a common child are married.

    Every edge has a `reason` and `married`, the common children that led to it (empty for an
    edge that was there). It is the smallest undirected I-map of the directed graph (Koller and
    Friedman 2009, proposition 4.8).

    >>> moral("M -> I <- S").edges["M", "S"]["reason"]
    'married: M and S are parents of I'
    """
    loaded = directed(graph, "moralising")
    made = nx.Graph()
    made.add_nodes_from(loaded.nodes(data=True))
    for u, v in loaded.edges:
        made.add_edge(u, v, married=(), reason=f"{shown(u)} -> {shown(v)}")
    for child in loaded:
        for a, b in combinations(loaded.pred[child], 2):
            if not loaded.has_edge(a, b) and not loaded.has_edge(b, a):
                _marry(made, a, b, child)
    return made


def _marry(made: nx.Graph, a: Node, b: Node, child: Node) -> None:
    children = (*made.get_edge_data(a, b, {"married": ()})["married"], child)
    reason = f"married: {shown(a)} and {shown(b)} are parents of {listed(children)}"
    made.add_edge(a, b, married=children, reason=reason)


def undirected(graph: GraphLike, use: str) -> nx.Graph:
    """The graph, which has to be undirected for this use."""
    loaded = loading.load(graph)
    if loaded.is_directed():
        raise GraphError(
            f"expected an undirected graph for {use}; got a directed one: take markov.moral(graph)"
        )
    return loaded
