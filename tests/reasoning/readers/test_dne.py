"""Networks in Netica's text format."""

import numpy as np
import pytest

from probgen import graph
from probgen.reasoning.graph import GraphError

TEXT = """// ~->[DNET-1]->~

// File created by a test

bnet Toy {
autoupdate = TRUE;
whenchanged = 1170884075;

visual V1 {
	defdispform = BELIEFBARS;
	nodefont = font {shape= "Arial"; size= 10;};
	drawingbounds = (1080, 720);
	NodeSet Node {BuiltIn = 1;Color = 0x00e1e1e1;};
	};

node A {
	kind = NATURE;
	discrete = TRUE;
	chance = CHANCE;
	states = (yes, no);
	statetitles = ("Yes; {always}", "No");
	parents = ();
	probs =
		// yes          no
		(0.25,         0.75);
	title = "The \\"first\\"";
	whenchanged = 1;
	visual V1 {
		center = (120, 66);
		height = 5;
		};
	};

node B {
	kind = NATURE;
	discrete = FALSE;
	levels = (0, 1.5, 10);
	parents = (A);
	probs =
		// 0 to 1.5 ...  // A
		(( 0.1,  0.9),   // yes
		( 0.2,  0.8));  // no
	};

node C {
	discrete = TRUE;
	states = (lo, hi);
	parents = (A, B);
	chance = DETERMIN;
	functable =
		((lo,  hi),
		(hi,  #0));
	};
ElimOrder = (A, B, C);
};
"""


def test_dne():
    g = graph.load(TEXT)
    assert list(g) == ["A", "B", "C"]
    assert g.nodes["A"]["label"] == 'The "first"'
    assert g.nodes["A"]["pos"] == (120.0, 66.0)
    assert g.nodes["B"]["states"] == ("0 to 1.5", "1.5 to 10")
    np.testing.assert_array_equal(g.nodes["B"]["table"], [[0.1, 0.9], [0.2, 0.8]])
    assert g.nodes["C"]["parents"] == ("A", "B")
    np.testing.assert_array_equal(g.nodes["C"]["table"], [[[1, 0], [0, 1]], [[0, 1], [1, 0]]])


@pytest.mark.parametrize("suffix", [".dne", ".DNE", ".dsc", ".bif", ".net"])
def test_the_content_decides(tmp_path, suffix):
    (tmp_path / f"x{suffix}").write_text(TEXT)
    assert list(graph.load(tmp_path / f"x{suffix}")) == ["A", "B", "C"]


@pytest.mark.parametrize(
    ("states", "names"),
    [
        ("discrete = TRUE;\n\tlevels = (1, 5)", ("1", "5")),
        ("numstates = 2", ("#0", "#1")),
        ('states = ("a", b)', ("a", "b")),
    ],
)
def test_states(states, names):
    text = TEXT.replace("discrete = FALSE;\n\tlevels = (0, 1.5, 10)", states)
    assert graph.load(text).nodes["B"]["states"] == names


def test_placeholders():
    text = TEXT.replace("(0.25,         0.75)", "(@undef, @undef)")
    assert "table" not in graph.load(text).nodes["A"]
    start, end = TEXT.index("probs =\n\t\t// yes"), TEXT.index("title = ")
    assert "table" not in graph.load(TEXT[:start] + TEXT[end:]).nodes["A"]
    flat = TEXT.replace("(( 0.1,  0.9),   // yes\n\t\t( 0.2,  0.8))", "(0.1, 0.9, 0.2, 0.8)")
    np.testing.assert_array_equal(graph.load(flat).nodes["B"]["table"], [[0.1, 0.9], [0.2, 0.8]])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("kind = NATURE", "kind = DECISION", "got A of kind DECISION"),
        ("states = (yes, no)", "states = (yes, yes)", "different states of A"),
        ("parents = (A);", "parents = (X);", "declared variable; got 'X'"),
        ("#0", "#2", "unknown state 2 of C|unknown state '2' of C"),
        ("(hi,  #0)", "(hi,  mid)", "unknown state 'mid' of C; did|unknown state 'mid'"),
        ("(hi,  #0)", "(hi)", "expected 4 states in the table of C; got 3"),
        ("( 0.1,  0.9)", "( 0.1,  0.8)", "expected every row of B"),
        ("( 0.1,  0.9)", "( 0.1,  0.5, 0.4)", "expected 2 numbers in every innermost list of B"),
        ("node B", "node A", "got 'A' twice"),
        (
            "functable =\n\t\t((lo,  hi),\n\t\t(hi,  #0))",
            'equation = "C (A, B) = 1"',
            "an equation",
        ),
        ("whenchanged = 1170884075;", "whenchanged 1170884075;", "expected a field or a block"),
        ("bnet Toy {", "bnet Toy { " + "visual x { " * 70, "64 inside each other"),
    ],
)
def test_bad_files(tmp_path, old, new, message):
    assert old in TEXT
    (tmp_path / "x.dne").write_text(TEXT.replace(old, new, 1))
    with pytest.raises(GraphError, match=message):
        graph.load(tmp_path / "x.dne")
