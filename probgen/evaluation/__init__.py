"""Evaluators: pure functions of a pair and data, or of arrays, that return scores."""

from probgen.evaluation import (
    classes,
    controllability,
    disentanglement,
    features,
    fid,
    images,
    inception_score,
    kid,
    latents,
    likelihood,
    memorization,
    prdc,
    sparsity,
    time_steps,
)
from probgen.evaluation.score import EvaluationError, ProtocolError, Score
from probgen.models import pairs

__all__ = ["EvaluationError", "ProtocolError", "Score", "classes", "controllability"]
__all__ += ["disentanglement"]
__all__ += ["features", "fid", "images", "inception_score", "kid", "latents", "likelihood"]
__all__ += ["memorization", "pairs", "prdc", "sparsity", "time_steps"]
