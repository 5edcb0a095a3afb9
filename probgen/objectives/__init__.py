"""Pyro ELBOs over one decomposition, ``terms``: a loss is a few words about its terms.

Each objective is a ``torch.nn.Module`` (its state in ``state_dict``) and a Pyro ``ELBO``, so it
goes into ``pyro.infer.SVI(model, guide, optim, loss=BetaELBO(4.0))`` as into ``training.fit``.
``adversarial`` has the losses of two players, which are none of this.
"""

from probgen.nets.interfaces import Codec, Decodes, Encodes, Generative, Pair
from probgen.objectives import adversarial
from probgen.objectives.beta import BetaELBO
from probgen.objectives.capacity import CapacityELBO, FreeBitsELBO
from probgen.objectives.control import ControlError
from probgen.objectives.controlled import GECO, ControlledELBO
from probgen.objectives.decomposition import ObjectiveError, Terms
from probgen.objectives.elbo import ELBO, terms
from probgen.objectives.importance_weighted import ImportanceWeightedELBO
from probgen.objectives.simple import SimpleELBO
from probgen.objectives.total_correlation import TotalCorrelationELBO

__all__ = [
    "ELBO", "GECO", "BetaELBO", "CapacityELBO", "Codec", "ControlError", "ControlledELBO",
    "Decodes", "Encodes", "FreeBitsELBO", "Generative", "ImportanceWeightedELBO",
    "ObjectiveError", "Pair", "SimpleELBO", "Terms", "TotalCorrelationELBO", "adversarial",
    "terms",
]  # fmt: skip
