"""JSON in networkx's node-link form: graphs, networks with tables; names keep their types."""

import json
from typing import Any

import networkx as nx

from probgen.reasoning.names import GraphError, shown
from probgen.reasoning.readers import cpds, holding

LARGEST = 1 << 21
"""Lists and objects of one file."""


def read(
    source: str, file: str = "", tolerance: float | None = None, directed: bool | None = None
) -> nx.Graph:
    """Read `{"directed": ..., "nodes": [{"id": ...}], "edges": [{"source": ..., "target": ...}]}`.

    Nodes may have `label`, `states`, `parents`, `table` (nested lists, one level per parent and
    the node's own last) and `pos`; `graph` may have `factors`, pairs of names and values. What
    networkx wrote as `links` is read too.

    Raises:
        GraphError: no JSON, another form, no word on the direction of the edges, or tables that
            do not fit or sum to 1.

    >>> g = read('{"directed": true, "nodes": [{"id": 1, "states": [0, 1], "table": [0.2, 0.8]}]}')
    >>> g.nodes[1]["states"]
    (0, 1)
    """
    where = f"{file}: " if file else ""
    data = _parsed(source, where)
    if not isinstance(data, dict) or not isinstance(data.get("nodes"), list):
        raise GraphError(
            f"{where}expected node-link JSON, {{'nodes': [...], 'edges': [...]}}; got "
            f"{', '.join(map(shown, data))[:80] if isinstance(data, dict) else 'a list'}"
        )
    kind = data.get("directed", directed)
    if not isinstance(kind, bool):
        raise GraphError(
            f"{where}expected 'directed': true or false; got {shown(kind)}: write it into the "
            "file, or load it with directed=True or False"
        )
    graph = nx.DiGraph() if kind else nx.Graph()
    try:
        _fill(graph, data)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, GraphError):
            raise
        raise GraphError(
            f"{where}expected nodes with 'id' and edges with 'source' and 'target'; got "
            f"{type(error).__name__}: {shown(error)[:80]}"
        ) from None
    cpds.check(graph, file, tolerance)
    return graph


def _parsed(source: str, where: str) -> Any:
    if source.count("[") + source.count("{") > LARGEST:
        raise GraphError(f"{where}expected at most {LARGEST:,} lists and objects; got more")
    try:
        return json.loads(source, parse_constant=_refused)
    except RecursionError:
        raise GraphError(f"{where}expected JSON; got lists too deep inside each other") from None
    except ValueError as error:
        raise GraphError(f"{where}expected JSON; got an error: {shown(error)[:120]}") from None


def _refused(constant: str) -> Any:
    raise ValueError(f"the number {constant}")


def _fill(graph: nx.Graph, data: dict[str, Any]) -> None:
    for node in data["nodes"]:
        name = node["id"]
        if name in graph or name is None:
            raise GraphError(f"expected a new name for a node; got {shown(name)!r} twice")
        graph.add_node(name, **{str(k): v for k, v in node.items() if k != "id"})
        if (position := holding.position(node)) is not None:
            graph.nodes[name]["pos"] = position
    for edge in data.get("edges", data.get("links", [])):
        ends = edge["source"], edge["target"]
        for end in ends:
            if end not in graph:
                raise GraphError(f"expected edges between nodes; got {shown(end)!r}")
        graph.add_edge(
            *ends, **{k: v for k, v in edge.items() if k not in ("source", "target", "key")}
        )
    if "factors" in (data.get("graph") or {}):
        graph.graph["factors"] = data["graph"]["factors"]


def write(graph: nx.Graph) -> str:
    """The graph in node-link JSON, one node a line.

    Raises:
        GraphError: names that are neither text nor numbers nor booleans.
    """
    nodes = [{"id": plain(node), **_attributes(data)} for node, data in graph.nodes(data=True)]
    edges = [{"source": plain(u), "target": plain(v)} for u, v in graph.edges]
    lines = [f'{{"directed": {json.dumps(graph.is_directed())}, "multigraph": false,']
    if "factors" in graph.graph:
        factors = [
            [[plain(v) for v in names], holding.array(values).tolist()]
            for names, values in graph.graph["factors"]
        ]
        lines.append(f'"graph": {json.dumps({"factors": factors}, allow_nan=False)},')
    lines.append(f'"nodes": [{_listed(nodes)}],')
    lines.append(f'"edges": [{_listed(edges)}]}}')
    return "\n".join([*lines, ""])


def _listed(items: list[dict[str, Any]]) -> str:
    try:
        return ",\n".join(json.dumps(i, ensure_ascii=False, allow_nan=False) for i in items)
    except ValueError:
        raise GraphError("expected finite numbers for JSON; got others") from None


def _attributes(data: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "label" in data:
        found["label"] = plain(data["label"])
    for key in ("states", "parents"):
        if key in data:
            found[key] = [plain(name) for name in data[key]]
    if "table" in data:
        found["table"] = holding.array(data["table"]).tolist()
    if (position := holding.position(data)) is not None:
        found["pos"] = position
    return found


def plain(name: Any) -> Any:
    """A name as JSON has it: text, a number or a boolean; numpy scalars as their own.

    Raises:
        GraphError: something else.
    """
    value = name.item() if hasattr(name, "item") and getattr(name, "ndim", None) == 0 else name
    if type(value) not in (str, int, float, bool):
        raise GraphError(
            "expected names that are text, numbers or booleans for JSON; got "
            f"{shown(name)!r} ({type(name).__name__}): rename it"
        )
    return value
