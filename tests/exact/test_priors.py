"""Pseudo-counts, unseen rows, absent tables: closed forms."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import common, networks

from probgen import exact, graph
from probgen.exact import ExactError, TooCostly
from probgen.reasoning.graph import UnknownNode

ROWS = [{"A": 0, "B": 0}, {"A": 0, "B": 1}, {"A": 0, "B": 1}]


def pair():
    g = nx.DiGraph([("A", "B")])
    nx.set_node_attributes(g, (0, 1), "states")
    return g


def counted(g, rows):
    """Counts of complete rows, by hand."""
    found = {}
    for v, data in g.nodes(data=True):
        table = np.zeros(np.shape(data["table"]))
        family = (*data["parents"], v)
        for row in zip(*(rows[u] for u in family), strict=True):
            at = [g.nodes[u]["states"].index(state) for u, state in zip(family, row, strict=True)]
            table[tuple(at)] += 1
        found[v] = table
    return found


@settings(common, max_examples=25)
@given(networks, st.integers(1, 30), st.sampled_from([0.5, 1.0, 2.5]), st.booleans())
def test_tables_are_dirichlet_posterior_means(g, n, amount, bdeu):
    rows = exact.sample(g, n, seed=n)
    prior = {"equivalent_sample_size": amount} if bdeu else {"pseudo_counts": amount}
    found = exact.fit(g, rows, **prior).network
    for v, table in counted(g, rows).items():
        above = table + (amount / table.size if bdeu else amount)
        expected = above / above.sum(-1, keepdims=True)
        assert found.nodes[v]["table"] == pytest.approx(expected, abs=1e-12)


def test_a_prior_per_table():
    prior = {"B": [[3, 1], [1, 1]]}
    found = exact.fit(pair(), ROWS, pseudo_counts=prior).network
    assert found.nodes["A"]["table"].tolist() == [1.0, 0.0]
    assert found.nodes["B"]["table"] == pytest.approx(np.array([[4 / 7, 3 / 7], [0.5, 0.5]]))
    even = exact.fit(pair(), ROWS, equivalent_sample_size={"B": 4}).network
    assert even.nodes["B"]["table"] == pytest.approx(np.array([[2 / 5, 3 / 5], [0.5, 0.5]]))
    mixed = exact.fit(
        pair(), ROWS, pseudo_counts={"A": [1, 2]}, equivalent_sample_size={"B": 4}
    ).network
    assert mixed.nodes["A"]["table"] == pytest.approx([4 / 6, 2 / 6])
    assert mixed.nodes["B"]["table"] == pytest.approx(even.nodes["B"]["table"])


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("method", ["em", "gradient"])
def test_states_of_the_parents_that_no_row_has_are_uniform_and_reported(method, seed):
    fitted = exact.fit(pair(), ROWS, seed=seed, method=method)
    assert fitted.network.nodes["B"]["table"][1].tolist() == [0.5, 0.5]
    assert {v: rows.tolist() for v, rows in fitted.unseen.items()} == {"B": [False, True]}


def test_with_a_prior_they_are_its_mean_and_with_a_table_that():
    fitted = exact.fit(pair(), ROWS, pseudo_counts={"B": [[1, 1], [1, 3]]})
    assert fitted.network.nodes["B"]["table"][1].tolist() == [0.25, 0.75]
    assert fitted.unseen["B"].tolist() == [False, True]
    own = pair()
    own.nodes["A"].update(parents=(), table=[0.5, 0.5])
    own.nodes["B"].update(parents=("A",), table=[[0.5, 0.5], [0.9, 0.1]])
    assert exact.fit(own, ROWS).network.nodes["B"]["table"][1].tolist() == [0.9, 0.1]


def test_nothing_is_unseen_where_every_row_is_seen():
    assert exact.fit(pair(), [*ROWS, {"A": 1, "B": 0}]).unseen == {}


def test_em_and_gradient_find_the_same_maximum_with_a_prior():
    g = graph.load("pharmacy")
    rows = exact.sample(g, 500, seed=2)
    codes = rows.codes.copy()
    codes[np.random.default_rng(0).random(codes.shape) < 0.2] = -1
    holes = exact.Rows(rows.nodes, rows.states, codes)
    em = exact.fit(g, holes, pseudo_counts=2.0, tolerance=1e-13)
    gradient = exact.fit(g, holes, pseudo_counts=2.0, method="gradient", tolerance=1e-14)
    for v in g:
        found = em.network.nodes[v]["table"]
        assert found == pytest.approx(gradient.network.nodes[v]["table"], abs=2e-4)


def test_the_history_ends_with_the_tables_that_are_returned():
    g = graph.load("pharmacy")
    rows = exact.sample(g, 200, seed=2)
    codes = rows.codes.copy()
    codes[:, 0] = -1
    holes = exact.Rows(rows.nodes, rows.states, codes)
    fitted = exact.fit(g, holes, steps=3)
    assert len(fitted.log_likelihood) == 4
    direct = exact.log_probability(fitted.network, holes).sum()
    assert direct == pytest.approx(fitted.log_likelihood[-1], abs=1e-9)


def test_absent_tables_are_named_and_learned():
    g = graph.load("asia").copy()
    rows = exact.sample(g, 100, seed=0)
    for v in ("lung", "bronc"):
        del g.nodes[v]["table"]
    with pytest.raises(ExactError, match=r"got none at lung, bronc: .*exact.fit"):
        exact.marginals(g)
    fitted = exact.fit(g, rows, pseudo_counts=1.0)
    assert set(exact.marginals(fitted.network)) == set(g)
    assert "table" not in g.nodes["lung"]


def test_missing_values_are_no_states():
    rows = [{"A": "x", "B": "u"}, {"A": "?", "B": None}, {"A": float("nan"), "B": "w"}]
    fitted = exact.fit("A -> B", rows, pseudo_counts=1.0)
    assert fitted.network.nodes["A"]["states"] == ("x",)
    assert fitted.network.nodes["B"]["states"] == ("u", "w")


@pytest.mark.parametrize("parents", [33, 64, 70])
def test_a_table_that_is_too_large_is_too_costly(parents):
    g = nx.DiGraph([(f"p{i}", "B") for i in range(parents)])
    nx.set_node_attributes(g, (0, 1), "states")
    with pytest.raises(TooCostly, match=f"give B fewer than {parents} parents") as no:
        exact.fit(g, [{"B": 1}])
    assert no.value.cost.largest == 2 ** (parents + 1)


@pytest.mark.parametrize(
    ("prior", "error", "match"),
    [
        ({"pseudo_counts": -1}, ExactError, "pseudo_counts of at least 0"),
        ({"pseudo_counts": float("nan")}, ExactError, "pseudo_counts of at least 0"),
        ({"pseudo_counts": "many"}, ExactError, "pseudo_counts as numbers"),
        ({"pseudo_counts": {"B": [1, 2, 3]}}, ExactError, r"fit its table, \(2, 2\); got \(3,\)"),
        ({"pseudo_counts": {"C": 1}}, UnknownNode, "nodes in pseudo_counts"),
        ({"equivalent_sample_size": {"C": 1}}, UnknownNode, "nodes in equivalent_sample_size"),
        ({"equivalent_sample_size": -2}, ExactError, "equivalent_sample_size of at least 0"),
        ({"pseudo_counts": 1, "equivalent_sample_size": 1}, ExactError, "both for A, B"),
    ],
)
def test_bad_priors_are_refused(prior, error, match):
    with pytest.raises(error, match=match):
        exact.fit(pair(), ROWS, **prior)
