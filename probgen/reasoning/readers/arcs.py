"""Lists of edges: `from,to` tables (bnlearn's arcs, Gephi) and lines of two names."""

import csv
from typing import Any

import networkx as nx

from probgen.reasoning.names import GraphError, shown

LARGEST = 1 << 22
"""Lines of one file."""
ARROWS = {"from": "to", "parent": "child", "cause": "effect"}
"""Headers that say that the edges are arrows."""
PAIRS = {"source": "target", "node1": "node2"}
"""Headers that do not say it."""


def is_header(line: str) -> bool:
    """Whether a line names the columns of a table of edges.

    >>> is_header('"","from","to"'), is_header("a,b")
    (True, False)
    """
    return _columns(_cells(line)) is not None


def read(source: str, file: str = "", directed: bool | None = None) -> nx.Graph:
    r"""Read a table with the columns from and to, or lines of two names.

    Columns are between commas, semicolons or tabs and may be quoted. Headers that name arrows are
    `from,to`, `parent,child` and `cause,effect`; with `source,target` a column `type` says
    Directed or Undirected, as Gephi has it. Otherwise `directed` has to say it. Arrows with every
    edge in both directions, as bnlearn writes undirected graphs, are undirected. A row with an
    empty second name is a node. Lines that begin with `#` are comments.

    Raises:
        GraphError: no two names in a line (which is named), edges of both kinds, arc strengths,
            or no word on the direction.

    >>> read('"","from","to"\n"1","A","B"\n"2","C","B"').edges
    OutEdgeView([('A', 'B'), ('C', 'B')])
    >>> read("A B\nB C", directed=False).edges
    EdgeView([('A', 'B'), ('B', 'C')])
    """
    where = f"{file}: " if file else ""
    lines = source.splitlines()
    if len(lines) > LARGEST:
        raise GraphError(f"{where}expected at most {LARGEST:,} lines; got {len(lines):,}")
    first = next((i for i, line in enumerate(lines) if _counts(line)), None)
    if first is None:
        raise GraphError(f"{where}expected edges; got an empty file")
    header = _cells(lines[first])
    columns = _columns(header)
    if columns is None:
        pairs = _pairs(lines, where)
    else:
        _require_arcs(header, where)
        pairs, said = _rows(lines, first, columns, where)
        directed = said if directed is None else directed
    if directed is None:
        raise GraphError(
            f"{where}expected a word on the direction of the edges; got pairs of names only: "
            "load it with directed=True or directed=False"
        )
    return _graph(pairs, directed, where)


def _counts(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _cells(line: str) -> list[str]:
    """The columns of a line, by the separator that it has most of."""
    cells = next(csv.reader([line], delimiter=_separator(line)), [])
    return [cell.strip() for cell in cells]


def _separator(line: str) -> str:
    return max(",;\t", key=line.count)


def _columns(header: list[str]) -> tuple[int, int] | None:
    names = [cell.lower() for cell in header]
    for start, end in (ARROWS | PAIRS).items():
        if start in names and end in names:
            return names.index(start), names.index(end)
    return None


def _require_arcs(header: list[str], where: str) -> None:
    if {"strength", "direction"} <= {cell.lower() for cell in header}:
        raise GraphError(
            f"{where}expected arcs; got their strengths, a row for every pair of nodes: write the "
            "arcs of averaged.network(strengths)"
        )


def _rows(
    lines: list[str], first: int, columns: tuple[int, int], where: str
) -> tuple[list[tuple[str, str]], bool | None]:
    """The pairs of a table, and whether its header or its column `type` says arrows."""
    separator = _separator(lines[first])
    header = [cell.lower() for cell in _cells(lines[first])]
    kind = header.index("type") if "type" in header else None
    pairs, kinds = [], set()
    for number, line in enumerate(lines[first + 1 :], first + 2):
        if not _counts(line):
            continue
        cells = [c.strip() for c in next(csv.reader([line], delimiter=separator), [])]
        if len(cells) <= max(columns) or not cells[columns[0]]:
            raise GraphError(f"{where}line {number}: expected two names; got {shown(line)[:80]!r}")
        pairs.append((cells[columns[0]], cells[columns[1]]))
        if kind is not None and len(cells) > kind:
            kinds.add(cells[kind].lower())
    if kinds and kinds <= {"directed", "undirected"}:
        if len(kinds) == 2:
            raise GraphError(f"{where}expected edges of one kind; got directed and undirected")
        return pairs, kinds == {"directed"}
    return pairs, True if header[columns[0]] in ARROWS else None


def _pairs(lines: list[str], where: str) -> list[tuple[str, str]]:
    """The pairs of lines of two names between blanks, commas or tabs; a weight may follow."""
    pairs = []
    for number, line in enumerate(lines, 1):
        if not _counts(line):
            continue
        separator = _separator(line)
        cells = _cells(line) if separator in line else line.split()
        if not 2 <= len(cells) <= 3 or not cells[0] or (len(cells) == 3 and not _data(cells[2])):
            raise GraphError(
                f"{where}line {number}: expected two names; got {shown(line)[:80]!r}: a table of "
                "edges has a header, from,to"
            )
        pairs.append((cells[0], cells[1]))
    return pairs


def _data(cell: str) -> bool:
    """Whether a third column is a weight, or the braces of networkx's attributes."""
    try:
        float(cell)
    except ValueError:
        return cell.startswith("{")
    return True


def _graph(pairs: list[tuple[str, str]], directed: bool, where: str) -> nx.Graph:
    graph: Any = nx.DiGraph() if directed else nx.Graph()
    for start, end in pairs:
        graph.add_node(start)
        if end:
            graph.add_edge(start, end)
    if directed and graph.number_of_edges():
        both = [edge for edge in graph.edges if graph.has_edge(*reversed(edge))]
        if len(both) == graph.number_of_edges():
            return graph.to_undirected()
        if both:
            start, end = map(shown, both[0])
            raise GraphError(
                f"{where}expected edges of one kind; got {start} - {end} in both directions "
                "beside directed ones: orient every edge or none"
            )
    return graph
