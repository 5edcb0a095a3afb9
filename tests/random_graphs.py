"""Hypothesis strategies for graphs, and slow definitions to compare with."""

from itertools import combinations

import networkx as nx
import numpy as np
from hypothesis import strategies as st


@st.composite
def dags(draw, smallest=2, largest=7):
    n = draw(st.integers(smallest, largest))
    names = draw(st.permutations([f"v{i}" for i in range(n)]))
    pairs = list(combinations(names, 2))
    keep = draw(st.lists(st.booleans(), min_size=len(pairs), max_size=len(pairs)))
    graph = nx.DiGraph()
    graph.add_nodes_from(sorted(names))
    graph.add_edges_from(pair for pair, kept in zip(pairs, keep, strict=True) if kept)
    return graph


def graphs(smallest=2, largest=7):
    return dags(smallest, largest).map(nx.Graph)


@st.composite
def queries(draw, graph_strategy):
    """A graph and disjoint sets x, y, given; x and y not empty."""
    graph = draw(graph_strategy)
    role = st.sampled_from(["x", "y", "given", "given", "", ""])
    roles = draw(st.lists(role, min_size=len(graph), max_size=len(graph)))
    first, second, *_ = draw(st.permutations(range(len(graph))))
    roles[first], roles[second] = "x", "y"
    nodes = list(graph)
    return graph, *({v for v, r in zip(nodes, roles, strict=True) if r == k} for k in _ROLES)


_ROLES = ("x", "y", "given")


def open_by_definition(graph, path, given):
    """Whether a trail is open: Koller and Friedman 2009, definition 3.6, word by word."""
    for a, v, b in zip(path, path[1:], path[2:], strict=False):
        collider = graph.is_directed() and graph.has_edge(a, v) and graph.has_edge(b, v)
        if collider:
            if not given & (nx.descendants(graph, v) | {v}):
                return False
        elif v in given:
            return False
    return True


def open_trails(graph, x, y, given):
    """Every open trail, by listing all simple paths."""
    skeleton = nx.Graph(graph)
    skeleton.add_nodes_from(graph)
    return {
        tuple(path)
        for a in x
        for b in y
        for path in nx.all_simple_paths(skeleton, a, b)
        if not (set(path[1:-1]) & (x | y)) and open_by_definition(graph, path, given)
    }


def random_joint(graph, rng):
    """A joint distribution that factorises over a directed graph, one axis per node, binary."""
    axis = {v: i for i, v in enumerate(graph)}
    joint = np.ones((2,) * len(graph))
    for v in graph:
        family = sorted([*graph.pred[v], v], key=axis.__getitem__)
        table = rng.dirichlet([1.0, 1.0], size=(2,) * (len(family) - 1))
        table = np.moveaxis(table, -1, family.index(v))
        shape = [2 if u in family else 1 for u in graph]
        joint = joint * table.reshape(shape)
    return joint


def dependence(joint, x, y, given):
    """The largest |p(x, y, z) p(z) - p(x, z) p(y, z)|, where x, y and z are axes."""

    def marginal(axes):
        return joint.sum(tuple(i for i in range(joint.ndim) if i not in axes), keepdims=True)

    left = marginal({*x, *y, *given}) * marginal(set(given))
    return float(np.abs(left - marginal({*x, *given}) * marginal({*y, *given})).max())
