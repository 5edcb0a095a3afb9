"""States by their names, whatever type the names came in: 1, `numpy.int64(1)`, 1.0 and "1".

A file gives its states as text, a data frame as integers or booleans, a command line as text
again. A value that is no state by itself stands for the one state of another type that says the
same; where none or several do, it stands for none.
"""

import re
from collections.abc import Hashable, Iterable
from decimal import Decimal
from typing import Any

from probgen.reasoning.names import shown, suggestion

_NUMBER = re.compile(r"[+-]?(?:\d{1,400}(?:\.\d{0,400})?|\.\d{1,400})(?:[eE][+-]?\d{1,3})?")
_TRUTH = {"true": True, "yes": True, "false": False, "no": False}


def match(value: Any, known: Iterable[Hashable]) -> Hashable | None:
    """The one state of another type that a value stands for; None if it is not clear which.

    Numbers stand for the text that writes them, and texts for the number; True for "true",
    "yes" or "1" in any case, False for "false", "no" or "0". Two texts are never matched.

    >>> match(1, ["0", "1"]), match("1", [0, 1]), match(1.0, ["0", "1"])
    ('1', 1, '1')
    >>> match(True, ["no", "yes"]), match(1, ["no", "yes"]), match(1, ["1", "01"])
    ('yes', None, None)
    """
    value = _plain(value)
    meant = _meanings(value)
    found = [
        state
        for state in known
        if not (isinstance(value, str) and isinstance(_plain(state), str))
        and not meant.isdisjoint(_meanings(_plain(state)))
    ]
    return found[0] if len(found) == 1 else None


def unknown(value: Any, known: Iterable[Hashable]) -> str:
    """What came instead of a state, with its type and theirs where these differ.

    >>> unknown(7, ["0", "1"])
    "7 (int); known: '0', '1' (str)"
    >>> unknown("on", ["yes", "no"])
    "'on'; known: yes, no"
    """
    states = list(known)
    types = {type(state).__name__ for state in states}
    own = type(value).__name__
    if types == {own} and own == "str":
        return f"{shown(value)!r}{suggestion(value, states)}"
    first = [shown(repr(state)) for state in states[:12]]
    more = ", ..." if len(states) > 12 else ""
    return (
        f"{shown(repr(value))[:80]} ({own}); known: {', '.join(first)}{more} "
        f"({', '.join(sorted(types))})"
    )


def _plain(value: Any) -> Any:
    """A numpy scalar as the number that it is written as."""
    if hasattr(value, "dtype") and hasattr(value, "item") and not getattr(value, "ndim", 0):
        plain = value.item()
        return float(str(value)) if isinstance(plain, float) else plain
    return value


def _meanings(value: Any) -> set[Hashable]:
    """What a value says: a number, a truth value, or both."""
    if isinstance(value, bool):
        return {("truth", value), Decimal(value)}
    if isinstance(value, (int, float)):
        value = repr(value) if abs(value) < 1e300 else ""
    if not isinstance(value, str):
        return set()
    text = value.strip()
    if _NUMBER.fullmatch(text):
        return {Decimal(text)}
    truth = _TRUTH.get(text.casefold())
    return set() if truth is None else {("truth", truth)}
