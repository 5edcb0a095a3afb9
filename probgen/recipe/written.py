"""Recipes as run.json keeps them."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from probgen.recipe.word import RENAMED, RecipeError
from probgen.recipe.words import Recipe


class Written(NamedTuple):
    """A recipe and what else its model is built by: an item's shape, the number of classes."""

    recipe: Recipe
    shape: tuple[int, ...]
    classes: int = 0

    def facts(self) -> dict[str, Any]:
        """Return what run.json keeps.

        >>> Written(Recipe(latent=8), (1, 8, 8), 10).facts()["latent"]
        8
        """
        return {**asdict(self.recipe), "shape": list(self.shape), "classes": self.classes}


def written(facts: Mapping[str, Any]) -> Written:
    """Return what ``Written.facts`` was made from; words that are missing have their defaults.

    Raises:
        RecipeError: unknown words, values that a word does not take, no shape.

    >>> written({"objective": "iwae", "k": 5, "shape": [1, 8, 8]}).recipe.num_particles
    5
    """
    words = dict(facts)
    for old, new in RENAMED.items():
        if old in words and new in words:
            raise RecipeError(f"expected one word; got {new} and {old}, its earlier name")
        if old in words:
            words[new] = words.pop(old)
    shape, classes = words.pop("shape", None), words.pop("classes", 0)
    if not (isinstance(shape, list) and all(type(side) is int for side in shape)):
        raise RecipeError(f"expected shape: a list of sides; got {shape!r}")
    if type(classes) is not int or classes < 0:
        raise RecipeError(f"expected classes: a whole number >= 0; got {classes!r}")
    return Written(Recipe(**words), tuple(shape), classes)


def read(folder: str | Path) -> Recipe:
    """Return the recipe in a run's folder.

    Raises:
        RunError: there is no run, it was not made from a recipe, or the recipe is not one.
    """
    return read_written(folder).recipe


def read_written(folder: str | Path) -> Written:
    """Return the recipe in a run's folder, with the shape and the classes it was trained on.

    Raises:
        RunError: as ``read``.
    """
    from probgen.run.folder import Folder

    return written_in(Folder(folder).facts(), folder)


def written_in(facts: Mapping[str, Any], folder: str | Path) -> Written:
    """Return the recipe in what a run.json holds; ``folder`` is named where there is none.

    Raises:
        RunError: as ``read``.
    """
    from probgen.run.folder import RunError

    found = facts.get("recipe")
    if not isinstance(found, dict):
        raise RunError(
            f"the run in {folder} was not made from a recipe: run.load(pair, "
            f"{str(folder)!r}) gives its weights to a pair that is built as it was"
        )
    try:
        return written(found)
    except RecipeError as error:
        raise RunError(f"{folder}/run.json: {error}") from error
