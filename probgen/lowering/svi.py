"""A drop-in for ``pyro.infer.SVI``.

Stochastic variational inference minimises E_q[log q(z) - log p(x, z)] by steps on gradients that
are estimated from samples. What a step computes is the same from step to step; what Pyro does
around it is not needed twice. So the loss with its gradients is one lowered program, the loss
alone another, and the optimiser follows the first.

Source: Hoffman et al. 2013, Stochastic variational inference.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pyro
import torch
from pyro import infer, poutine
from pyro.infer import RenyiELBO
from pyro.infer.util import torch_item
from pyro.poutine.runtime import _PYRO_STACK
from pyro.util import warn_if_nan
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from probgen.lowering import optimisers
from probgen.lowering.captured import Captured
from probgen.lowering.lowered import How, Lowered, put_back
from probgen.lowering.reasons import Reason
from probgen.lowering.renyi import Renyi

_MOVED = WeakTensorKeyDictionary()
"""Parameters that had a gradient: Pyro gives them one of 0 when a later loss leaves them out."""


_TRACED = {
    infer.JitTraceEnum_ELBO, infer.JitTraceGraph_ELBO, infer.JitTraceMeanField_ELBO
}  # fmt: skip
"""Losses that do not run within a recording, where PyTorch's tracer would go on."""


_OWN = {"programs", "trained", "stepped", "stored", "lowered", "updates", "evaluated",
        "evaluation"}  # fmt: skip


class SVI(pyro.infer.SVI):
    """Stochastic variational inference whose steps are recorded once and then replayed.

    Everything else is as in ``pyro.infer.SVI``: the same programs, guides, losses and optimisers,
    the same noise from the same generator state, the parameters in Pyro's store and in the
    modules. The first step is Pyro's own, with its validation; later ones validate nothing.

    Args:
        model: Pyro program.
        guide: its guide, autoguides included.
        optim: a ``pyro.optim`` optimiser, or a ``torch.optim`` one over all parameters.
        loss: a Pyro ELBO, one of ``objectives``, or a function as ``pyro.infer.SVI`` takes it;
            ``RenyiELBO`` is corrected, see ``lowering.renyi``.
        lower: "graph" replays PyTorch's kernels, "inductor" compiles them, "auto" the second
            after as many steps as pay for it, "eager" is Pyro.

    >>> import pyro.distributions as dist
    >>> def model(x):
    ...     loc = pyro.sample("loc", dist.Normal(0.0, 1.0))
    ...     with pyro.plate("data", len(x)):
    ...         pyro.sample("x", dist.Normal(loc, 1.0), obs=x)
    >>> pyro.set_rng_seed(0)
    >>> guide = pyro.infer.autoguide.AutoNormal(model)
    >>> svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.03}), pyro.infer.Trace_ELBO())
    >>> losses = [svi.step(torch.tensor([1.0, 3.0, 2.0])) for _ in range(500)]
    >>> abs(guide.median()["loc"].item() - 1.5) < 0.2
    True
    """

    def __init__(
        self,
        model: Callable[..., Any],
        guide: Callable[..., Any],
        optim: Any,
        loss: Any,
        *,
        lower: How = "auto",
        **kwargs: Any,
    ) -> None:
        if isinstance(optim, torch.optim.Optimizer):
            optim = _OfAll(optim)
        loss = Renyi(loss) if type(loss) is RenyiELBO else loss
        super().__init__(model, guide, optim, loss, **kwargs)
        self.lower: How = lower
        self._start()

    def _start(self) -> None:
        name = getattr(self.model, "__name__", type(self.model).__name__)
        self.programs = roots = self._programs()
        self.trained: list[Tensor] = []
        self.stepped: frozenset[Tensor] = frozenset()
        self.stored: dict[str, Tensor] = {}
        self.lowered = Lowered(
            self._loss_and_grads, lambda: self.trained, name=f"SVI of {name}", roots=roots,
            how=self.lower,
        )  # fmt: skip
        self.updates = Captured(
            self.lowered, self._finish, self._optimizers, keep=1,
            beside=lambda: tuple(parameter in _MOVED for parameter in self.trained),
        )  # fmt: skip
        self.evaluated: list[Tensor] = []
        self.evaluation = Lowered(
            self._loss, lambda: self.evaluated, name=f"the loss of {name}", roots=roots,
            how=self.lower,
        )  # fmt: skip
        self._leave_traced_losses()

    def _leave_traced_losses(self) -> None:
        """Record nothing of a loss that PyTorch's tracer compiles."""
        loss = type(getattr(self.loss, "__self__", None))
        if loss in _TRACED and self.lower != "eager":
            plain = loss.__name__.removeprefix("Jit")
            self.lowered.stay_eager(Reason.TRACED_LOSS.say(plain=plain))
            self.evaluation.how = "eager"

    def __getstate__(self) -> dict[str, Any]:
        """Without recordings, which a copy makes of its own programs."""
        return {name: value for name, value in vars(self).items() if name not in _OWN}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """As made anew from these programs and this optimiser."""
        vars(self).update(state)
        self._start()

    def step(self, *args: Any, **kwargs: Any) -> Any:
        """One gradient step; the loss as a number."""
        self._follow()
        return _number(self.updates(*args, **kwargs))

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """``num_steps`` steps, hidden from handlers around them, and posterior samples."""
        with poutine.block() if _PYRO_STACK else nullcontext():
            for _ in range(self.num_steps):
                self.step(*args, **kwargs)
        with torch.no_grad():
            return super(pyro.infer.SVI, self).run(*args, **kwargs)

    def evaluate_loss(self, *args: Any, **kwargs: Any) -> Any:
        """The loss as a number; nothing is updated."""
        self._follow()
        return _number(self.evaluation(*args, **kwargs))

    def _loss_and_grads(self, *args: Any, **kwargs: Any) -> Any:
        with _kept_in_place(), poutine.trace(param_only=True) as capture:
            loss = self.loss_and_grads(self.model, self.guide, *args, **kwargs)
        self.trained = self._with(self.trained, capture)
        return loss, frozenset(_parameters(capture)), _subsamples(capture)

    def _loss(self, *args: Any, **kwargs: Any) -> Any:
        with torch.no_grad(), _kept_in_place(), poutine.trace(param_only=True) as capture:
            loss = self.loss(self.model, self.guide, *args, **kwargs)
        self.evaluated = self._with(self.evaluated, capture)
        return loss

    def _finish(self, found: Any) -> Any:
        loss, parameters, subsamples = found
        for name, indices in subsamples.items():
            self.stored[name]._pyro_subsample = indices  # type: ignore[attr-defined]
        self._leave_none_out(parameters)
        optimisers.step(self.optim, parameters)
        for parameter in parameters:
            parameter.grad = None
        return loss

    def _optimizers(self) -> list[torch.optim.Optimizer]:
        if isinstance(self.optim, _OfAll):
            return [self.optim.optimizer]
        found = (optimisers.optimizer_of(self.optim, parameter) for parameter in self.trained)
        return [optimizer for optimizer in found if optimizer is not None]

    def _with(self, known: list[Tensor], capture: Any) -> list[Tensor]:
        """All parameters so far: a replay moves those of its own recording, not of the last."""
        self.stored = dict(pyro.get_param_store().named_parameters())
        found = [*known, *_parameters(capture)]
        return list({id(parameter): parameter for parameter in found}.values())

    def _leave_none_out(self, parameters: frozenset[Tensor]) -> None:
        """Gradients of 0 where Pyro has them, by which momentum goes on."""
        if parameters is not self.stepped:
            self.stepped = parameters
            _MOVED.update({p: True for p in parameters if p.grad is not None})
        for parameter in parameters:
            if parameter.grad is None and parameter in _MOVED:
                parameter.grad = torch.zeros_like(parameter)

    def _follow(self) -> None:
        """Start anew where a program or what Pyro's store holds was replaced."""
        now = dict(pyro.get_param_store().named_parameters())
        programs = self._programs()
        same = all(one is other for one, other in zip(programs, self.programs, strict=True))
        if not same or any(now.get(name) is not value for name, value in self.stored.items()):
            for lowered in (self.lowered, self.evaluation):
                lowered.forget()
                lowered.roots = programs
            self.updates.forget()
            self.programs, self.stored, self.trained, self.evaluated = programs, {}, [], []

    def _programs(self) -> tuple[Any, ...]:
        return self.model, self.guide, self.loss, self.loss_and_grads


