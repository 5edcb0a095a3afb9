"""Recipes as run.json keeps them: written, read again, and those of earlier versions."""

import json

import pytest

from probgen.recipe import Recipe, RecipeError, Written, read, written
from probgen.run.folder import Folder, RunError

EARLIER = {
    "model": "vae", "data": "digits", "side": None, "limit": None, "binarize": False,
    "validation": 0.0, "net": "dense", "latent": 16, "hidden": 400, "likelihood": "bernoulli",
    "sigma": 1.0, "prior": "normal", "components": 50, "codes": 512, "penalty": 0.1, "noise": 0.0,
    "noise_steps": 1000, "schedule": "cosine", "predicts": "v", "width": 32, "blocks": 1,
    "patch": 1, "by_class": False, "objective": "iwae", "beta": 1, "warmup": 0,
    "target_kl": None, "tolerance": None, "kp": 1.0, "ki": 0.02, "beta_min": 0.0,
    "beta_max": 100.0, "gamma": None, "capacity": None, "free_bits": None, "per": "dimension",
    "k": 50, "loss": "non-saturating", "critic_steps": None, "epochs": 20, "batch_size": 128,
    "lr": None, "clip_norm": None, "patience": None, "precision": "float32", "seed": 0,
    "shape": [1, 8, 8], "classes": 10,
}  # fmt: skip
"""The recipe in a run.json of version 0.1.0."""


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(),
        Recipe(model="gan", loss="hinge", critic_steps=3, lr=0.1),
        Recipe(objective="iwae", num_particles=5, limit=100, sigma=0.3),
        Recipe(model="diffusion", by_class=True, clip_norm=1, data="pictures/of mine"),
    ],
    ids=lambda recipe: recipe.model,
)
def test_what_is_written_is_read_again(recipe, tmp_path):
    kept = Written(recipe, (3, 8, 8), 10)
    assert written(json.loads(json.dumps(kept.facts()))) == kept
    Folder(tmp_path).write_facts({"recipe": kept.facts()})
    assert read(tmp_path) == recipe


def test_a_recipe_of_an_earlier_version_is_read():
    found = written(EARLIER)
    assert found == Written(Recipe(objective="iwae", num_particles=50), (1, 8, 8), 10)
    assert "k" not in found.facts()


def test_words_that_an_earlier_version_lacked_have_their_defaults():
    few = {name: EARLIER[name] for name in ("model", "data", "latent", "shape")}
    assert written(few) == Written(Recipe(), (1, 8, 8), 0)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"latnet": 3}, "got 'latnet'; did you mean 'latent'?"),
        ({"latent": "3"}, "expected latent: int; got '3'"),
        ({"net": "../../etc"}, "expected net dense"),
        ({"k": 0}, "num_particles >= 1; got 0"),
        ({"num_particles": 5}, "num_particles and k"),
        ({"shape": [1, True]}, "expected shape: a list of sides"),
        ({"shape": None}, "expected shape: a list of sides"),
        ({"classes": -1}, "expected classes: a whole number >= 0; got -1"),
    ],
    ids=str,
)
def test_what_is_no_recipe_is_refused(tmp_path, change, match):
    with pytest.raises(RecipeError, match=match):
        written(EARLIER | change)
    Folder(tmp_path).write_facts({"recipe": EARLIER | change})
    with pytest.raises(RunError, match=f"run.json: .*{match}"):
        read(tmp_path)


def test_a_run_without_a_recipe_says_how_to_load_it(tmp_path):
    Folder(tmp_path).write_facts({"recipe": None})
    with pytest.raises(RunError, match="was not made from a recipe: run.load"):
        read(tmp_path)
