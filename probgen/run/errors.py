"""What may be wrong with a run: before it starts, while it goes on, and on disk."""

from probgen import ProbgenError


class RunError(ProbgenError, ValueError):
    """A run that cannot start, go on or be read; says what to do."""


class CheckpointError(RunError):
    """A file of a run that cannot be written, or is not what it should be."""


class HistoryError(RunError):
    """A history that cannot be read or written as asked."""


class GridError(RunError):
    """Images that make no grid."""


class NonFiniteError(RunError):
    """A term or a weight became NaN or infinite; the run stopped and kept what was good.

    Attributes:
        step: the first step whose terms were not finite, where one is known.
    """

    def __init__(self, message: str, step: int | None = None) -> None:
        super().__init__(message)
        self.step = step
