"""A program called step after step: recorded once per kind of arguments, then replayed.

The steps of a training are calls of one program, and what the program computes seldom depends on
the step. So it is run once as it is, recorded in the next call, and its recording stands for the
later ones: if two recordings with noise of their own are one program, if a replay gives the
numbers of the recorded call, and as long as nothing that Python reads has changed.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import pyro
import torch
from pyro.poutine.runtime import _PYRO_STACK
from torch import Tensor
from torch.utils._pytree import TreeSpec, tree_flatten

from probgen import ProbgenError, ProbgenWarning
from probgen.lowering import inductor
from probgen.lowering.call import TENSOR, Call, Kind
from probgen.lowering.frames import level_outside
from probgen.lowering.reasons import Reason, Unrecordable
from probgen.lowering.recording import Recording, record
from probgen.lowering.replay import Deviation, Replay, Result
from probgen.lowering.trial import (
    agree,
    generators,
    python_noise,
    set_generators,
    trial,
    undisturbed,
)
from probgen.lowering.watch import Watch

How = Literal["auto", "graph", "inductor", "eager"]
HOW = ("auto", "graph", "inductor", "eager")
ATTEMPTS = 3
"""Recordings of one call, until two in a row are one program."""
FRESH = 3
"""New kinds of calls in a row that are recorded when first met."""
KINDS = 16
"""Recordings that are kept."""
PAID = 10
"""Replays after which a recording has paid, and may make room for another."""
REMEMBERED = 10_000
"""Kinds of calls that are known again."""


class LoweringError(ProbgenError, ValueError):
    """A request that lowering cannot serve."""


class LoweringWarning(ProbgenWarning):
    """A program, or a part of it, that stays slower than asked, and why."""


class Lowered:
    """Calls of ``program`` by its recording: the tensor operations, and nothing around them.

    The first call runs as it is, so that whatever the program creates lazily exists. The second
    is recorded, tried and replayed; so is, when it comes, every other kind of call (shapes of the
    arguments, values that Python decides by). Where a replay would not be the same computation,
    ``program`` itself is called, and one ``LoweringWarning`` says why.

    Args:
        program: gives tensors (nested as it likes), and gradients, if any, in the ``.grad`` of
            the parameters, which is None before.
        parameters: what it differentiates by, as known after the first call.
        name: what a warning calls it.
        roots: functions and objects it is made of, watched for changes.
        how: "graph" replays with PyTorch's kernels, "inductor" compiles them first, "auto" once
            that pays, "eager" never records.
        steps: number of calls to come, if known.
    """

    def __init__(
        self,
        program: Callable[..., Any],
        parameters: Callable[[], list[Tensor]],
        *,
        name: str,
        roots: Sequence[Any],
        how: How = "auto",
        steps: int | None = None,
    ) -> None:
        if how not in HOW:
            raise LoweringError(f"expected lower one of {', '.join(HOW)}; got {how!r}")
        self.program, self.parameters, self.name, self.roots = program, parameters, name, roots
        self.how, self.steps = how, steps
        self.replays: dict[Any, list[Replay]] = {}
        self.met: set[Any] = set()
        self.moving: dict[TreeSpec, frozenset[int]] = {}
        self.glimpse: _Glimpse | None = None
        self.started, self.fresh, self.said = False, 0, False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """As ``program``."""
        if self.how == "eager" or not self.started or _PYRO_STACK:
            self.started = True
            return self.program(*args, **kwargs)
        call = Call.of(args, kwargs, self.moving)
        replay = self._known(call)
        if replay is None:
            call = self._with_moving_numbers(call, args, kwargs)
            replay = self._known(call) or self._new(call)
        if replay is None:
            return self.program(*args, **kwargs)
        if self.how == "auto" and self.steps is None and replay.calls == replay.break_even:
            self._compile(replay, call)
        try:
            return replay(call.tensors)
        except Deviation:
            if replay.deviations > FRESH and 2 * replay.deviations > replay.calls:
                self.stay_eager(Reason.CATCHES_ERRORS.say())
            return self.program(*args, **kwargs)

    def recorded(self, *args: Any, **kwargs: Any) -> tuple[Replay, list[Tensor]] | None:
        """What a call would replay, and with which tensors, if its kind was recorded before."""
        if self.how == "eager" or not self.started or _PYRO_STACK:
            return None
        call = Call.of(args, kwargs, self.moving)
        replay = self._known(call)
        return None if replay is None else (replay, call.tensors)

    def prepare(self, *args: Any, **kwargs: Any) -> None:
        """Record these arguments' kind now, without any effect."""
        self.started = True
        if self.how != "eager" and not _PYRO_STACK:
            self._new(Call.of(args, kwargs, {}))

    def forget(self) -> None:
        """Start anew: the next call runs as it is."""
        self.replays, self.met, self.moving, self.started = {}, set(), {}, False

    @property
    def used(self) -> str:
        """How calls run: "eager", "graph" or, if any, "inductor"."""
        if self.how == "eager" or not self.replays:
            return "eager"
        compiled = any(one.compiled for replays in self.replays.values() for one in replays)
        return "inductor" if compiled else "graph"

    def _known(self, call: Call) -> Replay | None:
        for replay in self.replays.get(call.kind, ()):
            if replay.holds(call.tensors):
                self.fresh = 0
                return replay
        return None

    def _new(self, call: Call) -> Replay | None:
        try:
            if not (self._worth_it(call) and self._makes_room()):
                return None
            replay = _recorded(self, call)
        except Unrecordable as refusal:
            self.stay_eager(str(refusal))
            return None
        except ProbgenError:  # what is wrong with an input: the eager run will raise it
            return None
        except Exception as error:
            name, message = type(error).__name__, _first_line(error)
            self.stay_eager(Reason.RECORDING_FAILED.say(error=name, message=message))
            return None
        if self.how == "inductor" or (self.how == "auto" and self._pays(replay)):
            self._compile(replay, call)
        self.replays.setdefault(call.kind, []).append(replay)
        return replay

    def _worth_it(self, call: Call) -> bool:
        """Whether there will be more calls like this one: the first few, and what comes again."""
        self.fresh += 1
        again = self._comes_again(call)
        changed = self.glimpse.watch.changed if self.glimpse else ""
        self._remember(call)
        if self.fresh > FRESH and not again:
            self._warn_once(Reason.CHANGES.say(changed=changed and f" ({changed})"))
        return again or self.fresh <= FRESH

    def _comes_again(self, call: Call) -> bool:
        """Whether its kind was met before and not recorded, or all is as in the last call."""
        met = call.kind in self.met and call.kind not in self.replays and not call.objects
        return met or (self.glimpse is not None and self.glimpse.holds(call))

    def _remember(self, call: Call) -> None:
        if len(self.met) >= REMEMBERED:
            self.met.clear()
        self.met.add(call.kind)
        watch = Watch(*self.roots, *call.objects)
        self.glimpse = _Glimpse.at(call, watch, self.replays.get(call.kind, ()))

    def _with_moving_numbers(self, call: Call, args: Any, kwargs: Any) -> Call:
        """The call with numbers as tensors that changed since the last call, if all is the same.

        A program that decides by them in Python, or counts otherwise with a tensor than with a
        number, keeps its numbers.
        """
        moved = call.moved_since(self.glimpse.kind) if self.glimpse else frozenset()
        known = self.moving.get(call.spec, moved)
        if not moved or not known:
            return call
        lifted = Call.of(args, kwargs, {call.spec: known | moved})
        alike = _counts_alike(self, call, lifted)
        self.moving[call.spec] = known | moved if alike else frozenset()
        return Call.of(args, kwargs, self.moving)

    def _makes_room(self) -> bool:
        """Whether there is a place for one more recording: the oldest's, if that has paid."""
        if sum(map(len, self.replays.values())) < KINDS:
            return True
        kind, replays = next(iter(self.replays.items()))
        if replays[0].calls < PAID:
            self._warn_once(Reason.TOO_MANY_KINDS.say(kinds=KINDS))
            return False
        del replays[0]
        if not replays:
            del self.replays[kind]
        return True

    def _warn_once(self, reason: str) -> None:
        if not self.said:
            self.said = True
            self.warn(reason)

    def _pays(self, replay: Replay) -> bool:
        """Whether most steps will be of this kind, the first, and enough of them."""
        return not self.replays and self.steps is not None and self.steps >= replay.break_even

    def _compile(self, replay: Replay, call: Call) -> None:
        try:
            replay.compile(call.tensors)
        except inductor.CompileError as error:
            self.warn(Reason.NO_COMPILER.say(error=error))

    def stay_eager(self, reason: str) -> None:
        """Record nothing from now on."""
        self.how = "eager"
        self.warn(f"it runs eagerly: {reason}")

    def warn(self, reason: str) -> None:
        """Say it once."""
        message = f"{self.name} is not lowered as asked: {reason} (see docs/lowering.md)"
        warnings.warn(message, LoweringWarning, stacklevel=level_outside())


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "")


