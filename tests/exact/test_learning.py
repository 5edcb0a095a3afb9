"""Tables learned by counting, EM and gradients."""

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import brute, common, draw_evidence, joint_of, networks

from probgen import exact, graph


@settings(common, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(g=networks, data=st.data())
def test_counts_and_gradients_are_the_posteriors_of_families(plans, g, data):
    rows = [draw_evidence(data, g, 6) for _ in range(4)]
    rows = [row for row in rows if brute(g, row)[0]]
    if not rows:
        return
    expected = exact.counts(g, rows)
    given_ = {v: torch.tensor(g.nodes[v]["table"], requires_grad=True) for v in g}
    value = exact.log_likelihood(g, rows, given_)
    value.sum().backward()
    assert value.detach().numpy() == pytest.approx(exact.log_probability(g, rows), abs=1e-12)
    for v in g:
        by_gradient = (given_[v].grad * given_[v].detach()).numpy()
        assert by_gradient == pytest.approx(expected[v], abs=1e-10)
        by_hand = sum(family_posterior(g, v, row) for row in rows)
        assert expected[v] == pytest.approx(by_hand, abs=1e-12)


def family_posterior(g, v, evidence):
    family = (*g.nodes[v]["parents"], v)
    table = np.zeros(g.nodes[v]["table"].shape)
    for x, weight in joint_of(g):
        if all(x[u] == s for u, s in evidence.items()):
            table[tuple(g.nodes[u]["states"].index(x[u]) for u in family)] += weight
    return table / table.sum()


PHARMACY = 10_000


def counted(g, rows):
    """Maximum likelihood from complete rows: frequencies; and the log-likelihood."""
    tables, value = {}, 0.0
    for v, data in g.nodes(data=True):
        family = (*data["parents"], v)
        table = np.zeros(data["table"].shape)
        columns = [rows.codes[:, rows.nodes.index(u)] for u in family]
        np.add.at(table, tuple(columns), 1)
        tables[v] = table / table.sum(-1, keepdims=True)
        value += (table * np.log(np.where(table > 0, tables[v], 1))).sum()
    return tables, value


@pytest.mark.parametrize("method", ["em", "gradient"])
def test_pharmacy_is_learned_as_by_counting(method):
    g = graph.load("pharmacy")
    rows = exact.sample(g, PHARMACY, seed=2)
    tables, best = counted(g, rows)
    structure = nx.DiGraph(g.edges)
    found = exact.fit(structure, rows, method=method)
    assert found.log_likelihood[-1] == pytest.approx(best, abs=1e-4)
    turned = graph.load(found.network)
    assert exact.log_probability(turned, rows).sum() == pytest.approx(best, abs=1e-4)
    for v, table in tables.items():
        data = turned.nodes[v]
        order = [data["parents"].index(p) for p in g.nodes[v]["parents"]] + [table.ndim - 1]
        learned = data["table"].transpose(order)
        for axis, u in enumerate((*g.nodes[v]["parents"], v)):
            where = [data_states(turned, u).index(s) for s in data_states(g, u)]
            learned = learned.take(where, axis)
        assert learned == pytest.approx(table, abs=1e-8 if method == "em" else 2e-3)


def data_states(g, v):
    return g.nodes[v]["states"]


def test_em_and_gradient_agree_where_values_are_missing():
    g = graph.load("pharmacy")
    rows = exact.sample(g, PHARMACY, seed=2)
    codes = rows.codes.copy()
    codes[np.random.default_rng(0).random(codes.shape) < 0.2] = -1
    holes = exact.Rows(rows.nodes, rows.states, codes)
    em = exact.fit(g, holes, method="em", tolerance=1e-12)
    gradient = exact.fit(g, holes, method="gradient", tolerance=1e-14)
    assert (np.diff(em.log_likelihood) > -1e-6).all()
    assert em.log_likelihood[-1] == pytest.approx(gradient.log_likelihood[-1], abs=1e-2)
    direct = exact.log_probability(em.network, holes).sum()
    assert direct == pytest.approx(em.log_likelihood[-1], abs=1e-6)


@pytest.mark.parametrize("zero", [False, True])
def test_the_gradient_does_not_underflow_either(zero):
    torch = pytest.importorskip("torch")
    star = nx.star_graph(999, create_using=nx.DiGraph)
    likely = [[0.999, 0.001], [0.002, 0.998]]
    for v, data in star.nodes(data=True):
        table = likely if v else [0.5, 0.5]
        data.update(states=(0, 1), parents=tuple(star.pred[v]), table=np.array(table))
    if zero:
        star.nodes[7]["table"] = np.array([[0.0, 1.0], [0.002, 0.998]])
    row = {v: int(v >= 300) for v in range(1, 1000)}
    root = torch.tensor([0.5, 0.5], dtype=torch.float64, requires_grad=True)
    leaf = torch.from_numpy(star.nodes[7]["table"]).requires_grad_()
    found = exact.log_likelihood(star, [row], {0: root, 7: leaf})
    assert found.item() == pytest.approx(exact.log_probability(star, row), rel=1e-12)
    found.sum().backward()
    expected = exact.counts(star, [row])
    for v, table in ((0, root), (7, leaf)):
        assert (table * table.grad).detach().numpy() == pytest.approx(expected[v], abs=1e-12)
