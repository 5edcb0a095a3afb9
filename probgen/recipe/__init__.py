"""A run in words: what the command line takes, run.json keeps, and ``building`` builds from."""

from probgen.recipe.training import (
    Parts,
    Trained,
    in_force,
    named,
    objective,
    pair,
    read,
    sets,
    train,
    trained,
)
from probgen.recipe.words import DATA, DEFAULTS, LR, Recipe, RecipeError

__all__ = ["DATA", "DEFAULTS", "LR", "Parts", "Recipe", "RecipeError", "Trained", "in_force"]
__all__ += ["named", "objective", "pair", "read", "sets", "train", "trained"]
