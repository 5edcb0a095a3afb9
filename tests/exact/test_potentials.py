"""Markov networks: partition functions, scaling, marginals."""

from math import exp, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import assert_same, common, gibbs, joint_of, misconception, networks

from probgen import exact, graph


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_markov_network_is_pgmpys():
    from pgmpy.inference import VariableElimination
    from pgmpy.models import DiscreteMarkovNetwork

    network = graph.to_pgmpy(misconception())
    assert isinstance(network, DiscreteMarkovNetwork)
    assert exp(exact.log_partition(network)) == pytest.approx(network.get_partition_function())
    answer = VariableElimination(network).query(["B"], evidence={"D": "yes"}, show_progress=False)
    assert list(exact.marginals(network, {"D": "yes"})["B"].values()) == pytest.approx(
        (answer.values / answer.values.sum()).tolist(), abs=1e-12
    )


def test_the_partition_function_of_koller_and_friedman():
    g = misconception()
    assert exp(exact.log_partition(g)) == pytest.approx(7_201_840)
    greatest = exact.map(g)
    assert greatest.states == {"A": "no", "B": "yes", "C": "yes", "D": "no"}
    assert greatest.probability == pytest.approx(5_000_000 / 7_201_840)


def test_scaling_a_potential_by_5_scales_z_and_nothing_else():
    g, scaled = misconception(), misconception()
    names, values = scaled.graph["factors"][1]
    scaled.graph["factors"][1] = names, 5 * values
    assert exact.log_partition(scaled) == pytest.approx(exact.log_partition(g) + log(5))
    assert_same(exact.marginals(scaled, {"A": "yes"}), exact.marginals(g, {"A": "yes"}))
    assert exact.same_distribution(g, scaled)
    scaled.graph["factors"][1] = names, values + 1
    verdict = exact.same_distribution(g, scaled)
    assert not verdict
    assert "different distributions: p(" in str(verdict)


@settings(common, max_examples=30)
@given(networks | gibbs, st.data())
def test_marginalising_leaves_the_others_as_they_were(g, data):
    node = data.draw(st.sampled_from(sorted(g)))
    left = exact.marginalise(g, node)
    assert set(left) == set(g) - {node}
    assert graph.load(left) is left
    assert exact.log_partition(left) == pytest.approx(exact.log_partition(g), abs=1e-12)
    sums = {}
    for x, weight in joint_of(g):
        key = frozenset((v, s) for v, s in x.items() if v != node)
        sums[key] = sums.get(key, 0.0) + weight
    for x, weight in joint_of(left):
        assert weight == pytest.approx(sums[frozenset(x.items())], rel=1e-10, abs=1e-12)


def test_an_isolated_node_drops_out_of_a_bayesian_network_and_out_of_z_only_if_it_sums_to_1():
    bayes = graph.load("asia").copy()
    bayes.add_node("alone", states=("a", "b"), parents=(), table=np.array([0.3, 0.7]))
    assert exact.same_distribution(exact.marginalise(bayes, "alone"), "asia")
    g = misconception()
    g.add_node("alone", states=("a", "b"))
    g.graph["factors"].append((("alone",), np.array([1.0, 3.0])))
    kept, dropped = (exact.marginalise(g, "alone", normalised=n) for n in (False, True))
    assert exact.log_partition(kept) == pytest.approx(exact.log_partition(g))
    assert exact.log_partition(dropped) == pytest.approx(exact.log_partition(g) - log(4))
    assert exact.same_distribution(kept, misconception())
    assert exact.same_distribution(dropped, misconception())
    g.graph["factors"][-1] = ("alone",), np.array([0.25, 0.75])
    assert len(exact.marginalise(g, "alone").graph["factors"]) == 4
