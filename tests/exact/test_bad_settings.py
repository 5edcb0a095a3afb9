"""Settings of exact answers that are none: refused by name, never an error of numpy's."""

import networkx as nx
import numpy as np
import pytest

from probgen import exact
from probgen.exact import ExactError

NAN = float("nan")
ROWS = [{"A": 0, "B": 0}, {"A": 1, "B": 1}]
MARKOV = nx.Graph([("A", "B")], factors=[(("A", "B"), [[1.0, 2.0], [3.0, 4.0]])])


def fit(**settings):
    return exact.fit("A -> B", ROWS, **settings)


COUNTS = {
    "draws": (lambda n: exact.likelihood_weighting("asia", n=n), "n as .* at least 1 draw"),
    "rows": (lambda n: exact.sample("asia", n), "n as .* at least 0 rows"),
    "steps of messages": (
        lambda n: exact.belief_propagation("asia", steps=n),
        "steps as .* at least 1 step",
    ),
    "steps of learning": (lambda n: fit(steps=n), "steps as .* at least 0 steps"),
    "entries": (
        lambda n: exact.sensitivity("asia", "lung", "yes").largest(n),
        "n as .* at least 1 entry",
    ),
}


@pytest.mark.parametrize("given", [-1, 1.5, "3", None, NAN, True])
@pytest.mark.parametrize("what", COUNTS)
def test_counts_are_whole_numbers(what, given):
    ask, match = COUNTS[what]
    with pytest.raises(ExactError, match=match):
        ask(given)


@pytest.mark.parametrize("tolerance", [-1.0, NAN, "small", None])
@pytest.mark.parametrize(
    "ask",
    [
        lambda t: exact.belief_propagation("asia", tolerance=t),
        lambda t: exact.same_distribution("asia", "asia", tolerance=t),
        lambda t: fit(tolerance=t),
    ],
    ids=["messages", "sameness", "learning"],
)
def test_a_tolerance_is_at_least_0(ask, tolerance):
    with pytest.raises(ExactError, match="expected tolerance as a number of at least 0; got"):
        ask(tolerance)


@pytest.mark.parametrize("seed", [-1, "first", 1.5])
@pytest.mark.parametrize(
    "ask",
    [
        lambda seed: exact.likelihood_weighting("asia", seed=seed),
        lambda seed: exact.sample("asia", 2, seed=seed),
        lambda seed: fit(seed=seed),
    ],
    ids=["weighting", "sampling", "learning"],
)
def test_a_seed_is_a_whole_number(ask, seed):
    with pytest.raises(ExactError, match="expected seed as a whole number of at least 0; got"):
        ask(seed)


ASKED = {
    "map": lambda nodes: exact.map("asia", nodes=nodes),
    "weighting": lambda nodes: exact.likelihood_weighting("asia", nodes=nodes, n=9),
    "information": lambda nodes: exact.value_of_information("asia", "tub", nodes=nodes),
    "query": lambda nodes: exact.query("asia", nodes),
    "cost of map": lambda nodes: exact.cost("asia", nodes=nodes),
    "cost of query": lambda nodes: exact.cost("asia", joint=nodes),
}


@pytest.mark.parametrize("nodes", [3, "lung", [["lung"]]], ids=["number", "name", "lists"])
@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
def test_nodes_are_a_list_of_names(ask, nodes):
    with pytest.raises(exact.ExactError.__base__, match="expected (a list|nodes|joint)"):
        ask(nodes)


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
def test_an_array_of_names_is_a_list_of_nodes(ask):
    assert str(ask(np.array(["lung", "smoke"]))) == str(ask(["lung", "smoke"]))


@pytest.mark.parametrize(
    "ask",
    [
        lambda rows: exact.marginals("asia", rows),
        lambda rows: exact.counts("asia", rows),
        lambda rows: exact.fit("asia", rows),
    ],
    ids=["marginals", "counts", "fit"],
)
def test_rows_that_are_read_once_are_refused(ask):
    with pytest.raises(ExactError, match="a list of these, a data frame or Rows; got generator"):
        ask({"smoke": "yes"} for _ in range(2))


def test_one_equivalent_sample_size_per_node():
    with pytest.raises(ExactError, match="one number .* for A, B: give entries by pseudo_counts="):
        fit(equivalent_sample_size=[1.0, 2.0])


def test_a_likelihood_beyond_float64_is_refused():
    with pytest.raises(ExactError, match="expected numbers as likelihoods of smoke"):
        exact.marginals("asia", {"smoke": {"yes": 10**400, "no": 1}})


def test_potentials_have_no_entries_that_vary():
    with pytest.raises(ExactError, match="expected a directed network, .* got an undirected one"):
        exact.sensitivity(MARKOV, "A", 0)


@pytest.mark.parametrize("damping", ["half", None, NAN, -0.1])
def test_damping_is_a_share(damping):
    with pytest.raises(ExactError, match=r"expected damping in \[0, 1\); got"):
        exact.belief_propagation("asia", damping=damping)
