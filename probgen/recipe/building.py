"""What the words of a recipe stand for: pairs and GANs, objectives, losses."""

from typing import Any, assert_never

import torch

from probgen import models, objectives
from probgen.nets import coders as nets
from probgen.nets import denoisers, players
from probgen.objectives import ELBO, adversarial, control
from probgen.recipe.owners import check_choices
from probgen.recipe.word import RecipeError
from probgen.recipe.words import Recipe

Shape = tuple[int, ...]
Coders = tuple[torch.nn.Module, torch.nn.Module]


def pair(recipe: Recipe, shape: Shape, classes: int = 0) -> Any:
    """Return the untrained pair, or GAN, of items of that shape, with so many classes.

    Raises:
        RecipeError: words that do not go together.
    """
    check_choices(recipe)
    match recipe.model:
        case "vae":
            prior = _prior(recipe)
            return models.VAE(*_coders(recipe, shape), likelihood(recipe), prior=prior)
        case "conditional":
            return _conditional(recipe, shape, classes)
        case "vampprior":
            start = torch.full((recipe.components, *shape), 0.5)
            coders = _coders(recipe, shape)
            return models.VampPriorVAE(*coders, likelihood(recipe), pseudo_inputs=start)
        case "vq":
            return _vq(recipe, shape)
        case "sparse":
            ista = models.UnrolledISTA(shape, recipe.latent, penalty=recipe.penalty)
            return models.SparseVAE(ista, likelihood(recipe))
        case "autoencoder":
            coders = _coders(recipe, shape, parts=1)
            return models.Autoencoder(*coders, likelihood(recipe), noise=recipe.noise)
        case "diffusion":
            return _diffusion(recipe, shape, classes)
        case "gan":
            return _gan(recipe, shape)
    assert_never(recipe.model)


def likelihood(recipe: Recipe) -> torch.nn.Module:
    """Return p(x | z) of a recipe."""
    match recipe.likelihood:
        case "bernoulli":
            return models.Bernoulli()
        case "continuous-bernoulli":
            return models.ContinuousBernoulli()
        case "discretized-logistic":
            return models.DiscretizedLogistic()
        case "gaussian":
            return models.Gaussian(recipe.sigma)
        case "gaussian-learned":
            return models.Gaussian(recipe.sigma, learned=True)
        case "gaussian-optimal":
            return models.OptimalGaussian()
    assert_never(recipe.likelihood)


def objective(recipe: Recipe) -> ELBO:
    """Return what a recipe maximises; the words that it needs are there."""
    words: Any = recipe  # none of those that are read here is None
    match recipe.objective:
        case "elbo":
            return objectives.ELBO()
        case "beta":
            return objectives.BetaELBO(_warmed(words.beta, words.warmup))
        case "controlled":
            target = _warmed(words.target_kl, words.warmup)
            limits = words.beta_min, words.beta_max
            return objectives.ControlledELBO(target, words.kp, words.ki, *limits, start=words.beta)
        case "geco":
            return objectives.GECO(words.tolerance, words.kp, words.ki)
        case "capacity":
            return objectives.CapacityELBO(words.gamma, _warmed(words.capacity, words.warmup))
        case "free-bits":
            return objectives.FreeBitsELBO(words.free_bits, words.per)
        case "total-correlation":
            return objectives.TotalCorrelationELBO(beta=words.beta)
        case "iwae":
            return objectives.ImportanceWeightedELBO(words.num_particles)
        case "simple":
            return objectives.SimpleELBO()
    assert_never(recipe.objective)


def loss(recipe: Recipe) -> adversarial.Loss:
    """Return what the players of a recipe's GAN minimise."""
    match recipe.loss:
        case "non-saturating":
            return adversarial.NonSaturating()
        case "wasserstein":
            return adversarial.Wasserstein()
        case "wasserstein-gp":
            return adversarial.GradientPenalty()
        case "hinge":
            return adversarial.Hinge()
        case "self-supervised":
            return adversarial.SelfSupervised()
    assert_never(recipe.loss)


def _warmed(end: float, warmup: int) -> Any:
    return control.Linear(0.0, end, warmup) if warmup else end


