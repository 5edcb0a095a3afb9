"""Graphviz DOT and dagitty: `digraph { a -> {b c} [label="x"] }`, `dag { M -> I <- S }`."""

import re
from collections import ChainMap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import networkx as nx

from probgen.reasoning.names import GraphError, shown
from probgen.reasoning.readers import cpds, edges, holding, packed
from probgen.reasoning.readers.edges import CIRCLE, HEAD, TAIL, Edge

_GAP = r"(?>\s|//[^\n]*|\#[^\n]*|/\*(?s:.*?)\*/)*+"
HEADER = re.compile(
    rf"{_GAP}(?:strict{_GAP})?(?:digraph|graph|dag|pdag|mag|pag){_GAP}"
    rf'(?:(?:[\w.-]+|"[^"]*"){_GAP})?\{{',
    re.I,
)
LARGEST_EXPANSION = 100_000
"""Edges, or their attributes, that `{a b} -> {c d}` may stand for in one file."""
DEEPEST = 64
"""Braces that may be nested."""

_ENDS = {
    "forward": (False, True),
    "back": (True, False),
    "both": (True, True),
    "none": (False, False),
}
_HEADS = re.compile(r"o?[lr]?(?:normal|vee)|o?empty|open|(?:half|l|r)open")
_OPENED = frozenset({"dir", "arrowhead", "arrowtail"})
_DRAWN = _OPENED | {"style", "color"}
"""What decides how an edge's ends are drawn; of the defaults only these are kept."""

