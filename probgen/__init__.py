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

__all__ = ["ProbgenError", "ProbgenWarning", *sorted(_PLACES)]


class ProbgenError(Exception):
    """What is wrong with an input, a file or a run: expected, got, and what to do.

    Each error stands in the room that raises it, and is one of Python's own too::

        ProbgenError
        ├── data.DataError (ValueError)
        │   └── data.Mismatch (OSError)
        ├── nets.NetError (ValueError)
        ├── objectives.ObjectiveError (ValueError)
        │   └── objectives.ControlError
        ├── models.ModelError (ValueError)
        │   ├── models.LikelihoodError
        │   ├── models.PairError
        │   └── models.PriorError
        ├── run.RunError (ValueError)
        │   ├── run.CheckpointError
        │   ├── run.GridError
        │   ├── run.HistoryError
        │   ├── run.NonFiniteError
        │   └── training.TrainingError
        │       ├── training.ClassificationError
        │       └── training.CollapseError
        ├── lowering.LoweringError (ValueError)
        ├── evaluation.EvaluationError (ValueError)
        │   └── evaluation.ProtocolError
        ├── recipe.RecipeError (ValueError)
        ├── report.ReportError (ValueError)
        └── reasoning.GraphError (ValueError)
            ├── reasoning.UnknownNode (KeyError)
            ├── exact.ExactError
            │   ├── exact.ImpossibleEvidence
            │   └── exact.TooCostly
            └── program.ProgramError

    ``training.fit`` raises ``RunError`` for all that is wrong with the run itself.
    """


class ProbgenWarning(UserWarning):
    """What works, but not as asked or hoped: ``lowering.LoweringWarning`` and its kin."""


def __getattr__(name: str) -> ModuleType:
    if name not in _PLACES:
        raise AttributeError(f"module 'probgen' has no attribute {name!r}")
    return import_module(f"probgen.{_PLACES[name]}")
