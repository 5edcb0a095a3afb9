"""The tensor program behind Python code: every operation it runs, written down as an fx graph.

Operations are seen where the dispatcher hands them to kernels, below autograd, so that a recorded
step holds its backward pass and nothing of what called it. Tensors are told apart by identity: an
argument, or an *external* one (parameter, buffer, data, constant), which the program goes on
using in place. Nothing is baked in but Python numbers.

Each value has an *origin*: the inputs that decide it. Python may look at a value whose origin is
inputs alone, which are then *pinned*: the recording holds for calls in which they are the same.
"""

from collections.abc import Callable, Iterable, Sequence
from operator import getitem
from typing import Any, NamedTuple, NoReturn, TypeAlias

import torch
from torch import Tensor, fx
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from probgen.lowering.frames import decides_only_on_an_error, is_only_a_check, where
from probgen.lowering.operations import SAME_AS, Traits, aten, leaves, looked_at
from probgen.lowering.python_reads import PythonReads
from probgen.lowering.reasons import Reason, Unrecordable

WRITES = "bytes"
"""Where a node says how much an operation writes that can be fused with others."""
_NEVER_TAKEN = {
    torch.Generator: Reason.OWN_GENERATOR,
    torch.UntypedStorage: Reason.OTHER_STORAGE,
}
"""Kinds of arguments with which an operation cannot be replayed, and why."""


