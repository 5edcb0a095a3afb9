"""Claims of independence, read and graded."""

import networkx as nx
import pytest

from probgen import dsep
from probgen.reasoning.graph import GraphError


def test_grades():
    grades = dsep.grade(
        "pharmacy",
        {
            "M _||_ T | D, I": False,
            "F ⊥ D": False,
            r"S \perp D \mid I": True,
            "M ⟂ F": True,
            r"M \perp\!\!\!\perp F | \{T\}": True,
            r"M \not\perp F \mid T": True,
            "p(M) = p(M|F)": True,
            "p(M, F | T) = p(M | T) p(F | T)": True,
            "P(D | I, T) = P(D | I, T, M)": True,
            "MB(I) = {M, S, T, F, D}": True,
            "Markov blanket of D: I, T": True,
            "chordal": True,
        },
    )
    assert [bool(g) for g in grades] == [
        False, True, True, True, False, True, True, False, True, True, True, True,
    ]  # fmt: skip
    assert "9 of 12 right" in str(grades)
    assert "wrong" in grades._repr_html_()


def test_grading_a_drawn_graph():
    drawn = "O - S; O - T; A - T; S - B; A - M; B - M; T - M; O - A; T - B; C"
    grades = dsep.grade(
        "abcmost",
        [
            f"moral graph: {drawn}",
            f"moral graph: {drawn}; A - B",
            f"I-map: {drawn}",
            f"I-map: {drawn}; A - B",
            f"perfect map: {drawn}; A - B",
            "cliques = {A,B,M,T}, {A,O,T}, {B,S}, {O,S}, {C}",
            ("chordal", False),
        ],
    )
    assert [bool(g) for g in grades] == [False, True, False, True, False, True, True]
    assert "missing edges: A - B (married: A and B are parents of M)" in grades[0].why
    assert "it claims A _||_ B" in grades[2].why
    assert not dsep.grade("abcdefg", "cliques = {A,B,C}, {B,D,E}, {C,D,F}, {E,G}")[0]


@pytest.mark.parametrize(
    "claim",
    [
        "M is nice",
        "M _||_ F | T | D",
        "M _||_ Q",
        "p(M) = p(F)",
        "MB(T) = Q",
        "MB(T, S) = I",
        "MB(,) = I",
        "cliques = MIS",
        "cliques = {M,I,S}, {I,T",
        "cliques =",
        "",
    ],
)
def test_claims_that_cannot_be_read(claim):
    with pytest.raises(GraphError, match="expected"):
        dsep.grade("pharmacy", [claim])


def test_claims_and_limits_of_the_wrong_kind():
    with pytest.raises(GraphError, match="claims as text; got int"):
        dsep.grade("pharmacy", 3)
    for claim in (("M _||_ F", "yes"), ("M _||_ F", True, 1), 3, None):
        with pytest.raises(GraphError, match="and its truth"):
            dsep.grade("pharmacy", [claim])
    for number in (0, 1.5, None):
        with pytest.raises(GraphError, match=f"at least 1 trail; got {number}"):
            dsep.check("A -> B", "A", "B", max_trails=number)


def test_claims_about_names_that_are_no_text():
    g = nx.DiGraph([(0, 1)])
    assert all(dsep.grade(g, ["moral graph: 0 - 1", "I-map: 0 - 1", "MB(0) = 1"]))
    with pytest.raises(GraphError, match="two of one name"):
        dsep.grade(nx.DiGraph([("1", 1), (1, 2)]), ["1 _||_ 2"])


TRUE = [
    "(A ⟂ C | B)",
    "((A ⟂ C | B))",
    "A _|_ C | B",
    "(A _|_ C | B)",
    "(A) ⟂ (C) | (B)",
    "{A} ⟂ {C} | {B}",
    "A⊥⊥C|B",
    "A ⫫ C ｜ B",
    "A ⟂ C given B",
    r"$A \perp C \mid B$",
    r"A \,\perp\, C \mid B",
    r"A \perp\!\!\!\perp C \given B",
    r"A \Perp C | B",
    r"A \indep C | B",
    r"A \independent C | B",
    r"A \upmodels C | B",
    "A ⊥̸ C",
    "A ⊥̸⊥ C",
    "A !_||_ C",
    "A not _|_ C",
    "not (A ⟂ C)",
    "¬(A ⟂ C)",
    r"A \not\!\perp C",
    r"A \nperp C",
    r"A \notindep C",
]
FALSE = [
    "(A ⟂ C)",
    "A _|_ C",
    "¬(A ⟂ C | B)",
    "not (A _||_ C | B)",
    "A ⊥̸ C | B",
    r"A \nperp C | B",
    r"A \not\perp C | B",
]


@pytest.mark.parametrize("claim", TRUE)
def test_independences_as_others_write_them(claim):
    assert dsep.grade("A -> B -> C", [claim])[0].actual


@pytest.mark.parametrize("claim", FALSE)
def test_negations_and_conditions_are_not_lost(claim):
    assert not dsep.grade("A -> B -> C", [claim])[0].actual


def test_parentheses_and_words_of_names_are_kept():
    g = nx.DiGraph([("f(x)", "g"), ("g", "(k)"), ("not", "given")])
    claims = ["(f(x) ⟂ (k) | g)", "f(x) ⟂ (k) | g", "g ⟂ given", "not ⟂ g", "(f(x)) _|_ {(k)} | g"]
    assert not dsep.grade(g, claims).wrong


@pytest.mark.parametrize("claim", ["(A ⟂ C | B) (", "(A ⟂ C | B", "A || C", "not (not (A ⟂ C))"])
def test_claims_with_loose_ends(claim):
    with pytest.raises(GraphError, match="expected"):
        dsep.grade("A -> B -> C", [claim])


def test_long_claims_are_refused_quickly():
    for bomb in ("(" * 30_000, "not (" * 10_000, "(" * 30_000 + ")" * 30_000, "¬" * 60_000):
        with pytest.raises(GraphError):
            dsep.grade("A -> B", [bomb + "A _||_ B"])
