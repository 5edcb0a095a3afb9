"""Evidence and rows of data, from names to numbers and back."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from probgen.exact.network import Array, ExactError, Network, State
from probgen.exact.propagation import Evidence
from probgen.reasoning.names import Node, listed, shown

MISSING = -1


@dataclass(frozen=True)
class Rows:
    """Rows of states, as numbers.

    Attributes:
        nodes: the columns.
        states: every column's states.
        codes: integers (rows, columns), positions in `states`; -1 where a value is missing.

    >>> rows = Rows(("A",), (("no", "yes"),), np.array([[1], [-1]]))
    >>> len(rows), rows["A"].tolist()
    (2, ['yes', None])
    """

    nodes: tuple[Node, ...]
    states: tuple[tuple[State, ...], ...]
    codes: Array

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, node: Node) -> Array:
        """A column by the names of its states; None where a value is missing."""
        column = self.nodes.index(node)
        names = np.empty(len(self.states[column]) + 1, dtype=object)
        names[:-1] = self.states[column]
        return names[self.codes[:, column]]

    def frame(self) -> Any:
        """The rows as a pandas data frame."""
        from pandas import DataFrame

        return DataFrame({node: self[node] for node in self.nodes})


def rows_of(network: Network, source: Any) -> Rows:
    """Rows from `Rows`, a pandas data frame, or mappings from node to state.

    None and not-a-number are missing values, and so is what a mapping does not name.

    Raises:
        UnknownNode: a column that is no node.
        ExactError: a state that the node does not have, or something else than rows.
    """
    columns: Mapping[Node, Any]
    if isinstance(source, Rows):
        columns = {v: source[v] for v in source.nodes}
    elif hasattr(source, "columns") and hasattr(source, "to_numpy"):
        columns = {v: source[v].to_numpy(object) for v in source.columns}
    else:
        columns = _columns(source)
    numbers = [network.number(v, "nodes as columns") for v in columns]
    codes = [
        _codes(network, v, column) for v, column in zip(numbers, columns.values(), strict=True)
    ]
    n = len(source)
    return Rows(
        tuple(columns),
        tuple(network.states[v] for v in numbers),
        np.array(codes, dtype=np.int64).reshape(len(codes), n).T,
    )


def _columns(source: Any) -> dict[Node, list[Any]]:
    rows = list(source) if isinstance(source, Iterable) and not isinstance(source, str) else None
    if rows is None or not all(isinstance(row, Mapping) for row in rows):
        raise ExactError(
            "expected evidence {node: state}, a list of these, a data frame or Rows; got "
            f"{type(source).__name__}"
        )
    nodes = dict.fromkeys(v for row in rows for v in row)
    return {v: [row.get(v) for row in rows] for v in nodes}


def _codes(network: Network, v: int, column: Iterable[Any]) -> list[int]:
    known = network.codes[v]
    found = []
    for state in column:
        try:
            found.append(known[state])
        except (KeyError, TypeError):
            found.append(MISSING if _is_missing(state) else network.code(v, state))
    return found


def _is_missing(state: Any) -> bool:
    return state is None or type(state).__name__ == "NAType" or bool(np.all(state != state))


def evidence_of(network: Network, evidence: Any, do: Mapping[Node, State] | None) -> Evidence:
    """What is known, in numbers: one row if it is a mapping or None, else several.

    Raises:
        UnknownNode: a node that the network does not have.
        ExactError: an unknown state, a node both observed and set, `do` without directions.
    """
    forced = _picks(network, do or {}, "nodes to set by do=")
    if forced and not network.directed:
        raise ExactError("expected a directed network for do=; an undirected one has no causes")
    picks: Mapping[int, Any]
    likely: Mapping[int, Array] = {}
    single = evidence is None or isinstance(evidence, Mapping)
    if single:
        picks, n = _picks(network, evidence or {}, "nodes as evidence"), 1
    else:
        rows = rows_of(network, evidence)
        picks, likely = _split(network, rows)
        n = len(rows)
    if both := forced.keys() & (picks.keys() | likely.keys()):
        names = listed(network.nodes[v] for v in both)
        raise ExactError(f"expected {names} either observed or set by do=; got both: drop one")
    constant = forced if single else {v: np.full(n, code) for v, code in forced.items()}
    return Evidence(n, {**picks, **constant}, likely, frozenset(forced), single)


def _picks(network: Network, states: Any, role: str) -> dict[int, int]:
    if not isinstance(states, Mapping):
        raise ExactError(f"expected {role} as {{node: state}}; got {shown(states)[:80]!r}")
    numbers = {network.number(node, role): state for node, state in states.items()}
    return {v: network.code(v, state) for v, state in numbers.items()}


def _split(network: Network, rows: Rows) -> tuple[dict[int, Array], dict[int, Array]]:
    """Columns that are always observed, as codes; those that are sometimes, as indicators."""
    picks, likely = {}, {}
    for node, codes in zip(rows.nodes, rows.codes.T, strict=True):
        v = network.index[node]
        if (codes != MISSING).all():
            picks[v] = np.ascontiguousarray(codes)
        elif (codes != MISSING).any():
            same = codes == np.arange(network.cards[v])[:, None]
            likely[v] = (same | (codes == MISSING)).astype(np.float64)
    return picks, likely
