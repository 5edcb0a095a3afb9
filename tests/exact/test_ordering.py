"""Elimination orders: they are triangulations, a tree needs no search, a search pays."""

from math import inf, prod

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import assert_same, brute, common, draw_evidence, networks
from random_graphs import graphs

from probgen import exact
from probgen.exact import ordering, plan
from probgen.exact.network import network_of


def numbered(g):
    place = {v: k for k, v in enumerate(g)}
    return [(place[v],) for v in g] + [(place[a], place[b]) for a, b in g.edges]


def entries(cards, order):
    return sum(prod(cards[v] for v in clique) for clique in order.cliques)


@common
@given(graphs(largest=8), st.data())
def test_cliques_are_those_of_eliminating_in_this_order(g, data):
    scopes = numbered(g)
    cards = data.draw(st.lists(st.integers(1, 4), min_size=len(g), max_size=len(g)))
    order = ordering.ordered(cards, scopes, data.draw(st.sampled_from([0, 1, inf])))
    assert sorted(order.nodes) == list(range(len(g)))
    left = nx.Graph(pair for pair in scopes if len(pair) == 2)
    left.add_nodes_from(range(len(g)))
    for v, clique in zip(order.nodes, order.cliques, strict=True):
        around = set(left[v])
        assert clique == around | {v}
        left.remove_node(v)
        left.add_edges_from((a, b) for a in around for b in around if a < b)


@common
@given(graphs(largest=7), st.data())
def test_a_longer_search_is_never_worse(g, data):
    cards = data.draw(st.lists(st.integers(2, 4), min_size=len(g), max_size=len(g)))
    scopes = numbered(g)
    short, long = (entries(cards, ordering.ordered(cards, scopes, uses)) for uses in (0, inf))
    assert long <= short
    known = data.draw(st.permutations(range(len(g))))
    told = ordering.ordered(cards, scopes, 0, known)
    core = ordering.Order(*map(list, zip(*core_in(scopes, known), strict=True)))
    assert entries(cards, told) <= entries(cards, core)


def core_in(scopes, known):
    """What is left by simplicial nodes, eliminated in this order after them."""
    near = ordering._neighbours(scopes)
    first = ordering._simplicial(near, frozenset())
    yield from zip(first.nodes, first.cliques, strict=True)
    for v in (u for u in known if u in near):
        around = near.pop(v)
        yield v, around | {v}
        for u in around:
            near[u] = (near[u] | around) - {u, v}


def test_the_order_of_the_whole_network_is_tried_first(monkeypatch):
    """A grid whose greedy order is poor: row by row is as good as any."""
    monkeypatch.setattr(ordering, "LEAST", 1)
    n = 9
    grid = nx.convert_node_labels_to_integers(nx.grid_2d_graph(n, n), ordering="sorted")
    order = ordering.ordered([2] * n * n, grid.edges, 0, range(n * n))
    assert max(map(len, order.cliques)) <= n + 1


@pytest.mark.parametrize(
    "tree",
    [nx.path_graph(2000), nx.star_graph(2000), nx.balanced_tree(2, 9), nx.complete_graph(9)],
    ids=["chain", "star", "tree", "complete"],
)
def test_chordal_graphs_need_no_search(monkeypatch, tree):
    def refuse(*_):
        raise AssertionError("a chordal graph has no core to search")

    monkeypatch.setattr(ordering, "eliminate", refuse)
    order = ordering.ordered([2] * len(tree), tree.edges, inf)
    assert max(map(len, order.cliques)) == (9 if len(tree) == 9 else 2)


def test_a_long_chain_is_planned_without_a_search(monkeypatch):
    """17,000 binary nodes have more than 65,536 entries, which once took 24 random orders."""
    monkeypatch.setattr(ordering, "_best", None)
    n = 17_000
    g = nx.path_graph(n, create_using=nx.DiGraph)
    rows = np.array([[0.9, 0.1], [0.2, 0.8]])
    for v, data in g.nodes(data=True):
        data.update(states=(0, 1), parents=tuple(g.pred[v]), table=rows if v else rows[0])
    cost = exact.cost(g)
    assert (cost.width, cost.largest, cost.entries) == (1, 4, 4 * (n - 1))


@common
@given(networks, st.data())
def test_many_questions_share_one_plan(g, data):
    asked = [draw_evidence(data, g) for _ in range(3)]
    for evidence in asked:
        total, expected = brute(g, evidence)
        if total:
            assert_same(exact.marginals(g, evidence), expected)
    assert set(network_of(g).plans) <= {plan.Question()}


@common
@given(networks, st.data())
def test_the_cost_with_evidence_is_that_of_the_sliced_tables(g, data):
    evidence = draw_evidence(data, g)
    whole, sliced = exact.cost(g), exact.cost(g, evidence)
    assert sliced.entries <= whole.entries
    assert sliced.memory <= whole.memory
    known = network_of(g)
    made = plan.planned(known, plan.Question())
    observed = {known.index[v] for v in evidence}
    sizes = [
        prod(known.cards[v] for v in clique.scope if v not in observed) for clique in made.cliques
    ]
    assert (sliced.entries, sliced.largest) == (sum(sizes), max(sizes))
