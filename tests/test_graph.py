import gzip
import shutil
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from random_graphs import dags, graphs
from shared_data import bif_files

from probgen import dsep, graph
from probgen.reasoning.graph import GraphError

EDGES = {("M", "I"), ("S", "I"), ("I", "T"), ("F", "T"), ("I", "D"), ("T", "D")}
REPOSITORY = Path(__file__).parents[1]


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


def test_matrices():
    pandas = pytest.importorskip("pandas")
    matrix = [[0, 1, 1], [0, 0, 1], [0, 0, 0]]
    assert set(graph.load(matrix).edges) == {(0, 1), (0, 2), (1, 2)}
    assert set(graph.load(np.array(matrix, bool), names="abc").edges) == set(
        map(tuple, ["ab", "ac", "bc"])
    )
    frame = pandas.DataFrame(matrix, index=list("xyz"), columns=list("xyz"))
    assert set(graph.load(frame).edges) == set(map(tuple, ["xy", "xz", "yz"]))
    assert not graph.load(np.array(matrix) + np.array(matrix).T).is_directed()
    assert not graph.load(np.zeros((2, 2))).edges


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
        ("A⇒B; C", "line 1: expected a name or an arrow; got '⇒'"),
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


@pytest.mark.parametrize(
    ("source", "names", "message"),
    [
        ([[0, 1], [0, 0]], ["a", "a"], "2 different names"),
        ([[0, 1], [0, 0]], "abc", "2 different names for the matrix; got 3"),
        ([[0, 1], [0, 0]], 3, "2 names for the matrix"),
        ([[0, 1], [0, 0]], [["a"], ["b"]], "2 names for the matrix; got unhashable"),
        ("A -> B", ["X", "Y"], "names only with a matrix; got them with a str"),
        (nx.DiGraph([(0, 1)]), ["X", "Y"], "use networkx.relabel_nodes"),
    ],
)
def test_names_have_to_fit_a_matrix(source, names, message):
    with pytest.raises(GraphError, match=message):
        graph.load(source, names=names)


@settings(deadline=None, max_examples=100)
@given(dags() | graphs())
def test_dot_and_matrix_round_trip(g):
    back = graph.load(graph.dot(g))
    assert list(back) == list(g)
    assert nx.utils.graphs_equal(nx.DiGraph(g.edges), nx.DiGraph(back.edges))
    matrix = nx.to_numpy_array(g)
    if g.edges:
        assert nx.utils.edges_equal(graph.load(matrix, names=list(g)).edges, g.edges)


def test_dot_keeps_evil_names_and_labels():
    g = nx.DiGraph([('say "hi"', "a\nb"), ("a\nb", "c:\\d"), ("<x>", "c:\\d")])
    g.nodes["<x>"]["label"] = "l"
    back = graph.load(graph.dot(g))
    assert set(back.edges) == set(g.edges)
    assert back.nodes["<x>"]["label"] == "l"
    with pytest.raises(GraphError, match="backslash"):
        graph.dot(nx.DiGraph([("back\\", 1)]))
    with pytest.raises(GraphError, match="two nodes of one name"):
        graph.dot(nx.DiGraph([("1", 1)]))


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


BIF = """network test {{ property author = "x"; }}
variable A {{ type discrete [ 2 ] {{ yes, no }}; property label = "the first"; }}
variable B {{ type discrete [ 3 ] {{ <1, 1-2, other state }}; }} // {{
probability ( A ) {{ table 0.2, 0.8; }}
probability ( B | A ) {{ {rows} }}
"""
ROWS = "(yes) 0.1, 0.2, 0.7; (no) 0.3, 0.3, 0.4;"


def bif(tmp_path, text, name="x.bif"):
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    return path


