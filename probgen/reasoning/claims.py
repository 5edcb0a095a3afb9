"""Claims about a graph, written as text: read, judged, and graded against what was claimed."""

import re
from collections.abc import Callable, Iterable, Mapping
from html import escape
from typing import Any, NamedTuple

import networkx as nx

from probgen.reasoning import loading, markov
from probgen.reasoning.loading import GraphLike
from probgen.reasoning.names import (
    GraphError,
    Node,
    UnknownNode,
    labels,
    listed,
    shown,
    suggestion,
)
from probgen.reasoning.verdict import check

_BAR = r"(?:\||\\mid\b|\\vert\b|\\given\b|∣|｜)"
_SPACE = r"(?:\s|\\[!,;:])*"
_WORDS = (
    rf"\\n(?:ot)?(?:perp|indep(?:endent)?|bot)\b|\\[Pp]erp\b(?:{_SPACE}\\[Pp]erp\b)?"
    r"|\\indep(?:endent)?\b|\\(?:up)?[Mm]odels\b|\\bot\b|\\ci\b"
)
_PERP = re.compile(
    rf"(?P<no>\\not\b{_SPACE}|¬\s*|(?<=\S)\s+not\s+|!)?"
    rf"(?P<sign>_\|{{1,2}}_|[⊥⟂⫫]+\u0338?[⊥⟂⫫]*|{_WORDS})"
)
_NOT = re.compile(r"\s*(?:¬|not\b|\\neg\b|\\lnot\b)\s*(?=\()")
_EQUATION = re.compile(r"\s*[pP]\s*\(([^()]*)\)\s*=\s*((?:[pP]\s*\([^()]*\)\s*)+)$")
_BLANKET = re.compile(
    r"\s*(?:MB|Markov blanket|blanket)\s*(?:\(|of\s)\s*(.+?)\s*\)?\s*[=:]\s*(.*)$", re.I
)
_CLIQUES = re.compile(r"\s*(?:maximal\s+)?cliques\s*[=:]\s*(.*)$", re.I | re.S)
_BLOCKS = re.compile(r"\s*\{[^{}]*\}(?:[\s,;]*\{[^{}]*\})*\s*")
_DRAWN = re.compile(
    r"\s*(moral graph|markov graph|moral|i-?map|perfect map)\s*[=:]\s*(.*)$", re.I | re.S
)


class Grade(NamedTuple):
    """One claim: what was claimed, what is true, why. Truthy if the claim is right."""

    claim: str
    claimed: bool
    actual: bool
    why: str

    def __bool__(self) -> bool:
        return self.claimed == self.actual

    def __str__(self) -> str:
        actual = str(self.actual).lower()
        if self:
            return f"right: {shown(self.claim)} is {actual}: {self.why}"
        said = str(self.claimed).lower()
        return f"WRONG: {shown(self.claim)} is said to be {said}, but is {actual}: {self.why}"

    def __repr__(self) -> str:
        return str(self)


