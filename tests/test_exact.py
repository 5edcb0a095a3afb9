"""Exact inference: every answer against enumeration, pgmpy, and its own other answers."""

import re
import tracemalloc
from itertools import product
from math import exp, inf, log
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_graphs import dags
from shared_data import bif_files

from probgen import exact, graph
from probgen.exact import ExactError, ImpossibleEvidence, TooCostly, plan, propagation, queries
from probgen.reasoning.graph import GraphError, UnknownNode

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


@pytest.fixture(params=["one plan for all", "a plan for each"])
def plans(request, monkeypatch):
    """Plans as they are for small networks, and for large ones; few rows at a time there."""
    if request.param == "a plan for each":
        monkeypatch.setattr(plan, "SMALL", 0)
        monkeypatch.setattr(queries, "CHUNK", 1)


@settings(common, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(g=networks | gibbs, data=st.data())
def test_many_rows_equal_one_by_one(plans, g, data):
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


REAL = bif_files()
SMALL = [p for p in REAL if not {"link", "munin1", "pigs"} & set(str(p).split("/")[-1].split("."))]


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("name", ["pharmacy", "student", *SMALL], ids=lambda p: str(p)[-20:])
def test_posteriors_are_pgmpys(name):
    g = graph.load(name)
    evidence = sampled_evidence(g, min(4, len(g) // 2))
    found = exact.marginals(g, evidence)
    for v, row in ask_pgmpy(g, evidence, [v for v in g if v not in evidence]):
        assert found[v] == pytest.approx(row, abs=1e-10)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("name", sorted(set(REAL) - set(SMALL)), ids=lambda p: str(p)[-20:])
def test_large_networks_are_answered_or_refused_with_their_cost(name):
    g = graph.load(name)
    evidence = sampled_evidence(g)
    v = next(v for v in g if v not in evidence and len(g.pred[v]) == 2)
    table = exact.query(g, [v], evidence)
    ((_, row),) = ask_pgmpy(g, evidence, [v])
    assert table.values == pytest.approx(list(row.values()), abs=1e-10)
    if exact.cost(g).memory > plan.LIMIT:
        with pytest.raises(
            TooCostly, match=r"at most 1.0 GiB; got width \d+, largest table"
        ) as no:
            exact.marginals(g)
        assert no.value.cost == exact.cost(g)
    else:
        assert exact.marginals(g, evidence)[v] == pytest.approx(row, abs=1e-10)


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


def misconception():
    """Koller and Friedman 2009, figure 4.1b: potentials over A - B - C - D - A; Z = 7,201,840."""
    g = graph.load("misconception").copy()
    nx.set_node_attributes(g, ("no", "yes"), "states")
    g.graph["factors"] = [
        (("A", "B"), np.array([[30.0, 5.0], [1.0, 10.0]])),
        (("B", "C"), np.array([[100.0, 1.0], [1.0, 100.0]])),
        (("C", "D"), np.array([[1.0, 100.0], [100.0, 1.0]])),
        (("D", "A"), np.array([[100.0, 1.0], [1.0, 100.0]])),
    ]
    return g


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


@common
@given(networks | gibbs, networks | gibbs, st.data())
def test_sameness_is_that_of_the_joints(g, h, data):
    if data.draw(st.booleans()):
        h = moral_potentials(g)
    if set(g) != set(h) or any(g.nodes[v]["states"] != h.nodes[v]["states"] for v in g):
        with pytest.raises(ExactError, match="same nodes|same states"):
            exact.same_distribution(g, h)
        return
    one, two = ({frozenset(x.items()): w for x, w in joint_of(each)} for each in (g, h))
    gap = max(abs(w / sum(one.values()) - two[x] / sum(two.values())) for x, w in one.items())
    verdict = exact.same_distribution(g, h)
    assert bool(verdict) == (gap < 1e-9)


def moral_potentials(g):
    """The same distribution as potentials, its states turned round and one scaled."""
    made = nx.Graph()
    made.add_nodes_from((v, {"states": tuple(g.nodes[v]["states"])}) for v in sorted(g))
    scopes = [(*d["parents"], v) for v, d in g.nodes(data=True)] if g.is_directed() else []
    made.graph["factors"] = [(s, 2 * g.nodes[s[-1]]["table"]) for s in scopes] or [
        (names[::-1], 3 * table.T) for names, table in g.graph["factors"]
    ]
    return made


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


@pytest.mark.parametrize("evidence", [{}, {"dysp": "yes", "asia": "yes"}, {"tub": "yes"}])
@pytest.mark.parametrize("do", [{}, {"either": "yes"}])
def test_frequencies_of_samples_are_the_posteriors(evidence, do):
    n = 200_000
    rows = exact.sample("asia", n, evidence, do=do, seed=5)
    expected = exact.marginals("asia", evidence, do=do)
    for v, row in expected.items():
        for state, p in row.items():
            error = 5 * np.sqrt(p * max(1 - p, 0) / n) + 1e-9
            assert abs((rows[v] == state).mean() - p) < error, (v, state)
    pair = exact.query("asia", ["lung", "bronc"], evidence, do=do)
    both = ((rows["lung"] == "yes") & (rows["bronc"] == "yes")).mean()
    p = pair["yes", "yes"]
    assert abs(both - p) < 5 * np.sqrt(p * (1 - p) / n)
    again = exact.sample("asia", n, evidence, do=do, seed=5)
    assert (again.codes == rows.codes).all()


@common
@given(networks | gibbs, st.data())
def test_impossible_states_are_never_drawn(g, data):
    evidence = draw_evidence(data, g, 2)
    if not brute(g, evidence)[0]:
        return
    weights = {tuple(x.values()): w for x, w in joint_of(g)}
    rows = exact.sample(g, 50, evidence, seed=data.draw(st.integers(0, 99)))
    for row in zip(*(rows[v] for v in rows.nodes), strict=True):
        assert weights[row] > 0
        assert all(row[rows.nodes.index(v)] == s for v, s in evidence.items())


def hidden_markov(n, seed=0):
    """A chain of n hidden nodes, each with an observed child."""
    edges = [(f"h{i}", f"h{i + 1}") for i in range(n - 1)] + [(f"h{i}", f"x{i}") for i in range(n)]
    return with_tables(nx.DiGraph(edges), seed, zeros=0)


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


def test_costs_beyond_all_numbers_are_readable():
    cost = exact.Cost(2000, 2**2001, 2**2001, 8 * 2**2002, 2**2005)
    assert str(cost) == (
        "width 2000, largest table 2^2001 entries, 2^2005 bytes, 2^2005 operations"
    )


def test_the_stated_memory_is_an_upper_bound_of_what_is_taken():
    g = hidden_markov(10)
    rng = np.random.default_rng(0)
    wide = nx.Graph([(a, b) for a in range(18) for b in range(a)])
    nx.set_node_attributes(wide, (0, 1), "states")
    wide.graph["factors"] = [((a, b), rng.random((2, 2))) for a, b in wide.edges]
    for network in (g, wide):
        stated = exact.cost(network).memory
        exact.marginals(network)
        tracemalloc.start()
        exact.marginals(network)
        taken = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert taken < 1.1 * stated + 200_000
    assert exact.cost(wide).largest == 2**18


def test_a_changed_table_is_noticed():
    lists = graph.load("sprinkler").copy()
    lists.nodes["C"]["table"] = [0.5, 0.5]
    exact.marginals(lists)
    lists.nodes["C"]["table"][:] = [1.0, 0.0]
    assert exact.marginals(lists)["R"]["yes"] == pytest.approx(0.8)
    g = graph.load("sprinkler").copy()
    before = exact.marginals(g)["R"]["yes"]
    g.nodes["R"]["table"] = g.nodes["R"]["table"].copy()
    g.nodes["R"]["table"][0] = [0.5, 0.5]
    assert exact.marginals(g)["R"]["yes"] == pytest.approx(before - 0.15)
    g.nodes["R"]["states"] = ("wet", "dry")
    assert set(exact.marginals(g)["R"]) == {"wet", "dry"}


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


def nothing():
    return nx.Graph([("A", "B")], factors=[(("A", "B"), np.zeros((2, 2)))])


@pytest.mark.parametrize(
    ("question", "error", "match"),
    [
        (lambda: exact.marginals("A -> B"), ExactError, "a table at every node; got none at A"),
        (lambda: exact.marginals("A -> B -> A"), GraphError, "cycle"),
        (lambda: exact.marginals("A - B"), ExactError, "potentials in graph.graph"),
        (lambda: exact.marginals("asia", {"smok": "yes"}), UnknownNode, "did you mean 'smoke'"),
        (lambda: exact.marginals("asia", {"smoke": "yess"}), ExactError, "did you mean 'yes'"),
        (lambda: exact.marginals("asia", {"smoke": 1}), ExactError, "by name: did you mean 'no'"),
        (lambda: exact.marginals("asia", {"smoke": ["yes"]}), ExactError, "a state of smoke"),
        (lambda: exact.marginals("asia", [{"smoke": "yess"}]), ExactError, "did you mean 'yes'"),
        (lambda: exact.marginals("asia", do={"smoke": "maybe"}), ExactError, "a state of smoke"),
        (lambda: exact.marginals("asia", do={"smok": "yes"}), UnknownNode, "did you mean 'smoke'"),
        (
            lambda: exact.marginals("asia", {"smoke": "yes"}, do={"smoke": "yes"}),
            ExactError,
            "smoke either observed or set",
        ),
        (lambda: exact.marginals(misconception(), do={"A": "no"}), ExactError, "no causes"),
        (lambda: exact.marginals("asia", "smoke"), ExactError, "expected evidence"),
        (
            lambda: exact.marginals("asia", {"tub": "yes", "either": "no"}),
            ImpossibleEvidence,
            "probability zero: tub = yes, either = no",
        ),
        (lambda: exact.query("asia", ["lung"], {"lung": "no"}), ExactError, "lung in both"),
        (lambda: exact.query("asia", "lung"), ExactError, "list of different nodes"),
        (lambda: exact.query("asia", ["lung", "lung"]), ExactError, "list of different nodes"),
        (lambda: exact.marginals(nothing()), ImpossibleEvidence, "got Z = 0"),
        (lambda: exact.log_partition(nothing()), ExactError, "got Z = 0"),
        (lambda: exact.query("asia", []), ExactError, "list of different nodes"),
        (lambda: exact.map("asia", [{"lung": "no"}]), ExactError, "once per row"),
        (lambda: exact.sample("asia", -1), ExactError, "at least 0 rows"),
        (lambda: exact.marginals("asia", limit=10), TooCostly, "at most 10 bytes; got width 2"),
        (lambda: exact.fit("asia", []), ExactError, "at least one row"),
        (lambda: exact.fit("asia", [{}], method="sgd"), ExactError, "'em' or 'gradient'"),
        (lambda: exact.fit(misconception(), [{}]), ExactError, "directed"),
        (lambda: exact.fit("A -> B", [{"A": 1}]), ExactError, "states of B"),
        (lambda: exact.marginalise("asia", "nobody"), UnknownNode, "a node to sum out"),
        (lambda: exact.same_distribution("asia", "student"), ExactError, "same nodes"),
    ],
)
def test_bad_questions_are_refused(question, error, match):
    with pytest.raises(error, match=match):
        question()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            {"table": np.array([0.5, 0.4])},
            "to sum to 1 within 1e-06; got a row that is off by 0.1",
        ),
        ({"table": np.array([1.5, -0.5])}, "finite and at least 0"),
        ({"table": np.array([np.nan, 1.0])}, "finite"),
        ({"table": np.ones((2, 2)) / 2}, "shape \\(2,\\)"),
        ({"table": "half"}, "expected an array"),
        ({"states": ("yes", "yes")}, "all different"),
        ({"states": ()}, "at least one state"),
        ({"states": 2}, "a tuple of states"),
        ({"table": [[0.5], [0.1, 0.4]]}, "expected an array"),
        ({"parents": ("lung",)}, "parents of smoke"),
    ],
)
def test_bad_tables_are_refused(change, match):
    g = graph.load("asia").copy()
    g.nodes["smoke"].update(change)
    with pytest.raises(ExactError, match=match):
        exact.marginals(g)


