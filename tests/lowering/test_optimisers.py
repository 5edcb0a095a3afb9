"""Every optimiser takes the same steps, lowered or not."""

import pyro
import pytest
import torch
from pyro.infer import Trace_ELBO
from pyro_zoo import arguments
from steps import far, made, parameters

from probgen.lowering import SVI

OPTIMS = {
    "Adam": lambda: pyro.optim.Adam({"lr": 0.02, "weight_decay": 0.1}),
    "AdamW": lambda: pyro.optim.AdamW({"lr": 0.02}),
    "ClippedAdam": lambda: pyro.optim.ClippedAdam(
        {"lr": 0.02, "lrd": 0.9, "clip_norm": 5.0, "weight_decay": 0.1}
    ),
    "centred": lambda: pyro.optim.ClippedAdam({"lr": 0.02, "centered_variance": True}),
    "SGD": lambda: pyro.optim.SGD({"lr": 1e-4, "momentum": 0.9}),
    "AMSGrad": lambda: pyro.optim.Adam({"lr": 0.02, "amsgrad": True}),
    "clipped": lambda: pyro.optim.Adam({"lr": 0.02}, {"clip_norm": 1.0}),
    "per parameter": lambda: pyro.optim.Adam(lambda name: {"lr": 0.1 if "loc" in name else 0.01}),
    "schedule": lambda: pyro.optim.ExponentialLR(
        {"optimizer": torch.optim.Adam, "optim_args": {"lr": 0.1}, "gamma": 0.5}
    ),
}


@pytest.mark.parametrize("make", OPTIMS.values(), ids=OPTIMS)
def test_optimisers_take_the_same_steps(make, tolerance):
    results = []
    for kind in (pyro.infer.SVI, SVI):
        svi = made(kind, "hierarchical", make)
        for _ in range(6):
            svi.step(*arguments("hierarchical"))
            if isinstance(svi.optim, pyro.optim.PyroOptim) and hasattr(svi.optim, "kwargs"):
                svi.optim.step()
        results.append((parameters(), svi.optim.get_state()))
    (expected, state), (found, lowered_state) = results
    assert far(found, expected) < 5 * tolerance
    assert state.keys() == lowered_state.keys()


def test_a_torch_optimiser_drives_all_parameters():
    svi = made(SVI, "networks")
    module = svi.model.__self__
    svi = SVI(svi.model, svi.guide, torch.optim.Adam(module.parameters(), 0.01), Trace_ELBO())
    before = [p.detach().clone() for p in module.parameters()]
    for _ in range(3):
        svi.step(*arguments("networks"))
    assert svi.lowered.used == "graph"
    assert not any(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))
