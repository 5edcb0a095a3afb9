"""Reads of tensors by Python that the dispatcher does not see."""

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from types import CodeType, FrameType
from typing import Any

import torch
from pyro.infer.util import Dice
from pyro.ops.provenance import detach_provenance
from torch import Tensor, nn
from torch.nn.functional import one_hot
from torch.overrides import TorchFunctionMode

from probgen.lowering.frames import _is_only_a_check, _leaves, _module, _where


def _code(path: str) -> CodeType | None:
    """Of a private function of Pyro, where it has one of that name."""
    module, _, name = path.rpartition(".")
    return getattr(getattr(import_module(module), name, None), "__code__", None)


_NEAR_HOLE = {
    _code("pyro.distributions.stable._standard_stable"),
    _code("pyro.infer.reparam.stable._safe_shift"),
}
_SPLINE = _code("pyro.distributions.transforms.spline._monotonic_rational_spline")
_UNSEEN_READS = {
    Tensor.tolist: 0,
    Tensor.numpy: 0,
    Tensor.__array__: 0,
    Tensor.__dlpack__: 0,
    Tensor.data_ptr: 0,
    Tensor.__float__: 0,
    Tensor.__int__: 0,
    Tensor.__index__: 0,
    torch._VF._pad_packed_sequence: 1,
    torch.tensor_split: 1,
    Tensor.tensor_split: 1,
}
"""Functions that read an argument on the host, unseen by the dispatcher, and its position."""
_FROM_LISTS = (torch.tensor, torch.as_tensor, torch.asarray, Tensor.new_tensor, Tensor.new)
"""Functions that read the elements of lists."""
_SET_DATA = Tensor.data.__set__  # type: ignore[attr-defined]


class _PythonReads(TorchFunctionMode):
    """Reads that the dispatcher does not see, and those of Pyro's losses that tensors can serve.

    Losses sum up floats from ``.item()``: here they stay tensors. The enumerated loss leaves out
    factors of probability 0: here their terms are set to 0. Splines select what is outside of
    their interval, to put it in the same place: here nothing is selected, and that is put. Stable
    distributions interpolate around a stability of 1 where any is near: here, always, which
    elsewhere is the mean of two equal values. A mask without dimensions is not read.
    """

    def __init__(self, recorder: Any) -> None:
        super().__init__()
        self.recorder = recorder

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        caller = sys._getframe(1)
        if func is Tensor.item and _module(caller).startswith("pyro.infer."):
            return detach_provenance(args[0]).detach()
        if caller.f_code is Dice.compute_expectation.__code__:
            if func is Tensor.all:
                return False
            if func is Tensor.masked_select:
                return torch.where(args[1], args[0], 0)
        if caller.f_code in _NEAR_HOLE and func is Tensor.any:
            return True
        of_spline = caller.f_code is _SPLINE
        if func is Tensor.__getitem__ and of_spline and _has_mask(args, args[0].dim()):
            return args[0]
        if func is Tensor.__setitem__ and _has_mask(args, args[0].dim() if of_spline else 0):
            return args[0].copy_(torch.where(args[1], args[2], args[0]))
        if func == _SET_DATA:
            self.recorder.refuse_other_memory()
        if func is torch._nested_tensor_from_mask_left_aligned and _leaves_padding_out(caller):
            self.recorder._refuse(
                f"PyTorch leaves padded positions out of a TransformerEncoder{_where()}: make it "
                "with enable_nested_tensor=False"
            )
        if func is one_hot and args:
            return _one_hot(*args, **(kwargs or {}))
        if func is Tensor.__deepcopy__ and args[0].is_leaf:
            return args[1].setdefault(id(args[0]), _copy(args[0]))
        read = _read_unseen(func, args, kwargs or {})
        if read and not _is_only_a_check():
            self.recorder.look_at(read)
        return func(*args, **(kwargs or {}))


def _read_unseen(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Tensor]:
    """The tensors whose values a function takes without asking the dispatcher."""
    position = _UNSEEN_READS.get(func)
    if position is not None:
        return [leaf for leaf in args[position : position + 1] if isinstance(leaf, Tensor)]
    if func in _FROM_LISTS:
        lists = [arg for arg in (*args, *kwargs.values()) if isinstance(arg, list | tuple)]
        return [leaf for leaf in _leaves(lists) if isinstance(leaf, Tensor)]
    return []


def _leaves_padding_out(caller: FrameType) -> bool:
    """Whether a transformer without gradients is about to put 0 where its input is padded."""
    module, source = caller.f_locals.get("self"), caller.f_locals.get("src")
    if not (isinstance(module, nn.TransformerEncoder) and isinstance(source, Tensor)):
        return False
    learns = any(one.requires_grad for one in (source, *module.parameters()))
    return not (torch.is_grad_enabled() and learns)


def _has_mask(args: Sequence[Any], dim: int) -> bool:
    """Whether a tensor is indexed by one mask of so many dimensions."""
    mask = args[1]
    return isinstance(mask, Tensor) and mask.dtype is torch.bool and mask.dim() == dim


def _one_hot(indices: Tensor, num_classes: int = -1) -> Tensor:
    """Without PyTorch's look at the indices, where the number of classes is given."""
    if num_classes < 0:
        return one_hot(indices)
    zeros = torch.zeros(*indices.shape, num_classes, dtype=indices.dtype, device=indices.device)
    return zeros.scatter_(-1, indices.unsqueeze(-1), 1)


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().clone().requires_grad_(tensor.requires_grad)
