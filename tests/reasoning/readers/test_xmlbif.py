"""Networks in XMLBIF: the dialects of Weka, AISpace, pgmpy and pyAgrum; bombs."""

import numpy as np
import pytest
from same_graphs import assert_same

from probgen import graph
from probgen.reasoning.graph import GraphError
from probgen.reasoning.readers import markup

HEAD = """<?xml version="1.0"?>
<!-- DTD for the XMLBIF 0.3 format -->
<!DOCTYPE BIF [
	<!ELEMENT BIF ( NETWORK )*>
	<!ATTLIST BIF VERSION CDATA #REQUIRED>
	<!ELEMENT NETWORK ( NAME, ( PROPERTY | VARIABLE | DEFINITION )* )>
	<!ELEMENT NAME (#PCDATA)>
]>
"""
TEXT = """<BIF VERSION="0.3" xmlns="http://www.cs.ubc.ca/labs/lci/fopi/ve/XMLBIFv0_3">
<NETWORK>
<NAME>weather &amp; lawn</NAME>
<PROPERTY>a property of the net</PROPERTY>
<VARIABLE TYPE="nature"><NAME>A b</NAME><OUTCOME>'\\'(-inf-2.45]\\''</OUTCOME>
  <OUTCOME>&lt;5, or more</OUTCOME><PROPERTY>position = (7297.0, -35.5)</PROPERTY></VARIABLE>
<VARIABLE TYPE="nature"><NAME>C</NAME><OUTCOME>x</OUTCOME><OUTCOME>y</OUTCOME>
  <OUTCOME>z</OUTCOME><PROPERTY>label = the third = last</PROPERTY></VARIABLE>
<VARIABLE TYPE="nature"><NAME>D</NAME><OUTCOME>x</OUTCOME><OUTCOME>y</OUTCOME></VARIABLE>
<DEFINITION><FOR>D</FOR><GIVEN>C</GIVEN><GIVEN>A b</GIVEN>
  <TABLE>0.1 0.9 <!-- A b is the faster -->
    0.2 0.8 0.3 0.7 0.4 0.6 0.5 0.5 0.6 0.4</TABLE></DEFINITION>
<DEFINITION><FOR>A b</FOR><TABLE>0.25 0.75</TABLE></DEFINITION>
<DEFINITION><FOR>C</FOR><TABLE>0.25 0.25 5.0E-1</TABLE></DEFINITION>
</NETWORK>
</BIF>
"""


UTF_16 = "<?xml version='1.0' encoding='UTF-16'?>"


@pytest.mark.parametrize("head", ["", HEAD, "\n\n" + HEAD, UTF_16])
def test_xmlbif(head):
    g = graph.load(head + TEXT)
    assert list(g) == ["A b", "C", "D"]
    assert g.nodes["A b"]["states"] == (r"'\'(-inf-2.45]\''", "<5, or more")
    assert g.nodes["A b"]["pos"] == (7297.0, -35.5)
    assert g.nodes["C"]["label"] == "the third = last"
    assert g.nodes["D"]["parents"] == ("C", "A b")
    np.testing.assert_array_equal(
        g.nodes["D"]["table"],
        [[[0.1, 0.9], [0.2, 0.8]], [[0.3, 0.7], [0.4, 0.6]], [[0.5, 0.5], [0.6, 0.4]]],
    )


@pytest.mark.parametrize(
    "suffix", [".xmlbif", ".bifxml", ".XML", ".xml.gz", ".bif", ".dot", ".net", ".json", ".csv"]
)
def test_the_content_decides(tmp_path, suffix):
    import gzip

    path = tmp_path / f"x{suffix}"
    text = (HEAD + TEXT).encode()
    path.write_bytes(gzip.compress(text) if suffix.endswith("gz") else text)
    assert list(graph.load(path)) == ["A b", "C", "D"]


def test_declared_encodings(tmp_path):
    path = tmp_path / "x.xml"
    text = '<?xml version="1.0" encoding="ISO-8859-1"?>\n' + TEXT.replace("A b", "é")
    path.write_bytes(text.encode("latin-1"))
    assert "é" in graph.load(path)
    path.write_bytes(text.replace("ISO-8859-1", "punycode").encode("latin-1"))
    with pytest.raises(GraphError, match="expected UTF-8"):
        graph.load(path)


@pytest.mark.parametrize(
    "table",
    ["", "<TABLE/>", "<TABLE> \n</TABLE>", "<TABLE>-1 -1</TABLE>", "<TABLE>NaN NaN</TABLE>"],
)
def test_placeholders(table):
    g = graph.load(TEXT.replace("<TABLE>0.25 0.75</TABLE>", table))
    assert "table" not in g.nodes["A b"]
    assert "table" in g.nodes["D"]


