"""Lowered steps are the eager ones; what cannot be lowered says so and stays right."""

import copy
import random
import threading
import warnings
from contextvars import ContextVar

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import Trace_ELBO, TraceGraph_ELBO
from pyro_zoo import ZOO, arguments, by_hand
from steps import adam, far, made, nets_pair, parameters, steps
from torch import nn

from probgen import lowering, objectives
from probgen.lowering import SVI, LoweringError, LoweringWarning


@pytest.mark.parametrize("name", ZOO)
def test_a_lowered_step_is_the_eager_one(name, tolerance):
    args = arguments(name)
    losses, expected = steps(made(pyro.infer.SVI, name), args)
    svi = made(SVI, name, lower="graph")
    found, values = steps(svi, args)
    assert svi.lowered.used == "graph"
    assert found == pytest.approx(losses, rel=tolerance)
    assert far(values, expected) < tolerance


@pytest.mark.parametrize("name", ZOO)
def test_gradients_are_the_eager_ones(name):
    args = arguments(name)
    svi = made(SVI, name, lower="graph")
    steps(svi, args, 2)
    state = torch.get_rng_state()
    svi.lowered(*args)
    found = {i: p.grad.clone() for i, p in enumerate(svi.trained) if p.grad is not None}
    torch.set_rng_state(state)
    for parameter in svi.trained:
        parameter.grad = None
    svi.loss_and_grads(svi.model, svi.guide, *args)
    expected = {i: p.grad for i, p in enumerate(svi.trained) if p.grad is not None}
    assert found.keys() == expected.keys()
    assert far(found, expected) < 1e-6


@pytest.mark.parametrize("name", ZOO)
def test_a_lowered_evaluation_is_the_eager_one_and_leaves_no_trace(name):
    args = arguments(name)
    plain, svi = made(pyro.infer.SVI, name), None
    expected = [plain.evaluate_loss(*args) for _ in range(4)]
    svi = made(SVI, name, lower="graph")
    found = [svi.evaluate_loss(*args) for _ in range(4)]
    assert svi.evaluation.used == "graph"
    assert found == pytest.approx(expected, rel=1e-6)
    assert svi.lowered.used == "eager"
    assert all(p.grad is None for p in svi.evaluated)
    assert svi.optim.optim_objs == {}


def test_evaluations_between_steps_see_the_parameters_and_keep_gradients():
    def mixed(kind):
        svi, (x,) = made(kind, "mask and scale"), arguments("mask and scale")
        losses = []
        for _ in range(4):
            losses += [svi.step(x), svi.evaluate_loss(x)]
        parameter = next(iter(pyro.get_param_store().named_parameters()))[1]
        parameter.grad = torch.ones_like(parameter)
        losses += [svi.evaluate_loss(x[:9]) for _ in range(3)]
        assert torch.equal(parameter.grad, torch.ones_like(parameter))
        pyro.clear_param_store()
        return losses + [svi.evaluate_loss(x) for _ in range(3)]

    assert mixed(SVI) == pytest.approx(mixed(pyro.infer.SVI), rel=1e-6)


def test_the_noise_is_new_in_every_call():
    noise = []

    def program(x):
        noise.append(x)
        return dist.Normal(torch.zeros_like(x), 1.0).rsample()

    lowered = lowering.Lowered(program, list, name="noise", roots=(), how="graph")
    draws = torch.stack([lowered(torch.zeros(10)) for _ in range(1000)])
    assert lowered.used == "graph"
    assert len(noise) < 10
    assert draws.mean(0).abs().max() < 5 / 1000**0.5
    assert (draws.var(0) - 1).abs().max() < 5 * (2 / 1000) ** 0.5


def conjugate(x):
    loc = pyro.sample("loc", dist.Normal(0.0, 1.0))
    with pyro.plate("data", len(x)):
        pyro.sample("x", dist.Normal(loc, 1.0), obs=x)


@pytest.mark.parametrize("lower", ["graph", "eager"])
def test_the_posterior_is_the_exact_one(lower):
    pyro.set_rng_seed(0)
    x = torch.randn(9) + 2
    svi = SVI(conjugate, by_hand, pyro.optim.ClippedAdam({"lr": 0.02}), Trace_ELBO(), lower=lower)
    for step in range(2500):
        if step == 1500:
            for optimizer in svi.optim.optim_objs.values():
                optimizer.param_groups[0]["lr"] = 0.002
        svi.step(x)
    assert pyro.param("q_loc").item() == pytest.approx(x.sum().item() / 10, abs=0.05)
    assert pyro.param("q_scale").item() == pytest.approx(10**-0.5, abs=0.03)


