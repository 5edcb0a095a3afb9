"""Networks as Pyro programs: the same posteriors, interventions and maximum likelihood."""

import networkx as nx
import numpy as np
import pyro
import pytest
import torch
from pyro.infer import SVI, TraceEnum_ELBO
from pyro.infer.inspect import get_model_relations
from shared_data import ENUMERABLE

from probgen import exact, graph
from probgen.exact import ExactError
from probgen.program import program_of


def posteriors(model, guide, known=()):
    with pyro.validation_enabled(False):
        elbo = TraceEnum_ELBO(max_plate_nesting=0)
        found = elbo.compute_marginals(model, guide)
        return {v: d.probs.numpy() for v, d in found.items() if v not in known}, elbo


def assert_exact(found, expected):
    for v, probs in found.items():
        assert probs == pytest.approx(list(expected[v].values()), abs=1e-6), v


@pytest.mark.parametrize("name", ["pharmacy", *ENUMERABLE], ids=lambda p: str(p)[-20:])
def test_enumeration_through_pyro_is_exact_inference(name):
    g = graph.load(name)
    row = exact.sample(g, 1, seed=3)
    evidence = {v: row[v][0] for v in list(g)[::9]}
    model, guide = program_of(g)
    known = pyro.condition(model, model.codes(evidence))
    found, elbo = posteriors(known, guide)
    assert_exact(found, exact.marginals(g, evidence))
    with pyro.validation_enabled(False):
        loss = elbo.loss(known, guide)
    assert -loss == pytest.approx(exact.log_probability(g, evidence), abs=1e-9)


def test_do_is_the_intervention_of_exact():
    model, guide = program_of("pharmacy")
    do, evidence = {"T": "dear"}, {"D": "yes"}
    acted = pyro.condition(pyro.do(model, model.codes(do)), model.codes(evidence))
    found, _ = posteriors(acted, guide, known=["T"])
    assert_exact(found, exact.marginals("pharmacy", evidence, do=do))
    seen = exact.marginals("pharmacy", {**evidence, **do})
    assert found["I"] != pytest.approx(list(seen["I"].values()), abs=1e-2)


def test_the_program_has_the_edges_of_the_network():
    model, _ = program_of("asia")
    relations = get_model_relations(model)["sample_sample"]
    edges = {(u, v) for v, above in relations.items() for u in above if u != v}
    assert edges == set(graph.load("asia").edges)


def test_samples_have_the_frequencies_of_the_network():
    model, _ = program_of("pharmacy")
    pyro.set_rng_seed(0)
    rows = model.codes(exact.sample("pharmacy", 20_000, seed=0))
    with pyro.plate("many", 20_000):
        drawn = model()
    for v in rows:
        assert float(drawn[v].double().mean()) == pytest.approx(
            float(rows[v].double().mean()), abs=0.02
        )


def test_svi_learns_the_tables_of_counting_in_one_process_with_another_program():
    g = graph.load("pharmacy")
    rows = exact.sample(g, 3000, seed=2)
    best = exact.fit(g, rows).log_likelihood[-1]
    other, _ = program_of("sprinkler", learn=True)
    start = g.copy()
    for _, data in start.nodes(data=True):
        data["table"] = np.full_like(data["table"], 1 / data["table"].shape[-1])
    for _ in range(2):
        model, guide = program_of(start, learn=True)
        svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.1}), TraceEnum_ELBO(max_plate_nesting=1))
        codes = model.codes(rows)
        for _ in range(150):
            loss = svi.step(codes)
        assert -loss == pytest.approx(best, abs=1.0)
        learned = exact.log_probability(model.network(), rows).sum()
        assert learned == pytest.approx(best, abs=1.0)
    assert exact.same_distribution(other.network(), "sprinkler")


def test_a_column_that_is_not_there_is_enumerated():
    model, guide = program_of("pharmacy")
    rows = exact.sample("pharmacy", 20, seed=2)
    some = exact.Rows(rows.nodes[:3], rows.states[:3], rows.codes[:, :3])
    loss = TraceEnum_ELBO(max_plate_nesting=1).loss(model, guide, model.codes(some))
    assert -loss == pytest.approx(exact.log_probability("pharmacy", some).sum(), abs=1e-6)


def test_the_network_of_the_program_is_the_network():
    assert exact.same_distribution(program_of("asia")[0].network(), "asia")
    assert set(program_of("asia")[0].network().edges) == set(graph.load("asia").edges)


@pytest.mark.parametrize(
    ("network", "match"),
    [
        ("A -> B", "discrete nodes only"),
        ("A -> B -> A", "cycle"),
        ("A - B", "potentials"),
        (nx.DiGraph([(1, "1")]), "a table at every node"),
    ],
)
def test_what_is_no_discrete_bayesian_network_is_refused(network, match):
    with pytest.raises(graph.GraphError, match=match):
        program_of(network)


def test_rows_off_1_twins_and_missing_values_are_refused():
    g = graph.load("sprinkler").copy()
    g.nodes["C"]["table"] = np.array([0.5, 0.4])
    with pytest.raises(ExactError, match="sum to 1 within"):
        program_of(g)
    twins = nx.relabel_nodes(graph.load("sprinkler"), {"C": 1, "S": "1"})
    twins.nodes["1"]["parents"] = twins.nodes["R"]["parents"] = (1,)
    twins.nodes["W"]["parents"] = ("1", "R")
    with pytest.raises(ExactError, match="differ as text"):
        program_of(twins)
    model, _ = program_of("sprinkler")
    with pytest.raises(ExactError, match="without missing values"):
        model.codes([{"C": "yes"}, {"S": "on"}])
    with pytest.raises(ExactError, match="did you mean 'yes'"):
        model.codes({"C": "yess"})
    assert torch.equal(model.codes({"C": "no"})["C"], torch.tensor(1))
