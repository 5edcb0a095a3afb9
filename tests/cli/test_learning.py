"""The command line, in this process and as a user starts it."""

import csv
import inspect
import json
import pickle
import re
import shutil
import subprocess
import sys
from typing import get_args

import numpy as np
import pytest
import torch
from pages import read
from PIL import Image

from probgen import checkpoint, data, recipe, report, scoring
from probgen.cli import learning
from probgen.recipe import building

QUICK = ("train", "vae", "--latent", 3, "--hidden", 16)


@pytest.fixture
def run(probgen, tmp_path):
    """A small finished run."""
    folder = tmp_path / "run"
    status, out, err = probgen(*QUICK, "--epochs", 1, "--out", folder)
    assert status == 0, err
    return folder


def rewrite(folder, **changes):
    facts = json.loads((folder / "run.json").read_text())
    facts["recipe"] |= changes
    (folder / "run.json").write_text(json.dumps(facts))


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
    del facts["recipe"]["target_kl"], facts["recipe"]["kp"]
    (run / "run.json").write_text(json.dumps(facts))
    assert probgen("evaluate", run)[0] == 0


def test_evaluate_agrees_with_train_and_sample_draws(probgen, run):
    trained = checkpoint.read_json(run / "scores.json")
    (run / "scores.json").unlink()
    assert probgen("evaluate", run)[0] == 0
    assert checkpoint.read_json(run / "scores.json") == trained
    status, out, _ = probgen("sample", run, "-n", 5, "--out", run / "five.png")
    assert (status, (run / "five.png").exists()) == (0, True)
    assert "5 samples" in out


def test_resume_trains_for_more_epochs_as_if_in_one_go(probgen, run, tmp_path):
    assert probgen("resume", run, "--epochs", 3)[0] == 0
    assert probgen(*QUICK, "--epochs", 3, "--out", tmp_path / "whole")[0] == 0
    parts, whole = (checkpoint.read_json(f / "run.json") for f in (run, tmp_path / "whole"))
    assert parts["weights_sha256"] == whole["weights_sha256"]
    assert "is finished: probgen resume" in probgen("resume", run)[1]


def test_a_run_has_a_hundred_records_or_more_or_one_per_step(probgen, tmp_path):
    for epochs, every in ((1, 1), (17, 2), (417, 50), (1000, 50)):  # of 12 steps each
        steps = 12 * epochs
        assert recipe.training._interval(recipe.DEFAULTS | {"epochs": epochs}, 1500) == every
        assert steps // every >= min(steps, 100)
    parts, whole = tmp_path / "parts", tmp_path / "whole"
    assert probgen(*QUICK, "--epochs", 17, "--out", whole)[0] == 0
    assert probgen(*QUICK, "--epochs", 16, "--out", parts)[0] == 0
    assert probgen("resume", parts, "--epochs", 17)[0] == 0
    for folder in (parts, whole):
        assert checkpoint.read_json(folder / "run.json")["settings"]["log_every"] == 2
        assert len(report.history(folder).records) == {parts: 192 + 6, whole: 102}[folder]
    given = recipe.train(recipe.DEFAULTS | {"epochs": 1}, tmp_path / "given", log_every=6)
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


def test_data_list_and_get(probgen):
    status, out, _ = probgen("data", "list")
    assert status == 0
    assert all(name in out for name in ("digits", "mnist", "fashion-mnist", "cifar10"))
    assert "1,500 items" in probgen("data", "get", "digits")[1]


def test_real_fashion_mnist_trains(probgen, shared_data, tmp_path):
    """Two thousand steps would take minutes; the data path is the same for one epoch's start."""
    status, out, err = probgen(
        *QUICK, "--data", "fashion-mnist", "--epochs", 1, "--batch-size", 5000, "--out", tmp_path
    )
    assert status == 0, err
    assert "10,000 images of fashion-mnist" in out


