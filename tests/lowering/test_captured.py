"""Updates captured in CUDA graphs; what does not need a GPU is tested without one."""

import inspect
from contextlib import nullcontext
from copy import deepcopy
from functools import partial

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from probgen import control, data, lowering, models, nets, objectives, players, training
from probgen.lowering import LoweringWarning, captured
from probgen.lowering.recording import record
from probgen.objectives.adversarial import GradientPenalty, Hinge
from probgen.run import Folder

DIGITS, TEST = data.digits()
CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def pair(likelihood=None):
    torch.manual_seed(0)
    encoder, decoder = (
        nets.dense_encoder(DIGITS.shape, 4, (16,)),
        nets.dense_decoder(4, DIGITS.shape, (16,)),
    )
    return models.VAE(encoder, decoder, likelihood)


class Capture(TorchDispatchMode):
    """What a CUDA graph keeps: kernels, their numbers and their memory, and nothing of Python."""

    def __init__(self, body):
        super().__init__()
        self.kernels, self.before = [], {}
        with self, torch.random.fork_rng():
            body()
        for storage, value in self.before.values():  # a capture executes nothing
            storage.copy_(value)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        for leaf in tree_leaves(args):
            if isinstance(leaf, torch.Tensor):
                storage = leaf.untyped_storage()
                self.before.setdefault(storage._cdata, (storage, storage.clone()))
        result = function(*args, **(kwargs or {}))
        if function.namespace == "aten" and not function.is_view:
            self.kernels.append((function, args, kwargs or {}, result))
        return result

    @torch.no_grad()
    def replay(self):
        for function, args, kwargs, result in self.kernels:
            again = function(*args, **kwargs)
            for old, new in zip(tree_leaves(result), tree_leaves(again), strict=True):
                if old is not new:
                    old.copy_(new)


@pytest.fixture
def stand_in(monkeypatch):
    """Captures on the CPU, with the real buffers and rows."""
    made = []

    def capture(body, device):
        made.append(Capture(body))
        return made[-1].replay

    monkeypatch.setattr(captured, "supports", lambda device: True)
    monkeypatch.setattr(captured, "aside", lambda device: nullcontext([]))
    monkeypatch.setattr(captured, "capture", capture)
    return made


def fitted(objective, lower="graph", optimizer=None, device=None, **settings):
    module = pair(models.OptimalGaussian())
    history = training.fit(
        module, objective, DIGITS, steps=40, batch_size=400, clip_norm=5.0, log_every=3,
        lower=lower, optimizer=optimizer, device=device, **settings,
    )  # fmt: skip
    rows = [{k: v for k, v in r.items() if "second" not in k} for r in history.records]
    return rows, [p.detach().cpu() for p in module.state_dict().values()]


