"""Which words have an effect: stated by owners, held against what is built and trained."""

from dataclasses import replace
from itertools import product

import pytest

from probgen.recipe import MODELS, WORDS, Recipe, RecipeError, building, check, in_force
from probgen.recipe.owners import beside, check_choices, choices_of, taken_by

NEEDED = {"target_kl": 3.0, "tolerance": 25.0, "gamma": 5.0, "capacity": 3.0}
NEEDED |= {"free_bits": 0.2, "num_particles": 5}
SMALL = {"latent": 4, "hidden": 8, "codes": 8, "components": 3, "width": 8, "noise_steps": 10}
SMALL |= {"batch_size": 7, "epochs": 3, "limit": 9, "side": 8, "binarize": True, "sigma": 0.5}
SMALL |= {"penalty": 0.5, "noise": 0.5, "blocks": 2, "patch": 2, "by_class": True, "beta": 2.0}
SMALL |= {"warmup": 2, "kp": 2.0, "ki": 2.0, "beta_min": 1.0, "beta_max": 2.0, "lr": 0.1}
SMALL |= {"critic_steps": 2, "clip_norm": 1.0, "patience": 1, "seed": 1, "validation": 0.5}
SMALL |= {"data": "mnist", **NEEDED}
"""A value of each word that is not its default, but for those with choices."""


def valid(model):
    """Every combination of a model's choices that goes together."""
    names = ["net", "likelihood", "prior", "objective", "loss"]
    for values in product(*(choices_of(WORDS[name], model) or [None] for name in names)):
        words = {name: value for name, value in zip(names, values, strict=True) if value}
        recipe = Recipe(model=model, **words, **NEEDED)
        try:
            check_choices(recipe)
        except RecipeError:
            continue
        yield recipe


@pytest.mark.parametrize("model", MODELS)
def test_the_words_that_a_model_takes_are_those_in_force_in_some_recipe(model):
    found = set()
    for recipe in valid(model):
        found |= {*in_force(replace(recipe, **SMALL))}
    assert found == {word.name for word in taken_by(model)}


@pytest.mark.parametrize("model", MODELS)
def test_every_choice_of_a_model_is_built(model):
    """Likelihoods, priors, networks, objectives and losses, each beside the other defaults."""
    common = Recipe(model=model, latent=4, hidden=8, codes=8, components=3, noise_steps=10)
    for word in taken_by(model):
        for choice in choices_of(word, model):
            recipe = replace(common, **{word.name: choice}, **NEEDED)
            if choice == "self-supervised":
                recipe = replace(recipe, net="conv")
            assert sum(p.numel() for p in building.pair(recipe, (1, 8, 8), 10).parameters())
            assert building.objective(recipe)
            assert building.loss(recipe)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("word", [w for w in WORDS.values() if w.choice_owners], ids=str)
def test_choices_of_other_models_are_refused(model, word):
    others = {*word.choices} - {*choices_of(word, model)}
    if word not in taken_by(model):
        return
    for choice in others:
        recipe = Recipe(model=model, **{word.name: choice}, **NEEDED)
        with pytest.raises(RecipeError, match=f"{word.option} {choice} goes with .*; got {model}"):
            building.pair(recipe, (1, 8, 8))


@pytest.mark.parametrize("model", MODELS)
def test_a_word_without_an_effect_is_refused_with_its_place(model):
    taken = taken_by(model)
    for name, value in SMALL.items():
        recipe, word = Recipe(model=model, **{name: value}), WORDS[name]
        if name in in_force(recipe):
            check(recipe)
            continue
        place = beside(word.owners, model) if word in taken else f".*; got {model}"
        with pytest.raises(RecipeError, match=f"{word.option} goes with {place}"):
            check(recipe)


def test_a_word_that_is_missing_is_named():
    with pytest.raises(RecipeError, match="--objective capacity needs --gamma and --capacity"):
        check_choices(Recipe(objective="capacity"))
    with pytest.raises(RecipeError, match="--objective iwae needs --num-particles"):
        check_choices(Recipe(objective="iwae"))
    check_choices(Recipe(model="gan", objective="iwae"))  # which a GAN does not read


def test_a_place_names_only_what_the_model_takes():
    objectives = beside(WORDS["beta"].owners, "diffusion")
    assert objectives == "--objective beta or controlled"
    assert beside(WORDS["components"].owners, "vampprior") == ""
    assert beside(WORDS["components"].owners, "conditional") == "--prior mixture"
    assert beside(WORDS["latent"].owners, "diffusion") == ""
