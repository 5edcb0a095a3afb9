"""What the models share: their error, their place in Pyro's store, and what they check."""

from itertools import count
from types import FunctionType
from typing import Any
from weakref import WeakKeyDictionary

import pyro
import pyro.distributions as dist
import torch
from pyro.infer.util import is_validation_enabled
from torch import Tensor, nn

from probgen import ProbgenError
from probgen.nets.coders import as_text, dry_run

_names: WeakKeyDictionary[object, str] = WeakKeyDictionary()
_numbers = count()


class ModelError(ProbgenError, ValueError):
    """Networks that do not fit together, or data of another shape than the model's."""


class Registered:
    """Shows its parts' parameters to Pyro's store, which plain ``pyro.infer.SVI`` trains from."""

    def _register(self, *parts: str) -> None:
        """Register the parts under a name no other object has ever had."""
        name = _names.get(self) or _names.setdefault(self, f"pair{next(_numbers)}")
        for part in parts:
            module = getattr(self, part)
            for parameter in module.parameters():
                if not parameter.is_contiguous():  # of others Pyro would train a copy
                    parameter.data = parameter.data.contiguous()
            pyro.module(f"{name}.{part}", module)


def penalise(name: str, cost: Tensor) -> None:
    """Add a cost per datum to the loss that is no likelihood: ``Terms.penalty[name]``."""
    unit = dist.Unit(-cost)
    pyro.sample(name, unit, obs=unit.sample(), infer={"penalty": True})  # type: ignore[arg-type]


def stated(role: str, module: nn.Module, name: str, given: Any) -> Any:
    """What was given, or else what the module states of itself."""
    found = getattr(module, name, None) if given is None else given
    if found is None:
        raise ModelError(f"expected {name}=: the {role} does not state its own")
    return found


def check_module(role: str, module: Any) -> None:
    """Raise unless a part of a model is a module."""
    if not isinstance(module, nn.Module):
        got = module.__name__ if isinstance(module, type | FunctionType) else repr(module)
        raise ModelError(f"expected the {role} as a module; got {got}: build it first")


def checked_likelihood(likelihood: Any, default: nn.Module) -> nn.Module:
    """The likelihood, or the default where there is none."""
    if likelihood is None:
        return default
    if not isinstance(likelihood, nn.Module):
        raise ModelError(f"expected a likelihood such as Gaussian(0.1); got {likelihood!r}")
    return likelihood


def tried(role: str, net: nn.Module, *inputs: Tensor, what: str, cure: str) -> Any:
    """What a network gives in a dry run.

    Args:
        role: of the network, as an error names it.
        net: the network.
        inputs: what it is called with.
        what: what that is, before its shape.
        cure: what to do if the network does not take it.

    Raises:
        ModelError: it does not.
    """
    try:
        return dry_run(net, *inputs)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        shape = tuple(inputs[0].shape)
        raise ModelError(f"the {role} does not take {what} {shape} ({error}): {cure}") from error


def check_count(n: int) -> None:
    """Raise unless so many samples can be drawn."""
    if n < 1:
        raise ModelError(f"expected n >= 1 samples; got {n}")


def check_unlabelled(y: object) -> None:
    """Raise if a model without classes is asked for one."""
    if y is not None:
        raise ModelError(f"expected no label, for an unconditional model; got {y}")


def check_data(x: Tensor, shape: tuple[int, ...]) -> None:
    """Raise unless x is a batch of data of that shape."""
    if x.shape[1:] != shape:
        raise ModelError(f"expected data (B, {as_text(shape)}); got {tuple(x.shape)}")


def check_range(y: Tensor, classes: int) -> None:
    """Raise unless all labels are of these classes; asks the device."""
    low, high = y.aminmax()
    if low < 0 or high >= classes:
        wrong = int(low if low < 0 else high)
        raise ModelError(f"expected labels from 0 to {classes - 1}; got {wrong}")


def checked_labels(y: Tensor | None, batch: torch.Size, classes: int) -> Tensor:
    """The labels, int64, one per datum of the batch or broadcast to it.

    Their range is checked where Pyro validates.
    """
    size = as_text(batch)
    if y is None:
        raise ModelError(f"expected labels y ({size}), 0 to {classes - 1}; got none")
    fits = y.dim() <= len(batch) and all(
        own in (1, full) for own, full in zip(y.shape[::-1], batch[::-1], strict=False)
    )
    if not fits or y.is_floating_point():
        raise ModelError(f"expected whole labels ({size}); got {y.dtype} {tuple(y.shape)}")
    if is_validation_enabled():
        check_range(y, classes)
    return y.long()
