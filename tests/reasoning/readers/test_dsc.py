"""Networks in MSBN's format."""

import numpy as np
import pytest

from probgen import graph
from probgen.reasoning.graph import GraphError

TEXT = """// written by a test
belief network "toy"

node A
{
    name : "The first";
    type : discrete[2] =
    {
        "yes",
        "no; never"
    };
    position : (207, -95);
}
node B {
  type : discrete [ 3 ] = { "0", "1", "2" };  // counts
}
node C { type: discrete[2] { "lo", "hi" }; }
probability ( A ) {
   0.25, 0.75;
}
probability(B)
{ 0.25, 0.25, 0.5; }
probability ( C | A, B ) {
  (0, 0) : 0.1, 0.9;
  (1, 0) : 0.4, 0.6;
  (0, 1) : 0.2, 0.8;
  (1, 1) : 0.5, 0.5;
  (0, 2) : 0.3, 0.7;
  ("no; never", 2): 0.6, 0.4;
}
"""


def test_dsc(tmp_path):
    (tmp_path / "x.DSC").write_text(TEXT)
    for g in (graph.load(TEXT), graph.load(tmp_path / "x.DSC")):
        assert g.nodes["A"]["states"] == ("yes", "no; never")
        assert g.nodes["A"]["label"] == "The first"
        assert g.nodes["A"]["pos"] == (207.0, -95.0)
        assert g.nodes["C"]["parents"] == ("A", "B")
        np.testing.assert_array_equal(
            g.nodes["C"]["table"],
            [[[0.1, 0.9], [0.2, 0.8], [0.3, 0.7]], [[0.4, 0.6], [0.5, 0.5], [0.6, 0.4]]],
        )


def test_states_by_name_and_placeholders():
    g = graph.load(TEXT.replace("(1, 0)", '("no; never", "0")').replace("no; never", "no"))
    assert g.nodes["C"]["table"][1, 0].tolist() == [0.4, 0.6]
    assert "table" not in graph.load(TEXT.replace("0.25, 0.75;", "")).nodes["A"]
    assert "table" not in graph.load(TEXT.replace("0.25, 0.75;", "NaN, NaN;")).nodes["A"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("node B", "node A", "got 'A' twice"),
        ("discrete [ 3 ]", "discrete [ 4 ]", "expected 4 different states of B"),
        ("discrete [ 3 ]", "continuous [ 3 ]", "line 13: expected type : discrete"),
        ("| A, B", "| A, D", "declared variable; got 'D'"),
        ("(1, 0)", "(2, 0)", "unknown state '2' of A"),
        ("(1, 0)", '("maybe", 0)', "unknown state 'maybe' of A"),
        ("(1, 0)", "(1)", "expected 2 states in a row of C; got 1"),
        ("(1, 0)", "(0, 0)", "each row of C once"),
        ("(1, 0) : 0.4, 0.6;", "", "expected row 4 of C; got none"),
        ("(0, 0) : 0.1, 0.9;", "", "expected row 1 of C; got none"),
        ("0.4, 0.6", "0.4", "expected 2 numbers in a row of C; got 1"),
        ("0.4, 0.6", "0.4, x", "expected numbers in the table of C"),
        ("0.4, 0.6", "0.4, 0.5", "every row of C"),
        ("probability(B)", "probable(B)", "got 'probable"),
        ("position : (207, -95);\n}", "position : (207, -95);\n", "expected|got"),
    ],
)
def test_bad_files(tmp_path, old, new, message):
    assert old in TEXT
    (tmp_path / "x.dsc").write_text(TEXT.replace(old, new, 1))
    with pytest.raises(GraphError, match=message) as error:
        graph.load(tmp_path / "x.dsc")
    assert "x.dsc" in str(error.value)
