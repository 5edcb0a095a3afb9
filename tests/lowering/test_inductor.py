"""Compiled steps are the eager ones up to rounding."""

import warnings

import pyro
import pytest
import torch
from pyro_zoo import arguments
from steps import DIGITS, far, made, nets_pair, steps
from torch import nn
from torch._inductor import config as inductor_config

from probgen import lowering, models, objectives, training
from probgen.lowering import SVI, LoweringWarning, inductor
from probgen.lowering.recording import record
from probgen.run import Folder


def test_an_operation_that_inductor_does_not_know_leaves_the_graph():
    @torch.library.custom_op("probgen_tests::twice", mutates_args=())
    def twice(x: torch.Tensor) -> torch.Tensor:
        return 2 * x

    lowered = lowering.Lowered(
        lambda x: twice(x).sum(), list, name="it", roots=(), how="inductor"
    )  # fmt: skip
    with pytest.warns(LoweringWarning, match="inductor does not compile it") as said:
        values = [lowered(torch.ones(3)).item() for _ in range(4)]
    assert (len(said), lowered.used, values) == (1, "graph", [6.0] * 4)


@pytest.mark.parametrize("name", ["networks, ours", "subsampled"])
def test_compiled_steps_are_the_eager_ones_up_to_rounding(name):
    """Batch statistics are written, dropout and subsampling drawn as in the eager run."""
    args = arguments(name)
    losses, expected = steps(made(pyro.infer.SVI, name), args)
    svi = made(SVI, name, lower="inductor")
    found, values = steps(svi, args)
    assert svi.lowered.used == "inductor"
    assert found == pytest.approx(losses, rel=1e-5)
    assert far(values, expected) < 1e-4
    module = getattr(svi.model, "__self__", None)
    if module is not None:
        assert module.encoder[2].num_batches_tracked == 4
        assert module.encoder[2].running_var.ne(1).all()


def test_fit_compiled_is_fit_up_to_rounding(tmp_path):
    runs = []
    for lower in ("eager", "inductor"):
        pair = nets_pair(models.OptimalGaussian())
        folder = tmp_path / lower
        settings = {"steps": 10, "lower": lower, "checkpoint": folder}
        runs.append(training.fit(pair, objectives.ELBO(), DIGITS, **settings).records[-1])
        assert Folder(folder).facts()["lowered"] == lower
    for name in ("loss", "kl", "log_likelihood"):
        assert runs[0][name] == pytest.approx(runs[1][name], rel=1e-5)


def test_auto_compiles_what_runs_long_enough(monkeypatch):
    compiled = []
    monkeypatch.setattr(inductor, "compiled", lambda module, inputs: compiled.append(1) or module)
    monkeypatch.setattr(inductor, "SECONDS", 1e-4)
    monkeypatch.setattr(inductor, "SECONDS_PER_OPERATION", 0.0)
    for planned, calls, expected in ((22, 5, 0), (23, 5, 1), (None, 24, 0), (None, 26, 1)):
        compiled.clear()
        lowered = lowering.Lowered(lambda x: x.exp(), list, name="it", roots=(), steps=planned)
        for _ in range(calls):
            lowered(torch.ones(3))
        assert len(compiled) == expected
        assert lowered.used == ("inductor" if expected else "graph")


def test_compiling_pays_by_operations_and_by_bytes_and_not_for_convolutions():
    def several(n):
        def program(x):
            for _ in range(n):
                x = x.sin()
            return [x]

        return program

    def steps(program, *arguments):
        return inductor.break_even(record(program, arguments).module(), arguments)

    small, large = torch.ones(10), torch.ones(1_000_000)
    assert steps(several(10), small) > 50_000
    assert 2000 < steps(several(1000), small) < 5000
    assert steps(several(10), large) < 1000
    image, kernel = torch.ones(1, 1, 8, 8), torch.ones(1, 1, 3, 3)
    assert steps(lambda x, w: [torch.conv2d(x, w)], image, kernel) == float("inf")
    assert steps(several(1000), small.to("meta")) == float("inf")


def test_no_compiler_is_said_once_and_the_graph_is_replayed():
    lowered = lowering.Lowered(
        lambda x: (x.exp() * 0.1234).sum(), list, name="it", roots=(), how="inductor"
    )
    config = {"cpp.cxx": ("no-such-compiler",), "force_disable_caches": True}
    with inductor_config.patch(config), pytest.warns(LoweringWarning) as said:
        values = [lowered(torch.ones(3)).item() for _ in range(4)]
    assert len(said) == 1
    assert "inductor does not compile it" in str(said[0].message)
    assert values == pytest.approx([3 * 0.1234 * 2.718281828] * 4)
    assert lowered.used == "graph"


def test_gradients_that_compiling_would_merge_are_kept_apart():
    a, b = (nn.Parameter(torch.ones(3)) for _ in range(2))

    def program(x):
        ((a + b) * x).sum().backward()
        return x.sum()

    lowered = lowering.Lowered(program, lambda: [a, b], name="it", roots=(), how="inductor")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LoweringWarning)
        for _ in range(3):
            a.grad = b.grad = None
            lowered(torch.full((3,), 2.0))
    a.grad.mul_(10)
    assert b.grad.tolist() == [2, 2, 2]
