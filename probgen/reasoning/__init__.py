"""What graph, dsep and markov are made of."""

from probgen.reasoning.loading import GraphLike
from probgen.reasoning.names import GraphError, UnknownNode

__all__ = ["GraphError", "GraphLike", "UnknownNode"]
