"""The Bayesian interchange format (BIF 0.15) and its dialects: networks with their tables."""

import re
from itertools import product
from typing import Any

import networkx as nx

from probgen.reasoning.names import GraphError, Node, shown, suggestion
from probgen.reasoning.readers import holding, lists
from probgen.reasoning.readers.cpds import Tables, numbers, place

_T = r'(?:[^{}"]++|"[^"\n]*+"|")*+'
"""Text without braces, but for those in quotes."""
_COMMENT = re.compile(r'"[^"\n]*"|(?<!:)//[^\n]*|/\*(?s:.*?)(?:\*/|\Z)')
_WORD = re.compile(r"\s*(?:(network|variable|probability)\b|(\S[^\s{(]*))")
_NAME = re.compile(r'\s*+("[^"\n]*"\s*|[^"{};]*+)\{')
_BODY = re.compile(rf"{_T}\}}")
_VARIABLE = re.compile(rf"({_T})\{{({_T})\}}({_T})\}}")
_VALUE = r'(?:[^;"]++|"[^"\n]*+"|")*+'
_TYPE = re.compile(
    rf"(?:\s*+property\b{_VALUE};)*+\s*+type\s++discrete\s*+\[\s*+(\d{{1,9}})\s*+\]\s*+=?\s*+\Z"
)
_REST = re.compile(rf"\s*+;?(?:\s*+property\b{_VALUE};?)*+\s*+\Z")
_GIVEN = re.compile(r'\s*(\((?:[^{};"]++|"[^"\n]*+"|")*+)\{')
_PROPERTIES = re.compile(rf"\bproperty\b({_VALUE})")
_END = re.compile(r"\s*\}")
_PROPERTY = re.compile(rf"\s*property\b{_VALUE};")
_ROW = re.compile(r"\s*(?:\(([^()]*)\)|(table|default)(?=\s))([^;(){}]*);")
_ROW_WITH_BRACKETS = re.compile(r'\s*\(((?:[^;{}"]|"[^"\n]*+"){0,4096})\)()([^;(){}"]*);')

_PLAIN = re.compile(r"[\w<>=.+*'-]+")
_TABLE, _DEFAULT = -1, -2
"""What stands for the rows of a `table` and of a `default` line."""


def read(source: str, file: str = "", tolerance: float | None = None) -> nx.DiGraph:
    r"""Read a network: nodes with `states`, `parents` and `table` (*parents, node), float64.

    Format: F. G. Cozman, "The Interchange Format for Bayesian Networks" (1998), as JavaBayes,
    pgmpy, pyAgrum and bnlearn write it. A `table` line below parents runs through the node's
    states slowest, the last parent fastest, as JavaBayes, pgmpy and pyAgrum have it; `default`
    fills the rows that are not given. Names may be quoted; states and names with blanks or
    brackets are matched with the declared ones. A block without rows, or with rows of NaN, NA
    or -1 for numbers, has no `table`. `label` and `position` properties are kept, as the
    attributes `label` and `pos`.

    Raises:
        GraphError: malformed (with file, line and token), a name declared twice or not at all,
            a row that is missing, given twice, negative or off 1 by more than the tolerance
            (1e-6 if there is none), or more than 4,194,304 entries.

    >>> g = read('''network n { }
    ... variable A { type discrete [ 2 ] { yes, no }; }
    ... variable B { type discrete [ 2 ] { yes, no }; }
    ... probability ( A ) { table 0.2, 0.8; }
    ... probability ( B | A ) { (yes) 0.9, 0.1; (no) 0.5, 0.5; }''')
    >>> g.nodes["B"]["table"].tolist()
    [[0.9, 0.1], [0.5, 0.5]]
    """
    return _Reader(source, file, tolerance).graph()


