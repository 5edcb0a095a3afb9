"""One recorded call, replayed: its inputs put in, its results taken out.

A replay takes the arguments and the tensors that the recording is bound to, and gives the
results, then the gradients, then the values that the program checks by ``assert`` or ``raise``.
Where one of those is not what it was, the program would have raised an error: the replay is
undone.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import TreeSpec, tree_unflatten

from probgen.lowering import inductor
from probgen.lowering.call import TENSOR
from probgen.lowering.reasons import Reason
from probgen.lowering.recording import Recording
from probgen.lowering.trial import agree, generators, same_layout, set_generators, storages, trial
from probgen.lowering.watch import Watch


class Deviation(Exception):  # noqa: N818
    """A replay, undone, in which the program would have raised an error."""


class Result(NamedTuple):
    """How a flat list of tensors makes the program's result and gradients."""

    spec: TreeSpec
    others: tuple[Any, ...]
    parameters: list[Tensor]

    def rebuilt(self, tensors: Sequence[Tensor]) -> Any:
        """The result; gradients are set."""
        remaining = iter(tensors)
        leaves = [next(remaining) if other is TENSOR else other for other in self.others]
        for parameter, gradient in zip(self.parameters, remaining, strict=True):
            parameter.grad = gradient
        return tree_unflatten(leaves, self.spec)

    def same(self, other: "Result") -> bool:
        """Whether two calls gave results of one make."""
        ours, theirs = map(id, self.parameters), map(id, other.parameters)
        return self[:2] == other[:2] and list(ours) == list(theirs)


class Replay:
    """A recording that stands for its kind of call."""

    def __init__(
        self, recording: Recording, result: Result, watch: Watch, objects: Sequence[Any]
    ) -> None:
        self.recording, self.result, self.watch = recording, result, watch
        self.objects = objects  # kept alive, being told by identity
        self.module = recording.module()
        self.run: Callable[..., Sequence[Tensor]] = self.module.forward
        self.break_even = inductor.break_even(self.module, recording.externals)
        self.calls, self.deviations, self.compiled = 0, 0, False
        parameters = {id(p) for p in result.parameters}
        self.trained = [
            t for t in recording.externals if id(t) in parameters or isinstance(t, nn.Parameter)
        ]
        self.kinds = [*map(_kind, self.trained)]

    def __call__(self, tensors: Sequence[Tensor]) -> Any:
        """The program's result for these arguments; gradients are set.

        Raises:
            Deviation: the program would have raised an error; nothing has changed.
        """
        self.calls += 1
        inputs, checks = [*tensors, *self.recording.externals], len(self.recording.expected)
        with torch.no_grad():
            if not checks:
                return self.result.rebuilt(self.run(*inputs))
            before = generators(), [tensor.clone() for tensor in self.recording.written]
            outputs = [*self.run(*inputs)]
            if [bool(value) for value in outputs[-checks:]] != self.recording.expected:
                self._undo(*before)
                self.deviations += 1
                raise Deviation
            return self.result.rebuilt(outputs[:-checks])

    def _undo(self, states: tuple[Any, ...], written: Sequence[Tensor]) -> None:
        set_generators(states)
        for tensor, value in zip(self.recording.written, written, strict=True):
            tensor.copy_(value)

    def holds(self, tensors: Sequence[Tensor]) -> bool:
        """Whether all that was decided by a value would be decided so again."""
        inputs = [*tensors, *self.recording.externals] if self.recording.pinned else []
        pinned = self.recording.pinned.items()
        same = self.watch.holds() and [*map(_kind, self.trained)] == self.kinds
        return same and all(torch.equal(inputs[i], value) for i, value in pinned)

    def compile(self, tensors: Sequence[Tensor]) -> None:
        """Replace PyTorch's kernels by inductor's, if they give the same numbers."""
        inputs = [*tensors, *self.recording.externals]
        compiled = inductor.compiled(self.module, inputs)
        expected = trial(self.run, inputs, self.recording.written)
        found = trial(compiled, inputs, self.recording.written)
        if not agree(found, expected):
            raise inductor.CompileError(Reason.COMPILED_NUMBERS.say())
        gradients = self._gradients(found)
        if len(storages(gradients) - storages(inputs)) < len(gradients):
            raise inductor.CompileError(Reason.COMPILED_MEMORY.say())
        if not all(map(same_layout, found, expected)):
            raise inductor.CompileError(Reason.COMPILED_LAYOUT.say())
        self.run, self.compiled = compiled, True

    def _gradients(self, found: Sequence[Tensor]) -> Sequence[Tensor]:
        """Those of what a trial gives: results, gradients, checks, what was written."""
        end = len(found) - len(self.recording.written) - len(self.recording.expected)
        return found[end - len(self.result.parameters) : end]


def _kind(parameter: Tensor) -> tuple[Any, ...]:
    """What may change of a parameter in place beside its values: it is frozen, cast, laid out."""
    one, other = parameter._backward_hooks, parameter._post_accumulate_grad_hooks
    hooked: Any = one is not other and (tuple(one or ()), tuple(other or ()))
    return parameter.requires_grad, hooked, parameter.dtype, parameter.shape, parameter.stride()
