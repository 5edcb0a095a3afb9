"""The bridge: Pyro programs read as graphs, networks run as programs."""

from probgen.program.audit import Audit, audit
from probgen.program.reading import ProgramError, ProgramWarning, given, graph_of

__all__ = ["Audit", "ProgramError", "ProgramWarning", "audit", "given", "graph_of"]