def eager_all_the_way(model, guide, args, match, n=5):
    """Falls back with that one reason, and to Pyro's numbers."""
    results = []
    for kind in (pyro.infer.SVI, SVI):
        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        svi = kind(model(), guide, adam(), Trace_ELBO())
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            losses = [svi.step(*[x.clone() for x in args]) for _ in range(n)]
        results.append(losses)
    assert [type(w.message) for w in said] == [LoweringWarning]
    assert match in str(said[0].message)
    assert svi.lowered.used == "eager"
    assert results[0] == pytest.approx(results[1], rel=1e-6)


def observed(loc, x, scale=1.0):
    with pyro.plate("data", len(x)):
        pyro.sample("x", dist.Normal(loc, scale), obs=x)


def asks():
    def model(x):
        loc = pyro.sample("loc", dist.Normal(0.0, 1.0))
        observed(float(loc), x)

    return model


def asks_in_a_file_named_after_torch():
    source = """def model(x):
        loc = sample("loc", Normal(0.0, 1.0))
        observed(float(loc), x)"""
    scope = {"sample": pyro.sample, "Normal": dist.Normal, "observed": observed}
    scope["__name__"] = "torch_models"
    exec(compile(source, "torch_models.py", "exec"), scope)
    return scope["model"]


def branches():
    def model(x):
        loc = pyro.sample("loc", dist.Normal(0.0, 1.0))
        observed(loc if loc > 0 else 2 * loc, x)

    return model


def lists():
    def model(x):
        loc = pyro.sample("loc", dist.Normal(0.0, 1.0))
        observed(loc.tolist(), x)

    return model


def comes_and_goes():
    def model(x):
        loc = pyro.sample("loc", dist.Normal(0.0, 1.0))
        if random.random() < 0.5:
            pyro.sample("extra", dist.Normal(loc, 1.0), obs=loc.detach())
        observed(loc, x)

    return model


def numpy_noise():
    def model(x):
        loc = pyro.sample("loc", dist.Normal(0.0, 1.0))
        observed(loc + torch.as_tensor(np.random.normal()).float(), x)

    return model


def numpy_branch():
    noise = np.random.default_rng(0)

    def model(x):
        loc = pyro.sample("loc", dist.Normal(0.0, 1.0))
        observed(loc if noise.random() < 0.5 else 2 * loc, x)

    return model


def grows():
    draws = []

    def model(x):
        draws.append(pyro.sample("loc", dist.Normal(0.0, 1.0)))
        observed(draws[-1] * len(draws), x)

    return model


def own_generator():
    generator = torch.Generator().manual_seed(0)

    def model(x):
        loc = pyro.sample("loc", dist.Normal(0.0, 1.0))
        observed(loc + torch.randn((), generator=generator), x)

    return model


def counts():
    calls = 0

    def model(x):
        nonlocal calls
        calls += 1
        observed(pyro.sample("loc", dist.Normal(0.0, 1.0)), x, scale=float(calls))

    return model


class Remembers:
    def __init__(self):
        self.mean = torch.zeros(())

    def __call__(self, x):
        loc = pyro.sample("loc", dist.Normal(0.0, 1.0))
        self.mean = 0.9 * self.mean + 0.1 * loc.detach() + 1
        observed(loc + self.mean, x)


def overwrites():
    def model(x):
        x += 0.1
        observed(pyro.sample("loc", dist.Normal(0.0, 1.0)), x)

    return model


def reseeds():
    def model(x):
        torch.manual_seed(3)
        observed(pyro.sample("loc", dist.Normal(0.0, 1.0)) + torch.randn(()), x)

    return model


def other_memory(put):
    def make():
        mean = torch.zeros(1)

        def model(x):
            loc = pyro.sample("loc", dist.Normal(0.0, 1.0))
            put(mean, 0.9 * mean + x.mean().reshape(1))
            observed(loc + mean, x)

        return model

    return make


def grows_in_place():
    seen = torch.zeros(0)

    def model(x):
        seen.resize_(len(seen) + 1)[-1] = len(seen)
        observed(pyro.sample("loc", dist.Normal(0.0, 1.0)) + seen.mean(), x)

    return model


