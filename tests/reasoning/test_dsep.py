"""d-separation against networkx, the definition, and random tables."""

import os
import subprocess
import sys
import time
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given as hypothesis_given
from hypothesis import settings
from hypothesis import strategies as st
from random_graphs import dags, dependence, graphs, open_trails, queries, random_joint

from probgen import dsep, graph, markov
from probgen.reasoning.graph import GraphError, UnknownNode

PHARMACY = "M -> I <- S; I -> T <- F; I -> D <- T"
common = settings(deadline=None, max_examples=150)


@common
@hypothesis_given(queries(dags()))
def test_answer_is_networkx_answer_in_both_directions(query):
    g, x, y, z = query
    expected = nx.is_d_separator(g, x, y, z)
    assert bool(dsep.check(g, x, y, z)) == expected
    assert bool(dsep.check(g, y, x, z)) == expected
    assert dsep.index(g, compiled=False).separated(x, y, z) == expected


@common
@hypothesis_given(queries(dags()))
def test_answer_is_separation_in_the_moral_ancestral_graph(query):
    g, x, y, z = query
    moral = markov.moral(markov.ancestral(g, x | y | z))
    assert bool(dsep.check(g, x, y, z)) == bool(dsep.check(moral, x, y, z))


@common
@hypothesis_given(queries(dags(largest=6) | graphs(largest=6)))
def test_trails_are_all_the_trails_each_judged_by_the_definition(query):
    g, x, y, z = query
    verdict = dsep.check(g, x, y, z, max_trails=10_000)
    expected = open_trails(g, x, y, z)
    assert {t.nodes for t in verdict.trails if t.active} == expected
    assert bool(verdict) == (not expected)
    lengths = [len(t.nodes) for t in verdict.trails]
    assert verdict.trails.complete
    assert lengths == sorted(lengths)
    if expected:
        assert verdict.open_trail.nodes in expected
        assert len(verdict.open_trail.nodes) == min(map(len, expected))


@common
@hypothesis_given(queries(dags(largest=6) | graphs(largest=6)))
def test_certificate_stops_every_trail(query):
    g, x, y, z = query
    verdict = dsep.check(g, x, y, z, max_trails=10_000)
    if verdict:
        stops = {step.node for step in verdict.certificate}
        assert bool(stops) == bool(verdict.trails)
        for trail in verdict.trails:
            first = next(step for step in trail.steps if not step.open)
            assert first.node in stops
    else:
        assert verdict.certificate == []


@settings(deadline=None, max_examples=60)
@hypothesis_given(queries(dags(largest=5)), st.integers(0, 2**32 - 1))
def test_separation_is_independence_in_random_tables(query, seed):
    g, x, y, z = query
    axis = {v: i for i, v in enumerate(g)}
    joint = random_joint(g, np.random.default_rng(seed))
    sets = [[axis[v] for v in nodes] for nodes in (x, y, z)]
    if dsep.check(g, x, y, z):
        assert dependence(joint, *sets) < 1e-12
    else:
        others = [random_joint(g, np.random.default_rng([seed, i])) for i in range(3)]
        assert max(dependence(j, *sets) for j in [joint, *others]) > 1e-12


@pytest.mark.parametrize("name", graph.names())
def test_markov_condition(name):
    g = graph.load(name)
    for statement in dsep.independencies(g).local:
        assert dsep.check(g, *statement)
    if "table" in next(iter(g.nodes.values())):
        assert _tables_obey(g)


def _tables_obey(g):
    axis = {v: i for i, v in enumerate(g)}
    joint = np.ones([len(g.nodes[v]["states"]) for v in g])
    for v, data in g.nodes(data=True):
        family = [*data["parents"], v]
        order = sorted(range(len(family)), key=lambda i: axis[family[i]])
        shape = [joint.shape[axis[u]] if u in family else 1 for u in g]
        joint = joint * data["table"].transpose(order).reshape(shape)
    assert joint.sum() == pytest.approx(1)
    return all(
        dependence(joint, *([axis[v] for v in side] for side in statement)) < 1e-12
        for statement in dsep.independencies(g).local
    )


@pytest.mark.parametrize(
    ("x", "y", "given", "independent"),
    [
        ("M", "T", "DI", True),
        ("F", "D", "", False),
        ("S", "D", "I", True),
        ("M", "F", "", True),
        ("M", "F", "T", False),
    ],
)
def test_pharmacy_textbook_answers(x, y, given, independent):
    for source in ("pharmacy", PHARMACY):
        assert bool(dsep.check(source, x, y, list(given))) is independent


def test_undirected_textbook_answers():
    assert not dsep.check("abcdefg", "G", "A")
    assert dsep.check("abcdefg", "F", "A", ["C", "D"])
    assert dsep.check("abcdefg", "G", "C", "E")
    assert dsep.check("abcdefg", "A", "E", ["B", "C"])


def test_moral_graph_loses_52_of_280():
    independences = list(dsep.independencies("abcmost").pairwise())
    moral = dsep.index(markov.moral("abcmost"), compiled=False)
    assert len(independences) == 280
    assert sum(not moral.separated(*s) for s in independences) == 52


def test_one_line():
    assert str(dsep.check(PHARMACY, "M", "F", given=["T"])) == (
        "M and F are dependent given T: M -> I -> T <- F is open at T, an observed collider"
    )
    assert str(dsep.check("A; B", "A", "B")).endswith("no trail connects them")
    below = dsep.check("A -> B <- C; B -> D -> E", "A", "C", "E")
    assert "B, a collider with the observed descendant E" in str(below)


