"""Model/guide pairs, one file each; a file exists only where the distributions differ."""

from probgen.models.likelihood import Bernoulli, Gaussian, OptimalGaussian
from probgen.models.vae import VAE, ModelError

__all__ = ["VAE", "Bernoulli", "Gaussian", "ModelError", "OptimalGaussian"]
