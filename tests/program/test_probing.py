"""The probe finds what passes through Python."""

import warnings

import pyro
import pyro.distributions as dist
import pytest
import torch
from small_programs import UNIT, branch

from probgen import program


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


def expanded():
    with pyro.plate("many", 2):
        z = pyro.sample("z", dist.OneHotCategorical(torch.tensor([0.98, 0.01, 0.01])))
    pyro.sample("x", dist.Normal(float(z[:, 2].sum()), 1.0))


def rare():
    z = pyro.sample("z", dist.Bernoulli(0.0001))
    pyro.sample("x", dist.Normal(1.0 if z else 0.0, 1.0))


def number_of_rows():
    z = pyro.sample("z", dist.Poisson(3.0))
    with pyro.plate("rows", int(z) + 1):
        pyro.sample("x", UNIT)


def mapped():
    z = pyro.sample("z", UNIT.expand([2]).to_event(1))
    pyro.sample("x", dist.Normal(torch.vmap(lambda v: 2 * v)(z), 1.0).to_event(1))


def looked_up():
    z = pyro.sample("z", dist.Poisson(0.5))
    pyro.sample("x", dist.Normal([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0][int(z)], 1.0))


def observation():
    z = pyro.sample("z", UNIT)
    pyro.sample("x", UNIT, obs=torch.tensor(2 * z.item()))


def point():
    z = pyro.sample("z", dist.Delta(torch.tensor(1.0)))
    pyro.sample("x", dist.Normal(z.item(), 1.0))


HIDDEN = [expanded, rare, number_of_rows, mapped, looked_up, observation, point]


@pytest.mark.parametrize("hidden", HIDDEN)
def test_the_probe_tries_states_shapes_and_observations(hidden):
    with pytest.warns(program.ProgramWarning, match="z -> x: found by the probe alone"):
        graph = program.graph_of(hidden)
    assert {*graph.edges} == {("z", "x")}


def test_the_probe_looks_from_several_runs():
    def switched():
        y, z = pyro.sample("y", UNIT), pyro.sample("z", UNIT)
        pyro.sample("x", dist.Normal(z.item() if y > 0 else 0.0, 1.0))

    with pytest.warns(program.ProgramWarning, match="y -> x, z -> x: found"):
        graph = program.graph_of(switched)
    assert graph.graph["unexcluded"] == []  # y is read, but after z


def test_many_sites_are_probed_in_groups():
    def hmm(x):
        z, early = torch.tensor(0), False
        for i in range(len(x)):
            z = pyro.sample(f"z{i}", dist.Categorical(torch.tensor([[0.9, 0.1], [0.2, 0.8]])[z]))
            mean = 5.0 if i == 20 and early else z.float()
            pyro.sample(f"x{i}", dist.Normal(mean, 1.0), obs=x[i])
            early = bool(z) if i == 3 else early

    warns = pytest.warns(program.ProgramWarning, match="z3 -> x20: found")
    with pytest.warns(program.ProgramWarning, match="and 42 more, which cannot"), warns:
        graph = program.graph_of(hmm, torch.randn(30))
    chain = {(f"z{i}", f"z{i + 1}") for i in range(29)} | {(f"z{i}", f"x{i}") for i in range(30)}
    assert {*graph.edges} == chain | {("z3", "x20")}
    assert all(seen for *_, seen in graph.edges(data="probe"))


def test_where_provenance_or_the_probe_cannot_go_it_is_said():
    def strict():
        z = pyro.sample("z", UNIT)
        if type(z) is not torch.Tensor:
            raise TypeError("expected a plain tensor")
        pyro.sample("x", dist.Normal(z, 1.0))

    with pytest.warns(program.ProgramWarning) as heard:
        graph = program.graph_of(strict)
    assert "provenance cannot follow the program (TypeError: expected a plain" in str(
        heard[0].message
    )
    assert graph.edges["z", "x"] == {"provenance": False, "probe": True}

    def fixed(x):
        if x.sum() != 2:
            raise ValueError("expected ones")
        pyro.sample("y", UNIT)

    with pytest.warns(program.ProgramWarning, match="no run showed x -> y, which cannot"):
        graph = program.graph_of(fixed, torch.ones(2))
    assert graph.graph["unexcluded"] == [("x", "y")]
