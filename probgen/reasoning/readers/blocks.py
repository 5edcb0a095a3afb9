"""Files of nested blocks, `kind name { field = value; ... }`: Hugin NET and Netica DNE."""

import re
from typing import NamedTuple

from probgen.reasoning.names import GraphError, shown

_INSIDE = r'(?:[^"\\]++|\\(?s:.))*+'
_STRING = rf'"{_INSIDE}"'
_OPEN = re.compile(
    rf"\s*(?:[A-Za-z_]\w*\s*=\s*)?([A-Za-z_]\w*)\b((?:[^={{}};\"]++|{_STRING})*+)\{{"
)
_FIELD = re.compile(rf"\s*([A-Za-z_]\w*)\s*=\s*((?:[^;\"{{}}]++|{_STRING})*+);")
_CLOSE = re.compile(r"\s*\}(?:\s*;)?")
_GAP = re.compile(r"[\s;]*")
DEEPEST = 64
"""Blocks inside each other."""
LARGEST = 1 << 20
"""Blocks of one file."""


class Field(NamedTuple):
    """The value of a field as it stands in the file, and its line."""

    text: str
    line: int


class Block(NamedTuple):
    """A block: what stands before its brace, its fields and the blocks inside."""

    kind: str
    head: str
    line: int
    fields: dict[str, Field]
    inner: "list[Block]"

    def value(self, name: str) -> str:
        """A field's text; empty if there is none."""
        found = self.fields.get(name)
        return found.text if found else ""


class Blocks:
    """The blocks of a text.

    Args:
        comment: the pattern of a comment.

    Raises:
        GraphError: something else than blocks and fields, a field twice, or too deep.

    >>> Blocks('node A { states = ("yes" "no"); } % b', "", "%.*").all[0].value("states")
    '("yes" "no")'
    """

    def __init__(self, source: str, file: str, comment: str) -> None:
        self.where = f"{file}: " if file else ""
        self.text = re.sub(rf'("{_INSIDE}(?:"|\\?\Z))|{comment}', self._kept, source)
        self.at, self.lines, self.counted, self.count = 0, 1, 0, 0
        self.all = self._blocks(0)

    def error(self, message: str, line: int | None = None) -> GraphError:
        """The error with file and line."""
        return GraphError(f"{self.where}line {self._line() if line is None else line}: {message}")

    def _kept(self, match: re.Match[str]) -> str:
        return match[1] or re.sub(r"[^\n]", " ", match[0])

    def _line(self) -> int:
        """The line of the next token; counted on from the last one."""
        start = _next(self.text, self.at)
        self.lines += self.text.count("\n", self.counted, start)
        self.counted = start
        return self.lines

    def _blocks(self, depth: int) -> list[Block]:
        """Blocks up to the end; fields among them belong to none."""
        found: list[Block] = []
        while True:
            self.at = _GAP.match(self.text, self.at).end()  # type: ignore[union-attr]
            if self.at == len(self.text):
                return found
            if field := _FIELD.match(self.text, self.at):
                self.at = field.end()
            else:
                found.append(self._block(depth))

    def _block(self, depth: int) -> Block:
        line, start = self._line(), _OPEN.match(self.text, self.at)
        self.count += 1
        if not start or depth == DEEPEST or self.count > LARGEST:
            got = self.text[self.at : self.at + 80].split(maxsplit=1)[:1]
            token = repr(shown(got[0])) if got else "the end"
            raise self.error(
                f"expected at most {LARGEST:,} blocks, {DEEPEST} inside each other; got more"
                if start
                else f"expected a field or a block; got {token}"
            )
        self.at = start.end()
        block = Block(start[1], start[2].strip(), line, {}, [])
        while not (close := _CLOSE.match(self.text, self.at)):
            if field := _FIELD.match(self.text, self.at):
                name, place = field[1].lower(), self._line()
                if name in block.fields:
                    raise self.error(f"expected each field once; got {shown(field[1])} twice")
                block.fields[name] = Field(field[2].strip(), place)
                self.at = field.end()
            else:
                block.inner.append(self._block(depth + 1))
            self.at = _GAP.match(self.text, self.at).end()  # type: ignore[union-attr]
        self.at = close.end()
        return block


def _next(text: str, at: int) -> int:
    found = re.compile(r"\s*").match(text, at)
    return found.end() if found else at


def listed(text: str) -> list[str]:
    r"""The names of a list in brackets, quoted or not, between blanks or commas.

    >>> listed('("a b" c)'), listed("(yes, no)"), listed('("say \\"x\\"")')
    (['a b', 'c'], ['yes', 'no'], ['say "x"'])
    """
    found = re.finditer(rf"({_STRING})|[^\s,()\"]+", text)
    return [unquoted(m[0]) for m in found]


def unquoted(text: str) -> str:
    """A string without its quotes, its escapes resolved."""
    if not text.startswith('"'):
        return text.strip()
    return re.sub(r"\\(.)", lambda m: {"n": "\n", "t": "\t"}.get(m[1], m[1]), text[1:-1])


def quoted(name: object) -> str:
    """A string in quotes; quotes and backslashes in it are escaped."""
    escaped = str(name).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def numbers(text: str) -> str:
    """A nested list of numbers without its brackets."""
    return text.translate(_BRACKETS)


def uneven(text: str, count: int) -> bool:
    """Whether a nested list has an innermost list of another length."""
    inner = re.findall(r"\(([^()]*)\)", text)
    return len(inner) > 1 and any(len(i.replace(",", " ").split()) != count for i in inner)


_BRACKETS = str.maketrans("()", "  ")
