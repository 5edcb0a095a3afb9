"""The UAI format: numbered variables with tables, Bayesian or Markov; evidence files."""

import re
from collections.abc import Hashable, Iterator, Sequence
from itertools import combinations
from math import prod
from typing import Any

import networkx as nx

from probgen.reasoning.names import GraphError, shown
from probgen.reasoning.readers import holding
from probgen.reasoning.readers.cpds import LARGEST, Tables

LARGEST_VARIABLES = 1 << 20
"""Variables of one file."""
LARGEST_STATES = 1 << 16
"""States of one variable."""
WIDEST = 64
"""Variables of one table: the axes that an array may have."""


def read(source: str, file: str = "", tolerance: float | None = None) -> nx.Graph:
    """Read a network: nodes 0, 1, ..., each with the states 0, 1, ...

    Format: UAI inference competition (2006 to 2022), "File formats". A table runs through its
    scope with the last variable fastest; in a BAYES file the last variable of a scope is the
    node, the others its parents. A MARKOV file gives `graph["factors"] = [(nodes, array)]` and
    an edge between any two nodes of a scope.

    Raises:
        GraphError: malformed (with file), a node without a table or with two, a row off 1 by more
            than the tolerance, more than 4,194,304 entries, or a node with several parents in a
            BAYES file with comments, by pyAgrum, whose tables run the other direction.

    >>> g = read("BAYES 2 2 2 2 1 0 2 0 1 2 0.2 0.8 4 0.9 0.1 0.5 0.5")
    >>> g.edges, g.nodes[1]["table"].tolist()
    (OutEdgeView([(0, 1)]), [[0.9, 0.1], [0.5, 0.5]])
    """
    where = f"{file}: " if file else ""
    words = _Words(re.sub(r"#[^\n]*", "", source), where)
    kind = next(words.words, "").upper()
    if kind not in ("BAYES", "MARKOV"):
        raise GraphError(f"{where}expected BAYES or MARKOV; got {shown(kind)[:80]!r}")
    variables = words.integer("variables", 1, min(words.size, LARGEST_VARIABLES))
    cards = [words.integer("states", 1, LARGEST_STATES) for _ in range(variables)]
    if sum(cards) > LARGEST:
        raise GraphError(f"{where}expected at most {LARGEST:,} states; got {sum(cards):,}")
    count = words.integer("tables", 0, min(words.size, LARGEST))
    scopes = [words.scope(len(cards)) for _ in range(count)]
    if "#" in source and kind == "BAYES" and any(len(scope) > 2 for scope in scopes):
        raise GraphError(
            f"{where}expected tables with the last parent fastest; got comments ('#'), as in "
            "files of pyAgrum, which have the first one fastest: save the network from "
            "pyAgrum as .bif (or, if another program wrote the file, take the comments out)"
        )
    read_ = _bayes if kind == "BAYES" else _markov
    graph = read_(words, cards, scopes, file, tolerance)
    if extra := next(words.words, ""):
        raise GraphError(f"{where}expected the end; got {shown(extra)[:80]!r}")
    return graph


class _Words:
    """The words of a file, one after the other."""

    def __init__(self, source: str, where: str) -> None:
        self.where = where
        self.size = len(source)
        self.words: Iterator[str] = (word[0] for word in re.finditer(r"\S+", source))

    def integer(self, what: str, least: int, most: int) -> int:
        word = next(self.words, "the end")
        known = word.isascii() and word.isdecimal() and len(word) < 19
        if not (known and least <= int(word) <= most):
            raise GraphError(
                f"{self.where}expected a number of {what} from {least} to {most:,}; got "
                f"{shown(word)[:80]!r}"
            )
        return int(word)

    def scope(self, variables: int) -> list[int]:
        size = self.integer("variables of a table", 0, min(variables, WIDEST))
        return [self.integer("a variable", 0, variables - 1) for _ in range(size)]

    def numbers(self, scope: list[int], cards: list[int]) -> list[float]:
        expected = prod(cards[v] for v in scope)
        if expected > LARGEST:
            raise GraphError(
                f"{self.where}expected at most {LARGEST:,} table entries; got {expected:,}"
            )
        count = self.integer("entries", 0, LARGEST)
        if count != expected:
            raise GraphError(
                f"{self.where}expected {expected:,} entries in the table of {scope}; got {count:,}"
            )
        words = [next(self.words, "the end") for _ in range(count)]
        try:
            return [float(word.replace("_", "'")) for word in words]
        except ValueError as error:
            raise GraphError(f"{self.where}expected numbers; {shown(error)[:120]}") from None


def _bayes(
    words: _Words,
    cards: list[int],
    scopes: list[list[int]],
    file: str,
    tolerance: float | None,
) -> nx.DiGraph:
    net: Any = Tables(file, tolerance)
    for variable, card in enumerate(cards):
        net.states[variable] = {state: state for state in range(card)}
    for scope in scopes:
        if not scope:
            raise net.error("expected a variable in every table of a BAYES file; got none")
        *parents, node = scope
        net.family(node, parents)
        net.table(node, words.numbers(scope, cards))
    graph: nx.DiGraph = net.graph()
    return graph


