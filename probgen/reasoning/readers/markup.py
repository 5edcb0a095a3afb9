"""XML as a tree of elements, without entities, within stated limits."""

from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from probgen.reasoning.names import GraphError, shown

LARGEST = 1 << 21
"""Elements of one file."""
DEEPEST = 64
"""Elements inside each other."""
_PIECE = 1 << 16
"""Characters that are parsed at once, so that a refusal comes before the rest."""


class Tree:
    """The root element of an XML text, and the line of every element.

    Raises:
        GraphError: malformed, an entity declared, too many elements or too deep.

    >>> Tree("<a><b/></a>").root[0].tag
    'b'
    """

    def __init__(self, source: str, file: str = "") -> None:
        self.where = f"{file}: " if file else ""
        self.lines: dict[Element, int] = {}
        self.depth = 0
        self.builder = TreeBuilder()
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.EntityDeclHandler = self._entity
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self.builder.data
        try:
            for at in range(len(source) - len(source.lstrip()), len(source), _PIECE):
                self.parser.Parse(source[at : at + _PIECE], False)
            self.parser.Parse("", True)
        except expat.ExpatError as error:
            raise GraphError(
                f"{self.where}line {error.lineno}: expected well-formed XML; got "
                f"{expat.ErrorString(error.code)}"
            ) from None
        except GraphError:
            raise
        except ValueError as error:
            raise GraphError(f"{self.where}expected XML; got {error}") from None
        self.root = self.builder.close()

    def error(self, message: str, element: Element | None = None) -> GraphError:
        """The error with file and, where an element is given, its line."""
        line = f"line {self.lines[element]}: " if element is not None else ""
        return GraphError(f"{self.where}{line}{message}")

    def line(self, element: Element) -> int:
        """The line on which an element begins."""
        return self.lines[element]

    def _here(self, message: str) -> GraphError:
        return GraphError(f"{self.where}line {self.parser.CurrentLineNumber}: {message}")

    def _entity(self, name: str, *_: Any) -> None:
        raise self._here(f"expected XML without entities; got the declaration of {shown(name)!r}")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if self.depth > DEEPEST or len(self.lines) >= LARGEST:
            raise self._here(
                f"expected at most {LARGEST:,} elements, {DEEPEST} inside each other; got more"
            )
        self.lines[self.builder.start(tag, attributes)] = self.parser.CurrentLineNumber

    def _end(self, tag: str) -> None:
        self.depth -= 1
        self.builder.end(tag)


def text(element: Element, tag: str) -> str:
    """The text of a child, without the blanks around it; empty if there is none."""
    return (element.findtext(tag) or "").strip()


def escaped(value: object, attribute: bool = False) -> str:
    r"""A text as it stands in XML.

    Raises:
        GraphError: a control character, which XML cannot hold.

    >>> escaped('a < "b"', attribute=True)
    'a &lt; &quot;b&quot;'
    """
    from xml.sax.saxutils import escape

    name = str(value)
    if any(_forbidden(c) for c in name):
        raise GraphError(f"expected text that XML can hold; got {shown(name)[:80]!r}")
    return escape(name, {'"': "&quot;", "\n": "&#10;", "\t": "&#9;"} if attribute else {})


def _forbidden(c: str) -> bool:
    return (c < " " and c not in "\n\t") or "\ud800" <= c <= "\udfff" or c in "\ufffe\uffff"
