"""The Python frames around a recorded operation: who asks, and whether it decides anything.

A value that Python asks for may decide what is computed next, and then no recording holds. It
decides nothing where the code that asks can only warn or raise an error by it. The first is known
by name, the second is read from the bytecode behind the branch.
"""

import dis
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import takewhile
from pathlib import Path
from types import CodeType, FrameType

import torch
from pyro.util import warn_if_inf, warn_if_nan

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
_MACHINERY = ("torch", "contextlib", "probgen.lowering", "pyro.ops.provenance")
"""Packages that stand between a program and its operations."""
_LIBRARIES = ("pyro.", "probgen.")
_RECORD = "probgen.lowering.recording", "record"
"""The function below which everything is the program's."""
_JUMPS = {*dis.hasjrel, *dis.hasjabs}
_LEAVES_WELL = ("RETURN", "YIELD")
_RAISES = ("RAISE_VARARGS", "RERAISE")


def frames() -> Iterator[FrameType]:
    """From the caller's outwards."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back


def module_of(frame: FrameType) -> str:
    """The name of the module whose code it runs."""
    return frame.f_globals.get("__name__", "")


def level_outside() -> int:
    """The ``stacklevel`` of a warning, for the line that called the library."""
    own = takewhile(lambda frame: f"{module_of(frame)}.".startswith("probgen."), frames())
    return len([*own])


def is_only_a_check() -> bool:
    """Whether what runs can but warn or raise an error."""
    return any(frame.f_code in _ONLY_COMPLAIN for frame in frames())


def decides_only_on_an_error() -> bool:
    """Whether the value asked for is that of an ``assert``, or of an ``if`` that only raises."""
    asking = (frame for frame in frames() if not _is_of(frame, _MACHINERY))
    frame = next(asking, None)
    return frame is not None and _only_raises(frame.f_code, frame.f_lasti)


def where() -> str:
    """The line that is being run: the program's, or the library's where there is none."""
    run = takewhile(lambda frame: not _records(frame), frames())
    asking = [frame for frame in run if not _is_of(frame, _MACHINERY)]
    written = [frame for frame in asking if not module_of(frame).startswith(_LIBRARIES)]
    for frame in [*written, *asking][:1]:
        return f" ({Path(frame.f_code.co_filename).name}, line {frame.f_lineno})"
    return ""


def _is_of(frame: FrameType, packages: Iterable[str]) -> bool:
    return any(f"{module_of(frame)}.".startswith(f"{package}.") for package in packages)


def _records(frame: FrameType) -> bool:
    return (module_of(frame), frame.f_code.co_name) == _RECORD


@cache
def _only_raises(code: CodeType, position: int) -> bool:
    """Whether one of the two branches at a position of the code can but end in an error."""
    listed = [*dis.get_instructions(code)]
    later = [i for i, one in enumerate(listed) if one.offset >= position][:2]
    branch = next((i for i in later if listed[i].opname.startswith("POP_JUMP")), None)
    return branch is not None and any(_fails(listed, after) for after in _after(listed, branch))


def _fails(listed: Sequence[dis.Instruction], start: int) -> bool:
    """Whether whatever follows an instruction ends in an error."""
    seen, waiting = set[int](), [start]
    while waiting:
        at = waiting.pop()
        if listed[at].opname.startswith(_LEAVES_WELL):
            return False
        if at not in seen and listed[at].opname not in _RAISES:
            waiting += _after(listed, at)
        seen.add(at)
    return True


def _after(listed: Sequence[dis.Instruction], at: int) -> list[int]:
    """The instructions that may be run next."""
    one = listed[at]
    if one.opcode not in _JUMPS:
        return [at + 1]
    target = [i for i, other in enumerate(listed) if other.offset == one.argval]
    certain = one.opname.startswith("JUMP") and "IF" not in one.opname
    return target if certain else [*target, at + 1]
