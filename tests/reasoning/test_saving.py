"""Networks written and read back: equal in every format, or refused before a file is there."""

import gzip
import os
from itertools import product

import networkx as nx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import gibbs, networks
from shared_data import bif_files

from probgen import exact, graph
from probgen.reasoning.graph import GraphError

TABLES = [".bif", ".xmlbif", ".net", ".xdsl", ".json", ".graphml", ".dot"]
ALL = [*TABLES, ".uai"]
KEPT = ("states", "parents", "table", "label", "pos")
ordinary = settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def saved(g, path, **names):
    graph.save(g, path)
    return graph.load(path, **names)


def assert_equal(g, back, ordered=True):
    assert set(back) == set(g)
    assert list(back) == list(g) or not ordered
    assert set(map(frozenset, back.edges)) == set(map(frozenset, g.edges))
    assert set(back.edges) == set(g.edges) or not g.is_directed()
    for node, data in g.nodes(data=True):
        for key in KEPT:
            assert (key in back.nodes[node]) == (key in data), (node, key)
            if key in data and key != "table":
                assert back.nodes[node][key] == data[key]
        if "table" in data:
            np.testing.assert_array_equal(back.nodes[node]["table"], data["table"])
            assert back.nodes[node]["table"].dtype == np.float64
    ours, theirs = g.graph.get("factors", []), back.graph.get("factors", [])
    assert [tuple(names) for names, _ in ours] == [tuple(names) for names, _ in theirs]
    for (_, a), (_, b) in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


def named(g, names, states=None):
    """The network with other names of its nodes and, where given, of its states."""
    found = dict(zip(g, names, strict=False))
    made = nx.relabel_nodes(g, found)
    for data in (d for _, d in made.nodes(data=True)):
        if "parents" in data:
            data["parents"] = tuple(found[p] for p in data["parents"])
        if states:
            data["states"] = tuple(states[: len(data["states"])])
    if "factors" in made.graph:
        made.graph["factors"] = [
            (tuple(found[v] for v in scope), values) for scope, values in made.graph["factors"]
        ]
    return made


@pytest.mark.parametrize("suffix", TABLES)
@ordinary
@given(g=networks)
def test_networks_come_back(tmp_path, suffix, g):
    g = named(g, [f"v{v}" for v in g])
    for i, (node, data) in enumerate(g.nodes(data=True)):
        if i % 2:
            data.update(label=f"the label of {node}, <&>", pos=(i * 1.25, -0.125 * i))
    order = list(nx.lexicographical_topological_sort(g, key=list(g).index))
    assert_equal(g, saved(g, tmp_path / f"x{suffix}"), suffix != ".xdsl" or order == list(g))


@ordinary
@given(g=networks | gibbs)
def test_uai_keeps_numbers(tmp_path, g):
    back = saved(g, tmp_path / "x.uai", names=list(g))
    for node, data in back.nodes(data=True):
        assert data["states"] == tuple(range(len(data["states"])))
        data["states"] = g.nodes[node]["states"]
    if not g.is_directed():
        assert set(map(frozenset, back.edges)) == {
            frozenset(pair) for s, _ in g.graph["factors"] for pair in product(s, s) if len(s) > 1
            and len({*pair}) == 2
        }  # fmt: skip
        back.add_edges_from(g.edges)
    assert_equal(g, back)


@pytest.mark.parametrize("suffix", [".json", ".graphml", ".dot"])
@ordinary
@given(g=gibbs)
def test_markov_networks_come_back(tmp_path, suffix, g):
    assert_equal(
        named(g, list("abcdefgh")), saved(named(g, list("abcdefgh")), tmp_path / f"x{suffix}")
    )


awkward = st.text(
    st.sampled_from(" ab1.,;:|{}[]()<>=&\"'\\/#%-_\u200cپé\t\n\r\x1b?*") | st.characters(),
    max_size=6,
)


@pytest.mark.parametrize("suffix", TABLES)
@settings(ordinary, max_examples=150)
@given(
    g=networks,
    names=st.lists(awkward, min_size=6, max_size=6, unique=True),
    states=st.lists(awkward, min_size=3, max_size=3, unique=True),
    label=awkward,
)
def test_awkward_names_come_back_or_are_refused(tmp_path, suffix, g, names, states, label):
    g = named(g, names, states)
    if label not in ("", *names):
        g.nodes[names[0]]["label"] = label
    path = tmp_path / f"x{suffix}"
    path.unlink(missing_ok=True)
    try:
        graph.save(g, path)
    except GraphError:
        assert not path.exists()
    else:
        assert_equal(g, graph.load(path), suffix != ".xdsl")


