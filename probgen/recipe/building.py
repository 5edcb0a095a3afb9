"""What the words of a recipe stand for: pairs and GANs, objectives, losses."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from probgen import models, objectives
from probgen.nets import coders as nets
from probgen.nets import denoisers, players
from probgen.objectives import ELBO, adversarial, control
from probgen.recipe.words import OWNERS, Recipe, RecipeError

Shape = tuple[int, ...]


def built(recipe: Recipe, shape: Shape) -> Any:
    """The untrained pair, or GAN, of items of that shape.

    Raises:
        RecipeError: unknown words, or words that do not go together.
    """
    known: Mapping[str, Mapping[str, Any]]
    known = {"net": NETS, "likelihood": LIKELIHOODS, "prior": PRIORS, "model": MODELS}
    for option, table in known.items():
        if recipe[option] not in table:
            raise RecipeError(f"expected {option} {', '.join(table)}; got {recipe[option]!r}")
    if (recipe["net"] == "subpixel") > (recipe["model"] == "gan"):
        raise RecipeError("--net subpixel goes with gan")
    if recipe["prior"] != "normal" and recipe["model"] not in OWNERS["prior"]:
        raise RecipeError(f"--prior goes with vae and conditional; {recipe['model']} has its own")
    prior, likelihood = PRIORS[recipe["prior"]](recipe), LIKELIHOODS[recipe["likelihood"]](recipe)
    return MODELS[recipe["model"]](recipe, shape, likelihood, prior)


def _vae(recipe: Recipe, shape: Shape, likelihood: Any, prior: Any) -> Any:
    return models.VAE(*_coders(recipe, shape), likelihood, prior=prior)


def _conditional(recipe: Recipe, shape: Shape, likelihood: Any, prior: Any) -> Any:
    classes = recipe.get("classes")
    if not isinstance(classes, int) or classes < 1:
        raise RecipeError("a conditional model needs data with labels")
    coders = _coders(recipe, shape, classes)
    return models.ConditionalVAE(*coders, likelihood, classes=classes, prior=prior)


def _vampprior(recipe: Recipe, shape: Shape, likelihood: Any, prior: Any) -> Any:
    start = torch.full((recipe["components"], *shape), 0.5)
    return models.VampPriorVAE(*_coders(recipe, shape), likelihood, pseudo_inputs=start)


def _vq(recipe: Recipe, shape: Shape, likelihood: Any, prior: Any) -> Any:
    encoder = nets.grid_encoder(shape, recipe["latent"])
    sides = nets.dry_run(encoder, torch.zeros(1, *shape)).shape[-2:]
    code_prior = models.CodePrior(nets.code_transformer(recipe["codes"], sides, layers=2), sides)
    decoder = nets.grid_decoder(recipe["latent"], shape)
    return models.VQVAE(encoder, decoder, likelihood, codes=recipe["codes"], code_prior=code_prior)


def _sparse(recipe: Recipe, shape: Shape, likelihood: Any, prior: Any) -> Any:
    ista = models.UnrolledISTA(shape, recipe["latent"], penalty=recipe["penalty"])
    return models.SparseVAE(ista, likelihood)


def _autoencoder(recipe: Recipe, shape: Shape, likelihood: Any, prior: Any) -> Any:
    return models.Autoencoder(*_coders(recipe, shape, parts=1), likelihood, noise=recipe["noise"])


def _diffusion(recipe: Recipe, shape: Shape, likelihood: Any, prior: Any) -> Any:
    schedules: dict[str, Any] = {"cosine": models.noise.cosine, "linear": models.noise.linear}
    if recipe["schedule"] not in schedules:
        known = ", ".join(schedules)
        raise RecipeError(f"expected schedule {known}; got {recipe['schedule']!r}")
    if recipe["net"] not in ("dense", "conv"):
        raise RecipeError(f"expected --net dense, conv for diffusion; got {recipe['net']}")
    classes = recipe.get("classes") if recipe["by_class"] else None
    if recipe["by_class"] and not classes:
        raise RecipeError("--by-class needs data with labels")
    with torch.device("cpu"):  # its values are checked, also of a sketch without memory
        schedule = schedules[recipe["schedule"]](recipe["noise_steps"])
    net: Any
    if recipe["net"] == "conv":
        channels, heights = _halved(shape, recipe["width"], recipe["patch"])
        net = denoisers.unet(
            shape, channels, blocks=recipe["blocks"], attention=heights, classes=classes,
            patch=recipe["patch"],
        )  # fmt: skip
    else:
        net = denoisers.dense(shape, (recipe["hidden"],) * 3, classes)
    return models.Diffusion(net, schedule, predicts=recipe["predicts"])


def _halved(shape: Shape, width: int, patch: int) -> tuple[list[int], list[int]]:
    """Widths of a U-Net that halves the sides twice, once where they allow no more.

    And the heights below the first, at which pixels attend.
    """
    twice = all(side % (4 * patch) == 0 for side in shape[1:])
    channels = [width, 2 * width, 2 * width] if twice else [width, 2 * width]
    return channels, [shape[1] // patch >> i for i in range(1, len(channels))]


def _gan(recipe: Recipe, shape: Shape, likelihood: Any, prior: Any) -> Any:
    """Its discriminator is normalised as the loss's paper has it."""
    net, loss, latent = recipe["net"], recipe["loss"], recipe["latent"]
    norms = {"non-saturating": "batch", "wasserstein": "batch", "wasserstein-gp": None,
             "hinge": "spectral", "self-supervised": "spectral"}  # fmt: skip
    if loss not in norms:
        raise RecipeError(f"expected loss {', '.join(norms)}; got {loss!r}")
    known = ("conv", "subpixel") if loss == "self-supervised" else ("dense", "conv", "subpixel")
    if net not in known:
        raise RecipeError(f"expected --net {', '.join(known)} for gan --loss {loss}; got {net}")
    if net == "dense":
        hidden, spectral = (recipe["hidden"],) * 2, norms[loss] == "spectral"
        critic = players.dense_discriminator(shape, hidden, spectral)
        return models.GAN(players.dense_generator(latent, shape, hidden, norm=True), critic)
    channels = (32, 64, 128) if min(shape[1:]) >= 32 else (32, 64)
    make = players.dcgan_generator if net == "conv" else players.subpixel_generator
    critic = players.conv_discriminator(shape, channels, norms[loss], loss == "self-supervised")
    return models.GAN(make(latent, shape, channels), critic)


