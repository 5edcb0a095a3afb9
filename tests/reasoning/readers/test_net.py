"""Networks in Hugin NET, as Hugin, SamIam, pgmpy and pyAgrum write them."""

import numpy as np
import pytest
from same_graphs import assert_same

from probgen import graph
from probgen.reasoning.graph import GraphError

TEXT = r"""
net
{
    node_size = (80 40);
    propagationenginegenerator1791944048146838126L = "a.b.Setting@1";  % SamIam
    HR_Desc = "a; b { \"c\" }";
}

node A
{
    position = (120 35);
    states = ("yes" "no, never");
    label = "the \"first\"";
    diagnosistype = "AUXILIARY";
}
node B   % {
{
    states = (lo hi "100 %");
    HR_State_0 = "";
    label = "";
}
discrete node C { states = ("a" "b"); subtype = label; }

potential ( C | A B )
{
    data = (((  0.1 0.9 )   % A=yes  B=lo
             (  0.2 0.8 )   % A=yes  B=hi
             (  0.3 0.7 ))
            ((  0.4 0.6 )
             (  0.5 0.5 )
             (  0.6 0.4 )));
}
potential (A) { data = ( 0.25 0.75 ); }
potential (B |) { data = (0.25 0.25 5e-1); }
"""


def wrapped(text):
    return f"class Toy\n{{\n  inputs = ();\n  outputs = (A B);\n{text[text.index('node A') :]}\n}}"


@pytest.mark.parametrize("text", [TEXT, wrapped(TEXT)])
def test_net(text):
    g = graph.load(text)
    assert list(g) == ["A", "B", "C"]
    assert g.nodes["A"]["states"] == ("yes", "no, never")
    assert g.nodes["A"]["label"] == 'the "first"'
    assert g.nodes["A"]["pos"] == (120.0, 35.0)
    assert g.nodes["B"]["states"] == ("lo", "hi", "100 %")
    assert "label" not in g.nodes["B"]
    assert g.nodes["C"]["parents"] == ("A", "B")
    np.testing.assert_array_equal(
        g.nodes["C"]["table"],
        [[[0.1, 0.9], [0.2, 0.8], [0.3, 0.7]], [[0.4, 0.6], [0.5, 0.5], [0.6, 0.4]]],
    )


@pytest.mark.parametrize("data", ["", "data = ();", "data = ( NaN NaN );", "data = (-1 -1);"])
def test_placeholders(data):
    g = graph.load(TEXT.replace("data = ( 0.25 0.75 );", data))
    assert "table" not in g.nodes["A"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("discrete node C", "continuous node C", "line 22: expected discrete chance nodes"),
        ("discrete node C", "utility C", "got utility C"),
        ("discrete node C", "decision C", "got decision C"),
        ("( C | A B )", "( C | A D )", "line 24: expected a declared variable; got 'D'"),
        ("( C | A B )", "( C A | B )", "expected potential"),
        ("( C | A B )", "C", "expected potential"),
        ("node B ", "node A ", "got 'A' twice"),
        ("(lo hi", "(lo lo", "line 18: expected 3 different states of B"),
        ("( 0.25 0.75 )", "( 0.25 0.7 )", "line 33: expected every row of A"),
        ("( 0.25 0.75 )", "( 0.25 x )", "expected numbers in the table of A"),
        ("( 0.25 0.75 )", "( 0.25 )", "expected 2 numbers in the table of A; got 1"),
        ("(  0.1 0.9 )", "(  0.1 0.9 0.2 )", "expected 2 numbers in every innermost list of C"),
        ("{ data = ( 0.25 0.75 ); }", '{ model_data = ("normal"); }', "got an expression"),
        ("potential (A)", "potential (C)", "one table for C"),
        ('label = "";', 'label = "";\n states = ("a" "b");', "states twice"),
        ("{ data = ( 0.25 0.75 ); }", "{ data = ( 0.25 0.75 ) }", "expected a field or a block"),
    ],
)
def test_bad_files(tmp_path, old, new, message):
    assert old in TEXT
    (tmp_path / "x.net").write_text(TEXT.replace(old, new, 1))
    with pytest.raises(GraphError, match=message) as error:
        graph.load(tmp_path / "x.net")
    assert "x.net" in str(error.value)


def test_other_nets_are_named(tmp_path):
    (tmp_path / "x.net").write_text('*Vertices 2\n1 "a"\n2 "b"\n*Arcs\n1 2\n')
    with pytest.raises(GraphError, match="Pajek: write its edges"):
        graph.load(tmp_path / "x.net")
    (tmp_path / "x.dsl").write_text("net n\n{\n// property\n\n node C\n{ TYPE = CPT;\n};\n};")
    with pytest.raises(GraphError, match="save it from GeNIe as .xdsl"):
        graph.load(tmp_path / "x.dsl")


def test_pgmpy(tmp_path):
    readwrite = pytest.importorskip("pgmpy.readwrite")
    for name in ("asia", "student"):
        theirs = graph.to_pgmpy(name)
        readwrite.NETWriter(theirs).write(str(tmp_path / "x.net"))
        assert_same(graph.load(tmp_path / "x.net"), theirs)
