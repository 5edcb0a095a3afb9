"""Networks in .bif: equal to pgmpy's, refused by line and token."""

import gzip

import numpy as np
import pytest
from same_graphs import assert_same
from shared_data import bif_files

from probgen import graph
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
