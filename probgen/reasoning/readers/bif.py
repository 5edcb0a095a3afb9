"""The Bayesian interchange format (BIF 0.15): networks with their tables."""

import re
from math import isnan, prod
from typing import Any

import networkx as nx

from probgen.reasoning.names import GraphError, shown, suggestion

LARGEST = 1 << 22
"""Table entries that one file may have."""
TOLERANCE = 1e-6
"""How far a row may be off 1; rows are never renormalised."""

_COMMENT = re.compile(r'"[^"\n]*"|//[^\n]*|/\*(?s:.*?)(?:\*/|\Z)')
_WORD = re.compile(r"\s*(?:(network|variable|probability)\b|(\S[^\s{(]*))")
_NAME = re.compile(r'("[^"\n]*"\s*|[^"{}\n;]*)\{')
_BODY = re.compile(r"([^{}]*)\}")
_VARIABLE = re.compile(
    r"\s*type\s+discrete\s*\[\s*(\d{1,9})\s*\]\s*\{([^{}]*)\}\s*;((?:\s*property\b[^;{}]*;)*)\s*\}"
)
_GIVEN = re.compile(r"\s*\(([^|(){};]+)(?:\|([^(){};]*))?\)\s*\{")
_LABEL = re.compile(r'property\s+label\s*=\s*"?([^;"]*)')
_END = re.compile(r"(?:\s*property\b[^;{}]*;)*\s*\}")
_ROW = re.compile(r"\s*(?:\(([^()]*)\)|(table|default)(?=\s))([^;(){}]*);")


def read(source: str, file: str = "") -> nx.DiGraph:
    r"""Read a network: nodes with `states`, `parents` and `table` (*parents, node), float64.

    Format: F. G. Cozman, "The Interchange Format for Bayesian Networks" (1998). A `table` line
    below parents runs through the node's states slowest, the last parent fastest, as pgmpy has
    it; `default` fills the rows that are not given.

    Raises:
        GraphError: malformed (with file, line and token), a name declared twice or not at all,
            a row that is missing, given twice, negative or off 1 by more than 1e-6, or more than
            4,194,304 entries.

    >>> g = read('''network n { }
    ... variable A { type discrete [ 2 ] { yes, no }; }
    ... variable B { type discrete [ 2 ] { yes, no }; }
    ... probability ( A ) { table 0.2, 0.8; }
    ... probability ( B | A ) { (yes) 0.9, 0.1; (no) 0.5, 0.5; }''')
    >>> g.nodes["B"]["table"].tolist()
    [[0.9, 0.1], [0.5, 0.5]]
    """
    return _Reader(source, file).graph()


