"""Exact inference: every answer against enumeration, pgmpy, and its own other answers."""

import tracemalloc
from itertools import product
from math import exp, inf, log

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_graphs import dags
from shared_data import bif_files

from probgen import exact, graph
from probgen.exact import ExactError, ImpossibleEvidence, TooCostly, plan, propagation
from probgen.graph import GraphError, UnknownNode

common = settings(deadline=None, max_examples=60)


def with_tables(g, seed, zeros=0.2):
    """The graph with random tables over two or three states; some entries are 0."""
    rng = np.random.default_rng(seed)
    made = nx.DiGraph(g)
    for v in made:
        made.nodes[v]["states"] = tuple(f"s{k}" for k in range(rng.integers(2, 4)))
    for v, data in made.nodes(data=True):
        parents = tuple(rng.permutation(list(made.pred[v])).tolist())
        shape = [len(made.nodes[u]["states"]) for u in (*parents, v)]
        table = rng.random(shape) * (rng.random(shape) > zeros)
        table[..., 0] += 0.1 * (table.sum(-1) == 0)
        data.update(parents=parents, table=table / table.sum(-1, keepdims=True))
    return made


def with_potentials(g, seed):
    """An undirected graph with random potentials on its edges and on some nodes."""
    rng = np.random.default_rng(seed)
    made = nx.Graph(g)
    for v in made:
        made.nodes[v]["states"] = tuple(range(rng.integers(2, 4)))
    scopes = [*made.edges, *((v,) for v in made if rng.random() < 0.5)]
    size = {v: len(made.nodes[v]["states"]) for v in made}
    made.graph["factors"] = [(s, rng.random([size[v] for v in s]) * 3) for s in scopes]
    return made


networks = st.builds(with_tables, dags(largest=6), st.integers(0, 10**6))
gibbs = st.builds(with_potentials, dags(largest=6), st.integers(0, 10**6))


def joint_of(g, do=()):
    """Every state of all nodes with its weight, by definition."""
    nodes = list(g)
    position = {v: {s: k for k, s in enumerate(g.nodes[v]["states"])} for v in nodes}
    if g.is_directed():
        tables = [((*g.nodes[v]["parents"], v), g.nodes[v]["table"]) for v in nodes if v not in do]
    else:
        tables = g.graph["factors"]
    for states in product(*(g.nodes[v]["states"] for v in nodes)):
        x = dict(zip(nodes, states, strict=True))
        weight = 1.0
        for names, table in tables:
            weight *= table[tuple(position[v][x[v]] for v in names)]
        yield x, weight


def brute(g, evidence, do=None):
    """The weight of the evidence, and every node's posterior, by enumeration."""
    do, total = do or {}, 0.0
    sums = {v: dict.fromkeys(g.nodes[v]["states"], 0.0) for v in g}
    for x, weight in joint_of(g, do):
        if all(x[v] == s for v, s in {**evidence, **do}.items()):
            total += weight
            for v in g:
                sums[v][x[v]] += weight
    posterior = (
        {v: {s: p / total for s, p in row.items()} for v, row in sums.items()} if total else {}
    )
    return total, posterior


def draw_evidence(data, g, largest=3):
    nodes = data.draw(st.lists(st.sampled_from(sorted(g)), max_size=largest, unique=True))
    return {v: data.draw(st.sampled_from(g.nodes[v]["states"])) for v in nodes}


def assert_same(found, expected, tolerance=1e-12):
    assert set(found) == set(expected)
    for v, row in expected.items():
        assert found[v] == pytest.approx(row, abs=tolerance), v


@common
@given(networks | gibbs, st.data())
def test_posteriors_are_those_of_the_enumerated_joint(g, data):
    evidence = draw_evidence(data, g)
    total, expected = brute(g, evidence)
    z = brute(g, {})[0]
    assert exact.log_partition(g) == pytest.approx(log(z), abs=1e-12)
    assert exact.probability(g, evidence) == pytest.approx(total / z, abs=1e-12)
    if total:
        assert_same(exact.marginals(g, evidence), expected)
    else:
        with pytest.raises(ImpossibleEvidence, match="probability zero"):
            exact.marginals(g, evidence)


@common
@given(networks, st.data())
def test_interventions_are_those_of_the_mutilated_network(g, data):
    do = draw_evidence(data, g, 2)
    evidence = {v: s for v, s in draw_evidence(data, g).items() if v not in do}
    total, expected = brute(g, evidence, do)
    cut = nx.DiGraph(g)
    for v, state in do.items():
        cut.remove_edges_from(list(cut.in_edges(v)))
        states = cut.nodes[v]["states"]
        cut.nodes[v].update(parents=(), table=np.array([float(s == state) for s in states]))
    assert exact.probability(g, evidence, do=do) == pytest.approx(total, abs=1e-12)
    if total:
        assert_same(exact.marginals(g, evidence, do=do), expected)
        assert_same(exact.marginals(cut, evidence), expected)