def _prior(recipe: Recipe, classes: int | None = None) -> Any:
    match recipe.prior:
        case "normal":
            return None
        case "mixture":
            return models.MixturePrior(recipe.latent, recipe.components, classes)
        case "flow":
            return models.FlowPrior(recipe.latent)
    assert_never(recipe.prior)


def _conditional(recipe: Recipe, shape: Shape, classes: int) -> models.ConditionalVAE:
    if classes < 1:
        raise RecipeError("a conditional model needs data with labels")
    prior = _prior(recipe, classes)
    coders = _coders(recipe, shape, classes)
    return models.ConditionalVAE(*coders, likelihood(recipe), classes=classes, prior=prior)


def _vq(recipe: Recipe, shape: Shape) -> models.VQVAE:
    encoder = nets.grid_encoder(shape, recipe.latent)
    sides = nets.dry_run(encoder, torch.zeros(1, *shape)).shape[-2:]
    prior = models.CodePrior(nets.code_transformer(recipe.codes, sides, layers=2), sides)
    decoder = nets.grid_decoder(recipe.latent, shape)
    known = likelihood(recipe)
    return models.VQVAE(encoder, decoder, known, codes=recipe.codes, code_prior=prior)


def _diffusion(recipe: Recipe, shape: Shape, classes: int) -> models.Diffusion:
    if recipe.by_class and not classes:
        raise RecipeError("--by-class needs data with labels")
    known = classes if recipe.by_class else None
    with torch.device("cpu"):  # its values are checked, also of a sketch without memory
        schedule = getattr(models.noise, recipe.schedule)(recipe.noise_steps)
    net: Any
    if recipe.net == "conv":
        channels, heights = _halved(shape, recipe.width, recipe.patch)
        net = denoisers.unet(
            shape,
            channels,
            blocks=recipe.blocks,
            attention=heights,
            classes=known,
            patch=recipe.patch,
        )
    else:
        net = denoisers.dense(shape, (recipe.hidden,) * 3, known)
    return models.Diffusion(net, schedule, predicts=recipe.predicts)


def _halved(shape: Shape, width: int, patch: int) -> tuple[list[int], list[int]]:
    """Widths of a U-Net that halves the sides twice, once where they allow no more.

    And the heights below the first, at which pixels attend.
    """
    twice = all(side % (4 * patch) == 0 for side in shape[1:])
    channels = [width, 2 * width, 2 * width] if twice else [width, 2 * width]
    return channels, [shape[1] // patch >> i for i in range(1, len(channels))]


def _gan(recipe: Recipe, shape: Shape) -> models.GAN:
    """Its discriminator is normalised as the loss's paper has it."""
    norms = {"non-saturating": "batch", "wasserstein": "batch", "wasserstein-gp": None,
             "hinge": "spectral", "self-supervised": "spectral"}  # fmt: skip
    norm, latent = norms[recipe.loss], recipe.latent
    if recipe.net == "dense":
        hidden = (recipe.hidden,) * 2
        critic = players.dense_discriminator(shape, hidden, norm == "spectral")
        return models.GAN(players.dense_generator(latent, shape, hidden, norm=True), critic)
    channels = (32, 64, 128) if min(shape[1:]) >= 32 else (32, 64)
    make = players.dcgan_generator if recipe.net == "conv" else players.subpixel_generator
    rotations = recipe.loss == "self-supervised"
    critic = players.conv_discriminator(shape, channels, norm, rotations)
    return models.GAN(make(latent, shape, channels), critic)


def _coders(recipe: Recipe, shape: Shape, classes: int = 0, parts: int = 2) -> Coders:
    """Encoder and decoder, with room for a label among so many classes."""
    seen = (shape[0] + bool(classes), *shape[1:])
    size = recipe.latent + classes
    if recipe.net == "conv":
        encoder = nets.conv_encoder(seen, recipe.latent, parts=parts, hidden=recipe.hidden)
        return encoder, nets.conv_decoder(size, shape, hidden=recipe.hidden)
    gated = recipe.net == "gated"
    widths = (recipe.hidden,) * (1 + gated)
    encoder = nets.dense_encoder(seen, recipe.latent, parts=parts, hidden=widths, gated=gated)
    return encoder, nets.dense_decoder(size, shape, hidden=widths, gated=gated)
