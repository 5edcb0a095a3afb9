"""Disentanglement: how codes (N, d) relate to the factors (N, k) that made the items.

Every score takes any table of the two: partial grids, factors of unequal frequencies, dead
latents. ``floor`` tells what a score gives for codes that know nothing.
"""

from probgen.evaluation.disentanglement.chance import floor
from probgen.evaluation.disentanglement.information import mig, modularity
from probgen.evaluation.disentanglement.interventions import beta_vae, factor_vae
from probgen.evaluation.disentanglement.mixtures import mig_aggregate
from probgen.evaluation.disentanglement.probes import dci, explicitness, sap
from probgen.evaluation.disentanglement.unsupervised import (
    gaussian_total_correlation,
    gaussian_wasserstein_correlation,
    latent_information,
)

__all__ = [
    "beta_vae", "dci", "explicitness", "factor_vae", "floor", "gaussian_total_correlation",
    "gaussian_wasserstein_correlation", "latent_information", "mig", "mig_aggregate",
    "modularity", "sap",
]  # fmt: skip
