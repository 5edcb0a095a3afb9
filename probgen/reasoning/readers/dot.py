"""Graphviz DOT and dagitty: `digraph { a -> {b c} [label="x"] }`, `dag { M -> I <- S }`."""

import re
from collections.abc import Iterator
from typing import NamedTuple

import networkx as nx

from probgen.reasoning.names import GraphError, shown

_GAP = r"(?>\s|//[^\n]*|\#[^\n]*|/\*(?s:.*?)\*/)*+"
HEADER = re.compile(
    rf"{_GAP}(?:strict{_GAP})?(?:digraph|graph|dag|pdag|mag|pag){_GAP}"
    rf'(?:(?:[\w.-]+|"[^"]*"){_GAP})?\{{',
    re.I,
)
LARGEST_EXPANSION = 100_000
"""Edges that `{a b} -> {c d}` statements may stand for in one file."""
DEEPEST = 64
"""Braces that may be nested."""
TABLE_KEYS = frozenset({"states", "parents", "table"})

_TOKEN = re.compile(
    r"""(?P<space>[^\S\n]+|//[^\n]*|\#[^\n]*|/\*[^*]*\*+(?:[^/*][^*]*\*+)*/)
      | (?P<line>\n)
      | (?P<arrow><->|->|<-|--|@[->o]+[@>-]*)
      | (?P<mark>[][{};=,:+])
      | "(?P<quoted>(?:[^"\\]|\\.)*)"
      | <(?P<html>[^<>]*(?:<[^<>]*>[^<>]*)*)>
      | (?P<name>-?(?:\.\d+|\d+(?:\.\d*)?)(?![\w.])|[\w.]+)
      | (?P<bad>.)""",
    re.X | re.S,
)


class Token(NamedTuple):
    """One token: kind (arrow, mark, name, end), text, line."""

    kind: str
    text: str
    line: int


def read(source: str, file: str = "") -> nx.Graph:
    r"""Read one graph; node and edge attributes are kept, ports are dropped.

    The grammar is Graphviz's (graphviz.org/doc/info/lang.html), the header `dag` and the arrow
    `<-` are dagitty's (Textor 2016).

    Raises:
        GraphError: malformed, mixed edges, or too large; with file, line and token.

    >>> read("dag { M -> I <- S }").edges
    OutEdgeView([('M', 'I'), ('S', 'I')])
    >>> read('graph { a [label="x y"]; a -- {b c} }').edges
    EdgeView([('a', 'b'), ('a', 'c')])
    """
    return _Parser(source, file).graph()


def _tokens(source: str, where: str) -> Iterator[Token]:
    line = 1
    for match in _TOKEN.finditer(source):
        kind, text = str(match.lastgroup), match.group(str(match.lastgroup))
        if kind == "bad":
            what = "an unfinished string or comment" if text in '"</' else repr(shown(text))
            raise GraphError(f"{where}line {line}: expected a name, arrow or brace; got {what}")
        if kind in ("arrow", "mark", "name"):
            yield Token(kind, text, line)
        elif kind == "quoted":
            yield Token("quoted", text.replace("\\\n", "").replace('\\"', '"'), line)
        elif kind == "html":
            yield Token("quoted", text, line)
        line += match.group().count("\n")
    yield Token("end", "the end", line)


