"""Networks with tables as the readers of files find them: checked once, then a graph.

A table has one axis per parent, in the file's order, and the node's own axis last. A row is one
configuration of the parents; its numbers sum to 1.
"""

import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from math import isfinite, prod
from typing import Any

import networkx as nx

from probgen.reasoning.names import GraphError, GraphWarning, listed, shown, suggestion

LARGEST = 1 << 22
"""Table entries that one file may have."""
TOLERANCE = 1e-6
"""How far the sum of a row may be off 1 where no tolerance is asked for."""
HAIR = 1e-12
"""What rounding alone may put a sum off by."""


class Tables:
    """Variables and tables as a reader meets them; `graph()` gives the network.

    Args:
        file: the name that errors begin with.
        tolerance: how far a row may be off 1; rows within it are divided by their sums, and one
            warning says so. None is 1e-6, and nothing is divided.
        line: gives the line of a place in the file; places are the reader's own.
    """

    def __init__(
        self, file: str = "", tolerance: float | None = None, line: Callable[[int], int] = int
    ) -> None:
        self.where = f"{file}: " if file else ""
        self.tolerance, self.line = tolerance, line
        self.states: dict[str, dict[Any, int]] = {}
        self.parents: dict[str, tuple[str, ...]] = {}
        self.tables: dict[str, Any] = {}
        self.attributes: dict[str, dict[str, Any]] = {}
        self.entries = 0
        self.incomplete: list[str] = []
        self.divided: list[tuple[float, str, float]] = []

    def error(self, message: str, at: int | None = None) -> GraphError:
        """The error with file and, where a place is given, line."""
        line = "" if at is None else f"line {self.line(at)}: "
        return GraphError(f"{self.where}{line}{message}")

    def variable(
        self, name: str, states: Sequence[Any], at: int | None = None, count: int | None = None
    ) -> None:
        """Declare a variable.

        Raises:
            GraphError: no name, a name or a state twice, no states, or not as many as declared.
        """
        if name == "" or name in self.states:
            got = "none" if name == "" else f"{shown(name)!r} twice"
            raise self.error(f"expected a new name for a variable; got {got}", at)
        count = len(states) if count is None else count
        different = set(states)
        if "" in different or len(states) != count:
            raise self._states(name, states, count, at)
        self.known(name, states, at)

    def known(self, name: Any, states: Sequence[Any], at: int | None = None) -> None:
        """Declare a variable whose names may be empty.

        Raises:
            GraphError: no states, or a state twice.
        """
        if not 0 < len(set(states)) == len(states):
            raise self._states(name, states, len(states), at)
        self.states[name] = {s: i for i, s in enumerate(states)}

    def _states(self, name: Any, states: Sequence[Any], count: int, at: int | None) -> GraphError:
        return self.error(
            f"expected {max(count, 1)} different states of {shown(name)}; got "
            f"{{ {', '.join(map(shown, states))[:80]} }}",
            at,
        )

    def family(self, node: str, parents: Iterable[str], at: int | None = None) -> tuple[int, int]:
        """Declare the parents of a node; the rows and columns that its table has.

        Raises:
            GraphError: an unknown name, a second table of the node, a parent twice, or more than
                4,194,304 entries so far.
        """
        above = tuple(parents)
        for name in (node, *above):
            if name not in self.states:
                hint = suggestion(name, self.states)
                raise self.error(f"expected a declared variable; got {shown(name)!r}{hint}", at)
        if node in self.parents or len({node, *above}) <= len(above):
            raise self.error(f"expected one table for {shown(node)}, each parent once", at)
        self.parents[node] = above
        card, rows = len(self.states[node]), prod(len(self.states[p]) for p in above)
        self.entries += rows * card
        if self.entries > LARGEST:
            raise self.error(
                f"expected at most {LARGEST:,} table entries; got {self.entries:,} "
                f"({self.entries * 8 / 2**20:,.0f} MiB) with the table of {shown(node)}",
                at,
            )
        return rows, card

    def numbers(self, text: str, node: str, at: int | None = None) -> list[float]:
        """The numbers of a node's table as text.

        Raises:
            GraphError: something else than numbers.
        """
        try:
            return numbers(text)
        except ValueError as error:
            raise self.error(
                f"expected numbers in the table of {shown(node)}; got {shown(error)[:80]}", at
            ) from None

    def table(self, node: str, values: Any, at: int | None = None) -> None:
        """Take the table of a node, its family declared: numbers, the node's states fastest.

        Rows of NaN or of -1 are placeholders: a table that has them is absent.

        Raises:
            GraphError: another number of entries, a negative one, or a row off 1.
        """
        import numpy as np

        shape = [len(self.states[v]) for v in (*self.parents[node], node)]
        flat = np.asarray(values, dtype=np.float64).reshape(-1)
        if flat.size != prod(shape):
            raise self.error(
                f"expected {prod(shape):,} numbers in the table of {shown(node)}; got "
                f"{flat.size:,}",
                at,
            )
        rows = flat.reshape(-1, shape[-1])
        allowed = TOLERANCE if self.tolerance is None else self.tolerance
        with np.errstate(invalid="ignore", over="ignore"):
            total = rows.sum(1)
            off = np.abs(total - 1)
            bad = ~((off <= allowed + HAIR) & (rows.min(1) >= 0))
        if bad.any():
            self._require_placeholders(node, rows, bad, at)
            return
        if self.tolerance is not None and off.max() > HAIR:
            rows = self._divided(node, rows, total, off)
        self.tables[node] = rows.reshape(shape)

    def certain(self, node: str, states: Sequence[Any], at: int | None = None) -> None:
        """Take the table of a node that each row puts into one state: its name or its number.

        Raises:
            GraphError: not one state a row, or an unknown one.
        """
        import numpy as np

        known = self.states[node]
        rows = prod(len(self.states[p]) for p in self.parents[node])
        if len(states) != rows:
            raise self.error(
                f"expected {rows:,} states in the table of {shown(node)}; got {len(states):,}", at
            )
        table = np.zeros((rows, len(known)))
        for row, state in enumerate(states):
            index = known.get(state, state)
            if not isinstance(index, int) or not 0 <= index < len(known):
                hint = suggestion(state, known)
                raise self.error(f"unknown state {shown(state)!r} of {shown(node)}{hint}", at)
            table[row, index] = 1
        self.tables[node] = table.reshape(*(len(self.states[p]) for p in self.parents[node]), -1)

    def _require_placeholders(self, node: str, rows: Any, bad: Any, at: int | None) -> None:
        """Rows that are no distributions are NaN or -1 throughout, or the table is refused."""
        import numpy as np

        wrong = bad & ~(np.isnan(rows).all(1) | (rows == -1).all(1))
        if wrong.any():
            raise self.error(_off(node, rows, int(wrong.argmax()), self.tolerance), at)
        if not bad.all():
            self.incomplete.append(f"{shown(node)} ({bad.sum():,} of {len(rows):,} rows)")

    def _divided(self, node: str, rows: Any, total: Any, off: Any) -> Any:
        """The rows divided by their sums, but for those that rounding alone put off."""
        total[off <= HAIR] = 1
        divided = rows / total[:, None]
        change = abs(divided - rows).max(1)
        worst = int(change.argmax())
        self.divided.append((float(change[worst]), shown(node), float(total[worst])))
        return divided

    def graph(self) -> nx.DiGraph:
        """The network; a node whose table is absent has no `table`.

        Raises:
            GraphError: no variable, or one whose parents nothing says.
        """
        if not self.states:
            raise self.error("expected a variable; got none")
        graph = nx.DiGraph()
        graph.add_nodes_from(self.states)
        for node, states in self.states.items():
            if node not in self.parents:
                raise self.error(f"expected a table for every variable; got none for {node!r}")
            graph.add_edges_from((parent, node) for parent in self.parents[node])
            data = graph.nodes[node]
            data.update(states=tuple(states), parents=self.parents[node])
            if node in self.tables:
                data["table"] = self.tables[node]
            data.update(self.attributes.get(node, {}))
        self.warn()
        return graph

    def warn(self) -> None:
        """Say once what was divided, and which tables are absent for want of some rows."""
        if self.divided:
            change, node, total = max(self.divided)
            warnings.warn(
                GraphWarning(
                    f"{self.where}rows of {len(self.divided):,} tables did not sum to 1 and were "
                    f"divided by their sums; the largest change is {change:.2g}, of a row of "
                    f"{node} that summed to {total:.8g}"
                ),
                stacklevel=2,
            )
        if self.incomplete:
            warnings.warn(
                GraphWarning(
                    f"{self.where}rows without numbers: the tables of "
                    f"{', '.join(self.incomplete[:8])} are absent; exact.fit fills them"
                ),
                stacklevel=2,
            )


