"""The tensor program behind Python code: every operation it runs, written down as an fx graph.

Operations are seen where the dispatcher hands them to kernels, below autograd, so that a recorded
step holds its backward pass and nothing of what called it. Tensors are told apart by identity: an
argument, or an *external* one (parameter, buffer, data, constant), which the program goes on
using in place. Nothing is baked in but Python numbers.
"""

import dis
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from itertools import takewhile
from operator import getitem
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple, NoReturn, TypeAlias

import torch
from pyro.infer.util import Dice
from pyro.ops.provenance import detach_provenance
from pyro.util import warn_if_inf, warn_if_nan
from torch import Tensor, fx, nn
from torch.nn.functional import one_hot
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

aten = torch.ops.aten
WRITES = "bytes"
"""Where a node says how much an operation writes that can be fused with others."""
_WRITTEN_UNSAID = {
    aten.native_batch_norm.default: (3, 4),
    aten.cudnn_batch_norm.default: (3, 4),
    aten.miopen_batch_norm.default: (3, 4),
}
"""Positions of arguments that an operation writes although its schema does not say so."""
_ONLY_COMPLAIN = {
    function.__code__
    for function in (
        warn_if_nan,
        warn_if_inf,
        torch.distributions.Distribution.__init__,
        torch.distributions.Distribution._validate_sample,
    )
}
"""Functions whose host reads end in a warning, an error or nothing."""


def _code(path: str) -> CodeType | None:
    """Of a private function of Pyro, where it has one of that name."""
    module, _, name = path.rpartition(".")
    return getattr(getattr(import_module(module), name, None), "__code__", None)


_NEAR_HOLE = {
    _code("pyro.distributions.stable._standard_stable"),
    _code("pyro.infer.reparam.stable._safe_shift"),
}
_SPLINE = _code("pyro.distributions.transforms.spline._monotonic_rational_spline")
_MACHINERY = ("torch", "contextlib", "probgen.lowering", "pyro.ops.provenance")
_LIBRARIES = ("pyro.", "probgen.")
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
_UNFILLED = {
    aten.empty.memory_format,
    aten.empty_like.default,
    aten.empty_strided.default,
    aten.new_empty.default,
    aten.new_empty_strided.default,
}
_FILLS = {
    f"aten::{name}_"
    for name in (
        "copy", "fill", "zero", "set", "normal", "uniform", "random", "bernoulli", "exponential",
        "geometric", "cauchy", "log_normal", "index_put", "_index_put_impl", "index_copy",
        "index_fill", "scatter", "masked_fill", "masked_scatter",
    )
}  # fmt: skip
_SET_DATA = Tensor.data.__set__  # type: ignore[attr-defined]
_MOVES = ("aten::set_", "aten::resize_", "aten::resize_as_")
"""Operations after which a tensor has other memory."""
_JUMPS = {*dis.hasjrel, *dis.hasjabs}
_VALUE_TAGS = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}


class Unrecordable(Exception):  # noqa: N818
    """Why a program has to stay eager."""


class Recording(NamedTuple):
    """A recorded call.

    Attributes:
        graph: takes the arguments, then the externals; gives the outputs, all flat.
        externals: tensors it uses that are no arguments, by identity.
        written: those of them that it writes to.
        pinned: inputs whose values Python looked at, {position: value}.
        drawn: types of the devices that its noise is drawn on.
        outputs: what the recorded call gave, and then the values that it checked.
        expected: whether those were true; otherwise they would have raised an error.
        after: what it left in ``written``.
    """

    graph: fx.Graph
    externals: list[Tensor]
    written: list[Tensor]
    pinned: dict[int, Tensor]
    drawn: set[str]
    outputs: list[Tensor]
    expected: list[bool]
    after: list[Tensor]

    @property
    def text(self) -> tuple[str | None, ...]:
        """The program as text, the same for the same program."""
        return tuple(node.format_node() for node in self.graph.nodes)

    def module(self) -> fx.GraphModule:
        """The program as a function."""
        return fx.GraphModule(torch.nn.Module(), self.graph, "Lowered")


def record(
    program: Callable[..., Sequence[Tensor]],
    arguments: Sequence[Tensor],
    varying: Iterable[Tensor] = (),
) -> Recording:
    """Run ``program(*arguments)`` and write down what it did; its writes are undone.

    Args:
        program: gives tensors; may use any other tensors that it reaches.
        arguments: tensors that other calls will replace.
        varying: tensors whose values change between calls, such as parameters.

    Raises:
        Unrecordable: Python decides something by a value that may be another next time.

    >>> add = record(lambda x: [x + torch.ones(2)], [torch.zeros(2)])
    >>> add.module()(torch.full((2,), 3.0))
    (tensor([4., 4.]),)
    """
    aliases = [argument.detach() for argument in arguments]  # told from the same tensor as global
    recorder = _Recorder(aliases, varying)
    try:
        with recorder, _PythonReads(recorder):
            outputs = list(program(*aliases))
        if recorder.refusal is not None:  # the program may have caught it
            raise recorder.refusal
        return recorder.finish(outputs)
    except Exception as error:
        raise (recorder.refusal or error) from None  # PyTorch may have made another of it
    finally:
        recorder.undo()
        torch.clear_autocast_cache()  # where the casts of this run would be met again


