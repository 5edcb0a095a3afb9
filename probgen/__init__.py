"""data -> nets, models -> objectives -> training -> evaluation -> report; reasoning beside it."""

from importlib import import_module
from types import ModuleType

__version__ = "0.1.0"

_PLACES = {
    "data": "data",
    "evaluation": "evaluation",
    "exact": "exact",
    "lowering": "lowering",
    "models": "models",
    "nets": "nets",
    "objectives": "objectives",
    "program": "program",
    "reasoning": "reasoning",
    "recipe": "recipe",
    "report": "report",
    "run": "run",
    "training": "training",
    "checkpoint": "run.checkpoint",
    "control": "objectives.control",
    "denoisers": "nets.denoisers",
    "dsep": "reasoning.dsep",
    "graph": "reasoning.graph",
    "history": "run.history",
    "markov": "reasoning.markov",
    "players": "nets.players",
    "scoring": "evaluation.scoring",
    "study": "report.study",
}
"""Where a public name lives: ``from probgen import dsep`` is ``probgen.reasoning.dsep``."""

__all__ = ["ProbgenError", *sorted(_PLACES)]


class ProbgenError(Exception):
    """What is wrong with an input, a file or a run: expected, got, and what to do."""


def __getattr__(name: str) -> ModuleType:
    if name not in _PLACES:
        raise AttributeError(f"module 'probgen' has no attribute {name!r}")
    return import_module(f"probgen.{_PLACES[name]}")
