"""The tensor program behind Python code: every operation it runs, written down as an fx graph.

Operations are seen where the dispatcher hands them to kernels, below autograd, so that a recorded
step holds its backward pass and nothing of what called it. Tensors are told apart by identity: an
argument, or an *external* one (parameter, buffer, data, constant), which the program goes on
using in place. Nothing is baked in but Python numbers.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import getitem
from typing import Any, NamedTuple, NoReturn, TypeAlias

import torch
from torch import Tensor, fx
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from probgen.lowering.frames import _decides_only_on_an_error, _is_only_a_check, _leaves, _where
from probgen.lowering.python_reads import _PythonReads

aten = torch.ops.aten
WRITES = "bytes"
"""Where a node says how much an operation writes that can be fused with others."""
_WRITTEN_UNSAID = {
    aten.native_batch_norm.default: (3, 4),
    aten.cudnn_batch_norm.default: (3, 4),
    aten.miopen_batch_norm.default: (3, 4),
}
"""Positions of arguments that an operation writes although its schema does not say so."""
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
_MOVES = ("aten::set_", "aten::resize_", "aten::resize_as_")
"""Operations after which a tensor has other memory."""
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
