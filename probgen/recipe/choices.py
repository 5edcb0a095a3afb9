"""The choices that words of a recipe have, and what each model is."""

from typing import Literal, TypeAlias, get_args

Model = Literal[
    "vae", "conditional", "vampprior", "vq", "sparse", "autoencoder", "diffusion", "gan"
]
Net = Literal["dense", "gated", "conv", "subpixel"]
Likelihood = Literal[
    "bernoulli",
    "continuous-bernoulli",
    "discretized-logistic",
    "gaussian",
    "gaussian-learned",
    "gaussian-optimal",
]
Prior = Literal["normal", "mixture", "flow"]
Schedule = Literal["cosine", "linear"]
Target = Literal["epsilon", "v", "x0"]
Objective = Literal[
    "elbo",
    "beta",
    "controlled",
    "geco",
    "capacity",
    "free-bits",
    "total-correlation",
    "iwae",
    "simple",
]
Per = Literal["dimension", "site"]
Loss = Literal["non-saturating", "wasserstein", "wasserstein-gp", "hinge", "self-supervised"]
Precision = Literal["float32", "tf32", "bfloat16"]

DATA = ("digits", "dsprites", "mnist", "fashion-mnist", "cifar10")
"""The data sets by name; a folder of images is data too."""
MODELS: tuple[Model, ...] = get_args(Model)
ABOUT: dict[Model, str] = {
    "vae": "Variational autoencoder: an encoder, a latent vector and a decoder.",
    "conditional": "VAE that is told each image's class, and makes images of the class asked for.",
    "vampprior": "VAE whose prior is a mixture of the posteriors of learned pseudo-inputs.",
    "vq": "VQ-VAE: a grid of codes from a learned codebook, with a transformer as their prior.",
    "sparse": "VAE whose codes are mostly zero: its encoder unrolls ten steps of ISTA.",
    "autoencoder": "Autoencoder, with a density of its codes fitted after training.",
    "diffusion": "Diffusion model: a network that removes noise step by step.",
    "gan": "GAN: a generator trained against a discriminator.",
}
"""What each model is, in a sentence."""

Owner: TypeAlias = dict[str, tuple[str, ...]]
"""Values of other words, all of which a word or a choice needs to have an effect."""


def of(*models: Model) -> Owner:
    """These models own it."""
    return {"model": models}


def but(*models: Model) -> Owner:
    """All models own it but these."""
    return {"model": tuple(model for model in MODELS if model not in models)}


EVERY = but()
CODERS = of("vae", "conditional", "vampprior", "autoencoder")
"""Models with an encoder and a decoder of a kind that ``net`` chooses."""
FACTORISED = of("vae", "conditional", "vampprior", "sparse")
"""Models whose posterior is a density over a vector."""
