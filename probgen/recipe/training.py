"""From a recipe to a trained model: its data, its pair, the training, and the pair again."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from probgen.recipe.choices import DATA
from probgen.recipe.owners import check, check_choices
from probgen.recipe.word import RecipeError
from probgen.recipe.words import LR, WORDS, Recipe
from probgen.recipe.written import Written, read_written

if TYPE_CHECKING:
    from torch import Tensor

    from probgen.data import Set
    from probgen.models import GAN
    from probgen.objectives import ELBO, Pair
    from probgen.run.history import History

LARGEST = 10**9
"""Parameters that a model may have."""


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


def sets(recipe: Recipe, folder: Path | None = None) -> Parts:
    """Return the data of a recipe; ``folder`` is where the images are, if they were in one.

    Raises:
        RecipeError: no such data, or a folder of images that is not given.
    """
    if folder is None and recipe.data not in DATA:
        raise RecipeError("this run was trained on a folder of images: name it with --data")
    training, test = named(str(folder or recipe.data), recipe.side)
    training = _limited(training, recipe.limit, recipe.seed)
    test = _limited(test, recipe.limit, 0)  # runs of several seeds are scored on one test set
    if recipe.binarize:
        training, test = training.binarized(), test.binarized()
    if not recipe.validation:
        return Parts(training, None, test)
    return Parts(*training.split(recipe.validation, recipe.seed), test)


def named(name: str, side: int | None = None) -> "tuple[Set, Set]":
    """Return training and test set of that name, or of a folder of images, resized to a side.

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


def pair(recipe: Recipe, shape: tuple[int, ...], classes: int = 0) -> Any:
    """Return the untrained pair, its weights initialised with the recipe's seed.

    Args:
        recipe: what to build.
        shape: of one item.
        classes: of the data, for models that take labels; 0 for none.

    Raises:
        RecipeError: words that do not go together, or more than 10^9 parameters.
    """
    import torch

    from probgen.recipe import building

    _sketch(recipe, shape, classes)
    torch.manual_seed(recipe.seed)
    return building.pair(recipe, shape, classes)


def objective(recipe: Recipe) -> "ELBO":
    """Return what the recipe maximises.

    Raises:
        RecipeError: a setting that is another objective's, or one that it lacks.

    >>> objective(Recipe(objective="beta", beta=4.0))
    BetaELBO(beta=4.0)
    """
    from probgen.recipe import building

    check(recipe, _of_objectives())
    check_choices(recipe)
    return building.objective(recipe)


def train(
    recipe: Recipe, folder: str | Path, *, images: Path | None = None, **settings: Any
) -> Trained:
    """Train by a recipe into a run's folder; with ``resume=True`` go on where it stopped.

    Args:
        recipe: what to train.
        folder: the run's folder.
        images: the data, where they are a folder of images.
        settings: others of ``training.fit``: device, lower, resume, log, show, and ``log_every``,
            a hundredth of the run unless given, at least 1 step and at most 50.

    Raises:
        RecipeError: a word that is another model's, and others as for ``pair``.
    """
    if not settings.get("resume"):
        check(recipe)
    parts = sets(recipe, images)
    classes = 0 if parts.training.y is None else len(parts.training.classes)
    module = pair(recipe, parts.training.shape, classes)
    if recipe.model == "vampprior":
        module.start_at(_drawn(parts.training, recipe.components, recipe.seed))
    settings = {
        "epochs": recipe.epochs,
        "batch_size": recipe.batch_size,
        "precision": recipe.precision,
        "seed": recipe.seed,
        "checkpoint": folder,
        "recipe": Written(recipe, parts.training.shape, classes).facts(),
        "log_every": _interval(recipe, len(parts.training)),
        **settings,
    }
    fit = _fit_adversarial if recipe.model == "gan" else _fit
    return Trained(fit(module, recipe, parts, settings), module, parts.test)


def _of_objectives() -> list[str]:
    """The words that some objectives own."""
    return [name for name, word in WORDS.items() if any("objective" in o for o in word.owners)]


def _interval(recipe: Recipe, size: int) -> int:
    """Steps between records: a hundred of them, or more in a long run."""
    steps = recipe.epochs * math.ceil(size / recipe.batch_size)
    return min(50, max(1, steps // 100))


def _fit(pair: "Pair", recipe: Recipe, parts: Parts, settings: dict[str, Any]) -> "History":
    from probgen import training

    return training.fit(
        pair,
        objective(recipe),
        parts.training,
        lr=LR if recipe.lr is None else recipe.lr,
        clip_norm=recipe.clip_norm,
        patience=recipe.patience,
        validation=parts.validation,
        **settings,
    )


def _fit_adversarial(
    gan: "GAN", recipe: Recipe, parts: Parts, settings: dict[str, Any]
) -> "History":
    """Judged on what is held out, else on training images, where a classifier is shipped."""
    from probgen import training
    from probgen.evaluation.features.classifier import Classifier, shipped
    from probgen.recipe import building

    extractor: Any = None
    if parts.test.name in shipped():
        device = training.place(settings.get("device") or "cpu")
        extractor = Classifier.load(parts.test.name).to(device)
    return training.fit_adversarial(
        gan,
        building.loss(recipe),
        parts.training,
        lr=recipe.lr,
        critic_steps=recipe.critic_steps,
        extractor=extractor,
        validation=None if extractor is None else parts.validation or parts.training,
        **settings,
    )


def trained(folder: str | Path, device: str = "auto") -> Any:
    """Return the pair with its weights; sizes are compared with the file before memory is taken.

    Raises:
        RunError: no finished run.
        CheckpointError: its weights are damaged or another model's.
    """
    from probgen import training
    from probgen.run.folder import Folder

    found = read_written(folder)
    weights = Folder(folder).read_weights(_sketch(*found))
    module = pair(*found)
    module.load_state_dict(weights)
    return module.to(training.place(device)).eval()


def _limited(part: "Set", limit: int | None, seed: int) -> "Set":
    return part if limit is None else part.draw(limit, seed)


def _drawn(data: "Set", components: int, seed: int) -> "Tensor":
    """So many rows of the training set, where a VampPrior starts."""
    if components > len(data):
        raise RecipeError(
            f"expected components from 1 to {len(data)}, the size of {data.name}; got {components}"
        )
    return data.draw(components, seed).batch(slice(None))[0]


def _sketch(recipe: Recipe, shape: tuple[int, ...], classes: int) -> Any:
    """The pair without memory for its weights, refused if it would need too much."""
    import torch

    from probgen.recipe import building

    try:
        with torch.device("meta"):
            sketch = building.pair(recipe, shape, classes)
    except (RuntimeError, OverflowError, TypeError, IndexError) as error:
        raise RecipeError(f"these sizes make no network: {error}") from error
    size = sum(parameter.numel() for parameter in sketch.parameters())
    if size > LARGEST:
        raise RecipeError(f"expected at most {LARGEST:,} parameters; got {size:,}")
    return sketch
