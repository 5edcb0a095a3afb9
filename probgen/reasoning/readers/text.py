"""Graphs written in a line: arrows (`A -> B <- C; D`) and bnlearn's `[A][B][C|A:B]`."""

import re
from collections.abc import Iterator
from typing import NamedTuple

import networkx as nx

from probgen.reasoning.names import GraphError, shown, suggestion

_DASH = re.compile("[-–—−]")
_TOKEN = re.compile(
    r"""(?P<space>[^\S\n]+)
      | (?P<end>[;\n])
      | (?P<arrow><->|->|<-|--|[→←]|-(?![^\s;"]))
      | "(?P<quoted>(?:[^"\\\n]|\\.)*)"
      | (?P<name>(?:[^\s;"<>{},[\]\u2190-\u21ff-]|-(?![->])|<(?!-)|>)+)
      | (?P<bad>.)""",
    re.X,
)


class Token(NamedTuple):
    """One word of the text: its kind (end, arrow, quoted, name), text and line."""

    kind: str
    text: str
    line: int


def is_text(source: str) -> bool:
    """Whether a string is a graph in arrows rather than a name or a file.

    >>> is_text("A -> B"), is_text("A; B"), is_text("pharmacy")
    (True, True, False)
    """
    return any(mark in source for mark in ("->", "<-", "→", "←", " - ", " -- ", ";", "\n"))


def read(source: str) -> nx.Graph:
    r"""Read statements of names joined by `->`, `<-` or ` - `, ended by `;` or a new line.

    The signs → and ← are arrows too.

    Names with spaces, semicolons or arrows in them stand in double quotes.

    Raises:
        GraphError: with the line and the token.

    >>> read('"a b" -> c; d').edges
    OutEdgeView([('a b', 'c')])
    """
    edges: list[tuple[str, str, str]] = []
    nodes: dict[str, None] = {}
    for statement in _statements(source):
        _check(statement)
        nodes |= dict.fromkeys(t.text for t in statement[::2])
        for left, arrow, right in zip(
            statement[::2], statement[1::2], statement[2::2], strict=False
        ):
            edges.append((left.text, arrow.text, right.text))
    if not nodes:
        raise GraphError("expected a graph such as 'A -> B; C'; got an empty text")
    return _graph(nodes, edges)


def _graph(nodes: dict[str, None], edges: list[tuple[str, str, str]]) -> nx.Graph:
    kinds = {arrow in ("-", "--") for _, arrow, _ in edges}
    if len(kinds) == 2:
        u, arrow, v = next(e for e in edges if e[1] in ("-", "--"))
        raise GraphError(
            f"expected edges of one kind; got the undirected {shown(u)} {arrow} {shown(v)} "
            "beside directed ones: orient every edge or none"
        )
    graph = nx.Graph() if kinds == {True} else nx.DiGraph()
    graph.add_nodes_from(nodes)
    graph.add_edges_from((v, u) if arrow in ("<-", "←") else (u, v) for u, arrow, v in edges)
    return graph


def _statements(source: str) -> Iterator[list[Token]]:
    line = 1
    statement: list[Token] = []
    for match in _TOKEN.finditer(source):
        kind, text = match.lastgroup or "", match.group(match.lastgroup or 0)
        if kind == "bad":
            raise GraphError(f"line {line}: expected a name or an arrow; got {shown(text)!r}")
        if kind == "end":
            yield statement
            statement = []
        elif kind != "space":
            statement.append(Token(kind, _plain(kind, text), line))
        line += text == "\n"
    yield statement


def _plain(kind: str, text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text) if kind == "quoted" else text


def _check(statement: list[Token]) -> None:
    for i, token in enumerate(statement):
        where = f"line {token.line}: "
        if token.text == "<->" and token.kind == "arrow":
            raise GraphError(
                f"{where}expected ->, <- or -; got <->: name the common cause, 'A <- U -> B'"
            )
        if (token.kind == "arrow") != (i % 2 == 1):
            raise GraphError(where + _misplaced(statement, i))
    if statement and statement[-1].kind == "arrow":
        text = statement[-1].text
        raise GraphError(f"line {statement[-1].line}: expected a name after {text}; got nothing")
    _check_hyphens(statement)


def _misplaced(statement: list[Token], i: int) -> str:
    got = shown(statement[i].text)[:80]
    if statement[i].kind == "arrow":
        return f"expected a name before {got}; got {'an arrow' if i else 'nothing'}"
    left = shown(statement[i - 1].text)[:80]
    return (
        f"expected an arrow or ';' between {left!r} and {got!r}; got neither: "
        "a name with spaces needs double quotes"
    )


def _check_hyphens(statement: list[Token]) -> None:
    """A-B could be an edge or a name; where no arrow tells, ask."""
    if any(t.kind == "arrow" and t.text in ("->", "<-", "→", "←") for t in statement):
        return
    for token in statement:
        if token.kind == "name" and _DASH.search(token.text):
            edge = shown(_DASH.sub(" - ", token.text))
            raise GraphError(
                f"line {token.line}: {shown(token.text)!r} could be an edge or a name: "
                f"write '{edge}' for edges, or the name in double quotes"
            )


def read_bnlearn(source: str) -> nx.DiGraph:
    """Read a bnlearn model string, `[node|parent:parent]` for every node.

    Raises:
        GraphError: malformed, a node twice, or a parent that is no node.

    >>> read_bnlearn("[M][S][I|M:S]").edges
    OutEdgeView([('M', 'I'), ('S', 'I')])
    """
    text = source.strip()
    blocks = re.findall(r"\[([^][]*)\]", text)
    rest = re.sub(r"\[[^][]*\]", "", text).strip()
    if rest:
        raise GraphError(f"expected '[node|parent:parent]'; got {shown(rest)[:80]!r} outside")
    parents: dict[str, list[str]] = {}
    for block in blocks:
        node, bar, listed = block.partition("|")
        if not node or (bar and not all(listed.split(":"))):
            raise GraphError(f"expected '[node|parent:parent]'; got [{shown(block)[:80]}]")
        if node in parents:
            raise GraphError(f"expected each node once; got [{shown(node)}] twice")
        parents[node] = listed.split(":") if bar else []
    graph = nx.DiGraph()
    graph.add_nodes_from(parents)
    for node, listed_parents in parents.items():
        for parent in listed_parents:
            if parent not in parents:
                raise GraphError(
                    f"the parent {shown(parent)!r} of {shown(node)!r} is not in brackets"
                    + suggestion(parent, parents)
                )
            graph.add_edge(parent, node)
    return graph
