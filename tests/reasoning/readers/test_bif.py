"""Networks in .bif: equal to pgmpy's, refused by line and token."""

import gzip

import numpy as np
import pytest
from same_graphs import assert_same
from shared_data import bif_files

from probgen import exact, graph
from probgen.reasoning.graph import GraphError

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
        ("( B | A )", "( )", "got no name"),
        ("( B | A )", "( , )", "expected a declared variable|got no name"),
        ("( B | A )", "( | A )", "declared variable; got ''"),
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


def read(text, **options):
    return graph.load(text, **options)


JAVABAYES = """// Bayesian network in BIF, as JavaBayes has it
network "Toy" { //1
}
variable "X" { //2 values
  type discrete[2] {  "True"  "False" };
  property "position = (54, 35)" ;
}
variable "Y" { //2 values
  type discrete[2] {  "True"  "False" }; property "position = (5.5, -3)" ;
}
variable "Z" {
  property "label = wet (grass)" ;
  type discrete[2] {  "True"  "False" };
}
probability (  "X" ) { //1 variable(s) and 2 values
  table 0.25 0.75 ;
}
probability (  "Y" ) {
  table 0.5 0.5 ;
}
probability ( "Z" "X" "Y" ) { //3 variable(s) and 8 values
  table 0.2 0.4 0.3 0.5 0.8 0.6 0.7 0.5 ;
}
"""


def test_the_dialect_of_javabayes():
    g = read(JAVABAYES)
    assert g.nodes["Z"]["parents"] == ("X", "Y")
    np.testing.assert_array_equal(
        g.nodes["Z"]["table"], [[[0.2, 0.8], [0.4, 0.6]], [[0.3, 0.7], [0.5, 0.5]]]
    )
    assert g.nodes["X"]["states"] == ("True", "False")
    assert g.nodes["X"]["pos"] == (54.0, 35.0)
    assert g.nodes["Y"]["pos"] == (5.5, -3.0)
    assert g.nodes["Z"]["label"] == "wet (grass)"


PYAGRUM = """network "unnamedBN" {
// written by aGrUM 0.9
}

variable A {
   type discrete[2] {yes, no};
}

variable B {
   type discrete[3] {0, 1, 2};
}

variable C {
   type discrete[2] {lo, hi};
}

probability (A) {
   default 0.25 0.75;
}
probability (C) {
   table 0.5 0.5;
}
probability (B | A, C) {
   (yes, lo) 0.1 0.2 0.7;
   (no, lo) 0.3 0.3 0.4;
   (yes, hi) 0.5 0.25 0.25;
   (no, hi) 0.2 0.2 0.6;
}


"""


def test_the_dialect_of_pyagrum():
    g = read(PYAGRUM)
    assert g.nodes["A"]["table"].tolist() == [0.25, 0.75]
    assert g.nodes["B"]["table"][1, 0].tolist() == [0.3, 0.3, 0.4]
    assert g.nodes["B"]["table"][0, 1].tolist() == [0.5, 0.25, 0.25]


def two(states, head="B | A", rows="", name="A", before="", after=""):
    """A network of A, or what it is called, and B, with rows of B."""
    n = 2 if isinstance(states, str) else states[1]
    states = states if isinstance(states, str) else states[0]
    equal = " ".join([str(1 / n)] * n)
    return (
        f"network x {{ {before} }}\nvariable {name} {{ type discrete [ {n} ] {{ {states} }}; }}\n"
        f"variable B {{ type discrete [ 2 ] {{ b0, b1 }}; {after} }}\n"
        f"probability ( {name} ) {{ table {equal}; }}\nprobability ( {head} ) {{ {rows} }}\n"
    )


@pytest.mark.parametrize(
    ("states", "keys"),
    [
        ("very high, low", ["very high", "low"]),
        ("(0-10], [10-20)", ["(0-10]", "[10-20)"]),
        ("(0,10], (10,20]", ["(0,10]", "(10,20]"]),
        ("[0.1, 0.5], (0.5, 1.2]", ["[0.1, 0.5]", "(0.5, 1.2]"]),
        ("]0:1], ]1:2]", ["]0:1]", "]1:2]"]),
        ('"a b" "c"', ["a b", "c"]),
        ('"a, b" "c"', ["a, b", "c"]),
        ('"a{1}", "b;2"', ["a{1}", "b;2"]),
        ("a (x), a (y)", ["a (x)", "a (y)"]),
        ("<5, >=5", ["<5", ">=5"]),
        ("5' 6'", ["5'", "6'"]),
        ("0,5 0,7", ["0,5", "0,7"]),
        ("a\n  ,b", ["a", "b"]),
    ],
)
def test_states_are_matched_with_the_declared_ones(states, keys):
    quote = '"' if any(c in keys[0] for c in "{;") else ""
    rows = " ".join(f"({quote}{k}{quote}) 0.{i + 1}, 0.{9 - i};" for i, k in enumerate(keys))
    if '"' in states and not quote:
        rows = " ".join(f'("{k}") 0.{i + 1}, 0.{9 - i};' for i, k in enumerate(keys))
    g = read(two(states, rows=rows))
    assert g.nodes["A"]["states"] == tuple(keys)
    np.testing.assert_array_equal(g.nodes["B"]["table"], [[0.1, 0.9], [0.2, 0.8]])


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("my var", "B | my var"),
        ("my var", "B my var"),
        ('"my var"', 'B | "my var"'),
        ('"my var"', '"B" "my var"'),
        ("weight (kg)", "B | weight (kg)"),
        ('"a|b"', 'B | "a|b"'),
        ("A", "B|A"),
        ("A", '"B" | "A"'),
        ("A", "B, A"),
        ("A", "B A"),
        ('" A "', "B | A"),
    ],
)
def test_names_are_matched_with_the_declared_ones(name, head):
    g = read(two("x, y", head, "(x) 0.1 0.9; (y) 0.2 0.8;", name))
    assert list(g.edges) == [(name.strip('"').strip(), "B")]
    np.testing.assert_array_equal(g.nodes["B"]["table"], [[0.1, 0.9], [0.2, 0.8]])


