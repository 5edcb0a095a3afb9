"""data -> nets, models -> objectives -> training -> evaluation -> report; graphs beside them."""

from importlib import import_module
from types import ModuleType

__version__ = "0.1.0"
__all__ = ["checkpoint", "control", "data", "dsep", "evaluation", "exact", "graph", "history"]
__all__ += ["lowering", "markov", "models", "nets", "objectives", "players", "program", "recipe"]
__all__ += ["report", "run", "study", "training"]


def __getattr__(name: str) -> ModuleType:
    if name not in __all__:
        raise AttributeError(f"module 'probgen' has no attribute {name!r}")
    return import_module(f"probgen.{name}")
