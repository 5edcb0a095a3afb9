"""Pyro programs read as graphs."""

import random
from typing import NamedTuple

import networkx as nx
import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pair_zoo import PAIRS, SHAPE
from pyro.infer.reparam import LocScaleReparam
from shared_data import ENUMERABLE
from small_programs import UNIT, branch, collider
from torch import nn

from probgen import dsep, program
from probgen.reasoning import drawing
from probgen.reasoning.graph import UnknownNode, load, plot


def edges(f, *args, **kwargs):
    return {*program.graph_of(f, *args, **kwargs).edges}


@pytest.mark.parametrize("name", PAIRS)
def test_the_graph_of_every_pair_is_known(name):
    torch.manual_seed(0)
    pair, batch = PAIRS[name](), (torch.rand(6, *SHAPE), torch.arange(6))
    before = {k: v.clone() for k, v in pair.state_dict().items()}
    graph = program.graph_of(pair.model, *batch)
    conditional = name.startswith("conditional")
    data = {("z", v) for v, kind in graph.nodes(data="kind") if kind in ("observed", "factor")}
    own = {("z", f) for f in ("x", "commitment", "code", "decoder") if f in graph}
    if name == "vae optimal sigma":  # fits its scale to the data that it scores
        own.add(("x (argument)", "x"))
    if name == "conditional prior":
        own.add(("y", "z"))
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


@pytest.mark.parametrize("name", ["pharmacy", "asia", *ENUMERABLE], ids=lambda p: str(p)[-20:])
def test_a_network_run_as_a_program_reads_as_the_network(name):
    network = load(name)
    model, _ = program.program_of(network)
    assert edges(model) == {*network.edges}


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


def test_masks_scales_subsamples_and_reparametrisations():
    def model(data):
        z = pyro.sample("z", dist.Bernoulli(0.5))
        a = pyro.sample("a", UNIT)
        with pyro.plate("data", len(data), subsample_size=2) as rows:
            with pyro.poutine.mask(mask=z.bool()):
                pyro.sample("x", dist.Normal(a, 1.0), obs=data[rows])
            with pyro.poutine.scale(scale=a.exp()):
                pyro.sample("y", UNIT)

    graph = program.graph_of(model, torch.randn(5))
    assert {*graph.edges} == {("z", "x"), ("a", "x"), ("a", "y")}
    assert graph.graph["plates"] == {"data": 5}

    def centred():
        pyro.sample("x", dist.Normal(pyro.sample("a", UNIT), 1.0))

    decentred = pyro.poutine.reparam(centred, {"x": LocScaleReparam(0.0)})
    graph = program.graph_of(decentred)
    assert {("a", "x"), ("x_decentered", "x")} < {*graph.edges}
    assert graph.nodes["x"]["kind"] == "deterministic"
    assert program.given(graph) == []


class Pair(NamedTuple):
    first: torch.Tensor
    second: torch.Tensor


def test_arguments_of_every_kind():
    def model(x, settings=None, *rest, flag=None, **others):
        pyro.sample("x", dist.Normal(x["k"][0] + rest[0] + others["q"].second, 1.0))
        pyro.sample("u", dist.Normal(rest[1], 1.0))

    one, two = torch.tensor(1.0), torch.tensor(2.0)
    pair = Pair(one, two)
    graph = program.graph_of(model, {"k": (one, 3)}, None, one, one, flag=3, q=pair)
    found = {("x (argument)", "x"), ("rest[0]", "x"), ("rest[1]", "u"), ("q", "x")}
    assert {*graph.edges} == found
    for zeros in (torch.zeros(3), torch.zeros(3, dtype=torch.complex64)):
        assert edges(lambda x: pyro.sample("y", dist.Normal(x.abs().sum(), 1.0)), zeros)
    with pytest.warns(program.ProgramWarning, match="data -> y: found by the probe alone"):
        program.graph_of(lambda data: pyro.sample("y", dist.Normal(data.sum(), 1.0)), np.ones(3))

    def clash(loc):
        pyro.sample("x", dist.Normal(pyro.param("loc", torch.tensor(1.0)), 1.0))
        pyro.sample("y", dist.Normal(loc, 1.0))

    assert edges(clash, one) == {("loc", "y")}

    def length(n):
        for i in range(int(n)):
            pyro.sample(f"x{i}", UNIT)

    with pytest.warns(program.ProgramWarning, match="n -> x0, n -> x1, which cannot"):
        program.graph_of(length, torch.tensor(2))


class Normalised(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout())
        self.register_buffer("mean", torch.zeros(4))

    def forward(self, x):
        self.mean = 0.9 * self.mean + 0.1 * x.mean(0)
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(self.net(x), 1.0).to_event(1))
        x.add_(1)


