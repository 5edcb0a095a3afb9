"""`probgen infer`: what is given, and posteriors as a table, JSON and CSV."""

import csv
import io
import json

import networkx as nx
import numpy as np
import pytest

from probgen import exact
from probgen.reasoning import graph


@pytest.fixture
def odd():
    g = nx.DiGraph([("age", "a=b")])
    g.add_node("long" * 20)
    g.nodes["age"].update(states=("<65", ">=65"), parents=(), table=np.array([0.7, 0.3]))
    rows = np.array([[0.9, 0.1], [0.2, 0.8]])
    g.nodes["a=b"].update(states=("x=y", "z"), parents=("age",), table=rows)
    g.nodes["long" * 20].update(
        states=("state" * 12, "b"), parents=(), table=np.array([0.25, 0.75])
    )
    return g


@pytest.fixture
def infer(probgen, monkeypatch, odd):
    """`probgen infer` of the odd network, whatever name it is asked for."""
    monkeypatch.setattr(graph, "load", lambda _: odd)
    return lambda *words: probgen("infer", "odd", *words)


@pytest.mark.parametrize(
    ("given", "evidence"),
    [
        ("age=>=65", {"age": ">=65"}),
        ("age=<65", {"age": "<65"}),
        ("a=b=x=y", {"a=b": "x=y"}),
        ("a=b=z", {"a=b": "z"}),
        ("age=<65:0.5,>=65:2", {"age": {"<65": 0.5, ">=65": 2.0}}),
    ],
)
def test_names_may_hold_equals_signs(infer, odd, given, evidence):
    status, out, err = infer("--given", given, "--json")
    assert status == 0, err
    found = json.loads(out)
    assert found["probability"] == exact.probability(odd, evidence)
    assert found["posteriors"] == exact.marginals(odd, evidence)


def test_interventions_are_read_alike(infer, odd):
    out = infer("a=b", "--do", "age=>=65", "--json")[1]
    assert json.loads(out)["posteriors"]["a=b"] == {"x=y": 0.2, "z": 0.8}


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (("--given", "age=>65"), "a state of age; got '>65'"),
        (("--given", "a=b=w"), "a state of a=b; got 'w'"),
        (("--given", "Age=>=65"), "nodes as evidence; got 'Age=>'"),
        (("--given", "age=<65:0,>=65:0"), "not all 0"),
        (("--given", "age=<65:1"), "for every state of age; got none for >=65"),
        (("--given", "age=<65:one,>=65:0"), "a state of age"),
        (("--do", "age=<65:1,>=65:0"), "a state of age"),
        (("--json", "--csv"), "--json or --csv; got both"),
    ],
)
def test_what_is_refused(infer, words, match):
    status, out, err = infer(*words)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert match in err


def test_two_readings_are_refused(infer, odd):
    odd.add_node("age=", states=("65", "b"), parents=(), table=[0.5, 0.5])
    odd.nodes["age"]["states"] = ("<65", "=65")
    status, _, err = infer("--given", "age==65")
    assert status == 2
    assert "age in state =65 or age= in state 65" in err


def test_no_name_is_cut_in_a_pipe(infer):
    lines = infer()[1].splitlines()
    assert f"{'long' * 20}  {'state' * 12}  0.250000" in lines
    assert lines[0].split() == ["node", "state", "probability"]
    assert len({line.rindex("  ") for line in lines[:-1]}) == 1


def test_wide_letters_keep_the_columns(infer, odd):
    nx.relabel_nodes(odd, {"long" * 20: "年齢"}, copy=False)
    odd.nodes["年齢"]["states"] = ("若い", "b")
    lines = infer("年齢", "age")[1].splitlines()
    assert "年齢  若い   0.250000" in lines
    assert "age   <65    0.700000" in lines


def test_csv_holds_full_precision(infer, odd):
    rows = list(csv.reader(io.StringIO(infer("--given", "a=b=z", "--csv")[1])))
    assert rows[0] == ["node", "state", "probability"]
    found = {(node, state): float(p) for node, state, p in rows[1:]}
    expected = exact.marginals(odd, {"a=b": "z"})
    assert found == {(v, s): p for v, row in expected.items() for s, p in row.items()}
