"""One of every model/guide pair of the library."""

from functools import partial

import torch

from probgen import models, nets

SHAPE = (1, 8, 8)
BATCH = 6
dense = partial(nets.dense_encoder, SHAPE, 3, (12,))
back = partial(nets.dense_decoder, 3, SHAPE, (12,))


def vae(**parts):
    return models.VAE(dense(), back(), **parts)


def conditional(net="dense", **settings):
    if net == "conv":
        encoder, decoder = nets.conv_encoder((2, 8, 8), 3), nets.conv_decoder(13, SHAPE)
    else:
        encoder, decoder = nets.dense_encoder((2, 8, 8), 3), nets.dense_decoder(13, SHAPE)
    return models.ConditionalVAE(encoder, decoder, classes=10, **settings)


def vampprior(encoder=None, shape=(5, *SHAPE)):
    return models.VampPriorVAE(encoder or dense(), back(), pseudo_inputs=torch.rand(shape))


def vq(prior=False):
    encoder, decoder = nets.grid_encoder(SHAPE, 4, (8, 8)), nets.grid_decoder(4, SHAPE, (8, 8))
    code_prior = models.CodePrior(nets.code_transformer(7, (2, 2), 8, 1, 2), (2, 2))
    return models.VQVAE(encoder, decoder, codes=7, code_prior=code_prior if prior else None)


def sparse():
    return models.SparseVAE(models.UnrolledISTA(SHAPE, 20, steps=4), models.Gaussian(0.3))


def autoencoder(**settings):
    return models.Autoencoder(dense(parts=1), back(), components=2, **settings)


PAIRS = {
    "vae": vae,
    "vae mixture prior": lambda: vae(prior=models.MixturePrior(3, 4)),
    "vae flow prior": lambda: vae(prior=models.FlowPrior(3)),
    "vae continuous bernoulli": lambda: vae(likelihood=models.ContinuousBernoulli()),
    "vae discretized logistic": lambda: vae(likelihood=models.DiscretizedLogistic()),
    "vae optimal sigma": lambda: vae(likelihood=models.OptimalGaussian()),
    "conditional dense": conditional,
    "conditional conv": partial(conditional, "conv"),
    "conditional prior": lambda: conditional(prior=models.MixturePrior(3, 2, classes=10)),
    "vampprior": vampprior,
    "vq": vq,
    "vq with prior": partial(vq, prior=True),
    "sparse": sparse,
    "autoencoder": autoencoder,
    "autoencoder denoising": partial(autoencoder, noise=0.3),
    "autoencoder rae": partial(autoencoder, code_weight=0.1, decoder_weight=0.01),
}
SEES_THE_MODE = {"vae optimal sigma", "autoencoder denoising"}
NO_PRIOR = {"vq", *(name for name in PAIRS if name.startswith("autoencoder"))}