class _Glimpse(NamedTuple):
    """A call that was not recorded: its kind, what surrounded it, values that Python looked at."""

    kind: Kind
    watch: Watch
    values: dict[int, Tensor]

    @classmethod
    def at(cls, call: Call, watch: Watch, replays: Sequence[Replay]) -> "_Glimpse":
        looked = {i for replay in replays for i in replay.recording.pinned}
        arguments = range(len(call.tensors))
        return cls(call.kind, watch, {i: call.tensors[i].clone() for i in looked & {*arguments}})

    def holds(self, call: Call) -> bool:
        """Whether another call is the same."""
        same = self.kind == call.kind and self.watch.holds()
        return same and all(torch.equal(call.tensors[i], v) for i, v in self.values.items())


def _recorded(lowered: Lowered, call: Call) -> Replay:
    """Record until two runs in a row, with noise of their own, are the same program."""
    call.check()
    with undisturbed(), pyro.validation_enabled(False):
        before, reason = _attempt(lowered, call), Reason.TWO_PROGRAMS
        for _ in range(ATTEMPTS - 1):
            found = _attempt(lowered, call)
            difference = _difference(before, found)
            if difference is None:
                return _tried(found, call)
            before, reason = found, difference
    raise Unrecordable(reason)


class _Attempt(NamedTuple):
    """One recording of a call, and what surrounded it."""

    recording: Recording
    result: Result
    watch: Watch
    generators: tuple[Any, ...]


