"""Everything that can be loaded gives the same graph, or says what came."""

import shutil
import subprocess
import sys
from pathlib import Path

import networkx as nx
import pytest

from probgen import graph
from probgen.reasoning.graph import GraphError

EDGES = {("M", "I"), ("S", "I"), ("I", "T"), ("F", "T"), ("I", "D"), ("T", "D")}
REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "source",
    [
        "M -> I <- S; I -> T <- F; I -> D <- T",
        "M->I<-S\nI->T<-F\n\n I -> D <- T;",
        "M → I ← S; I→T←F; I → D <- T",
        "[M][S][F][I|M:S][T|I:F][D|I:T]",
        "dag { M -> I <- S; I -> T <- F\n I -> D <- T }",
        'dag{bb="0,0,1,1" M [pos="0,1"] S F [exposure] M -> I S -> I {I F} -> T {I T} -> D}',
        "digraph x { M -> I; S -> I -> {T D} [color=red]; F:n -> T:s:e; T -> D }",
        "/* c */ strict digraph\n# l\n{ // x\n M->I->T->D I->D; S->I; subgraph s { F } -> T }",
        "pharmacy",
        " pharmacy\n",
    ],
)
def test_every_text_gives_the_same_graph(source):
    loaded = graph.load(source)
    assert isinstance(loaded, nx.DiGraph)
    assert set(loaded.edges) == EDGES


def test_undirected_and_isolated():
    for source in ("A - B; B - C; D", "A -- B -- C; D", "graph { A -- B -- C; D }"):
        loaded = graph.load(source)
        assert not loaded.is_directed()
        assert sorted(map(sorted, loaded.edges)) == [["A", "B"], ["B", "C"]]
        assert set(loaded) == set("ABCD")
    assert list(graph.load("A; B")) == ["A", "B"]


def test_names_are_kept():
    text = '"a b" -> "x;y" <- "say \\"hi\\""; naïve -> x-ray; "A->B" -> 1'
    assert set(graph.load(text)) == {
        "a b", "x;y", 'say "hi"', "naïve", "x-ray", "A->B", "1",
    }  # fmt: skip


def test_networkx_passes_through():
    g = nx.DiGraph([(1, 2)])
    assert graph.load(g) is g
    parallel = nx.MultiDiGraph([(1, 2), (1, 2)])
    assert list(graph.load(parallel).edges) == [(1, 2)]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("A B;", "line 1: expected an arrow or ';' between 'A' and 'B'"),
        ("A -> B\nC -> ;", "line 2: expected a name after ->"),
        ("-> B", "expected a name before ->"),
        ("A -> <- B", "expected a name before <-; got an arrow"),
        ("A -> B, C", "got ','"),
        ("A -> {B C}", "got '{'"),
        ('"A -> B', "line 1"),
        ("A-B; C", "could be an edge or a name"),
        ("A–B; C", "write 'A - B' for edges"),
        ("A↛B; C", "line 1: expected an arrow, ->, <- or -; got '↛'"),
        ("A <-> B", "name the common cause"),
        ("A -> B - C", "undirected B - C beside directed"),
        ("A -> B; B -> A", "cycle A -> B -> A: drop an edge"),
        ("A -> A", "no self-loop; got A -> A"),
        ("A -> B -> C -> A", "A -> B -> C -> A"),
        (";", "empty"),
        ("", "expected a graph"),
        ("farmacy", "did you mean 'pharmacy'"),
        ("nowhere.dot", "nowhere.dot: cannot be read"),
        ("x" * 5000 + ".dot", "cannot be read: File name too long"),
        ("a\0.bif", r"a\\x00.bif: cannot be read: embedded null byte"),
        ("[A][B|C]", "parent 'C' of 'B'"),
        ("[A][A]", "got .A. twice"),
        ("[A][B|]", "expected '.node|parent:parent.'"),
        ("[A] B", "got 'B' outside"),
        ("digraph { a -> b", "line 1: expected a name; got 'the end'"),
        ("digraph { a -- b }", "edges of one kind"),
        ("graph { a -> b }", "edges of one kind"),
        ("digraph {\n a -> b;\n c -> ] }", "line 3: expected a name; got ']'"),
        ("digraph { a [table=1] }", "reserved"),
        ("digraph { a } b", "expected the end"),
        ("digraph { subgraph s a }", "expected .; got 'a'"),
        ("dag { a <-> b }", "common cause"),
        ("pdag { a -- b }", "mixes kinds"),
        ("digraph { " + "{" * 70 + "a" + "}" * 70 + " }", "at most 64 nested"),
        (3, "got int"),
        (None, "got NoneType"),
        ([], "got list"),
        ([("A", "B"), ("B", "C")], "got list: edges go into a networkx.DiGraph first"),
        (b"A -> B", "got bytes"),
        ([[0, 1], [1]], "square matrix"),
        ([[0, 2], [0, 0]], "matrix of 0 and 1"),
        ([[0, float("nan")], [0, 0]], "matrix of 0 and 1"),
        ([[0, 1, 1], [1, 0, 0], [0, 0, 0]], "orient every edge or none"),
        ([[1]], "self-loop"),
        (graph, "the module probgen.reasoning.graph"),
        (Path("x.txt"), "expected a file ending"),
    ],
)
def test_bad_graphs_say_what_came(source, message):
    with pytest.raises(GraphError, match=message.replace("{", r"\{").replace("(", r"\(")):
        graph.load(source)


def test_names_in_the_library_editable_and_in_a_wheel(tmp_path):
    assert {"pharmacy", "abcmost", "abcdefg", "asia"} <= set(graph.names())
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "probgen", tmp_path / "probgen", ignore=skip)
    shutil.copytree(REPOSITORY / "graphs", tmp_path / "probgen" / "_graphs")
    code = "from probgen import graph; print(graph.__file__, graph.load('pharmacy'))"
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert str(tmp_path) in out.stdout
    assert "6 nodes and 6 edges" in out.stdout


def test_every_graph_is_in_the_readme():
    readme = (REPOSITORY / "graphs" / "README.md").read_text()
    assert sorted(graph.names()) == sorted(
        line.split("`")[1] for line in readme.splitlines() if line.startswith("| `")
    )