@pytest.mark.parametrize(
    "rows",
    [ROWS, "(no) 0.3 0.3 0.4; default 0.1, 0.2, 0.7;", "table 0.1, 0.3, 0.2, 0.3, 0.7, 0.4;"],
)
def test_bif(tmp_path, rows):
    loaded = graph.load(bif(tmp_path, BIF.format(rows=rows), "x.bif.gz"))
    data = loaded.nodes["B"]
    assert data["states"] == ("<1", "1-2", "other state")
    assert data["parents"] == ("A",)
    assert data["table"].dtype == np.float64
    np.testing.assert_array_equal(data["table"], [[0.1, 0.2, 0.7], [0.3, 0.3, 0.4]])
    assert loaded.nodes["A"]["label"] == "the first"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("(no) 0.3", "(maybe) 0.3", "line 5: unknown state 'maybe'"),
        ("(no) 0.3", "(yes) 0.3", "each row once"),
        ("(no) 0.3, 0.3, 0.4;", "", "got no row as row 2 of 2"),
        ("0.3, 0.3, 0.4", "0.3, 0.3", "expected 3 numbers; got 2"),
        ("0.3, 0.3, 0.4", "0.3, 0.3, x", "expected numbers"),
        ("0.3, 0.3, 0.4", "0.3, 0.3, 0.40001", "sum 1.00001"),
        ("0.3, 0.3, 0.4", "-0.3, 0.9, 0.4", "at least 0"),
        ("0.3, 0.3, 0.4", "nan, 0.3, 0.4", "row"),
        ("0.3, 0.3, 0.4", "inf, 0.3, 0.4", "sum inf"),
        ("0.3, 0.3, 0.4", "inf, -inf, 0.4", "sum nan"),
        ("0.3, 0.3, 0.4", "0.3, 0.3, 0_.4", "expected numbers"),
        ("| A )", "| C )", "declared variable; got 'C'"),
        ("| A )", "| B )", "each parent once"),
        ("| A )", "| A, A )", "each parent once"),
        ("variable B", "variable A", "got 'A' twice"),
        ("[ 3 ]", "[ 4 ]", "expected 4 different states of B"),
        ("{ yes, no }", "{ yes, yes }", "expected 2 different states of A"),
        ("[ 2 ] { yes, no }", "[ 0 ] { }", "expected 1 different states of A"),
        ("probability ( A ) { table 0.2, 0.8; }", "", "got none for 'A'"),
        ("( B | A )", "( A )", "one table for A"),
        ("network test", "net test", "line 1: expected network, variable or probability"),
        ("// {", "/* {", "line 3: expected */ after the last"),
        ("type discrete [ 2 ]", "type continuous [ 2 ]", "line 2: expected type discrete"),
    ],
)
def test_bad_bif_names_line_and_token(tmp_path, old, new, message):
    text = BIF.format(rows=ROWS)
    assert old in text
    with pytest.raises(GraphError, match=message.replace("[", r"\[").replace("*", r"\*")) as error:
        graph.load(bif(tmp_path, text.replace(old, new, 1)))
    assert "x.bif" in str(error.value)


def test_tables_that_are_too_large_are_refused_with_their_size(tmp_path):
    states = ", ".join(f"s{i}" for i in range(1000))
    variables = "".join(
        f"variable V{i} {{ type discrete [ 1000 ] {{ {states} }}; }}\n" for i in range(3)
    )
    uniform = ", ".join(["0.001"] * 1000)
    text = variables + f"probability ( V0 | V1, V2 ) {{ default {uniform}; }}"
    with pytest.raises(GraphError, match="4,194,304 table entries; got 1,000,000,000"):
        graph.load(bif(tmp_path, text))


def test_bombs_are_refused_with_their_size(tmp_path):
    path = bif(tmp_path, " " * 100_000_000, "bomb.bif.gz")
    size = path.stat().st_size
    with pytest.raises(GraphError, match=f"expected {size:,} gzipped bytes to unpack to at most"):
        graph.load(path)
    wide = " ".join(f"n{i}" for i in range(5000))
    with pytest.raises(GraphError, match="at most 100,000 edges"):
        graph.load(f"digraph {{ {{{wide}}} -> {{ m0 {wide.replace('n', 'm')} }} }}")


@pytest.mark.parametrize("data", [b"", b"\x1f\x8b", b"\x1f\x8b\x08\x00abc", b"\xff\xfe"])
def test_broken_files(tmp_path, data):
    for name in ("x.bif.gz", "x.bif", "x.dot"):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(GraphError, match=name):
            graph.load(tmp_path / name)


@pytest.mark.parametrize("path", bif_files(), ids=lambda p: p.name)
def test_bif_reader_equals_pgmpy(path):
    pytest.importorskip("pgmpy")
    from pgmpy.readwrite import BIFReader

    theirs = BIFReader(string=gzip.open(path, "rt").read()).get_model()
    assert_same(graph.load(path), theirs)


def assert_same(ours, theirs):
    assert set(ours) == set(theirs.nodes)
    assert set(ours.edges) == set(theirs.edges)
    for table in theirs.get_cpds():
        data = ours.nodes[table.variable]
        assert list(data["parents"]) == table.variables[1:]
        assert list(data["states"]) == table.state_names[table.variable]
        np.testing.assert_array_equal(data["table"], np.moveaxis(table.values, 0, -1))