def test_states_in_pyagrums_short_notation():
    for short, states in [("C[3]", ("0", "1", "2")), ("C{x|y|z}", ("x", "y", "z"))]:
        text = TEXT.replace("<OUTCOME>x</OUTCOME><OUTCOME>y</OUTCOME>\n  <OUTCOME>z</OUTCOME>", "")
        g = graph.load(text.replace("label = the third = last", f"fast = {short}"))
        assert g.nodes["C"]["states"] == states


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<FOR>C</FOR>", "<FOR>E</FOR>", "line 14: expected a declared variable; got 'E'"),
        ("<NAME>C</NAME>", "<NAME>D</NAME>", "got 'D' twice"),
        ("<OUTCOME>y</OUTCOME></VAR", "<OUTCOME>x</OUTCOME></VAR", "different states of D"),
        ("<OUTCOME>y</OUTCOME></VAR", "<OUTCOME> </OUTCOME></VAR", "different states of D"),
        ('"nature"><NAME>D', '"utility"><NAME>D', "got 'D' of type 'utility'"),
        ("0.25 0.25 5.0E-1", "0.25 0.25", "expected 3 numbers in the table of C; got 2"),
        ("0.25 0.25 5.0E-1", "0.25 0.25 x", "expected numbers in the table of C"),
        ("0.25 0.25 5.0E-1", "0.25 0.25 1.5", "sum to 1"),
        ("0.25 0.25 5.0E-1", "-0.25 0.75 0.5", "at least 0"),
        ("</NETWORK>", "", "line 16: expected well-formed XML; got mismatched tag"),
        ("<BIF VERSION", "<bif VERSION", "got mismatched tag|the element <bif>"),
        ("A b</NAME>", "A b</NAME>&lt;&nothing;", "undefined entity"),
    ],
)
def test_bad_files(tmp_path, old, new, message):
    assert old in TEXT
    (tmp_path / "x.xmlbif").write_text(TEXT.replace(old, new, 1))
    with pytest.raises(GraphError, match=message) as error:
        graph.load(tmp_path / "x.xmlbif")
    assert "x.xmlbif" in str(error.value)


def test_javabayes_order_in_xml_is_named():
    turned = "0.1 0.2 0.3 0.4 0.5 0.6 0.9 0.8 0.7 0.6 0.5 0.4"
    start, end = TEXT.index("<TABLE>0.1"), TEXT.index("</TABLE>")
    with pytest.raises(GraphError, match="the file has the states of D slowest"):
        graph.load(f"{TEXT[:start]}<TABLE>{turned}{TEXT[end:]}")


BOMBS = [
    '<!DOCTYPE BIF [<!ENTITY a "x"><!ENTITY b "&a;&a;">]><BIF>&b;</BIF>',
    '<!DOCTYPE BIF [<!ENTITY % p SYSTEM "file:///etc/passwd">%p;]><BIF/>',
    '<!DOCTYPE BIF [<!ENTITY e SYSTEM "file:///etc/passwd">]><BIF>&e;</BIF>',
    "<BIF>" + "<a>" * 100 + "</a>" * 100 + "</BIF>",
]


@pytest.mark.parametrize("bomb", BOMBS, ids=range(len(BOMBS)))
@pytest.mark.parametrize("suffix", [".xmlbif", ".xdsl", ".graphml"])
def test_bombs(tmp_path, bomb, suffix):
    root = {".xdsl": "smile", ".graphml": "graphml"}.get(suffix, "BIF")
    (tmp_path / f"x{suffix}").write_text(bomb.replace("BIF", root))
    with pytest.raises(
        GraphError, match=r"line 1: expected (XML without ent|at most 2,097,152 el)"
    ):
        graph.load(tmp_path / f"x{suffix}")


@pytest.mark.parametrize("root", ["BIF", "smile", "graphml"])
def test_too_many_elements(monkeypatch, root):
    monkeypatch.setattr(markup, "LARGEST", 1000)
    with pytest.raises(GraphError, match="^line 1: expected at most 1,000 elements"):
        graph.load(f"<{root}>{'<a/>' * 1000}</{root}>")


def test_pgmpy(tmp_path):
    readwrite = pytest.importorskip("pgmpy.readwrite")
    for name in ("asia", "student"):
        theirs = graph.to_pgmpy(name)
        readwrite.XMLBIFWriter(theirs).write(str(tmp_path / "x.xml"))
        assert_same(graph.load(tmp_path / "x.xml"), theirs)