def _markov(
    words: _Words,
    cards: list[int],
    scopes: list[list[int]],
    file: str,
    tolerance: float | None,
) -> nx.Graph:
    import numpy as np

    graph = nx.Graph()
    graph.add_nodes_from((v, {"states": tuple(range(card))}) for v, card in enumerate(cards))
    factors, entries = [], 0
    for scope in scopes:
        if len(set(scope)) < len(scope):
            raise GraphError(f"{words.where}expected every variable once in a table; got {scope}")
        values = np.array(words.numbers(scope, cards)).reshape([cards[v] for v in scope])
        entries += values.size
        if entries > LARGEST:
            raise GraphError(f"{words.where}expected at most {LARGEST:,} table entries; got more")
        if not (np.isfinite(values) & (values >= 0)).all():
            raise GraphError(
                f"{words.where}expected potentials of at least 0; got others over {scope}"
            )
        graph.add_edges_from(combinations(scope, 2))
        factors.append((tuple(scope), values))
    graph.graph["factors"] = factors
    return graph


def named(graph: nx.Graph, names: Sequence[Hashable]) -> nx.Graph:
    """The network with names for its numbers, in their order.

    Raises:
        GraphError: not one name, different from the others, for every node.
    """
    found = dict(zip(graph, names, strict=False))
    if not len(graph) == len(names) == len(set(found.values())):
        raise GraphError(f"expected {len(graph)} different names; got {len(names)}")
    renamed: nx.Graph = nx.relabel_nodes(graph, found)
    for data in (d for _, d in renamed.nodes(data=True) if "parents" in d):
        data["parents"] = tuple(found[p] for p in data["parents"])
    if "factors" in graph.graph:
        renamed.graph["factors"] = [
            (tuple(found[v] for v in scope), values) for scope, values in graph.graph["factors"]
        ]
    return renamed


def evidence(source: str, graph: nx.Graph, file: str = "") -> list[dict[Hashable, Any]]:
    """Read an evidence file: `{node: state}` for every sample.

    Format: the number of samples, then for each the number of observed variables and pairs of
    variable and state, as numbers; in the older form one sample without the first number.

    Args:
        source: the text.
        graph: the network; variables and states are numbered in its order.
        file: the name that errors begin with.

    Raises:
        GraphError: malformed, an unknown variable or state, or a variable twice.

    >>> evidence("1 2 0 1 1 0", read("MARKOV 2 2 2 1 2 0 1 4 1 2 3 4"))
    [{0: 1, 1: 0}]
    """
    words = _Words(source, f"{file}: " if file else "")
    total = len(source.split())
    nodes = list(graph)
    first = words.integer("samples or observed variables", 0, total)
    if first == 0 and total == 1:
        return [{}]
    if total == 2 * first + 1 and not _one_a_line(source):
        return [_sample(words, graph, nodes, first)]
    found = [
        _sample(words, graph, nodes, words.integer("observed variables", 0, len(nodes)))
        for _ in range(first)
    ]
    if extra := next(words.words, ""):
        raise GraphError(f"{words.where}expected the end; got {shown(extra)[:80]!r}")
    return found


def _one_a_line(source: str) -> bool:
    """Whether the number of samples has a line to itself, and every sample too."""
    lines = [line.split() for line in source.splitlines() if line.strip()]
    return len(lines[0]) == 1 and [len(line) for line in lines[1:]] == [
        2 * int(line[0]) + 1 if line[0].isdecimal() and len(line[0]) < 19 else 0
        for line in lines[1:]
    ]


def _sample(
    words: _Words, graph: nx.Graph, nodes: list[Hashable], count: int
) -> dict[Hashable, Any]:
    found: dict[Hashable, Any] = {}
    for _ in range(count):
        node = nodes[words.integer("a variable", 0, len(nodes) - 1)]
        states = graph.nodes[node].get("states")
        if states is None:
            raise GraphError(f"expected states of {shown(node)}; got none")
        if node in found:
            raise GraphError(f"{words.where}expected each variable once; got {shown(node)} twice")
        found[node] = tuple(states)[words.integer("a state", 0, len(states) - 1)]
    return found


def write(graph: nx.Graph) -> str:
    """The network in UAI: names, states and labels are numbers, in the graph's order.

    Raises:
        GraphError: a node without states, or a node without a table.
    """
    number = {node: i for i, node in enumerate(graph)}
    tables = list(_tables(graph))
    cards = {v: len(data["states"]) for v, data in graph.nodes(data=True)}
    lines = ["BAYES" if graph.is_directed() else "MARKOV", str(len(graph))]
    lines += [" ".join(str(cards[v]) for v in graph), str(len(tables))]
    lines += [" ".join(map(str, [len(scope), *(number[v] for v in scope)])) for scope, _ in tables]
    for _, table in tables:
        lines += ["", str(table.size)]
        lines += [" ".join(map(repr, row)) for row in holding.rows(table)]
    return "\n".join([*lines, ""])


def _tables(graph: nx.Graph) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if graph.is_directed():
        holding.require_network(graph, "UAI")
        for node, data in graph.nodes(data=True):
            if "table" not in data:
                raise GraphError(
                    f"expected a table at every node for UAI; got none at {shown(node)}"
                )
            yield (*holding.parents(graph, node), node), holding.array(data["table"])
    else:
        holding.require_factors(graph, "UAI")
        for names, values in graph.graph["factors"]:
            yield tuple(names), holding.array(values)
