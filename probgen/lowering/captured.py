"""Whole updates on CUDA as one launch: a recorded program and what follows it, captured.

A CUDA graph is a list of kernels with the memory that they use. It comes of running code once in
a mode in which nothing is executed, and launched as one. Nothing of Python is in it, so an update
can be captured only where Python decides nothing and waits for nothing.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from probgen.lowering.lowered import KINDS, Lowered
from probgen.lowering.reasons import Reason
from probgen.lowering.recording import Recording
from probgen.lowering.trial import agree, undisturbed

WARM_UP = 3
"""Calls on a side stream before a capture: libraries choose kernels and take their memory."""


_EXPECTED = (
    "Synchronization debug mode is a prototype",
    "This instance was constructed with capt",
)
"""PyTorch's warnings of what is done here on purpose."""


class Captured:
    """Updates that begin with ``lowered`` and end with ``finish``; on CUDA, graphs that hold both.

    Off CUDA, and until ``lowered`` has a recording, an update is those two calls. With one, three
    updates run on a side stream, where waits of the host are noticed; then the update is captured,
    which executes nothing, and from there replayed: arguments are copied into fixed buffers,
    PyTorch's generator draws new noise for every replay, and results go into a ring of fixed
    rows, so that nothing waits for the device. The first replay must do what the update does from
    the same state, or the capture is dropped. Before each replay the recording is compared with
    what it depends on, as everywhere in lowering, and so are the optimisers' settings and the
    memory of all that is used: others make another graph. An update that cannot be captured runs
    as it would, and one warning says why.

    Args:
        lowered: the program; its result goes to ``finish``.
        finish: steps the optimisers and gives a tensor of one shape, by tensor operations alone.
        optimizers: what ``finish`` steps, as known once ``lowered`` has a recording.
        keep: results that stay valid at a time.
        beside: what else ``finish`` decides by, hashable.
        moved: what else ``finish`` writes to.

    Source: PyTorch documentation, CUDA semantics, "CUDA Graphs": whole-network capture.
    """

    def __init__(
        self,
        lowered: Lowered,
        finish: Callable[[Any], Any],
        optimizers: Callable[[], Sequence[torch.optim.Optimizer]],
        keep: int,
        beside: Callable[[], Any] = lambda: None,
        moved: Callable[[], Sequence[Tensor]] = list,
    ) -> None:
        self.lowered, self.finish, self.optimizers, self.keep = lowered, finish, optimizers, keep
        self.beside, self.moved = beside, moved
        self.forget()
        self.refused = False

    @property
    def used(self) -> bool:
        """Whether any update was captured."""
        return bool(self.graphs)

    def forget(self) -> None:
        """Drop all captures."""
        self.calls: dict[Any, int] = {}
        self.graphs: dict[Any, _Graph] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """One update; its result is overwritten ``keep`` calls later."""
        device = self._device()
        found = None if device is None else self.lowered.recorded(*args, **kwargs)
        if device is None or found is None:
            return self._update(args, kwargs)
        replay, tensors = found
        optimizers = self.optimizers()
        recording = replay.recording
        used = [*recording.externals, *_states(optimizers), *self.moved()]
        key = replay, _settings(optimizers), _addresses(used, device), self.beside()
        if graph := self.graphs.get(key):
            return graph(tensors) if graph.tried else self._try(graph, key, args, kwargs, tensors)
        if reason := _needs_host(recording, tensors, device) or _counts_on_host(optimizers):
            self._refuse(reason)
            return self._update(args, kwargs)
        with aside(device) as waits:
            result = self._update(args, kwargs)
        self._count(key, tensors, result, waits)
        return result.clone() if isinstance(result, Tensor) else result

    def _device(self) -> torch.device | None:
        """Where updates are captured; None where they are not."""
        trained = () if self.refused else self.lowered.parameters()
        return trained[0].device if trained and supports(trained[0].device) else None

    def _update(self, args: Any, kwargs: Any) -> Any:
        return self.finish(self.lowered(*args, **kwargs))

    def _count(self, key: Any, tensors: Sequence[Tensor], result: Any, waits: list[str]) -> None:
        """Capture what has warmed up, unless it cannot be."""
        if len(self.calls) > KINDS:
            self.calls.clear()
        self.calls[key] = self.calls.get(key, 0) + 1
        if waits:
            self._refuse(Reason.HOST_WAITS.say())
        elif not isinstance(result, Tensor):
            self._refuse(Reason.RESULT_KIND.say(kind=type(result).__name__))
        elif self.calls[key] == WARM_UP:
            self._capture(key, tensors, result)

    def _capture(self, key: Any, tensors: Sequence[Tensor], example: Tensor) -> None:
        replay, *_ = key
        if len(self.graphs) >= KINDS:
            self.graphs.clear()

        def update(buffers: Sequence[Tensor]) -> Tensor:
            return self.finish(replay(buffers))

        try:
            with _capturable(self.optimizers()):
                self.graphs[key] = _Graph(update, tensors, example, self.keep)
        except RuntimeError as error:
            message, *_ = str(error).strip().splitlines()
            self._refuse(Reason.CAPTURE_FAILED.say(error=message))

    def _try(self, graph: "_Graph", key: Any, args: Any, kwargs: Any, tensors: Any) -> Any:
        """An update as it is, and by the first replay, which counts only if it does the same."""
        replay, *_ = key
        parameters, written = self.lowered.parameters(), replay.recording.written
        state = [*parameters, *written, *_states(self.optimizers()), *self.moved()]
        before = _values(state)
        with undisturbed():
            replayed = [graph(tensors).clone(), *_values(written)]
        moved, start = _values(parameters), before[: len(parameters)]
        _restore(state, before)
        result = self._update(args, kwargs)
        graph.tried = agree(replayed, [result, *written]) and _alike(start, moved, parameters)
        if not graph.tried:
            self.graphs.clear()
            self._refuse(Reason.CAPTURED_NUMBERS.say())
        return result.clone()

    def _refuse(self, reason: str) -> None:
        self.refused = True
        self.lowered.warn(f"its updates are not captured in a CUDA graph: {reason}")


