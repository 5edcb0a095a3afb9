"""Lists of names in files: quoted, between commas or between blanks; names may hold all three.

What a list means is settled by the names that the file has declared.
"""

import re
from collections.abc import Collection, Sequence

_QUOTED = re.compile(r'"([^"]*)"')
_ITEM = re.compile(r'"[^"]*"|[^,"]+')
_INTERVALS = re.compile(r"\s*([\[(\]][^\[\]()]*[\])\[]|[^,]+)\s*(?:,|\Z)")
LONGEST = 64
"""Words of a list without commas that are tried as parts of names with blanks."""


def plain(name: str) -> str:
    """A name without the quotes and the blanks around it.

    >>> plain(' " very high" ')
    'very high'
    """
    return name.strip().strip('"').strip()


def pieces(text: str) -> list[str]:
    """Names between commas; without commas, quoted ones and those between blanks.

    >>> pieces('a, b c'), pieces('a b'), pieces('"a, b" "c"'), pieces('"True" "False"')
    (['a', 'b c'], ['a', 'b'], ['a, b', 'c'], ['True', 'False'])
    """
    if '"' not in text:
        return [w.strip() for w in (text.split(",") if "," in text else text.split())]
    found = _ITEM.findall(text)
    if "," in _QUOTED.sub("", text):
        return [plain(w) for w in found if w.strip()]
    names: list[str] = []
    for item in found:
        names += [plain(item)] if item.startswith('"') else item.split()
    return names


def split(text: str, count: int) -> list[str]:
    """The names of a list of which the number is known; names may hold commas.

    Tried in turn: `pieces`, commas outside of intervals, commas with a blank, blanks.

    >>> split("(0,10], (10,20]", 2), split("very high, low", 2), split("0,5 0,7", 2)
    (['(0,10]', '(10,20]'], ['very high', 'low'], ['0,5', '0,7'])
    """
    first = pieces(text)
    if len(first) == count:
        return first
    intervals = [m[1].strip() for m in _INTERVALS.finditer(text)]
    blanks = [] if re.search(r",\s", text) else text.split()
    for names in (intervals, text.split(", "), blanks):
        if len(names) == len(set(names)) == count:
            return [plain(n) for n in names]
    return first


def matched(text: str, known: Sequence[Collection[str]]) -> list[list[str]]:
    """The ways, two at most, to read a list as one name of each collection, in order.

    >>> matched("very high, b", [{"very high", "high"}, {"a", "b"}])
    [['very high', 'b']]
    >>> matched("a b c", [{"a", "a b"}, {"b c", "c"}])
    [['a', 'b c'], ['a b', 'c']]
    """
    ends, starts = _borders(text)
    if len(starts) > LONGEST:
        return []
    ways: dict[int, list[list[str]]] = {starts[0] if starts else 0: [[]]}
    for names in known:
        longest = max(map(len, names), default=0) + 2
        ways = _extended(text, ways, names, ends, starts, longest)
    return ways.get(len(text), [])


def _extended(
    text: str,
    ways: dict[int, list[list[str]]],
    names: Collection[str],
    ends: list[int],
    starts: list[int],
    longest: int,
) -> dict[int, list[list[str]]]:
    """Every way so far with one more name."""
    found: dict[int, list[list[str]]] = {}
    for start, heads in ways.items():
        for end, after in zip(ends, [*starts[1:], len(text)], strict=True):
            if start < end <= start + longest:
                name = plain(text[start:end])
                if name in names:
                    there = found.setdefault(after, [])
                    there += [[*head, name] for head in heads[: 2 - len(there)]]
    return found


def sequences(text: str, known: Collection[str]) -> list[list[str]]:
    """The ways, two at most, to read a list as names of one collection, however many.

    >>> sequences("my var", {"my var"}), sequences("a b", {"a", "b", "a b"})
    ([['my var']], [['a b'], ['a', 'b']])
    """
    ends, starts = _borders(text)
    if len(starts) > LONGEST:
        return []
    longest = max(map(len, known), default=0) + 2
    at: dict[int, list[list[str]]] = {starts[0] if starts else 0: [[]]}
    for start in starts:
        if start in at:
            for after, ways in _extended(
                text, {start: at[start]}, known, ends, starts, longest
            ).items():
                there = at.setdefault(after, [])
                there += ways[: 2 - len(there)]
    return at.get(len(text), []) if starts else []


def _borders(text: str) -> tuple[list[int], list[int]]:
    """Where words end, and where they begin."""
    found = list(re.finditer(r"[^\s,]+", text))
    return [m.end() for m in found], [m.start() for m in found]
