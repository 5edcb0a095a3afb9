"""Tables as JSON text in attributes, for formats of graphs that know only text: GraphML, DOT."""

import json
import re
from typing import Any

import networkx as nx

from probgen.reasoning.names import GraphError, shown
from probgen.reasoning.readers import cpds, holding

KEYS = ("states", "parents", "table")


def attributes(graph: nx.Graph, node: Any) -> dict[str, str]:
    """States, parents and table of a node as JSON text; parents by the text of their names.

    Raises:
        GraphError: states that are neither text nor numbers nor booleans.
    """
    from probgen.reasoning.readers.json import plain

    data, found = graph.nodes[node], {}
    if "states" in data:
        found["states"] = [plain(state) for state in data["states"]]
    if "parents" in data:
        found["parents"] = [str(parent) for parent in data["parents"]]
    if "table" in data:
        found["table"] = holding.array(data["table"]).tolist()
    return {key: _text(value) for key, value in found.items()}


def factors(graph: nx.Graph) -> str:
    """The potentials of a Markov network as JSON text."""
    return _text(
        [
            [[str(v) for v in names], holding.array(values).tolist()]
            for names, values in graph.graph["factors"]
        ]
    )


def _text(value: Any) -> str:
    """JSON without a backslash before a quote or another backslash, which DOT cannot hold."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError:
        raise GraphError("expected finite numbers in the tables; got others") from None
    return re.sub(r'\\(["\\])', lambda found: f"\\u{ord(found[1]):04x}", text)


def unpack(graph: nx.Graph, file: str = "", tolerance: float | None = None) -> None:
    """Put back what `attributes` and `factors` packed, checked.

    Raises:
        GraphError: attributes of these names that are something else.
    """
    where = f"{file}: " if file else ""
    for node, data in graph.nodes(data=True):
        for key in KEYS:
            if key in data:
                data[key] = _parsed(data[key], f"{where}{key} of {shown(node)}")
    if "factors" in graph.graph:
        graph.graph["factors"] = _parsed(graph.graph["factors"], f"{where}factors")
    cpds.check(graph, file, tolerance)


def _parsed(text: Any, where: str) -> Any:
    try:
        value = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        value = None
    if not isinstance(value, list):
        raise GraphError(
            f"{where}: expected a list in JSON, the name being reserved for tables; got "
            f"{shown(text)[:80]!r}: rename the attribute"
        )
    return value