class _Graph:
    """A captured update with its buffers."""

    def __init__(
        self,
        update: Callable[[Sequence[Tensor]], Tensor],
        arguments: Sequence[Tensor],
        example: Tensor,
        keep: int,
    ) -> None:
        self.buffers = [
            a.clone() if a.dim() else a.to(example.device, copy=True) for a in arguments
        ]
        self.rows = example.new_empty(keep, *example.shape)
        self.position = torch.zeros(1, dtype=torch.int64, device=example.device)
        self.next = 0
        self.tried = False

        def body() -> None:
            self.rows.index_copy_(0, self.position, update(self.buffers).unsqueeze(0))
            self.position.add_(1).remainder_(keep)

        self.replay = capture(body, example.device)

    def __call__(self, arguments: Sequence[Tensor]) -> Tensor:
        for buffer, argument in zip(self.buffers, arguments, strict=True):
            if argument.dim():
                buffer.copy_(argument)
            else:
                buffer.fill_(argument)  # from the host without a wait
        self.replay()
        row = self.rows[self.next]
        self.next = (self.next + 1) % len(self.rows)
        return row


def supports(device: torch.device) -> bool:
    """Whether updates on the device can be captured."""
    return device.type == "cuda"


def capture(body: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """What launches the work of ``body`` again; the capture itself executes none of it."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.device(device), torch.cuda.graph(graph, capture_error_mode="thread_local"):
        body()
    return graph.replay


@contextmanager
def aside(device: torch.device) -> Iterator[list[str]]:
    """On a stream beside the current one; lists the waits of the host for the device."""
    waits: list[str] = []
    with ExitStack() as stack:
        stack.enter_context(torch.cuda.device(device))
        current, stream = torch.cuda.current_stream(), torch.cuda.Stream()
        stream.wait_stream(current)
        stack.callback(current.wait_stream, stream)
        stack.callback(torch.cuda.set_sync_debug_mode, torch.cuda.get_sync_debug_mode())
        said = stack.enter_context(warnings.catch_warnings(record=True))
        warnings.simplefilter("always")
        stack.enter_context(torch.cuda.stream(stream))
        torch.cuda.set_sync_debug_mode("warn")
        yield waits
    for warning in said:
        message = str(warning.message)
        if "synchronizing CUDA operation" in message:
            waits.append(message)
        elif not message.startswith(_EXPECTED):
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )


def _needs_host(recording: Recording, arguments: Sequence[Tensor], device: torch.device) -> str:
    """What a capture would do once, and its replays not again."""
    here = device.type
    if recording.pinned:
        return Reason.HOST_DECIDES.say()
    if recording.expected:
        return Reason.HOST_CHECKS.say()
    if elsewhere := recording.noisy - {here}:
        return Reason.HOST_NOISE.say(there=elsewhere.pop(), here=here)
    kept = [tensor for tensor in recording.externals if tensor.dim()] + recording.written
    if there := _elsewhere(kept, device):
        return Reason.HOST_TENSOR.say(there=there, here=here)
    if there := _elsewhere([tensor for tensor in arguments if tensor.dim()], device):
        return Reason.HOST_ARGUMENT.say(there=there, here=here)
    return ""


def _elsewhere(tensors: Sequence[Tensor], device: torch.device) -> str:
    return next((t.device.type for t in tensors if t.device.type != device.type), "")


def _counts_on_host(optimizers: Sequence[torch.optim.Optimizer]) -> str:
    for optimizer in optimizers:
        groups = optimizer.param_groups
        ready = all(group.get("capturable") or group.get("fused") for group in groups)
        if not ready and type(optimizer) is not torch.optim.SGD:
            able = "fused" in groups[0] or "capturable" in groups[0]
            reason = Reason.HOST_COUNTS if able else Reason.HOST_COUNTS_ALWAYS
            return reason.say(optimizer=type(optimizer).__name__)
    return ""


def _settings(optimizers: Sequence[torch.optim.Optimizer]) -> tuple[Any, ...]:
    """The numbers that a capture holds fast: a learning rate, say."""
    groups = (group for optimizer in optimizers for group in optimizer.param_groups)
    values = tree_leaves([v for group in groups for k, v in group.items() if k != "params"])
    return tuple(_setting(value) if isinstance(value, Tensor) else value for value in values)


def _setting(value: Tensor) -> Any:
    """A number on the device is read there in every replay; one on the host was read once."""
    return repr(value) if value.device.type == "cpu" else id(value)


def _addresses(tensors: Sequence[Tensor], device: torch.device) -> tuple[Any, ...]:
    """The memory that a capture uses, and the values of numbers on the host."""
    return tuple(
        t.data_ptr() if t.dim() or t.device.type == device.type else t.item() for t in tensors
    )


def _states(optimizers: Sequence[torch.optim.Optimizer]) -> Iterator[Tensor]:
    for optimizer in optimizers:
        for values in optimizer.state.values():
            yield from (value for value in values.values() if isinstance(value, Tensor))


def _values(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [tensor.detach().clone() for tensor in tensors]


@torch.no_grad()
def _restore(tensors: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    for tensor, value in zip(tensors, values, strict=True):
        tensor.copy_(value)


def _alike(before: Sequence[Tensor], found: Sequence[Tensor], expected: Sequence[Tensor]) -> bool:
    """Whether most of the step is the same: Adam makes whole steps of rounding errors."""

    def squared(tensors: Sequence[Tensor]) -> float:
        pairs = zip(tensors, expected, strict=True)
        return sum(float((a - b).detach().abs().square().sum()) for a, b in pairs)

    return not squared(found) > squared(before) / 4


@contextmanager
def _capturable(optimizers: Sequence[torch.optim.Optimizer]) -> Iterator[None]:
    """Let fused optimisers, whose counts are on the device, be captured."""
    every = (group for optimizer in optimizers for group in optimizer.param_groups)
    groups = [group for group in every if group.get("capturable") is False]
    for group in groups:
        group["capturable"] = True
    try:
        yield
    finally:
        for group in groups:
            group["capturable"] = False
