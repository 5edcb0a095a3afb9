"""Adjacency matrices: nested lists, arrays, data frames, in either convention."""

from collections.abc import Sequence
from typing import Any, Literal

import networkx as nx

from probgen.reasoning.names import GraphError, Node, shown

Rows = Literal["parents", "children"]
"""What the rows of a matrix are: parents (m[i, j] is i -> j) or children (j -> i)."""


def read(source: Any, names: Sequence[Node] | None = None, rows: Rows = "parents") -> nx.Graph:
    """`m[i, j] = 1` is i -> j, or j -> i if rows are children; symmetric ones are undirected.

    Rows are parents in networkx, bnlearn, gCastle and NOTEARS, children in lingam and pcalg.

    Raises:
        GraphError: not a square matrix of 0 and 1, names that do not fit, mixed edges.

    >>> read([[0, 1], [0, 0]], names=["A", "B"]).edges
    OutEdgeView([('A', 'B')])
    >>> read([[0, 1], [0, 0]], names=["A", "B"], rows="children").edges
    OutEdgeView([('B', 'A')])
    """
    import numpy as np

    if rows not in ("parents", "children"):
        raise GraphError(f"expected rows='parents' or 'children'; got {rows!r}")
    if names is None and hasattr(source, "columns"):
        names = _frame_names(source)
    matrix = _square(source)
    if rows == "children":
        matrix = matrix.T
    labels = list(range(len(matrix))) if names is None else _names(names, len(matrix))
    directed = np.argwhere(matrix & ~matrix.T)
    both = np.argwhere(matrix & matrix.T)
    if len(directed) and len(both):
        i, j = both[0]
        a, b = shown(labels[i]), shown(labels[j])
        raise GraphError(
            f"expected edges of one kind; got {a} - {b} in both directions beside directed ones: "
            "orient every edge or none"
        )
    graph = nx.Graph() if len(both) else nx.DiGraph()
    graph.add_nodes_from(labels)
    graph.add_edges_from((labels[i], labels[j]) for i, j in (both if len(both) else directed))
    return graph


def _names(names: Sequence[Node], count: int) -> list[Node]:
    try:
        labels, different = list(names), len(set(names))
    except TypeError as error:
        raise GraphError(f"expected {count} names for the matrix; got {error}") from None
    if not len(labels) == different == count:
        raise GraphError(
            f"expected {count} different names for the matrix; got {len(labels)}, {different} "
            "different"
        )
    return labels


def _frame_names(frame: Any) -> list[Node]:
    rows, columns = list(frame.index), list(frame.columns)
    if rows != columns:
        raise GraphError("expected a data frame with the same names for rows and columns")
    return columns


def _square(source: Any) -> Any:
    import numpy as np

    try:
        matrix = np.asarray(source)
    except ValueError:
        matrix = np.empty(0, dtype=object)
    square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1] and matrix.size
    if not square or matrix.dtype.kind not in "biuf":
        raise GraphError(
            "expected a string, a path, a networkx or pgmpy graph or a square matrix of numbers; "
            f"got {type(source).__name__}: edges go into a networkx.DiGraph first"
        )
    _require_binary(matrix)
    return matrix.astype(bool)


def _require_binary(matrix: Any) -> None:
    """Refuse marks and weights, with what to do: both come in another convention."""
    import numpy as np

    other = matrix[~np.isin(matrix, (0, 1))]
    if not other.size:
        return
    got = f"expected a matrix of 0 and 1; got {other[0]:g}"
    if np.isin(matrix, (-1, 0, 1, 2)).all() and ((matrix != 0) == (matrix != 0).T).all():
        raise GraphError(
            f"{got}: these may be causal-learn's marks, -1 a tail, 1 an arrowhead, 2 a circle: "
            "load its graph itself (GeneralGraph, or .G of a CausalGraph), or, if every edge is "
            "directed, (m == 1) with rows='children'"
        )
    raise GraphError(
        f"{got}: load (m != 0) if these are weights, with rows='children' if [i, j] is the effect "
        "of j on i, as lingam has it; marks and unknown edges (-1) are not read"
    )
