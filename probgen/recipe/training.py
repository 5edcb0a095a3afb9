"""A run in words: what the command line takes, run.json keeps, and ``building`` builds from."""

import inspect
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from probgen.recipe.words import (
    _WITHOUT,
    DATA,
    DEFAULTS,
    LARGEST,
    LR,
    OWNERS,
    Recipe,
    RecipeError,
    _fits,
    _kind,
    _option,
)

if TYPE_CHECKING:
    from torch import Tensor

    from probgen.data import Set
    from probgen.objectives import ELBO
    from probgen.run.history import History
_SETTINGS = ("epochs", "batch_size", "precision", "seed")


class Parts(NamedTuple):
    """The sets a run sees."""

    training: "Set"
    validation: "Set | None"
    test: "Set"


class Trained(NamedTuple):
    """What comes of a recipe."""

    history: "History"
    pair: Any
    test: "Set"


def read(folder: str | Path) -> Recipe:
    """The recipe in a run's folder, every value of the type it must have.

    Raises:
        RunError: there is no run, it was not made from a recipe, or the recipe is not one.
    """
    from probgen.run.folder import Folder, RunError

    found = Folder(folder).facts().get("recipe")
    if not isinstance(found, dict):
        raise RunError(
            f"the run in {folder} was not made from a recipe: run.load(pair, "
            f"{str(folder)!r}) gives its weights to a pair that is built as it was"
        )
    recipe = DEFAULTS | found
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
    training, test = named(str(folder or recipe["data"]), recipe["side"])
    training = _limited(training, recipe["limit"], recipe["seed"])
    test = _limited(test, recipe["limit"], 0)  # runs of several seeds are scored on one test set
    if recipe["binarize"]:
        training, test = training.binarized(), test.binarized()
    if not recipe["validation"]:
        return Parts(training, None, test)
    return Parts(*training.split(recipe["validation"], recipe["seed"]), test)


def named(name: str, side: int | None = None) -> "tuple[Set, Set]":
    """Training and test set of that name, or of a folder of images, stretched to a side.

    Raises:
        RecipeError: neither.

    >>> [len(part) for part in named("digits")]
    [1500, 297]
    """
    from probgen import data

    if Path(name).is_dir() and name not in DATA:
        return data.images(name, None if side is None else (side, side)).split(0.1)
    if name not in DATA:
        known = ", ".join(DATA)
        raise RecipeError(f"expected a data set ({known}) or a folder of images; got {name!r}")
    if side is not None:
        raise RecipeError(f"--side goes with a folder of images; got {name}")
    return getattr(data, name.replace("-", "_"))()


def pair(recipe: Recipe, shape: tuple[int, ...]) -> Any:
    """The untrained pair, its weights drawn with the recipe's seed.

    Raises:
        RecipeError: unknown words, or more than 10^9 parameters.
    """
    import torch

    from probgen.models.pairs import check_seed
    from probgen.recipe.building import built

    _sketch(recipe, shape)
    check_seed(recipe["seed"])
    torch.manual_seed(recipe["seed"])
    return built(recipe, shape)


def objective(recipe: Recipe) -> "ELBO":
    """What the recipe maximises.

    Raises:
        RecipeError: no such objective, a setting that is another's, or one that it lacks.

    >>> objective(DEFAULTS | {"objective": "beta", "beta": 4.0})
    BetaELBO(beta=4.0)
    """
    from probgen.recipe.building import OBJECTIVES

    words, chosen = _words(), recipe["objective"]
    if chosen not in words:
        raise RecipeError(f"expected objective {', '.join(words)}; got {chosen!r}")
    for word in dict.fromkeys(word for known in words.values() for word in known):
        if word not in words[chosen] and recipe[word] != DEFAULTS[word]:
            owners = ", ".join(name for name in words if word in words[name])
            raise RecipeError(f"{_option(word)} goes with --objective {owners}; got {chosen}")
    missing = [_option(word) for word in words[chosen] if recipe[word] is None]
    if missing:
        raise RecipeError(f"--objective {chosen} needs {' and '.join(missing)}")
    return OBJECTIVES[chosen](*(recipe[word] for word in words[chosen]))


def in_force(recipe: Recipe) -> Recipe:
    """The words that a run depends on: none of other models and objectives, none that is None.

    >>> words = in_force(DEFAULTS | {"model": "gan"})
    >>> words["loss"], "likelihood" in words, "beta" in words
    ('non-saturating', False, False)
    """
    words, idle = _words(), {*_idle(recipe)}
    chosen = [] if "objective" in idle else words.get(recipe["objective"], [])
    idle |= {word for known in words.values() for word in known} - {*chosen}
    return {w: value for w, value in recipe.items() if w not in idle and value is not None}


