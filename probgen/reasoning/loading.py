"""`load`: which reader takes a name, a text, a file, an object or a matrix; and what it checks."""

import os
from collections.abc import Sequence
from itertools import chain, combinations
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import networkx as nx

from probgen.reasoning.names import GraphError, Node, shown, suggestion
from probgen.reasoning.readers import cpds

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from probgen.reasoning.readers.matrix import Rows

GraphLike: TypeAlias = "str | Path | nx.Graph | ArrayLike"
"""What describes a graph: a text, a name or a file; a library's own object; a matrix."""


LONGEST_NAME = 1 << 14
"""Characters of a string that may be the name of a file."""


class _Options(NamedTuple):
    """What a caller may say beside the source."""

    names: Sequence[Node] | None = None
    rows: "Rows | None" = None
    tolerance: float | None = None
    encoding: str | None = None
    directed: bool | None = None

    def require_none_for_a_matrix(self, kind: str) -> None:
        """Refuse names and rows with what has its own.

        Raises:
            GraphError: one of them is given.
        """
        if self.names is not None or self.rows is not None:
            what = "names" if self.names is not None else "rows"
            raise GraphError(
                f"expected {what} only with a matrix; got them with a {kind}, which has its own: "
                "use networkx.relabel_nodes"
            )


def load(
    source: GraphLike,
    names: Sequence[Node] | None = None,
    *,
    rows: "Rows | None" = None,
    tolerance: float | None = None,
    encoding: str | None = None,
    directed: bool | None = None,
) -> nx.Graph:
    """Read anything that describes a graph into a `DiGraph` (acyclic) or a `Graph`.

    A string is a file if it ends with a suffix of one, in any case, `.gz` or not: `.bif`,
    `.xmlbif`, `.uai`, `.net` (Hugin), `.dne` (Netica), `.dsc` (MSBN), `.xdsl` (GeNIe), `.dot`,
    `.gv`, `.graphml`, `.gml`, `.json`, and `.csv`, `.tsv`, `.edges` for lists of edges. It is the
    text of such a file if it begins like one; a file that begins like another format is read as
    that. It is a bnlearn model string if it starts with `[`, text if it contains an arrow, a
    spaced dash or a semicolon (`"A -> B <- C; D"`, `"A - B"`), otherwise a name in `graphs/`.
    A matrix has `m[i, j] = 1` for i -> j, or for j -> i with `rows="children"`; a symmetric one
    is undirected. networkx graphs are returned as they are (parallel edges merged), networks of
    pgmpy and pyAgrum with their tables; graphs of causal-learn, igraph, pydot, pygraphviz and
    graphviz and fitted lingam models are read, those with edges of several kinds refused.

    Tables are node attributes `states`, `parents` (ordered) and `table`, float64 of shape
    (*parents, node); a Markov network has `graph["factors"] = [(names, array)]`, and
    an edge between each two nodes of a potential: those that are missing are added to a copy.
    A file may have placeholders for numbers: such a node has no `table`.

    Args:
        source: the description.
        names: node names for a matrix or a UAI file (default: 0, 1, ...).
        rows: what the rows of a matrix are, "parents" (the default, as in networkx, bnlearn and
            NOTEARS) or "children" (as in lingam and pcalg).
        tolerance: how far the rows of a table may be off 1; they are divided by their sums, with
            one warning (`GraphWarning`). None is 1e-6, and nothing is divided.
        encoding: of a file (default: UTF-8, or what the file declares).
        directed: whether the edges of a list are arrows, where it does not say it itself.

    Raises:
        GraphError: not a graph, a cycle, a self-loop, directed, undirected or bidirected edges
            mixed, names or rows without a matrix, a malformed file (file, line and token are
            named).

    >>> sorted(load("M -> I <- S; I -> T <- F; I -> D <- T").predecessors("T"))
    ['F', 'I']
    >>> load("pharmacy").nodes["T"]["label"]
    'drug chosen'
    """
    cpds.check_tolerance(tolerance)
    graph = read(
        source, names, rows=rows, tolerance=tolerance, encoding=encoding, directed=directed
    )
    if graph.is_directed():
        _require_acyclic(graph)
        return graph
    _require_simple(graph)
    return _joined(graph)


