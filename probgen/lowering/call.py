"""One call of a program: its arguments, and what else tells it from another.

A recording holds for one *kind* of call. The tensors among the arguments are put in anew in each
call, so of them only shape, layout, dtype and device count. Everything else is told by its value,
or by identity where it may change within. PyTorch's settings that decide dtypes and gradients
count too.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from types import MethodType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from probgen.lowering.entries import is_watched
from probgen.lowering.reasons import Reason, Unrecordable

_PLAIN = (
    bool, int, float, complex, str, bytes, type(None), range, np.generic, torch.dtype, torch.device
)  # fmt: skip
TENSOR = object()
"""What stands in the place of a tensor where the others are compared."""


class Kind(NamedTuple):
    """What has to be the same in two calls for one recording to hold for both.

    Attributes:
        values: what is no tensor, each with its type.
        shapes: of the tensors, with their layouts, dtypes and devices.
        spec: how the arguments are nested.
        settings: PyTorch's, that decide dtypes and gradients.
    """

    values: tuple[Any, ...]
    shapes: tuple[Any, ...]
    spec: TreeSpec
    settings: tuple[Any, ...]


class Call(NamedTuple):
    """Arguments as tensors and the kind of call they make."""

    tensors: list[Tensor]
    others: tuple[Any, ...]
    spec: TreeSpec
    kind: Kind

    @classmethod
    def of(cls, args: Any, kwargs: Any, moving: Mapping[TreeSpec, frozenset[int]]) -> "Call":
        """A call, with the numbers at ``moving`` positions as tensors."""
        if not kwargs and all(isinstance(arg, Tensor) for arg in args):
            leaves, spec = list(args), _flat(len(args))  # the common call, without a walk
        else:
            leaves, spec = tree_flatten((args, kwargs))
            for i in moving.get(spec, ()):
                if type(leaves[i]) is float:
                    leaves[i] = torch.tensor(leaves[i], device="cpu")
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        others = tuple(TENSOR if isinstance(leaf, Tensor) else leaf for leaf in leaves)
        values = tuple((type(o), _identity(o)) for o in others)
        shapes = tuple((t.shape, t.stride(), t.dtype, t.device, t.requires_grad) for t in tensors)
        return cls(tensors, others, spec, Kind(values, shapes, spec, _settings()))

    @property
    def objects(self) -> list[Any]:
        """Arguments that are told apart by identity, and watched."""
        return [o for o in self.others if not (isinstance(o, _PLAIN) or o is TENSOR)]

    def moved_since(self, kind: Kind) -> frozenset[int]:
        """Positions of the numbers in which alone it differs from a call of that kind."""
        if self.kind[1:] != kind[1:]:
            return frozenset()
        now, before = self.kind.values, kind.values
        pairs = zip(now, before, strict=True)
        changed = [i for i, (one, other) in enumerate(pairs) if one != other]
        numbers = all(now[i][0] is before[i][0] is float for i in changed)
        return frozenset(changed) if numbers else frozenset()

    def rebuilt(self, tensors: Sequence[Tensor]) -> Any:
        """The arguments with other tensors."""
        remaining = iter(tensors)
        leaves = [next(remaining) if other is TENSOR else other for other in self.others]
        return tree_unflatten(leaves, self.spec)

    def check(self) -> None:
        """Raise unless a recording can hold for other calls of the kind."""
        for value in self.objects:
            if not is_watched(value):
                raise Unrecordable(Reason.ARGUMENT_KIND, kind=type(value))
        for tensor in self.tensors:
            if tensor.layout is not torch.strided:
                raise Unrecordable(Reason.ARGUMENT_LAYOUT, layout=tensor.layout)
        if any(tensor.requires_grad for tensor in self.tensors):
            raise Unrecordable(Reason.ARGUMENT_GRADIENT)


def _identity(value: Any) -> Any:
    """What tells an object from others; a bound method is another object at every use."""
    if isinstance(value, _PLAIN):
        return repr(value)  # of 0.0 another than of -0.0
    return (id(value.__self__), id(value.__func__)) if isinstance(value, MethodType) else id(value)


@cache
def _flat(n: int) -> TreeSpec:
    return tree_flatten(((0,) * n, {}))[1]


def _settings() -> tuple[Any, ...]:
    return (
        torch.get_default_dtype(),
        torch.is_autocast_enabled("cpu"),
        torch.is_autocast_enabled("cuda"),
        torch.get_autocast_dtype("cpu"),
        torch.get_autocast_dtype("cuda"),
        torch.is_grad_enabled(),
    )
