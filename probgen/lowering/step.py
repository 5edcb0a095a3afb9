"""A whole update as one call: gradients of a program, then a step of an optimiser.

Every training here repeats theta <- theta - step(grad L(theta)). The gradients are a lowered
program; clipping, the optimiser and what follows it are tensor operations on fixed memory, so that
on CUDA the two can be captured as one graph.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Generic, TypeVar

import pyro
import torch
from torch import Tensor, nn

from probgen.lowering.captured import Captured
from probgen.lowering.lowered import HOW, How, Lowered, LoweringError
from probgen.lowering.trial import undisturbed
from probgen.nets.interfaces import Module
from probgen.objectives import ELBO, Pair

M = TypeVar("M")


def lower(
    objective: ELBO,
    pair: Pair,
    *example: Tensor,
    lr: float = 1e-3,
    clip_norm: float | None = None,
    how: How = "graph",
) -> "Step[Tensor]":
    """The update of ``pair`` by Adam on ``objective``, recorded for arguments like ``example``.

    Nothing is trained yet, and no generator is touched. Other shapes are recorded when they come.
    A call of the step with a batch gives the loss per datum before the update, a 0-d tensor.

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
    parameters = [p for p in pair.parameters() if p.requires_grad]
    _check_parameters(objective, pair, parameters, example)
    step = Step(
        partial(_loss_and_grads, objective, pair),
        parameters,
        torch.optim.Adam(parameters, lr=lr, fused=True),
        values=lambda loss: loss,
        name=f"the step of {type(pair).__name__}",
        roots=(pair, objective),
        how=how,
        clip_norm=clip_norm,
    )
    step.prepare(*example)
    return step


class Step(Generic[M]):
    """Calls of ``program`` and the step after it, recorded once; on CUDA captured whole.

    Args:
        program: gives gradients to the parameters, and what it measured.
        parameters: what it trains.
        optimizer: of these parameters.
        values: the numbers in what the program measured, one tensor of one shape.
        name: what a warning calls it.
        roots: objects that the program is made of.
        how: "graph", "inductor", "auto" or "eager", as for ``Lowered``.
        steps: number of calls to come, if known.
        keep: results that stay valid at a time; None for all, each a copy.
        clip_norm: greatest norm of all gradients together.
        after: what follows the step, by tensor operations alone.
        moved: tensors that ``after`` writes to, beside the parameters.

    Attributes:
        measured: what the program gave when it last ran; its numbers are those of the last call
            only where nothing is captured.
    """

    measured: M

    def __init__(
        self,
        program: Callable[..., M],
        parameters: Sequence[nn.Parameter],
        optimizer: torch.optim.Optimizer,
        *,
        values: Callable[[M], Tensor],
        name: str,
        roots: Sequence[Any],
        how: How = "graph",
        steps: int | None = None,
        keep: int | None = None,
        clip_norm: float | None = None,
        after: Callable[[], object] = lambda: None,
        moved: Callable[[], Sequence[Tensor]] = list,
    ) -> None:
        self.parameters, self.optimizer = parameters, optimizer
        self.values, self.keep = values, keep
        self.clip_norm, self.after = clip_norm, after
        self.gradients = Lowered(
            program, lambda: [*parameters], name=name, roots=roots, how=how, steps=steps
        )
        self.update = Captured(
            self.gradients, self._finish, lambda: [optimizer], keep=keep or 1, moved=moved
        )

    def prepare(self, *args: Any) -> None:
        """Record these arguments' kind now, without any effect."""
        self.gradients.prepare(*args)

    def __call__(self, *args: Any) -> Tensor:
        """Update the parameters; the numbers measured before, on the device."""
        values = self.update(*args)
        return values if self.keep else values.clone()

    @property
    def facts(self) -> dict[str, Any]:
        """How its calls ran."""
        return {"lowered": self.gradients.used, "captured": self.update.used}

    def run_as(self, lowered: Any) -> None:
        """Go on as a saved run did, where "auto" leaves that open.

        Raises:
            LoweringError: none of ``HOW``.
        """
        if lowered not in HOW:
            raise LoweringError(f"expected lowered one of {', '.join(HOW)}; got {lowered!r}")
        if self.gradients.how == "auto":
            self.gradients.how = lowered

    def _finish(self, measured: M) -> Tensor:
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.after()
        self.measured = measured
        return self.values(measured)


def _loss_and_grads(objective: ELBO, pair: Pair, *batch: Tensor) -> Tensor:
    with pyro.get_param_store().scope(), pyro.validation_enabled(False):
        loss, _ = objective.evaluate(pair.model, pair.guide, *batch)
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