class _Reader:
    def __init__(self, source: str, file: str, tolerance: float | None) -> None:
        self.text, self.at = source, 0
        self.net = Tables(file, tolerance, self.line)
        if "//" in source or "/*" in source:
            self.text = _COMMENT.sub(self.blank, source)
        self.blanks = False

    def line(self, at: int) -> int:
        return self.text.count("\n", 0, at) + 1

    def error(self, message: str, at: int | None = None) -> GraphError:
        return self.net.error(message, self.at if at is None else at)

    def blank(self, comment: re.Match[str]) -> str:
        """Spaces for a comment, so that lines keep their numbers."""
        text = comment.group()
        if text.startswith("/*") and not text.endswith("*/"):
            raise self.error("expected */ after the last /*; got the end", comment.start())
        return text if text.startswith('"') else re.sub(r"[^\n]", " ", text)

    def unexpected(self, expected: str) -> GraphError:
        got = self.text[self.at :].split(maxsplit=1)[:1]
        token = repr(shown(got[0])[:80]) if got else "the end"
        return self.error(f"expected {expected}; got {token}", self._next())

    def _next(self) -> int:
        rest = self.text[self.at :]
        return self.at + len(rest) - len(rest.lstrip())

    def match(self, pattern: re.Pattern[str], expected: str) -> re.Match[str]:
        found = pattern.match(self.text, self.at)
        if not found:
            raise self.unexpected(expected)
        self.at = found.end()
        return found

    def graph(self) -> nx.DiGraph:
        """Read block after block; tables above their variables at the end."""
        later: list[int] = []
        blocks = {"variable": self.variable, "network": self.network}
        while word := _WORD.match(self.text, self.at):
            if not word[1]:
                raise self.unexpected("network, variable or probability")
            self.at = word.end()
            if word[1] == "probability":
                self.table(later)
            else:
                blocks[word[1]]()
        for self.at in later:
            self.table()
        return self.net.graph()

    def network(self) -> None:
        self.match(_NAME, "a name and {")
        self.match(_BODY, "}")

    def variable(self) -> None:
        start = self.at
        name = lists.plain(self.match(_NAME, "a name and {")[1])
        before = self.at
        head, listed, rest = self.match(_VARIABLE, "type discrete [ n ] { states }; }").groups()
        declared = _TYPE.match(head)
        if not declared or not _REST.match(rest):
            self.at = before if not declared else self.at - len(rest) - 1
            raise self.unexpected("type discrete [ n ] { states }; and properties")
        count = int(declared[1])
        self.net.variable(name, lists.split(listed, count), start, count)
        self.blanks = self.blanks or " " in name
        if "property" in head or "property" in rest:
            self.properties(name, head.partition("type")[0] + ";" + rest)

    def properties(self, name: str, text: str) -> None:
        """Keep the label and the position; JavaBayes has quotes around `key = value`."""
        found: dict[str, Any] = {}
        for value in _PROPERTIES.findall(text):
            quoted = value.strip()
            if quoted.startswith('"'):
                quoted = quoted.strip('"')
            key, _, value = quoted.partition("=")
            if key.strip() == "label":
                found["label"] = lists.plain(value)
            elif key.strip() == "position" and (position := place(value)):
                found["pos"] = position
        self.net.attributes[name] = found

    def table(self, later: list[int] | None = None) -> None:
        start = self.at
        header = self.match(_GIVEN, "( name | parents ) {")[1].rstrip()
        if not header.endswith(")"):
            self.at = start
            raise self.unexpected("( name | parents ) {")
        if not (names := self.names(header[1:-1], start)):
            raise self.error("expected ( name | parents ); got no name", start)
        node, *parents = names
        if later is not None and not self.net.states.keys() >= {node, *parents}:
            later.append(start)
            self.match(_BODY, "}")
            return
        rows, card = self.net.family(node, parents, start)
        self.values(node, rows, card, start)

    def names(self, header: str, start: int) -> list[str]:
        """A node and its parents, between which `|` and commas may stand."""
        left, bar, right = _halves(header)
        if bar:
            return [lists.plain(left), *self.listed(right, start)]
        return self.listed(header, start)

    def listed(self, text: str, start: int) -> list[str]:
        names = lists.pieces(text)
        known = self.net.states
        if all(name in known for name in names) and not (self.blanks and " " in text.strip()):
            return names
        if '"' in text or "," in text:
            if all(name in known for name in names):
                return names
        ways = lists.sequences(text, known)
        if len(ways) > 1:
            first, second = (", ".join(map(shown, way)) for way in ways)
            raise self.error(f"expected names in quotes; got {first} or {second}", start)
        return ways[0] if ways else names

    def values(self, node: str, rows: int, card: int, start: int) -> None:
        import numpy as np

        given = self.given(node, rows, card)
        if _TABLE in given:
            table = np.array(given[_TABLE]).reshape(card, rows).T
        elif len(given) == rows and _DEFAULT not in given:
            table = np.array([given[i] for i in range(rows)])
        elif _DEFAULT in given:
            table = np.full((rows, card), given.pop(_DEFAULT))
            table[list(given)] = list(given.values()) or np.empty((0, card))
        elif given:
            missing = next(i for i in range(rows) if i not in given)
            raise self.error(
                f"expected every row of {shown(node)} to be at least 0 and sum to 1; got no row "
                f"as row {missing + 1} of {rows}",
                start,
            )
        else:
            return
        self.net.table(node, table, start)

    def given(self, node: str, rows: int, card: int) -> dict[int, list[float]]:
        """The numbers of every row that stands there."""
        maps = [self.net.states[p] for p in self.net.parents[node]]
        given: dict[int, list[float]] = {}
        while row := _ROW.match(self.text, self.at) or self.unusual_row():
            self.at = row.end()
            if row[2]:
                index = _TABLE if row[2] == "table" else _DEFAULT
            else:
                index = self.index(row[1], maps)
            alone = _TABLE in given or (index == _TABLE and given)
            if index in given or alone:
                raise self.error(f"expected each row once; got {shown(row[0].strip())[:80]!r}")
            given[index] = self.numbers(row[3], rows * card if index == _TABLE else card)
        self.match(_END, "a row '(states) numbers;', 'table', 'default' or }")
        return given

    def unusual_row(self) -> re.Match[str] | None:
        """A row below properties, or one with brackets or semicolons in its states."""
        while skip := _PROPERTY.match(self.text, self.at):
            self.at = skip.end()
        return _ROW.match(self.text, self.at) or _ROW_WITH_BRACKETS.match(self.text, self.at)

    def index(self, text: str, maps: list[dict[str, int]]) -> int:
        names = lists.pieces(text)
        index = 0
        try:
            for name, known in zip(names, maps, strict=True):
                index = index * len(known) + known[name]
        except (KeyError, ValueError):
            index = 0
            for name, known in zip(self.resolved(text, names, maps), maps, strict=True):
                index = index * len(known) + known[name]
        return index

    def resolved(self, text: str, names: list[str], maps: list[dict[str, int]]) -> list[str]:
        """The states of a row whose names hold blanks, commas or brackets."""
        ways = lists.matched(text, maps)
        if len(ways) == 1:
            return ways[0]
        if len(ways) > 1:
            raise self.error(f"expected states in quotes; got ({shown(text)[:80]})")
        if len(names) != len(maps):
            raise self.error(f"expected {len(maps)} states; got ({shown(text)[:80]})")
        unknown, known = next((n, m) for n, m in zip(names, maps, strict=True) if n not in m)
        raise self.error(f"unknown state {shown(unknown)!r}{suggestion(unknown, known)}")

    def numbers(self, text: str, count: int) -> list[float]:
        try:
            values = numbers(text)
        except ValueError:
            raise self.error(f"expected numbers; got {shown(text.strip())[:80]!r}") from None
        if len(values) != count:
            raise self.error(f"expected {count:,} numbers; got {len(values):,}")
        return values