def read(
    source: GraphLike,
    names: Sequence[Node] | None = None,
    *,
    rows: "Rows | None" = None,
    tolerance: float | None = None,
    encoding: str | None = None,
    directed: bool | None = None,
) -> nx.Graph:
    """`load` without the checks for loops and cycles, and the edges that potentials make."""
    options = _Options(names, rows, tolerance, encoding, directed)
    if isinstance(source, Path):
        return _read_file(source, options)
    if isinstance(source, str):
        return _read_text(source, options)
    if encoding is not None or directed is not None:
        raise GraphError(
            f"expected encoding= and directed= only with a file; got a {type(source).__name__}"
        )
    graph = _read_object(source)
    if graph is None:
        from probgen.reasoning.readers import matrix

        return matrix.read(source, names, rows or "parents")
    options.require_none_for_a_matrix(type(source).__name__)
    return _renormalised(graph, tolerance)


def _renormalised(graph: nx.Graph, tolerance: float | None) -> nx.Graph:
    """The graph, or where a tolerance is given a copy with its rows divided by their sums."""
    if tolerance is None:
        return graph
    copied: nx.Graph = graph.copy()
    cpds.check(copied, tolerance=tolerance)
    return copied


def _read_object(source: GraphLike) -> nx.Graph | None:
    """The graph of a library's object; None for a matrix."""
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
    return sorted(p.stem for p in _library().iterdir() if p.suffix in (".bif", ".dot"))


def _library() -> Path:
    """`graphs/` of the repository, or its copy inside the wheel."""
    package = Path(__file__).parents[1]
    inside = package / "_graphs"
    return inside if inside.is_dir() else package.parent / "graphs"


def _read_text(source: str, options: _Options) -> nx.Graph:
    from probgen.reasoning.readers import formats, text

    start = source.strip()
    one_line = len(start) <= LONGEST_NAME and "\n" not in start
    named_file = one_line and formats.of_path(Path(start)) is not None
    if named_file and os.path.isfile(start):
        return _read_file(Path(start), options)
    if options.encoding is not None and not named_file:
        raise GraphError("expected encoding= only with a file; got it with a text")
    if not start.startswith("[") and (format_ := formats.of_text(source)):
        return _read_format(format_, source, "", options)
    options.require_none_for_a_matrix("str")
    if start.startswith("["):
        return text.read_bnlearn(source)
    if text.is_text(start):
        return text.read(source)
    return _read_file(Path(start), options) if named_file else _read_named(start, options)


def _read_named(name: str, options: _Options) -> nx.Graph:
    if name in names():
        return _read_file(next(p for p in _library().iterdir() if p.stem == name), options)
    raise GraphError(
        f"expected a graph; got {shown(name)[:80]!r}, which has no ' -> ', ' - ' or ';', "
        f"is no .dot or .bif file and no name in graphs/{suggestion(name, names())}"
    )


def _read_file(path: Path, options: _Options) -> nx.Graph:
    from probgen.reasoning.readers import files, formats

    if (format_ := formats.of_path(path)) is None:
        raise GraphError(
            f"expected a file ending with {' '.join(formats.SUFFIXES)}; got {shown(path)}"
        )
    text = files.text(path, options.encoding)
    return _read_format(formats.of_text(text) or format_, text, shown(path), options)


def _read_format(format_: str, text: str, file: str, options: _Options) -> nx.Graph:
    """Read a text of a known format; only UAI has no names of its own."""
    from probgen.reasoning.readers import formats, uai

    names = options.names if format_ == "uai" else None
    options._replace(names=None if names else options.names).require_none_for_a_matrix("file")
    graph = formats.read(format_, text, file, options.tolerance, options.directed)
    return graph if names is None else uai.named(graph, names)


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
