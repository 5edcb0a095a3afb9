"""A progress bar for long work, shown where somebody is looking."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol


class Advance(Protocol):
    """Move a bar on."""

    def __call__(self, completed: float, values: Mapping[str, float] | None = None) -> None:
        """Set how much is ``completed`` and the ``values`` to show below."""


@contextmanager
def bar(description: str, total: float, show: bool | None = None) -> Iterator[Advance]:
    """A bar on standard error; ``show=None`` means only on a terminal.

    >>> with bar("rendering", total=10, show=False) as advance:
    ...     advance(5, {"images/s": 1e4})
    """
    if not (sys.stderr.isatty() if show is None else show):
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
            below.plain = "  ".join(f"{k} {v:,.4g}" for k, v in (values or {}).items())

        yield advance