def _off(node: str, rows: Any, row: int, tolerance: float | None) -> str:
    import numpy as np

    numbers = rows[row].tolist()
    message = (
        f"expected every row of {shown(node)} to be at least 0 and sum to 1 within "
        f"{TOLERANCE if tolerance is None else tolerance:g}; got {numbers[:8]} (sum "
        f"{sum(numbers):.8g}) as row {row + 1} of {len(rows)}"
    )
    if not np.isfinite(rows).all() or rows.min() < 0:
        return message
    off = float(abs(rows.sum(1) - 1).max())
    if tolerance is None and off < 0.05:
        return f"{message}: if the numbers are rounded, load it with tolerance={_above(off):g}"
    turned = rows.reshape(rows.shape[1], -1).sum(0)
    if len(rows) > 1 and abs(turned - 1).max() < 1e-3:
        return f"{message}: its columns do, so the file has the states of {shown(node)} slowest"
    return message


def _above(off: float) -> float:
    """The power of ten at or above it."""
    from math import ceil, log10

    return float(f"1e{ceil(log10(off))}")


def check(graph: nx.Graph, file: str = "", tolerance: float | None = None) -> None:
    """Check the states and tables that a graph has as attributes, and bring them into form.

    Raises:
        GraphError: states, parents or tables of another form, or rows off 1.
    """
    net: Any = Tables(file, tolerance)
    for node, data in graph.nodes(data=True):
        if "states" in data:
            data["states"] = _tuple(net, node, "states", data["states"])
            net.known(node, data["states"])
    if graph.is_directed():
        for node, data in graph.nodes(data=True):
            if "table" in data or "parents" in data:
                _check_table(net, graph, node, data)
    elif "factors" in graph.graph:
        graph.graph["factors"] = _factors(net, graph.graph["factors"])
    net.warn()


