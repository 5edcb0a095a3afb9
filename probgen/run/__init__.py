"""What stands on disk of a run: its folder, checkpoints, history, pictures; and its progress."""

from probgen.run.environment import environment
from probgen.run.folder import Folder, RunError, load

__all__ = ["Folder", "RunError", "environment", "load"]
