"""Node names as LaTeX, whatever they contain."""

from collections.abc import Iterable

from probgen.reasoning.names import shown

_ESCAPES = str.maketrans(
    {c: "\\" + c for c in "&%$#_{}"}
    | {"\\": r"\backslash ", "~": r"\sim ", "^": r"\hat{}", " ": r"\ "}
)


def name(node: object) -> str:
    r"""One name in upright type.

    >>> print(name("a_b"))
    \mathrm{a\_b}
    """
    return rf"\mathrm{{{shown(node).translate(_ESCAPES)}}}"


def names(nodes: Iterable[object]) -> str:
    """Names with commas."""
    return ", ".join(map(name, nodes))
