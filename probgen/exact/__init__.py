"""Exact answers from networks with tables: every posterior is a derivative of log Z.

Where an exact answer takes too much memory, `likelihood_weighting` and `belief_propagation`
approximate it and say how well.
"""

from probgen.exact.differentiable import log_likelihood
from probgen.exact.explanations import Explanation
from probgen.exact.explanations import explanation as map
from probgen.exact.learning import Fit, counts, fit
from probgen.exact.loopy import LoopyBeliefs, NotConverged, belief_propagation
from probgen.exact.network import ExactError, ImpossibleEvidence, ImpossibleRows
from probgen.exact.plan import Cost, TooCostly
from probgen.exact.potentials import Sameness, marginalise, same_distribution
from probgen.exact.queries import (
    Joint,
    cost,
    log_partition,
    log_probability,
    marginals,
    probability,
    query,
)
from probgen.exact.rows import Rows
from probgen.exact.sampling import sample
from probgen.exact.sensitivity import Parameter, Sensitivity, sensitivity, value_of_information
from probgen.exact.weighting import WeightedSamples, likelihood_weighting

__all__ = [
    "Cost",
    "ExactError",
    "Explanation",
    "Fit",
    "ImpossibleEvidence",
    "ImpossibleRows",
    "Joint",
    "LoopyBeliefs",
    "NotConverged",
    "Parameter",
    "Rows",
    "Sameness",
    "Sensitivity",
    "TooCostly",
    "WeightedSamples",
    "belief_propagation",
    "cost",
    "counts",
    "fit",
    "likelihood_weighting",
    "log_likelihood",
    "log_partition",
    "log_probability",
    "map",
    "marginalise",
    "marginals",
    "probability",
    "query",
    "same_distribution",
    "sample",
    "sensitivity",
    "value_of_information",
]