class _Reader:
    def __init__(self, source: str, file: str) -> None:
        self.where = f"{file}: " if file else ""
        self.text, self.at = source, 0
        if "//" in source or "/*" in source:
            self.text = _COMMENT.sub(self.blank, source)
        self.states: dict[str, dict[str, int]] = {}
        self.labels: dict[str, str] = {}
        self.parents: dict[str, tuple[str, ...]] = {}
        self.tables: dict[str, Any] = {}
        self.entries = 0

    def error(self, message: str, at: int | None = None) -> GraphError:
        line = self.text.count("\n", 0, self.at if at is None else at) + 1
        return GraphError(f"{self.where}line {line}: {message}")

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
        blocks = {"network": self.network, "variable": self.variable, "probability": self.table}
        while word := _WORD.match(self.text, self.at):
            if not word[1]:
                raise self.unexpected("network, variable or probability")
            self.at = word.end()
            blocks[word[1]]()
        if not self.states:
            raise self.error("expected a variable; got none")
        return self.result()

    def network(self) -> None:
        self.match(_NAME, "a name and {")
        self.match(_BODY, "}")

    def variable(self) -> None:
        start = self.at
        name = _plain(self.match(_NAME, "a name and {")[1])
        if not name or name in self.states:
            got = f"{shown(name)!r} twice" if name else "none"
            raise self.error(f"expected a new name for a variable; got {got}", start)
        body = self.match(_VARIABLE, "type discrete [ n ] { states }; }")
        states = _split(body[2])
        if "" in states or not 0 < len(set(states)) == len(states) == int(body[1]):
            raise self.error(
                f"expected {max(int(body[1]), 1)} different states of {shown(name)}; "
                f"got {{ {shown(body[2].strip())[:80]} }}",
                start,
            )
        self.states[name] = {s: i for i, s in enumerate(states)}
        if label := _LABEL.search(body[3]):
            self.labels[name] = label[1].strip()

    def table(self) -> None:
        start = self.at
        header = self.match(_GIVEN, "( name | parents ) {")
        node, listed = _plain(header[1]), _split(header[2] or "")
        for name in (node, *listed):
            if name not in self.states:
                raise self.error(
                    f"expected a declared variable; got {shown(name)!r}"
                    + suggestion(name, self.states),
                    start,
                )
        if node in self.tables or len({node, *listed}) <= len(listed):
            raise self.error(f"expected one table for {shown(node)}, each parent once", start)
        self.parents[node] = tuple(listed)
        self.tables[node] = self.values(node, start)

    def values(self, node: str, start: int) -> Any:
        import numpy as np

        maps = [self.states[p] for p in self.parents[node]]
        card, rows = len(self.states[node]), prod(map(len, maps))
        self.entries += rows * card
        if self.entries > LARGEST:
            raise self.error(
                f"expected at most {LARGEST:,} table entries; got {self.entries:,} "
                f"({self.entries * 8 / 2**20:,.0f} MiB) with the table of {shown(node)}",
                start,
            )
        table = np.full((rows, card), np.nan)
        default = self.fill(table, maps, start)
        if default is not None:
            table[np.isnan(table[:, 0])] = default
        self.require_distributions(node, table, start)
        return table.reshape(*map(len, maps), card)

    def fill(self, table: Any, maps: list[dict[str, int]], start: int) -> list[float] | None:
        """Write every given row into the table; the default row, if there is one."""
        default, seen, (rows, card) = None, set[int](), table.shape
        while row := _ROW.match(self.text, self.at):
            self.at = row.end()
            if row[2] == "table":
                table[:] = self.numbers(row[3], rows * card).reshape(card, rows).T
                index = -1
            elif row[2]:
                index, default = -2, self.numbers(row[3], card)
            else:
                index = self.index(row[1], maps)
                table[index] = self.numbers(row[3], card)
            if index in seen or (seen and -1 in (index, *seen)):
                raise self.error(f"expected each row once; got {shown(row[0].strip())[:80]!r}")
            seen.add(index)
        self.match(_END, "a row '(states) numbers;', 'table', 'default' or }")
        return default

    def index(self, states: str, maps: list[dict[str, int]]) -> int:
        names, index = _split(states), 0
        if len(names) != len(maps):
            raise self.error(f"expected {len(maps)} states; got ({shown(states)[:80]})")
        for name, known in zip(names, maps, strict=False):
            if name not in known:
                raise self.error(f"unknown state {shown(name)!r}{suggestion(name, known)}")
            index = index * len(known) + known[name]
        return index

    def numbers(self, text: str, count: int) -> Any:
        import numpy as np

        words = text.replace(",", " ").replace("_", "?").split()  # float() reads 1_0 as 10
        try:
            values = np.array(list(map(float, words)))
        except ValueError:
            raise self.error(f"expected numbers; got {shown(text.strip())[:80]!r}") from None
        if len(values) != count:
            raise self.error(f"expected {count:,} numbers; got {len(values):,}")
        return values

    def require_distributions(self, node: str, table: Any, start: int) -> None:
        import numpy as np

        with np.errstate(invalid="ignore"):
            off = np.abs(table.sum(1) - 1)
        bad = ~((off <= TOLERANCE) & (table.min(1) >= 0))
        if bad.any():
            row = table[int(bad.argmax())].tolist()
            got = "no row" if isnan(row[0]) else f"{row[:8]} (sum {sum(row):.8g})"
            raise self.error(
                f"expected every row of {shown(node)} to be at least 0 and sum to 1 within "
                f"{TOLERANCE}; got {got} as row {int(bad.argmax()) + 1} of {len(table)}",
                start,
            )

    def result(self) -> nx.DiGraph:
        graph = nx.DiGraph()
        graph.add_nodes_from(self.states)
        for node, states in self.states.items():
            if node not in self.tables:
                raise self.error(f"expected a table for every variable; got none for {node!r}")
            graph.add_edges_from((parent, node) for parent in self.parents[node])
            graph.nodes[node].update(
                states=tuple(states), parents=self.parents[node], table=self.tables[node]
            )
        nx.set_node_attributes(graph, self.labels, "label")
        return graph


def _split(text: str) -> list[str]:
    """Names between commas; without commas, between spaces."""
    return [_plain(w) for w in (text.split(",") if "," in text else text.split())]


def _plain(name: str) -> str:
    return name.strip().strip('"').strip()
