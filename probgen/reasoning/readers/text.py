"""Graphs written in a line: arrows (`A -> B <- C; D`) and bnlearn's `[A][B][C|A:B]`.

Arrows are read as people paste them, from mermaid, word processors or papers: `-->`, `->>`, `=>`,
`-.->` and `⟶` are the arrow `->`. A run of signs that is no such arrow is an error, never a part
of a name, so that no edge is lost in silence.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

import networkx as nx

from probgen.reasoning.names import GraphError, shown, suggestion
from probgen.reasoning.readers import edges
from probgen.reasoning.readers.edges import HEAD, TAIL, Edge

_DASHES = "-‐‑‒–—―−─━－"
_RIGHT = "→⟶⇒⟹⇨⇾➔➙➜➝➞➡⭢⮕￫🠒🡒"
_LEFT = "←⟵⇐⟸⇦⇽⬅⭠￩🠐🡐"
_BOTH = "↔⟷⇔⟺⇿⬌⭤"
_ARROWS = "\u2190-\u21ff\u27f0-\u27ff\u2900-\u297f\u2b00-\u2b11\u2b30-\u2b4f\u2b60-\u2bb9"
_ARROWS += "\u2794\u2798-\u27af\u27b1-\u27be\uffe9-\uffec\U0001f800-\U0001f8ff◀▶◄►◁▷⊸⟜"
_SIGNS = _ARROWS + r"<>=~＜＞＝～" + _DASHES.replace("-", r"\-")
_ASCII = str.maketrans(dict.fromkeys(_DASHES, "-") | dict(zip("＜＞＝～", "<>=~", strict=True)))

_LETTER = rf'[^\s;"{{}},[\]{_SIGNS}]'
_INSIDE = rf"(?:[{_DASHES}](?!\.+[{_DASHES}])|=|~|[<>]=?)"
_TOKEN = re.compile(
    rf"""(?P<space>[^\S\n]+)
      | (?P<end>[;\n])
      | "(?P<quoted>(?:[^"\\\n]|\\.)*)"
      | (?P<arrow>[{_SIGNS}]+(?:\.+[{_SIGNS}]+)?[\ufe0e\ufe0f]?)
      | (?P<name>{_LETTER}+(?:{_INSIDE}{_LETTER}+)*)
      | (?P<bad>.)""",
    re.X,
)
_STROKE = re.compile(r"(<{0,2})(-+|=+)(>{0,2})")
_COMPARED = re.compile(r"[^<>]*[^\W\d][^<>]*[<>]=?[\d.][^<>]*")
_UNSURE = re.compile(f"[{_DASHES}~<>]")
_DECORATED = re.compile(r"([^(:]+)(?:\(.*\)|:::.*)")
_CIRCLES = frozenset("ox*@°○")
_ENDS = frozenset("*@°○|.")
_MARK = re.compile(
    rf"[{_DASHES}=][>＞]|[<＜][{_DASHES}=]|[{_ARROWS}]|[;\n]"
    rf"|\s[ox@*]?[{_SIGNS}]+[ox@*|]?\s|^[^./\\]+--[^./\\]+$"
)


class Token(NamedTuple):
    """One word of the text: its kind (arrow, quoted, name), text, line and place."""

    kind: str
    text: str
    line: int
    start: int
    stop: int


def is_text(source: str) -> bool:
    """Whether a string is a graph in arrows rather than a name or a file.

    >>> is_text("A -> B"), is_text("A⟶B"), is_text("A; B"), is_text("pharmacy")
    (True, True, True, False)
    """
    return bool(_MARK.search(source))


def read(source: str) -> nx.Graph:
    r"""Read statements of names joined by `->`, `<-` or ` - `, ended by `;` or a new line.

    Longer arrows (`-->`, `->>`, `=>`, `-.->`) and the signs for them (→, ⟶, ⇒ and the like) are
    arrows too. Names with spaces, semicolons or arrows in them stand in double quotes.

    Raises:
        GraphError: with the line and the token.

    >>> read('"a b" -> c; d').edges
    OutEdgeView([('a b', 'c')])
    >>> read("A-->B; B<==C").edges
    OutEdgeView([('A', 'B'), ('C', 'B')])
    """
    found: list[Edge] = []
    nodes: dict[str, None] = {}
    for statement in _statements(source):
        marks = _marks_of(statement)
        names = [t.text for t in statement[::2]]
        nodes |= dict.fromkeys(names)
        where = f"line {statement[0].line}: " if statement else ""
        for u, (at_u, at_v), v in zip(names, marks, names[1:], strict=False):
            found.append(Edge(u, v, at_u, at_v, where=where))
    if not nodes:
        raise GraphError("expected a graph such as 'A -> B; C'; got an empty text")
    _require_bare(nodes)
    return edges.graph(nodes, found)


def marks(arrow: str) -> tuple[str, str] | None:
    """The marks at an arrow's left and right end; None for what is no arrow that we know.

    >>> marks("-->"), marks("⇐"), marks("--"), marks("<->"), marks("->-")
    (('-', '>'), ('>', '-'), ('-', '-'), ('>', '>'), None)
    """
    text = arrow.translate(_ASCII).rstrip("\ufe0e\ufe0f")
    for signs, found in ((_RIGHT, (TAIL, HEAD)), (_LEFT, (HEAD, TAIL)), (_BOTH, (HEAD, HEAD))):
        if len(text) == 1 and text in signs:
            return found
    stroke = _STROKE.fullmatch(re.sub(r"(?<=-)\.+(?=-)", "", text))
    if not stroke or text == "<=" or (not (stroke[1] or stroke[3]) and stroke[2][0] == "="):
        return None
    return HEAD if stroke[1] else TAIL, HEAD if stroke[3] else TAIL


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
            statement.append(Token(kind, _plain(kind, text), line, *match.span()))
        line += text == "\n"
    yield statement


def _plain(kind: str, text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text) if kind == "quoted" else text


def _marks_of(statement: list[Token]) -> list[tuple[str, str]]:
    """The marks of every arrow of a statement, in which names and arrows alternate."""
    for i, token in enumerate(statement):
        if token.kind == "arrow":
            _require_arrow(token, statement[i + 1 : i + 2])
        if (token.kind == "arrow") != (i % 2 == 1):
            raise GraphError(f"line {token.line}: {_misplaced(statement, i)}")
    if statement and statement[-1].kind == "arrow":
        last = statement[-1]
        raise GraphError(f"line {last.line}: expected a name after {last.text}; got nothing")
    found = [marks(token.text) or (TAIL, TAIL) for token in statement[1::2]]
    for i in range(0, len(statement), 2):
        _require_name(statement, i, any(HEAD in ends for ends in found))
    return found


def _require_arrow(token: Token, after: list[Token]) -> None:
    if marks(token.text) is None:
        raise GraphError(
            f"line {token.line}: expected an arrow, ->, <- or -; got {shown(token.text)!r}: if it "
            "belongs to a name, put the name in double quotes"
        )
    if len(token.text) == 1 and marks(token.text) == (TAIL, TAIL):
        glued = [t for t in after if t.kind == "name" and t.start == token.stop]
        if glued:
            word = shown(token.text + glued[0].text)[:80]
            raise GraphError(
                f"line {token.line}: {word!r} could be an edge or a name: write ' - ' for an "
                "edge, or the name in double quotes"
            )


def _misplaced(statement: list[Token], i: int) -> str:
    got = shown(statement[i].text)[:80]
    if statement[i].kind == "arrow":
        return f"expected a name before {got}; got {'an arrow' if i else 'nothing'}"
    left = shown(statement[i - 1].text)[:80]
    if statement[i].kind == "name" and _CIRCLES & {got.partition("-")[0], left}:
        return (
            f"expected ->, <- or -; got {left!r} beside {got!r}, a circle or a cross as an edge's "
            "end: mixed graphs are not read; a name with spaces needs double quotes"
        )
    return (
        f"expected an arrow or ';' between {left!r} and {got!r}; got neither: "
        "a name with spaces needs double quotes"
    )


def _require_name(statement: list[Token], i: int, directed: bool) -> None:
    """Refuse a bare name that may be an edge, a comparison or the end of an arrow."""
    token = statement[i]
    if token.kind != "name":
        return
    where, name = f"line {token.line}: ", token.text
    if re.search("[<>]", name) and not _COMPARED.fullmatch(name):
        raise GraphError(
            f"{where}{shown(name)[:80]!r} could be an arrow or a name: write '->' or '<-' for an "
            "arrow, or the name in double quotes"
        )
    if not directed and _UNSURE.search(name):
        edge = shown(_UNSURE.sub(" - ", name))
        raise GraphError(
            f"{where}{shown(name)!r} could be an edge or a name: "
            f"write '{edge}' for edges, or the name in double quotes"
        )
    if _ends_an_arrow(statement, i):
        raise GraphError(
            f"{where}expected a name beside an arrow; got {shown(name)[:80]!r}, which may be the "
            "circle or the label of an edge: put the name in double quotes"
        )


def _ends_an_arrow(statement: list[Token], i: int) -> bool:
    """Whether a sign that ends arrows elsewhere (`A@->B`, `-->|text|`) touches one here."""
    token = statement[i]
    before = statement[i - 1].stop if i else None
    after = statement[i + 1].start if i + 1 < len(statement) else None
    return (token.text[0] in _ENDS and token.start == before) or (
        token.text[-1] in _ENDS and token.stop == after
    )


def _require_bare(nodes: dict[str, None]) -> None:
    """Refuse mermaid's `B(text)` and `B:::class` beside B, which it takes for one node."""
    for name in nodes:
        decorated = _DECORATED.fullmatch(name)
        if decorated and decorated[1] in nodes:
            raise GraphError(
                f"expected one name for a node; got {shown(name)[:80]!r} and "
                f"{shown(decorated[1])[:80]!r}, which mermaid takes for one: write one of them"
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
