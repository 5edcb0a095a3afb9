from itertools import combinations, product
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from random_graphs import dags, graphs
from shared_data import bif_files

from probgen import dsep, graph, markov
from probgen.reasoning.graph import GraphError, UnknownNode

common = settings(deadline=None, max_examples=100)
DRAWN = "O - S; O - T; A - T; S - B; A - M; B - M; T - M; O - A; T - B; C"


def all_dags(n):
    pairs = list(combinations(range(n), 2))
    for choice in product((0, 1, 2), repeat=len(pairs)):
        g = nx.DiGraph()
        g.add_nodes_from(range(n))
        for (a, b), kind in zip(pairs, choice, strict=True):
            if kind:
                g.add_edge(*((a, b) if kind == 1 else (b, a)))
        if nx.is_directed_acyclic_graph(g):
            yield g


def pattern_key(g):
    """Skeleton and v-structures, by definition."""
    skeleton = frozenset(map(frozenset, g.edges))
    colliders = frozenset(
        (frozenset((a, b)), c)
        for c in g
        for a, b in combinations(g.pred[c], 2)
        if frozenset((a, b)) not in skeleton
    )
    return skeleton, colliders


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_cpdag_is_the_union_of_all_equivalent_dags(n):
    classes = {}
    for g in all_dags(n):
        classes.setdefault(pattern_key(g), []).append(g)
    for members in classes.values():
        union = {edge for g in members for edge in g.edges}
        for g in members[:: max(1, len(members) // 3)]:
            assert set(markov.cpdag(g).edges) == union
    assert {1: 1, 2: 2, 3: 11, 4: 185, 5: 8782}[n] == len(classes)


@common
@given(dags(largest=5), dags(largest=5))
def test_equivalent_graphs_have_the_same_independences(g, h):
    if set(g) != set(h):
        return
    first, second = (set(dsep.independencies(each).pairwise()) for each in (g, h))
    same = first == second
    assert bool(markov.equivalent(g, h)) == same
    assert bool(markov.perfect_map(g, h)) == same


@common
@given(dags(largest=5) | graphs(largest=5), dags(largest=5) | graphs(largest=5))
def test_imap_is_inclusion_of_all_independences(claimed, truth):
    if set(claimed) != set(truth):
        return
    index = dsep.index(truth, compiled=False)
    expected = all(index.separated(*s) for s in dsep.independencies(claimed).pairwise())
    verdict = markov.imap(claimed, truth)
    assert bool(verdict) == expected
    for claim in verdict.false:
        assert dsep.check(claimed, *claim)
        assert not dsep.check(truth, *claim)


@common
@given(dags())
def test_moral_graph_is_the_smallest_undirected_imap(g):
    moral = markov.moral(g)
    assert set(map(frozenset, moral.edges)) == set(map(frozenset, nx.moral_graph(g).edges))
    assert markov.imap(moral, g)
    for u, v in list(moral.edges):
        fewer = nx.Graph(moral)
        fewer.remove_edge(u, v)
        assert not markov.imap(fewer, g)
    for a, b, married in moral.edges(data="married"):
        assert all({a, b} <= set(g.pred[c]) for c in married)
        assert bool(married) != (g.has_edge(a, b) or g.has_edge(b, a))


@common
@given(dags() | graphs())
def test_blanket_separates_and_no_smaller_set_does(g):
    for v in g:
        blanket = markov.blanket(g, v)
        rest = set(g) - blanket - {v}
        assert not rest or dsep.check(g, v, rest, blanket)
        for u in blanket:
            assert not dsep.check(g, v, rest | {u}, blanket - {u})


@common
@given(graphs(largest=8))
def test_chordal_with_proof(g):
    verdict = markov.chordal(g)
    assert bool(verdict) == nx.is_chordal(g)
    if verdict:
        left = nx.Graph(g)
        for v in verdict.order:
            assert all(left.has_edge(a, b) for a, b in combinations(left[v], 2))
            left.remove_node(v)
    else:
        n = len(verdict.cycle)
        assert n >= 4
        assert sorted(map(sorted, g.subgraph(verdict.cycle).edges)) == sorted(
            sorted((verdict.cycle[i - 1], verdict.cycle[i])) for i in range(n)
        )


@common
@given(graphs(largest=8))
def test_triangulation_and_junction_tree(g):
    filled = markov.triangulate(g)
    assert nx.is_chordal(filled)
    assert all(filled.has_edge(*e) for e in g.edges)
    added = {frozenset(e[:2]) for e in filled.edges(data="fill") if e[2]}
    assert added == set(map(frozenset, filled.edges)) - set(map(frozenset, g.edges))
    tree = markov.junction_tree(g)
    assert set(tree) == set(map(frozenset, nx.find_cliques(filled)))
    assert filled.graph["width"] == max(map(len, tree)) - 1 == tree.graph["width"]
    assert nx.number_connected_components(tree) == nx.number_connected_components(g)
    check_tree(tree)


def check_tree(tree):
    assert nx.is_forest(tree)
    assert markov.running_intersection(tree)
    for v in {v for clique in tree for v in clique}:
        assert nx.is_connected(tree.subgraph([c for c in tree if v in c]))
    assert all(s == a & b for a, b, s in tree.edges(data="separator"))


@pytest.mark.parametrize("path", bif_files(), ids=lambda p: p.name)
def test_running_intersection_on_every_network(path):
    check_tree(markov.junction_tree(path))


@pytest.mark.parametrize(("name", "width"), [("munin1", 11), ("link", 15)])
def test_width(name, width):
    paths = [p for p in bif_files() if isinstance(p, Path) and p.name.startswith(name)]
    if not paths:
        pytest.skip("the bif networks are not there")
    assert markov.triangulate(paths[0]).graph["width"] <= width


def test_cpdag_orients_a_long_chain_from_its_far_end():
    chain = [(i, i + 1) for i in range(3_000)]
    pattern = markov.cpdag(nx.DiGraph([*reversed(chain), ("a", 0), ("b", 0)]))
    assert all(pattern.edges[i, i + 1]["compelled"] for i in range(3_000))


def test_running_intersection_wants_sets():
    with pytest.raises(GraphError, match="forest of node sets"):
        markov.running_intersection(nx.path_graph(3))


def test_running_intersection_finds_scattered_nodes():
    tree = nx.path_graph([frozenset("ab"), frozenset("bc"), frozenset("ca")])
    assert markov.running_intersection(tree).scattered == ["a"]


def test_seven_nodes():
    assert markov.blanket("abcmost", "T") == set("OAMB")
    moral = markov.moral("abcmost")
    assert moral.edges["A", "B"]["married"] == ("M",)
    cliques = {"ABMT", "AOT", "BS", "OS", "C"}
    assert set(markov.cliques(moral)) == set(map(frozenset, cliques))
    for drawn in (moral, graph.load(DRAWN)):
        verdict = markov.chordal(drawn)
        assert not verdict
        assert set(verdict.cycle) == set("TBSO")
        assert not markov.perfect_map(drawn, "abcmost")
    assert markov.imap(moral, "abcmost")
    assert [(s.x, s.y) for s in markov.imap(DRAWN, "abcmost").false] == [(("A",), ("B",))]
    assert dsep.check(DRAWN, "A", "B", ["M", "O", "T"])
    assert not dsep.check("abcmost", "A", "B", ["M", "O", "T"])
    assert (("A",), ("B",), ()) in markov.perfect_map(moral, "abcmost").lost


def test_undirected_exercise():
    g = graph.load("abcdefg")
    assert set(markov.cliques(g)) == set(map(frozenset, ["ABC", "BCD", "BDE", "CDF", "EG"]))
    assert markov.chordal(g)
    assert markov.triangulate(g).graph["width"] == 2
    assert not any(fill for *_, fill in markov.triangulate(g).edges(data="fill"))
    assert "φ(E, G)" in str(markov.factorisation(g))


def test_scaling_a_potential_changes_nothing():
    g = graph.load("abcdefg")
    rng = np.random.default_rng(0)
    joints = []
    for scale in (1.0, 5.0):
        rng = np.random.default_rng(0)
        joint = np.ones((2,) * 7)
        for names, _ in markov.factorisation(g).factors:
            potential = rng.uniform(0.1, 1, [2 if v in names else 1 for v in g])
            joint = joint * potential * (scale if set(names) == {"E", "G"} else 1.0)
        joints.append(joint / joint.sum())
    np.testing.assert_allclose(*joints, rtol=1e-14)


def test_factorisation():
    assert str(markov.factorisation("pharmacy")) == (
        "p(M) p(S) p(F) p(I | M, S) p(T | I, F) p(D | I, T)"
    )
    assert r"p(\mathrm{I} \mid \mathrm{M}, \mathrm{S})" in markov.factorisation("pharmacy").latex()


@common
@given(dags())
def test_barren_nodes_are_all_but_the_ancestors(g):
    keep = list(g)[:1]
    dropped = markov.barren(g, keep)
    assert set(dropped) == set(g) - nx.ancestors(g, keep[0]) - set(keep)
    left = nx.DiGraph(g)
    for v in dropped:
        assert not left.succ[v]
        left.remove_node(v)
    assert set(markov.ancestral(g, keep)) == set(left)


def test_many_cliques_are_refused():
    moon_moser = nx.complete_multipartite_graph(*[3] * 12)
    with pytest.raises(GraphError, match="at most 1,000 maximal cliques"):
        markov.cliques(moon_moser, max_cliques=1_000)


@pytest.mark.parametrize("function", [markov.cliques, markov.chordal])
def test_undirected_wanted(function):
    with pytest.raises(GraphError, match="take markov.moral"):
        function("A -> B")


@pytest.mark.parametrize("function", [markov.moral, markov.cpdag])
def test_directed_wanted(function):
    with pytest.raises(GraphError, match="expected a directed graph"):
        function("A - B")


def test_bad_arguments():
    with pytest.raises(UnknownNode, match="as node; got 'Q'"):
        markov.blanket("pharmacy", "Q")
    with pytest.raises(UnknownNode, match="as keep"):
        markov.barren("pharmacy", "Q")
    with pytest.raises(GraphError, match="same nodes; got C"):
        markov.imap("A - B; C", "A -> B")
    with pytest.raises(GraphError, match="one kind"):
        markov.equivalent("A - B", "A -> B")
    assert "only the first has the edge A - B" in str(markov.equivalent("A -> B", "A; B"))
