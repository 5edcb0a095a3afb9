"""Lists of edges: bnlearn's arcs, Gephi's tables, lines of two names."""

import networkx as nx
import pytest

from probgen import graph
from probgen.reasoning.graph import GraphError

ARCS = {("A", "B"), ("C d", "B")}


@pytest.mark.parametrize(
    "text",
    [
        "from,to\nA,B\nC d,B\n",
        '"","from","to"\n"1","A","B"\n"2","C d","B"\n',
        "from;to\nA;B\nC d;B",
        "from\tto\r\nA\tB\r\n\r\nC d\tB\r\n",
        "Parent,Child,weight\nA,B,1.5\nC d,B,2",
        "cause,effect\n A , B \n\"C d\",B",
        "source,target,type\nA,B,Directed\nC d,B,directed",
        "to,from\nB,A\nB,C d",
        "# a comment\nfrom,to\nA,B\n# another\nC d,B",
    ],
)  # fmt: skip
def test_arrows(tmp_path, text):
    path = tmp_path / "x.CSV"
    path.write_bytes(text.encode())
    assert set(graph.load(path).edges) == ARCS
    if ";" not in text and not text.startswith("#"):
        assert set(graph.load(text).edges) == ARCS


def test_every_edge_in_both_directions_is_undirected(tmp_path):
    g = graph.load("from,to\nA,B\nB,A\nB,C\nC,B\nD,\n")
    assert not g.is_directed()
    assert set(g) == set("ABCD")
    assert not graph.load("Source,Target,Type\nA,B,Undirected\nB,C,Undirected").is_directed()


@pytest.mark.parametrize(
    "text", ["A B\nB C\n", "A,B\nB,C\n", "A\tB\t1.5\nB\tC\t2\n", "A B {}\nB C {}"]
)
def test_the_direction_has_to_be_said(tmp_path, text):
    path = tmp_path / "x.edgelist"
    path.write_text(text)
    with pytest.raises(GraphError, match="directed=True or directed=False"):
        graph.load(path)
    assert list(graph.load(path, directed=True).edges) == [("A", "B"), ("B", "C")]
    assert type(graph.load(path, directed=False)) is nx.Graph
    with pytest.raises(GraphError, match="direction of the edges"):
        graph.load("source,target\nA,B\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("from,to\nA\n", "line 2: expected two names; got 'A'"),
        ("from,to\n,B\n", "line 2: expected two names"),
        ("from,to\nA,B\nB,A\nB,C\n", "A - B in both directions beside directed ones"),
        ("from,to\nA,B\nB,A\nB,C\nC,B", ""),
        ("from,to\nA,B\nB,C\nC,A\n", "a cycle A -> B -> C -> A"),
        (
            "from,to,strength,direction\nA,B,0.9,0.5\nB,A,0.9,0.5\n",
            "strengths, a row",
        ),
        ("source,target,type\nA,B,Directed\nB,C,Undirected", "got directed and undirected"),
        ("", "empty"),
        ("A B C D\n", "line 1: expected two names"),
        ("A,B,C\n", "a table of edges has a header"),
        ("A\n", "line 1: expected two names"),
    ],
)
def test_bad_tables(tmp_path, text, message):
    path = tmp_path / "x.csv"
    path.write_text(text)
    if not message:
        assert not graph.load(path).is_directed()
        return
    with pytest.raises(GraphError, match=message):
        graph.load(path, directed=None if "from" in text or "source" in text else True)


def test_direction_of_other_formats_is_their_own(tmp_path):
    graph.save("asia", tmp_path / "x.bif")
    for source in (tmp_path / "x.bif", "asia", nx.DiGraph()):
        with pytest.raises(GraphError, match="directed= only"):
            graph.load(source, directed=True)


def test_names_of_lists_stay_text():
    assert list(graph.load("from,to\n1,02\n")) == ["1", "02"]