class Recording(NamedTuple):
    """A recorded call.

    Attributes:
        graph: takes the arguments, then the externals; gives the outputs, all flat.
        externals: tensors it uses that are no arguments, by identity.
        written: those of them that it writes to.
        pinned: inputs whose values Python looked at, {position: value}.
        noisy: types of the devices that its noise comes from.
        outputs: what the recorded call gave, and then the values that it checked.
        expected: whether those were true; otherwise they would have raised an error.
        after: what it left in ``written``.
    """

    graph: fx.Graph
    externals: list[Tensor]
    written: list[Tensor]
    pinned: dict[int, Tensor]
    noisy: set[str]
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
        with recorder, PythonReads(recorder):
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
    """Writes down what is dispatched.

    Attributes:
        nodes: of the tensors so far.
        inputs: arguments, then whatever else was met that no operation made.
        varying: memory whose values change between calls.
        origins: of what lies in each memory.
        held: memory that was there before.
        before: its values, where they were written over.
        pinned: inputs whose values Python looked at.
        unfilled: new memory without values, by its storage.
        checks: values that a replay has to give again.
        noisy: types of the devices that noise came from.
        refusal: why it cannot be recorded, if so.
    """

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
        self.noisy: set[str] = set()
        self.refusal: Unrecordable | None = None
        self.start = self.graph.placeholder("start")
        for argument in arguments:
            self._add_input(argument)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        tensors = _tensors(args, kwargs)
        if values := looked_at(func, args, tensors):
            if is_only_a_check():
                return func(*args, **kwargs)
            if func is aten._local_scalar_dense.default and decides_only_on_an_error():
                return self._checked(args[0])
            self.look_at(values)
            if not Traits.of(func).gives_tensors:
                return func(*args, **kwargs)
        return self._write_down(SAME_AS.get(func, func), args, kwargs, tensors)

    def _write_down(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], tensors: Sequence[Tensor]
    ) -> Any:
        """Run an operation, and add it to the graph."""
        traits = Traits.of(func)
        if traits.moves and self._is_held(args[0]):
            self.refuse(Reason.OTHER_MEMORY, where=where())
        self._check_kinds(args, kwargs)
        written = traits.written(args, kwargs)
        if self.unfilled:
            self._fill(func, tensors, written if traits.fills else [])
        nodes = self._nodes(args), {name: self._nodes(value) for name, value in kwargs.items()}
        self._save_before_writing(written)
        result = func(*args, **kwargs)
        node = self.graph.call_function(func, *nodes)
        self._note_traits(traits, result, node)
        origin = None if traits.draws else _joined(self.origins[_storage(t)] for t in tensors)
        self._note(result, node, origin, {_storage(tensor) for tensor in tensors})
        return result

    def look_at(self, tensors: Sequence[Tensor]) -> None:
        """Python asks for values: granted, and remembered, where inputs alone decide them."""
        for tensor in tensors:
            self._node(tensor)
            origin = self.origins[_storage(tensor)]
            if origin is None:
                self.refuse(Reason.ASKS_HOST, where=where())
            self.pinned |= {i: self.inputs[i].detach() for i in origin}

    def refuse(self, reason: Reason, **fields: object) -> NoReturn:
        """Give up, also where the program catches the error."""
        self.refusal = Unrecordable(reason, **fields)
        raise self.refusal

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
        self._check_written()
        used = self._drop_unused()
        written = [self.inputs[i] for i in used if self._is_written(self.inputs[i])]
        return Recording(
            graph=self.graph,
            externals=[self.inputs[i] for i in used if i >= self.arguments],
            written=written,
            pinned={used.index(i): tensor.clone() for i, tensor in self.pinned.items()},
            noisy=self.noisy,
            outputs=outputs + [tensor for _, tensor, _ in self.checks],
            expected=[value for *_, value in self.checks],
            after=[tensor.detach().clone() for tensor in written],
        )

    def _check_written(self) -> None:
        """Refuse writes to what has to stay the same, or is the caller's."""
        if any(map(self._is_written, self.pinned.values())):
            self.refuse(Reason.ASKS_HOST_FOR_WRITTEN)
        if any(map(self._is_written, self.inputs[: self.arguments])):
            self.refuse(Reason.ARGUMENT_WRITTEN)

    def _is_written(self, tensor: Tensor) -> bool:
        return _storage(tensor) in self.before

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
            self.refuse(Reason.COMPUTED_BEFORE, where=where())
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
            self.refuse(Reason.LAYOUT, layout=tensor.layout, where=where())

    def _nodes(self, value: Any) -> Any:
        """An argument with nodes for tensors."""
        if isinstance(value, Tensor):
            return self._node(value)
        if isinstance(value, list | tuple):
            return type(value)(map(self._nodes, value))
        return value

    def _check_kinds(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        for leaf in leaves([*args, *kwargs.values()]):
            for kind, reason in _NEVER_TAKEN.items():
                if isinstance(leaf, kind):
                    self.refuse(reason, where=where())

    def _note_traits(self, traits: Traits, result: Any, node: fx.Node) -> None:
        """What the recording says of an operation beside its place in the graph."""
        if traits.draws:
            self.noisy.add(next(leaves([result])).device.type)
        if traits.fuses and isinstance(result, Tensor):
            node.meta[WRITES] = result.nbytes
        if traits.unfilled:
            self.unfilled[_storage(result)] = (result, node)

    def _note(self, result: Any, node: fx.Node, origin: "_Origin", seen: set[int]) -> None:
        if isinstance(result, list | tuple):
            for number, part in enumerate(result):
                self._note(part, self.graph.call_function(getitem, (node, number)), origin, seen)
        elif isinstance(result, Tensor):
            self._check_layout(result)
            key = _storage(result)
            self.origins[key] = _joined([origin, self.origins[key]]) if key in seen else origin
            self.nodes.setdefault(result, node)

    def _save_before_writing(self, written: Iterable[Tensor]) -> None:
        for tensor in written:
            key, storage = _storage(tensor), tensor.untyped_storage()
            if key in self.held and key not in self.before:
                self.before[key] = (storage, storage.clone())

    def _fill(self, func: Any, tensors: Iterable[Tensor], filled: Iterable[Tensor]) -> None:
        """Take as a constant what C++ put, unseen, into new memory that is read before a write."""
        overwritten = {_storage(tensor) for tensor in filled}
        for key in {_storage(tensor) for tensor in tensors} & self.unfilled.keys():
            if key in overwritten:
                del self.unfilled[key]
            elif not func.is_view:
                self._take_as_constant(*self.unfilled.pop(key))

    def _take_as_constant(self, tensor: Tensor, node: fx.Node) -> None:
        constant = self._add_input(tensor.clone())
        with self.graph.inserting_after(node):
            copy = self.graph.call_function(aten.clone.default, (constant,))
        node.replace_all_uses_with(copy)
        self.nodes[tensor] = copy


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


def _tensors(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    return [leaf for leaf in leaves([*args, *kwargs.values()]) if isinstance(leaf, Tensor)]


def _skip_detach(graph: fx.Graph) -> None:
    for node in graph.nodes:
        if node.target is aten.detach.default:
            node.replace_all_uses_with(node.args[0])


def _matters(node: fx.Node) -> bool:
    """Whether a node does something beside its output: writing, drawing, checking."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return node.op in ("placeholder", "output")
    return Traits.of(node.target).matters
