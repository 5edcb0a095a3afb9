"""A lowered SVI sees whatever an eager one would: code, parameters and settings that change."""

import argparse
import copy
import functools
import itertools
import random
import sys
import warnings
from collections import deque
from types import MappingProxyType, ModuleType

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import Trace_ELBO, TraceGraph_ELBO
from pyro_zoo import by_hand, discrete
from torch import nn
from torch.distributions import constraints
from torch.nn.modules.module import register_module_forward_hook

from probgen.lowering import SVI, LoweringWarning, lowered

X = torch.linspace(-1.0, 3.0, 12)
settings = ModuleType("settings")
settings.weight = 1.0
exec("def read(): return weight", vars(settings))
sys.modules["settings"] = settings
WEIGHT = 1.0


def scaled(weight, x):
    loc = pyro.sample("loc", dist.Normal(0.0, 1.0))
    with poutine.scale(scale=weight), pyro.plate("data", len(x)):
        pyro.sample("x", dist.Normal(loc, 1.0), obs=x)


class OfClass:
    weight = 1.0

    def __call__(self, x):
        scaled(self.weight, x)


class OfSlots:
    __slots__ = ("weight",)

    def __call__(self, x):
        scaled(self.weight, x)


class OfGlobal(nn.Module):
    @property
    def weight(self):
        return WEIGHT

    @staticmethod
    def read():
        return WEIGHT

    def forward(self, x):
        scaled(self.read() + self.weight, x)


def of_class_by_name(x):
    scaled(OfClass.weight, x)


def of_module(x):
    scaled(settings.weight, x)


def of_function_of_module(x):
    scaled(settings.read(), x)


def of_default(x, given={"weight": 1.0}):  # noqa: B006
    scaled(given["weight"], x)


ARRAY, QUEUE = np.ones(1), deque([1.0])


def of_array(x):
    scaled(float(ARRAY[0]), x)


def of_queue(x):
    scaled(QUEUE[-1], x)


def set_global(weight):
    globals()["WEIGHT"] = weight


PLACES = {
    "a class": (OfClass, lambda model, w: setattr(OfClass, "weight", w)),
    "slots": (OfSlots, lambda model, w: setattr(model, "weight", w)),
    "a global that methods read": (OfGlobal, lambda model, w: set_global(w)),
    "a class by name": (lambda: of_class_by_name, lambda model, w: setattr(OfClass, "weight", w)),
    "a module": (lambda: of_module, lambda model, w: setattr(settings, "weight", w)),
    "a module's function": (
        lambda: of_function_of_module, lambda model, w: setattr(settings, "weight", w)
    ),
    "an array": (lambda: of_array, lambda model, w: ARRAY.fill(w)),
    "a queue": (lambda: of_queue, lambda model, w: QUEUE.append(w) or QUEUE.popleft()),
    "a default": (lambda: of_default, lambda model, w: model.__defaults__[0].update(weight=w)),
}  # fmt: skip


def compared(run, tolerance=1e-6, said=None):
    """``run(kind)`` gives losses; a lowered SVI's are Pyro's, and so are the parameters."""
    found = []
    for kind in (pyro.infer.SVI, SVI):
        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            losses = run(kind)
        stored = pyro.get_param_store().named_parameters()
        found.append((losses, {name: value.detach().clone() for name, value in stored}))
    (expected, parameters), (losses, ours) = found
    assert losses == pytest.approx(expected, rel=tolerance)
    assert ours.keys() == parameters.keys()
    for name, value in parameters.items():
        torch.testing.assert_close(ours[name], value, rtol=10 * tolerance, atol=1e-6)
    messages = [str(w.message) for w in warned if isinstance(w.message, LoweringWarning)]
    assert len(messages) == (said is not None)
    assert said is None or said in messages[0]


def adam():
    return pyro.optim.Adam({"lr": 0.01})


