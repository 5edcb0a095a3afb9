"""The module `graph`: `load` reads anything that is a graph, `save` writes it, `plot` shows it."""

from pathlib import Path
from typing import Any

from probgen.reasoning.loading import GraphLike, load, names, read
from probgen.reasoning.names import GraphError, GraphWarning, Node, UnknownNode, listed, shown
from probgen.reasoning.saving import save

__all__ = [
    "GraphError",
    "GraphLike",
    "GraphWarning",
    "UnknownNode",
    "dot",
    "evidence",
    "load",
    "names",
    "plot",
    "save",
    "shown",
    "summary",
    "to_pgmpy",
]


def summary(graph: GraphLike) -> str:
    """The graph in lines: its size, its nodes with labels and states, its edges.

    >>> print(summary("A -> B"))
    directed, 2 nodes, 1 edges
    A
    B  <- A
    """
    loaded = load(graph)
    directed = loaded.is_directed()
    kind = "directed" if directed else "undirected"
    lines = [f"{kind}, {len(loaded):,} nodes, {loaded.number_of_edges():,} edges"]
    for v, data in loaded.nodes(data=True):
        label = f"  {shown(data['label'])}" if "label" in data else ""
        states = f"  {{{listed(data['states'])}}}" if "states" in data else ""
        near = loaded._pred[v] if directed else loaded._adj[v]
        edges = f"  {'<-' if directed else '-'} {listed(near)}" if near else ""
        lines.append(shown(v) + label + states + edges)
    return "\n".join(lines)


def evidence(path: str | Path, graph: GraphLike) -> list[dict[Node, Any]]:
    """Read a UAI evidence file (`.uai.evid`): `{node: state}` for every sample.

    Variables and states are numbered in the order of the graph, as `save` writes them.

    Args:
        path: the file.
        graph: the network, anything `load` accepts.

    Raises:
        GraphError: malformed, an unknown variable or state, or a variable twice.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.uai.evid").write_text("1 2 0 1 1 0")
    ...     evidence(Path(folder, "a.uai.evid"), "sprinkler")
    [{'C': 'no', 'S': 'on'}]
    """
    from probgen.reasoning.readers import files, uai

    return uai.evidence(files.text(Path(path)), load(graph), shown(path))


def dot(graph: GraphLike) -> str:
    """The graph in DOT, which `load` reads back; names and labels kept.

    >>> print(dot("A -> B <- C"))
    digraph {
      "A";
      "B";
      "C";
      "A" -> "B";
      "C" -> "B";
    }
    """
    from probgen.reasoning.readers import dot as format_

    return format_.write(read(graph))


def plot(graph: GraphLike, given: Any = None, path: Any = None, ax: Any = None) -> Any:
    """Draw the graph with matplotlib: observed nodes shaded, a trail highlighted.

    The graph of a program (`program.graph_of`) has its plates as frames with their sizes,
    arguments as plain text, deterministic sites with dashed rims, factors as small squares, and
    dashed edges where only the probe saw a dependence. A plate that no frame can hold apart from
    other nodes is written into its members' names instead.

    Args:
        graph: anything `load` accepts, or the result of `markov.cpdag`.
        given: the observed node or nodes (default: those of a program that are observed).
        path: a trail (a `Trail`, or its nodes in order).
        ax: the axes to draw on (default: a new figure).

    Returns:
        The matplotlib axes.
    """
    from probgen.reasoning import drawing

    return drawing.plot(read(graph), given, path, ax)


def to_pgmpy(graph: GraphLike) -> Any:
    """The pgmpy network with the same nodes, edges and tables; what `load` reads back.

    Raises:
        GraphError: a node has no table.
    """
    from probgen.reasoning.readers import pgmpy

    return pgmpy.write(load(graph))