_TOKEN = re.compile(
    r"""(?P<space>[^\S\n]+|//[^\n]*|\#[^\n]*|/\*[^*]*\*+(?:[^/*][^*]*\*+)*/)
      | (?P<line>\n)
      | (?P<arrow>-{2,}>+|->{2,}|<-{2,}|=+>|<->|->|<-|--|@[->o]+[@>-]*)
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


def read(source: str, file: str = "", tolerance: float | None = None) -> nx.Graph:
    r"""Read one graph; node and edge attributes are kept, ports are dropped.

    The grammar is Graphviz's (graphviz.org/doc/info/lang.html), the header `dag` and the arrow
    `<-` are dagitty's (Textor 2016). An edge is what Graphviz draws: `dir`, `arrowhead` and
    `arrowtail` turn it or take its head, also as `edge [...]` defaults; one with `style=invis`
    is none.

    Raises:
        GraphError: malformed, mixed edges, or too large; with file, line and token.

    >>> read("dag { M -> I <- S }").edges
    OutEdgeView([('M', 'I'), ('S', 'I')])
    >>> read('graph { a [label="x y"]; a -- {b c} }').edges
    EdgeView([('a', 'b'), ('a', 'c')])
    >>> read("digraph { a -> b [dir=back] }").edges
    OutEdgeView([('b', 'a')])
    """
    graph = _Parser(source, file).graph()
    for data in (data for _, data in graph.nodes(data=True) if "pos" in data):
        data["pos"] = cpds.place(data["pos"]) or data["pos"]
    packed.unpack(graph, file, tolerance)
    return graph


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


def drawn(edge: Edge) -> Edge | None:
    """The edge as Graphviz draws it: its ends as its attributes have them; None if invisible.

    The attributes that were honoured are dropped (graphviz.org/docs/attr-types/dirType).

    >>> drawn(Edge("a", "b", attributes={"dir": "both", "arrowhead": "none"}))
    Edge(u='a', v='b', at_u='>', at_v='-', attributes={}, where='')
    """
    known = {key: str(value).strip('"') for key, value in edge.attributes.items()}
    styles = (word.split("(")[0].strip() for word in known.get("style", "").split(","))
    if "invis" in styles or known.get("color") in ("transparent", "none"):
        return None
    written = (edge.at_u == HEAD, edge.at_v == HEAD)
    at_u, at_v = _ENDS.get(known.get("dir", ""), written)
    return edge._replace(
        at_u=_end(edge, "arrowtail", known) if at_u else TAIL,
        at_v=_end(edge, "arrowhead", known) if at_v else TAIL,
        attributes={k: v for k, v in edge.attributes.items() if k not in _OPENED},
    )


def _end(edge: Edge, key: str, known: Mapping[str, str]) -> str:
    shape = known.get(key) or "normal"
    if shape == "none":
        return TAIL
    if shape in ("dot", "odot"):
        return CIRCLE
    if not _HEADS.fullmatch(shape):
        raise GraphError(
            f"{edge.where}expected an arrowhead that is an arrow's (normal, vee, empty, open) or "
            f"none; got {key}={shown(shape)[:80]} between {shown(edge.u)} and {shown(edge.v)}"
        )
    return HEAD


@dataclass
class _Scope:
    """A graph or subgraph: the defaults of its edges, and its named subgraphs."""

    defaults: ChainMap[str, str] = field(default_factory=ChainMap)
    named: "dict[str, _Scope]" = field(default_factory=dict)

    def inner(self, name: str) -> "_Scope":
        """A subgraph; one with a name goes on where it was left."""
        scope = self.named.get(name) or _Scope(self.defaults.new_child())
        if name:
            self.named[name] = scope
        return scope


class _Parser:
    """Recursive descent over the tokens; `graph()` gives the result."""

    def __init__(self, source: str, file: str) -> None:
        self.where = f"{file}: " if file else ""
        self.tokens = _tokens(source, self.where)
        self.last = self.now = next(self.tokens)
        self.nodes: dict[str, dict[str, str]] = {}
        self.edges: dict[object, Edge] = {}
        self.arrow = ""
        self.strict = False
        self.expanded = 0
        self.factors: str | None = None

    def error(self, expected: str, got: str = "") -> GraphError:
        got = got or repr(shown(self.now.text)[:80])
        return GraphError(f"{self.where}line {self.now.line}: expected {expected}; got {got}")

    def take(self) -> Token:
        self.last, self.now = self.now, next(self.tokens, self.now)
        return self.last

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
        self.strict = self.accept("strict")
        word = self.now.text.lower()
        if word in ("pdag", "mag", "pag"):
            raise self.error("digraph, graph or dag", f"{word}, which mixes kinds of edges")
        if not self.accept("digraph", "graph", "dag"):
            raise self.error("digraph, graph or dag")
        self.arrow = {"digraph": "->", "graph": "--"}.get(word, "")
        if self.now.kind in ("name", "quoted"):
            self.name()
        self.block(1, _Scope())
        if self.now.kind != "end":
            raise self.error("the end")
        return self.result()

    def result(self) -> nx.Graph:
        found = [edge for edge in map(drawn, self.edges.values()) if edge]
        graph = edges.graph(self.nodes.items(), found, directed=self.arrow != "--")
        if self.factors is not None:
            graph.graph["factors"] = self.factors
        return graph

    def block(self, depth: int, scope: _Scope) -> dict[str, None]:
        """A braced list of statements; its nodes in order."""
        if depth > DEEPEST:
            raise self.error(f"at most {DEEPEST} nested braces", "more")
        if not self.accept("{"):
            raise self.error("{")
        nodes: dict[str, None] = {}
        while not self.accept("}"):
            if not self.accept(";", ","):
                nodes |= self.statement(depth, scope)
        return nodes

    def statement(self, depth: int, scope: _Scope) -> dict[str, None]:
        if self.now.kind == "name" and self.now.text.lower() in ("graph", "node", "edge"):
            word = self.take().text.lower()
            found = self.attributes()
            if word == "edge":
                scope.defaults.update({k: found[k] for k in found if k in _DRAWN})
            elif word == "graph":
                self.factors = found.get("factors", self.factors)
            return {}
        before, first = self.last, self.now
        nodes = self.operand(depth, scope)
        if nodes is None:
            return {}
        if self.now.kind == "arrow":
            self.require_no_circle(before, first)
        groups, arrows = [nodes], []
        while self.now.kind == "arrow":
            arrows.append(self.direction())
            group = self.operand(depth, scope)
            if group is None:
                raise self.error("a name")
            groups.append(group)
        if arrows:
            self.require_no_circle(self.now, self.last)
        line, attributes = self.now.line, self.attributes()
        for left, arrow, right in zip(groups, arrows, groups[1:], strict=False):
            self.join(left, arrow, right, attributes, scope.defaults, line)
        if not arrows and len(nodes) == 1:
            self.nodes[next(iter(nodes))] |= attributes
        return {v: None for group in groups for v in group}

    def require_no_circle(self, beside: Token, end: Token) -> None:
        """Refuse `a o-> b`, which to Graphviz is a node a and an edge from a node o."""
        name = ("name", "quoted")
        if end.text == "o" and (beside.kind in name and end.kind in name):
            if beside.line == end.line:
                raise self.error(
                    "->, <- or --", f"{shown(beside.text)!r} and a circle, 'o', at an edge's end"
                )

    def operand(self, depth: int, scope: _Scope) -> dict[str, None] | None:
        """A node or a subgraph; None for an assignment such as `rankdir=LR`."""
        subgraph = self.accept("subgraph")
        title = self.name() if subgraph and self.now.kind in ("name", "quoted") else ""
        if subgraph or (self.now.text == "{" and self.now.kind == "mark"):
            return self.block(depth + 1, scope.inner(title))
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
            hint = ": name the common cause instead" if token.text in ("<->", "@-@") else ""
            raise self.error("->, <- or --", token.text + hint)
        kind = "--" if token.text == "--" else "->"
        self.arrow = self.arrow or kind
        if kind != self.arrow or (token.text == "<-" and self.arrow == "--"):
            raise self.error(f"edges of one kind ({self.arrow})", f"the edge {token.text}")
        return self.take().text

    def join(
        self,
        left: dict[str, None],
        arrow: str,
        right: dict[str, None],
        attributes: dict[str, str],
        defaults: ChainMap[str, str],
        line: int,
    ) -> None:
        if len(left) + len(right) > 2:
            self.expanded += len(left) * len(right) * max(len(attributes), 1)
        if self.expanded > LARGEST_EXPANSION:
            raise self.error(
                f"braces that stand for at most {LARGEST_EXPANSION:,} edges and attributes",
                f"{self.expanded:,}",
            )
        for u in left:
            for v in right:
                self.add(*((v, u) if arrow == "<-" else (u, v)), attributes, defaults, line)

    def add(
        self,
        u: str,
        v: str,
        attributes: dict[str, str],
        defaults: ChainMap[str, str],
        line: int,
    ) -> None:
        """A new edge with the defaults, or attributes for the same edge of a strict graph."""
        pair = (u, v) if self.arrow == "->" else frozenset((u, v))
        own = attributes.get("key")
        identity: object = pair if self.strict else (pair, len(self.edges) if own is None else own)
        if edge := self.edges.get(identity):
            self.edges[identity] = edge._replace(attributes={**edge.attributes, **attributes})
            return
        head = HEAD if self.arrow == "->" else TAIL
        where = f"{self.where}line {line}: "
        self.edges[identity] = Edge(u, v, TAIL, head, {**defaults, **attributes}, where)

    def attributes(self) -> dict[str, str]:
        found: dict[str, str] = {}
        while self.accept("["):
            while not self.accept("]"):
                key = self.name()
                found[key] = self.name() if self.accept("=") else "true"
                self.accept(";", ",")
        return found


def write(graph: nx.Graph, with_tables: bool = False) -> str:
    """The graph in DOT with quoted names and the attribute `label`.

    Args:
        graph: the graph.
        with_tables: whether states, parents, tables, factors (lists in JSON) and positions are
            written too; graphviz ignores them but for `pos`.
    """
    directed = graph.is_directed()
    if len(set(map(str, graph))) < len(graph):
        raise GraphError("expected names that differ as text; got two nodes of one name")
    lines = ["digraph {" if directed else "graph {"]
    if with_tables and "factors" in graph.graph:
        lines.append(f"  graph [factors={_quoted(packed.factors(graph))}];")
    for node, attributes in graph.nodes(data=True):
        found = {"label": attributes["label"]} if "label" in attributes else {}
        if with_tables:
            found |= packed.attributes(graph, node) | _position(attributes)
        listed = ", ".join(f"{key}={_quoted(value)}" for key, value in found.items())
        lines.append(f"  {_quoted(node)}{f' [{listed}]' if listed else ''};")
    arrow = "->" if directed else "--"
    lines += [f"  {_quoted(u)} {arrow} {_quoted(v)};" for u, v in graph.edges]
    return "\n".join([*lines, "}"])


def _position(attributes: dict[str, Any]) -> dict[str, str]:
    position = holding.position(attributes)
    return {} if position is None else {"pos": f"{position[0]!r},{position[1]!r}"}


def _quoted(name: object) -> str:
    text = str(name)
    if re.search(r'\\("|\n|\Z)', text):
        raise GraphError(
            f"expected a name that DOT can write; got {shown(text)!r}: a backslash cannot stand "
            "before a quote or at the end"
        )
    return '"' + text.replace('"', '\\"') + '"'
