"""The Python frames around a recorded operation: who asks, and whether it decides anything."""

import dis
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import takewhile
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

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
_LIBRARIES = ("pyro.", "probgen.")
_JUMPS = {*dis.hasjrel, *dis.hasjabs}


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


def _records(frame: FrameType) -> bool:
    return frame.f_code.co_name == "record" and _module(frame) == "probgen.lowering.recording"


def _where() -> str:
    """The line that is being run: the program's, or the library's where there is none."""
    run = takewhile(lambda frame: not _records(frame), _frames())
    frames = [frame for frame in run if not _is_of(frame, _MACHINERY)]
    written = [frame for frame in frames if not _module(frame).startswith(_LIBRARIES)]
    for frame in [*written, *frames][:1]:
        return f" ({Path(frame.f_code.co_filename).name}, line {frame.f_lineno})"
    return ""
