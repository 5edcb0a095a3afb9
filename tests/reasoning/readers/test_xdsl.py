"""Networks in GeNIe's XDSL; what pyAgrum writes against the format."""

import numpy as np
import pytest
from same_graphs import assert_same

from probgen import graph
from probgen.reasoning.graph import GraphError

TEXT = """<?xml version="1.0" encoding="ISO-8859-1"?>
<!-- This network was created by a test -->
<smile version="1.0" id="Toy" numsamples="10000" discsamples="10000">
	<nodes>
		<cpt id="Success">
			<state id="Good" />
			<state id="Bad" />
			<probabilities>0.25 0.75</probabilities>
		</cpt>
		<cpt id="Economy" target="true">
			<state id="Up" />
			<state id="Flat" />
			<state id="Down" />
			<property id="literature">none; &lt;really&gt;</property>
			<probabilities>0.25 0.25 0.5</probabilities>
		</cpt>
		<cpt id="Forecast">
			<state id="a" />
			<state id="b" />
			<parents>Success Economy</parents>
			<probabilities>0.1 0.9 0.2 0.8 0.3 0.7 0.4 0.6 0.5 0.5 0.6 0.4</probabilities>
		</cpt>
		<deterministic id="Sure">
			<state id="no" />
			<state id="yes" />
			<parents>Economy</parents>
			<resultingstates>yes no yes</resultingstates>
		</deterministic>
	</nodes>
	<extensions>
		<genie version="1.0" app="GeNIe 2.0.5494.0" name="Toy" faultnameformat="nodestate">
			<node id="Success">
				<name>Success of the venture</name>
				<interior color="e5f6f7" />
				<position>40 51 136 109</position>
			</node>
			<submodel id="Sub1"><name>Part</name>
				<node id="Economy"><name>Economy</name><position>1 2 3 5</position></node>
			</submodel>
		</genie>
	</extensions>
</smile>
"""


def test_xdsl():
    g = graph.load(TEXT)
    assert g.nodes["Forecast"]["parents"] == ("Success", "Economy")
    np.testing.assert_array_equal(
        g.nodes["Forecast"]["table"],
        [[[0.1, 0.9], [0.2, 0.8], [0.3, 0.7]], [[0.4, 0.6], [0.5, 0.5], [0.6, 0.4]]],
    )
    np.testing.assert_array_equal(g.nodes["Sure"]["table"], [[0, 1], [1, 0], [0, 1]])
    assert g.nodes["Success"]["label"] == "Success of the venture"
    assert g.nodes["Success"]["pos"] == (88.0, 80.0)
    assert "label" not in g.nodes["Economy"]
    assert g.nodes["Economy"]["pos"] == (2.0, 3.5)


def test_pyagrums_direction_is_refused_where_it_counts():
    theirs = TEXT.replace("GeNIe 2.0.5494.0", "aGrUM 3.3.1")
    with pytest.raises(GraphError, match=r"2 parents in a file of pyAgrum.*as \.bif"):
        graph.load(theirs)
    one = theirs.replace("<parents>Success Economy</parents>", "<parents>Success</parents>")
    one = one.replace("0.1 0.9 0.2 0.8 0.3 0.7 0.4 0.6 0.5 0.5 0.6 0.4", "0.1 0.9 0.2 0.8")
    assert graph.load(one).nodes["Forecast"]["table"].tolist() == [[0.1, 0.9], [0.2, 0.8]]


def test_placeholders():
    text = TEXT.replace("<probabilities>0.25 0.75</probabilities>", "")
    assert "table" not in graph.load(text).nodes["Success"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("deterministic id", "noisymax id", "mismatched tag"),
        ("<parents>Economy</parents>", "<parents>X</parents>", "line 23: expected a declared"),
        ('<state id="b" />', '<state id="a" />', "different states of Forecast"),
        ('<state id="b" />', "<state/>", "different states of Forecast"),
        ('cpt id="Forecast"', 'cpt id="Success"', "got 'Success' twice"),
        ("0.25 0.75", "0.25 0.7", "line 5: expected every row of Success"),
        ("0.25 0.75", "0.25", "expected 2 numbers"),
        ("yes no yes", "yes no", "expected 3 states"),
        ("yes no yes", "yes no maybe", "unknown state 'maybe' of Sure"),
        ("<smile", "<smile><smile", "no element found"),
    ],
)
def test_bad_files(tmp_path, old, new, message):
    assert old in TEXT
    (tmp_path / "x.xdsl").write_text(TEXT.replace(old, new, 1))
    with pytest.raises(GraphError, match=message):
        graph.load(tmp_path / "x.xdsl")


@pytest.mark.parametrize("kind", ["noisymax", "equation", "decision", "utility", "mau"])
def test_other_nodes_are_named(kind):
    text = TEXT.replace("deterministic", kind)
    with pytest.raises(GraphError, match=f"got 'Sure' of kind {kind}"):
        graph.load(text)


def test_pgmpy(tmp_path):
    readwrite = pytest.importorskip("pgmpy.readwrite")
    for name in ("asia", "student"):
        theirs = graph.to_pgmpy(name)
        readwrite.XDSLWriter(theirs).write(str(tmp_path / "x.xdsl"))
        ours = graph.load(tmp_path / "x.xdsl")
        for v in ours:
            ours.nodes[v]["table"] = ours.nodes[v]["table"].round(12)
        assert_same(ours, theirs)