def _coders(recipe: Recipe, shape: Shape, classes: int = 0, parts: int = 2) -> tuple[Any, Any]:
    """Encoder and decoder, with room for a label among so many classes."""
    seen, latent = (shape[0] + bool(classes), *shape[1:]), recipe["latent"]
    kind, hidden = NETS[recipe["net"]], recipe["hidden"]
    settings: dict[str, Any] = {"hidden": hidden}
    if kind == "dense":
        gated = recipe["net"] == "gated"
        settings = {"hidden": (hidden,) * (1 + gated), "gated": gated}
    encoder = getattr(nets, f"{kind}_encoder")(seen, latent, parts=parts, **settings)
    return encoder, getattr(nets, f"{kind}_decoder")(latent + classes, shape, **settings)


NETS = {"dense": "dense", "gated": "dense", "conv": "conv", "subpixel": "conv"}
MODELS: dict[str, Any] = {
    "vae": _vae,
    "conditional": _conditional,
    "vampprior": _vampprior,
    "vq": _vq,
    "sparse": _sparse,
    "autoencoder": _autoencoder,
    "diffusion": _diffusion,
    "gan": _gan,
}
LIKELIHOODS: dict[str, Callable[[Recipe], Any]] = {
    "bernoulli": lambda _: models.Bernoulli(),
    "continuous-bernoulli": lambda _: models.ContinuousBernoulli(),
    "discretized-logistic": lambda _: models.DiscretizedLogistic(),
    "gaussian": lambda recipe: models.Gaussian(recipe["sigma"]),
    "gaussian-learned": lambda recipe: models.Gaussian(recipe["sigma"], learned=True),
    "gaussian-optimal": lambda _: models.OptimalGaussian(),
}
PRIORS: dict[str, Callable[[Recipe], Any]] = {
    "normal": lambda _: None,
    "mixture": lambda recipe: models.MixturePrior(
        recipe["latent"],
        recipe["components"],
        recipe.get("classes") if recipe["model"] == "conditional" else None,
    ),
    "flow": lambda recipe: models.FlowPrior(recipe["latent"]),
}


def _warmed(end: float, warmup: int) -> Any:
    return control.Linear(0.0, end, warmup) if warmup else end


OBJECTIVES: dict[str, Callable[..., ELBO]] = {
    "elbo": lambda: objectives.ELBO(),
    "beta": lambda beta, warmup: objectives.BetaELBO(_warmed(beta, warmup)),
    "controlled": lambda target_kl, warmup, beta, kp, ki, beta_min, beta_max: (
        objectives.ControlledELBO(
            _warmed(target_kl, warmup), kp, ki, beta_min, beta_max, start=beta
        )
    ),
    "geco": lambda tolerance, kp, ki: objectives.GECO(tolerance, kp, ki),
    "capacity": lambda gamma, capacity, warmup: objectives.CapacityELBO(
        gamma, _warmed(capacity, warmup)
    ),
    "free-bits": lambda free_bits, per: objectives.FreeBitsELBO(free_bits, per),
    "total-correlation": lambda beta: objectives.TotalCorrelationELBO(beta=beta),
    "iwae": lambda k: objectives.ImportanceWeightedELBO(k),
    "simple": lambda: objectives.SimpleELBO(),
}
"""Each objective, called with the words of a recipe that are its own."""

LOSSES: dict[str, Callable[[], adversarial.Loss]] = {
    "non-saturating": adversarial.NonSaturating,
    "wasserstein": adversarial.Wasserstein,
    "wasserstein-gp": adversarial.GradientPenalty,
    "hinge": adversarial.Hinge,
    "self-supervised": adversarial.SelfSupervised,
}
"""Each loss of a GAN."""
