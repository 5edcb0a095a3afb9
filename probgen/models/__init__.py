"""Model/guide pairs, one file each, and the GAN, which is none."""

from probgen.models import noise, samplers
from probgen.models.autoencoder import Autoencoder
from probgen.models.base import ModelError
from probgen.models.conditional import ConditionalVAE
from probgen.models.diffusion import Diffusion
from probgen.models.gan import GAN
from probgen.models.likelihoods import (
    Bernoulli,
    ContinuousBernoulli,
    DiscretizedLogistic,
    Gaussian,
    OptimalGaussian,
)
from probgen.models.priors import FlowPrior, MixturePrior, PriorError, StandardNormal
from probgen.models.sparse import SparseVAE, UnrolledISTA
from probgen.models.vae import VAE
from probgen.models.vampprior import VampPriorVAE
from probgen.models.vq import VQVAE, CodePrior

__all__ = ["GAN", "VAE", "VQVAE", "Autoencoder", "Bernoulli", "CodePrior"]
__all__ += [
    "ConditionalVAE",
    "ContinuousBernoulli",
    "DiscretizedLogistic",
    "FlowPrior",
    "Gaussian",
]
__all__ += ["MixturePrior", "ModelError", "OptimalGaussian", "PriorError", "SparseVAE"]
__all__ += ["Diffusion", "noise", "samplers"]
__all__ += ["StandardNormal", "UnrolledISTA", "VampPriorVAE"]
