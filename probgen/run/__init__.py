"""What stands on disk of a run: its folder, checkpoints, history, pictures; and its progress."""

from probgen.run.environment import environment
from probgen.run.errors import (
    CheckpointError,
    GridError,
    HistoryError,
    NonFiniteError,
    RunError,
)
from probgen.run.folder import Folder, load

__all__ = ["CheckpointError", "Folder", "GridError", "HistoryError", "NonFiniteError", "RunError"]
__all__ += ["environment", "load"]
