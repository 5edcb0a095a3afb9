"""Trained runs on the command line: scores, comparisons, samples."""

import csv
import json
import pickle
import re
import shutil

import pytest
import torch

from probgen import checkpoint, scoring
from probgen.cli import learning

FEW = ("--importance-samples", 5)
QUICK = ("train", "vae", "--latent", 3, "--hidden", 16)


def rewrite(folder, **changes):
    facts = json.loads((folder / "run.json").read_text())
    facts["recipe"] |= changes
    (folder / "run.json").write_text(json.dumps(facts))


def test_evaluate_agrees_with_train_and_sample_draws(probgen, run):
    trained = checkpoint.read_json(run / "scores.json")
    (run / "scores.json").unlink()
    assert probgen("evaluate", run)[0] == 0
    assert checkpoint.read_json(run / "scores.json") == trained
    status, out, _ = probgen("sample", run, "-n", 5, "--out", run / "five.png")
    assert (status, (run / "five.png").exists()) == (0, True)
    assert "5 samples" in out


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA here")
def test_absent_cuda_is_one_line(probgen, run):
    for words in (("evaluate", run), (*QUICK, "--out", run.parent / "other")):
        status, _, err = probgen(*words, "--device", "cuda")
        assert (status, err.count("\n")) == (2, 1)
        assert "no CUDA" in err


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


def test_evaluate_adds_metrics_to_the_scores_and_the_page(probgen, run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    before = checkpoint.read_json(run / "scores.json")
    status, out, err = probgen(
        "evaluate",
        run,
        "--metrics",
        "fid, kid,prdc,is,memorization,nll",
        *FEW,
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
    assert probgen("evaluate", run, "--metrics", "nll", "--n", 9, *FEW)[0] == 0
    words = ("--metrics", "kid,prdc,fid", "--level", 0)
    status, _, err = probgen("evaluate", run, *words)
    assert (status, err.count("\n")) == (130, 1), err
    assert "scores.json: NLL, KID" in err.replace("\n", "")
    saved = checkpoint.read_json(run / "scores.json")["metrics"]["scores"]
    assert [one["name"] for one in saved] == ["NLL", "KID"]


def test_the_protocol_of_an_nll_holds_its_images_samples_and_seed(probgen, run):
    found = []
    for words in (("--n", 20), ("--n", 20, "--seed", 1), ("--n", 30)):
        assert probgen("evaluate", run, "--metrics", "nll", *FEW, *words)[0] == 0
        found += checkpoint.read_json(run / "scores.json")["metrics"]["scores"]
    assert [one["n"] for one in found] == [[20], [20], [30]]
    assert [one["seed"] for one in found] == [0, 1, 0]
    assert {one["variant"].partition(", no")[0] for one in found} == {
        "importance sampling, num_particles = 5"
    }
    assert len({one["data"] for one in found}) == 3
    for words in (("--n", 0), ("--importance-samples", 0)):
        status, _, err = probgen("evaluate", run, "--metrics", "nll", *words)
        assert status == 2
        assert "Invalid value for" in err
        assert f"'{words[0]}'" in err


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


def test_every_metric_is_explained():
    assert [*learning.METRICS] == [*scoring.METRICS]
    assert all(text.endswith(".") for text in learning.METRICS.values())