def pads(learns):
    """Without gradients, PyTorch sets what a transformer makes of padding to 0."""

    def make():
        torch.manual_seed(0)
        layer = nn.TransformerEncoderLayer(2, 2, 4, dropout=0.0, batch_first=True)
        encoder = nn.TransformerEncoder(layer, 1).eval().requires_grad_(learns)
        padding = torch.tensor([[False, False, True]])

        def model(x):
            code = encoder(x.reshape(1, 3, 1).expand(1, 3, 2), src_key_padding_mask=padding)
            observed(pyro.sample("loc", dist.Normal(0.0, 1.0)) + code.sum(), x)

        return model

    return make


def in_a_thread():
    scale = nn.Parameter(torch.ones(()))

    def model(x):
        done = []
        thread = threading.Thread(target=lambda: done.append(scale * x.mean()))
        thread.start()
        thread.join()
        observed(pyro.sample("loc", dist.Normal(0.0, 1.0)) + done[0], x)

    return model


BAD = {
    "float(z)": (asks, "asks the host for a value (test_svi.py, line"),
    "a file named after torch": (
        asks_in_a_file_named_after_torch,
        "asks the host for a value (torch_models.py, line 3)",
    ),
    "a sampled branch": (branches, "asks the host for a value (test_svi.py, line"),
    "tolist": (lists, "asks the host for a value (test_svi.py, line"),
    "a site that comes and goes": (comes_and_goes, "draws from Python's or NumPy's"),
    "noise from NumPy": (numpy_noise, "draws from Python's or NumPy's"),
    "a branch by NumPy": (numpy_branch, "a generator's state changes in every call"),
    "a list that grows": (grows, "the length of a list changes in every call"),
    "a generator of its own": (own_generator, "generator of its own"),
    "a counter": (counts, "calls changes in every call"),
    "state kept in Python": (Remembers, "Remembers.mean is replaced in every call"),
    "an argument written to": (overwrites, "it writes to an argument"),
    "memory put into a tensor": (other_memory(lambda a, b: setattr(a, "data", b)), "other memory"),
    "a tensor set to another": (other_memory(lambda a, b: a.set_(b)), "other memory"),
    "a tensor that grows": (grows_in_place, "other memory"),
    "padding left out": (pads(False), "leaves padded positions out of a TransformerEncoder"),
    "another thread": (in_a_thread, "computed before, or in another thread"),
    "a seed set inside": (reseeds, "gives other numbers"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_lowered_runs_eagerly_and_says_why(name):
    model, match = BAD[name]
    eager_all_the_way(model, by_hand, (torch.ones(3),), match)


class Asking(Trace_ELBO):
    """An objective that decides by its own value."""

    def loss_and_grads(self, model, guide, *args, **kwargs):
        loss = self.differentiable_loss(model, guide, *args, **kwargs)
        (loss if loss.item() > 0 else 2 * loss).backward()
        return loss.detach()


def test_an_objective_that_asks_the_host_runs_eagerly():
    def losses(kind):
        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        svi = kind(conjugate, by_hand, adam(), Asking())
        return [svi.step(torch.ones(3)) for _ in range(4)]

    with pytest.warns(LoweringWarning, match=r"for a value \(test_svi.py, line") as said:
        found = losses(SVI)
    assert len(said) == 1
    assert found == pytest.approx(losses(pyro.infer.SVI), rel=1e-6)


def test_parameters_that_appear_with_a_shape_are_trained():
    def guide(x):
        loc = pyro.param(f"loc_{len(x)}", torch.zeros(()))
        pyro.sample("loc", dist.Normal(loc, 1.0))

    def run(kind):
        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        svi = kind(conjugate, guide, adam(), Trace_ELBO())
        return [svi.step(torch.ones(n)) for n in (3, 3, 4, 3, 4, 4, 4)], parameters()

    expected, values = run(pyro.infer.SVI)
    found, ours = run(SVI)
    assert found == pytest.approx(expected, rel=1e-6)
    assert ours.keys() == values.keys()
    assert far(ours, values) < 1e-6


def test_an_operation_without_a_kernel_here_fails_as_in_pyro():
    @torch.library.custom_op("probgen_tests::elsewhere", mutates_args=(), device_types="cuda")
    def elsewhere(x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    def model(x):
        observed(pyro.sample("loc", dist.Normal(0.0, 1.0)), elsewhere(x))

    for kind in (pyro.infer.SVI, SVI):
        svi = kind(model, by_hand, adam(), Trace_ELBO())
        with pytest.raises(NotImplementedError, match="elsewhere"):
            svi.step(torch.ones(3))


def test_state_that_nothing_shows_is_found_by_the_second_recording():
    flag = ContextVar("flag", default=1.0)

    def model(x):
        flag.set(3.0 - flag.get())
        observed(pyro.sample("loc", dist.Normal(0.0, 1.0)) * flag.get(), x)

    svi = SVI(model, by_hand, adam(), Trace_ELBO())
    svi.step(torch.ones(3))
    with pytest.warns(LoweringWarning, match="two calls do different things"):
        svi.step(torch.ones(3))


def test_other_shapes_are_recorded_when_they_come():
    svi = made(SVI, "mask and scale", lower="graph")
    plain = made(pyro.infer.SVI, "mask and scale")
    sizes = [40, 40, 40, 7, 40, 7]
    x = arguments("mask and scale")[0]
    results = []
    for one in (svi, plain):
        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        results.append([one.step(x[:n]) for n in sizes])
    assert results[0] == pytest.approx(results[1], rel=1e-6)
    assert len(svi.lowered.replays) == 2


def test_shapes_that_change_in_every_step_are_said_once():
    svi, x = made(SVI, "mask and scale"), arguments("mask and scale")[0]
    with pytest.warns(LoweringWarning, match="change in every step") as said:
        losses = [svi.step(x[:n]) for n in (40, 39, 38, 37, 36, 35, 34)]
    assert len(said) == 1
    assert len(svi.lowered.replays) == 3
    assert svi.step(x[:34]) != losses[-1]
    assert len(svi.lowered.replays) == 4
    plain = made(pyro.infer.SVI, "mask and scale")
    expected = [plain.step(x[:n]) for n in (40, 39, 38, 37, 36, 35, 34)]
    assert losses == pytest.approx(expected, rel=1e-6)


class Weighted:
    def __init__(self):
        self.weight, self.data = 1.0, torch.ones(3)

    def __call__(self):
        loc = pyro.sample("loc", dist.Normal(0.0, 1.0))
        with pyro.poutine.scale(scale=self.weight):
            observed(loc, self.data)

    def guide(self):
        by_hand(self.data)


def test_what_is_changed_from_outside_is_seen():
    def changed(kind):
        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        model = Weighted()
        svi = kind(model, model.guide, adam(), Trace_ELBO())
        losses = [svi.step() for _ in range(3)]
        model.weight = 2.0
        losses += [svi.step() for _ in range(2)]
        model.data = torch.full((5,), 3.0)
        losses += [svi.step() for _ in range(2)]
        model.data.add_(1)
        losses += [svi.step() for _ in range(2)]
        pyro.clear_param_store()
        return losses + [svi.step() for _ in range(2)], parameters(), svi

    expected, values, _ = changed(pyro.infer.SVI)
    found, ours, svi = changed(SVI)
    assert found == pytest.approx(expected, rel=1e-6)
    assert far(ours, values) < 1e-6
    assert svi.lowered.used == "graph"


def test_an_annealed_attribute_runs_eagerly_until_it_stays():
    def annealed(kind):
        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        model = Weighted()
        svi = kind(model, model.guide, adam(), Trace_ELBO())
        losses = []
        for step in range(14):
            model.weight = min(1.0, 0.1 * (step + 1))
            losses.append(svi.step())
        return losses, svi

    expected, _ = annealed(pyro.infer.SVI)
    with pytest.warns(LoweringWarning, match="change in every step") as said:
        found, svi = annealed(SVI)
    assert len(said) == 1
    assert found == pytest.approx(expected, rel=1e-6)
    newest = next(iter(svi.lowered.replays.values()))[-1]
    assert newest.calls >= 3


def test_a_step_inside_a_handler_is_that_handlers():
    def scaled(kind):
        svi = made(kind, "delta")
        args = arguments("delta")
        losses = [svi.step(*args) for _ in range(3)]
        with pyro.poutine.scale(scale=3.0):
            losses.append(svi.step(*args))
        return losses + [svi.step(*args)]

    assert scaled(SVI) == pytest.approx(scaled(pyro.infer.SVI), rel=1e-6)


@pytest.mark.parametrize("argument", [np.ones(3), torch.ones(3, requires_grad=True)])
def test_arguments_that_a_recording_cannot_follow_are_named(argument):
    def program(x):
        return torch.as_tensor(x).sum()

    lowered = lowering.Lowered(program, list, name="it", roots=())
    lowered(argument)
    with pytest.warns(LoweringWarning, match="argument"):
        assert lowered(argument).item() == 3


def test_a_value_that_only_arguments_decide_is_looked_at_again():
    def model(x, lengths):
        loc = pyro.sample("loc", dist.Normal(0.0, 1.0))
        observed(loc, x[: int(lengths.max())])

    def guide(x, lengths):
        by_hand(x)

    def run(kind):
        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        svi = kind(model, guide, adam(), Trace_ELBO())
        lengths = [torch.tensor(pair) for pair in ([2, 3], [2, 3], [3, 1], [1, 5], [2, 3])]
        return [svi.step(torch.arange(6.0), each) for each in lengths], svi

    expected, _ = run(pyro.infer.SVI)
    found, svi = run(SVI)
    assert found == pytest.approx(expected, rel=1e-6)
    assert svi.lowered.used == "graph"


CUTS = [torch.tensor(cut) for cut in ([1, 3], [1, 3], [2, 3], [1, 3], [2, 3])]
PACKED = nn.utils.rnn.pack_sequence([torch.arange(3.0), torch.arange(2.0)])
READS = {
    "packed sequences": (
        lambda sizes: nn.utils.rnn.pad_packed_sequence(PACKED._replace(batch_sizes=sizes))[0],
        [torch.tensor(sizes) for sizes in ([2, 2, 1], [2, 2, 1], [3, 1, 1], [2, 2, 1])],
    ),
    "a split": (
        lambda cut: torch.stack([part.sum() for part in torch.arange(6.0).tensor_split(cut)]), CUTS
    ),
    "a list": (lambda x: torch.tensor([[x[0], 1], [x[1], 2]]), CUTS),
    "a list in the place of a tensor": (lambda x: x.new_tensor([x[1], x[0]]), CUTS),
    "a list by name": (lambda x: torch.as_tensor(data=[x[1], x[0]]), CUTS),
    "an old constructor": (lambda x: torch.FloatTensor([x[0], x[1]]), CUTS),
    "dlpack": (lambda x: torch.as_tensor(np.from_dlpack(x) * 2), CUTS),
    "another's storage": (lambda x: copy.copy(x) + 1, CUTS),
    "numbers that C++ makes a tensor of": (
        lambda x: nn.functional.ctc_loss(
            torch.zeros(4, 1, 3).log_softmax(-1), x[None, :1], (4,), (int(x[0]),), reduction="mean"
        ),
        [torch.ones(1, dtype=torch.int64)] * 6,
    ),
    "one-hot codes": (lambda x: nn.functional.one_hot(x), CUTS),
}  # fmt: skip


@pytest.mark.parametrize("name", READS)
def test_what_pytorch_reads_for_itself_is_looked_at_again(name):
    program, arguments = READS[name]
    lowered = lowering.Lowered(program, list, name=name, roots=(), how="graph")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LoweringWarning)
        found = [lowered(x) for x in arguments]
    assert name == "another's storage" or lowered.used == "graph"
    assert all(torch.equal(a, program(x)) for a, x in zip(found, arguments, strict=True))


def test_a_parameter_in_a_list_is_no_constant():
    def model(x):
        loc = pyro.sample("loc", dist.Normal(0.0, 1.0))
        scale = torch.tensor([pyro.param("scale", torch.ones(())).detach(), 1.0]).sum()
        observed(loc, x, scale)

    svi = SVI(model, by_hand, adam(), Trace_ELBO())
    svi.step(torch.ones(3))
    with pytest.warns(LoweringWarning, match=r"for a value \(test_svi.py, line"):
        svi.step(torch.ones(3))


def test_one_hot_codes_of_a_known_number_are_one_recording():
    def program(x):
        return nn.functional.one_hot(x, 5)

    lowered = lowering.Lowered(program, list, name="it", roots=(), how="graph")
    assert all(torch.equal(lowered(x), program(x)) for x in CUTS)
    assert sum(map(len, lowered.replays.values())) == 1


def test_copies_of_tensors_and_masks_of_constants_are_recorded():
    module, mask = nn.BatchNorm1d(2, affine=False), torch.tensor([True, False, True])
    weight, flag = nn.Parameter(torch.ones(3)), torch.ones(())

    def program(x):
        other = copy.deepcopy(module)(x)
        y = other.sum() + weight[mask].sum() + weight.masked_select(mask).sum()
        flag[x.sum() > 0] = 2
        (y * flag).backward()
        return y

    x = torch.tensor([[1.0, 2.0], [3.0, 5.0]])
    lowered = lowering.Lowered(program, lambda: [weight], name="it", roots=(), how="graph")
    for sign in (1, 1, -1, 1):
        weight.grad = None
        flag.fill_(1)
        assert lowered(sign * x).item() == pytest.approx(4, abs=1e-5)
        assert weight.grad.tolist() == ([4, 0, 4] if sign > 0 else [2, 0, 2])
    assert lowered.used == "graph"
    assert module.num_batches_tracked == 0


def checked(x):
    loc = pyro.sample("loc", dist.Normal(0.0, 1.0))
    assert loc < 1.5, f"{loc} is large"
    if loc.isinf():
        reasons = [name for name in ("a", "b") if name]
        raise ValueError(f"{reasons}")
    if not loc > -0.5:
        raise ValueError("small")
    observed(loc, x)


@pytest.mark.parametrize("loss", [Trace_ELBO, TraceGraph_ELBO])
def test_errors_that_a_program_raises_by_a_value_are_raised_as_in_pyro(loss):
    def run(kind):
        losses, errors = [], []
        pyro.clear_param_store()
        pyro.set_rng_seed(2)
        svi = kind(checked, by_hand, adam(), loss())
        for _ in range(100):
            try:
                losses.append(svi.step(torch.ones(3)))
            except (AssertionError, ValueError) as error:
                errors.append(str(error).splitlines()[0].split()[-1])
        return losses, errors, torch.get_rng_state(), svi

    losses, errors, state, _ = run(pyro.infer.SVI)
    found, ours, now, svi = run(SVI)
    assert {*errors} == {"large", "small"}
    assert found == pytest.approx(losses, rel=1e-6)
    assert ours == errors
    assert torch.equal(now, state)
    assert svi.lowered.used == "graph"


def test_errors_that_a_program_catches_in_most_calls_make_it_eager():
    def program(x):
        z = torch.randn(())
        assert z + x, "never 0"
        try:
            assert z + x > 0
        except AssertionError:
            z = 2 * z
        return z

    lowered = lowering.Lowered(program, list, name="it", roots=(), how="graph")
    results = []
    for run in (program, lowered):
        torch.manual_seed(0)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            results.append([run(torch.tensor(x)).item() for x in [9.0] * 3 + [-9.0] * 9])
    assert results[0] == results[1]
    assert "raises errors by values that change, and catches them" in str(said[0].message)
    assert (len(said), lowered.used) == (1, "eager")


def test_a_replay_that_deviates_leaves_what_it_wrote_as_it_was():
    count, limit = torch.zeros(()), 4

    def program(x):
        count.add_(x)
        if count >= limit or x.isnan():
            raise ValueError("too many")
        return torch.randn(())

    lowered = lowering.Lowered(program, list, name="it", roots=(), how="graph")
    for _ in range(3):
        lowered(torch.ones(()))
    assert lowered.used == "graph"
    state = torch.get_rng_state()
    with pytest.raises(ValueError, match="too many"):
        lowered(torch.ones(()))
    assert count == 4
    assert torch.equal(torch.get_rng_state(), state)


def test_a_global_that_is_also_an_argument_stays_itself():
    x = torch.ones(3)

    def program(y):
        return (x * y).sum()

    lowered = lowering.Lowered(program, list, name="it", roots=(program,), how="graph")
    assert [lowered(y).item() for y in (x, x, 2 * x, x)] == [3, 3, 6, 3]


def test_literals_that_a_program_writes_to_are_new_in_every_call():
    def program(x):
        total = torch.tensor([0.0, 1.0])
        total += x
        return total

    lowered = lowering.Lowered(program, list, name="it", roots=(), how="graph")
    assert [lowered(torch.ones(2)).tolist() for _ in range(4)] == [[1, 2]] * 4


def test_wrong_requests_are_named():
    with pytest.raises(
        LoweringError, match="lower one of auto, graph, inductor, eager; got 'jit'"
    ):
        made(SVI, "delta", lower="jit")
    with pytest.raises(LoweringError, match="all parameters in Astray; got lost outside"):
        lowering.lower(objectives.ELBO(), Astray(), torch.rand(5, 1, 8, 8))


class Astray(nn.Module):
    """Its parameter lives in Pyro's store alone."""

    def __init__(self):
        super().__init__()
        self.inner = nets_pair()

    def model(self, x):
        self.inner.model(x)

    def guide(self, x):
        pyro.param("lost", torch.zeros(()))
        self.inner.guide(x)
