"""Networks and evidence in UAI; the order in which other programs write tables."""

import networkx as nx
import numpy as np
import pytest

from probgen import exact, graph
from probgen.reasoning.graph import GraphError

BAYES = """BAYES
3
2 2 3
3
1 0
2 0 1
3 1 0 2

2
 0.25 0.75

4
 0.5 0.5
 0.1 0.9

12
 0.1 0.2 0.7
 0.3 0.3 0.4
 0.5 0.25 0.25
 0.0 0.0 1.0
"""
MARKOV = """MARKOV
3
2 2 3
2
2 0 1
2 1 2

4
4.0 1 0 .5
6
0.21 0.333 0.456 0.811 0.7 0.01
"""


def test_bayes():
    g = graph.load(BAYES)
    assert set(g.edges) == {(0, 1), (0, 2), (1, 2)}
    assert g.nodes[2]["parents"] == (1, 0)
    assert g.nodes[2]["states"] == (0, 1, 2)
    np.testing.assert_array_equal(
        g.nodes[2]["table"], [[[0.1, 0.2, 0.7], [0.3, 0.3, 0.4]], [[0.5, 0.25, 0.25], [0, 0, 1]]]
    )


def test_markov():
    g = graph.load(MARKOV)
    assert not g.is_directed()
    assert set(g.edges) == {(0, 1), (1, 2)}
    assert g.graph["factors"][1][0] == (1, 2)
    np.testing.assert_array_equal(
        g.graph["factors"][1][1], [[0.21, 0.333, 0.456], [0.811, 0.7, 0.01]]
    )
    z = sum(
        [4, 1, 0, 0.5][2 * a + b] * [0.21, 0.333, 0.456, 0.811, 0.7, 0.01][3 * b + c]
        for a in range(2)
        for b in range(2)
        for c in range(3)
    )
    assert exact.log_partition(g) == pytest.approx(np.log(z), abs=1e-15)


def test_names(tmp_path):
    (tmp_path / "x.UAI").write_text(BAYES)
    g = graph.load(tmp_path / "x.UAI", names=["A", "B", "C"])
    assert g.nodes["C"]["parents"] == ("B", "A")
    assert graph.load(MARKOV, names="abc").graph["factors"][1][0] == ("b", "c")
    for names in (["A"], ["A", "A", "B"]):
        with pytest.raises(GraphError, match="3 different names"):
            graph.load(tmp_path / "x.UAI", names=names)
    with pytest.raises(GraphError, match="names only with a matrix"):
        graph.load("asia", names=list("abcdefgh"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("BAYES\n3", "BAYES\n0", "variables from 1"),
        ("2 2 3", "2 2 0", "states from 1 to 65,536; got '0'"),
        ("2 2 3", "2 2 99999999999999999999", "states"),
        ("3 1 0 2", "3 1 0 3", "a variable from 0 to 2; got '3'"),
        ("3 1 0 2", "3 1 1 2", "each parent once"),
        ("1 0\n", "1 1\n", "one table for 1"),
        ("12\n", "11\n", "expected 12 entries in the table of .1, 0, 2.; got 11"),
        ("0.5 0.5", "0.5 0.6", "row of 1"),
        ("0.5 0.5", "0.5 x", "expected numbers; could not convert"),
        ("0.0 0.0 1.0\n", "0.0 0.0", "the end"),
        ("0.0 0.0 1.0\n", "0.0 0.0 1.0 7", "expected the end; got '7'"),
        ("BAYES\n3\n2 2 3\n3\n1 0\n2 0 1\n", "BAYES\n3\n2 2 3\n2\n2 0 1\n", "entries|table"),
        ("1 0\n", "1 0  # A\n", "pyAgrum"),
    ],
)
def test_bad_files(tmp_path, old, new, message):
    assert old in BAYES
    (tmp_path / "x.uai").write_text(BAYES.replace(old, new, 1))
    with pytest.raises(GraphError, match=message):
        graph.load(tmp_path / "x.uai")


def test_large_numbers_are_refused_before_they_take_memory():
    with pytest.raises(GraphError, match="states|table entries"):
        graph.load("MARKOV 3 60000 60000 60000 1 3 0 1 2 216000000000000 1")
    with pytest.raises(GraphError, match="variables"):
        graph.load("BAYES 4000000000 2")


def test_comments():
    """pyAgrum writes them, and the first parent fastest: only where there are two it counts."""
    one = BAYES.replace("3 1 0 2", "2 1 2  # C").replace("12\n", "6\n")
    one = one.replace(" 0.5 0.25 0.25\n 0.0 0.0 1.0\n", "")
    assert graph.load(one).nodes[2]["table"].tolist() == [[0.1, 0.2, 0.7], [0.3, 0.3, 0.4]]
    with pytest.raises(GraphError, match="last parent fastest; got comments"):
        graph.load(BAYES.replace("3 1 0 2", "3 1 0 2  # C"))
    factors = graph.load(MARKOV.replace("2 0 1", "2 1 0  # A, B")).graph["factors"]
    assert factors[0][1].tolist() == [[4, 1], [0, 0.5]]


def test_what_pgmpy_writes_is_refused():
    """pgmpy has the node's states slowest, against the format: no row sums to 1."""
    text = "BAYES 2 2 2 2 1 0 2 0 1 2 0.2 0.8 4 0.9 0.5 0.1 0.5"
    with pytest.raises(GraphError, match="the file has the states of 1 slowest"):
        graph.load(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1\n2 0 1 2 2", [{"A": 1, "C": 2}]),
        ("2 0 1 2 2", [{"A": 1, "C": 2}]),
        ("2\n0 1\n2 2", [{"A": 1, "C": 2}]),
        ("2\n1 0 1\n1 2 0\n", [{"A": 1}, {"C": 0}]),
        ("2\n0\n1 2 0\n", [{}, {"C": 0}]),
        ("0", [{}]),
        ("1\n0", [{}]),
    ],
)
def test_evidence(tmp_path, text, expected):
    path = tmp_path / "x.uai.evid"
    path.write_text(text)
    g = graph.load(BAYES, names=["A", "B", "C"])
    assert graph.evidence(path, g) == expected
    for row in expected:
        assert exact.probability(g, row) > 0


@pytest.mark.parametrize(
    "text", ["", "1\n1 3 0", "1\n1 2 3", "1\n2 0 0 0 1", "2\n1 0 1", "1 1 0 1 5"]
)
def test_bad_evidence(tmp_path, text):
    (tmp_path / "x.evid").write_text(text)
    with pytest.raises(GraphError, match="x.evid|expected"):
        graph.evidence(tmp_path / "x.evid", BAYES)


def test_a_pair_without_a_scope_is_an_isolated_node():
    g = graph.load("MARKOV 2 2 2 1 1 0 2 1 3")
    assert list(g) == [0, 1]
    assert exact.marginals(g)[1] == {0: 0.5, 1: 0.5}
    assert isinstance(g, nx.Graph)
