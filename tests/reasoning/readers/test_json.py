"""Node-link JSON, ours and networkx's."""

import json

import networkx as nx
import numpy as np
import pytest

from probgen import graph
from probgen.reasoning.graph import GraphError

NET = {
    "directed": True,
    "nodes": [
        {"id": "A", "states": ["a", "b"], "table": [0.25, 0.75], "label": "first", "pos": [1, 2]},
        {"id": 2, "states": [True, 2], "parents": ["A"], "table": [[0.5, 0.5], [0.1, 0.9]]},
    ],
    "edges": [{"source": "A", "target": 2}],
}


def test_json():
    g = graph.load(json.dumps(NET))
    assert list(g.edges) == [("A", 2)]
    assert g.nodes["A"]["pos"] == (1.0, 2.0)
    assert g.nodes[2]["states"] == (True, 2)
    np.testing.assert_array_equal(g.nodes[2]["table"], [[0.5, 0.5], [0.1, 0.9]])


@pytest.mark.parametrize("edges", ["edges", "links"])
@pytest.mark.parametrize("kind", [nx.DiGraph, nx.Graph, nx.MultiDiGraph])
def test_networkx(edges, kind):
    g = kind([("A", "B"), ("A", 3)])
    back = graph.load(json.dumps(nx.node_link_data(g, edges=edges)))
    assert back.is_directed() == g.is_directed()
    assert list(back.edges) == [("A", "B"), ("A", 3)]


def test_the_direction_has_to_be_said():
    text = json.dumps(
        {k: v for k, v in NET.items() if k == "edges"} | {"nodes": [{"id": "A"}, {"id": 2}]}
    )
    with pytest.raises(GraphError, match="'directed': true or false"):
        graph.load(text)
    assert graph.load(text, directed=True).is_directed()


def changed(**changes):
    data = json.loads(json.dumps(NET))
    data["nodes"][1].update(changes)
    return json.dumps({**data, "nodes": data["nodes"]})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1}', "node-link JSON.*got a"),
        ('{"nodes": 3}', "node-link JSON"),
        ('{"directed": 1, "nodes": []}', "true or false; got 1"),
        ('{"directed": true, "nodes": [3]}', "nodes with 'id'"),
        ('{"directed": true, "nodes": [{"id": [1]}]}', "nodes with 'id'"),
        ('{"directed": true, "nodes": [{"id": 1}, {"id": 1}]}', "new name for a node"),
        ('{"directed": true, "nodes": [], "edges": [{"source": 1, "target": 2}]}', "got '1'"),
        ('{"directed": true, "nodes": [{"id": 1, "states": "ab"}]}', "list of states"),
        ('{"directed": true, "nodes": [{"id": 1, "table": [1, 0]}]}', "declared variable"),
        ('{"directed": true, ', "expected JSON"),
        ('{"a": NaN}', "the number NaN"),
        ('{"a": ' + "[" * 100_000, "too deep"),
        ('{"a": ' + "[" * 3_000_000, "at most 2,097,152 lists"),
        (changed(table=[[0.5, 0.5]]), r"shape \(2, 2\) at 2; got \(1, 2\)"),
        (changed(table=[[0.5, 0.5], [0.5]]), "numbers as the table"),
        (changed(table=[[0.5, 0.5], ["x", 1]]), "numbers as the table"),
        (changed(table=[[0.5, 0.5], [0.5, 0.6]]), "row of 2"),
        (changed(table=[[0.5, 0.5], [-0.5, 1.5]]), "at least 0"),
        (changed(parents=[]), "those of its edges"),
        (changed(parents="A"), "list of parents"),
        (changed(states=["a", "a"]), "different states of 2"),
        (changed(states=[]), "different states of 2"),
        (changed(states=[[1], 2]), "list of states"),
    ],
)  # fmt: skip
def test_bad_files(tmp_path, text, message):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(GraphError, match=message) as error:
        graph.load(tmp_path / "x.json")
    assert len(str(error.value)) < 500


def test_placeholders():
    g = graph.load(changed(table=[[-1, -1], [-1, -1]]))
    assert "table" not in g.nodes[2]


def test_tolerance():
    with pytest.warns(graph.GraphWarning, match="1 tables"):
        g = graph.load(changed(table=[[0.5, 0.5], [0.3333, 0.6666]]), tolerance=1e-3)
    assert g.nodes[2]["table"].sum(1).tolist() == [1, 1]


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ([[["A", "B"], [[1, 2], [3, -4]]]], "at least 0"),
        ([[["A", "C"], [[1, 2], [3, 4]]]], "states of C"),
        ([[["A", "B"], [1, 2]]], r"shape \(2, 2\)"),
        ([3], "pairs of names and values"),
        (3, "pairs of names and values"),
    ],
)
def test_bad_factors(factors, message):
    nodes = [{"id": v, "states": ["a", "b"]} for v in "AB"]
    data = {"directed": False, "nodes": nodes, "graph": {"factors": factors}}
    with pytest.raises(GraphError, match=message):
        graph.load(json.dumps(data | {"edges": [{"source": "A", "target": "B"}]}))