@pytest.mark.parametrize("place", PLACES)
def test_a_number_is_followed_wherever_the_program_reads_it(place):
    make, put = PLACES[place]

    def run(kind):
        model = make()
        put(model, 1.0)
        svi = kind(model, by_hand, adam(), Trace_ELBO())
        losses = [svi.step(X) for _ in range(3)]
        put(model, 3.0)
        return losses + [svi.step(X) for _ in range(3)]

    compared(run)


def own_attribute():
    model = OfClass()
    return model, lambda: setattr(model, "weight", 3.0)


def new_attribute():
    given = argparse.Namespace()
    return lambda x: scaled(getattr(given, "weight", 2.0), x), lambda: setattr(given, "weight", 3)


def new_key():
    given = {}
    return lambda x: scaled(given.get("weight", 2.0), x), lambda: given.update(weight=3.0)


def member_of_a_set():
    given = {2.0}
    return lambda x: scaled(sum(given), x), lambda: given.add(3.0)


def other_member_of_a_set():
    given = {2.0}
    return lambda x: scaled(sum(given), x), lambda: given.add(3.0) or given.remove(2.0)


def sign_of_zero():
    given = [0.0]
    return lambda x: scaled(2 + np.copysign(1.0, given[0]), x), lambda: given.insert(0, -0.0)


def default_number():
    def model(x, weight=2.0):
        scaled(weight, x)

    return model, lambda: setattr(model, "__defaults__", (3.0,))


def keyword():
    def model(x, *, weight=2.0):
        scaled(weight, x)

    return model, lambda: model.__kwdefaults__.update(weight=3.0)


def code_that_is_reloaded():
    def model(x):
        scaled(2.0, x)

    return model, lambda: setattr(model, "__code__", of_three.__code__)


def of_three(x):
    scaled(3.0, x)


def cached_function():
    given = argparse.Namespace(weight=2.0)
    read = functools.cache(lambda: given)
    return lambda x: scaled(read().weight, x), lambda: setattr(given, "weight", 3.0)


def module_in_a_list():
    layers = nn.ModuleList([nn.Identity()])
    return lambda x: scaled(float(len(layers)), x), lambda: layers.append(nn.Identity())


def prior():
    loc = pyro.sample("loc", dist.Normal(0.0, 1.0))
    with pyro.plate("data", len(X)):
        pyro.sample("x", dist.Normal(loc, 1.0))


def condition():
    given = {"x": X}
    model = poutine.condition(prior, data=given)
    return lambda x: model(), lambda: given.update(x=2 * X)


def handler():
    scale = poutine.scale(scale=2.0)
    return scale(of_three), lambda: setattr(scale, "scale", 3.0)


def view_of_a_dict():
    given = {"weight": 2.0}
    view = MappingProxyType(given)
    return lambda x: scaled(view["weight"], x), lambda: given.update(weight=3.0)


def key_of_a_dict():
    key = OfClass()
    key.weight = 2.0
    given = {key: None}
    return lambda x: scaled(max(k.weight for k in given), x), lambda: setattr(key, "weight", 3.0)


def object_in_a_set():
    one = OfClass()
    one.weight = 2.0
    given = {one}
    return lambda x: scaled(max(k.weight for k in given), x), lambda: setattr(one, "weight", 3.0)


def attribute_of(kind):
    class OfUser(kind):
        weight = 2.0

    def make():
        given = OfUser()
        return lambda x: scaled(given.weight, x), lambda: setattr(given, "weight", 3.0)

    make.__name__ = f"attribute_of_a_{kind.__name__}"
    return make


def class_of_a_dict():
    class OfUser(dict):
        weight = 2.0

    given = OfUser()
    return lambda x: scaled(given.weight, x), lambda: setattr(OfUser, "weight", 3.0)


