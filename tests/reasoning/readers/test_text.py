"""Arrows as people paste them: the same arrow, or an error that shows it."""

import networkx as nx
import pytest

from probgen import dsep, graph
from probgen.reasoning.graph import GraphError
from probgen.reasoning.readers import text

RIGHT = ["->", "-->", "--->", "->>", "-->>", "=>", "==>", "-.->", "–>", "—>", "──>", "－＞"]
RIGHT += [*"→⟶⇒⟹⇨➔➜➡", "➡\ufe0f"]
LEFT = ["<-", "<--", "<<-", "<==", "<-.-", "<–", *"←⟵⇐⟸⬅"]
BOTH = ["<->", "<-->", "<=>", "<<->>", *"↔⟷⇔"]
UNKNOWN = ["->-", ">->", ">-", ">", "<", "<>", "==", "=", "<=", ">=", "~", "~~", "=~", "~>", "~~~"]
UNKNOWN += [*"↛⇸↦⊸⇄▶", "─▶", "->>>"]


@pytest.mark.parametrize("arrow", RIGHT)
@pytest.mark.parametrize("blank", ["", " ", "\t"])
def test_longer_arrows_are_the_same_arrow(arrow, blank):
    loaded = graph.load(f"A{blank}{arrow}{blank}B; B{blank}{arrow}{blank}C")
    assert list(loaded.edges) == [("A", "B"), ("B", "C")]
    assert loaded.is_directed()


@pytest.mark.parametrize("arrow", LEFT)
@pytest.mark.parametrize("blank", ["", " "])
def test_longer_arrows_back(arrow, blank):
    assert list(graph.load(f"A{blank}{arrow}{blank}B").edges) == [("B", "A")]


@pytest.mark.parametrize("dash", ["-", "--", "---", "–", "—", "−", "-.-"])
def test_dashes_join_without_direction(dash):
    loaded = graph.load(f"A {dash} B; C")
    assert not loaded.is_directed()
    assert list(loaded.edges) == [("A", "B")]
    assert list(graph.load("A--B--C").edges) == [("A", "B"), ("B", "C")]


@pytest.mark.parametrize("arrow", BOTH)
@pytest.mark.parametrize("blank", ["", " "])
def test_bidirected_edges_are_refused_by_name(arrow, blank):
    with pytest.raises(GraphError, match="the bidirected edge A <-> B: name the common cause"):
        graph.load(f"A{blank}{arrow}{blank}B")


@pytest.mark.parametrize("arrow", UNKNOWN)
def test_other_signs_are_shown(arrow):
    with pytest.raises(GraphError, match="expected an arrow.*got '") as error:
        graph.load(f"A {arrow} B; B {arrow} C")
    assert repr(arrow) in str(error.value)


@pytest.mark.parametrize(
    "edge",
    ["A o-> B", "A <-o B", "A o-o B", "A --o B", "A --x B", "A @-> B", "A *-> B", "A °-> B"],
)
def test_circles_and_crosses_are_refused(edge):
    with pytest.raises(GraphError, match="a circle or a cross"):
        graph.load(f"{edge}; C -> A")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("A@->B", "got 'A@', which may be the circle"),
        ("A->@B", "got '@B', which may be the circle"),
        ("X*->Y", "got 'X[*]'"),
        ("A-->|text|B", "which may be the circle or the label of an edge"),
        ("A -B; C", "'-B' could be an edge or a name"),
        ("-1 -> 2", "'-1' could be an edge or a name"),
        ("A<=B; B<=C", "'A<=B' could be an arrow or a name"),
        ("A>B; B>C", "'A>B' could be an arrow or a name"),
        ("A>=B -> C", "'A>=B' could be an arrow or a name"),
        ("Y~X; Z~Y", "'Y~X' could be an edge or a name"),
        ("A(Rain) --> B(Wet)\nB --> C", "'B[(]Wet[)]' and 'B', which mermaid takes for one"),
        ("A:::hot --> B; A --> C", "'A:::hot' and 'A', which mermaid takes for one"),
        ("A -> B\nB --o C", "line 2: .*circle|edges of one kind"),
        ("A -> B\nB ↛ C", "line 2: expected an arrow"),
    ],
)
def test_half_an_arrow_is_never_part_of_a_name(source, message):
    with pytest.raises(GraphError, match=message):
        graph.load(source)


def test_names_that_hold_such_signs_keep_working():
    source = 'x-ray -> age>=65; p<0.05 -> "A-->B" <- ">x"; a=b -> X* -> f(x) <- "Y~X" <- A.B'
    assert set(graph.load(source)) == {
        "x-ray", "age>=65", "p<0.05", "A-->B", ">x", "a=b", "X*", "f(x)", "Y~X", "A.B",
    }  # fmt: skip


@pytest.mark.parametrize(
    "source", ["A-->B; B-->C; C-->D", "A<--B; B<--C; C<--D", "A->>B; B->>C; C->>D", "A⟶B⟶C⟶D"]
)
def test_chains_stay_chains(source):
    assert not dsep.check(source, "A", "D")
    assert dsep.check(source, "A", "D", "B")


def test_every_run_of_signs_is_an_arrow_or_an_error():
    """No run of signs between two names gives another graph than one edge between them."""
    for length in (1, 2, 3, 4):
        for number in range(5**length):
            run = "".join("-=<>~"[number // 5**k % 5] for k in range(length))
            for source in (f"A{run}B;", f"A {run} B;", f"C -> A{run}B;"):
                try:
                    loaded = text.read(source)
                except GraphError:
                    continue
                assert set(loaded) <= {"A", "B", "C", "A-B", "A=B", "A~B"}, source
                if {"A", "B"} <= set(loaded):
                    assert loaded.has_edge("A", "B") or loaded.has_edge("B", "A"), source


def test_marks_of_arrows():
    assert [text.marks(a) for a in ("->", "<-", "-", "<->")] == [
        ("-", ">"), (">", "-"), ("-", "-"), (">", ">"),
    ]  # fmt: skip
    assert not any(map(text.marks, UNKNOWN))


def test_a_long_line_of_signs_is_refused_quickly():
    for bomb in ("-" * 65_000 + ">", "A" + "-." * 30_000, "A -" + "." * 60_000, "((" * 30_000):
        with pytest.raises(GraphError):
            graph.load(bomb + ";" if "(" not in bomb else bomb + "; " + bomb + " x")
    assert isinstance(graph.load("A" + "-" * 60_000 + ">B"), nx.DiGraph)
