"""One call of a program: its arguments, and what else tells it from another."""

from collections.abc import Mapping, Sequence
from functools import cache
from types import MethodType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from probgen.lowering.recording import Unrecordable
from probgen.lowering.watch import is_watched

_PLAIN = (
    bool, int, float, complex, str, bytes, type(None), range, np.generic, torch.dtype, torch.device
)  # fmt: skip


class _Call(NamedTuple):
    """Arguments as tensors and the kind of call they make."""

    tensors: list[Tensor]
    others: tuple[Any, ...]
    spec: TreeSpec
    kind: Any

    @classmethod
    def of(cls, args: Any, kwargs: Any, moving: Mapping[TreeSpec, frozenset[int]]) -> "_Call":
        """A call, with the numbers at ``moving`` positions as tensors."""
        if not kwargs and all(isinstance(arg, Tensor) for arg in args):
            leaves, spec = list(args), _flat(len(args))  # the common call, without a walk
        else:
            leaves, spec = tree_flatten((args, kwargs))
            for i in moving.get(spec, ()):
                if type(leaves[i]) is float:
                    leaves[i] = torch.tensor(leaves[i], device="cpu")
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        others = tuple(_TENSOR if isinstance(leaf, Tensor) else leaf for leaf in leaves)
        kinds = tuple((type(o), _identity(o)) for o in others)
        shapes = tuple((t.shape, t.stride(), t.dtype, t.device, t.requires_grad) for t in tensors)
        return cls(tensors, others, spec, (kinds, shapes, spec, _surroundings()))

    @property
    def objects(self) -> list[Any]:
        """Arguments that are told apart by identity, and watched."""
        return [o for o in self.others if not (isinstance(o, _PLAIN) or o is _TENSOR)]

    def moved_since(self, kind: Any) -> frozenset[int]:
        """Positions of the numbers in which alone it differs from a call of that kind."""
        (kinds, *mine), (before, *theirs) = self.kind, kind
        if mine != theirs:
            return frozenset()
        changed = [i for i, (a, b) in enumerate(zip(kinds, before, strict=True)) if a != b]
        numbers = all(kinds[i][0] is before[i][0] is float for i in changed)
        return frozenset(changed) if numbers else frozenset()

    def rebuilt(self, tensors: Sequence[Tensor]) -> Any:
        """The arguments with other tensors."""
        remaining = iter(tensors)
        leaves = [next(remaining) if other is _TENSOR else other for other in self.others]
        return tree_unflatten(leaves, self.spec)

    def check(self) -> None:
        """Raise unless a recording can hold for other calls of the kind."""
        for value in self.objects:
            if not is_watched(value):
                raise Unrecordable(
                    "expected arguments of tensors, numbers, strings, functions, modules and "
                    f"objects of your own; got {type(value)}"
                )
        if others := [t.layout for t in self.tensors if t.layout is not torch.strided]:
            raise Unrecordable(f"expected dense arguments; got one of layout {others[0]}")
        if any(tensor.requires_grad for tensor in self.tensors):
            raise Unrecordable("an argument requires gradients: make it a parameter")


_TENSOR = object()


def _identity(value: Any) -> Any:
    """What tells an object from others; a bound method is another object at every use."""
    if isinstance(value, _PLAIN):
        return repr(value)  # of 0.0 another than of -0.0
    return (id(value.__self__), id(value.__func__)) if isinstance(value, MethodType) else id(value)


@cache
def _flat(n: int) -> TreeSpec:
    return tree_flatten(((0,) * n, {}))[1]


def _surroundings() -> tuple[Any, ...]:
    return (
        torch.get_default_dtype(),
        torch.is_autocast_enabled("cpu"),
        torch.is_autocast_enabled("cuda"),
        torch.get_autocast_dtype("cpu"),
        torch.get_autocast_dtype("cuda"),
        torch.is_grad_enabled(),
    )
