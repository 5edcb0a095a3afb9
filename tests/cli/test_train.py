"""Training on the command line: every model and objective, resuming, and what is refused."""

import json

import numpy as np
import pytest
from PIL import Image

from probgen import checkpoint, recipe, report
from probgen.recipe.owners import listed

QUICK = ("train", "vae", "--latent", 3, "--hidden", 16)


def all_but(*models):
    """The other models, as an error lists them."""
    return listed([model for model in recipe.MODELS if model not in models])


def test_train_shows_the_elbo_and_pictures(probgen, tmp_path):
    folder = tmp_path / "run"
    options = ("--net", "conv", "--likelihood", "gaussian-optimal", "--objective", "beta")
    more = ("--beta", 2, "--warmup", 3, "--validation", 0.1, "--binarize", "--epochs", 1)
    status, out, _ = probgen(*QUICK, *options, *more, "--out", folder)
    assert status == 0
    assert "ELBO" in out
    assert "297 images of digits" in out
    assert str(folder / "report.html") in out.replace("\n", "")
    for name in ("samples.svg", "reconstructions.svg", "beta.svg"):
        assert (folder / "report" / name).exists()
    facts = checkpoint.read_json(folder / "run.json")
    assert facts["run"]["objective"].startswith("BetaELBO(beta=Linear(start=0.0, end=2.0, steps=3")
    scores = checkpoint.read_json(folder / "scores.json")
    assert scores["protocol"]["n"] == 297


CHOICES = {
    "controlled": ("--target-kl", 3, "--beta-max", 50, "--warmup", 5),
    "geco": ("--tolerance", 25, "--ki", 0.1),
    "capacity": ("--gamma", 5, "--capacity", 3, "--warmup", 5),
    "free-bits": ("--free-bits", 0.2, "--per", "site"),
}


@pytest.mark.parametrize("objective", CHOICES)
def test_every_objective_has_its_words_and_resumes(probgen, tmp_path, objective):
    words = (*QUICK, "--objective", objective, *CHOICES[objective], "--out", tmp_path)
    assert probgen(*words, "--epochs", 1)[0] == 0
    assert probgen("resume", tmp_path, "--epochs", 2)[0] == 0
    curve = {"geco": "lambda", "controlled": "beta"}.get(objective, "kl")
    assert (tmp_path / "report" / f"{curve}.svg").exists()


def test_a_recipe_of_an_earlier_version_is_read(probgen, run):
    facts = json.loads((run / "run.json").read_text())
    del facts["recipe"]["target_kl"], facts["recipe"]["kp"], facts["recipe"]["num_particles"]
    facts["recipe"]["k"] = None
    (run / "run.json").write_text(json.dumps(facts))
    assert probgen("evaluate", run)[0] == 0
    assert probgen("resume", run, "--epochs", 2)[0] == 0
    assert "num_particles" in json.loads((run / "run.json").read_text())["recipe"]


def test_a_misspelt_word_of_a_run_is_one_line(probgen, run):
    facts = json.loads((run / "run.json").read_text())
    facts["recipe"]["latnet"] = facts["recipe"].pop("latent")
    (run / "run.json").write_text(json.dumps(facts))
    for command in ("evaluate", "resume", "sample", "report"):
        status, _, err = probgen(command, run)
        assert (status, err.count("\n")) == (2, 1)
        assert "run.json: expected words of a recipe; got 'latnet'; did you mean 'latent'?" in err


def test_resume_trains_for_more_epochs_as_if_in_one_go(probgen, run, tmp_path):
    assert probgen("resume", run, "--epochs", 3)[0] == 0
    assert probgen(*QUICK, "--epochs", 3, "--out", tmp_path / "whole")[0] == 0
    parts, whole = (checkpoint.read_json(f / "run.json") for f in (run, tmp_path / "whole"))
    assert parts["weights_sha256"] == whole["weights_sha256"]
    assert "is finished: probgen resume" in probgen("resume", run)[1]


def test_a_run_has_a_hundred_records_or_more_or_one_per_step(probgen, tmp_path):
    for epochs, every in ((1, 1), (17, 2), (417, 50), (1000, 50)):  # of 12 steps each
        steps = 12 * epochs
        assert recipe.training._interval(recipe.Recipe(epochs=epochs), 1500) == every
        assert steps // every >= min(steps, 100)
    parts, whole = tmp_path / "parts", tmp_path / "whole"
    assert probgen(*QUICK, "--epochs", 17, "--out", whole)[0] == 0
    assert probgen(*QUICK, "--epochs", 16, "--out", parts)[0] == 0
    assert probgen("resume", parts, "--epochs", 17)[0] == 0
    for folder in (parts, whole):
        assert checkpoint.read_json(folder / "run.json")["settings"]["log_every"] == 2
        assert len(report.history(folder).records) == {parts: 192 + 6, whole: 102}[folder]
    given = recipe.train(recipe.Recipe(epochs=1), tmp_path / "given", log_every=6)
    assert [record["step"] for record in given.history.records] == [6, 12]