def test_two_parents_without_commas_and_states_with_blanks():
    text = two(
        "very high, low", "B | A C", "(very high, low) .1 .9; (low high) .2 .8; default .3 .7;"
    )
    text = text.replace(
        "variable B", "variable C { type discrete[2] { very high, low }; }\nvariable B"
    )
    text += "probability (C) { table .5 .5; }"
    with pytest.raises(GraphError, match="unknown state 'high'"):
        read(text)
    g = read(text.replace("(low high)", "(low very high)"))
    assert g.nodes["B"]["table"][1, 0].tolist() == [0.2, 0.8]
    assert g.nodes["B"]["table"][0, 0].tolist() == [0.3, 0.7]


def test_what_can_be_read_two_ways_is_refused():
    text = "".join(f"variable {v} {{ type discrete[2] {{ x, y }}; }}\n" for v in ("a", "b", "a b"))
    with pytest.raises(GraphError, match="names in quotes; got a b or a, b"):
        read(text + "probability ( a b ) { table .5 .5; }")
    g = read(
        text + 'probability ( "a b" ) { table .5 .5; }'
        "probability (b) { table .5 .5; } probability ( a | b ) { default .1 .9; }"
    )
    assert list(g.edges) == [("b", "a")]


@pytest.mark.parametrize(
    "rows",
    [
        "(x) 0.1 0.9; // a comment; with (marks)\n (y) /* here */ 0.2, 0.8;",
        "property a = b; (x) 0.1 0.9; property \"c; d\" ; (y) 0.2 0.8; property e ;",
        "( x ) 0.1 , 0.9 ;\n\n(y)0.2,0.8;",
        "(y) 2e-1 8.0E-1; default 0.1 0.9;",
        "table 0.1 0.2 0.9 0.8;",
    ],
)  # fmt: skip
def test_rows_with_comments_and_properties(rows):
    g = read(
        two("x, y", rows=rows, before='property url = "http://a.b/{c}"; property u http://d ;')
    )
    np.testing.assert_array_equal(g.nodes["B"]["table"], [[0.1, 0.9], [0.2, 0.8]])


def test_tables_may_stand_above_their_variables():
    text = two("x, y", rows="default 0.1 0.9;")
    lines = text.splitlines()
    g = read("\n".join([lines[0], *lines[3:], *lines[1:3]]))
    assert list(g.edges) == [("A", "B")]


@pytest.mark.parametrize(
    "rows",
    ["", "table -1 -1 -1 -1;", "(x) NaN NaN; (y) nan nan;", "(x) NA NA; (y) NA, NA;",
     "default NaN NaN;", "table ? ? ? ?;", "(x) -1 -1; (y) -1.0 -1;", "property a = b;"],
)  # fmt: skip
def test_placeholders_are_absent_tables(rows):
    g = read(two("x, y", rows=rows))
    assert g.nodes["B"]["parents"] == ("A",)
    assert g.nodes["B"]["states"] == ("b0", "b1")
    assert "table" not in g.nodes["B"]
    assert "table" in g.nodes["A"]
    with pytest.raises(GraphError, match="none at B"):
        exact.marginals(g)


def test_a_table_of_which_rows_are_missing_is_absent_and_said():
    with pytest.warns(graph.GraphWarning, match=r"tables of B \(1 of 2 rows\) are absent"):
        g = read(two("x, y", rows="(x) NaN NaN; (y) 0.2 0.8;"))
    assert "table" not in g.nodes["B"]


@pytest.mark.parametrize("row", ["0.5 NA", "-1 2", "-0.5 1.5", "1.5 -0.5", "2 2", "0.5 -1"])
def test_other_numbers_are_refused(row):
    with pytest.raises(GraphError, match="row"):
        read(two("x, y", rows=f"(x) {row}; (y) 0.2 0.8;"))


THIRDS = two(("p, q, r", 3), "B | A", "(p) 0.3333 0.6666; (q) .5 .5; (r) .666666 .333333;")
THIRDS = THIRDS.replace(
    "0.3333333333333333 " * 2 + "0.3333333333333333", "0.333333 0.333333 0.333333"
)


