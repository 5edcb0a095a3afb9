"""Anything that describes a graph -> a networkx graph."""

import os
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, TypeAlias

import networkx as nx

from probgen.reasoning.names import GraphError, Node, shown, suggestion

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

GraphLike: TypeAlias = "str | Path | nx.Graph | ArrayLike"
"""What describes a graph: a text, a name or a file; networkx's or pgmpy's own; a matrix."""


def load(source: GraphLike, names: Sequence[Node] | None = None) -> nx.Graph:
    """Read anything that describes a graph into a `DiGraph` (acyclic) or a `Graph`.

    A string is text if it contains an arrow, a spaced dash or a semicolon (`"A -> B <- C; D"`,
    `"A - B"`), a bnlearn model string if it starts with `[`, DOT or dagitty if it has braces,
    a file if it ends with `.dot`, `.gv`, `.bif` or `.bif.gz`, otherwise a name in `graphs/`.
    A matrix has `m[i, j] = 1` for i -> j; a symmetric one is undirected. networkx graphs are
    returned as they are (parallel edges merged), pgmpy networks with their tables.

    Tables are node attributes `states`, `parents` (ordered) and `table`, float64 of shape
    (*parents, node); a Markov network has `graph["factors"] = [(names, array)]`.

    Args:
        source: the description.
        names: node names for a matrix (default: 0, 1, ...).

    Raises:
        GraphError: not a graph, a cycle, a self-loop, directed and undirected edges mixed, names
            without a matrix, a malformed file (file, line and token are named).

    >>> sorted(load("M -> I <- S; I -> T <- F; I -> D <- T").predecessors("T"))
    ['F', 'I']
    >>> load("pharmacy").nodes["T"]["label"]
    'drug chosen'
    """
    graph = read(source, names)
    (_require_acyclic if graph.is_directed() else _require_simple)(graph)
    return graph


def read(source: GraphLike, names: Sequence[Node] | None = None) -> nx.Graph:
    """`load` without the checks for loops and cycles."""
    if names is not None and isinstance(source, (str, Path, nx.Graph)):
        raise GraphError(
            f"expected names only with a matrix; got them with a {type(source).__name__}, which "
            "has its own: use networkx.relabel_nodes"
        )
    if isinstance(source, Path):
        return _read_file(source)
    if isinstance(source, str):
        return _read_text(source)
    if type(source) in (nx.DiGraph, nx.Graph):
        return source
    if type(source).__module__.startswith("pgmpy."):
        from probgen.reasoning.readers import pgmpy

        return pgmpy.read(source)
    if isinstance(source, nx.Graph):
        simple = nx.DiGraph if source.is_directed() else nx.Graph
        return simple(source) if source.is_multigraph() else source
    if isinstance(source, ModuleType):
        raise GraphError(
            f"expected a graph; got the module {source.__name__}: "
            "pass what graph.load(...) returned, a string or a networkx graph"
        )
    from probgen.reasoning.readers import matrix

    return matrix.read(source, names)


def names() -> list[str]:
    """The names of the networks that come with the library.

    >>> "pharmacy" in names()
    True
    """
    return sorted(p.stem for p in _library().iterdir() if p.suffix in _SUFFIXES)


_SUFFIXES = (".dot", ".gv", ".bif", ".bif.gz")


def _library() -> Path:
    """`graphs/` of the repository, or its copy inside the wheel."""
    package = Path(__file__).parents[1]
    inside = package / "_graphs"
    return inside if inside.is_dir() else package.parent / "graphs"


def _read_text(source: str) -> nx.Graph:
    from probgen.reasoning.readers import dot, text

    start = source.strip()
    if start.endswith(_SUFFIXES) and os.path.isfile(start):
        return _read_file(Path(start))
    if start.startswith("["):
        return text.read_bnlearn(source)
    if "{" in start and dot.HEADER.match(start):
        return dot.read(source)
    if text.is_text(start):
        return text.read(source)
    if start.endswith(_SUFFIXES):
        return _read_file(Path(start))
    return _read_named(start)


def _read_named(name: str) -> nx.Graph:
    if name in names():
        return _read_file(next(p for p in _library().iterdir() if p.stem == name))
    raise GraphError(
        f"expected a graph; got {shown(name)[:80]!r}, which has no ' -> ', ' - ' or ';', "
        f"is no .dot or .bif file and no name in graphs/{suggestion(name, names())}"
    )


def _read_file(path: Path) -> nx.Graph:
    from probgen.reasoning.readers import bif, dot, files

    if path.name.endswith((".bif", ".bif.gz")):
        return bif.read(files.text(path), shown(path))
    if path.suffix in (".dot", ".gv"):
        return dot.read(files.text(path), shown(path))
    raise GraphError(f"expected a file ending with {' '.join(_SUFFIXES)}; got {shown(path)}")


def _require_simple(graph: nx.Graph) -> None:
    for u, neighbours in graph._adj.items():
        if u in neighbours:
            raise GraphError(f"expected no self-loop; got {shown(u)} - {shown(u)}: drop it")


def _require_acyclic(graph: nx.DiGraph) -> None:
    """Kahn's algorithm (1962) on the adjacency dicts, unless every parent stands first already."""
    if _parents_first(graph):
        return
    children = graph._succ
    waiting = {v: len(parents) for v, parents in graph._pred.items()}
    ready = [v for v, n in waiting.items() if not n]
    for v in ready:
        for child in children[v]:
            left = waiting[child] - 1
            if left:
                waiting[child] = left
            else:
                ready.append(child)
    if len(ready) < len(waiting):
        raise GraphError(_cycle_message(graph))


def _parents_first(graph: nx.DiGraph) -> bool:
    seen: set[Node] = set()
    for v, parents in graph._pred.items():
        if not seen.issuperset(parents):
            return False
        seen.add(v)
    return True


def _cycle_message(graph: nx.DiGraph) -> str:
    cycle = [u for u, _ in nx.find_cycle(graph)]
    if len(cycle) == 1:
        return f"expected no self-loop; got {shown(cycle[0])} -> {shown(cycle[0])}: drop it"
    if len(cycle) == 2:
        a, b = map(shown, cycle)
        return (
            f"expected a directed acyclic graph; got a cycle {a} -> {b} -> {a}: drop an "
            "edge; an undirected edge cannot stand beside directed ones"
        )
    start = min(range(len(cycle)), key=lambda i: shown(cycle[i]))
    names = list(map(shown, [*cycle[start:], *cycle[:start], cycle[start]]))
    if len(names) > 12:
        names[6:-5] = ["..."]
    return f"expected a directed acyclic graph; got a cycle {' -> '.join(names)}: drop an edge"