class _Recorder(TorchDispatchMode):
    def __init__(self, arguments: Sequence[Tensor], varying: Iterable[Tensor]) -> None:
        super().__init__()
        self.graph = fx.Graph()
        self.nodes = WeakTensorKeyDictionary()
        self.inputs: list[Tensor] = []
        self.arguments = len(arguments)
        self.varying = {_storage(tensor) for tensor in varying}
        self.origins: dict[int, _Origin] = {}
        self.held: set[int] = set()
        self.before: dict[int, tuple[Any, Any]] = {}
        self.pinned: dict[int, Tensor] = {}
        self.unfilled: dict[int, tuple[Tensor, fx.Node]] = {}
        self.checks: list[tuple[fx.Node, Tensor, bool]] = []
        self.drawn: set[str] = set()
        self.refusal: Unrecordable | None = None
        self.start = self.graph.placeholder("start")
        for argument in arguments:
            self._add_input(argument)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        leaves = [*_leaves(args), *_leaves([*kwargs.values()])]
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        if _looks_at_values(func, args):
            if _is_only_a_check():
                return func(*args, **kwargs)
            if func is aten._local_scalar_dense.default and _decides_only_on_an_error():
                return self._checked(args[0])
            self.look_at(_looked_at(func, args, tensors))
            if not _gives_tensors(func):
                return func(*args, **kwargs)
        if func._schema.name in _MOVES and self._is_held(args[0]):
            self.refuse_other_memory()
        if func is aten.lift_fresh.default:
            func = aten.clone.default  # of a literal, which the program may write to
        if any(isinstance(leaf, torch.Generator) for leaf in leaves):
            self._refuse(f"it draws from a generator of its own{_where()}")
        if any(isinstance(leaf, torch.UntypedStorage) for leaf in leaves):
            self._refuse(f"it makes a tensor of another's storage{_where()}")
        if self.unfilled:
            self._fill(func, tensors, _written(func, args, kwargs))
        nodes = self._nodes(args), {name: self._nodes(value) for name, value in kwargs.items()}
        self._save_before_writing(func, args, kwargs)
        result = func(*args, **kwargs)
        node = self.graph.call_function(func, *nodes)
        if torch.Tag.nondeterministic_seeded in func.tags:
            self.drawn.add(next(_leaves([result])).device.type)
        if torch.Tag.pointwise in func.tags and isinstance(result, Tensor):
            node.meta[WRITES] = result.nbytes
        if func in _UNFILLED:
            self.unfilled[_storage(result)] = (result, node)
        origin = self._origin(func, tensors)
        self._note(result, node, origin, {_storage(tensor) for tensor in tensors})
        return result

    def look_at(self, tensors: Sequence[Tensor]) -> None:
        """Python asks for values: granted, and remembered, where inputs alone decide them."""
        for tensor in tensors:
            self._node(tensor)
            origin = self.origins[_storage(tensor)]
            if origin is None:
                self._refuse(f"it asks the host for a value{_where()}")
            else:
                self.pinned |= {i: self.inputs[i].detach() for i in origin}

    def refuse_other_memory(self) -> NoReturn:
        """Refuse what cannot be undone."""
        self._refuse(
            f"it puts other memory in a tensor{_where()}: write to it in place, as x.copy_(y)"
        )

    def _checked(self, tensor: Tensor) -> Any:
        """A value that is to be as true in every replay."""
        node = self.graph.call_function(aten.clone.default, (self._node(tensor),))
        self.checks.append((node, tensor.clone(), bool(tensor)))
        return tensor.item()

    def undo(self) -> None:
        """Give every input the values that it had before."""
        for storage, before in self.before.values():
            if storage.nbytes() != before.nbytes():  # by an output that did not fit
                storage.resize_(before.nbytes())
            storage.copy_(before)

    def finish(self, outputs: list[Tensor]) -> Recording:
        """The graph with these outputs, without what serves nothing."""
        checks = [node for node, *_ in self.checks]
        self.graph.output((*[self._node(output) for output in outputs], *checks))
        self.graph.erase_node(self.start)
        _skip_detach(self.graph)
        self.graph.eliminate_dead_code(_matters)
        if any(_storage(tensor) in self.before for tensor in self.pinned.values()):
            self._refuse("it asks the host for a value that it changes itself")
        if any(_storage(tensor) in self.before for tensor in self.inputs[: self.arguments]):
            self._refuse("it writes to an argument: let it write to a copy")
        used = self._drop_unused()
        written = [self.inputs[i] for i in used if _storage(self.inputs[i]) in self.before]
        return Recording(
            self.graph,
            [self.inputs[i] for i in used if i >= self.arguments],
            written,
            {used.index(i): tensor.clone() for i, tensor in self.pinned.items()},
            self.drawn,
            outputs + [tensor for _, tensor, _ in self.checks],
            [value for *_, value in self.checks],
            [tensor.detach().clone() for tensor in written],
        )

    def _drop_unused(self) -> list[int]:
        """Positions of the inputs that are left: arguments, and what serves the outputs."""
        nodes = [node for node in self.graph.nodes if node.op == "placeholder"]
        spare = [i for i, node in enumerate(nodes) if i >= self.arguments and not node.users]
        unused = {i for i in spare if i not in self.pinned}
        for i in unused:
            self.graph.erase_node(nodes[i])
        return [i for i in range(len(nodes)) if i not in unused]

    def _add_input(self, tensor: Tensor) -> fx.Node:
        if tensor.grad_fn is not None and not tensor._is_view():
            self._refuse(f"it uses what was computed before, or in another thread{_where()}")
        key = _storage(tensor)
        alone = frozenset([len(self.inputs)])
        earlier: _Origin = self.origins[key] if key in self.held else frozenset()
        self.origins[key] = None if key in self.varying or earlier is None else earlier | alone
        self.held.add(key)
        with self.graph.inserting_before(self.start):
            self.nodes[tensor] = self.graph.placeholder(f"input_{len(self.inputs)}")
        self.inputs.append(tensor)
        return self.nodes[tensor]

    def _node(self, tensor: Tensor) -> fx.Node:
        self._check_layout(tensor)
        return self.nodes.get(tensor) or self._add_input(tensor)

    def _is_held(self, tensor: Tensor) -> bool:
        """Whether it was there before."""
        return tensor not in self.nodes or _storage(tensor) in self.held

    def _check_layout(self, tensor: Tensor) -> None:
        if tensor.layout is not torch.strided:
            self._refuse(f"it uses a tensor of layout {tensor.layout}{_where()}")

    def _nodes(self, value: Any) -> Any:
        """An argument with nodes for tensors."""
        if isinstance(value, Tensor):
            return self._node(value)
        if isinstance(value, list | tuple):
            return type(value)(map(self._nodes, value))
        return value

    def _origin(self, func: Any, tensors: Sequence[Tensor]) -> "_Origin":
        if torch.Tag.nondeterministic_seeded in func.tags:
            return None
        return _joined(self.origins[_storage(tensor)] for tensor in tensors)

    def _note(self, result: Any, node: fx.Node, origin: "_Origin", seen: set[int]) -> None:
        if isinstance(result, list | tuple):
            for number, part in enumerate(result):
                self._note(part, self.graph.call_function(getitem, (node, number)), origin, seen)
        elif isinstance(result, Tensor):
            self._check_layout(result)
            key = _storage(result)
            self.origins[key] = _joined([origin, self.origins[key]]) if key in seen else origin
            self.nodes.setdefault(result, node)

    def _save_before_writing(self, func: Any, args: Sequence[Any], kwargs: Any) -> None:
        for tensor in _written(func, args, kwargs):
            key, storage = _storage(tensor), tensor.untyped_storage()
            if key in self.held and key not in self.before:
                self.before[key] = (storage, storage.clone())

    def _fill(self, func: Any, tensors: Sequence[Tensor], written: Sequence[Tensor]) -> None:
        """Take as a constant what C++ put, unseen, into new memory that is read before a write."""
        filled = {_storage(tensor) for tensor in written} if _overwrites(func) else set()
        for key in {_storage(tensor) for tensor in tensors} & self.unfilled.keys():
            if key in filled:
                del self.unfilled[key]
            elif not func.is_view:
                tensor, node = self.unfilled.pop(key)
                constant = self._add_input(tensor.clone())
                with self.graph.inserting_after(node):
                    copy = self.graph.call_function(aten.clone.default, (constant,))
                node.replace_all_uses_with(copy)
                self.nodes[tensor] = copy

    def _refuse(self, reason: str) -> NoReturn:
        self.refusal = Unrecordable(reason)
        raise self.refusal


