"""Training: a pair with an objective, two players by turns, a classifier for features."""

from probgen.run.errors import NonFiniteError
from probgen.training.classification import ClassificationError, fit_classifier
from probgen.training.loop import Interrupted
from probgen.training.settings import TrainingError, place
from probgen.training.two_player import CollapseError, CollapseWarning, fit_adversarial
from probgen.training.variational import fit

__all__ = ["ClassificationError", "CollapseError", "CollapseWarning", "Interrupted"]
__all__ += ["NonFiniteError", "TrainingError", "fit", "fit_adversarial", "fit_classifier", "place"]
