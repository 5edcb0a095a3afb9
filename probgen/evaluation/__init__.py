"""Evaluators: pure functions of a pair and data, or of arrays, that return scores."""

from probgen.evaluation import (
    features,
    fid,
    inception_score,
    kid,
    likelihood,
    memorization,
    prdc,
)
from probgen.evaluation.score import EvaluationError, ProtocolError, Score

__all__ = ["EvaluationError", "ProtocolError", "Score", "features", "fid", "inception_score"]
__all__ += ["kid", "likelihood", "memorization", "prdc"]