@common
@given(networks | gibbs, st.data())
def test_a_plan_for_the_observed_nodes_answers_as_the_general_one(g, data):
    evidence = draw_evidence(data, g)
    total, expected = brute(g, evidence)
    if not total:
        return
    small = plan.SMALL
    plan.SMALL = 0
    try:
        g = g.copy()
        assert_same(exact.marginals(g, evidence), expected)
        assert exact.probability(g, evidence) == pytest.approx(total / brute(g, {})[0], abs=1e-12)
        rows = exact.marginals(g, [evidence, evidence])
    finally:
        plan.SMALL = small
    for v, row in expected.items():
        assert rows[v][1] == pytest.approx(list(row.values()), abs=1e-12)


@pytest.fixture(params=["scaled messages", "logarithms"])
def other_numbers(request, monkeypatch):
    """Propagation as it is where plain products could underflow."""
    monkeypatch.setattr(plan, "SAFE", 0.0)
    if request.param == "logarithms":
        monkeypatch.setattr(propagation, "LINEAR", refusing)


def refuse(*_):
    raise FloatingPointError


refusing = propagation.LINEAR._replace(times=refuse, plus=refuse)


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


@common
@given(networks | gibbs, st.data())
def test_joint_tables(g, data):
    evidence = draw_evidence(data, g, 2)
    asked = [v for v in data.draw(st.permutations(sorted(g))) if v not in evidence][:3]
    total = brute(g, evidence)[0]
    if not total or not asked:
        return
    table = exact.query(g, asked, evidence)
    for states in product(*table.states):
        key = states if len(states) > 1 else states[0]
        both = brute(g, {**evidence, **dict(zip(asked, states, strict=True))})[0]
        assert table[key] == pytest.approx(both / total, abs=1e-12)
    rows = exact.query(g, asked, [evidence] * 3).values
    assert rows[2] == pytest.approx(table.values, abs=1e-12)


@common
@given(networks | gibbs, st.data())
def test_the_explanation_is_the_greatest_of_the_joint(g, data):
    evidence = draw_evidence(data, g)
    rows = [(x, w) for x, w in joint_of(g) if all(x[v] == s for v, s in evidence.items())]
    total, greatest = sum(w for _, w in rows), max(w for _, w in rows)
    if not total:
        with pytest.raises(ImpossibleEvidence):
            exact.map(g, evidence)
        return
    best = exact.map(g, evidence)
    assert dict(rows_weight(rows))[tuple(best.states[v] for v in g)] == pytest.approx(greatest)
    assert best.probability == pytest.approx(greatest / total)
    assert best.log_joint == pytest.approx(log(greatest))
    equal = [x for x, w in rows if w >= greatest * (1 - 1e-10)]
    for v in g:
        assert set(best.ties.get(v, [best.states[v]])) == {x[v] for x in equal}


def rows_weight(rows):
    return ((tuple(x.values()), w) for x, w in rows)


def test_ties_are_stated():
    coin = nx.DiGraph()
    coin.add_node("A", states=("heads", "tails"), parents=(), table=np.array([0.5, 0.5]))
    assert exact.map(coin).ties == {"A": ("heads", "tails")}


@common
@given(networks | gibbs, st.data())
def test_many_rows_equal_one_by_one(g, data):
    rows = [draw_evidence(data, g) for _ in range(data.draw(st.integers(1, 5)))]
    each = [brute(g, row) for row in rows]
    z = brute(g, {})[0]
    together = exact.log_probability(g, rows)
    assert np.exp(together) == pytest.approx([t / z for t, _ in each], abs=1e-12)
    possible = [k for k, (t, _) in enumerate(each) if t]
    found = exact.marginals(g, [rows[k] for k in possible])
    for v in g:
        for i, k in enumerate(possible):
            assert found[v][i] == pytest.approx(list(each[k][1][v].values()), abs=1e-12)


@common
@given(networks, st.data())
def test_counts_and_gradients_are_the_posteriors_of_families(g, data):
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


def normalised(g):
    """The same network with every row of its tables summing to 1."""
    made = g.copy()
    for _, data in made.nodes(data=True):
        data["table"] = data["table"] / data["table"].sum(-1, keepdims=True)
    return made


def ask_pgmpy(g, evidence, nodes):
    from pgmpy.inference import VariableElimination

    engine = VariableElimination(graph.to_pgmpy(normalised(g)))
    for v in nodes:
        answer = engine.query([v], evidence=evidence, show_progress=False)
        yield v, {s: answer.get_value(**{v: s}) for s in g.nodes[v]["states"]}


def sampled_evidence(g, k=4, seed=0):
    rows = exact.sample(g, 1, seed=seed)
    nodes = np.random.default_rng(seed).permutation(len(g))[:k]
    return {rows.nodes[i]: rows.states[i][rows.codes[0, i]] for i in nodes}


PGMPY_IS_SLOW = {"link", "munin1", "pigs"}


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(
    "path", [*map(graph.load, ["pharmacy", "student"]), *bif_files()], ids=str
)
def test_posteriors_are_pgmpys(path):
    g = graph.load(path)
    try:
        evidence = sampled_evidence(g)
        found = exact.marginals(g, evidence)
    except TooCostly as refusal:
        assert "width 11" in str(refusal)  # munin1
        return
    nodes = [v for v in g if v not in evidence]
    slow = len(g) > 100
    for v, row in ask_pgmpy(g, evidence, nodes[:3] if slow else nodes):
        assert found[v] == pytest.approx(row, abs=1e-10)
