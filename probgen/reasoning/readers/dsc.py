"""Microsoft's belief network format (MSBN .dsc), as MSBN, GeNIe and bnlearn write it."""

import re

import networkx as nx

from probgen.reasoning.names import shown, suggestion
from probgen.reasoning.readers import lists
from probgen.reasoning.readers.cpds import Tables, place

_T = r'(?:[^{}"]++|"[^"\n]*+"|")*+'
_COMMENT = re.compile(r'"[^"\n]*"|//[^\n]*|/\*(?s:.*?)(?:\*/|\Z)')
_BLOCK = re.compile(rf"\s*+(?:belief\s++network\b[^{{}}\n]*+|(node|probability)\b({_T})\{{)")
_NODE = re.compile(rf"({_T})\{{({_T})\}}({_T})\}}")
_ROWS = re.compile(rf"({_T})\}}")
_STATEMENT = re.compile(r'(?:[^;"]++|"[^"\n]*+"|")++')
_TYPE = re.compile(r"\btype\s*+:\s*+discrete\s*+\[\s*+(\d{1,9})\s*+\]\s*+=?\s*+\Z")
_LABEL = re.compile(r'\bname\s*+:\s*+"([^"\n]*)"')
_POSITION = re.compile(r"\bposition\s*+:\s*+(\([^()\n]{0,80}\))")


def read(source: str, file: str = "", tolerance: float | None = None) -> nx.DiGraph:
    """Read a network: nodes with `states`, `parents` and `table` (*parents, node), float64.

    Format: Microsoft Research, "MSBN: belief network format" (1996). A row has the numbers of
    its parents' states, from 0 on, before a colon. `name` and `position` are kept, as the
    attributes `label` and `pos`. A block without rows has no `table`.

    Raises:
        GraphError: malformed (with file and line), a name declared twice or not at all, a row
            that is missing, given twice or off 1 by more than the tolerance.

    >>> g = read('''belief network "n"
    ... node A { type : discrete [ 2 ] = { "yes", "no" }; }
    ... node B { type : discrete [ 2 ] = { "yes", "no" }; }
    ... probability ( A ) { 0.2, 0.8; }
    ... probability ( B | A ) { (0) : 0.9, 0.1; (1) : 0.5, 0.5; }''')
    >>> g.nodes["B"]["table"].tolist()
    [[0.9, 0.1], [0.5, 0.5]]
    """
    return _Reader(source, file, tolerance).graph()


class _Reader:
    def __init__(self, source: str, file: str, tolerance: float | None) -> None:
        self.text = _COMMENT.sub(_blank, source)
        self.net = Tables(file, tolerance, lambda at: self.text.count("\n", 0, at) + 1)
        self.at = 0

    def graph(self) -> nx.DiGraph:
        while block := _BLOCK.match(self.text, self.at):
            start, self.at = self.at, block.end()
            if block[1] == "node":
                self.node(block[2].strip(), start)
            elif block[1]:
                self.table(block[2].strip(), start)
        if rest := self.text[self.at :].split(maxsplit=1)[:1]:
            raise self.net.error(
                f"expected a node or a probability; got {shown(rest[0])[:80]!r}", self.at
            )
        return self.net.graph()

    def match(self, pattern: re.Pattern[str], expected: str) -> tuple[str, ...]:
        found = pattern.match(self.text, self.at)
        if not found:
            raise self.net.error(f"expected {expected}", self.at)
        self.at = found.end()
        return found.groups()

    def node(self, name: str, start: int) -> None:
        head, states, rest = self.match(_NODE, "type : discrete [ n ] = { states }; }")
        if not (declared := _TYPE.search(head)):
            raise self.net.error(
                f"expected type : discrete [ n ] = {{ states }} of {shown(name)}", start
            )
        count = int(declared[1])
        self.net.variable(lists.plain(name), lists.split(states, count), start, count)
        found = self.net.attributes[lists.plain(name)] = {}
        if (label := _LABEL.search(head + rest)) and label[1] not in ("", name):
            found["label"] = label[1]
        where = _POSITION.search(head + rest)
        if where and (position := place(where[1])):
            found["pos"] = position

    def table(self, header: str, start: int) -> None:
        (rows,) = self.match(_ROWS, "rows and }")
        left, _, right = header.removeprefix("(").removesuffix(")").partition("|")
        node = lists.plain(left)
        parents = [name for name in lists.pieces(right) if name]
        count, card = self.net.family(node, parents, start)
        given = {}
        for row in filter(None, (row.strip() for row in _STATEMENT.findall(rows))):
            key, colon, values = row.rpartition(":")
            index = self.index(key, node, start)
            if index in given or (parents and not colon):
                raise self.net.error(f"expected each row of {shown(node)} once, by states", start)
            given[index] = self.numbers(values, node, card, start)
        if not given:
            return
        missing = next((i for i in range(count) if i not in given), None)
        if missing is not None:
            raise self.net.error(f"expected row {missing + 1} of {shown(node)}; got none", start)
        self.net.table(node, [given[i] for i in range(count)], start)

    def numbers(self, text: str, node: str, card: int, start: int) -> list[float]:
        values = self.net.numbers(text, node, start)
        if len(values) != card:
            raise self.net.error(
                f"expected {card} numbers in a row of {shown(node)}; got {len(values)}", start
            )
        return values

    def index(self, key: str, node: str, start: int) -> int:
        """The row of its parents' states: their numbers, or their names in quotes."""
        parents = self.net.parents[node]
        names = [name for name in lists.pieces(key.strip().strip("()")) if name]
        if len(names) != len(parents):
            raise self.net.error(
                f"expected {len(parents)} states in a row of {shown(node)}; got {len(names)}",
                start,
            )
        index = 0
        for name, parent in zip(names, parents, strict=True):
            known = self.net.states[parent]
            code = int(name) if name.isdecimal() and len(name) < 10 else known.get(name, -1)
            if not 0 <= code < len(known):
                hint = suggestion(name, known)
                raise self.net.error(
                    f"unknown state {shown(name)!r} of {shown(parent)}{hint}", start
                )
            index = index * len(known) + code
        return index


def _blank(comment: re.Match[str]) -> str:
    text = comment[0]
    return text if text.startswith('"') else re.sub(r"[^\n]", " ", text)
