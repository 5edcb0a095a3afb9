"""A progress bar for long work, shown where somebody is looking."""

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

EVERY = 30.0


class Advance(Protocol):
    """Move a bar on."""

    def __call__(self, completed: float, values: Mapping[str, float] | None = None) -> None:
        """Set how much is ``completed`` and the ``values`` to show below."""


@contextmanager
def bar(description: str, total: float, show: bool | None = None) -> Iterator[Advance]:
    """A bar on standard error; ``show=None`` means lines, one in 30 s, off a terminal.

    >>> with bar("rendering", total=10, show=False) as advance:
    ...     advance(5, {"images/s": 1e4})
    """
    if show is None and not sys.stderr.isatty():
        yield _lines(description, total)
        return
    if show is False:
        yield lambda completed, values=None: None
        return
    from rich.console import Console, Group
    from rich.live import Live
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
    from rich.text import Text

    progress = Progress(
        "{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(compact=True)
    )
    task = progress.add_task(escape(description), total=total)
    below = Text()
    with Live(Group(progress, below), console=Console(stderr=True), refresh_per_second=4):

        def advance(completed: float, values: Mapping[str, float] | None = None) -> None:
            progress.update(task, completed=completed)
            below.plain = _text(values)

        yield advance


def _lines(description: str, total: float) -> Advance:
    """Logs, notebooks and pipes show no bar that moves."""
    said = time.monotonic()

    def advance(completed: float, values: Mapping[str, float] | None = None) -> None:
        nonlocal said
        if time.monotonic() - said >= EVERY:
            said = time.monotonic()
            line = f"{description}  {completed:,.0f} of {total:,.0f}  {_text(values)}"
            print(line.rstrip(), file=sys.stderr, flush=True)

    return advance


def _text(values: Mapping[str, float] | None) -> str:
    return "  ".join(f"{k} {v:,.4g}" for k, v in (values or {}).items())
