"""GraphML and GML through networkx, checked before and after."""

from typing import Any

import networkx as nx

from probgen.reasoning.names import GraphError, shown
from probgen.reasoning.readers import holding, markup, packed


def read(source: str, file: str = "", tolerance: float | None = None) -> nx.Graph:
    """Read GraphML by networkx; nodes go by their `id`.

    Where every node has a `name` (igraph) or a label (yEd) of its own and the identifiers are
    only numbered, `n0`, `n1`, ..., nodes go by that. Attributes `states`, `parents` and `table`
    are lists in JSON, as `graph.save` writes them; `x` and `y` become `pos`.

    Raises:
        GraphError: malformed, entities, hyperedges, graphs inside nodes, several graphs, or edges
            of both kinds.

    >>> read('''<graphml><graph edgedefault="directed"><node id="A"/><node id="B"/>
    ... <edge source="A" target="B"/></graph></graphml>''').edges
    OutEdgeView([('A', 'B')])
    """
    tree = markup.Tree(source, file)
    local = [element.tag.rpartition(":")[2] for element in tree.root.iter()]
    if local[0] != "graphml" or local.count("graph") != 1 or "hyperedge" in local:
        got = "hyperedges" if "hyperedge" in local else f"{local.count('graph')} graphs"
        raise tree.error(f"expected the element graphml with one graph; got {local[0]}, {got}")
    kind = next(e for e in tree.root.iter() if e.tag.endswith("graph")).get("edgedefault")
    if kind not in ("directed", "undirected"):
        raise tree.error(f"expected edgedefault of the graph; got {shown(kind)}")
    try:
        graph = nx.parse_graphml(source.lstrip())
    except Exception as error:  # networkx lets through what its parsing of numbers raises
        raise _refused(file, error) from None
    drawn_by_yed = any(tag == "NodeLabel" for tag in local)
    graph = _renamed(_simple(graph), ["name", "label"] if drawn_by_yed else ["name"])
    for data in (d for _, d in graph.nodes(data=True)):
        place = {"pos": (data.get("x"), data.get("y"))}
        if (position := holding.position(place)) is not None:
            del data["x"], data["y"]
            data["pos"] = position
    for kept in ("node_default", "edge_default"):
        graph.graph.pop(kept, None)
    packed.unpack(graph, file, tolerance)
    return graph


def read_gml(source: str, file: str = "", tolerance: float | None = None) -> nx.Graph:
    """Read GML by networkx; nodes go by their `label`, or by their `id` where one has none.

    Raises:
        GraphError: malformed, or a label twice.

    >>> read_gml('graph [ directed 1 node [ id 0 label "A" ] node [ id 1 label "B" ] '
    ...          'edge [ source 0 target 1 ] ]').edges
    OutEdgeView([('A', 'B')])
    """
    for label in ("label", "id"):
        try:
            graph = _simple(nx.parse_gml(source, label=label))
        except Exception as error:  # networkx lets through what its parsing of numbers raises
            if label == "label" and "no 'label' attribute" in str(error):
                continue
            raise _refused(file, error) from None
        packed.unpack(graph, file, tolerance)
        return graph
    raise AssertionError("unreachable")


def _refused(file: str, error: Exception) -> GraphError:
    where = f"{file}: " if file else ""
    return GraphError(f"{where}expected a graph that networkx reads; got: {shown(error)[:160]}")


def _simple(graph: nx.Graph) -> nx.Graph:
    """Without parallel edges and their keys."""
    if graph.is_multigraph():
        return nx.DiGraph(graph) if graph.is_directed() else nx.Graph(graph)
    return graph


def _renamed(graph: nx.Graph, keys: list[str]) -> nx.Graph:
    if not all(isinstance(v, str) and v[:1] == "n" and v[1:].isdecimal() for v in graph):
        return graph
    for key in keys:
        names = {v: str(data[key]) for v, data in graph.nodes(data=True) if data.get(key)}
        if len(graph) == len(names) == len(set(names.values())):
            renamed: nx.Graph = nx.relabel_nodes(graph, names)
            for data in (d for _, d in renamed.nodes(data=True)):
                del data[key]
            return renamed
    return graph


def write(graph: nx.Graph) -> str:
    """The graph in GraphML, its tables as lists in JSON, positions as `x` and `y`.

    Raises:
        GraphError: names that XML cannot hold, or two of one text.
    """
    holding.require_different(graph)
    bare: Any = nx.DiGraph() if graph.is_directed() else nx.Graph()
    for node, data in graph.nodes(data=True):
        found: dict[str, Any] = packed.attributes(graph, node)
        if "label" in data:
            found["label"] = str(data["label"])
        if (position := holding.position(data)) is not None:
            found["x"], found["y"] = position
        bare.add_node(_held(node), **{key: _held(value) for key, value in found.items()})
    bare.add_edges_from((str(u), str(v)) for u, v in graph.edges)
    if "factors" in graph.graph:
        bare.graph["factors"] = _held(packed.factors(graph))
    return "\n".join([*nx.generate_graphml(bare), ""])


def _held(value: Any) -> Any:
    if isinstance(value, float):
        return value
    markup.escaped(value)
    return str(value)
