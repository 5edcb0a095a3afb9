"""Everything on one device: values that only have a device, as on a GPU that is not there."""

from functools import partial

import pyro
import pytest
import torch
from pair_zoo import BATCH, PAIRS, SHAPE
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from probgen import control, denoisers, models, nets, objectives, players
from probgen.models import noise
from probgen.objectives.adversarial import GradientPenalty, Hinge, NonSaturating, Wasserstein
from probgen.training.variational import measured

MORE = {
    "convolutional": lambda: models.VAE(nets.conv_encoder(SHAPE, 3), nets.conv_decoder(3, SHAPE)),
    "diffusion": lambda: models.Diffusion(
        denoisers.unet(SHAPE, (8, 16), attention=(4,), classes=10), noise.cosine(20)
    ),
}
OBJECTIVES = {
    "elbo": objectives.ELBO,
    "particles": partial(objectives.ELBO, num_particles=2, vectorize_particles=True),
    "beta": lambda: objectives.BetaELBO(4.0),
    "annealed": lambda: objectives.BetaELBO(control.Linear(0, 1, 10)),
    "controlled": lambda: objectives.ControlledELBO(target_kl=6.0),
    "geco": lambda: objectives.GECO(20.0),
    "capacity": lambda: objectives.CapacityELBO(10.0, 5.0),
    "free bits": lambda: objectives.FreeBitsELBO(0.1),
    "importance weighted": lambda: objectives.ImportanceWeightedELBO(3),
    "total correlation": lambda: objectives.TotalCorrelationELBO(4.0),
    "simple": objectives.SimpleELBO,
}


def on_a_gpu(module, mode):
    """The module with all that ``module.to`` moves there; whatever else it holds stays."""
    for part in module.modules():
        for kept, wrap in ((part._parameters, nn.Parameter), (part._buffers, lambda x: x)):
            for name, value in kept.items():
                if value is not None:
                    with mode:
                        there = torch.empty(value.shape, dtype=value.dtype, device="cuda")
                        kept[name] = wrap(there)
    return module


class NoCopies(TorchDispatchMode):
    """Fails where a tensor goes from the host to the device, for which the host would wait."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default):
            assert {t.device.type for t in (*args, result) if torch.is_tensor(t)} == {"cuda"}
        return result


@pytest.fixture
def gpu():
    """Fails where tensors of two devices meet, and where a value is asked for."""
    with pyro.get_param_store().scope(), pyro.validation_enabled(False):
        yield FakeTensorMode()


def batch():
    x = torch.rand(BATCH, *SHAPE, device="cuda")
    return x, torch.zeros(BATCH, dtype=torch.long, device="cuda")


def accepted(pair):
    """The objectives that this pair goes with."""
    for make in OBJECTIVES.values():
        objective = make().over(60)
        try:
            objective.evaluate(
                pair.model, pair.guide, torch.rand(BATCH, *SHAPE), torch.arange(BATCH)
            )
        except objectives.ObjectiveError:
            continue
        yield objective


@pytest.mark.parametrize("name", [*PAIRS, *MORE])
def test_a_step_stays_on_the_device(name, gpu):
    pair = (PAIRS | MORE)[name]()
    losses = [on_a_gpu(objective, gpu) for objective in accepted(pair)]
    assert len(losses) > 6
    pyro.clear_param_store()
    on_a_gpu(pair, gpu)
    for objective in losses:
        with gpu, NoCopies():
            loss, terms = objective.evaluate(pair.model, pair.guide, *batch())
            found = measured(loss, terms, objective.weights())
        assert found.values.device.type == "cuda"


LOSSES = {
    "non-saturating": NonSaturating(),
    "hinge": Hinge(),
    "wasserstein": Wasserstein(),
    "gradient penalty": GradientPenalty(),
}


@pytest.mark.parametrize("name", LOSSES)
def test_two_players_stay_on_the_device(name, gpu, monkeypatch):
    # the backward pass needs a device
    monkeypatch.setattr(torch.autograd, "grad", lambda out, x, **_: [torch.zeros_like(x)])
    duel = models.GAN(
        players.dcgan_generator(4, SHAPE, (8, 16)), players.conv_discriminator(SHAPE, (8, 16))
    )
    on_a_gpu(duel, gpu)
    with gpu:
        (x, _), made, loss = batch(), duel.draw(BATCH), LOSSES[name]
        parts = (
            loss.of_discriminator(duel.discriminator, x, made),
            loss.of_generator(duel.discriminator, made),
        )
    devices = {part.device.type for found in parts for part in found.values()}
    assert devices == {"cuda"}
