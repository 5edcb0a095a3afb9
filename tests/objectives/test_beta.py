"""Weights of the KL and their schedules."""

import math

import pyro
import pytest
import torch
from pyro.infer import SVI
from toy_pairs import SHAPE, vae

from probgen import control, objectives

X = torch.rand(6, *SHAPE, generator=torch.Generator().manual_seed(3))


def test_beta_weights_the_kl_alone():
    pair = vae()
    torch.manual_seed(1)
    terms = objectives.terms(pair.model, pair.guide, X)
    for beta in (0.0, 0.5, 4.0):
        loss = objectives.BetaELBO(beta).combine(terms)
        expected = beta * terms.total_kl.mean() - terms.log_likelihood.mean()
        torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize(
    "beta", [4.0, control.Linear(0.0, 4.0, steps=3)], ids=["constant", "ramp"]
)
def test_the_three_losses_agree(beta):
    pair = vae()
    losses = []
    for method in ("loss", "differentiable_loss", "loss_and_grads"):
        torch.manual_seed(1)
        loss = getattr(objectives.BetaELBO(beta), method)(pair.model, pair.guide, X)
        losses.append(loss.item())
    assert losses[0] == losses[1] == losses[2]


def test_a_schedule_moves_only_where_gradients_are_taken():
    pair, objective = vae(), objectives.BetaELBO(control.Linear(0.0, 1.0, steps=4))
    svi = SVI(pair.model, pair.guide, pyro.optim.Adam({"lr": 1e-3}), objective)
    svi.evaluate_loss(X)
    assert objective.weights()["beta"] == 0.0
    svi.step(X)
    svi.step(X)
    assert objective.weights()["beta"] == 0.5
    restored = objectives.BetaELBO(control.Linear(0.0, 1.0, steps=4))
    restored.load_state_dict(objective.state_dict())
    assert restored.weights()["beta"] == 0.5


@pytest.mark.parametrize(
    ("schedule", "start", "end"),
    [
        (control.Linear(0.0, 2.0, steps=10), 0.0, 2.0),
        (control.Cyclic(0.0, 2.0, period=10), 0.0, 2.0),
        (control.Sigmoid(0.0, 2.0, middle=5, width=1), 0.0133857, 1.9820137),
    ],
    ids=lambda s: type(s).__name__,
)
def test_schedules_rise_from_start_to_end(schedule, start, end):
    steps = torch.arange(10)
    values = torch.stack([schedule(step) for step in steps])
    assert values[0].item() == pytest.approx(start, abs=1e-5)
    assert values.max().item() == pytest.approx(end, abs=0.3)
    assert (values.diff() >= 0).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda: control.Linear(0, 1, steps=0),
        lambda: control.Linear(0, math.nan, steps=3),
        lambda: control.Cyclic(0, 1, period=0),
        lambda: control.Cyclic(0, 1, period=3, rise=0.0),
        lambda: control.Sigmoid(0, 1, middle=0, width=0),
    ],
)
def test_impossible_schedules_are_refused(make):
    with pytest.raises(control.ControlError, match="expected"):
        make()


@pytest.mark.parametrize("beta", [-1.0, math.nan, math.inf, control.Linear(0.0, -1.0, 5)])
def test_impossible_betas_are_refused(beta):
    with pytest.raises(objectives.ObjectiveError, match="beta"):
        objectives.BetaELBO(beta)