COMING = (
    *map(attribute_of, (dict, list, tuple, set, frozenset, deque)), class_of_a_dict,
    view_of_a_dict, key_of_a_dict, object_in_a_set,
    condition, handler,
    own_attribute, new_attribute, new_key, member_of_a_set, other_member_of_a_set, sign_of_zero,
    default_number, keyword, code_that_is_reloaded, cached_function, module_in_a_list,
)  # fmt: skip


@pytest.mark.parametrize("make", COMING)
def test_what_was_not_there_before_is_seen_when_it_comes(make):
    def run(kind):
        model, change = make()
        svi = kind(model, by_hand, adam(), Trace_ELBO())
        losses = [svi.step(X) for _ in range(3)]
        change()
        return losses + [svi.step(X) for _ in range(3)]

    compared(run)


def test_a_zero_is_told_from_its_negative_as_an_argument():
    def model(x, number):
        scaled(2 + np.copysign(1.0, number), x)

    def run(kind):
        svi = kind(model, lambda x, number: by_hand(x), adam(), Trace_ELBO())
        return [svi.step(X, number) for number in (0.0, 0.0, 0.0, -0.0, -0.0)]

    compared(run)


def generated():
    yield from [1.0] * 4 + [3.0] * 4


ITERATORS = {
    "generator": generated,
    "chain": lambda: itertools.chain([1.0] * 4, [3.0] * 4),
    "count": lambda: itertools.count(-3),
    "list_iterator": lambda: iter([1.0] * 4 + [3.0] * 4),
}


@pytest.mark.parametrize("name", ITERATORS)
def test_schedules_kept_as_iterators_run_eagerly_and_lose_no_value(name):
    def run(kind):
        weights = ITERATORS[name]()
        model = lambda x: scaled(1.0 + max(next(weights), 0.0), x)  # noqa: E731
        svi = kind(model, by_hand, adam(), Trace_ELBO())
        return [svi.step(X) for _ in range(6)]

    compared(run, said=f"it keeps a {name}")


class Nameless:
    def __repr__(self):
        raise RuntimeError


class Fickle(dict):
    def __getitem__(self, key):
        if self.get("closed"):
            raise RuntimeError
        return super().__getitem__(key)


def test_objects_that_raise_errors_when_looked_at():
    def run(kind):
        given = Fickle({Nameless(): 1.0, "weight": 2.0})
        svi = kind(lambda x: scaled(given.get("weight"), x), by_hand, adam(), Trace_ELBO())
        losses = [svi.step(X) for _ in range(3)]
        given.update(closed=True)
        return losses + [svi.step(X) for _ in range(3)]

    compared(run, said="recording it failed: RuntimeError")


NOISE = {
    "NumPy's": (lambda: np.random.RandomState(0).rand, "a generator's state"),
    "the system's": (lambda: random.SystemRandom().random, "it keeps a SystemRandom"),
}


@pytest.mark.parametrize("name", NOISE)
def test_generators_of_other_kinds_run_eagerly(name):
    make, said = NOISE[name]

    def run(kind):
        draw = make()
        model = lambda x: scaled(3.0 if draw() > 1 else 1.0, x)  # noqa: E731
        svi = kind(model, by_hand, adam(), Trace_ELBO())
        return [svi.step(X) for _ in range(4)]

    compared(run, said=said)