@pytest.mark.parametrize("suffix", [".bif", ".xmlbif", ".json", ".graphml", ".dot"])
@pytest.mark.parametrize(
    "states",
    [
        ["very high", "high", "low"],
        ["(0,10]", "(10,20]", "[20, 30)"],
        ["a b", "b", "a b c"],
        ["<5", ">=5", "5-10"],
        ["0", "1", "-1"],
        ["می\u200cخواهم", "نه", "شاید"],
        ["table", "default", "property"],
        ["NA", "NaN", "?"],
        ["//", "/*", "*/"],
        ["{", "}", ";"],
        ["a|b", "a,b", "a/b"],
    ],
    ids=lambda s: s[0],
)
def test_states_that_people_have(tmp_path, suffix, states):
    names = ["my var", "network", "weight (kg)"]
    g = nx.DiGraph([(names[0], names[2]), (names[1], names[2])])
    rng = np.random.default_rng(0)
    for v, data in g.nodes(data=True):
        parents = tuple(g.pred[v])
        table = rng.dirichlet([1] * 3, [3] * len(parents))
        data.update(states=tuple(states), parents=parents, table=table)
    assert_equal(g, saved(g, tmp_path / f"x{suffix}"))


@pytest.mark.parametrize("suffix", [s + gz for s in ALL for gz in ("", ".gz", ".GZ")])
def test_plain_and_gzipped_in_any_case(tmp_path, suffix):
    g = graph.load("asia")
    path = tmp_path / f"x{suffix.upper() if suffix.endswith('GZ') else suffix}"
    graph.save(g, str(path))
    assert (path.read_bytes()[:2] == b"\x1f\x8b") == path.name.lower().endswith("gz")
    back = graph.load(str(path), names=list(g) if "uai" in suffix else None)
    for v in g:
        np.testing.assert_array_equal(back.nodes[v]["table"], g.nodes[v]["table"])
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".bif", ".xmlbif", ".net", ".json", ".graphml", ".dot"])
@pytest.mark.parametrize("path", bif_files()[:3], ids=lambda p: p.name)
def test_files_of_the_repository(tmp_path, suffix, path):
    g = graph.load(path)
    assert_equal(g, saved(g, tmp_path / f"x{suffix}"))


@pytest.mark.parametrize("suffix", TABLES)
def test_absent_tables_stay_absent(tmp_path, suffix):
    g = graph.load("asia")
    del g.nodes["either"]["table"]
    back = saved(g, tmp_path / f"x{suffix}")
    assert_equal(g, back, suffix != ".xdsl")
    with pytest.raises(GraphError, match="none at either"):
        exact.marginals(back)


@pytest.mark.parametrize("suffix", [".json", ".graphml", ".dot"])
def test_graphs_without_tables(tmp_path, suffix):
    for text in ("A -> B <- C; D", "A - B; B - C; D"):
        g = graph.load(text)
        assert_equal(g, saved(g, tmp_path / f"x{suffix}"))
        assert saved(g, tmp_path / f"x{suffix}").is_directed() == g.is_directed()


def test_types_of_names_in_json(tmp_path):
    g = nx.DiGraph([(0, "0"), ("0", 1.5)])
    for v, data in g.nodes(data=True):
        data.update(states=(True, "True", np.int64(3)), parents=tuple(g.pred[v]))
    back = saved(g, tmp_path / "x.json")
    assert [type(v) for v in back] == [int, str, float]
    assert [type(s) for s in back.nodes[0]["states"]] == [bool, str, int]
    with pytest.raises(GraphError, match="differ as text"):
        graph.save(g, tmp_path / "x.bif")
    with pytest.raises(GraphError, match="tuple"):
        graph.save(nx.DiGraph([((1, 2), 3)]), tmp_path / "x.json")


def test_names_that_are_no_text_come_back_as_text(tmp_path):
    g = nx.DiGraph([(0, 1)])
    for v, data in g.nodes(data=True):
        data.update(
            states=(False, True), parents=tuple(g.pred[v]), table=np.full([2] * (v + 1), 0.5)
        )
    back = saved(g, tmp_path / "x.bif")
    assert list(back.edges) == [("0", "1")]
    assert back.nodes["1"]["states"] == ("False", "True")


