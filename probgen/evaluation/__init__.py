"""Evaluators: pure functions of a pair and data, or of arrays."""

from probgen.evaluation import likelihood

__all__ = ["likelihood"]