def _attempt(lowered: Lowered, call: Call) -> _Attempt:
    states = generators()
    watch = Watch(*lowered.roots, *call.objects)
    watch.check_seen()
    try:
        recording, result = _record(lowered, call)
    finally:
        watch.restore()
    watch.check_used(recording.externals)
    if python_noise(generators()) != python_noise(states):
        raise Unrecordable(Reason.PYTHON_NOISE)
    return _Attempt(recording, result, watch, states)


def _tried(attempt: _Attempt, call: Call) -> Replay:
    """Its replay, which from the noise of the recorded call has to give what that gave."""
    recording, result, watch, states = attempt
    set_generators(states)
    replay = Replay(recording._replace(outputs=[], after=[]), result, watch, call.objects)
    inputs = [*call.tensors, *recording.externals]
    found = trial(replay.run, inputs, recording.written)
    if not agree(found, [*recording.outputs, *recording.after]):
        raise Unrecordable(Reason.OTHER_NUMBERS)
    return replay


def _counts_alike(lowered: Lowered, plain: Call, lifted: Call) -> bool:
    """Whether a program gives the same by tensors as by numbers, and looks at none of them."""
    found = []
    with undisturbed(), pyro.validation_enabled(False):
        states = generators()
        for call in (plain, lifted):
            watch = Watch(*lowered.roots, *call.objects)
            set_generators(states)
            try:
                found.append(_record(lowered, call))
            except Exception:  # which recording it, or the eager run, will show
                return False
            finally:
                watch.restore()
    (recording, result), (other, same) = found
    numbers = {i for i, t in enumerate(lifted.tensors) if all(t is not p for p in plain.tensors)}
    left, right = ([*one.outputs, *one.after] for one in (recording, other))
    alike = result.same(same) and len(left) == len(right) and agree(left, right)
    return alike and numbers.isdisjoint(other.pinned)


def _record(lowered: Lowered, call: Call) -> tuple[Recording, Result]:
    results: list[Result] = []
    before = [(parameter, parameter.grad) for parameter in lowered.parameters()]
    store: Any = pyro.get_param_store()
    stored = dict(store.named_parameters())

    def program(*tensors: Tensor) -> list[Tensor]:
        result, outputs = _called(lowered, call, tensors)
        results.append(result)
        return outputs

    try:
        recording = record(program, call.tensors, lowered.parameters())
        now = dict(store.named_parameters())
        if replaced := [name for name, value in stored.items() if now.get(name) is not value]:
            raise Unrecordable(Reason.REPLACES_PARAM, name=replaced[0])
        return recording, results[-1]
    finally:
        for name, value in stored.items():
            put_back(store, name, value)
        for parameter, gradient in [(p, None) for p in lowered.parameters()] + before:
            parameter.grad = gradient


def _called(
    lowered: Lowered, call: Call, tensors: Sequence[Tensor]
) -> tuple[Result, list[Tensor]]:
    """The program's results, then the gradients, as one list, and how to make them of it."""
    parameters = lowered.parameters()
    for parameter in parameters:
        parameter.grad = None
    args, kwargs = call.rebuilt(tensors)
    leaves, spec = tree_flatten(lowered.program(*args, **kwargs))
    moved = [parameter for parameter in parameters if parameter.grad is not None]
    others = tuple(TENSOR if isinstance(leaf, Tensor) else leaf for leaf in leaves)
    outputs = [leaf.detach() for leaf in leaves if isinstance(leaf, Tensor)]
    gradients = [parameter.grad for parameter in moved if parameter.grad is not None]
    return Result(spec, others, moved), outputs + gradients


def put_back(store: Any, name: str, value: Tensor) -> None:
    """Undo what a program did to a parameter in Pyro's store."""
    replacement = store._params.get(name)
    if replacement is not value:
        store._param_to_name.pop(replacement, None)
        store._params[name], store._param_to_name[value] = value, name


def _difference(one: _Attempt, other: _Attempt) -> Reason | None:
    """Why two recordings are not one program, if they are not."""
    a, b = one.recording, other.recording
    same = a.text == b.text and len(a.externals) == len(b.externals)
    if not (same and one.result.same(other.result)):
        return Reason.TWO_PROGRAMS
    for first, second in zip(a.externals, b.externals, strict=True):
        if first is not second and not torch.equal(first, second):
            return Reason.KEEPS_TENSOR
    return None
