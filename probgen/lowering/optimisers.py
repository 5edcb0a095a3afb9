"""Pyro's optimisers, one per parameter, stepped all at once on the same state.

Adam moves each parameter by itself: theta -= lr m / (sqrt(v) + eps), with running means m and v of
its gradient and of the square. So parameters with equal settings can share the few calls that
PyTorch has for lists of tensors, in place of a few for each.

Source: Kingma & Ba 2015, algorithm 1; Loshchilov & Hutter 2019, algorithm 2.
"""

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from pyro.optim import PyroOptim
from pyro.optim.clipped_adam import ClippedAdam
from torch import Tensor

from probgen.lowering.trial import same_layout

_SPECIAL = ("amsgrad", "maximize", "differentiable")
_SETTINGS = (
    *_SPECIAL, "lr", "betas", "eps", "weight_decay", "decoupled_weight_decay",
    "clip_norm", "lrd", "centered_variance",
)  # fmt: skip


class _Owned(NamedTuple):
    """A parameter that has a gradient, with its optimiser's numbers and what that keeps for it."""

    parameter: Tensor
    kind: type
    group: dict[str, Any]
    state: dict[str, Any]
    settings: tuple[Any, ...]

    @classmethod
    def of(cls, optim: PyroOptim, parameter: Tensor) -> "_Owned":
        optimizer: Any = optimizer_of(optim, parameter)
        if optimizer is None:
            return cls(parameter, type(None), {}, {}, ())
        group = optimizer.param_groups[0]
        settings = (*map(group.get, _SETTINGS), parameter.dtype, parameter.device)
        return cls(parameter, type(optimizer), group, optimizer.state[parameter], settings)

    @property
    def is_plain(self) -> bool:
        """Whether it has taken a step, none of the special kinds, and all is laid out alike."""
        special = any(self.settings[: len(_SPECIAL)]) or self.parameter.is_complex()
        return "exp_avg_sq" in self.state and not special and self._is_aligned()

    def _is_aligned(self) -> bool:
        parameter, grad, state = self.parameter, self.parameter.grad, self.state
        if grad is None:
            return False
        kept, strides = (grad, state["exp_avg"], state["exp_avg_sq"]), parameter.stride()
        if kept[0].stride() == kept[1].stride() == kept[2].stride() == strides:
            return True  # in every step, so without a call
        return all(same_layout(one, parameter) for one in kept)


def optimizer_of(optim: PyroOptim, parameter: Tensor) -> torch.optim.Optimizer | None:
    """The one of a parameter, out of its scheduler; None before its first step."""
    found: Any = optim.optim_objs.get(parameter)
    return found if found is None or isinstance(found, torch.optim.Optimizer) else found.optimizer


@torch.no_grad()
def step(optim: PyroOptim, parameters: Collection[Tensor]) -> None:
    """As ``optim(parameters)``, in a few calls for all parameters where they have one kind.

    Adam, AdamW and ClippedAdam are; others take their own steps one by one. Schedulers, clipping
    per parameter and ``get_state`` see no difference.
    """
    idle = [parameter for parameter in parameters if parameter.grad is None]
    if idle:
        optim(idle)
    parameters = [parameter for parameter in parameters if parameter.grad is not None]
    owned = [_Owned.of(optim, parameter) for parameter in parameters]
    kinds = {one.kind for one in owned}
    together = _TOGETHER.get(kinds.pop()) if len(kinds) == 1 else None
    if together is None or not all(one.is_plain for one in owned):
        optim(parameters)
        return
    for parameter in parameters:
        if (clip := optim.grad_clip[parameter]) is not None:
            clip(parameter)
    for group in _alike(owned):
        together(group)


def _alike(owned: Iterable[_Owned]) -> list[list[_Owned]]:
    groups: list[list[_Owned]] = []
    for one in owned:
        same = next((group for group in groups if group[0].settings == one.settings), None)
        if same is None:
            groups.append([one])
        else:
            same.append(one)
    return groups


def _adam(owned: Sequence[_Owned]) -> None:
    group = owned[0].group
    parameters, gradients, states = _columns(owned)
    if parameters[0].is_cuda:  # where the fused kernel counts on the device
        for one in owned:
            one.state["step"] = one.state["step"].to(one.parameter.device)
            one.group["fused"] = True
    steps = [state["step"] for state in states]
    fused = torch._fused_adamw_ if group.get("decoupled_weight_decay") else torch._fused_adam_
    torch._foreach_add_(steps, 1)
    fused(
        parameters,
        gradients,
        [state["exp_avg"] for state in states],
        [state["exp_avg_sq"] for state in states],
        [],
        steps,
        lr=group["lr"],
        beta1=group["betas"][0],
        beta2=group["betas"][1],
        weight_decay=group["weight_decay"],
        eps=group["eps"],
        amsgrad=False,
        maximize=False,
    )


def _clipped_adam(owned: Sequence[_Owned]) -> None:
    for one in owned:
        one.group["lr"] *= one.group["lrd"]
        one.state["step"] += 1
    group = owned[0].group
    beta1, beta2 = group["betas"]
    parameters, gradients, states = _columns(owned)
    means = [state["exp_avg"] for state in states]
    squares = [state["exp_avg_sq"] for state in states]
    torch._foreach_clamp_min_(gradients, -group["clip_norm"])
    torch._foreach_clamp_max_(gradients, group["clip_norm"])
    if group["weight_decay"]:
        gradients = torch._foreach_add(gradients, parameters, alpha=group["weight_decay"])
    torch._foreach_lerp_(means, gradients, 1 - beta1)
    if group["centered_variance"]:
        gradients = torch._foreach_sub(gradients, means)
    torch._foreach_mul_(squares, beta2)
    torch._foreach_addcmul_(squares, gradients, gradients, value=1 - beta2)
    scales = torch._foreach_sqrt(squares)
    torch._foreach_add_(scales, group["eps"])
    sizes = [-_step_size(group["lr"], beta1, beta2, state["step"]) for state in states]
    torch._foreach_addcdiv_(parameters, means, scales, scalars=sizes)


def _step_size(lr: float, beta1: float, beta2: float, step: int) -> float:
    return lr * math.sqrt(1 - beta2**step) / (1 - beta1**step)


def _columns(owned: Sequence[_Owned]) -> tuple[list[Tensor], Any, list[dict[str, Any]]]:
    parameters = [one.parameter for one in owned]
    return parameters, [parameter.grad for parameter in parameters], [one.state for one in owned]


_TOGETHER: dict[type, Callable[[Sequence[_Owned]], None]] = {
    torch.optim.Adam: _adam,
    torch.optim.AdamW: _adam,
    ClippedAdam: _clipped_adam,
}