class _Parser:
    """Recursive descent over the tokens; `graph()` gives the result."""

    def __init__(self, source: str, file: str) -> None:
        self.where = f"{file}: " if file else ""
        self.tokens = _tokens(source, self.where)
        self.now = next(self.tokens)
        self.nodes: dict[str, dict[str, str]] = {}
        self.edges: dict[tuple[str, str], dict[str, str]] = {}
        self.arrow = ""
        self.expanded = 0

    def error(self, expected: str, got: str = "") -> GraphError:
        got = got or repr(shown(self.now.text)[:80])
        return GraphError(f"{self.where}line {self.now.line}: expected {expected}; got {got}")

    def take(self) -> Token:
        token, self.now = self.now, next(self.tokens, self.now)
        return token

    def accept(self, *texts: str) -> bool:
        if self.now.kind in ("mark", "name") and self.now.text.lower() in texts:
            self.take()
            return True
        return False

    def name(self) -> str:
        if self.now.kind not in ("name", "quoted"):
            raise self.error("a name")
        text = self.take().text
        while self.accept("+"):
            if self.now.kind != "quoted":
                raise self.error("a string after +")
            text += self.take().text
        return text

    def graph(self) -> nx.Graph:
        self.accept("strict")
        word = self.now.text.lower()
        if word in ("pdag", "mag", "pag"):
            raise self.error("digraph, graph or dag", f"{word}, which mixes kinds of edges")
        if not self.accept("digraph", "graph", "dag"):
            raise self.error("digraph, graph or dag")
        self.arrow = {"digraph": "->", "graph": "--"}.get(word, "")
        if self.now.kind in ("name", "quoted"):
            self.name()
        self.block(1)
        if self.now.kind != "end":
            raise self.error("the end")
        return self.result()

    def result(self) -> nx.Graph:
        graph = nx.Graph() if self.arrow == "--" else nx.DiGraph()
        graph.add_nodes_from(self.nodes.items())
        graph.add_edges_from((u, v, attributes) for (u, v), attributes in self.edges.items())
        return graph

    def block(self, depth: int) -> dict[str, None]:
        """A braced list of statements; its nodes in order."""
        if depth > DEEPEST:
            raise self.error(f"at most {DEEPEST} nested braces", "more")
        if not self.accept("{"):
            raise self.error("{")
        nodes: dict[str, None] = {}
        while not self.accept("}"):
            if not self.accept(";", ","):
                nodes |= self.statement(depth)
        return nodes

    def statement(self, depth: int) -> dict[str, None]:
        if self.now.kind == "name" and self.now.text.lower() in ("graph", "node", "edge"):
            self.take()
            self.attributes()
            return {}
        nodes = self.operand(depth)
        if nodes is None:
            return {}
        groups, arrows = [nodes], []
        while self.now.kind == "arrow":
            arrows.append(self.direction())
            group = self.operand(depth)
            if group is None:
                raise self.error("a name")
            groups.append(group)
        attributes = self.attributes()
        for left, arrow, right in zip(groups, arrows, groups[1:], strict=False):
            self.join(left, arrow, right, attributes)
        if not arrows and len(nodes) == 1:
            self.nodes[next(iter(nodes))] |= attributes
        return {v: None for group in groups for v in group}

    def operand(self, depth: int) -> dict[str, None] | None:
        """A node or a subgraph; None for an assignment such as `rankdir=LR`."""
        subgraph = self.accept("subgraph")
        if subgraph and self.now.kind in ("name", "quoted"):
            self.name()
        if subgraph or (self.now.text == "{" and self.now.kind == "mark"):
            return self.block(depth + 1)
        name = self.name()
        if self.accept("="):
            self.name()
            return None
        if self.accept(":"):
            self.name()
            if self.accept(":"):
                self.name()
        self.nodes.setdefault(name, {})
        return {name: None}

    def direction(self) -> str:
        token = self.now
        if token.text not in ("->", "<-", "--"):
            raise self.error("->, <- or --", f"{token.text}: name the common cause instead")
        kind = "--" if token.text == "--" else "->"
        self.arrow = self.arrow or kind
        if kind != self.arrow or (token.text == "<-" and self.arrow == "--"):
            raise self.error(f"edges of one kind ({self.arrow})", f"the edge {token.text}")
        return self.take().text

    def join(
        self, left: dict[str, None], arrow: str, right: dict[str, None], attributes: dict[str, str]
    ) -> None:
        self.expanded += len(left) * len(right) if len(left) + len(right) > 2 else 0
        if self.expanded > LARGEST_EXPANSION:
            raise self.error(
                f"braces that stand for at most {LARGEST_EXPANSION:,} edges", f"{self.expanded:,}"
            )
        for u in left:
            for v in right:
                pair = (v, u) if arrow == "<-" else (u, v)
                self.edges.setdefault(pair, {}).update(attributes)

    def attributes(self) -> dict[str, str]:
        found: dict[str, str] = {}
        while self.accept("["):
            while not self.accept("]"):
                key = self.name()
                if key in TABLE_KEYS:
                    raise self.error("an attribute that is not reserved for tables", repr(key))
                found[key] = self.name() if self.accept("=") else "true"
                self.accept(";", ",")
        return found


def write(graph: nx.Graph) -> str:
    """The graph in DOT with quoted names and the attribute `label`."""
    directed = graph.is_directed()
    if len(set(map(str, graph))) < len(graph):
        raise GraphError("expected names that differ as text; got two nodes of one name")
    lines = ["digraph {" if directed else "graph {"]
    for node, attributes in graph.nodes(data=True):
        label = f" [label={_quoted(attributes['label'])}]" if "label" in attributes else ""
        lines.append(f"  {_quoted(node)}{label};")
    arrow = "->" if directed else "--"
    lines += [f"  {_quoted(u)} {arrow} {_quoted(v)};" for u, v in graph.edges]
    return "\n".join([*lines, "}"])


def _quoted(name: object) -> str:
    text = str(name)
    if re.search(r'\\("|\n|\Z)', text):
        raise GraphError(
            f"expected a name that DOT can write; got {shown(text)!r}: a backslash cannot stand "
            "before a quote or at the end"
        )
    return '"' + text.replace('"', '\\"') + '"'