def _halves(header: str) -> tuple[str, str, str]:
    """What stands before and after the first `|` that is not in quotes."""
    if '"' not in header:
        return header.partition("|")
    for bar in re.finditer(r'"[^"]*"|(\|)', header):
        if bar[1]:
            return header[: bar.start()], "|", header[bar.end() :]
    return header, "", ""


def write(graph: nx.DiGraph) -> str:
    """The network in BIF, with labels and positions as properties.

    A node without a table has an empty block. Names that are no plain words stand in quotes.

    Raises:
        GraphError: an undirected graph, a node without states, or a name with a quote in it.
    """
    holding.require_network(graph, "BIF")
    holding.require_plain(graph, "BIF", lambda name: '"' not in name, " (no quotes)")
    lines = ["network unknown {", "}"]
    for node, data in graph.nodes(data=True):
        states = ", ".join(map(_quoted, data["states"]))
        lines.append(f"variable {_quoted(node)} {{")
        lines.append(f"  type discrete [ {len(data['states'])} ] {{ {states} }};")
        if "label" in data:
            lines.append(f'  property label = "{_without_quotes(data["label"])}";')
        if position := holding.position(data):
            lines.append(f"  property position = ({position[0]!r}, {position[1]!r});")
        lines.append("}")
    for node in graph:
        lines += _block(graph, node)
    return "\n".join([*lines, ""])


def _block(graph: nx.DiGraph, node: Node) -> list[str]:
    above = holding.parents(graph, node)
    given = f" | {', '.join(map(_quoted, above))}" if above else ""
    head = f"probability ( {_quoted(node)}{given} ) {{"
    if "table" not in graph.nodes[node]:
        return [head, "}"]
    rows = holding.rows(graph.nodes[node]["table"])
    if not above:
        return [head, f"  table {', '.join(map(repr, rows[0]))};", "}"]
    states = [[_quoted(state) for state in graph.nodes[p]["states"]] for p in above]
    lines = [
        f"  ({', '.join(key)}) {', '.join(map(repr, row))};"
        for key, row in zip(product(*states), rows, strict=True)
    ]
    return [head, *lines, "}"]


def _quoted(name: object) -> str:
    text = str(name)
    return text if _PLAIN.fullmatch(text) else f'"{text}"'


def _without_quotes(label: object) -> str:
    if '"' in str(label):
        raise GraphError(
            f"expected labels that BIF can hold (no quotes); got {shown(label)!r}: change it, or "
            "save the network as .json"
        )
    return str(label)
