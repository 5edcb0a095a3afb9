"""Any Pyro program at compiled speed: steps recorded once as plain tensor programs.

``SVI`` is a drop-in for ``pyro.infer.SVI``; ``lower`` gives a whole update of a pair; both stand
on ``Lowered``, a program that is recorded where that is safe and called where it is not, and
``Captured``, which makes a CUDA graph of it and the optimiser.
"""

from probgen.lowering.captured import Captured
from probgen.lowering.lowered import HOW, How, Lowered, LoweringError, LoweringWarning
from probgen.lowering.step import Step, lower
from probgen.lowering.svi import SVI

__all__ = [
    "HOW",
    "SVI",
    "Captured",
    "How",
    "Lowered",
    "LoweringError",
    "LoweringWarning",
    "Step",
    "lower",
]
