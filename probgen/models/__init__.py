"""Model/guide pairs, one file each, and the GAN, which is none."""

from probgen.models import noise, pairs, samplers
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
    LikelihoodError,
    OptimalGaussian,
)
from probgen.models.pairs import PairError
from probgen.models.priors import FlowPrior, MixturePrior, PriorError, StandardNormal
from probgen.models.sparse import SparseVAE, UnrolledISTA
from probgen.models.vae import VAE
from probgen.models.vampprior import VampPriorVAE
from probgen.models.vq import VQVAE, CodePrior
from probgen.nets.interfaces import Codec, Generative, Pair

__all__ = ["GAN", "VAE", "VQVAE", "Autoencoder", "Bernoulli", "Codec", "CodePrior"]
__all__ += ["ConditionalVAE", "ContinuousBernoulli", "Diffusion", "DiscretizedLogistic"]
__all__ += ["FlowPrior", "Gaussian", "Generative", "LikelihoodError", "MixturePrior", "ModelError"]
__all__ += ["OptimalGaussian", "Pair", "PairError", "PriorError", "SparseVAE", "StandardNormal"]
__all__ += ["UnrolledISTA", "VampPriorVAE", "noise", "pairs", "samplers"]
