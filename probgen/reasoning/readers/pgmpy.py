"""pgmpy networks to networkx graphs with tables, and back; pgmpy is imported only to write."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import networkx as nx

from probgen.reasoning.names import GraphError, Node, listed, shown
from probgen.reasoning.readers import edges
from probgen.reasoning.readers.edges import HEAD, TAIL, Edge

States = tuple[Hashable, ...]

_PLAIN = frozenset(
    {
        "BayesianModel",
        "BayesianNetwork",
        "DAG",
        "DiscreteBayesianNetwork",
        "DiscreteMarkovNetwork",
        "FunctionalBayesianNetwork",
        "LinearGaussianBayesianNetwork",
        "MarkovModel",
        "MarkovNetwork",
        "NaiveBayes",
        "SimpleCausalModel",
        "UndirectedGraph",
    }
)
"""pgmpy's graphs that are what networkx makes of them."""

_MIXED = frozenset({"ADMG", "AncestralBase", "MAG", "PDAG", "SEM", "SEMGraph"})
"""Those with edges of several kinds."""

_INSTEAD = {
    "ClusterGraph": "its nodes are cliques: load the network that it was made from",
    "DynamicBayesianNetwork": "unroll it: load get_constant_bn(t_slice=...)",
    "DynamicNode": "load the network that it belongs to",
    "FactorGraph": "its factors stand as nodes: load to_markov_model()",
    "JunctionTree": "its nodes are cliques: load the network that it was made from",
}


def read(network: Any) -> nx.Graph:
    """A pgmpy Bayesian network, DAG or Markov network, with its tables where it has them.

    The states of a table go by their names: axes in another order are brought into the order of
    the node's own table. Latent nodes have the attribute `latent`. Of mixed graphs (MAG, ADMG,
    PDAG, SEM) those are read whose edges are all directed, or all undirected.

    Raises:
        GraphError: another kind of pgmpy object, edges of both kinds, or tables that do not agree
            about the states of a node.
    """
    kind = _kind(network)
    if kind in _MIXED:
        nodes = network.graph.nodes if kind.startswith("SEM") else network.nodes
        found = (edge._replace(where=f"a pgmpy {kind}: ") for edge in _mixed(network, kind))
        graph = edges.graph(nodes, found)
    elif kind in _PLAIN and isinstance(network, nx.Graph) and not network.is_multigraph():
        graph = nx.DiGraph() if network.is_directed() else nx.Graph()
        graph.add_nodes_from(network.nodes)
        graph.add_edges_from(network.edges)
    else:
        hint = _INSTEAD.get(kind, "")
        raise GraphError(
            f"expected a pgmpy Bayesian or Markov network; got {kind}{': ' * bool(hint)}{hint}"
        )
    _add_tables(graph, network)
    for node in getattr(network, "latents", None) or ():
        if node in graph:
            graph.nodes[node]["latent"] = True
    return graph


def _kind(network: Any) -> str:
    """The name of the nearest class that is pgmpy's: a user's own may stand below it."""
    return next(c.__name__ for c in type(network).__mro__ if c.__module__.startswith("pgmpy."))


def _mixed(network: Any, kind: str) -> list[Edge]:
    if kind == "PDAG":
        loose = network.undirected_edges
        found = [(u, v) for u, v in network.edges if (v, u) not in loose]
        return [Edge(u, v, TAIL, TAIL if (u, v) in loose else HEAD) for u, v in found]
    if kind == "ADMG":
        marks = {"directed": TAIL, "bidirected": HEAD}
        return [Edge(u, v, marks.get(type_, HEAD)) for u, v, type_ in network.edges(data="type")]
    if kind.startswith("SEM"):
        correlated = [Edge(u, v, HEAD, HEAD) for u, v in network.err_graph.edges]
        return [Edge(u, v) for u, v in network.graph.edges] + correlated
    return [Edge(u, v, marks[u], marks[v]) for u, v, marks in network.edges(data="marks")]


def _add_tables(graph: nx.Graph, network: Any) -> None:
    tables = [t for t in getattr(network, "cpds", None) or () if _is_discrete(t)]
    states: dict[Node, States] = {}
    for table in tables:
        node = table.variables[0]
        states[node] = tuple(table.state_names[node])
    for table in tables:
        node, *parents = table.variables
        axes = _by_name(table, states)
        graph.nodes[node].update(parents=tuple(parents), table=_moved(axes))
    factors = [f for f in getattr(network, "factors", None) or () if _is_discrete(f)]
    potentials = [(tuple(f.variables), _by_name(f, states)) for f in factors]
    if potentials:
        graph.graph["factors"] = potentials
    for node, names in states.items():
        if node in graph:
            graph.nodes[node]["states"] = names


def _is_discrete(table: Any) -> bool:
    return hasattr(table, "values") and hasattr(table, "state_names")


def _moved(axes: Any) -> Any:
    import numpy as np

    return np.ascontiguousarray(np.moveaxis(axes, 0, -1))


def _by_name(table: Any, states: dict[Node, States]) -> Any:
    """The values with every axis in the order in which the node's states are known.

    A node that no table has named yet gets the order that this one has.
    """
    import numpy as np

    values = np.asarray(table.values, dtype=np.float64)
    for axis, node in enumerate(table.variables):
        names = tuple(table.state_names[node])
        order = _order(node, names, states.setdefault(node, names), table.variables)
        if order != list(range(len(names))):
            values = values.take(order, axis)
    return values


def _order(node: Node, names: States, known: States, scope: Sequence[Node]) -> list[int]:
    """Where the known states stand among the names of a table."""
    places: Mapping[Hashable, int] = {_typed(name): i for i, name in enumerate(names)}
    if len(places) < len(names) or {*map(_typed, known)} != places.keys():
        raise GraphError(
            f"expected the states {_quoted(known)} of {shown(node)}, as another table has them; "
            f"got {_quoted(names)} in the table of {listed(scope)}: name the states alike"
        )
    return [places[_typed(name)] for name in known]


def _typed(name: Hashable) -> Hashable:
    """A state that differs from one of another kind: True is not 1 where both are meant."""
    return (isinstance(name, bool), name)


def _quoted(states: Iterable[Hashable]) -> str:
    return f"({', '.join(repr(s) if isinstance(s, str) else shown(s) for s in states)})"


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
