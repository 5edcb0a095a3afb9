"""The bridge: Pyro programs read as graphs, networks run as programs."""

from probgen.program.audit import Audit, audit
from probgen.program.networks import NetworkModel, program_of
from probgen.program.reading import given, graph_of
from probgen.program.running import ProgramError, ProgramWarning

__all__ = ["Audit", "NetworkModel", "ProgramError", "ProgramWarning", "audit", "given"]
__all__ += ["graph_of", "program_of"]