WRONG = [
    (("train", "vae", "--side", 8), "--side goes with a folder of images; got digits"),
    (("train", "vae", "--data", "nope"), "expected a data set .* got 'nope'"),
    (("train", "boltzmann"), "Invalid value for"),
    (("train", "vae", "--beta", 4), "--objective beta"),
    (("train", "vae", "--objective", "beta", "--beta", -1), "beta a finite number >= 0"),
    (("train", "vae", "--objective", "controlled"), "controlled needs --target-kl"),
    (("train", "vae", "--objective", "capacity"), "capacity needs --gamma and --capacity"),
    (("train", "vae", "--target-kl", 4), "--target-kl goes with --objective controlled; got elbo"),
    (("train", "vae", "--objective", "controlled", "--target-kl", -1), "target_kl >= 0"),
    (("train", "vae", "--batch-size", 2000), "batch_size from 1 to 1500"),
    (("train", "vae", "--latent", 0), "latent >= 1; got 0"),
    (("train", "vae", "--validation", 2), "fraction"),
    (("train", "vae", "--validation", "nan"), "fraction"),
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


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA here")
def test_absent_cuda_is_one_line(probgen, run):
    for words in (("evaluate", run), (*QUICK, "--out", run.parent / "other")):
        status, _, err = probgen(*words, "--device", "cuda")
        assert (status, err.count("\n")) == (2, 1)
        assert "no CUDA" in err


def test_missing_data_say_what_to_do(probgen, root):
    status, _, err = probgen("data", "get", "mnist")
    assert (status, err.count("\n")) == (2, 1)
    assert "PROBGEN_DATA" in err


class Bomb:
    def __reduce__(self):
        return (print, ("executed",))


def test_a_run_folder_is_not_trusted(probgen, run):
    weights = (run / "weights.safetensors").read_bytes()
    flipped = bytearray(weights)
    flipped[-1] ^= 1
    for content in (pickle.dumps(Bomb()), bytes(flipped), weights[:100], b""):
        (run / "weights.safetensors").write_bytes(content)
        for command in ("evaluate", "sample"):
            status, out, err = probgen(command, run)
            assert (status, err.count("\n")) == (2, 1), err
            assert "executed" not in out + err
    (run / "weights.safetensors").write_bytes(weights)
    facts = (run / "run.json").read_text()
    for content in (pickle.dumps(Bomb()), b'{"format": 1}', b'{"format": 99}', b"[" * 10_000):
        (run / "run.json").write_bytes(content)
        assert probgen("evaluate", run)[0] == 2
    (run / "run.json").write_text(facts)
    assert probgen("evaluate", run)[0] == 0


@pytest.mark.parametrize(
    "change",
    [
        {"latent": 10**9},
        {"latent": 4},
        {"latent": "3"},
        {"latent": True},
        {"net": "../../etc"},
        {"data": "../../etc"},
        {"shape": [1, 8]},
        {"shape": [10**6, 10**6, 10**6]},
        {"shape": "all"},
        {"likelihood": "__class__"},
        {"sigma": None},
        {"hidden": -1},
    ],
    ids=str,
)
def test_a_recipe_is_not_trusted(probgen, run, change):
    rewrite(run, **change)
    status, _, err = probgen("evaluate", run)
    assert (status, err.count("\n")) == (2, 1), err


def test_a_finished_run_is_not_overwritten(probgen, run):
    status, _, err = probgen(*QUICK, "--epochs", 1, "--out", run)
    assert status == 2
    assert "already holds a run" in err


def test_help_teaches_and_loads_no_torch():
    code = (
        "import sys; from probgen import cli; sys.argv = ['probgen', 'train', '--help']\n"
        "try: cli.main()\n"
        "except SystemExit: assert 'torch' not in sys.modules and 'pyro' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Example" in done.stdout


def test_the_words_of_the_command_line_are_those_that_are_built():
    words = inspect.signature(learning.train).parameters
    chosen = {
        "model": building.MODELS,
        "net": building.NETS,
        "likelihood": building.LIKELIHOODS,
        "prior": building.PRIORS,
        "objective": building.OBJECTIVES,
        "loss": building.LOSSES,
    }
    for word, table in chosen.items():
        assert get_args(get_args(words[word].annotation)[0]) == tuple(table), word
    given = {n: p.default for n, p in words.items() if n in recipe.DEFAULTS and n != "model"}
    assert {"model": "vae", **given} == recipe.DEFAULTS
    assert learning.METRICS == tuple(scoring.METRICS)


def test_the_module_is_the_command():
    command = [sys.executable, "-m", "probgen", "data", "list"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "digits" in done.stdout


def test_evaluate_adds_metrics_to_the_scores_and_the_page(probgen, run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    before = checkpoint.read_json(run / "scores.json")
    status, out, err = probgen(
        "evaluate", run, "--metrics", "fid, kid,prdc,is,memorization,nll", "--nll-num-particles", 9
    )
    assert status == 0, err
    saved = checkpoint.read_json(run / "scores.json")
    assert {name: saved[name] for name in before} == before
    names = ["FID", "FID infinity", "FID floor", "KID", "precision", "recall", "density",
             "coverage", "IS", "memorization", "NLL"]  # fmt: skip
    found = {one["name"]: one for one in saved["metrics"]["scores"]}
    assert [*found] == names
    assert found["FID"]["value"] > found["FID floor"]["value"]
    assert found["FID"]["interval"][0] < found["FID"]["value"] < found["FID"]["interval"][1]
    assert found["FID"]["extractor"].startswith("Classifier digits ")
    assert found["FID"]["n"] == [297, 297]
    page = (run / "report.html").read_text()
    assert all(name in page and name in out for name in names)
    ways = ["FID ↓", "KID ↓", "precision ↑", "NLL ↓", "ELBO ↑", "↓ lower is better, ↑ higher"]
    assert all(way in page and way in out for way in ways)
    times = found["FID"]["value"] / found["FID floor"]["value"]
    assert f"FID: {times:.2g} times its floor" in out
    assert not re.search("(floor|memorization|KL) [↓↑]", out)
    assert probgen("evaluate", run)[0] == 0
    assert checkpoint.read_json(run / "scores.json") == saved
    assert probgen("evaluate", run, "--metrics", "kid", "--level", 0, "--seed", 1)[0] == 0
    again = checkpoint.read_json(run / "scores.json")["metrics"]["scores"]
    assert sorted(one["name"] for one in again) == sorted(names)
    assert again[-1]["name"] == "KID"
    assert again[-1]["interval"] is None
    assert again[:3] == saved["metrics"]["scores"][:3]


def test_what_was_measured_before_ctrl_c_is_kept(probgen, run, monkeypatch):
    def stopped(seen, level):
        raise KeyboardInterrupt

    monkeypatch.setitem(scoring.METRICS, "prdc", stopped)
    assert probgen("evaluate", run, "--metrics", "nll", "--n", 9, "--nll-num-particles", 2)[0] == 0
    words = ("--metrics", "kid,prdc,fid", "--level", 0)
    status, _, err = probgen("evaluate", run, *words)
    assert (status, err.count("\n")) == (130, 1), err
    assert "scores.json: NLL, KID" in err.replace("\n", "")
    saved = checkpoint.read_json(run / "scores.json")["metrics"]["scores"]
    assert [one["name"] for one in saved] == ["NLL", "KID"]


def test_the_protocol_of_an_nll_holds_its_images_samples_and_seed(probgen, run):
    found = []
    for words in (("--n", 20), ("--n", 20, "--seed", 1), ("--n", 30)):
        assert (
            probgen("evaluate", run, "--metrics", "nll", "--nll-num-particles", 5, *words)[0] == 0
        )
        found += checkpoint.read_json(run / "scores.json")["metrics"]["scores"]
    assert [one["n"] for one in found] == [[20], [20], [30]]
    assert [one["seed"] for one in found] == [0, 1, 0]
    assert {one["variant"].partition(", no")[0] for one in found} == {
        "importance sampling, num_particles = 5"
    }
    assert len({one["data"] for one in found}) == 3
    for option, word in (("--n", "n"), ("--nll-num-particles", "num_particles")):
        status, _, err = probgen("evaluate", run, "--metrics", "nll", option, 0)
        assert (status, err.count("\n")) == (2, 1), err
        assert f"expected {word} >= 1" in err


def test_metrics_of_other_weights_are_dropped(probgen, run):
    assert probgen("evaluate", run, "--metrics", "kid", "--level", 0)[0] == 0
    assert "metrics" in checkpoint.read_json(run / "scores.json")
    assert probgen("resume", run, "--epochs", 2)[0] == 0
    assert probgen("evaluate", run)[0] == 0
    assert "metrics" not in checkpoint.read_json(run / "scores.json")


def _check_csv(probgen, run, other):
    """Every number of both scores.json to its last digit."""
    status, out, _ = probgen("compare", "--csv", run, other)
    rows = list(csv.DictReader(out.splitlines()))
    assert status == 0
    assert [row["score"] for row in rows[:2]] == ["ELBO", "log-likelihood"]
    found = {(row["run"], row["score"]): row for row in rows}
    for folder in (run, other):
        saved = checkpoint.read_json(folder / "scores.json")
        values = {name: score["mean"] for name, score in saved["scores"].items()}
        values |= {one["name"]: one["value"] for one in saved["metrics"]["scores"]}
        mine = {s: float(row["value"]) for (name, s), row in found.items() if name == folder.name}
        assert mine == values
    elbo, kid = found[run.name, "ELBO"], found[other.name, "KID"]
    assert (elbo["unit"], elbo["better"], elbo["n"], elbo["seed"]) == (
        "nats",
        "higher",
        "297",
        "0",
    )
    assert (kid["better"], kid["n"], kid["low"]) == ("lower", "297 297", "")
    assert found[run.name, "KL"]["better"] == ""


def test_compare_puts_scores_side_by_side_or_refuses(probgen, run, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    other = tmp_path / "other"
    assert probgen(*QUICK, "--epochs", 1, "--seed", 1, "--out", other)[0] == 0
    status, out, _ = probgen("compare", run, other)
    assert (status, "ELBO" in out, "KID" in out) == (0, True, False)
    for folder in (run, other):
        assert probgen("evaluate", folder, "--metrics", "kid", "--level", 0)[0] == 0
    status, out, _ = probgen("compare", run, other)
    assert (status, "KID" in out, "unbiased, all pairs" in out) == (0, True, True)
    assert "± standard error. Protocol: data digits" in out
    shutil.copytree(other, tmp_path / "again" / run.name)
    twins = probgen("compare", run, tmp_path / "again" / run.name)[1].replace("\n", "")
    assert f"again/{run.name}" in twins
    alone = probgen("compare", run, run)[1]
    assert (alone.count(run.name), "KID" in alone) == (2, True)
    _check_csv(probgen, run, other)
    saved = checkpoint.read_json(other / "scores.json")
    good = dict(saved["metrics"]["scores"][0])
    saved["metrics"]["scores"][0]["variant"] = "biased"
    (other / "scores.json").write_text(json.dumps(saved))
    status, _, err = probgen("compare", run, other)
    assert (status, err.count("\n")) == (2, 1)
    assert "cannot be compared: variant 'biased' and 'unbiased, all pairs'" in err
    for damage in ({"variant": 3, "n": "many"}, None):
        saved["metrics"]["scores"][0] = damage
        (other / "scores.json").write_text(json.dumps(saved))
        assert probgen("compare", run, other)[0] == 2
    saved["metrics"]["scores"][0] = good | {"data": "digits test of another draw"}
    (other / "scores.json").write_text(json.dumps(saved))
    assert "cannot be compared: data 'digits test" in probgen("compare", run, other)[2]
    for words in ((), ("--csv",)):
        assert probgen("compare", *words, run, other)[0] == 2
    saved["scores"]["KL"] = {"mean": "much", "unit": "nats"}
    (other / "scores.json").write_text(json.dumps(saved))
    assert "expected scores with mean, standard_error, unit" in probgen("compare", run, other)[2]
    del saved["scores"]["KL"]
    saved["protocol"]["n"] = 3
    (other / "scores.json").write_text(json.dumps(saved))
    assert "n is 297 of" in (refused := probgen("compare", run, other)[2])
    assert "means cannot be compared" in refused
    (other / "scores.json").unlink()
    assert "probgen evaluate" in probgen("compare", run, other)[2]


def test_a_metric_that_cannot_be_had_costs_no_other(probgen, run):
    status, _, err = probgen("evaluate", run, "--metrics", "mig,kid", "--level", 0)
    assert (status, err.count("\n")) == (2, 1), err
    assert "no mig: digits has no factors" in err
    saved = checkpoint.read_json(run / "scores.json")["metrics"]["scores"]
    assert [one["name"] for one in saved] == ["KID"]
    assert "KID" in (run / "report.html").read_text()


def test_scores_without_features_ask_for_no_extractor(probgen, tmp_path):
    run = tmp_path / "sprites"
    words = ("--data", "dsprites", "--limit", 200, "--epochs", 1, "--hidden", 8, "--latent", 3)
    assert probgen("train", "vae", *words, "--out", run)[0] == 0
    status, _, err = probgen("evaluate", run, "--metrics", "fid,mig", "--level", 0)
    assert status == 2
    assert "no fid: no classifier for dsprites (rendered) is shipped" in err
    saved = checkpoint.read_json(run / "scores.json")["metrics"]["scores"]
    assert [one["name"] for one in saved] == ["MIG"]


def test_metrics_that_cannot_be_had_are_one_line(probgen, run):
    for metrics, features, match in (
        ("fid,nope", "auto", "expected metrics fid, kid, .* got 'nope'"),
        ("fid", "nope", "expected digits, fashion-mnist"),
        ("fid", "mnist", r"expected images \(N, 1, 28, 28\)"),
        ("mig", "auto", "no factors"),
    ):
        status, _, err = probgen("evaluate", run, "--metrics", metrics, "--features", features)
        assert (status, err.count("\n")) == (2, 1), err
        assert re.search(match, err), err


def test_diffusion_trains_evaluates_and_samples(probgen, tmp_path):
    folder = tmp_path / "run"
    words = ("--limit", 100, "--batch-size", 50, "--hidden", 16, "--noise-steps", 20)
    status, out, err = probgen(
        "train",
        "diffusion",
        "--objective",
        "simple",
        "--by-class",
        "--epochs",
        1,
        *words,
        "--out",
        folder,
    )
    assert status == 0, err
    assert "bits per dimension" in out
    assert (folder / "report" / "samples.svg").exists()
    assert not (folder / "reconstructions.png").exists()
    status, _, err = probgen("evaluate", folder, "--metrics", "nll")
    assert status == 2
    assert "takes 1 of 20 cells" in err
    guided = ("--label", 3, "--guidance", 2, "--sampler", "ancestral")
    status, out, _ = probgen("sample", folder, "-n", 4, *guided, "--out", tmp_path / "x.png")
    assert status == 0
    assert (tmp_path / "x.png").exists()
    assert probgen("report", folder)[0] == 0
    for more, match in (
        (("--steps", 21), "steps from 1 to 20"),
        (("--label", 10), "labels from 0 to 9"),
    ):
        status, _, err = probgen("sample", folder, *more)
        assert status == 2
        assert match in err


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (
            ("diffusion", "--likelihood", "gaussian"),
            "--likelihood goes with other models; got diffusion",
        ),
        (("diffusion", "--noise-steps", 0), "whole number >= 1; got 0"),
        (("diffusion", "--net", "conv", "--patch", 3), "got 8 x 8"),
        (("vae", "--objective", "simple"), "infer="),
    ],
)
def test_diffusion_words_that_do_not_go_together(probgen, tmp_path, words, match):
    status, _, err = probgen("train", *words, "--epochs", 1, "--out", tmp_path / "run")
    assert status == 2
    assert match in err


def test_samplers_are_for_diffusion(probgen, run):
    status, _, err = probgen("sample", run, "--guidance", 2)
    assert status == 2
    assert "go with diffusion" in err
    status, _, err = probgen("sample", run, "--label", 2)
    assert status == 2
    assert "--label goes with models of classes; this VAE has none" in err


def test_a_gan_trains_resumes_and_is_scored_on_the_command_line(probgen, tmp_path):
    folder = tmp_path / "run"
    words = ("--net", "conv", "--loss", "wasserstein-gp", "--latent", 8, "--batch-size", 50)
    few = ("--limit", 200, "--critic-steps", 1, "--epochs", 1)
    status, out, err = probgen("train", "gan", *words, *few, "--out", folder)
    assert status == 0, err
    assert "no density to score: probgen evaluate" in out
    assert not (folder / "reconstructions.png").exists()
    status, _, err = probgen("resume", folder, "--epochs", 2)
    assert status == 0, err
    facts = checkpoint.read_json(folder / "run.json")
    assert facts["results"]["steps"] == 8
    assert facts["run"]["loss"] == "GradientPenalty(weight=10.0)"
    status, out, err = probgen("evaluate", folder, "--metrics", "fid,prdc,classes,nll,mig")
    assert status == 2
    assert "no nll: expected a module with a model and a guide, such as models.VAE; got GAN" in err
    assert "no mig: GAN has no encode" in err
    saved = checkpoint.read_json(folder / "scores.json")
    assert saved["scores"] == {}
    assert {"FID", "coverage", "classes"} <= {s["name"] for s in saved["metrics"]["scores"]}
    page = (folder / "report.html").read_text()
    assert "Wasserstein distance, as the critic has it" in page
    assert (folder / "report" / "d_loss.svg").exists()
    status, out, err = probgen("sample", folder, "-n", 4, "--out", tmp_path / "four.png")
    assert status == 0, err
    assert (tmp_path / "four.png").exists()


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (("gan", "--objective", "beta", "--beta", 2), "--objective goes with other models"),
        (("gan", "--beta", 2), "--beta goes with --objective"),
        (("gan", "--patience", 2), "--patience goes with other models"),
        (("gan", "--net", "gated"), "expected --net dense, conv, subpixel"),
        (("gan", "--net", "dense", "--loss", "self-supervised"), "expected --net conv, sub"),
        (("vae", "--net", "subpixel"), "--net subpixel goes with gan"),
        (("vae", "--loss", "hinge"), "--loss goes with gan"),
        (("vae", "--critic-steps", 2), "--critic-steps goes with gan"),
        (("gan", "--by-class"), "--by-class goes with diffusion; got gan"),
        (("gan", "--likelihood", "gaussian"), "--likelihood goes with other models"),
        (("vae", "--noise", 0.3), "--noise goes with autoencoder; got vae"),
        (
            ("autoencoder", "--objective", "controlled", "--target-kl", 3.0),
            "--objective goes with other models; got autoencoder",
        ),
        (("vae", "--sigma", 0.3), "--sigma goes with --likelihood gaussian and gaussian-learned"),
        (("vq", "--net", "conv"), "--net goes with other models"),
        (("gan", "--net", "conv", "--hidden", 9), "--hidden goes with --net dense"),
        (("diffusion", "--width", 9), "--width goes with --net conv"),
        (("diffusion", "--net", "gated"), "expected --net dense, conv for diffusion"),
        (("vae", "--components", 5), "--components goes with vampprior and --prior mixture"),
    ],
)
def test_words_of_the_others_are_refused(probgen, tmp_path, words, match):
    status, _, err = probgen("train", *words, "--limit", 200, "--out", tmp_path / "run")
    assert status == 2
    assert match in err


def test_data_show_counts_and_pictures(probgen, tmp_path):
    status, out, err = probgen("data", "show", "digits", "--out", tmp_path)
    assert status == 0, err
    found = read(tmp_path / "report.html")
    train, _ = data.digits()
    zeros = int((train.x == 0).sum()) / train.x.numel()
    assert f"{zeros:.1%} of {train.x.numel():,} values are zero" in found.text
    assert f"{int((train.y == 3).sum())} items" in found.text
    assert (tmp_path / "report" / "means.svg").exists()
