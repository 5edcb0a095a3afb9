"""GraphML and GML, as networkx, igraph, yEd and Gephi write them."""

import networkx as nx
import pytest

from probgen import dsep, graph
from probgen.reasoning.graph import GraphError
from probgen.reasoning.readers import formats

IGRAPH = """<?xml version="1.0" encoding="UTF-8"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
  <key id="v_name" for="node" attr.name="name" attr.type="string"/>
  <graph id="G" edgedefault="directed">
    <node id="n0"><data key="v_name">Rain</data></node>
    <node id="n1"><data key="v_name">wet grass</data></node>
    <node id="n2"><data key="v_name">Sprinkler</data></node>
    <edge source="n0" target="n1"></edge>
    <edge source="n2" target="n1"></edge>
  </graph>
</graphml>
"""


def test_igraphs_names():
    g = graph.load(IGRAPH)
    assert set(g.edges) == {("Rain", "wet grass"), ("Sprinkler", "wet grass")}
    assert set(graph.load(IGRAPH.replace(">Rain<", ">Sprinkler<"))) == {"n0", "n1", "n2"}
    assert not graph.load(IGRAPH.replace('"directed"', '"undirected"')).is_directed()


def test_networkx(tmp_path):
    g = nx.DiGraph([("A", "B"), ("C d", "B")])
    g.add_node("E", label="alone", weight=2.5)
    for suffix, write in ((".graphml", nx.write_graphml), (".gml", nx.write_gml)):
        write(g if suffix == ".graphml" else nx.DiGraph(g.edges), tmp_path / f"x{suffix}")
        back = graph.load(tmp_path / f"x{suffix}")
        assert set(back.edges) == set(g.edges)
    assert graph.load(tmp_path / "x.graphml").nodes["E"] == {"label": "alone", "weight": 2.5}
    assert dsep.check(tmp_path / "x.gml", "A", "C d")


def test_parallel_edges_are_one(tmp_path):
    nx.write_graphml(nx.MultiDiGraph([("A", "B"), ("A", "B")]), tmp_path / "x.graphml")
    g = graph.load(tmp_path / "x.graphml")
    assert type(g) is nx.DiGraph
    assert list(g.edges) == [("A", "B")]


def test_yeds_labels():
    text = IGRAPH.replace(
        "<graphml ", '<graphml xmlns:y="http://www.yworks.com/xml/graphml" '
    ).replace(
        '<key id="v_name" for="node" attr.name="name" attr.type="string"/>',
        '<key id="d6" for="node" yfiles.type="nodegraphics"/>',
    )
    for name in ("Rain", "wet grass", "Sprinkler"):
        text = text.replace(
            f'<data key="v_name">{name}</data>',
            '<data key="d6"><y:ShapeNode><y:Geometry height="30.0" width="30.0" x="1.5" y="2.0"/>'
            f"<y:NodeLabel>{name}</y:NodeLabel></y:ShapeNode></data>",
        )
    g = graph.load(text)
    assert set(g.edges) == {("Rain", "wet grass"), ("Sprinkler", "wet grass")}
    assert g.nodes["Rain"]["pos"] == (1.5, 2.0)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('edgedefault="directed"', "", "edgedefault of the graph; got None"),
        ("<edge source", '<edge directed="false" source', "networkx reads"),
        ('target="n1"', 'target="n9"', ""),
        ("</graph>", "</graph><graph/>", "got graphml, 2 graphs"),
        ("</graph>", "<hyperedge/></graph>", "hyperedges"),
        ('"n2"><data', '"n2"><graph edgedefault="directed"/><data', "2 graphs"),
        ("</graph>", "", "mismatched tag"),
        ("attr.name=\"name\"", "attr.name=\"table\"", "reserved for tables; got 'Rain'"),
    ],
)  # fmt: skip
def test_bad_files(tmp_path, old, new, message):
    assert old in IGRAPH
    (tmp_path / "x.graphml").write_text(IGRAPH.replace(old, new))
    if not message:
        assert "n9" in graph.load(tmp_path / "x.graphml")
        return
    with pytest.raises(GraphError, match=message):
        graph.load(tmp_path / "x.graphml")


GML = """Creator "a test"
graph
[
  directed 1
  node [ id 0 label "A" ]
  node [ id 1 label "B &#233;" ]
  edge [ source 0 target 1 value 2.5 ]
]
"""


def test_gml(tmp_path):
    assert list(graph.load(GML).edges) == [("A", "B é")]
    assert not graph.load(GML.replace("directed 1", "")).is_directed()
    assert list(
        graph.load(GML.replace('label "A"', "").replace('label "B &#233;"', "")).edges
    ) == [(0, 1)]
    (tmp_path / "x.dot").write_text(GML)
    assert list(graph.load(tmp_path / "x.dot").edges) == [("A", "B é")]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("B &#233;", "A"),
        ("target 1", "target 7"),
        ("source 0", ""),
        ("[ id 0", "[[ id 0"),
        ("\n]", ""),
    ],
)
def test_bad_gml(old, new):
    assert old in GML
    with pytest.raises(GraphError, match="networkx reads"):
        graph.load(GML.replace(old, new))


def test_large_files_are_refused():
    for start in ("<graphml>", "graph [", "digraph {"):
        with pytest.raises(GraphError, match="33,554,432 characters; got"):
            graph.load(start + " " * formats.LARGEST)
