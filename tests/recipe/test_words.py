"""Recipes: what every word says of itself, and that what is not a recipe is refused."""

from dataclasses import FrozenInstanceError, fields, replace

import numpy as np
import pytest

from probgen import ProbgenError
from probgen.models.pairs import LARGEST_SEED
from probgen.recipe import MODELS, WORDS, Recipe, RecipeError

PANELS = {"Data", "Model", "Diffusion", "Objective", "Training"}


def test_the_words_are_the_fields_of_a_recipe():
    assert [*WORDS] == [one.name for one in fields(Recipe)]


@pytest.mark.parametrize("word", WORDS.values(), ids=WORDS)
def test_every_word_says_what_it_is(word):
    assert word.help[0].isupper()
    assert word.help.endswith(".")
    assert word.panel in PANELS
    assert word.kind in (bool, int, float, str)
    assert word.owners
    for owner in (*word.owners, *word.choice_owners.values()):
        assert owner.keys() <= {"model", *WORDS}
        for name, values in owner.items():
            assert {*values} <= {*WORDS[name].choices}
    assert word.choice_owners.keys() <= {*word.choices}
    assert word.checked(word.default) == word.default
    assert word.optional == (word.default is None)
    assert not word.needed or word.optional


def test_a_word_by_its_earlier_name_is_told_the_new_one():
    with pytest.raises(RecipeError, match="got 'k': it is now 'num_particles'"):
        Recipe(objective="iwae", k=5)


def test_a_misspelt_word_is_refused_by_name():
    for make in (lambda: Recipe(latnet=3), lambda: replace(Recipe(), latnet=3)):
        with pytest.raises(RecipeError, match="got 'latnet'; did you mean 'latent'"):
            make()
    with pytest.raises(ProbgenError, match="words of a recipe; got 'xyz'$"):
        Recipe(xyz=1)


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ({"latent": "3"}, "expected latent: int; got '3'"),
        ({"latent": 3.0}, "expected latent: int; got 3.0"),
        ({"latent": True}, "expected latent: int; got True"),
        ({"latent": 0}, "expected latent >= 1; got 0"),
        ({"latent": None}, "expected latent: int; got None"),
        ({"limit": "all"}, "expected limit: int or None; got 'all'"),
        ({"binarize": 1}, "expected binarize: bool; got 1"),
        ({"beta": float("nan")}, "expected beta >= 0; got nan"),
        ({"beta": float("inf")}, "expected beta >= 0; got inf"),
        ({"beta": 10**400}, "expected beta >= 0; got 1000"),
        ({"lr": 0}, "expected lr > 0; got 0"),
        ({"tolerance": float("inf")}, "expected tolerance finite; got inf"),
        ({"validation": 2}, "expected validation from 0 to 1; got 2"),
        ({"seed": -1}, "expected seed from 0 to 281474976710655; got -1"),
        ({"net": "cnov"}, "expected net dense, .* got 'cnov'; did you mean 'conv'?"),
        ({"net": ["conv"]}, "expected net: str"),
        ({"model": "vea"}, "got 'vea'; did you mean 'vae'?"),
        ({"noise_steps": 20_000_000}, "noise_steps from 1 to 100000; got 20000000"),
        ({"blocks": 150}, "blocks from 1 to 32; got 150"),
        ({"patch": 0}, "patch >= 1; got 0"),
    ],
    ids=str,
)
def test_a_value_that_a_word_does_not_take_is_refused(words, match):
    with pytest.raises(RecipeError, match=match):
        Recipe(**words)
    with pytest.raises(RecipeError, match=match):
        replace(Recipe(), **words)


def test_whole_numbers_and_those_of_arrays_are_taken():
    recipe = Recipe(beta=4, latent=np.int64(8), sigma=np.float32(0.5), lr=np.float64(0.1))
    assert recipe == Recipe(beta=4.0, latent=8, sigma=0.5, lr=0.1)
    assert [type(value) for value in (recipe.beta, recipe.latent, recipe.sigma)] == [
        float,
        int,
        float,
    ]


def test_a_recipe_does_not_change():
    with pytest.raises(FrozenInstanceError):
        Recipe().latent = 3
    assert hash(Recipe()) == hash(Recipe(latent=16))
    with pytest.raises(TypeError):
        Recipe("vae")


def test_seeds_are_those_that_generators_take():
    assert WORDS["seed"].most == LARGEST_SEED - 1


def test_every_model_has_a_sentence():
    from probgen.cli.train import EXAMPLES
    from probgen.recipe.choices import ABOUT

    assert [*ABOUT] == [*EXAMPLES] == [*MODELS]
    assert all(text.endswith(".") for text in ABOUT.values())
