"""Loopy belief propagation: exact on trees, and honest about its convergence."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import (
    assert_same,
    brute,
    common,
    draw_soft,
    gibbs,
    hidden_markov,
    misconception,
    networks,
    with_potentials,
    with_tables,
)

from probgen import exact
from probgen.exact import ExactError, ImpossibleEvidence


def tree(seed, n=7):
    return nx.random_labeled_tree(n, seed=seed) if n > 1 else nx.empty_graph(1)


trees = st.builds(
    lambda seed, directed: (
        with_tables(nx.bfs_tree(tree(seed), 0), seed)
        if directed
        else with_potentials(tree(seed), seed)
    ),
    st.integers(0, 10**5),
    st.booleans(),
)


@common
@given(trees, st.data())
def test_on_trees_it_is_exact(g, data):
    evidence = draw_soft(data, g, 3)
    total, expected = brute(g, evidence)
    if not total:
        with pytest.raises(ImpossibleEvidence):
            exact.belief_propagation(g, evidence)
        return
    found = exact.belief_propagation(g, evidence)
    assert found
    assert found.steps <= 8
    assert_same(found.marginals, expected, 1e-10)


@settings(common, max_examples=30)
@given(networks | gibbs, st.data())
def test_states_that_are_ruled_out_stay_so(g, data):
    evidence = draw_soft(data, g, 2)
    total, expected = brute(g, evidence)
    if not total:
        return
    found = exact.belief_propagation(g, evidence, damping=0.3, tolerance=1e-6, steps=3000)
    for v, row in found.marginals.items():
        assert sum(row.values()) == pytest.approx(1)
        for state, p in row.items():
            if p == 0:
                assert expected[v][state] == pytest.approx(0, abs=1e-12)


def test_a_single_loop_has_the_right_most_probable_states():
    """Weiss 2000, "Correctness of local probability propagation": binary nodes, one loop."""
    found, truth = exact.belief_propagation(misconception()), exact.marginals(misconception())
    assert found
    for v, row in truth.items():
        assert max(row, key=row.get) == max(found.marginals[v], key=found.marginals[v].get)


def test_what_does_not_settle_is_said():
    """An antiferromagnetic triangle from which messages oscillate, and damping that helps."""
    g = nx.complete_graph(4)
    nx.set_node_attributes(g, (0, 1), "states")
    against = np.array([[0.01, 1.0], [1.0, 0.01]])
    g.graph["factors"] = [((a, b), against) for a, b in g.edges] + [((0,), np.array([0.6, 0.4]))]
    with pytest.warns(exact.NotConverged, match="not converged after 3 steps"):
        found = exact.belief_propagation(g, steps=3)
    assert not found
    assert found.change > 1e-8


def test_a_long_chain_and_a_star_do_not_underflow():
    g = hidden_markov(300)
    evidence = {f"x{i}": "s0" for i in range(300)}
    found = exact.belief_propagation(g, evidence)
    assert_same(found.marginals, exact.marginals(g, evidence), 1e-9)
    star = nx.DiGraph([("c", f"x{i}") for i in range(1200)])
    nx.set_node_attributes(star, ("a", "b"), "states")
    star.nodes["c"]["table"] = np.array([0.4, 0.6])
    for i in range(1200):
        odds = (0.9, 0.1) if i < 600 else (0.1, 0.9)
        star.nodes[f"x{i}"]["table"] = np.array([odds, odds[::-1]])
    found = exact.belief_propagation(star, {f"x{i}": "a" for i in range(1200)})
    assert found.marginals["c"] == pytest.approx({"a": 0.4, "b": 0.6}, abs=1e-9)


def test_interventions():
    found = exact.belief_propagation("asia", do={"lung": "yes"}).marginals
    truth = exact.marginals("asia", do={"lung": "yes"})
    assert found["smoke"] == pytest.approx(truth["smoke"], abs=1e-9)
    assert found["lung"] == {"yes": 1.0, "no": 0.0}


@pytest.mark.parametrize(
    ("question", "match"),
    [
        (lambda: exact.belief_propagation("asia", steps=0), "at least 1 step"),
        (lambda: exact.belief_propagation("asia", damping=1.0), r"damping in \[0, 1\)"),
        (lambda: exact.belief_propagation("asia", [{}]), "once per row"),
        (lambda: exact.belief_propagation("asia", {"tub": "yes", "either": "no"}), "zero"),
        (lambda: exact.belief_propagation("A - B"), "potentials"),
    ],
)
def test_bad_questions_are_refused(question, match):
    with pytest.raises(ExactError, match=match):
        question()