class Halves(nn.Module):
    """An autoencoder whose encoder is left out where codes are given."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(1, 2), nn.Linear(1, 1)

    def model(self, x, z=None):
        pyro.module("halves", self)
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros(len(x), 1), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(self.decoder(z)[:, 0], 1.0), obs=x)

    def guide(self, x, z=None):
        pyro.module("halves", self)
        loc, log_scale = self.encoder(x[:, None]).chunk(2, -1)
        q = dist.Normal(loc, log_scale.exp()) if z is None else dist.Normal(z[:, None], 1.0)
        with pyro.plate("data", len(x)):
            pyro.sample("z", q.to_event(1))


OPTIMS = {
    "Adam": adam,
    "ClippedAdam": lambda: pyro.optim.ClippedAdam({"lr": 0.01, "lrd": 0.9}),
    "SGD": lambda: pyro.optim.SGD({"lr": 1e-3, "momentum": 0.9}),
}


@pytest.mark.parametrize("make", OPTIMS.values(), ids=OPTIMS)
def test_parameters_that_a_step_leaves_out_go_on_by_their_momentum(make):
    """As in Pyro, whose gradients are zeros from the first one on."""

    def run(kind):
        pair = Halves()
        svi = kind(pair.model, pair.guide, make(), Trace_ELBO())
        codes = [X / 2 if step % 3 != 1 else None for step in range(12)]
        return [svi.step(X, z) for z in codes]

    compared(run)


@pytest.mark.parametrize("shared", [True, False])
def test_two_lowered_losses_train_the_same_networks(shared):
    def run(kind):
        pair, optim = Halves(), adam()
        first = kind(pair.model, pair.guide, optim, Trace_ELBO())
        second = kind(pair.model, pair.guide, optim if shared else adam(), Trace_ELBO())
        return [loss for _ in range(6) for loss in (first.step(X), second.step(X, X / 2))]

    compared(run)


def freeze(pair):
    pair.encoder.requires_grad_(False)


def thaw(pair):
    pair.encoder.requires_grad_(True)


def hook(pair):
    pair.encoder.weight.register_hook(torch.neg)


def hook_forward(pair):
    pair.decoder.register_forward_hook(lambda module, inputs, output: 2 * output)


@pytest.mark.parametrize("change", [(freeze, thaw), (hook, hook), (hook_forward, thaw)])
def test_parameters_frozen_and_hooked_between_steps(change):
    def run(kind):
        pair = Halves()
        svi = kind(pair.model, pair.guide, adam(), Trace_ELBO())
        losses = [svi.step(X) for _ in range(3)]
        for each in change:
            each(pair)
            losses += [svi.step(X) for _ in range(3)]
        return losses

    compared(run)


def double(given):
    return lambda *values: values[-1] * given["by"]


def halved(parameter):
    parameter.grad.div_(2.0)


BY = {"by": 2.0}
HOOKED = {
    "another hook of a module": (
        lambda halves: halves.decoder.register_forward_hook(double({"by": 2.0})),
        lambda halves, hook: (
            hook.remove() or halves.decoder.register_forward_hook(double({"by": 3.0}))
        ),
    ),
    "another hook of a parameter": (
        lambda halves: halves.decoder.weight.register_hook(double({"by": 2.0})),
        lambda halves, hook: (
            hook.remove() or halves.decoder.weight.register_hook(double({"by": 3.0}))
        ),
    ),
    "a hook of all modules, removed": (
        lambda halves: register_module_forward_hook(double({"by": 2.0})),
        lambda halves, hook: hook.remove(),
    ),
    "what a module's hook reads": (
        lambda halves: halves.decoder.register_forward_hook(double(BY)),
        lambda halves, hook: BY.update(by=5.0),
    ),
    "what a parameter's hook reads": (
        lambda halves: halves.decoder.weight.register_hook(double(BY)),
        lambda halves, hook: BY.update(by=5.0),
    ),
    "a hook after gradients": (
        lambda halves: None,
        lambda halves, hook: halves.decoder.weight.register_post_accumulate_grad_hook(halved),
    ),
}


@pytest.mark.parametrize("name", HOOKED)
def test_hooks_that_change_are_seen(name):
    before, after = HOOKED[name]

    def run(kind):
        torch.manual_seed(0)
        BY["by"] = 2.0
        halves = Halves()
        svi = kind(halves.model, halves.guide, pyro.optim.SGD({"lr": 0.001}), Trace_ELBO())
        hook = before(halves)
        losses = [svi.step(X) for _ in range(4)]
        after(halves, hook)
        return losses + [svi.step(X) for _ in range(4)]

    compared(run)


@pytest.mark.parametrize("optim", ["Adam", "ClippedAdam", "SGD"])
def test_parameters_that_get_another_layout(optim):
    """Fused kernels go through memory in its order."""

    class Wide(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 4))

        def forward(self, x):
            pyro.module("wide", self)
            loc = pyro.sample("loc", dist.Normal(0.0, 1.0))
            loc = loc + (self.weight * torch.arange(4.0)).sin().sum(0).repeat(3)
            with pyro.plate("data", len(x)):
                pyro.sample("x", dist.Normal(loc, 1.0), obs=x)

    def run(kind):
        torch.manual_seed(0)
        model = Wide()
        svi = kind(model, by_hand, OPTIMS[optim](), Trace_ELBO())
        losses = [svi.step(X) for _ in range(4)]
        model.weight.data = model.weight.data.t().contiguous().t()
        return losses + [svi.step(X) for _ in range(5)]

    compared(run)


def test_another_precision_of_autocast_is_another_recording():
    def run(kind):
        torch.manual_seed(0)
        halves = Halves()
        svi = kind(halves.model, halves.guide, adam(), Trace_ELBO())
        losses = []
        for precision in (torch.bfloat16,) * 3 + (torch.float16,) * 3:
            with torch.autocast("cpu", dtype=precision):
                losses.append(svi.step(X))
        return losses

    compared(run)


def test_a_hook_that_is_removed_is_gone():
    def run(kind):
        pair = Halves()
        handles = [pair.decoder.register_forward_hook(lambda module, inputs, output: 2 * output)]
        handles.append(pair.encoder.weight.register_hook(torch.neg))
        svi = kind(pair.model, pair.guide, adam(), Trace_ELBO())
        losses = [svi.step(X) for _ in range(3)]
        for handle in handles:
            handle.remove()
            losses += [svi.step(X) for _ in range(3)]
        return losses

    compared(run)


def test_programs_that_are_replaced():
    def run(kind):
        pair, other = Halves(), Halves()
        svi = kind(pair.model, pair.guide, adam(), Trace_ELBO())
        losses = [svi.step(X) for _ in range(3)]
        svi.model, svi.guide = other.model, other.guide
        losses += [svi.step(X) for _ in range(3)] + [svi.evaluate_loss(X) for _ in range(3)]
        svi.optim = adam()
        return losses + [svi.step(X) for _ in range(3)]

    compared(run)


def test_a_loss_with_gradients_of_its_own():
    def run(kind):
        weights = {"loss": 1.0}

        def loss_and_grads(model, guide, x):
            loss = weights["loss"] * Trace_ELBO().differentiable_loss(model, guide, x)
            loss.backward()
            return loss.detach()

        model = OfClass()
        put = PLACES["a class"][1]
        put(model, 1.0)
        svi = kind(model, by_hand, adam(), Trace_ELBO().loss, loss_and_grads=loss_and_grads)
        losses = [svi.step(X) for _ in range(3)]
        weights["loss"] = 3.0
        return losses + [svi.step(X) for _ in range(3)]

    compared(run)


def test_a_baseline_kept_in_the_store_moves_in_the_recording():
    def guide(x):
        p = pyro.param("p", torch.tensor(0.4), constraint=constraints.unit_interval)
        baseline = {"use_decaying_avg_baseline": True, "baseline_beta": 0.9}
        with pyro.plate("data", len(x)):
            pyro.sample("b", dist.Bernoulli(p), infer={"baseline": baseline})

    def run(kind):
        svi = kind(discrete, guide, adam(), TraceGraph_ELBO())
        losses = [svi.step(X) for _ in range(6)]
        assert kind is pyro.infer.SVI or svi.lowered.used == "graph"
        return losses

    compared(run)


def test_a_parameter_replaced_by_another_shape_runs_eagerly():
    def model(x):
        scaled(1.0, x)
        store = pyro.get_param_store()
        store["seen"] = torch.cat([pyro.param("seen", torch.zeros(1)).detach(), x[:1]])

    def run(kind):
        svi = kind(model, by_hand, adam(), Trace_ELBO())
        return [svi.step(X) for _ in range(4)]

    compared(run, said="pyro.param 'seen' is replaced in every call")


@pytest.mark.parametrize("aware", [False, True])
def test_an_optimiser_that_knows_the_subsample(aware):
    def model(x):
        with pyro.plate("data", len(x), subsample_size=4) as rows:
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("x", dist.Normal(z, 1.0), obs=x[rows])

    def guide(x):
        with pyro.plate("data", len(x), subsample_size=4):
            loc = pyro.param("loc", lambda: torch.zeros(len(x)), event_dim=0)
            pyro.sample("z", dist.Normal(loc, 1.0))

    def run(kind):
        optim = pyro.optim.DCTAdam({"lr": 0.1, "subsample_aware": aware})
        svi = kind(model, guide, optim, Trace_ELBO())
        return [svi.step(X) for _ in range(8)]

    compared(run)


class Options:
    def __init__(self):
        self.weight = 1.0

    def twice(self, x):
        return 2 * self.weight


def test_objects_and_functions_as_arguments_are_watched():
    def model(options, weight, x):
        scaled(options.weight * weight(x), x)

    def run(kind):
        options, other = Options(), argparse.Namespace(weight=2.0)
        svi = kind(model, lambda options, weight, x: by_hand(x), adam(), Trace_ELBO())

        def steps(*given):
            return [svi.step(*given, X) for _ in range(3)]

        losses = steps(options, len) + steps(other, len) + steps(other, options.twice)
        options.weight = 3.0
        losses += steps(options, len)
        assert kind is pyro.infer.SVI or svi.lowered.used == "graph"
        return losses

    compared(run)


@pytest.mark.filterwarnings("ignore:The `num")
def test_run_takes_its_steps_lowered():
    def run(kind):
        made = {"num_steps": 5, "num_samples": 3}
        svi = kind(OfClass(), by_hand, adam(), Trace_ELBO(), **made).run(X)
        assert kind is pyro.infer.SVI or svi.lowered.used == "graph"
        return [trace.nodes["loc"]["value"].item() for trace in svi.exec_traces]

    PLACES["a class"][1](None, 1.0)
    compared(run, tolerance=1e-5)


def test_an_object_made_for_every_step_runs_eagerly():
    def run(kind):
        svi = kind(
            lambda options, x: scaled(options.weight, x),
            lambda options, x: by_hand(x), adam(), Trace_ELBO(),
        )  # fmt: skip
        losses = [svi.step(Options(), X) for _ in range(30)]
        assert kind is pyro.infer.SVI or len(svi.lowered.replays) == 3
        return losses

    compared(run, said="unless what changes comes as an argument that is a tensor")


def test_a_batch_put_into_an_attribute_is_named():
    class Model:
        def __call__(self):
            scaled(1.0, self.data)

    def run(kind):
        model = Model()
        svi = kind(model, lambda: by_hand(X), adam(), Trace_ELBO())
        losses = []
        for step in range(6):
            model.data = X + step
            losses.append(svi.step())
        return losses

    compared(run, said="(Model.data) change in every step")


@pytest.mark.parametrize("kind", ["Trace", "TraceGraph", "TraceMeanField", "TraceEnum"])
def test_losses_compiled_by_pytorchs_tracer(kind):
    def run(svi_kind):
        loss = getattr(pyro.infer, f"Jit{kind}_ELBO")(ignore_jit_warnings=True)
        svi = svi_kind(of_class_by_name, by_hand, adam(), loss)
        return [svi.step(X) for _ in range(4)] + [svi.evaluate_loss(X) for _ in range(3)]

    compared(run, said=None if kind == "Trace" else f"its loss: give it a {kind}_ELBO")


def test_a_sparse_argument_runs_eagerly():
    def model(x):
        scaled(1.0, x.to_dense())

    def run(kind):
        svi = kind(model, lambda x: by_hand(X), adam(), Trace_ELBO())
        return [svi.step(X.to_sparse()) for _ in range(4)]

    compared(run, said="expected dense arguments; got one of layout torch.sparse_coo")


def test_more_kinds_of_calls_in_turn_than_are_kept_are_said_and_not_recorded_again(monkeypatch):
    monkeypatch.setattr(lowered, "KINDS", 4)
    recorded = []
    monkeypatch.setattr(
        lowered, "_recorded", lambda *call, do=lowered._recorded: recorded.append(1) or do(*call)
    )

    def run(kind):
        model = OfClass()
        PLACES["a class"][1](model, 1.0)
        svi = kind(model, by_hand, adam(), Trace_ELBO())
        kept = [svi.step(X[:n]) for n in (12, 12, 4, 4, 5, 5, 6, 6)]
        return kept + [svi.step(X[:n]) for _ in range(3) for n in range(4, 12)]

    compared(run, said="4 kinds of calls in turn")
    assert len(recorded) == 4


def mixed(x):
    a = pyro.param("a", torch.zeros(2))
    b = pyro.param("b", torch.zeros((), dtype=torch.float64))
    c = pyro.param("c", torch.ones(2, dtype=torch.complex64))
    pyro.sample("loc", dist.Normal(a.sum() + b.float() + c.real.sum() + c.imag.sum(), 1.0))


@pytest.mark.parametrize("lr", [0.01, torch.tensor(0.01)], ids=["number", "tensor"])
def test_parameters_of_several_dtypes_and_settings_as_lists(lr):
    def run(kind):
        optim = pyro.optim.Adam(
            lambda name: {"lr": lr, "betas": [0.9, 0.99 if name == "a" else 0.9]}
        )
        svi = kind(lambda x: scaled(1.0, x), mixed, optim, Trace_ELBO())
        return [svi.step(X) for _ in range(5)]

    compared(run)


def test_a_copy_is_recorded_for_itself():
    def run(kind):
        pair = Halves()
        svi = kind(pair.model, pair.guide, adam(), Trace_ELBO())
        losses = [svi.step(X) for _ in range(3)]
        other = copy.deepcopy(svi)
        return losses + [one.step(X) for _ in range(3) for one in (svi, other)]

    compared(run)


def annealed(x, weight):
    scaled(1 - weight, x)


def annealed_by_branches(x, weight):
    scaled(weight if weight < 0.5 else 2 * weight, x)


def annealed_by_type(x, weight):
    scaled(weight if isinstance(weight, float) else 3 * weight, x)


@pytest.mark.parametrize("number", [float, torch.tensor])
@pytest.mark.parametrize("named", [False, True])
def test_a_number_that_changes_is_recorded_once(number, named):
    recordings = []

    def run(kind):
        svi = kind(annealed, lambda x, weight: by_hand(x), adam(), Trace_ELBO())
        weights = [number(0.1 * step) for step in range(1, 10)]
        losses = [svi.step(X, weight=w) if named else svi.step(X, w) for w in weights]
        if kind is SVI:
            recordings.append(sum(map(len, svi.lowered.replays.values())))
        return losses

    compared(run)
    assert recordings == [2 if number is float else 1]


@pytest.mark.parametrize("model", [annealed_by_branches, annealed_by_type])
def test_a_number_that_python_looks_at_stays_one(model):
    def run(kind):
        svi = kind(model, lambda x, weight: by_hand(x), adam(), Trace_ELBO())
        return [svi.step(X, 0.1 * step) for step in range(1, 10)]

    compared(run, said="unless what changes comes as an argument that is a tensor")