def test_rows_come_from_frames_and_mappings_alike():
    pandas = pytest.importorskip("pandas")
    rows = exact.sample("asia", 50, seed=0)
    frame = rows.frame()
    frame.loc[3, "bronc"] = None
    frame.loc[4, "lung"] = float("nan")
    lists = [
        {v: s for v, s in row.items() if isinstance(s, str)} for row in frame.to_dict("records")
    ]
    assert exact.log_probability("asia", frame) == pytest.approx(
        exact.log_probability("asia", lists), abs=1e-12
    )
    assert pandas.DataFrame(lists).shape == frame.shape
    assert exact.log_probability("asia", frame)[3] > exact.log_probability("asia", rows)[3]


def test_no_rows_and_rows_that_observe_nothing():
    assert exact.log_probability("asia", []).shape == (0,)
    prior = exact.marginals("asia")["lung"]["yes"]
    assert exact.marginals("asia", [{}, {}])["lung"][:, 0] == pytest.approx([prior, prior])
    assert exact.marginals("asia", [])["lung"].shape == (0, 2)
    everything = exact.map("asia").states
    assert exact.marginals("asia", everything)["lung"] == {"yes": 0.0, "no": 1.0}


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_pgmpy_networks_go_in():
    g = graph.load("sprinkler")
    assert exact.same_distribution(graph.to_pgmpy(g), g)