def test_modules_arguments_parameters_and_generators_stay_as_they_were():
    net, x = Normalised(), torch.zeros(6, 4)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    pyro.clear_param_store()
    pyro.param("kept", torch.tensor(2.0), constraint=dist.constraints.positive)
    stored = pyro.get_param_store()._params["kept"]
    state = pyro.util.get_rng_state()
    assert edges(net, x) == {("x", "z")}
    assert not x.any()
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())
    assert type(net.mean) is torch.Tensor
    assert pyro.get_param_store()._params["kept"] is stored
    assert list(pyro.get_param_store()) == ["kept"]
    assert state["random"] == pyro.util.get_rng_state()["random"]
    assert (state["numpy"][1] == pyro.util.get_rng_state()["numpy"][1]).all()
    pyro.clear_param_store()

    def generators():
        pyro.sample("z", UNIT)
        pyro.sample("x", dist.Normal(np.random.rand() + random.random(), 1.0))

    assert edges(generators) == set()

    def own(generator=np.random.default_rng(0)):  # noqa: B008
        pyro.sample("x", dist.Normal(generator.normal(), 1.0))

    with pytest.raises(program.ProgramError, match="those of x differ from run to run"):
        program.graph_of(own)


def test_interventions_cut_edges_and_conditions_do_not():
    one = {"a": torch.tensor(1.0)}
    assert edges(pyro.do(collider, one)) == {("b", "x")}
    assert edges(pyro.condition(collider, one)) == {("a", "x"), ("b", "x")}


def schools(scores, hours):
    mu, tau = pyro.sample("mu", UNIT), pyro.sample("tau", dist.LogNormal(0.0, 1.0))
    with pyro.plate("schools", 3, dim=-2):
        theta = pyro.deterministic("theta", pyro.sample("effect", UNIT) * tau + mu)
        with pyro.plate("pupils", 1000):
            skill = pyro.sample("skill", dist.Normal(theta, 1.0))
            pyro.sample("score", dist.Normal(skill + hours, tau), obs=scores)
            pyro.factor("penalty", -skill.square())


def test_a_program_is_drawn_with_its_plates():
    found = program.graph_of(schools, torch.zeros(3, 1000), torch.zeros(1000))
    drawn = drawing.picture(found)
    assert [frame.label for frame in drawn.frames] == ["schools 3", "pupils 1,000"]
    assert_frames_hold_their_members_only(found, drawn)
    assert drawn.observed == {"hours", "score", "penalty"}
    shown = found._repr_html_()
    assert shown.count("<rect") == 3
    assert shown.count("dasharray") == 1
    plot(found).figure.clear()
    assert drawing.picture(found, ["mu"]).observed == {"mu"}
    with pytest.warns(program.ProgramWarning):
        found = program.graph_of(branch)
    assert found._repr_html_().count("dasharray") == 1


def assert_frames_hold_their_members_only(found, drawn):
    for frame in drawn.frames:
        plate = frame.label.partition(" ")[0]
        for v, plates in found.nodes(data="plates"):
            box = drawing._box(drawn.layout.centres[v], drawn.widths[v])
            assert frame.meets(*box) == (plate in plates)


@pytest.mark.parametrize("seed", range(60))
def test_no_frame_holds_what_is_not_in_its_plate(seed):
    rng = np.random.default_rng(seed)
    made = nx.gn_graph(int(rng.integers(2, 14)), seed=seed).reverse()
    inner = {v for v in made if rng.random() < 0.3}
    outer = inner | {v for v in made if rng.random() < 0.3}
    crossing = {v for v in made if rng.random() < 0.2} if seed % 3 == 0 else set()
    members = {"outer": outer, "inner": inner, "crossing": crossing}
    made.graph["plates"] = {p: 5 for p, inside in members.items() if inside}
    for v, data in made.nodes(data=True):
        data["plates"] = tuple(p for p, inside in members.items() if v in inside)
    drawn = drawing.picture(made)
    assert_frames_hold_their_members_only(made, drawn)
    if not drawn.frames:
        assert all(f"[{', '.join(data['plates'])[:3]}" in drawn.names[v].replace(" 5", "")
                   for v, data in made.nodes(data=True) if data["plates"])  # fmt: skip
    boxes = [drawing._box(drawn.layout.centres[v], drawn.widths[v]) for v in made]
    frames = [drawing.Frame("", *box) for box in boxes]
    assert not any(a.meets(*b) for i, a in enumerate(frames) for b in boxes[:i])
