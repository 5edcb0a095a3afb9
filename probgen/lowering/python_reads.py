"""Reads of tensors by Python that the dispatcher does not see, and those that tensors can serve.

Between the dispatcher and a program stand PyTorch's functions. Some hand values to Python, or make
tensors of Python's numbers, without an operation: those are told to the recorder. Some of Pyro's
own code asks for values where a tensor does as well: there the function gives the tensor, so that
nothing is asked. Each is a row of a table.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from types import CodeType, FrameType
from typing import Any, NamedTuple, NoReturn, Protocol

import torch
from pyro.infer.util import Dice
from pyro.ops.provenance import detach_provenance
from torch import Tensor, nn
from torch.nn.functional import one_hot
from torch.overrides import TorchFunctionMode

from probgen.lowering.frames import is_only_a_check, module_of, where
from probgen.lowering.operations import leaves
from probgen.lowering.reasons import Reason


class Recorder(Protocol):
    """What is told of reads."""

    def look_at(self, tensors: Sequence[Tensor]) -> None:
        """Grant Python these values, or refuse."""

    def refuse(self, reason: Reason, **fields: object) -> NoReturn:
        """Give up."""


class PythonReads(TorchFunctionMode):
    """Tells a recorder of the reads in ``_READS``, and answers the requests in ``_CASES``."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        request = _Request(self.recorder, sys._getframe(1), args, kwargs or {})
        case = _CASES.get(func)
        if case is not None and case.applies(request):
            return case.answer(request)
        reads = _READS.get(func)
        read = reads(request) if reads is not None else []
        if read and not is_only_a_check():
            self.recorder.look_at(read)
        return func(*args, **request.kwargs)


class _Request(NamedTuple):
    """A call of one of PyTorch's functions."""

    recorder: Recorder
    caller: FrameType
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


class _Case(NamedTuple):
    """When a function is not called as it is, and what is given instead."""

    applies: Callable[[_Request], Any]
    answer: Callable[[_Request], Any]


def _code(path: str) -> CodeType | None:
    """Of a private function of Pyro, where it has one of that name."""
    module, _, name = path.rpartition(".")
    return getattr(getattr(import_module(module), name, None), "__code__", None)


_DICE = Dice.compute_expectation.__code__
_SPLINE = _code("pyro.distributions.transforms.spline._monotonic_rational_spline")
_NEAR_HOLE = {
    _code("pyro.distributions.stable._standard_stable"),
    _code("pyro.infer.reparam.stable._safe_shift"),
}


def _always(request: _Request) -> bool:
    return True


def _in_a_loss(request: _Request) -> bool:
    """Pyro's losses sum up floats: here they stay tensors."""
    return module_of(request.caller).startswith("pyro.infer.")


def _stays_a_tensor(request: _Request) -> Tensor:
    return detach_provenance(request.args[0]).detach()


def _in_enumeration(request: _Request) -> bool:
    """The enumerated loss leaves out factors of probability 0: here their terms are set to 0."""
    return request.caller.f_code is _DICE


def _not_all(request: _Request) -> bool:
    return False


def _others_at_0(request: _Request) -> Tensor:
    values, mask = request.args
    return torch.where(mask, values, 0)


def _near_a_hole(request: _Request) -> bool:
    """Stable distributions interpolate where any stability is near 1: here, everywhere.

    Elsewhere that is the mean of two equal values.
    """
    return request.caller.f_code in _NEAR_HOLE


def _some_are(request: _Request) -> bool:
    return True


def _selects_outside_a_spline(request: _Request) -> bool:
    """Splines select what is outside of their interval: here nothing is selected."""
    of_spline = request.caller.f_code is _SPLINE
    return of_spline and _has_mask(request.args, request.args[0].dim())


def _everything(request: _Request) -> Tensor:
    return request.args[0]


def _puts_by_one_mask(request: _Request) -> bool:
    """What splines selected is put in the same place; a mask without dimensions is not read."""
    of_spline = request.caller.f_code is _SPLINE
    return _has_mask(request.args, request.args[0].dim() if of_spline else 0)


def _put_where_true(request: _Request) -> Tensor:
    target, mask, value = request.args
    return target.copy_(torch.where(mask, value, target))


def _refuse_other_memory(request: _Request) -> NoReturn:
    request.recorder.refuse(Reason.OTHER_MEMORY, where=where())


def _leaves_padding_out(request: _Request) -> bool:
    """Whether a transformer without gradients is about to put 0 where its input is padded."""
    names = request.caller.f_locals
    module, source = names.get("self"), names.get("src")
    if not (isinstance(module, nn.TransformerEncoder) and isinstance(source, Tensor)):
        return False
    learns = any(one.requires_grad for one in (source, *module.parameters()))
    return not (torch.is_grad_enabled() and learns)


def _refuse_padding(request: _Request) -> NoReturn:
    request.recorder.refuse(Reason.PADDING, where=where())


def _has_arguments(request: _Request) -> bool:
    return bool(request.args)


def _one_hot_unchecked(request: _Request) -> Tensor:
    return _one_hot(*request.args, **request.kwargs)


def _is_of_a_leaf(request: _Request) -> bool:
    return request.args[0].is_leaf


def _copied(request: _Request) -> Tensor:
    tensor, memo = request.args
    return memo.setdefault(id(tensor), _copy(tensor))


_CASES: dict[Any, _Case] = {
    Tensor.item: _Case(_in_a_loss, _stays_a_tensor),
    Tensor.all: _Case(_in_enumeration, _not_all),
    Tensor.masked_select: _Case(_in_enumeration, _others_at_0),
    Tensor.any: _Case(_near_a_hole, _some_are),
    Tensor.__getitem__: _Case(_selects_outside_a_spline, _everything),
    Tensor.__setitem__: _Case(_puts_by_one_mask, _put_where_true),
    Tensor.data.__set__: _Case(_always, _refuse_other_memory),  # type: ignore[attr-defined]
    torch._nested_tensor_from_mask_left_aligned: _Case(_leaves_padding_out, _refuse_padding),
    one_hot: _Case(_has_arguments, _one_hot_unchecked),
    Tensor.__deepcopy__: _Case(_is_of_a_leaf, _copied),
}
"""Functions that are answered otherwise while a program is recorded."""


def _first(request: _Request) -> list[Tensor]:
    return _tensors(request.args[:1])


def _second(request: _Request) -> list[Tensor]:
    return _tensors(request.args[1:2])


def _in_lists(request: _Request) -> list[Tensor]:
    given = (*request.args, *request.kwargs.values())
    return _tensors(leaves([one for one in given if isinstance(one, list | tuple)]))


_READS: dict[Any, Callable[[_Request], list[Tensor]]] = {
    Tensor.tolist: _first,
    Tensor.numpy: _first,
    Tensor.__array__: _first,
    Tensor.__dlpack__: _first,
    Tensor.data_ptr: _first,
    Tensor.__float__: _first,
    Tensor.__int__: _first,
    Tensor.__index__: _first,
    torch._VF._pad_packed_sequence: _second,
    torch.tensor_split: _second,
    Tensor.tensor_split: _second,
    torch.tensor: _in_lists,
    torch.as_tensor: _in_lists,
    torch.asarray: _in_lists,
    Tensor.new_tensor: _in_lists,
    Tensor.new: _in_lists,
}
"""Functions that read tensors on the host, unseen by the dispatcher, and which."""


def _tensors(values: Any) -> list[Tensor]:
    return [value for value in values if isinstance(value, Tensor)]


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
