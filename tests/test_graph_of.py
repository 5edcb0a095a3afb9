"""Pyro programs read as graphs, and what guides miss of posteriors."""

import warnings

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import autoguide
from test_pairs import PAIRS, SHAPE

from probgen import dsep, program
from probgen.graph import UnknownNode, load

UNIT = dist.Normal(0.0, 1.0)


def edges(f, *args, **kwargs):
    return {*program.graph_of(f, *args, **kwargs).edges}


def collider():
    a, b = pyro.sample("a", UNIT), pyro.sample("b", UNIT)
    pyro.sample("x", dist.Normal(a + b, 1.0), obs=torch.tensor(3.0))


@pytest.mark.parametrize("name", PAIRS)
def test_the_graph_of_every_pair_is_known(name):
    torch.manual_seed(0)
    pair, batch = PAIRS[name](), (torch.rand(6, *SHAPE), torch.arange(6))
    before = {k: v.clone() for k, v in pair.state_dict().items()}
    graph = program.graph_of(pair.model, *batch)
    conditional = name.startswith("conditional")
    data = {("z", v) for v, kind in graph.nodes(data="kind") if kind in ("observed", "factor")}
    own = {("z", f) for f in ("x", "commitment", "code", "decoder") if f in graph}
    found = {*graph.edges} | own  # a constant penalty hangs on nothing
    assert found == own | ({("y", "x")} if conditional else set())
    assert data >= {("z", "x")}
    assert graph.graph["plates"] == {"data": 6}
    guided = edges(pair.guide, *batch)
    assert guided == {("x", "z")} | ({("y", "z")} if conditional else set())
    assert not dsep.check(graph, "z", "x")
    assert all(torch.equal(before[k], v) for k, v in pair.state_dict().items())


def test_a_hidden_markov_model_is_a_chain_with_leaves():
    def hmm(x):
        z = torch.tensor(0)
        for i in pyro.markov(range(len(x))):
            z = pyro.sample(f"z{i}", dist.Categorical(torch.tensor([[0.9, 0.1], [0.2, 0.8]])[z]))
            pyro.sample(f"x{i}", dist.Normal(z.float(), 1.0), obs=x[i])

    chain = {(f"z{i}", f"z{i + 1}") for i in range(3)} | {(f"z{i}", f"x{i}") for i in range(4)}
    graph = program.graph_of(hmm, torch.randn(4))
    assert {*graph.edges} == chain
    assert dsep.check(graph, "z0", "z2", ["z1"])
    assert program.given(graph) == ["x0", "x1", "x2", "x3"]


@pytest.mark.parametrize("name", ["pharmacy", "asia", "student"])
def test_a_network_run_as_a_program_reads_as_the_network(name):
    network = load(name)
    model, _ = program.program_of(network)
    assert edges(model) == {*network.edges}


def branch():
    z = pyro.sample("z", UNIT)
    pyro.sample("x", dist.Normal(0.0, 1.0 if z < 0 else 2.0))


def in_place():
    z, mean = pyro.sample("z", UNIT), torch.zeros(3)
    mean[1] = z
    pyro.sample("x", dist.Normal(mean, 1.0).to_event(1))


def loop():
    z, total = pyro.sample("z", dist.Poisson(3.0)), torch.zeros(())
    for _ in range(int(z)):
        total = total + 1
    pyro.sample("x", dist.Normal(total, 1.0))


def item():
    z = pyro.sample("z", UNIT)
    pyro.sample("x", dist.Normal(torch.tensor(z.item()), 1.0))


@pytest.mark.parametrize("hidden", [branch, in_place, loop, item])
def test_the_probe_finds_what_passes_through_python(hidden):
    with pytest.warns(program.ProgramWarning, match="z -> x: found by the probe alone"):
        graph = program.graph_of(hidden)
    assert graph.edges["z", "x"] == {"provenance": False, "probe": True}


