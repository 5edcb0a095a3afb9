"""A pair's whole update as one call."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyro
import torch
from torch import Tensor, nn

from probgen.lowering.captured import Captured
from probgen.lowering.lowered import How, Lowered, LoweringError
from probgen.lowering.trial import undisturbed
from probgen.nets.interfaces import Module
from probgen.objectives import ELBO, Pair


def lower(
    objective: ELBO,
    pair: Pair,
    *example: Tensor,
    lr: float = 1e-3,
    clip_norm: float | None = None,
    how: How = "graph",
) -> "Step":
    """The update of ``pair`` by Adam on ``objective``, recorded for arguments like ``example``.

    Nothing is trained yet, and no generator is touched. Other shapes are recorded when they come.

    Args:
        objective: loss per datum; its state moves with the steps.
        pair: ``nn.Module`` with ``model`` and ``guide``, in the mode it will be trained in.
        example: a batch, as ``model`` and ``guide`` take it.
        lr: learning rate.
        clip_norm: greatest norm of all gradients together.
        how: "graph", "inductor" or "eager".

    Raises:
        LoweringError: a parameter that is not the pair's, or none at all.

    >>> from probgen import data, models, nets, objectives
    >>> x = data.digits()[0].batch(slice(100))[0]
    >>> vae = models.VAE(nets.dense_encoder((1, 8, 8), 4), nets.dense_decoder(4, (1, 8, 8)))
    >>> step = lower(objectives.ELBO(), vae, x)
    >>> losses = [step(x) for _ in range(50)]
    >>> bool(losses[-1] < losses[0])
    True
    """
    module: Any = pair
    parameters = [p for p in module.parameters() if p.requires_grad]
    _check_parameters(objective, module, parameters, example)
    step = Step(objective, module, parameters, lr, clip_norm, how)
    step.gradients.prepare(*example)
    return step


class Step:
    """One update, in place; made by ``lower``."""

    def __init__(
        self,
        objective: ELBO,
        pair: Pair,
        parameters: list[nn.Parameter],
        lr: float,
        clip_norm: float | None,
        how: How,
    ) -> None:
        self.objective, self.pair, self.parameters = objective, pair, parameters
        self.clip_norm = clip_norm
        self.optimizer = torch.optim.Adam(parameters, lr=lr, fused=True)
        self.gradients = Lowered(
            self._loss_and_grads,
            lambda: [*parameters],
            name=f"the step of {type(pair).__name__}",
            roots=(pair, objective),
            how=how,
        )
        self.update = Captured(self.gradients, self._finish, lambda: [self.optimizer], keep=1)

    def __call__(self, *batch: Tensor) -> Tensor:
        """Update the pair; the loss per datum before, a 0-d tensor on the device."""
        return self.update(*batch).clone()

    def _finish(self, loss: Tensor) -> Tensor:
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss

    def _loss_and_grads(self, *batch: Tensor) -> Tensor:
        with pyro.get_param_store().scope(), pyro.validation_enabled(False):
            loss, _ = self.objective.evaluate(self.pair.model, self.pair.guide, *batch)
        loss.backward()
        return loss.detach()


def _check_parameters(
    objective: ELBO, pair: Pair, parameters: list[nn.Parameter], example: tuple[Tensor, ...]
) -> None:
    """One evaluation in evaluation mode, with validation on."""
    with torch.no_grad(), undisturbed(), _evaluation_mode(pair), pyro.validation_enabled(True):
        with pyro.get_param_store().scope():
            objective.terms(pair.model, pair.guide, *example)
            registered = dict(pyro.get_param_store().named_parameters())
    owned = {id(parameter) for parameter in pair.parameters()}
    foreign = [name for name, parameter in registered.items() if id(parameter) not in owned]
    if foreign or not parameters:
        raise LoweringError(
            f"expected all parameters in {type(pair).__name__}; "
            f"got {', '.join(foreign) or 'none'} outside"
        )


@contextmanager
def _evaluation_mode(module: Module) -> Iterator[None]:
    """Leave every part of the module in the mode it was in."""
    modes = [(part, part.training) for part in module.modules()]
    try:
        module.eval()
        yield
    finally:
        for part, training in modes:
            part.training = training
