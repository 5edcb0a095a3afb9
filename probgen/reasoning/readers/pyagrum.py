"""pyAgrum's networks with their tables, and its graphs; states go by their labels."""

from collections.abc import Iterable
from typing import Any

import networkx as nx

from probgen.reasoning.names import GraphError
from probgen.reasoning.readers import edges
from probgen.reasoning.readers.edges import TAIL, Edge

_INSTEAD = {
    "BayesNetFragment": "load the network that it is a part of",
    "CliqueGraph": "its nodes are cliques: load the network that it was made from",
    "CredalNet": "its tables are intervals",
    "InfluenceDiagram": "decisions and utilities have no probabilities",
}


def read(source: Any) -> nx.Graph:
    """A `BayesNet` or `MarkovRandomField` with its tables, or a graph of pyAgrum's.

    A `DAG`, `UndiGraph`, `MixedGraph`, `PDAG` or `EssentialGraph` has numbers as nodes.

    Raises:
        GraphError: another object of pyAgrum's, or edges of both kinds.
    """
    kind = type(source).__name__
    if kind == "BayesNet":
        return _bayesian(source)
    if kind in ("MarkovRandomField", "MarkovNet"):
        return _markov(source)
    if kind not in ("DAG", "EssentialGraph", "MixedGraph", "PDAG", "UndiGraph"):
        hint = _INSTEAD.get(kind, "")
        raise GraphError(
            "expected a pyAgrum BayesNet, MarkovRandomField, DAG or UndiGraph; got "
            f"{kind}{': ' * bool(hint)}{hint}"
        )
    return edges.graph(sorted(source.nodes()), _edges(source), directed=kind != "UndiGraph")


def _edges(source: Any) -> list[Edge]:
    def pairs(name: str) -> Iterable[tuple[int, int]]:
        return sorted(getattr(source, name, set)())

    arcs = [Edge(u, v) for u, v in pairs("arcs")]
    return arcs + [Edge(u, v, TAIL, TAIL) for u, v in pairs("edges")]


def _bayesian(network: Any) -> nx.DiGraph:
    """Nodes in the order of their numbers, each with its table (*parents, node)."""
    import numpy as np

    graph = nx.DiGraph()
    _add_nodes(graph, network)
    for number in sorted(network.nodes()):
        node = network.variable(number).name()
        (_, *parents), values = _table(network.cpt(number))
        graph.add_edges_from((parent, node) for parent in parents)
        table = np.ascontiguousarray(np.moveaxis(values, 0, -1))
        graph.nodes[node].update(parents=tuple(parents), table=table)
    return graph


def _markov(network: Any) -> nx.Graph:
    graph = nx.Graph()
    _add_nodes(graph, network)
    names = {number: network.variable(number).name() for number in network.nodes()}
    graph.add_edges_from((names[u], names[v]) for u, v in sorted(network.edges()))
    scopes = sorted(map(sorted, network.factors()))
    graph.graph["factors"] = [_table(network.factor(set(scope))) for scope in scopes]
    return graph


def _add_nodes(graph: nx.Graph, network: Any) -> None:
    for number in sorted(network.nodes()):
        variable = network.variable(number)
        graph.add_node(variable.name(), states=tuple(map(str, variable.labels())))


def _table(tensor: Any) -> tuple[tuple[str, ...], Any]:
    """The variables of a tensor and its values, one axis for each in that order."""
    import numpy as np

    names = tuple(tensor.variable(k).name() for k in range(tensor.nbrDim()))
    values = np.array(
        tensor.toarray(), dtype=np.float64
    )  # its axes run from the last to the first
    return names, np.ascontiguousarray(values.transpose())