@pytest.mark.parametrize("name", ["pharmacy", "student", "asia"])
def test_pgmpy_and_back(name):
    pytest.importorskip("pgmpy")
    ours = graph.load(name)
    theirs = graph.to_pgmpy(name)
    assert theirs.check_model()
    assert_same(ours, theirs)
    assert_same(graph.load(theirs), theirs)
    assert dsep.check(theirs, *list(dsep.independencies(ours).local)[0])


def test_pgmpy_markov_network():
    pytest.importorskip("pgmpy")
    g = graph.load("misconception")
    with pytest.raises(GraphError, match="expected factors"):
        graph.to_pgmpy(g)
    rng = np.random.default_rng(0)
    g.graph["factors"] = [(edge, rng.uniform(size=(2, 2))) for edge in g.edges]
    theirs = graph.to_pgmpy(g)
    assert theirs.check_model()
    back = graph.load(theirs)
    assert not back.is_directed()
    for (names, ours), (same, values) in zip(
        g.graph["factors"], back.graph["factors"], strict=True
    ):
        assert tuple(names) == tuple(same)
        np.testing.assert_array_equal(ours, values)


def test_pgmpy_without_tables():
    pytest.importorskip("pgmpy")
    from pgmpy.base import PDAG

    with pytest.raises(GraphError, match="table at every node; got none at A"):
        graph.to_pgmpy("A -> B")
    with pytest.raises(GraphError, match="PDAG"):
        graph.load(PDAG(directed_ebunch=[("A", "B")], undirected_ebunch=[("B", "C")]))


def test_plots(tmp_path):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    from probgen import markov

    g = nx.gnp_random_graph(30, 0.08, seed=0, directed=True)
    g = nx.DiGraph((u, v) for u, v in g.edges if u < v)
    verdict = dsep.check("pharmacy", "M", "F", "T")
    axes = [
        graph.plot("pharmacy", given="T", path=verdict.open_trail),
        graph.plot("abcdefg", path=["A", "B"]),
        graph.plot(g),
        graph.plot(markov.cpdag("abcmost")),
        graph.plot("A; B"),
        verdict.plot(),
    ]
    assert len(axes[0].texts) == 6
    axes[0].figure.savefig(tmp_path / "x.png")
    pyplot.close("all")
    with pytest.raises(GraphError, match="as given; got 'Q'"):
        graph.plot("pharmacy", given="Q")
    with pytest.raises(GraphError, match="got M, D, which no edge joins"):
        graph.plot("pharmacy", path=["M", "I", "M", "D"])
    for path in ("MIT", 3):
        with pytest.raises(GraphError, match=f"as path; got '{path}'"):
            graph.plot("pharmacy", path=path)


def test_layers_make_edges_short():
    from probgen.reasoning import layout

    g = graph.load("A -> B -> C -> D -> E; X -> Y -> E; X -> Z; Q")
    places = layout.layout(g, dict.fromkeys(g, 36.0)).centres
    spans = [(places[v][1] - places[u][1]) / layout.LAYER for u, v in g.edges]
    assert spans == [1.0] * len(spans)


def test_nodes_of_undirected_drawings_do_not_overlap():
    from probgen import markov
    from probgen.reasoning import drawing

    names = {i: "a rather long name"[: 2 + i % 17] + str(i) for i in range(40)}
    g = nx.relabel_nodes(nx.gnp_random_graph(40, 0.1, seed=0), names)
    tree = markov.junction_tree("asia")
    for drawn in map(drawing.picture, (g, tree)):
        for (a, (x0, y0)), (b, (x1, y1)) in combinations(drawn.layout.centres.items(), 2):
            apart = (drawn.widths[a] + drawn.widths[b]) / 2
            assert abs(x1 - x0) >= apart or abs(y1 - y0) >= drawing.HEIGHT
    assert "{bronc, either, lung}" in drawing.svg(drawing.picture(tree))


def test_layers_point_down_and_nodes_do_not_overlap():
    from probgen.reasoning import drawing

    for path in [p for p in bif_files() if isinstance(p, Path)][:4]:
        g = graph.load(path)
        drawn = drawing.picture(g)
        centres = drawn.layout.centres
        assert all(centres[u][1] < centres[v][1] for u, v in g.edges)
        rows = {}
        for v, (x, y) in centres.items():
            rows.setdefault(y, []).append((x, drawn.widths[v]))
        for row in rows.values():
            row.sort()
            for (x0, w0), (x1, w1) in zip(row, row[1:], strict=False):
                assert x1 - x0 >= (w0 + w1) / 2
