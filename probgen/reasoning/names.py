"""Nodes, their names as plain text, and what may be wrong with them."""

import difflib
from collections.abc import Hashable, Iterable, Mapping
from typing import TypeAlias

from probgen import ProbgenError, ProbgenWarning

Node: TypeAlias = Hashable


class GraphError(ProbgenError, ValueError):
    """The input is not a graph, or the question cannot be asked of it; says what to do."""


class GraphWarning(ProbgenWarning):
    """Something was changed or left out where a graph was read; says what and how much."""


class UnknownNode(GraphError, KeyError):
    """A node that the graph does not have; names its role and the nearest node."""

    def __str__(self) -> str:
        return str(self.args[0])


def shown(name: object) -> str:
    r"""A name as one line of plain text: control and bidirectional characters escaped.

    >>> shown("T"), shown("a\x1b[31m"), shown(3), shown(frozenset("BA"))
    ('T', 'a\\x1b[31m', '3', '{A, B}')
    """
    text = f"{{{listed(name)}}}" if isinstance(name, frozenset) else str(name)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def listed(nodes: Iterable[object]) -> str:
    """Names joined by commas; those of a set in alphabetical order."""
    names = map(shown, nodes)
    return ", ".join(sorted(names) if isinstance(nodes, (set, frozenset)) else names)


def labels(data: Mapping[Node, Mapping[str, object]]) -> dict[Node, object]:
    """The labels among the attributes of nodes."""
    return {v: attributes["label"] for v, attributes in data.items() if "label" in attributes}


def suggestion(
    name: object, known: Iterable[object], labelled: Mapping[Node, object] | None = None
) -> str:
    """`; did you mean X?` for the nearest known name, else the known ones.

    Args:
        name: what was asked for.
        known: the names there are.
        labelled: the labels of some of the known; a label asked for tells whose it is, and a
            near name is told with its label.

    >>> suggestion("X1", ["0", "1"], {"0": "X1", "1": "X2"})
    "; 'X1' is the label of '0': ask for '0'"
    """
    text = shown(name)[:200]
    own = {k: shown(label) for k, label in (labelled or {}).items()}
    for node, label in own.items():
        if label == text:
            return f"; {text!r} is the label of {shown(node)!r}: ask for {shown(node)!r}"
    by_text = {shown(k): k for k in known}
    close = difflib.get_close_matches(text, by_text, 1, 0.6) if len(by_text) <= 5000 else []
    close = close or [t for t in by_text if t.casefold() == text.casefold()][:1]
    if close:
        label = own.get(by_text[close[0]], close[0])
        note = f" (labelled {label!r})" if label != close[0] else ""
        note = " (of another type)" if close[0] == text else note
        return f"; did you mean {close[0]!r}{note}?"
    return f"; known: {', '.join([*by_text][:12]) or 'none'}{', ...' if len(by_text) > 12 else ''}"