@pytest.mark.parametrize(
    ("suffix", "change", "message"),
    [
        (".bif", {"label": 'say "hi"'}, "labels that BIF can hold"),
        (".bif", {"states": ('"', "b")}, "no quotes"),
        (".xmlbif", {"label": "two\nlines"}, "one line"),
        (".net", {"states": (" a", "b")}, "names that NET can hold"),
        (".xdsl", {"states": ("<5", "b")}, "letters, digits and underscores"),
        (".uai", {"table": None}, "table at every node"),
        (".bif", {"table": np.ones((3, 2))}, r"table of shape \(2,\)"),
        (".json", {"table": np.array([np.nan, 1])}, "finite"),
        (".graphml", {"table": np.array([np.inf, 1])}, "finite"),
        (".net", {"parents": ("B",)}, "parents of A"),
        (".bif", {"states": None}, "states at every node"),
    ],
)  # fmt: skip
def test_what_a_format_cannot_hold_is_refused(tmp_path, suffix, change, message):
    g = nx.DiGraph([("A", "B")])
    g.nodes["A"].update(states=("a", "b"), parents=(), table=np.array([0.5, 0.5]))
    g.nodes["B"].update(states=("a", "b"), parents=("A",), table=np.full((2, 2), 0.5))
    for key, value in change.items():
        g.nodes["A"].update({key: value})
        if value is None:
            del g.nodes["A"][key]
    path = tmp_path / f"x{suffix}"
    path.write_text("before")
    with pytest.raises(GraphError, match=message):
        graph.save(g, path)
    assert path.read_text() == "before"


def test_bad_places(tmp_path):
    with pytest.raises(GraphError, match=r"ending with .bif .*got .*x.txt"):
        graph.save("asia", tmp_path / "x.txt")
    with pytest.raises(GraphError, match="cannot be written: No such file"):
        graph.save("asia", tmp_path / "none" / "x.bif")
    with pytest.raises(GraphError, match="directed network for BIF"):
        graph.save("A - B", tmp_path / "x.bif")
    with pytest.raises(GraphError, match="letters, digits"):
        graph.save(named(graph.load("sprinkler"), ["a b", "c", "d", "e"]), tmp_path / "x.net")
    assert not list(tmp_path.iterdir())


def test_a_file_is_replaced_whole(tmp_path, monkeypatch):
    path = tmp_path / "x.bif"
    graph.save("asia", path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(GraphError, match="No space left"):
        graph.save("sprinkler", path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.bif"]


def test_gzipped_files_are_the_same_bytes_each_time(tmp_path):
    graph.save("asia", tmp_path / "a.bif.gz")
    graph.save("asia", tmp_path / "b.bif.gz")
    assert gzip.decompress((tmp_path / "a.bif.gz").read_bytes()).startswith(b"network")
    assert (tmp_path / "a.bif.gz").read_bytes() == (tmp_path / "b.bif.gz").read_bytes()


PGMPY = [
    (".bif", "BIFReader"),
    (".xmlbif", "XMLBIFReader"),
    (".net", "NETReader"),
    (".xdsl", "XDSLReader"),
]


@pytest.mark.parametrize(("suffix", "reader"), PGMPY)
@pytest.mark.parametrize("name", ["asia", "pharmacy", "student"])
def test_pgmpy_reads_what_we_write(tmp_path, suffix, reader, name):
    readwrite = pytest.importorskip("pgmpy.readwrite")
    g = graph.load(name)
    graph.save(g, tmp_path / f"x{suffix}")
    theirs = getattr(readwrite, reader)(str(tmp_path / f"x{suffix}")).get_model()
    for table in theirs.get_cpds():
        data = g.nodes[table.variable]
        assert [*table.variables[1:]] == [*data["parents"]]
        assert table.state_names[table.variable] == [*data["states"]]
        np.testing.assert_allclose(
            np.moveaxis(table.values, 0, -1), data["table"], rtol=0, atol=1e-12
        )


@pytest.mark.parametrize(
    ("suffix", "within"), [(".bif", 6e-8), (".xmlbif", 1e-12), (".net", 6e-8)]
)
@pytest.mark.parametrize("name", ["asia", "pharmacy", "student"])
def test_pyagrum_reads_what_we_write(tmp_path, suffix, within, name):
    """pyAgrum 3.3.1 reads the numbers of BIF and NET in single precision."""
    gum = pytest.importorskip("pyagrum")
    g = graph.load(name)
    path = tmp_path / f"x{'.bifxml' if suffix == '.xmlbif' else suffix}"
    graph.save(g, tmp_path / f"x{suffix}")
    (tmp_path / f"x{suffix}").rename(path)
    theirs = gum.loadBN(str(path))
    for node, data in g.nodes(data=True):
        table = theirs.cpt(node)
        axes = [table.names.index(v) for v in (*data["parents"], node)]
        values = np.asarray(table.toarray()).transpose(_array_axes(table, axes))
        assert [*theirs.variable(node).labels()] == [*data["states"]]
        np.testing.assert_allclose(values, data["table"], rtol=0, atol=within)


def _array_axes(table, axes):
    """pyAgrum's arrays have the last variable first."""
    return [len(table.names) - 1 - axis for axis in axes]
