"""Random networks with tables, and their answers by enumeration."""

from itertools import product

import networkx as nx
import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from random_graphs import dags

from probgen import exact, graph

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


def fits(evidence, x):
    """How likely the evidence is at these states: 0 or 1, or the product of likelihoods."""
    weight = 1.0
    for v, state in evidence.items():
        weight *= state[x[v]] if isinstance(state, dict) else x[v] == state
    return weight


def brute(g, evidence, do=None):
    """The weight of the evidence, and every node's posterior, by enumeration."""
    do, total = do or {}, 0.0
    sums = {v: dict.fromkeys(g.nodes[v]["states"], 0.0) for v in g}
    for x, weight in joint_of(g, do):
        weight *= fits({**evidence, **do}, x)
        if weight:
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


def draw_soft(data, g, largest=4):
    """Evidence of which some is soft: a likelihood for every state, not all 0."""
    evidence = draw_evidence(data, g, largest)
    level = st.sampled_from([0.0, 0.1, 0.7, 1.0, 3.0])
    for v in evidence:
        if data.draw(st.booleans()):
            likelihoods = {s: data.draw(level) for s in g.nodes[v]["states"]}
            if any(likelihoods.values()):
                evidence[v] = likelihoods
    return evidence


def assert_same(found, expected, tolerance=1e-12):
    assert set(found) == set(expected)
    for v, row in expected.items():
        assert found[v] == pytest.approx(row, abs=tolerance), v


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


def hidden_markov(n, seed=0):
    """A chain of n hidden nodes, each with an observed child."""
    edges = [(f"h{i}", f"h{i + 1}") for i in range(n - 1)] + [(f"h{i}", f"x{i}") for i in range(n)]
    return with_tables(nx.DiGraph(edges), seed, zeros=0)