def test_the_document_runs():
    text = (Path(__file__).parents[1] / "docs" / "exact.md").read_text()
    names = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, "exact.md", "exec"), names)
    assert names["fitted"].log_likelihood[-1] < 0


def test_infer_prints_posteriors(probgen):
    status, out, _ = probgen("infer", "asia", "lung", "--given", "smoke=yes", "--do", "tub=no")
    assert status == 0
    assert "lung  yes    0.100000" in out
    assert "probability of what is given: 0.5" in out
    assert len(probgen("infer", "asia")[1].splitlines()) == 1 + 16 + 1


def test_infer_shows_names_as_they_are(probgen, tmp_path):
    path = tmp_path / "odd.bif"
    path.write_text(
        "network n { } variable [red]x { type discrete [ 2 ] { [bold]a, b }; }"
        "probability ( [red]x ) { table 0.25, 0.75; }"
    )
    status, out, _ = probgen("infer", path, "--given", "[red]x=b")
    assert status == 0
    assert "[red]x  [bold]a  0.000000" in out


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (("asia", "bron"), "did you mean 'bronc'"),
        (("asia", "--given", "smoke"), "expected NODE=STATE; got 'smoke'"),
        (("asia", "--given", "smoke=yess"), "did you mean 'yes'"),
        (("asia", "--given", "tub=yes", "--given", "either=no"), "probability zero"),
        (("asia", "--limit", "1e-9"), "at most 1 bytes; got width 2"),
    ],
)
def test_infer_refuses_in_one_line(probgen, words, match):
    status, _, err = probgen("infer", *words)
    assert (status, err.count("\n")) == (2, 1)
    assert match in err


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