class Grades(tuple[Grade, ...]):
    """The grades of all claims; `wrong` are those to correct."""

    __slots__ = ()

    @property
    def wrong(self) -> list[Grade]:
        """The claims that are not as claimed."""
        return [grade for grade in self if not grade]

    def __str__(self) -> str:
        return "\n".join([f"{len(self) - len(self.wrong)} of {len(self)} right", *map(str, self)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{'right' if g else '<b>wrong</b>'}</td><td>{escape(shown(g.claim))}</td>"
            f"<td>{str(g.claimed).lower()}</td><td>{str(g.actual).lower()}</td>"
            f"<td style='text-align:left'>{escape(g.why)}</td></tr>"
            for g in self
        )
        heads = "".join(f"<th>{h}</th>" for h in ("", "claim", "claimed", "is", "because"))
        return f"<table><tr>{heads}</tr>{rows}</table>"


def grade(
    graph: GraphLike, claims: str | Iterable[str | tuple[str, bool]] | Mapping[str, bool]
) -> Grades:
    """The grades of the claims, as `dsep.grade` documents them."""
    loaded = loading.load(graph)
    pairs: Iterable[Any] = claims.items() if isinstance(claims, Mapping) else claims
    if isinstance(pairs, str):
        pairs = [pairs]
    if not isinstance(pairs, Iterable):
        raise GraphError(f"expected claims as text; got {type(claims).__name__}")
    return Grades(_grade(loaded, (c, True) if isinstance(c, str) else c) for c in pairs)


def _grade(graph: nx.Graph, pair: Any) -> Grade:
    match pair:
        case (str(claim), (True | False | 0 | 1) as claimed):
            return Grade(claim, bool(claimed), *judge(graph, claim))
    raise GraphError(f"expected a claim as text and its truth, True or False; got {pair!r}")


def judge(graph: nx.Graph, claim: str) -> tuple[bool, str]:
    """Whether a claim is true of the graph, and why."""
    readers: tuple[tuple[re.Pattern[str], Callable[..., tuple[bool, str]]], ...] = (
        (_DRAWN, _drawn),
        (_BLANKET, _blanket),
        (_CLIQUES, _cliques),
        (_EQUATION, _equation),
    )
    claim = _bare(claim)
    if negated := _NOT.match(claim):
        actual, why = _independent(graph, _bare(claim[negated.end() :]))
        return not actual, why
    for pattern, reader in readers:
        if found := pattern.match(claim):
            return reader(graph, *found.groups())
    if claim.strip().lower() == "chordal":
        verdict = markov.chordal(_undirected(graph))
        return bool(verdict), str(verdict)
    return _independent(graph, claim)


def _independent(graph: nx.Graph, claim: str) -> tuple[bool, str]:
    if sign := _PERP.search(claim):
        return _independence(graph, claim, sign)
    raise GraphError(
        "expected a claim such as 'A _||_ B | C', 'p(A|B) = p(A|B,C)', 'MB(A) = B, C', "
        "'cliques = {A,B}', 'moral graph: A - B', 'chordal', 'I-map: A - B' or "
        f"'perfect map: A - B'; got {shown(claim)[:80]!r}"
    )


def _bare(claim: str) -> str:
    """The claim without the dollars or parentheses that stand around all of it."""
    text = claim.strip().strip("$").strip()
    for _ in range(4):
        if text.startswith("(") and _closing(text) == len(text) - 1:
            text = text[1:-1].strip()
    return text


def _closing(text: str) -> int:
    """Where the first parenthesis is closed; -1 if nowhere."""
    depth = 0
    for i, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if not depth:
            return i
    return -1


def _undirected(graph: nx.Graph) -> nx.Graph:
    return markov.moral(graph) if graph.is_directed() else graph


def _nodes(graph: nx.Graph, text: str) -> list[Node]:
    """Nodes listed with commas, braces or parentheses around the list allowed."""
    by_text = _by_text(graph)
    plain = re.sub(r"\\[!,;:]", " ", text).replace("\\", "")
    inner = plain if plain.strip() in by_text else _bare(plain)
    words = [w.strip() for w in inner.split(",")]
    words = [w if w in by_text else w.strip("{}").strip() for w in words]
    for word in filter(None, words):
        if word not in by_text:
            hint = suggestion(word, graph, labels(graph._node))
            raise UnknownNode(f"expected nodes of the graph; got {shown(word)!r}{hint}")
    return [by_text[w] for w in words if w]


def _by_text(graph: nx.Graph) -> dict[str, Node]:
    found = {shown(v): v for v in graph}
    if len(found) < len(graph):
        raise GraphError("expected nodes whose names differ as text; got two of one name")
    return found


def _independence(graph: nx.Graph, claim: str, sign: re.Match[str]) -> tuple[bool, str]:
    x, right = claim[: sign.start()], claim[sign.end() :]
    y, *given = re.split(_BAR if re.search(_BAR, right) else r"\sgiven\s", right)
    if len(given) > 1 or _PERP.search(right):
        raise GraphError(f"expected one claim 'A _||_ B | C'; got {shown(claim)[:80]!r}")
    sets = (_nodes(graph, side) for side in (x, y, "".join(given)))
    independent, why = _separated(graph, *sets)
    return independent != (bool(sign["no"]) or _denies(sign["sign"])), why


def _denies(sign: str) -> bool:
    """Whether a sign is struck through itself."""
    return "\u0338" in sign or sign.startswith("\\n")


def _separated(
    graph: nx.Graph, x: Iterable[Node], y: Iterable[Node], given: Iterable[Node]
) -> tuple[bool, str]:
    verdict = check(graph, x, y, given)
    return bool(verdict), verdict.why


def _equation(graph: nx.Graph, left: str, right: str) -> tuple[bool, str]:
    """p(A|B) = p(A|B,C) or p(A,B|C) = p(A|C) p(B|C)."""
    sides = [_conditional(graph, left)]
    sides += [_conditional(graph, s) for s in re.findall(r"\(([^()]*)\)", right)]
    if len(sides) == 2 and sides[0][0] == sides[1][0]:
        (of, few), (_, many) = sorted(sides, key=lambda s: len(s[1]))
        if few < many:
            return _separated(graph, of, many - few, few)
    if len(sides) == 3 and len({given for _, given in sides}) == 1:
        (joint, given), (a, _), (b, _) = sides
        if joint == a | b and not a & b:
            return _separated(graph, a, b, given)
    raise GraphError(
        "expected 'p(A|B) = p(A|B,C)' or 'p(A,B|C) = p(A|C) p(B|C)'; got "
        f"{shown(f'p({left}) = {right}')[:80]!r}"
    )


def _conditional(graph: nx.Graph, text: str) -> tuple[frozenset[Node], frozenset[Node]]:
    of, *given = re.split(_BAR, text)
    return frozenset(_nodes(graph, of)), frozenset(_nodes(graph, ",".join(given)))


def _blanket(graph: nx.Graph, node: str, claimed: str) -> tuple[bool, str]:
    v, *more = _nodes(graph, node) or [None]
    if v is None or more:
        raise GraphError(f"expected the blanket of one node; got {shown(node)[:80]!r}")
    blanket = markov.blanket(graph, v)
    ordered = [u for u in graph if u in blanket]
    return set(_nodes(graph, claimed)) == blanket, f"MB({shown(v)}) = {{{listed(ordered)}}}"


def _cliques(graph: nx.Graph, claimed: str) -> tuple[bool, str]:
    text = claimed.replace("\\", "")
    if not _BLOCKS.fullmatch(text):
        raise GraphError(f"expected cliques as '{{A,B}}, {{B,C}}'; got {shown(claimed)[:80]!r}")
    theirs = {frozenset(_nodes(graph, block)) for block in re.findall(r"\{([^{}]*)\}", text)}
    ours = markov.cliques(_undirected(graph))
    missing = [_set(graph, c) for c in ours if c not in theirs]
    extra = [_set(graph, c) for c in theirs if c not in ours]
    return set(ours) == theirs, _differences("cliques", missing, extra)


def _set(graph: nx.Graph, nodes: frozenset[Node]) -> str:
    return f"{{{listed(v for v in graph if v in nodes)}}}"


def _differences(what: str, missing: list[str], extra: list[str]) -> str:
    words = [f"missing {what}: {', '.join(missing)}"] if missing else []
    words += [f"extra {what}: {', '.join(sorted(extra))}"] if extra else []
    return "; ".join(words) or f"these are all the {what}"


def _drawn(graph: nx.Graph, kind: str, drawing: str) -> tuple[bool, str]:
    """A graph drawn for this one: its moral graph, an I-map, a perfect map."""
    drawn = loading.load(drawing if ";" in drawing else drawing + ";")
    if drawn.is_directed() and not drawn.edges:
        drawn = nx.Graph(drawn)
    drawn = nx.relabel_nodes(drawn, {t: v for t, v in _by_text(graph).items() if t in drawn})
    if kind.lower().startswith("m"):
        return _moral(graph, drawn)
    find = markov.perfect_map if kind.lower().startswith("p") else markov.imap
    verdict = find(drawn, graph)
    return bool(verdict), str(verdict)


def _moral(graph: nx.Graph, drawn: nx.Graph) -> tuple[bool, str]:
    if drawn.is_directed() or set(drawn) != set(graph):
        odd = listed(set(drawn) ^ set(graph)) or "arrows"
        raise GraphError(f"expected an undirected drawing of the same nodes; got {odd}")
    true = _undirected(graph)
    missing = [
        f"{shown(u)} - {shown(v)} ({reason or 'an edge'})"
        for u, v, reason in true.edges(data="reason")
        if not drawn.has_edge(u, v)
    ]
    extra = [f"{shown(u)} - {shown(v)}" for u, v in drawn.edges if not true.has_edge(u, v)]
    return not (missing or extra), _differences("edges", missing, extra)
