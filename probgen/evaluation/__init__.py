"""Evaluators: pure functions of a pair and data, or of arrays, that return scores."""

from probgen.evaluation import likelihood, sparsity
from probgen.evaluation.score import EvaluationError, ProtocolError, Score

__all__ = ["EvaluationError", "ProtocolError", "Score", "likelihood", "sparsity"]
