"""Adjacency matrices: nested lists, arrays, data frames."""

from collections.abc import Sequence
from typing import Any

import networkx as nx

from probgen.reasoning.names import GraphError, Node, shown


def read(source: Any, names: Sequence[Node] | None = None) -> nx.Graph:
    """`m[i, j] = 1` is i -> j; a symmetric matrix with an edge is an undirected graph.

    Raises:
        GraphError: not a square matrix of 0 and 1, names that do not fit, mixed edges.

    >>> read([[0, 1], [0, 0]], names=["A", "B"]).edges
    OutEdgeView([('A', 'B')])
    """
    import numpy as np

    if names is None and hasattr(source, "columns"):
        names = _frame_names(source)
    matrix = _square(source)
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
    if not np.isin(matrix, (0, 1)).all():
        raise GraphError("expected a matrix of 0 and 1; got other entries: compare them first")
    return matrix.astype(bool)
