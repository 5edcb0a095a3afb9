"""pgmpy networks to networkx graphs with tables, and back; pgmpy is imported only to write."""

from typing import Any

import networkx as nx

from probgen.reasoning.names import GraphError, shown


def read(network: Any) -> nx.Graph:
    """A pgmpy Bayesian network, DAG or Markov network, with its tables where it has them.

    Raises:
        GraphError: another kind of pgmpy object, or a network with edges of both kinds.
    """
    kind = type(network).__name__
    if not isinstance(network, nx.Graph) or network.is_multigraph():
        raise GraphError(f"expected a pgmpy Bayesian or Markov network; got {kind}")
    if kind == "PDAG" or kind == "FactorGraph":
        raise GraphError(
            f"expected a pgmpy Bayesian or Markov network; got {kind}: convert it with "
            f"{'to_dag()' if kind == 'PDAG' else 'to_markov_model()'}"
        )
    graph = nx.DiGraph() if network.is_directed() else nx.Graph()
    graph.add_nodes_from(network.nodes)
    graph.add_edges_from(network.edges)
    for table in getattr(network, "cpds", None) or ():
        if hasattr(table, "values") and hasattr(table, "state_names"):
            _add_table(graph, table)
    factors = getattr(network, "factors", None)
    if factors:
        _add_factors(graph, factors)
    return graph


def _add_table(graph: nx.DiGraph, table: Any) -> None:
    import numpy as np

    node, *parents = table.variables
    values = np.moveaxis(np.asarray(table.values, dtype=np.float64), 0, -1)
    states = tuple(table.state_names[node])
    graph.nodes[node].update(states=states, parents=tuple(parents), table=values)


def _add_factors(graph: nx.Graph, factors: Any) -> None:
    import numpy as np

    graph.graph["factors"] = [
        (tuple(f.variables), np.asarray(f.values, dtype=np.float64)) for f in factors
    ]
    for factor in factors:
        for node in factor.variables:
            graph.nodes[node]["states"] = tuple(factor.state_names[node])


def write(graph: nx.Graph) -> Any:
    """The pgmpy `DiscreteBayesianNetwork` or `DiscreteMarkovNetwork` of a graph with tables."""
    return _bayesian(graph) if graph.is_directed() else _markov(graph)


def _bayesian(graph: nx.DiGraph) -> Any:
    from pgmpy.factors.discrete import TabularCPD
    from pgmpy.models import DiscreteBayesianNetwork

    network = DiscreteBayesianNetwork()
    network.add_nodes_from(graph.nodes)
    network.add_edges_from(graph.edges)
    for node, data in graph.nodes(data=True):
        if "table" not in data:
            raise GraphError(f"expected a table at every node; got none at {shown(node)}")
        *cards, card = data["table"].shape
        names = {v: list(graph.nodes[v]["states"]) for v in (node, *data["parents"])}
        rows = data["table"].reshape(-1, card).T
        network.add_cpds(TabularCPD(node, card, rows, list(data["parents"]), cards, names))
    return network


def _markov(graph: nx.Graph) -> Any:
    from pgmpy.factors.discrete import DiscreteFactor
    from pgmpy.models import DiscreteMarkovNetwork

    if "factors" not in graph.graph:
        raise GraphError('expected factors in graph.graph["factors"]; got none')
    network = DiscreteMarkovNetwork()
    network.add_nodes_from(graph.nodes)
    network.add_edges_from(graph.edges)
    for names, values in graph.graph["factors"]:
        states = {
            v: list(graph.nodes[v].get("states", range(n)))
            for v, n in zip(names, values.shape, strict=False)
        }
        network.add_factors(DiscreteFactor(list(names), values.shape, values, states))
    return network