def train(recipe: Recipe, folder: Path, *, images: Path | None = None, **settings: Any) -> Trained:
    """Train by a recipe into a run's folder; with ``resume=True`` go on where it stopped.

    Args:
        recipe: ``DEFAULTS`` with changes.
        folder: the run's folder.
        images: the data, where they are a folder of images.
        settings: others of ``training.fit``: device, lower, resume, log, show, and ``log_every``,
            a hundredth of the run unless given, at least 1 step and at most 50.

    Raises:
        RecipeError: a word that is another model's, and others as for ``pair``.
    """
    if not settings.get("resume"):  # as studies do, whose runs share words
        _check_words(recipe)
    parts = sets(recipe, images)
    classes = 0 if parts.training.y is None else len(parts.training.classes)
    recipe = recipe | {"shape": list(parts.training.shape), "classes": classes}
    module = pair(recipe, parts.training.shape)
    if recipe["model"] == "vampprior":
        module.start_at(_drawn(parts.training, recipe["components"], recipe["seed"]))
    settings = {
        **{name: recipe[name] for name in _SETTINGS}, "checkpoint": folder, "recipe": recipe,
        "log_every": _interval(recipe, len(parts.training)), **settings,
    }  # fmt: skip
    fit = _fit_adversarial if recipe["model"] == "gan" else _fit
    return Trained(fit(module, recipe, parts, settings), module, parts.test)


def _interval(recipe: Recipe, size: int) -> int:
    """Steps between records: a hundred of them, or more in a long run."""
    steps = recipe["epochs"] * math.ceil(size / max(1, recipe["batch_size"]))
    return min(50, max(1, steps // 100))


def _fit(pair: Any, recipe: Recipe, parts: Parts, settings: dict[str, Any]) -> "History":
    from probgen import training

    return training.fit(
        pair,
        objective(recipe),
        parts.training,
        lr=LR if recipe["lr"] is None else recipe["lr"],
        clip_norm=recipe["clip_norm"],
        patience=recipe["patience"],
        validation=parts.validation,
        **settings,
    )


def _fit_adversarial(
    gan: Any, recipe: Recipe, parts: Parts, settings: dict[str, Any]
) -> "History":
    """Judged on what is held out, else on training images, where a classifier is shipped."""
    from probgen import training
    from probgen.evaluation.features.classifier import Classifier, shipped
    from probgen.recipe.building import LOSSES

    objective(recipe)
    judge: Any = None
    if parts.test.name in shipped():
        device = training.place(settings.get("device") or "cpu")
        judge = Classifier.load(parts.test.name).to(device)
    return training.fit_adversarial(
        gan,
        LOSSES[recipe["loss"]](),
        parts.training,
        lr=recipe["lr"],
        critic_steps=recipe["critic_steps"],
        judge=judge,
        validation=None if judge is None else parts.validation or parts.training,
        **settings,
    )


def trained(folder: str | Path, device: str = "auto") -> Any:
    """The pair with its weights; sizes are compared with the file before memory is taken.

    Raises:
        RunError: no finished run.
        CheckpointError: its weights are damaged or another model's.
    """
    from probgen import training
    from probgen.run.folder import Folder

    recipe = read(folder)
    shape = tuple(recipe["shape"])
    weights = Folder(folder).read_weights(_sketch(recipe, shape))
    module = pair(recipe, shape)
    module.load_state_dict(weights)
    return module.to(training.place(device)).eval()


def _words() -> dict[str, list[str]]:
    """The words that are each objective's own."""
    from probgen.recipe.building import OBJECTIVES

    return {name: [*inspect.signature(make).parameters] for name, make in OBJECTIVES.items()}


def _check_words(recipe: Recipe) -> None:
    """Refuse words that would change nothing."""
    for word, place in _idle(recipe).items():
        if recipe[word] != DEFAULTS[word]:
            raise RecipeError(f"{_option(word)} goes with {place}; got {recipe['model']}")


def _idle(recipe: Recipe) -> dict[str, str]:
    """Words that do nothing for the model, its network, likelihood and prior; where they do."""
    model, net = recipe["model"], recipe["net"]
    idle = {w: " and ".join(own) for w, own in OWNERS.items() if model not in own}
    idle |= dict.fromkeys(_WITHOUT.get(model, ()), "other models")
    if model != "vampprior" and recipe["prior"] != "mixture":
        idle["components"] = "vampprior and --prior mixture"
    if recipe["likelihood"] not in ("gaussian", "gaussian-learned"):
        idle["sigma"] = "--likelihood gaussian and gaussian-learned"
    if model in ("gan", "diffusion") and net != "dense":
        idle["hidden"] = "--net dense"
    if model == "diffusion" and net == "dense":
        idle |= dict.fromkeys(("width", "blocks", "patch"), "--net conv")
    return idle


def _limited(part: "Set", limit: int | None, seed: int) -> "Set":
    return part if limit is None else part.draw(limit, seed)


def _drawn(data: "Set", components: int, seed: int) -> "Tensor":
    """So many rows of the training set, where a VampPrior starts."""
    if components > len(data):
        raise RecipeError(
            f"expected components from 1 to {len(data)}, the size of {data.name}; got {components}"
        )
    return data.draw(components, seed).batch(slice(None))[0]


def _sketch(recipe: Recipe, shape: tuple[int, ...]) -> Any:
    """The pair without memory for its weights, refused if it would need too much."""
    import torch

    from probgen.recipe.building import built

    try:
        with torch.device("meta"):
            sketch = built(recipe, shape)
    except (RuntimeError, OverflowError, TypeError, IndexError) as error:
        raise RecipeError(f"these sizes make no network: {error}") from error
    size = sum(parameter.numel() for parameter in sketch.parameters())
    if size > LARGEST:
        raise RecipeError(f"expected at most {LARGEST:,} parameters; got {size:,}")
    return sketch
