"""Posteriors, interventions and explanations against the enumerated joint."""

import re
from itertools import product
from math import log
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import (
    ask_pgmpy,
    assert_same,
    brute,
    common,
    draw_evidence,
    gibbs,
    joint_of,
    misconception,
    networks,
    sampled_evidence,
)
from shared_data import bif_files

from probgen import exact, graph
from probgen.exact import ExactError, ImpossibleEvidence, TooCostly
from probgen.reasoning.graph import GraphError, UnknownNode


@common
@given(networks | gibbs, st.data())
def test_posteriors_are_those_of_the_enumerated_joint(g, data):
    evidence = draw_evidence(data, g)
    total, expected = brute(g, evidence)
    z = brute(g, {})[0]
    assert exact.log_partition(g) == pytest.approx(log(z), abs=1e-12)
    assert exact.probability(g, evidence) == pytest.approx(total / z, abs=1e-12)
    if total:
        assert_same(exact.marginals(g, evidence), expected)
    else:
        with pytest.raises(ImpossibleEvidence, match="probability zero"):
            exact.marginals(g, evidence)


@common
@given(networks, st.data())
def test_interventions_are_those_of_the_mutilated_network(g, data):
    do = draw_evidence(data, g, 2)
    evidence = {v: s for v, s in draw_evidence(data, g).items() if v not in do}
    total, expected = brute(g, evidence, do)
    cut = nx.DiGraph(g)
    for v, state in do.items():
        cut.remove_edges_from(list(cut.in_edges(v)))
        states = cut.nodes[v]["states"]
        cut.nodes[v].update(parents=(), table=np.array([float(s == state) for s in states]))
    assert exact.probability(g, evidence, do=do) == pytest.approx(total, abs=1e-12)
    if total:
        assert_same(exact.marginals(g, evidence, do=do), expected)
        assert_same(exact.marginals(cut, evidence), expected)


@common
@given(networks | gibbs, st.data())
def test_joint_tables(g, data):
    evidence = draw_evidence(data, g, 2)
    asked = [v for v in data.draw(st.permutations(sorted(g))) if v not in evidence][:3]
    total = brute(g, evidence)[0]
    if not total or not asked:
        return
    table = exact.query(g, asked, evidence)
    for states in product(*table.states):
        key = states if len(states) > 1 else states[0]
        both = brute(g, {**evidence, **dict(zip(asked, states, strict=True))})[0]
        assert table[key] == pytest.approx(both / total, abs=1e-12)
    rows = exact.query(g, asked, [evidence] * 3).values
    assert rows[2] == pytest.approx(table.values, abs=1e-12)


@common
@given(networks | gibbs, st.data())
def test_the_explanation_is_the_greatest_of_the_joint(g, data):
    evidence = draw_evidence(data, g)
    rows = [(x, w) for x, w in joint_of(g) if all(x[v] == s for v, s in evidence.items())]
    total, greatest = sum(w for _, w in rows), max(w for _, w in rows)
    if not total:
        with pytest.raises(ImpossibleEvidence):
            exact.map(g, evidence)
        return
    best = exact.map(g, evidence)
    assert dict(rows_weight(rows))[tuple(best.states[v] for v in g)] == pytest.approx(greatest)
    assert best.probability == pytest.approx(greatest / total)
    assert best.log_joint == pytest.approx(log(greatest))
    equal = [x for x, w in rows if w >= greatest * (1 - 1e-10)]
    for v in g:
        assert set(best.ties.get(v, [best.states[v]])) == {x[v] for x in equal}


def rows_weight(rows):
    return ((tuple(x.values()), w) for x, w in rows)


def test_ties_are_stated():
    coin = nx.DiGraph()
    coin.add_node("A", states=("heads", "tails"), parents=(), table=np.array([0.5, 0.5]))
    assert exact.map(coin).ties == {"A": ("heads", "tails")}


