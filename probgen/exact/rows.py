"""Evidence and rows of data, from names to numbers and back."""

from collections.abc import Collection, Hashable, Iterable, Mapping
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

    None, not-a-number and "?" (unless the node has such a state) are missing values, and so is
    what a mapping does not name.

    Raises:
        UnknownNode: a column that is no node.
        ExactError: a state that the node does not have, or something else than rows.
    """
    return _rows(network, _columns(source), len(source))


def _rows(network: Network, columns: Mapping[Node, Any], n: int) -> Rows:
    numbers = [network.number(v, "nodes as columns") for v in columns]
    codes = [
        _codes(network, v, column) for v, column in zip(numbers, columns.values(), strict=True)
    ]
    return Rows(
        tuple(columns),
        tuple(network.states[v] for v in numbers),
        np.array(codes, dtype=np.int64).reshape(len(codes), n).T,
    )


def _columns(source: Any) -> dict[Node, Any]:
    if isinstance(source, Rows):
        return {v: source[v] for v in source.nodes}
    if hasattr(source, "columns") and hasattr(source, "to_numpy"):
        return {v: source[v].to_numpy(object) for v in source.columns}
    rows = list(source) if isinstance(source, Collection) and not isinstance(source, str) else None
    if rows is None or not all(isinstance(row, Mapping) for row in rows):
        raise ExactError(
            "expected evidence {node: state}, a list of these, a data frame or Rows; got "
            f"{type(source).__name__}"
        )
    nodes = dict.fromkeys(v for row in rows for v in row)
    return {v: [row.get(v) for row in rows] for v in nodes}


def _codes(network: Network, v: int, column: Iterable[Any]) -> list[int]:
    known = dict(network.codes[v])
    found = []
    for state in column:
        try:
            found.append(known[state])
        except (KeyError, TypeError):
            code = MISSING if is_missing(state) else network.code(v, state)
            found.append(code)
            if isinstance(state, Hashable) and state is not None:
                known[state] = code
    return found


def is_missing(state: Any) -> bool:
    """Whether a value says that it is not known: None, not-a-number, pandas' NA or "?"."""
    if state is None or type(state).__name__ == "NAType":
        return True
    if isinstance(state, str):
        return state == "?"
    return bool(np.all(state != state))


def evidence_of(network: Network, evidence: Any, do: Mapping[Node, State] | None) -> Evidence:
    """What is known, in numbers: one row if it is a mapping or None, else several.

    Raises:
        UnknownNode: a node that the network does not have.
        ExactError: an unknown state, likelihoods that are none, a node both observed and set,
            `do` without directions.
    """
    forced = _picks(network, do or {}, "nodes to set by do=")
    if forced and not network.directed:
        raise ExactError("expected a directed network for do=; an undirected one has no causes")
    if evidence is None or isinstance(evidence, Mapping):
        found = _one(network, evidence or {})
    else:
        found = several(network, evidence)
    if both := forced.keys() & (found.picks.keys() | found.likely.keys()):
        names = listed(network.nodes[v] for v in both)
        raise ExactError(f"expected {names} either observed or set by do=; got both: drop one")
    constant: Mapping[int, Any] = forced
    if not found.single:
        constant = {v: np.full(found.rows, code) for v, code in forced.items()}
    return found._replace(picks={**found.picks, **constant}, forced=frozenset(forced))


def _one(network: Network, evidence: Mapping[Node, Any]) -> Evidence:
    role = "nodes as evidence"
    hard = {v: state for v, state in evidence.items() if not isinstance(state, Mapping)}
    likely = {}
    for node in evidence.keys() - hard.keys():
        v = network.number(node, role)
        likely[v] = _likelihoods(network, v, evidence[node])[:, None]
    return Evidence(1, _picks(network, hard, role), likely, frozenset(), True)


def several(network: Network, source: Any) -> Evidence:
    """Evidence of rows; errors are those of `evidence_of`."""
    columns, n = _columns(source), len(source)
    soft = {v for v, column in columns.items() if _is_soft(column)}
    hard = {v: column for v, column in columns.items() if v not in soft}
    picks, likely = _split(network, _rows(network, hard, n))
    for node in soft:
        v = network.number(node, "nodes as columns")
        likely[v] = np.stack([_cell(network, v, state) for state in columns[node]], 1)
    return Evidence(n, picks, likely, frozenset(), False, _labels(source))


def weighted(network: Network, source: Any) -> tuple[Evidence, Array]:
    """Different rows, and how often each occurs.

    Raises:
        UnknownNode, ExactError: as `evidence_of`; one mapping in place of rows.
    """
    columns, n = _columns(source), len(source)
    if any(map(_is_soft, columns.values())):
        return several(network, source), np.ones(n)
    rows = _rows(network, columns, n)
    codes, first, times = np.unique(rows.codes, axis=0, return_index=True, return_counts=True)
    picks, likely = _split(network, Rows(rows.nodes, rows.states, codes))
    labels = _labels(source)[first]
    found = Evidence(len(times), picks, likely, frozenset(), False, labels)
    return found, times.astype(np.float64)


def _labels(source: Any) -> Any:
    """What the rows are called: a frame's index, or 0, 1, ..."""
    return source.index if hasattr(source, "columns") else np.arange(len(source))


def _is_soft(column: Any) -> bool:
    return any(isinstance(state, Mapping) for state in column)


def _cell(network: Network, v: int, state: Any) -> Array:
    if isinstance(state, Mapping):
        return _likelihoods(network, v, state)
    (code,) = _codes(network, v, [state])
    return np.ones(network.cards[v]) if code == MISSING else np.eye(network.cards[v])[code]


def _likelihoods(network: Network, v: int, given: Mapping[State, Any]) -> Array:
    """One likelihood per state: those of a child that is observed (Pearl 1988, section 2.2.2)."""
    name, states = shown(network.nodes[v]), network.states[v]
    numbers = {network.code(v, state): value for state, value in given.items()}
    if len(numbers) < len(given):
        raise ExactError(f"expected one likelihood for every state of {name}; got {list(given)}")
    if absent := [state for k, state in enumerate(states) if k not in numbers]:
        raise ExactError(
            f"expected a likelihood for every state of {name}; got none for {listed(absent)}: "
            "give 0 where a state is ruled out"
        )
    try:
        values = np.array([float(numbers[k]) for k in range(len(states))])
    except (TypeError, ValueError, OverflowError):
        raise ExactError(
            f"expected numbers as likelihoods of {name}; got {list(given.values())!r}"
        ) from None
    if not (np.isfinite(values) & (values >= 0)).all() or not values.any():
        raise ExactError(
            f"expected likelihoods of {name} that are finite, at least 0 and not all 0; got "
            f"{values.tolist()}"
        )
    return values


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
