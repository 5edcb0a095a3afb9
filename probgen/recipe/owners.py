"""Which words of a recipe have an effect: those of whose owners the recipe holds one."""

from collections.abc import Iterable, Sequence
from typing import Any

from probgen.recipe.choices import MODELS, Owner
from probgen.recipe.word import RecipeError, Word
from probgen.recipe.words import WORDS, Recipe


def taken_by(model: str) -> list[Word]:
    """Return the words that have an effect on a model, some only beside others.

    >>> [word.name for word in taken_by("vq") if word.panel == "Model"]
    ['model', 'latent', 'likelihood', 'sigma', 'codes']
    """
    return [word for word in WORDS.values() if _allowed(word.owners, model)]


def choices_of(word: Word, model: str) -> list[str]:
    """Return the choices of a word that a model takes.

    >>> choices_of(WORDS["net"], "diffusion")
    ['dense', 'conv']
    """
    return [one for one in word.choices if _allowed([word.choice_owners.get(one, {})], model)]


def beside(owners: Sequence[Owner], model: str) -> str:
    """Return the options beside which alone a model takes something; empty if it always does.

    >>> beside(WORDS["hidden"].owners, "gan"), beside(WORDS["hidden"].owners, "vae")
    ('--net dense', '')
    """
    found = []
    for owner in _allowed(owners, model):
        options = [_option(n, values, model) for n, values in owner.items() if n != "model"]
        found.append(" and ".join(options))
    return listed(found) if all(found) else ""


def in_force(recipe: Recipe) -> dict[str, Any]:
    """Return the words that have an effect, of those whose value is not None.

    >>> words = in_force(Recipe(model="gan"))
    >>> words["loss"], "likelihood" in words, "beta" in words
    ('non-saturating', False, False)
    """
    values = {word.name: getattr(recipe, word.name) for word in _effective(recipe)}
    return {name: value for name, value in values.items() if value is not None}


def check(recipe: Recipe, names: Iterable[str] = tuple(WORDS)) -> None:
    """Refuse words that would change nothing.

    Raises:
        RecipeError: a word, not at its default, that has no effect; says where it has one.
    """
    for name in names:
        word = WORDS[name]
        if getattr(recipe, name) != word.default and not _held(recipe, word.owners):
            raise RecipeError(f"{word.option} goes with {_place(recipe, word.owners)}")


def check_choices(recipe: Recipe) -> None:
    """Refuse choices that do not go together, and what lacks a word.

    Raises:
        RecipeError: such a choice, or such a word.
    """
    for word in _effective(recipe):
        choice = getattr(recipe, word.name)
        owners = [word.choice_owners[choice]] if choice in word.choice_owners else []
        if owners and not _held(recipe, owners):
            raise RecipeError(f"{word.option} {choice} goes with {_place(recipe, owners)}")
    lacking = [word for word in _effective(recipe) if word.needed]
    missing = [word.option for word in lacking if getattr(recipe, word.name) is None]
    if missing:
        raise RecipeError(f"--objective {recipe.objective} needs {' and '.join(missing)}")


def listed(names: Iterable[str]) -> str:
    """Return names with commas and an "or"; empty for none.

    >>> listed(["vae", "vq", "gan"])
    'vae, vq or gan'
    """
    *first, last = names or [""]
    return f"{', '.join(first)} or {last}" if first else last


def _allowed(owners: Sequence[Owner], model: str) -> list[Owner]:
    """The owners that a recipe of this model may hold."""
    return [owner for owner in owners if all(_may(model, *item) for item in owner.items())]


def _may(model: str, name: str, values: Sequence[str]) -> bool:
    """Whether a recipe of this model may have one of these values, with an effect."""
    if name == "model":
        return model in values
    word = WORDS[name]
    return bool(_allowed(word.owners, model) and {*values} & {*choices_of(word, model)})


def _held(recipe: Recipe, owners: Sequence[Owner]) -> list[Owner]:
    """The owners that a recipe holds."""
    return [owner for owner in owners if all(_has(recipe, *item) for item in owner.items())]


def _has(recipe: Recipe, name: str, values: Sequence[str]) -> bool:
    """Whether a recipe has one of these values, with an effect."""
    if name == "model":
        return recipe.model in values
    return getattr(recipe, name) in values and bool(_held(recipe, WORDS[name].owners))


def _effective(recipe: Recipe) -> list[Word]:
    return [word for word in WORDS.values() if _held(recipe, word.owners)]


def _place(recipe: Recipe, owners: Sequence[Owner]) -> str:
    """Where something of these owners has an effect, and what the recipe has instead."""
    options = beside(owners, recipe.model)
    if not options:
        models = listed([model for model in MODELS if _allowed(owners, model)])
        return f"{models}; got {recipe.model}"
    names = {name for owner in _allowed(owners, recipe.model) for name in owner} - {"model"}
    got = ", ".join(str(getattr(recipe, name)) for name in sorted(names))
    return f"{options}; got {got}"


def _option(name: str, values: Sequence[str], model: str) -> str:
    word = WORDS[name]
    known = [value for value in values if value in choices_of(word, model)]
    return f"{word.option} {listed(known)}"