REAL = bif_files()
SMALL = [p for p in REAL if not {"link", "munin1", "pigs"} & set(str(p).split("/")[-1].split("."))]


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("name", ["pharmacy", "student", *SMALL], ids=lambda p: str(p)[-20:])
def test_posteriors_are_pgmpys(name):
    g = graph.load(name)
    evidence = sampled_evidence(g, min(4, len(g) // 2))
    found = exact.marginals(g, evidence)
    for v, row in ask_pgmpy(g, evidence, [v for v in g if v not in evidence]):
        assert found[v] == pytest.approx(row, abs=1e-10)


def nothing():
    return nx.Graph([("A", "B")], factors=[(("A", "B"), np.zeros((2, 2)))])


@pytest.mark.parametrize(
    ("question", "error", "match"),
    [
        (lambda: exact.marginals("A -> B"), ExactError, "a table at every node; got none at A"),
        (lambda: exact.marginals("A -> B -> A"), GraphError, "cycle"),
        (lambda: exact.marginals("A - B"), ExactError, "potentials in graph.graph"),
        (lambda: exact.marginals("asia", {"smok": "yes"}), UnknownNode, "did you mean 'smoke'"),
        (lambda: exact.marginals("asia", {"smoke": "yess"}), ExactError, "did you mean 'yes'"),
        (lambda: exact.marginals("asia", {"smoke": 1}), ExactError, "by name: did you mean 'no'"),
        (lambda: exact.marginals("asia", {"smoke": ["yes"]}), ExactError, "a state of smoke"),
        (lambda: exact.marginals("asia", [{"smoke": "yess"}]), ExactError, "did you mean 'yes'"),
        (lambda: exact.marginals("asia", do={"smoke": "maybe"}), ExactError, "a state of smoke"),
        (lambda: exact.marginals("asia", do={"smok": "yes"}), UnknownNode, "did you mean 'smoke'"),
        (
            lambda: exact.marginals("asia", {"smoke": "yes"}, do={"smoke": "yes"}),
            ExactError,
            "smoke either observed or set",
        ),
        (lambda: exact.marginals(misconception(), do={"A": "no"}), ExactError, "no causes"),
        (lambda: exact.marginals("asia", "smoke"), ExactError, "expected evidence"),
        (
            lambda: exact.marginals("asia", {"tub": "yes", "either": "no"}),
            ImpossibleEvidence,
            "probability zero: tub = yes, either = no",
        ),
        (lambda: exact.query("asia", ["lung"], {"lung": "no"}), ExactError, "lung in both"),
        (lambda: exact.query("asia", "lung"), ExactError, "list of different nodes"),
        (lambda: exact.query("asia", ["lung", "lung"]), ExactError, "list of different nodes"),
        (lambda: exact.marginals(nothing()), ImpossibleEvidence, "got Z = 0"),
        (lambda: exact.log_partition(nothing()), ExactError, "got Z = 0"),
        (lambda: exact.query("asia", []), ExactError, "list of different nodes"),
        (lambda: exact.map("asia", [{"lung": "no"}]), ExactError, "once per row"),
        (lambda: exact.sample("asia", -1), ExactError, "at least 0 rows"),
        (
            lambda: exact.marginals("asia", max_bytes=10),
            TooCostly,
            "at most 10 bytes; got width 2",
        ),
        (lambda: exact.fit("asia", []), ExactError, "at least one row"),
        (lambda: exact.fit("asia", [{}], method="sgd"), ExactError, "'em' or 'gradient'"),
        (lambda: exact.fit(misconception(), [{}]), ExactError, "directed"),
        (lambda: exact.fit("A -> B", [{"A": 1}]), ExactError, "states of B"),
        (lambda: exact.marginalise("asia", "nobody"), UnknownNode, "a node to sum out"),
        (lambda: exact.same_distribution("asia", "student"), ExactError, "same nodes"),
    ],
)
def test_bad_questions_are_refused(question, error, match):
    with pytest.raises(error, match=match):
        question()


def test_the_document_runs():
    text = (Path(__file__).parents[2] / "docs" / "exact.md").read_text()
    names = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, "exact.md", "exec"), names)
    assert names["fitted"].log_likelihood[-1] < 0