def test_tolerance():
    with pytest.raises(GraphError, match=r"sum 0.9999\) .*load it with tolerance=0.0001"):
        read(THIRDS)
    with pytest.raises(GraphError, match="within 1e-05"):
        read(THIRDS, tolerance=1e-5)
    with pytest.warns(
        graph.GraphWarning, match="largest change is 6.7e-05, of a row of B"
    ) as said:
        g = read(THIRDS, tolerance=1e-4)
    assert len(said) == 1
    np.testing.assert_allclose(g.nodes["B"]["table"].sum(1), 1, rtol=0, atol=1e-15)
    assert g.nodes["B"]["table"][1].tolist() == [0.5, 0.5]
    np.testing.assert_allclose(g.nodes["A"]["table"], 1 / 3, rtol=1e-15)
    assert exact.marginals(g)["A"]["p"] == pytest.approx(1 / 3, abs=1e-15)


def test_a_hair_at_the_border_of_the_default_is_no_reason():
    text = "variable A { type discrete[3] { a, b, c }; } probability (A) { table %s; }"
    for thirds in ("0.333333 0.333333 0.333333", "0.333334 0.333334 0.333333"):
        g = read(text % thirds)
        assert g.nodes["A"]["table"].tolist() == list(map(float, thirds.split()))
        assert sum(exact.marginals(g)["A"].values()) == pytest.approx(1, abs=1e-15)
    with pytest.raises(GraphError, match="0.99999"):
        read(text % "0.333333 0.333333 0.333332")
    with pytest.raises(GraphError, match="within 0;"):
        read(text % "0.333333 0.333333 0.333334000001", tolerance=0)


def test_nothing_is_said_where_nothing_is_off(recwarn):
    g = read(two("x, y", rows="default 0.1 0.9;"), tolerance=0.01)
    assert g.nodes["B"]["table"].tolist() == [[0.1, 0.9]] * 2
    assert not recwarn.list


@pytest.mark.parametrize("tolerance", [-0.1, 1, 2, "a", True, float("nan")])
def test_bad_tolerances(tolerance):
    with pytest.raises(GraphError, match="tolerance of at least 0"):
        read("asia", tolerance=tolerance)


def test_tolerance_of_objects():
    g = graph.load("sprinkler")
    g.nodes["R"]["table"] = g.nodes["R"]["table"] * 1.0004
    with pytest.warns(graph.GraphWarning, match="1 tables"):
        back = graph.load(g, tolerance=1e-3)
    assert back is not g
    np.testing.assert_allclose(back.nodes["R"]["table"].sum(-1), 1, atol=1e-15)
    assert g.nodes["R"]["table"].sum(-1).max() > 1.0003


def test_pgmpys_rounded_files(tmp_path):
    readwrite = pytest.importorskip("pgmpy.readwrite")
    g = graph.load("student")
    g.nodes["I"]["table"] = np.array([1 / 3, 2 / 3])
    path = tmp_path / "x.BIF"
    readwrite.BIFWriter(graph.to_pgmpy(g), round_values=4).write(str(path))
    back = graph.load(path, tolerance=1e-3)
    np.testing.assert_allclose(back.nodes["I"]["table"], [1 / 3, 2 / 3], atol=1e-4)


def test_every_file_of_pgmpy_with_awkward_names(tmp_path):
    readwrite = pytest.importorskip("pgmpy.readwrite")
    from pgmpy.factors.discrete import TabularCPD
    from pgmpy.models import DiscreteBayesianNetwork

    model = DiscreteBayesianNetwork([("my var", "B"), ("C", "B")])
    names = {"my var": ["very high", "(0-10]"], "C": ["<5", ">=5"], "B": ["b 0", "[1)"]}
    values = np.random.default_rng(0).dirichlet([1, 1], 4).T
    model.add_cpds(
        TabularCPD("my var", 2, [[0.5], [0.5]], state_names={"my var": names["my var"]}),
        TabularCPD("C", 2, [[0.1], [0.9]], state_names={"C": names["C"]}),
        TabularCPD("B", 2, values, ["C", "my var"], [2, 2], names),
    )
    path = tmp_path / "x.bif"
    readwrite.BIFWriter(model).write(str(path))
    assert_same(graph.load(path), model)


def test_encodings(tmp_path):
    path = tmp_path / "x.bif"
    text = two("é, ü", rows="default 0.1 0.9;")
    for encoding in ("cp1252", "utf-16-le"):
        path.write_bytes(text.encode(encoding))
        with pytest.raises(GraphError):
            graph.load(path)
        assert graph.load(path, encoding=encoding).nodes["A"]["states"] == ("é", "ü")
    for encoding in ("utf-8-sig", "utf-16"):
        path.write_bytes(text.encode(encoding))
        assert graph.load(path).nodes["A"]["states"] == ("é", "ü")
    with pytest.raises(GraphError, match="unknown encoding: none"):
        graph.load(path, encoding="none")
    with pytest.raises(GraphError, match="encoding= only with a file"):
        graph.load("A -> B", encoding="utf-8")
