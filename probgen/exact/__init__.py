"""Exact answers from networks with tables: every posterior from one sweep and its derivative."""

from probgen.exact.network import ExactError, ImpossibleEvidence
from probgen.exact.plan import Cost, TooCostly
from probgen.exact.queries import Explanation, Joint, cost, log_partition, log_probability, marginals, probability, query
from probgen.exact.queries import explanation as map
from probgen.exact.rows import Rows