def test_how_steps_run_is_no_part_of_the_recipe(probgen, tmp_path):
    runs = {}
    for lower in ("eager", "graph"):
        folder = tmp_path / lower
        assert probgen(*QUICK, "--epochs", 1, "--lower", lower, "--out", folder)[0] == 0
        runs[lower] = checkpoint.read_json(folder / "run.json")
        assert runs[lower]["lowered"] == lower
    for name in ("recipe", "weights_sha256"):
        assert runs["eager"][name] == runs["graph"][name]
    assert probgen("resume", tmp_path / "eager", "--epochs", 2, "--lower", "graph")[0] == 0
    assert checkpoint.read_json(tmp_path / "eager" / "run.json")["lowered"] == "graph"
    assert probgen(*QUICK, "--lower", "jit", "--out", tmp_path / "jit")[0] == 2


def test_a_folder_of_images_is_a_data_set(probgen, tmp_path):
    pixels = np.random.default_rng(0)
    for name in "ab":
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i in range(20):
            image = Image.fromarray(pixels.integers(0, 256, (8, 8), dtype=np.uint8))
            image.save(tmp_path / "pictures" / name / f"{i}.png")
    pictures, folder = tmp_path / "pictures", tmp_path / "run"
    small = ("--epochs", 1, "--batch-size", 8, "--out", folder)
    assert probgen(*QUICK, "--data", pictures, *small)[0] == 0
    status, _, err = probgen("evaluate", folder)
    assert (status, "name it with --data" in err) == (2, True)
    assert probgen("evaluate", folder, "--data", pictures)[0] == 0
    Image.new("RGB", (9, 30)).save(pictures / "a" / "large.png")
    words = (*QUICK, "--epochs", 1, "--batch-size", 8, "--out", tmp_path / "squares", "--data")
    status, _, err = probgen(*words, pictures)
    assert (status, "or --side, stretches all" in err) == (2, True)
    assert probgen(*words, pictures, "--side", 6)[0] == 0
    assert probgen("evaluate", tmp_path / "squares", "--data", pictures)[0] == 0
    assert probgen("data", "show", pictures, "--side", 6, "--out", tmp_path / "page")[0] == 0


def test_real_fashion_mnist_trains(probgen, shared_data, tmp_path):
    """Two thousand steps would take minutes; the data path is the same for one epoch's start."""
    status, out, err = probgen(
        *QUICK, "--data", "fashion-mnist", "--epochs", 1, "--batch-size", 5000, "--out", tmp_path
    )
    assert status == 0, err
    assert "10,000 images of fashion-mnist" in out


def test_a_finished_run_is_not_overwritten(probgen, run):
    status, _, err = probgen(*QUICK, "--epochs", 1, "--out", run)
    assert status == 2
    assert "already holds a run" in err


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (
            ("diffusion", "--likelihood", "gaussian"),
            f"--likelihood goes with {all_but('diffusion', 'gan')}; got d",
        ),
        (("diffusion", "--noise-steps", 0), "noise_steps from 1 to 100000; got 0"),
        (("diffusion", "--net", "conv", "--patch", 3), "got 8 x 8"),
        (("vae", "--objective", "simple"), "--objective simple goes with diffusion; got vae"),
    ],
)
def test_diffusion_words_that_do_not_go_together(probgen, tmp_path, words, match):
    status, _, err = probgen("train", *words, "--epochs", 1, "--out", tmp_path / "run")
    assert status == 2
    assert match in err


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (
            ("gan", "--objective", "beta", "--beta", 2),
            f"--objective goes with {all_but('autoencoder', 'gan')}; got g",
        ),
        (
            ("gan", "--beta", 2),
            f"--beta goes with {all_but('autoencoder', 'gan')}; got g",
        ),
        (
            ("gan", "--patience", 2),
            f"--patience goes with {all_but('gan')}; got g",
        ),
        (
            ("gan", "--net", "gated"),
            "--net gated goes with vae, conditional, vampprior or autoencoder; got gan",
        ),
        (
            ("gan", "--net", "dense", "--loss", "self-supervised"),
            "--loss self-supervised goes with --net conv or subpixel; got dense",
        ),
        (("vae", "--net", "subpixel"), "--net subpixel goes with gan"),
        (("vae", "--loss", "hinge"), "--loss goes with gan"),
        (("vae", "--critic-steps", 2), "--critic-steps goes with gan"),
        (("gan", "--by-class"), "--by-class goes with diffusion; got gan"),
        (
            ("gan", "--likelihood", "gaussian"),
            f"--likelihood goes with {all_but('diffusion', 'gan')}; got g",
        ),
        (("vae", "--noise", 0.3), "--noise goes with autoencoder; got vae"),
        (
            ("autoencoder", "--objective", "controlled", "--target-kl", 3.0),
            f"--objective goes with {all_but('autoencoder', 'gan')}; got a",
        ),
        (("vae", "--sigma", 0.3), "--sigma goes with --likelihood gaussian or gaussian-learned"),
        (
            ("vq", "--net", "conv"),
            f"--net goes with {all_but('vq', 'sparse')}; got v",
        ),
        (("gan", "--net", "conv", "--hidden", 9), "--hidden goes with --net dense"),
        (("diffusion", "--width", 9), "--width goes with --net conv"),
        (
            ("diffusion", "--net", "gated"),
            "--net gated goes with vae, conditional, vampprior or auto",
        ),
        (("vae", "--components", 5), "--components goes with --prior mixture; got normal"),
    ],
)
def test_words_of_the_others_are_refused(probgen, tmp_path, words, match):
    status, _, err = probgen("train", *words, "--limit", 200, "--out", tmp_path / "run")
    assert status == 2
    assert match in err