class _PythonReads(TorchFunctionMode):
    """Reads that the dispatcher does not see, and those of Pyro's losses that tensors can serve.

    Losses sum up floats from ``.item()``: here they stay tensors. The enumerated loss leaves out
    factors of probability 0: here their terms are set to 0. Splines select what is outside of
    their interval, to put it in the same place: here nothing is selected, and that is put. Stable
    distributions interpolate around a stability of 1 where any is near: here, always, which
    elsewhere is the mean of two equal values. A mask without dimensions is not read.
    """

    def __init__(self, recorder: _Recorder) -> None:
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


_Origin: TypeAlias = frozenset[int] | None
"""The inputs that decide a value; None if noise, parameters or earlier steps do."""


def _joined(origins: Iterable[_Origin]) -> _Origin:
    joined: frozenset[int] = frozenset()
    for origin in origins:
        if origin is None:
            return None
        joined |= origin
    return joined


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _looks_at_values(func: Any, args: Sequence[Any]) -> bool:
    if func is aten.index.Tensor:
        return any(i is not None and i.dtype in (torch.bool, torch.uint8) for i in args[1])
    return not _VALUE_TAGS.isdisjoint(func.tags)


def _looked_at(func: Any, args: Sequence[Any], tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    """Of the tensors that such an operation takes, those by whose values it decides."""
    if func is aten.index.Tensor:
        return [i for i in args[1] if i is not None and i.dtype in (torch.bool, torch.uint8)]
    return args[1:2] if func is aten.masked_select.default else tensors


def _overwrites(func: Any) -> bool:
    """Whether an operation writes without reading what was there."""
    return func._schema.name in _FILLS or "out" in func._overloadname


def _gives_tensors(func: Any) -> bool:
    return any("Tensor" in str(result.type) for result in func._schema.returns)


def _written(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Tensor]:
    written = [args[i] for i in _WRITTEN_UNSAID.get(func, ())]
    for i, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            written.append(args[i] if i < len(args) else kwargs.get(argument.name))
    return [leaf for leaf in _leaves(written) if isinstance(leaf, Tensor)]


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for part in value:
            yield from _leaves(part)
    else:
        yield value


def _frames() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back


def _module(frame: FrameType) -> str:
    return frame.f_globals.get("__name__", "")


def _is_of(frame: FrameType, packages: Iterable[str]) -> bool:
    return any(f"{_module(frame)}.".startswith(f"{package}.") for package in packages)


def _is_only_a_check() -> bool:
    return any(frame.f_code in _ONLY_COMPLAIN for frame in _frames())


def _decides_only_on_an_error() -> bool:
    """Whether the value asked for is that of an ``assert``, or of an ``if`` that only raises."""
    asking = (frame for frame in _frames() if not _is_of(frame, _MACHINERY))
    frame = next(asking, None)
    return frame is not None and _only_raises(frame.f_code, frame.f_lasti)


@cache
def _only_raises(code: CodeType, position: int) -> bool:
    """Whether one of the two ways on from the branch there can but end in an error."""
    listed = [*dis.get_instructions(code)]
    later = [i for i, one in enumerate(listed) if one.offset >= position][:2]
    branch = next((i for i in later if listed[i].opname.startswith("POP_JUMP")), None)
    return branch is not None and any(_fails(listed, way) for way in _ways_on(listed, branch))


def _fails(listed: Sequence[dis.Instruction], start: int) -> bool:
    """Whether every way on from an instruction ends in an error."""
    seen, ways = set[int](), [start]
    while ways:
        at = ways.pop()
        if listed[at].opname.startswith(("RETURN", "YIELD")):
            return False
        if at not in seen and listed[at].opname not in ("RAISE_VARARGS", "RERAISE"):
            ways += _ways_on(listed, at)
        seen.add(at)
    return True


def _ways_on(listed: Sequence[dis.Instruction], at: int) -> list[int]:
    one = listed[at]
    jump = [i for i, other in enumerate(listed) if other.offset == one.argval]
    if one.opcode not in _JUMPS:
        return [at + 1]
    certain = one.opname.startswith("JUMP") and "IF" not in one.opname
    return jump if certain else [*jump, at + 1]


def _where() -> str:
    """The line that is being run: the program's, or the library's where there is none."""
    run = takewhile(lambda frame: frame.f_code is not record.__code__, _frames())
    frames = [frame for frame in run if not _is_of(frame, _MACHINERY)]
    written = [frame for frame in frames if not _module(frame).startswith(_LIBRARIES)]
    for frame in [*written, *frames][:1]:
        return f" ({Path(frame.f_code.co_filename).name}, line {frame.f_lineno})"
    return ""


def _skip_detach(graph: fx.Graph) -> None:
    for node in graph.nodes:
        if node.target is aten.detach.default:
            node.replace_all_uses_with(node.args[0])


def _matters(node: fx.Node) -> bool:
    """Whether a node does something beside its output: writing, drawing, checking."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return node.op in ("placeholder", "output")
    schema = node.target._schema
    draws = torch.Tag.nondeterministic_seeded in node.target.tags
    unsaid = node.target in _WRITTEN_UNSAID
    return schema.is_mutable or draws or unsaid or not schema.returns