def _check_table(net: Any, graph: nx.DiGraph, node: Any, data: dict[str, Any]) -> None:
    import numpy as np

    if "parents" not in data and graph.pred[node]:
        raise net.error(f"expected the parents of {shown(node)} in the order of its table's axes")
    data["parents"] = _tuple(net, node, "parents", data.get("parents", ()))
    if set(data["parents"]) != set(graph.pred[node]):
        raise net.error(
            f"expected the parents of {shown(node)} to be those of its edges; got "
            f"{listed(data['parents']) or 'none'}, but edges from {listed(graph.pred[node])}"
        )
    if "table" not in data and not net.states.keys() >= {node, *data["parents"]}:
        return
    net.family(node, data["parents"])
    if "table" not in data:
        return
    shape = tuple(len(net.states[v]) for v in (*data["parents"], node))
    values = _array(net, node, data.pop("table"))
    if values.shape != shape:
        raise net.error(f"expected a table of shape {shape} at {shown(node)}; got {values.shape}")
    net.table(node, np.ascontiguousarray(values))
    if node in net.tables:
        data["table"] = net.tables[node]


def _factors(net: Any, factors: Any) -> list[tuple[tuple[Any, ...], Any]]:
    import numpy as np

    found = []
    try:
        pairs = [(tuple(names), values) for names, values in factors]
        unknown = [v for names, _ in pairs for v in names if v not in net.states]
    except (TypeError, ValueError):
        raise net.error("expected factors as pairs of names and values") from None
    if unknown:
        raise net.error(f"expected states of {shown(unknown[0])}, which a factor has; got none")
    for names, values in pairs:
        table = _array(net, listed(names), values)
        shape = tuple(len(net.states[v]) for v in names)
        if table.shape != shape or not (np.isfinite(table) & (table >= 0)).all():
            raise net.error(
                f"expected potentials of shape {shape}, at least 0, over {listed(names)}; got "
                f"shape {table.shape}"
            )
        found.append((names, table))
    return found


def _tuple(net: Any, node: Any, what: str, names: Any) -> tuple[Any, ...]:
    try:
        if isinstance(names, (str, bytes, dict)):
            raise TypeError
        found = tuple(names)
        set(found)
    except TypeError:
        raise net.error(
            f"expected a list of {what} at {shown(node)}; got {shown(names)[:80]!r}"
        ) from None
    return found


def _array(net: Any, node: Any, values: Any) -> Any:
    import numpy as np

    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise net.error(
            f"expected numbers as the table of {shown(node)}; got {shown(values)[:80]}"
        ) from None


def check_tolerance(tolerance: Any) -> None:
    """Refuse what is no tolerance.

    Raises:
        GraphError: not a number from 0 up to, but not including, 1.
    """
    if tolerance is not None and not (
        isinstance(tolerance, (int, float)) and 0 <= tolerance < 1 and tolerance is not True
    ):
        raise GraphError(f"expected a tolerance of at least 0 and below 1; got {tolerance!r}")


def numbers(text: str) -> list[float]:
    """The numbers of a text, between blanks and commas; `NA` and `?` are NaN.

    Raises:
        ValueError: something else.

    >>> numbers("0.5, NA 1e-3")
    [0.5, nan, 0.001]
    """
    found = text.replace(",", " ").replace("_", "'").split()  # float() would read 1_0 as 10
    try:
        return list(map(float, found))
    except ValueError:
        return [float("nan") if word in _MISSING else float(word) for word in found]


def place(text: str) -> tuple[float, float] | None:
    """The first two numbers of a position such as `(54, 35)`; None if they are none.

    >>> place("(54, 35.5)"), place("left")
    ((54.0, 35.5), None)
    """
    found = re.findall(r"[^\s,()!]+", text[:200])[:2]
    try:
        x, y = map(float, found)
    except ValueError:
        return None
    return (x, y) if isfinite(x) and isfinite(y) else None


_MISSING = {"NA", "N/A", "na", "?", "@undef"}
