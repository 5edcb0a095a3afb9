"""The command as a user starts it, and what is wrong with an input."""

import os
import re
import subprocess
import sys

import pytest

from probgen import __version__ as probgen_version
from probgen.cli import train
from probgen.recipe import MODELS, check
from probgen.recipe.choices import ABOUT
from probgen.recipe.owners import check_choices, taken_by

WRONG = [
    (("train", "vae", "--side", 8), "--side goes with a folder of images; got digits"),
    (("train", "vae", "--data", "nope"), "expected a data set .* got 'nope'"),
    (("train", "vea"), "expected a model .* got 'vea'; did you mean 'vae'"),
    (("train", "--latent", 3, "vae"), "expected a model after train"),
    (("train", "vae", "--beta", 4), "--objective beta"),
    (("train", "vae", "--objective", "beta", "--beta", -1), "expected beta >= 0; got -1.0"),
    (("train", "vae", "--objective", "controlled"), "controlled needs --target-kl"),
    (("train", "vae", "--objective", "capacity"), "capacity needs --gamma and --capacity"),
    (("train", "vae", "--target-kl", 4), "--target-kl goes with --objective controlled; got elbo"),
    (("train", "vae", "--objective", "controlled", "--target-kl", -1), "target_kl >= 0"),
    (("train", "vae", "--batch-size", 2000), "batch_size from 1 to 1500"),
    (("train", "vae", "--latent", 0), "latent >= 1; got 0"),
    (("train", "vae", "--validation", 2), "validation from 0 to 1; got 2.0"),
    (("train", "vae", "--validation", "nan"), "validation from 0 to 1; got nan"),
    (("train", "vae", "--seed", 10**20), "seed from 0"),
    (("train", "vae", "--latent", 10**20), "make no network"),
    (("train", "vae", "--device", "meta"), "expected cpu or cuda"),
    (("train", "vae", "--likelihood", "gaussian", "--sigma", 1e-300), "sigma from"),
    (("train", "vae", "--patience", 2), "patience needs validation data"),
    (("evaluate", "nowhere"), "holds no run"),
    (("resume", "nowhere"), "holds no run"),
    (("sample", "nowhere"), "holds no run"),
    (("data", "get", "nope"), "expected a data set"),
]


@pytest.mark.parametrize(("words", "match"), WRONG)
def test_what_is_wrong_is_one_line(probgen, tmp_path, monkeypatch, words, match):
    monkeypatch.chdir(tmp_path)
    status, _, err = probgen(*words)
    assert status == 2
    assert re.search(match, err)
    if not err.startswith("Usage"):
        assert err.count("\n") == 1


def test_help_teaches_and_loads_no_torch():
    code = (
        "import sys; from probgen import cli; sys.argv = ['probgen', 'train', '--help']\n"
        "try: cli.main()\n"
        "except SystemExit: assert 'torch' not in sys.modules and 'pyro' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Example" in done.stdout


def test_the_module_is_the_command():
    command = [sys.executable, "-m", "probgen", "data", "list"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "digits" in done.stdout


def help_of(*words):
    command = [sys.executable, "-m", "probgen", *words, "--help"]
    wide = {**os.environ, "COLUMNS": "80"}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=wide).stdout


@pytest.mark.parametrize("model", MODELS)
def test_the_help_of_a_model_shows_what_it_takes_and_nothing_else(model):
    shown = {*re.findall(r"^│ (--[a-z-]+)", help_of("train", model), re.MULTILINE)}
    words = {word.option for word in taken_by(model)} - {"--model"}
    assert shown == words | {"--device", "--lower", "--tensorboard", "--out", "--help"}


def test_the_help_of_train_explains_the_models():
    page = " ".join(help_of("train").replace("│", " ").split())
    assert "probgen train vae --help" in page
    assert all(f"{model} {ABOUT[model]}" in page for model in MODELS)


@pytest.mark.parametrize("model", MODELS)
def test_the_example_of_a_model_trains(probgen, monkeypatch, model):
    found = []
    monkeypatch.setattr(train, "fit", lambda recipe, *others: found.append(recipe))
    assert probgen("train", model, *train.EXAMPLES[model].split())[0] == 0
    check(found[0])
    check_choices(found[0])
    assert found[0].model == model


def test_the_version_is_shown(probgen):
    assert probgen("--version") == (0, f"probgen {probgen_version}\n", "")


def test_an_option_of_the_wrong_spelling_names_the_nearest(probgen):
    status, _, err = probgen("train", "vae", "--latnet", 3)
    assert status == 2
    assert "--latent" in err


def test_only_errors_of_probgen_are_one_line(probgen, monkeypatch):
    def fails(name):
        raise ValueError("a fault of ours")

    monkeypatch.setattr("probgen.recipe.training.named", fails)
    with pytest.raises(ValueError, match="a fault of ours"):
        probgen("data", "get", "digits")