@contextmanager
def _kept_in_place() -> Iterator[None]:
    """Values that are put into Pyro's store in place of others are written to those."""
    store: Any = pyro.get_param_store()
    before: dict[str, Tensor] = dict(store.named_parameters())
    yield
    now: dict[str, Tensor] = dict(store.named_parameters())
    for name, old in before.items():
        new = now.get(name, old)
        if new is not old and _is_value_for(old, new):
            with torch.no_grad():
                old.copy_(new)
            put_back(store, name, old)


def _is_value_for(old: Tensor, new: Tensor) -> bool:
    """Whether it is one of the store's own, of the same kind, that nothing differentiates by."""
    same = (old.shape, old.dtype, old.device) == (new.shape, new.dtype, new.device)
    owned = isinstance(old, nn.Parameter) or isinstance(new, nn.Parameter)
    return same and not owned and new.is_leaf and new.grad is None


def _parameters(capture: Any) -> list[Tensor]:
    return [site["value"].unconstrained() for site in capture.trace.nodes.values()]


def _subsamples(capture: Any) -> dict[str, dict[int, Tensor]]:
    """The rows of the parameters that a step used, by which some of Pyro's optimisers move."""
    values = {name: site["value"].unconstrained() for name, site in capture.trace.nodes.items()}
    noted = {name: getattr(value, "_pyro_subsample", None) for name, value in values.items()}
    return {name: dict(indices) for name, indices in noted.items() if indices}


def _number(loss: Any) -> Any:
    if isinstance(loss, tuple):
        return type(loss)(map(torch_item, loss))
    return warn_if_nan(torch_item(loss), "loss")


class _OfAll(pyro.optim.PyroOptim):
    """One optimiser over all parameters, where Pyro expects one for each."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        super().__init__(type(optimizer), {})
        self.optimizer = optimizer

    def __call__(self, params: Any, *args: Any, **kwargs: Any) -> None:
        self.optimizer.step(*args, **kwargs)
