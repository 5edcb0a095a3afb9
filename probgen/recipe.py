"""A run in words: what the command line takes, run.json keeps, and objects are built from."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from probgen.data import Set
    from probgen.history import History
    from probgen.models import VAE
    from probgen.objectives import ELBO

DATA = ("digits", "dsprites", "mnist", "fashion-mnist", "cifar10")
LARGEST = 10**9
Recipe = dict[str, Any]

DEFAULTS: Recipe = {
    "model": "vae", "data": "digits", "limit": None, "binarize": False, "validation": 0.0,
    "net": "dense", "latent": 16, "hidden": 400, "likelihood": "bernoulli", "sigma": 1.0,
    "objective": "elbo", "beta": 1.0, "warmup": 0, "target_kl": None, "tolerance": None,
    "kp": 1.0, "ki": 0.02, "beta_min": 0.0, "beta_max": 100.0, "gamma": None, "capacity": None,
    "free_bits": None, "per": "dimension", "epochs": 20, "batch_size": 128, "lr": 1e-3,
    "clip_norm": None, "patience": None, "precision": "float32", "seed": 0,
}  # fmt: skip
_OPTIONAL = {
    "limit": int, "clip_norm": float, "patience": int, "target_kl": float, "tolerance": float,
    "gamma": float, "capacity": float, "free_bits": float,
}  # fmt: skip
_SETTINGS = ("epochs", "batch_size", "lr", "clip_norm", "patience", "precision", "seed")


class RecipeError(ValueError):
    """Words that name no data, no network or no objective, or do not go together."""


class Parts(NamedTuple):
    """The sets a run sees."""

    training: "Set"
    validation: "Set | None"
    test: "Set"


class Trained(NamedTuple):
    """What comes of a recipe."""

    history: "History"
    pair: "VAE"
    test: "Set"


def read(folder: Path) -> Recipe:
    """The recipe in a run's folder, every value of the type it must have.

    Raises:
        RunError: there is no run, it was not made from a recipe, or the recipe is not one.
    """
    from probgen.run import Folder, RunError

    recipe = Folder(folder).facts().get("recipe")
    if not isinstance(recipe, dict):
        raise RunError(f"the run in {folder} was not made from a recipe: load it in Python")
    recipe = DEFAULTS | recipe
    for name in DEFAULTS:
        if not _fits(name, value := recipe.get(name)):
            kind = _kind(name).__name__
            raise RunError(f"expected {name}: {kind} in {folder}/run.json; got {value!r}")
    shape = recipe.get("shape")
    if not (isinstance(shape, list) and all(type(side) is int for side in shape)):
        raise RunError(f"expected shape: a list of sides in {folder}/run.json; got {shape!r}")
    return recipe


def sets(recipe: Recipe, folder: Path | None = None) -> Parts:
    """The data of a recipe; ``folder`` is where the images are, if they were in one.

    Raises:
        RecipeError: no such data, or a folder of images that is not given.
    """
    if folder is None and recipe["data"] not in DATA:
        raise RecipeError("this run was trained on a folder of images: name it with --data")
    training, test = (_limited(part, recipe) for part in named(str(folder or recipe["data"])))
    if recipe["binarize"]:
        training, test = training.binarized(), test.binarized()
    if not recipe["validation"]:
        return Parts(training, None, test)
    return Parts(*training.split(recipe["validation"], recipe["seed"]), test)


def named(name: str) -> "tuple[Set, Set]":
    """Training and test set of that name, or of a folder of images.

    Raises:
        RecipeError: neither.

    >>> [len(part) for part in named("digits")]
    [1500, 297]
    """
    from probgen import data

    if Path(name).is_dir() and name not in DATA:
        return data.images(name).split(0.1)
    if name not in DATA:
        known = ", ".join(DATA)
        raise RecipeError(f"expected a data set ({known}) or a folder of images; got {name!r}")
    return getattr(data, name.replace("-", "_"))()


def pair(recipe: Recipe, shape: tuple[int, ...]) -> "VAE":
    """The untrained pair, its weights drawn with the recipe's seed.

    Raises:
        RecipeError: unknown words, or more than 10^9 parameters.
    """
    import torch

    from probgen.evaluation.likelihood import check_seed

    _sketch(recipe, shape)
    check_seed(recipe["seed"])
    torch.manual_seed(recipe["seed"])
    return _built(recipe, shape)


def objective(recipe: Recipe) -> "ELBO":
    """What the recipe maximises.

    Raises:
        RecipeError: no such objective, a setting that is another's, or one that it lacks.

    >>> objective(DEFAULTS | {"objective": "beta", "beta": 4.0})
    BetaELBO(beta=4.0)
    """
    makers, chosen = _objectives(), recipe["objective"]
    if chosen not in makers:
        raise RecipeError(f"expected objective {', '.join(makers)}; got {chosen!r}")
    words = {name: [*inspect.signature(make).parameters] for name, make in makers.items()}
    for word in dict.fromkeys(word for known in words.values() for word in known):
        if word not in words[chosen] and recipe[word] != DEFAULTS[word]:
            owners = ", ".join(name for name in words if word in words[name])
            raise RecipeError(f"{_option(word)} goes with --objective {owners}; got {chosen}")
    missing = [_option(word) for word in words[chosen] if recipe[word] is None]
    if missing:
        raise RecipeError(f"--objective {chosen} needs {' and '.join(missing)}")
    return makers[chosen](*(recipe[word] for word in words[chosen]))


def train(recipe: Recipe, folder: Path, *, images: Path | None = None, **settings: Any) -> Trained:
    """Train by a recipe into a run's folder; with ``resume=True`` go on where it stopped.

    Args:
        recipe: ``DEFAULTS`` with changes.
        folder: the run's folder.
        images: the data, where they are a folder of images.
        settings: others of ``training.fit``: device, resume, log, show.
    """
    from probgen import training

    parts = sets(recipe, images)
    module = pair(recipe, parts.training.shape)
    history = training.fit(
        module,
        objective(recipe),
        parts.training,
        **{name: recipe[name] for name in _SETTINGS},
        validation=parts.validation,
        checkpoint=folder,
        recipe=recipe | {"shape": list(parts.training.shape)},
        **settings,
    )
    return Trained(history, module, parts.test)


def trained(folder: Path, device: str = "auto") -> "VAE":
    """The pair with its weights; sizes are compared with the file before memory is taken.

    Raises:
        RunError: no finished run.
        CheckpointError: its weights are damaged or another model's.
    """
    from probgen import training
    from probgen.run import Folder

    recipe = read(folder)
    shape = tuple(recipe["shape"])
    weights = Folder(folder).read_weights(_sketch(recipe, shape))
    module = pair(recipe, shape)
    module.load_state_dict(weights)
    return module.to(training.place(device)).eval()


def _objectives() -> "dict[str, Callable[..., ELBO]]":
    """Each objective by its name, from the words of a recipe that are its own."""
    from probgen import control, objectives

    def warmed(end: float, warmup: int) -> Any:
        return control.Linear(0.0, end, warmup) if warmup else end

    return {
        "elbo": lambda: objectives.ELBO(),
        "beta": lambda beta, warmup: objectives.BetaELBO(warmed(beta, warmup)),
        "controlled": lambda target_kl, warmup, beta, kp, ki, beta_min, beta_max: (
            objectives.ControlledELBO(
                warmed(target_kl, warmup), kp, ki, beta_min, beta_max, start=beta
            )
        ),
        "geco": lambda tolerance, kp, ki: objectives.GECO(tolerance, kp, ki),
        "capacity": lambda gamma, capacity, warmup: objectives.CapacityELBO(
            gamma, warmed(capacity, warmup)
        ),
        "free-bits": lambda free_bits, per: objectives.FreeBitsELBO(free_bits, per),
    }


def _option(word: str) -> str:
    return f"--{word.replace('_', '-')}"


def _kind(name: str) -> type:
    return _OPTIONAL.get(name) or type(DEFAULTS[name])


def _fits(name: str, value: Any) -> bool:
    kind = _kind(name)
    whole = kind is float and type(value) is int
    return type(value) is kind or whole or (value is None and name in _OPTIONAL)


def _limited(part: "Set", recipe: Recipe) -> "Set":
    import torch

    limit = recipe.get("limit")
    if limit is None or limit >= len(part):
        return part
    if limit < 1:
        raise RecipeError(f"expected limit >= 1; got {limit}")
    generator = torch.Generator().manual_seed(recipe["seed"])
    return part.take(torch.randperm(len(part), generator=generator)[:limit].sort().values)


def _sketch(recipe: Recipe, shape: tuple[int, ...]) -> "VAE":
    """The pair without memory for its weights, refused if it would need too much."""
    import torch

    try:
        with torch.device("meta"):
            sketch = _built(recipe, shape)
    except (RuntimeError, OverflowError, TypeError, IndexError) as error:
        raise RecipeError(f"these sizes make no network: {error}") from error
    size = sum(parameter.numel() for parameter in sketch.parameters())
    if size > LARGEST:
        raise RecipeError(f"expected at most {LARGEST:,} parameters; got {size:,}")
    return sketch


def _built(recipe: Recipe, shape: tuple[int, ...]) -> "VAE":
    from probgen import models, nets

    latent, hidden = recipe["latent"], recipe["hidden"]
    coders: dict[str, Any] = {
        "dense": lambda: (
            nets.dense_encoder(shape, latent, (hidden,)),
            nets.dense_decoder(latent, shape, (hidden,)),
        ),
        "conv": lambda: (
            nets.conv_encoder(shape, latent, hidden=hidden),
            nets.conv_decoder(latent, shape, hidden=hidden),
        ),
    }
    likelihoods: dict[str, Any] = {
        "bernoulli": models.Bernoulli,
        "gaussian": lambda: models.Gaussian(recipe["sigma"]),
        "gaussian-learned": lambda: models.Gaussian(recipe["sigma"], learned=True),
        "gaussian-optimal": models.OptimalGaussian,
    }
    known: Mapping[str, Mapping[str, Any]]
    known = {"net": coders, "likelihood": likelihoods, "model": {"vae": models.VAE}}
    for option, table in known.items():
        if recipe[option] not in table:
            raise RecipeError(f"expected {option} {', '.join(table)}; got {recipe[option]!r}")
    encoder, decoder = coders[recipe["net"]]()
    return models.VAE(encoder, decoder, likelihoods[recipe["likelihood"]]())
