"""Messages that neither underflow nor overflow."""

from math import inf, log

import networkx as nx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import assert_same, brute, common, draw_evidence, gibbs, hidden_markov, networks

from probgen import exact
from probgen.exact import ExactError


@settings(common, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(g=networks | gibbs, data=st.data())
def test_scaled_and_logarithmic_numbers_answer_alike(other_numbers, g, data):
    evidence = draw_evidence(data, g)
    total, expected = brute(g, evidence)
    assert exact.probability(g, evidence) == pytest.approx(total / brute(g, {})[0], abs=1e-12)
    if total:
        assert_same(exact.marginals(g, evidence), expected)
        rows = exact.marginals(g, [evidence, {}])
        for v, row in expected.items():
            assert rows[v][0] == pytest.approx(list(row.values()), abs=1e-12)


def test_a_thousand_nodes_do_not_underflow():
    g = hidden_markov(1000)
    evidence = {f"x{i}": "s0" for i in range(1000)}
    value = exact.log_probability(g, evidence)
    assert value == pytest.approx(forward(g, 1000), rel=1e-12)
    assert value < -745  # exp of it is 0 in float64
    posterior = exact.marginals(g, evidence)
    assert all(sum(row.values()) == pytest.approx(1) for row in posterior.values())
    last = exact.query(g, ["h999"], evidence)
    assert list(posterior["h999"].values()) == pytest.approx(last.values, abs=1e-12)
    assert exact.map(g, evidence).log_joint > -inf


def forward(g, n):
    """The forward algorithm (Rabiner 1989), in logarithms."""
    alpha = np.log(g.nodes["h0"]["table"])
    for i in range(n):
        if i:
            moved = alpha[:, None] + np.log(g.nodes[f"h{i}"]["table"])
            alpha = np.logaddexp.reduce(moved, 0)
        alpha = alpha + np.log(g.nodes[f"x{i}"]["table"][:, 0])
    return np.logaddexp.reduce(alpha)


def test_evidence_that_first_rules_a_state_out_and_then_in_again():
    """600 observations for one cause, 600 against it: plain products would underflow to 0."""
    g = nx.DiGraph([("c", f"x{i}") for i in range(1200)])
    nx.set_node_attributes(g, ("a", "b"), "states")
    g.nodes["c"]["table"] = np.array([0.4, 0.6])
    for i in range(1200):
        odds = (0.9, 0.1) if i < 600 else (0.1, 0.9)
        g.nodes[f"x{i}"]["table"] = np.array([odds, odds[::-1]])
    evidence = {f"x{i}": "a" for i in range(1200)}
    assert exact.marginals(g, evidence)["c"] == pytest.approx({"a": 0.4, "b": 0.6}, abs=1e-9)
    rows = exact.marginals(g, [evidence, {"x0": "a"}])["c"]
    assert rows == pytest.approx(np.array([[0.4, 0.6], [6 / 7, 1 / 7]]), abs=1e-9)


def test_potentials_far_from_1():
    """Their products leave float64 already before any question is asked."""
    g = nx.Graph([("A", "B"), ("B", "C")])
    tiny, huge = np.array([1e-200, 3e-200]), np.array([[1e200, 2e200], [1e200, 1e200]])
    g.graph["factors"] = [(("A",), tiny), (("A",), tiny), (("A", "B"), huge), (("B", "C"), huge)]
    assert exact.log_partition(g) == pytest.approx(log(3 * 1 + 2 * 2 + 9 * 3 + 9 * 2), abs=1e-9)
    assert exact.marginals(g)["A"][1] == pytest.approx(45 / 52, abs=1e-9)
    with pytest.raises(ExactError, match="divide them by their largest"):
        exact.marginalise(g, "A")
