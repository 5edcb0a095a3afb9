"""A run as words: what the command line takes, run.json keeps, and ``building`` builds from."""

from probgen.recipe.choices import DATA, MODELS
from probgen.recipe.owners import check, in_force
from probgen.recipe.training import Parts, Trained, named, objective, pair, sets, train, trained
from probgen.recipe.word import RecipeError, Word
from probgen.recipe.words import LR, WORDS, Recipe
from probgen.recipe.written import Written, read, written

__all__ = ["DATA", "LR", "MODELS", "WORDS", "Parts", "Recipe", "RecipeError", "Trained", "Word"]
__all__ += ["Written", "check", "in_force", "named", "objective", "pair", "read", "sets", "train"]
__all__ += ["trained", "written"]