OBJECTIVES = {
    "ELBO": objectives.ELBO,
    "annealed": lambda: objectives.BetaELBO(control.Linear(0, 1, 10)),
    "controlled": lambda: objectives.ControlledELBO(target_kl=6.0),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_fixed_buffers_and_rows_give_the_same_run(name, stand_in, tmp_path):
    found = fitted(OBJECTIVES[name](), checkpoint=tmp_path)
    assert len(stand_in) == 2  # the batches of 400, and the last of an epoch with 300
    assert Folder(tmp_path).facts()["captured"] is True
    expected = fitted(OBJECTIVES[name](), lower="eager")
    assert len(stand_in) == 2
    assert found[0] == expected[0]
    assert all(map(torch.equal, found[1], expected[1]))


@pytest.mark.parametrize("loss", [Hinge(), GradientPenalty()], ids=["spectral", "penalty"])
def test_captured_duels_are_the_eager_ones(loss, stand_in, tmp_path):
    found = []
    for lower in ("eager", "graph"):
        torch.manual_seed(0)
        critic = players.conv_discriminator(
            DIGITS.shape, (8, 16), norm="spectral" if isinstance(loss, Hinge) else None
        )
        duel = models.GAN(players.dcgan_generator(8, DIGITS.shape, (8, 16)), critic)
        history = training.fit_adversarial(
            duel, loss, DIGITS, steps=8, batch_size=200, log_every=2, lower=lower,
            checkpoint=tmp_path / lower,
        )  # fmt: skip
        found.append((history.series("g_loss"), [*duel.state_dict().values()]))
    assert len(stand_in) == 2
    assert Folder(tmp_path / "graph").facts()["generator"]["captured"] is True
    assert found[0][0] == found[1][0]
    assert all(map(torch.equal, found[0][1], found[1][1]))


def test_results_stay_valid_as_long_as_said(stand_in):
    x = DIGITS.batch(slice(50))[0]
    step = lowering.lower(objectives.ELBO(), pair(), x)
    losses = [step(x) for _ in range(10)]
    assert len(stand_in) == 1
    assert len({loss.item() for loss in losses}) == 10


def test_another_learning_rate_is_another_graph(stand_in):
    x = DIGITS.batch(slice(50))[0]

    def losses(how):
        step = lowering.lower(objectives.ELBO(), pair(), x, how=how)
        torch.manual_seed(0)
        found = []
        for i in range(18):
            step.optimizer.param_groups[0]["lr"] = 1e-3 if i < 9 else 1e-2
            found.append(step(x).item())
        return found

    assert losses("graph") == losses("eager")
    assert len(stand_in) == 2


def test_a_learning_rate_kept_as_a_tensor_is_followed_on_the_host():
    rate = torch.tensor(1e-3)
    betas = (torch.tensor(0.9), torch.tensor(0.999))
    optimizer = torch.optim.Adam([torch.zeros(1)], lr=rate, betas=betas, capturable=True)
    before = captured._settings([optimizer])
    assert before == captured._settings([optimizer])
    rate.mul_(0.5)
    assert before != (after := captured._settings([optimizer]))
    betas[0].fill_(0.5)
    assert after != captured._settings([optimizer])


def test_a_changed_attribute_is_seen_before_a_replay(stand_in):
    x = DIGITS.batch(slice(50))[0]

    def losses(how):
        module = pair()
        step = lowering.lower(objectives.ELBO(), module, x, how=how)
        torch.manual_seed(0)
        found = [step(x).item() for _ in range(6)]
        module.eval()
        return found + [step(x).item() for _ in range(3)], step

    (found, step), (expected, _) = losses("graph"), losses("eager")
    assert found == expected
    assert sum(map(len, step.gradients.replays.values())) == 2


def test_on_the_cpu_nothing_is_captured():
    x = DIGITS.batch(slice(50))[0]
    step = lowering.lower(objectives.ELBO(), pair(), x)
    for _ in range(6):
        step(x)
    assert not step.update.used


REFUSED = {
    "an optimiser that counts on the host": (
        partial(torch.optim.Adam, lr=1e-3, fused=False, foreach=False),
        "Adam counts on the host: give it fused=True",
    ),
    "an optimiser without the switch": (partial(torch.optim.Rprop, lr=1e-3), "Rprop counts on"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_captured_is_said_once_and_runs(name, stand_in):
    optimizer, reason = REFUSED[name]
    with pytest.warns(LoweringWarning, match=reason) as said:
        found = fitted(objectives.ELBO(), optimizer=optimizer)
    assert (len(said), len(stand_in)) == (1, 0)
    assert found[0] == fitted(objectives.ELBO(), "eager", optimizer)[0]


def test_an_update_that_waits_for_the_device_is_not_captured(stand_in, monkeypatch):
    monkeypatch.setattr(captured, "aside", lambda device: nullcontext(["synchronizing"]))
    with pytest.warns(LoweringWarning, match="makes the host wait") as said:
        fitted(objectives.ELBO())
    assert (len(said), len(stand_in)) == (1, 0)


def test_a_capture_that_fails_is_said_and_the_run_goes_on(stand_in, monkeypatch):
    def fails(body, device):
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    monkeypatch.setattr(captured, "capture", fails)
    with pytest.warns(LoweringWarning, match="capture failed: operation not permitted") as said:
        found = fitted(objectives.ELBO())
    assert len(said) == 1
    assert found[0] == fitted(objectives.ELBO(), "eager")[0]


def nothing(body):
    return lambda: None


def with_old_noise(body):
    def replay():
        torch.manual_seed(0)
        body()

    return replay


def of_old_arguments(body):
    """As where a number came from the host while capturing."""
    graph = inspect.getclosurevars(body).nonlocals["self"]
    old = [buffer.clone() for buffer in graph.buffers]

    def replay():
        for buffer, value in zip(graph.buffers, old, strict=True):
            buffer.copy_(value)
        body()

    return replay


@pytest.mark.parametrize("wrong", [nothing, with_old_noise, of_old_arguments])
def test_a_capture_that_does_something_else_is_not_used(wrong, stand_in, monkeypatch):
    monkeypatch.setattr(captured, "capture", lambda body, device: wrong(body))
    with pytest.warns(LoweringWarning, match="captured, it gives other numbers") as said:
        found = fitted(objectives.ELBO())
    assert len(said) == 1
    expected = fitted(objectives.ELBO(), "eager")
    assert found[0] == expected[0]
    assert all(map(torch.equal, found[1], expected[1]))


ON_THE_HOST = {
    "noise": (lambda: torch.rand(()), "draws noise on the cpu"),
    "data": (lambda: HOST[0].sum(), "uses a tensor on the cpu"),
    "what it writes to": (lambda: HOST[1].add_(1), "uses a tensor on the cpu"),
}
HOST = torch.ones(3), torch.zeros(())


@pytest.mark.parametrize("what", ON_THE_HOST)
def test_what_the_host_does_in_every_call_is_no_part_of_a_capture(what):
    make, reason = ON_THE_HOST[what]
    recording = record(lambda x: [x * make()], [torch.ones(2)])
    assert reason in captured._needs_host(recording, [], torch.device("cuda"))
    assert not captured._needs_host(recording, [], torch.device("cpu"))


def test_arguments_on_the_host_are_numbers():
    recording = record(lambda x, scale: [x * scale], [torch.ones(2), torch.ones(())])
    found = [
        captured._needs_host(recording, [torch.ones(2, device=device), torch.ones(())], META)
        for device in ("meta", "cpu")
    ]
    assert found == ["", "an argument is on the cpu: give it on meta"]


META = torch.device("meta")


def test_a_number_on_the_host_that_changes_makes_another_capture(monkeypatch):
    scale = torch.ones(())
    recording = record(lambda x: [x * scale], [torch.ones(2)])
    before = captured._addresses(recording.externals, META)
    scale.fill_(2.0)
    assert captured._addresses(recording.externals, META) != before


def test_values_that_python_looks_at_are_not_captured(stand_in):
    parameter = torch.nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.SGD([parameter], 0.1)

    def program(x, lengths):
        loss = (parameter - x[: int(lengths.max())]).square().sum()
        loss.backward()
        return loss.detach()

    def finish(loss):
        optimizer.step()
        optimizer.zero_grad()
        return loss

    lowered = lowering.Lowered(program, lambda: [parameter], name="it", roots=(), how="graph")
    update = captured.Captured(lowered, finish, lambda: [optimizer], keep=1)
    x, lengths = torch.ones(5), torch.tensor([2, 3])
    update(x, lengths), update(x, lengths)
    with pytest.warns(LoweringWarning, match="Python decides by values"):
        update(x, lengths)
    assert update(x, lengths) > 0
    assert not update.used


def regression(x, y):
    slope = pyro.sample("slope", dist.Normal(0, 1).expand([3]).to_event(1))
    noise = pyro.sample("noise", dist.LogNormal(0, 1))
    with pyro.plate("rows", len(x)):
        pyro.sample("y", dist.Normal(x @ slope, noise), obs=y)


def scheduled():
    settings = {"optimizer": torch.optim.Adam, "optim_args": FUSED, "gamma": 0.5, "step_size": 9}
    return pyro.optim.StepLR(settings)


FUSED = {"lr": 0.02, "fused": True}
DRIVEN = {
    "Adam": (lambda: pyro.optim.Adam(FUSED), 1),
    "clipped": (lambda: pyro.optim.Adam(FUSED, {"clip_norm": 0.5}), 1),
    "SGD": (lambda: pyro.optim.SGD({"lr": 1e-3}), 1),
    "a scheduler": (scheduled, 2),
}


def descended(make, lower, device="cpu", steps=18):
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    x = torch.randn(20, 3, device=device)
    y = x.sum(-1)
    guide = pyro.infer.autoguide.AutoNormal(regression)
    optim = make()
    svi = lowering.SVI(regression, guide, optim, pyro.infer.Trace_ELBO(), lower=lower)
    losses = []
    for i in range(steps):
        losses.append(svi.step(x, y=y))
        if isinstance(optim, pyro.optim.PyroLRScheduler) and i == steps // 2:
            for _ in range(9):
                optim.step()
    return losses, [p.detach().cpu() for p in guide.parameters()], svi


@pytest.mark.parametrize("name", DRIVEN)
def test_a_step_of_svi_is_captured(name, stand_in):
    make, graphs = DRIVEN[name]
    losses, weights, svi = descended(make, "graph")
    assert (len(stand_in), svi.updates.used) == (graphs, True)
    eager, expected, _ = descended(make, "eager")
    assert losses == pytest.approx(eager, rel=1e-6)
    for ours, theirs in zip(weights, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_another_program_drops_the_captures(stand_in):
    _, _, svi = descended(DRIVEN["Adam"][0], "graph")
    svi.model = lambda x, y: regression(x, 2 * y)
    x = torch.randn(20, 3)
    pyro.set_rng_seed(1)
    found = [svi.step(x, y=x.sum(-1)) for _ in range(8)]
    assert len(stand_in) == 2
    eager = descended(DRIVEN["Adam"][0], "eager")[2]
    eager.model = svi.model
    pyro.set_rng_seed(1)
    assert found == pytest.approx([eager.step(x, y=x.sum(-1)) for _ in range(8)], rel=1e-5)


def with_states_read_again(svi):
    for optimizer in svi.optim.optim_objs.values():
        optimizer.load_state_dict(deepcopy(optimizer.state_dict()))


MOVED = {
    "weights": lambda svi: svi.guide.double().float(),
    "an optimiser's state": with_states_read_again,
}


@pytest.mark.parametrize("what", MOVED)
def test_new_memory_makes_another_capture(what, stand_in):
    _, _, svi = descended(DRIVEN["Adam"][0], "graph")
    assert len(stand_in) == 1
    MOVED[what](svi)
    x = torch.randn(20, 3)
    for _ in range(8):
        svi.step(x, y=x.sum(-1))
    assert len(stand_in) == 2


def test_momentum_gained_elsewhere_makes_another_capture(stand_in):
    """A parameter that a loss leaves out keeps moving by its momentum, as it does in Pyro."""

    def alone(x):
        a, _ = pyro.param("a", torch.zeros(())), pyro.param("b", torch.zeros(()))
        pyro.factor("f", -(a - x).square().sum())

    def both(x):
        alone(x)
        pyro.factor("g", -(pyro.param("b") - x).square().sum())

    def run(lower):
        pyro.clear_param_store()
        x, optim = torch.ones(3), pyro.optim.Adam(FUSED)
        svis = [
            lowering.SVI(one, lambda *_: None, optim, pyro.infer.Trace_ELBO(), lower=lower)
            for one in (alone, both)
        ]
        pattern = [0] * 8 + [1] + [0] * 8
        return [svis[which].step(x) for which in pattern] + [pyro.param("b").item()]

    assert run("graph") == pytest.approx(run("eager"))
    assert len(stand_in) == 2


def test_an_optimiser_of_pyro_that_counts_on_the_host_is_not_captured(stand_in):
    with pytest.warns(LoweringWarning, match="ClippedAdam counts on the host: Adam does not"):
        losses = descended(lambda: pyro.optim.ClippedAdam({"lr": 0.02}), "graph")[0]
    eager = descended(lambda: pyro.optim.ClippedAdam({"lr": 0.02}), "eager")[0]
    assert losses == pytest.approx(eager, rel=1e-5)
    assert not stand_in


@CUDA
@pytest.mark.parametrize("name", [*DRIVEN, "as Pyro makes it"])
def test_steps_of_svi_captured_on_cuda_are_the_eager_ones(name):
    make = DRIVEN[name][0] if name in DRIVEN else lambda: pyro.optim.Adam({"lr": 0.02})
    with torch.device("cuda"):
        losses, weights, svi = descended(make, "graph", "cuda")
        assert svi.updates.used
        eager, expected, _ = descended(make, "eager", "cuda")
    assert losses == pytest.approx(eager, rel=1e-4)
    for ours, theirs in zip(weights, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


@CUDA
@pytest.mark.parametrize("name", OBJECTIVES)
def test_captured_updates_are_the_eager_ones(name, tmp_path):
    found = fitted(OBJECTIVES[name](), device="cuda", checkpoint=tmp_path)
    assert Folder(tmp_path).facts()["captured"] is True
    expected = fitted(OBJECTIVES[name](), lower="eager", device="cuda")
    for ours, theirs in zip(found[0], expected[0], strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)
    for ours, theirs in zip(found[1], expected[1], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


@CUDA
def test_captured_noise_is_new_and_of_the_generator():
    x = DIGITS.batch(slice(50))[0].cuda()
    runs = []
    for how in ("graph", "eager"):
        step = lowering.lower(objectives.ELBO(), pair().cuda(), x, lr=1e-12, how=how)
        torch.cuda.manual_seed(0)
        runs.append(torch.stack([step(x) for _ in range(12)]))
        assert step.update.used == (how == "graph")
    assert len({loss.item() for loss in runs[0]}) == 12
    torch.testing.assert_close(runs[0], runs[1], rtol=1e-5, atol=1e-5)


@CUDA
def test_replays_do_not_wait_for_the_device():
    x = DIGITS.batch(slice(50))[0].cuda()
    step = lowering.lower(objectives.ELBO(), pair().cuda(), x)
    for _ in range(8):
        step(x)
    assert step.update.used
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(5):
            step(x)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@CUDA
def test_a_program_with_data_on_the_cpu_runs_uncaptured():
    class Shifted(models.VAE):
        shift = torch.zeros(1)

        def model(self, x, y=None):
            super().model(x + self.shift.to(x.device), y)

    torch.manual_seed(0)
    module = Shifted(
        nets.dense_encoder(DIGITS.shape, 4, (16,)), nets.dense_decoder(4, DIGITS.shape, (16,))
    ).cuda()
    x = DIGITS.batch(slice(50))[0].cuda()
    step = lowering.lower(objectives.ELBO(), module, x)
    with pytest.warns(LoweringWarning, match="tensor on the cpu"):
        losses = [step(x).item() for _ in range(5)]
    assert all(map(torch.isfinite, torch.tensor(losses)))
