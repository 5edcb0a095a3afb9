"""What a format can hold of a network: checked before it is written, so that nothing is lost."""

import re
from collections.abc import Callable, Iterator
from typing import Any
from unicodedata import category

import networkx as nx

from probgen.reasoning.names import GraphError, Node, shown


def require_network(graph: nx.Graph, format_: str) -> None:
    """Refuse what is no Bayesian network with states, and tables that do not fit them.

    Raises:
        GraphError: an undirected graph, a node without states, parents that are not the
            graph's, a table of another shape or with numbers that are not finite.
    """
    if not graph.is_directed():
        raise GraphError(f"expected a directed network for {format_}; got an undirected graph")
    for node, data in graph.nodes(data=True):
        if "states" not in data:
            raise GraphError(
                f"expected states at every node for {format_}; got none at {shown(node)}: "
                f"set graph.nodes[{shown(node)!r}]['states'], or save the graph as .dot"
            )
        _require_fit(graph, node, data)


def _require_fit(graph: nx.DiGraph, node: Node, data: dict[str, Any]) -> None:
    import numpy as np

    above = parents(graph, node)
    if len(above) != len(graph.pred[node]) or set(above) != set(graph.pred[node]):
        raise GraphError(
            f"expected the parents of {shown(node)} in the order of its table's axes; got "
            f"{', '.join(map(shown, above)) or 'none'}"
        )
    if "table" not in data:
        return
    shape = tuple(len(graph.nodes[v]["states"]) for v in (*above, node))
    table = np.asarray(data["table"])
    if table.shape != shape or not np.isfinite(table).all():
        raise GraphError(
            f"expected a finite table of shape {shape} at {shown(node)}; got {table.shape}"
        )


def require_factors(graph: nx.Graph, format_: str) -> None:
    """Refuse an undirected graph without potentials, or with potentials that do not fit.

    Raises:
        GraphError: no factors, a node without states, or a potential of another shape.
    """
    if "factors" not in graph.graph:
        raise GraphError(f'expected potentials in graph.graph["factors"] for {format_}; got none')
    states = {v: s for v, s in graph.nodes(data="states") if s is not None}
    for names, values in graph.graph["factors"]:
        unknown = [v for v in names if v not in states]
        if unknown:
            raise GraphError(f"expected states of {shown(unknown[0])} for {format_}; got none")
        shape = tuple(len(states[v]) for v in names)
        if array(values).shape != shape:
            raise GraphError(
                f"expected potentials of shape {shape} over {', '.join(map(shown, names))}; got "
                f"{array(values).shape}"
            )
    if len(states) < len(graph):
        alone = next(v for v in graph if v not in states)
        raise GraphError(f"expected states of {shown(alone)} for {format_}; got none")


def parents(graph: nx.DiGraph, node: Node) -> tuple[Node, ...]:
    """The parents in the order of the table's axes."""
    return tuple(graph.nodes[node].get("parents", graph.pred[node]))


def array(table: Any) -> Any:
    """The table as a float64 array."""
    import numpy as np

    return np.asarray(table, dtype=np.float64)


def rows(table: Any) -> list[list[float]]:
    """The rows of a table, the last parent fastest."""
    values = array(table)
    found: list[list[float]] = values.reshape(-1, values.shape[-1]).tolist()
    return found


def position(data: dict[str, Any]) -> tuple[float, float] | None:
    """The attribute `pos` where it is a pair of numbers."""
    place = data.get("pos")
    try:
        x, y = (float(v) for v in place) if place is not None and len(place) == 2 else (None, None)
    except (TypeError, ValueError):
        return None
    return None if x is None or y is None else (x, y)


def names(graph: nx.DiGraph) -> Iterator[tuple[str, object]]:
    """Every node and state with what it is called in a message."""
    for node, data in graph.nodes(data=True):
        yield "node", node
        for state in data["states"]:
            yield f"state of {shown(node)}", state


def require_plain(
    graph: nx.DiGraph,
    format_: str,
    holds: Callable[[str], bool] = lambda name: True,
    but: str = "",
) -> None:
    """Refuse names that would not come back: two of one text, blanks at an end, or what is said.

    Raises:
        GraphError: such a name or label.
    """
    require_different(graph)
    for role, name in names(graph):
        text = str(name)
        if not text or not _one_line(text) or not holds(text):
            raise GraphError(
                f"expected names that {format_} can hold{but}; got {shown(text)!r} as a {role}: "
                "rename it, or save the network as .json"
            )
    for node, data in graph.nodes(data=True):
        label = str(data.get("label", ""))
        if not _one_line(label):
            raise GraphError(
                f"expected a label of one line without blanks around it at {shown(node)} for "
                f"{format_}; got {shown(label)!r}: change it, or save the network as .json"
            )


def require_identifiers(
    graph: nx.DiGraph, format_: str, pattern: re.Pattern[str], states: bool = False
) -> None:
    """Refuse nodes, and states where asked, that the format has no spelling for.

    Raises:
        GraphError: such a name.
    """
    for role, name in names(graph):
        if (states or role == "node") and not pattern.fullmatch(str(name)):
            raise GraphError(
                f"expected letters, digits and underscores, a letter first, as a {role} in "
                f"{format_}; got {shown(name)!r}: rename it, or save the network as .bif"
            )


def _one_line(text: str) -> bool:
    """Neither blanks at an end nor control characters; a zero-width joiner is none."""
    return text == text.strip() and not any(category(c) in ("Cc", "Cs", "Zl", "Zp") for c in text)


def require_different(graph: nx.Graph) -> None:
    """Refuse two nodes, or two states of a node, of one text.

    Raises:
        GraphError: such names.
    """
    for role, known in [
        ("nodes", list(graph)),
        *((f"states of {shown(v)}", list(s)) for v, s in graph.nodes(data="states") if s),
    ]:
        if len(set(map(str, known))) < len(known):
            raise GraphError(f"expected names that differ as text; got two {role} of one name")
