"""data -> nets, models -> objectives -> training -> evaluation -> report; graphs beside them."""

from importlib import import_module
from types import ModuleType

__version__ = "0.1.0"
__all__ = ["checkpoint", "control", "data", "denoisers", "dsep", "evaluation", "exact", "graph"]
__all__ += ["history", "lowering", "markov", "models", "nets", "objectives", "players", "program"]
__all__ += ["recipe", "report", "run", "scoring", "study", "training"]


def __getattr__(name: str) -> ModuleType:
    if name not in __all__:
        raise AttributeError(f"module 'probgen' has no attribute {name!r}")
    return import_module(f"probgen.{name}")
