"""Anything that describes a graph -> a networkx graph."""

import os
from collections.abc import Sequence
from itertools import chain, combinations
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, TypeAlias

import networkx as nx

from probgen.reasoning.names import GraphError, Node, shown, suggestion

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from probgen.reasoning.readers.matrix import Rows

GraphLike: TypeAlias = "str | Path | nx.Graph | ArrayLike"
"""What describes a graph: a text, a name or a file; a library's own object; a matrix."""


def load(
    source: GraphLike, names: Sequence[Node] | None = None, *, rows: "Rows | None" = None
) -> nx.Graph:
    """Read anything that describes a graph into a `DiGraph` (acyclic) or a `Graph`.

    A string is text if it contains an arrow, a spaced dash or a semicolon (`"A -> B <- C; D"`,
    `"A - B"`), a bnlearn model string if it starts with `[`, DOT or dagitty if it has braces,
    a file if it ends with `.dot`, `.gv`, `.bif` or `.bif.gz`, otherwise a name in `graphs/`.
    A matrix has `m[i, j] = 1` for i -> j, or for j -> i with `rows="children"`; a symmetric one
    is undirected. networkx graphs are returned as they are (parallel edges merged), networks of
    pgmpy and pyAgrum with their tables; graphs of causal-learn, igraph, pydot, pygraphviz and
    graphviz and fitted lingam models are read, those with edges of several kinds refused.

    Tables are node attributes `states`, `parents` (ordered) and `table`, float64 of shape
    (*parents, node); a Markov network has `graph["factors"] = [(names, array)]`, and
    an edge between each two nodes of a potential: those that are missing are added to a copy.

    Args:
        source: the description.
        names: node names for a matrix (default: 0, 1, ...).
        rows: what the rows of a matrix are, "parents" (the default, as in networkx, bnlearn and
            NOTEARS) or "children" (as in lingam and pcalg).

    Raises:
        GraphError: not a graph, a cycle, a self-loop, directed, undirected or bidirected edges
            mixed, names or rows without a matrix, a malformed file (file, line and token are
            named).

    >>> sorted(load("M -> I <- S; I -> T <- F; I -> D <- T").predecessors("T"))
    ['F', 'I']
    >>> load("pharmacy").nodes["T"]["label"]
    'drug chosen'
    """
    graph = read(source, names, rows)
    if graph.is_directed():
        _require_acyclic(graph)
        return graph
    _require_simple(graph)
    return _joined(graph)


def read(
    source: GraphLike, names: Sequence[Node] | None = None, rows: "Rows | None" = None
) -> nx.Graph:
    """`load` without the checks for loops and cycles, and the edges that potentials make."""
    graph = _without_names(source)
    if graph is None:
        from probgen.reasoning.readers import matrix

        return matrix.read(source, names, rows or "parents")
    if names is not None or rows is not None:
        what = "names" if names is not None else "rows"
        raise GraphError(
            f"expected {what} only with a matrix; got them with a {type(source).__name__}, which "
            "has its own: use networkx.relabel_nodes"
        )
    return graph


def _without_names(source: GraphLike) -> nx.Graph | None:
    """The graph of anything that names its own nodes; None for a matrix."""
    if isinstance(source, Path):
        return _read_file(source)
    if isinstance(source, str):
        return _read_text(source)
    if isinstance(source, ModuleType):
        raise GraphError(
            f"expected a graph; got the module {source.__name__}: "
            "pass what graph.load(...) returned, a string or a networkx graph"
        )
    from probgen.reasoning.readers import objects

    return objects.read(source)


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


def _joined(graph: nx.Graph) -> nx.Graph:
    """The graph with an edge between each two nodes of a potential, which makes them dependent.

    A graph that has them all is returned as it is.
    """
    pairs = chain.from_iterable(combinations(scope, 2) for scope in _scopes(graph))
    near = graph._adj
    missing = [(u, v) for u, v in pairs if u in near and v in near and u != v and v not in near[u]]
    if not missing:
        return graph
    made = nx.Graph(graph)
    made.add_edges_from(missing)
    return made


def _scopes(graph: nx.Graph) -> list[tuple[Node, ...]]:
    """The nodes of every potential; an array has at most 64 axes."""
    try:
        found = [tuple(names) for names, _ in graph.graph.get("factors", ())]
        hash(tuple(found))
    except (TypeError, ValueError) as error:
        raise GraphError(
            f'expected potentials in graph.graph["factors"] = [(names, array)]; got {error}'
        ) from None
    if widest := next((scope for scope in found if len(scope) > 64), None):
        raise GraphError(f"expected at most 64 nodes in a potential; got {len(widest):,}")
    return found


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