def test_an_edge_that_cannot_be_excluded_is_said_to_be_so():
    def rare():
        z = pyro.sample("z", UNIT)
        pyro.sample("x", dist.Normal(1.0 if z > 1e9 else 0.0, 1.0))

    with pytest.warns(program.ProgramWarning, match="no run showed z -> x"):
        graph = program.graph_of(rare)
    assert graph.graph["unexcluded"] == [("z", "x")]

    def cancelled():
        z = pyro.sample("z", UNIT)
        pyro.sample("x", dist.Normal(0 * z, 1.0))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        graph = program.graph_of(cancelled)
    assert graph.edges["z", "x"] == {"provenance": True, "probe": False}


def test_edges_out_of_observed_sites_deterministic_ones_and_factors_are_kept():
    def model(data, offset):
        z = pyro.sample("z", UNIT)
        twice = pyro.deterministic("twice", 2 * z)
        x = pyro.sample("x", dist.Normal(twice, 1.0), obs=data)
        y = pyro.sample("y", dist.Normal(x + offset["a"], 1.0))
        pyro.factor("likes", -y.square())

    graph = program.graph_of(model, torch.tensor(1.0), {"a": torch.tensor(2.0)}, observed="y")
    found = {("z", "twice"), ("twice", "x"), ("x", "y"), ("offset", "y"), ("y", "likes")}
    assert {*graph.edges} == found
    kinds = dict(graph.nodes(data="kind"))
    assert kinds == {"offset": "argument", "z": "latent", "twice": "deterministic",
                     "x": "observed", "y": "observed", "likes": "factor"}  # fmt: skip
    assert program.given(graph) == ["offset", "x", "y", "likes"]


def test_plates_and_parameters_are_attributes():
    def model(x):
        loc = pyro.param("loc", torch.tensor(1.0))
        with pyro.plate("rows", len(x)), pyro.plate("columns", 3, dim=-2):
            pyro.sample("x", dist.Normal(loc, 1.0), obs=x)

    graph = program.graph_of(model, torch.zeros(4))
    assert graph.nodes["x"]["plates"] == ("columns", "rows")
    assert graph.nodes["x"]["parameters"] == ["loc"]
    assert graph.graph["plates"] == {"columns": 3, "rows": 4}
    assert "loc" not in pyro.get_param_store()


def test_reading_leaves_generators_and_modules_alone():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    program.graph_of(collider)
    torch.testing.assert_close(torch.rand(3), expected)


def test_programs_without_one_graph_are_refused():
    def unsteady():
        if pyro.sample("z", UNIT) > 0:
            pyro.sample("x", UNIT)

    with pytest.raises(program.ProgramError, match="has or lacks x: such"):
        program.graph_of(unsteady)
    with pytest.raises(UnknownNode, match="got 'aa'; did you mean 'a'"):
        program.graph_of(collider, observed="aa")
    with pytest.raises(program.ProgramError, match=r"it lacks \['a', 'b'\]"):
        program.audit(collider, lambda: None)


def test_audit_finds_what_mean_field_drops_and_nothing_in_a_full_guide():
    def mean_field():
        pyro.sample("a", UNIT), pyro.sample("b", UNIT)

    def full():
        a = pyro.sample("a", UNIT)
        pyro.sample("b", dist.Normal(-a, 1.0))

    found = program.audit(collider, mean_field)
    assert not found
    assert str(found) == ("the guide drops a - b: a -> x <- b is open at x, an observed collider")
    assert program.audit(collider, full)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (autoguide.AutoNormal, "drops a - b"),
        (autoguide.AutoDiagonalNormal, "draws the 2 dimensions of _AutoDiagonalNormal_latent"),
        (autoguide.AutoMultivariateNormal, "can represent every dependence"),
        (autoguide.AutoDelta, "puts a on one point"),
    ],
)
def test_audit_of_autoguides(kind, said):
    guide = kind(collider)
    guide()
    assert said in str(program.audit(collider, guide))


def test_audit_of_the_library():
    torch.manual_seed(0)
    batch = torch.rand(6, *SHAPE), torch.arange(6)
    for name, make in PAIRS.items():
        pair = make()
        said = str(program.audit(pair.model, pair.guide, *batch))
        points = name.startswith(("vq", "autoencoder"))
        assert ("puts z on one point" in said) == points, name
        assert ("dimensions of z independently" in said) == (not points), name