@pytest.mark.parametrize("given", [None, (), [], "", set()])
def test_given_nothing(given):
    if given == "":
        with pytest.raises(UnknownNode, match="given"):
            dsep.check(PHARMACY, "M", "F", given)
    else:
        assert dsep.check(PHARMACY, "M", "F", given)


def test_iterables_and_other_names():
    g = nx.DiGraph([(1, 2), (2, 3), ("ä b", 3), ((0, 2), 1)])
    assert dsep.check(g, 1, 3, 2)
    assert dsep.check(g, iter([1]), (v for v in [3]), {2: "key"})
    assert not dsep.check(g, (0, 2), 3)
    assert dsep.check(g, (0, 2), "ä b")


@pytest.mark.parametrize(
    ("x", "y", "given", "message"),
    [
        ("M", "FF", (), "as y; got 'FF'; did you mean 'F'"),
        ("m", "F", (), "as x; got 'm'; did you mean 'M'"),
        ("M", "F", ["T", "X"], "as given; got 'X'"),
        ("M", "M", (), "different nodes as x and y; got M in both"),
        ("M", "F", "M", "x and given without a common node; got M"),
        ("M", "F", ["T", "F"], "y and given without a common node; got F"),
        ([], "F", (), "at least one node as x; got none"),
        ("M", None, (), "at least one node as y; got none"),
        (3, "F", (), "as x; got '3'"),
        (["M", ["S"]], "F", (), "node names as x; got unhashable type: 'list'"),
        ("M", "F", np.array("T"), "node names as given"),
        ("M, S", "F", (), r"did you mean \['M', 'S'\]"),
        (b"M", "F", (), "as x"),
    ],
)
def test_bad_queries_say_what_came(x, y, given, message):
    with pytest.raises(GraphError, match=message):
        dsep.check(PHARMACY, x, y, given)


def test_same_name_of_another_type():
    with pytest.raises(UnknownNode, match="of another type"):
        dsep.check(nx.DiGraph([(1, 2)]), "1", 2)


def test_a_tuple_that_is_a_node_of_nodes_is_not_guessed():
    g = nx.DiGraph([(1, 3), ((1, 2), 4), (2, 4)])
    with pytest.raises(GraphError, match=r"write \[\(1, 2\)\] or \[1, 2\]"):
        dsep.check(g, (1, 2), 3)
    assert dsep.check(g, [(1, 2)], 3)
    assert not dsep.check(g, [1, 2], 3)


def test_cycles_and_loops_are_shown():
    for cyclic in (nx.DiGraph(["ab", "bc", "ca"]), "a -> b -> c -> a"):
        with pytest.raises(GraphError, match="a -> b -> c -> a"):
            dsep.check(cyclic, "a", "b")
    for loop in (nx.DiGraph([("a", "a"), ("a", "b")]), nx.Graph([("a", "a"), ("a", "b")])):
        with pytest.raises(GraphError, match="self-loop; got a -"):
            dsep.check(loop, "a", "b")


def test_changed_graph_is_noticed():
    g = nx.DiGraph(["ab"])
    verdict = dsep.check(g, "a", "b")
    g.remove_edge("a", "b")
    with pytest.raises(GraphError, match="changed"):
        str(verdict)
    verdict = dsep.check(g, "a", "b")
    g.remove_node("b")
    with pytest.raises(GraphError, match="changed"):
        str(verdict)
    kept = dsep.index(nx.DiGraph(["ab"]), compiled=False)
    assert not dsep.check(kept, "a", "b")


def test_ten_thousand_nodes():
    chain = nx.path_graph(10_000, create_using=nx.DiGraph)
    started = time.perf_counter()
    verdict = dsep.check(chain, 0, 9_999)
    assert len(verdict.trails) == 1
    assert len(verdict.trails[0].nodes) == 10_000
    assert len(str(verdict)) < 300
    assert time.perf_counter() - started < 20


def test_the_shortest_of_very_many_long_trails():
    ladder = nx.ladder_graph(5_000)
    trails = dsep.check(ladder, 0, 9_999, max_trails=30).trails
    assert [len(trail.nodes) for trail in trails] == [5_001] * 30
    assert len({trail.nodes for trail in trails}) == 30
    assert not trails.complete


def test_the_limit_is_stated():
    dense = nx.DiGraph((i, j) for i in range(14) for j in range(i + 1, 14))
    verdict = dsep.check(dense, 0, 13, max_trails=20)
    assert not verdict.trails.complete
    assert len(verdict.trails) == 20
    assert "the 20 shortest trails; there are more" in str(verdict.trails)


def test_names_are_text_everywhere():
    evil = "<script>&\x1b[31m$x_1$[red]"
    verdict = dsep.check(nx.DiGraph([(evil, "b")]), evil, "b")
    html = verdict._repr_html_()
    assert "<script>" not in html
    assert "\x1b" not in html + str(verdict) + verdict.latex()
    assert r"\$x\_1\$" in verdict.latex()


def test_import_is_light():
    code = (
        "import sys; from probgen import dsep, graph, markov; dsep.check('A -> B', 'A', 'B');"
        "print(sorted({'torch', 'pyro', 'pgmpy', 'matplotlib', 'numba'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_example_runs(tmp_path):
    script = Path(__file__).parents[2] / "examples" / "independence.py"
    out = subprocess.run(
        [sys.executable, script, "--quick", "--out", tmp_path],
        capture_output=True, text=True, check=True, cwd=script.parents[1],
        env={**os.environ, "PYTHONPATH": str(script.parents[1])},
    )  # fmt: skip
    assert out.stdout.count("WRONG") == 5
    assert "of 280 independences the moral graph loses 52" in out.stdout
    assert (tmp_path / "abcmost.svg").read_text().startswith("<svg")
