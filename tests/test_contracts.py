"""Who may import whom, what the documents promise, and that the examples run."""

import importlib.util
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import probgen
from probgen import checkpoint, data

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "probgen"
HEAVY = {"torch", "pyro", "pgmpy", "matplotlib"}


def loaded_by(code):
    report = f"{code}; import sys; print(*(m.partition('.')[0] for m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", report], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_importing_probgen_loads_nothing_heavy():
    assert not loaded_by("import probgen") & (HEAVY | {"networkx", "numpy"})


@pytest.mark.parametrize("name", ["graph", "dsep", "markov", "exact"])
def test_reasoning_is_light(name):
    code = f"from probgen import {name}; {name}"
    assert not loaded_by(code) & {"torch", "pyro", "pgmpy", "matplotlib"}


def test_submodules_load_on_first_use():
    assert probgen.nets.dense_encoder
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        probgen.nothing  # noqa: B018


@pytest.mark.parametrize("name", probgen.__all__)
def test_every_public_name_is_found(name):
    assert getattr(probgen, name)


def blocks(page):
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


def test_the_readme_example_is_short():
    assert len(blocks("README.md")[0].strip().splitlines()) <= 12


PAGES = ["bridge", "evaluation", "exact", "first-hour", "lowering", "reasoning", "report"]


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{name}.md" for name in PAGES)])
def test_the_examples_of_a_page_run_as_they_stand(page, tmp_path, monkeypatch):
    """Those of docs/models.md train for minutes, but the last."""
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks(page):
        exec(compile(block, page, "exec"), names)


def test_a_pair_of_your_own_goes_from_arrays_to_a_page_and_back(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(blocks("docs/models.md")[-1], "docs/models.md", "exec"), names)
    assert names["terms"].elbo.mean() > -16.5  # N(0, 1) for each measurement has -18.3
    assert (tmp_path / "runs" / "wine" / "report.html").is_file()


def example(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_example_svi_vae_trains():
    assert example("svi_vae").main(epochs=2, beta=1.0, device="cpu") > -35


def test_example_faster_pyro_gives_the_same_losses():
    rows = example("faster_pyro").main(steps=5, lower="graph")
    assert len(rows) == 3
    for losses in rows.values():
        assert losses["lowered"] == pytest.approx(losses["pyro"], rel=1e-5)


def test_example_bridge_crosses_both_ways(tmp_path, capsys):
    module = example("bridge")
    module.main(rows=500, out=tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"model.svg", "guide.svg"}
    same, gap = module.as_program()
    assert same
    assert gap < 1e-12
    assert max(module.learned(500).values()) < 1e-4
    assert "AutoNormal: the guide drops z1 - z2" in capsys.readouterr().out


NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_its_outputs_are_committed(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert any(cell["outputs"] for cell in cells)
    assert all(cell["execution_count"] for cell in cells)
    names = {}
    for number, cell in enumerate(cells):
        exec(compile("".join(cell["source"]), f"{path.name}, cell {number}", "exec"), names)


STUDIES = {"fashion_mnist_vae": 10, "dsprites_beta": 6, "control_vae": 11}
STUDIES |= {"conditional_fashion": 4, "vampprior_mnist": 3, "vq_codes": 2, "sparse_codes": 2}
STUDIES |= {"mnist_manifold": 2, "cifar_diffusion": 1, "families": 5}


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_runs_quickly_and_writes_its_results(name, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(data, "dsprites", cache(data.dsprites))  # rendered once, not for each run
    module = example(name)
    rows = module.main(epochs=9, quick=True, runs=tmp_path / "r", out=tmp_path, device="cpu")
    assert len(rows) == STUDIES[name]
    shown = capsys.readouterr().out
    source = getattr(module, "SOURCE", "").split()
    compared = ("ours", "reference", *source) if hasattr(module, "REFERENCE") else ()
    assert all(word in shown for word in compared)
    assert "KL" in shown or "bits/dim" in shown
    content = checkpoint.read_json(tmp_path / f"{name}.json")
    assert len(content["runs"]) == STUDIES[name]
    pictures = list((tmp_path / name).glob("*.png"))
    assert len(pictures) >= 5
    assert all(path.stat().st_size < 300_000 for path in pictures)


def test_the_floor_study_is_monotone_and_writes_its_results(tmp_path, capsys):
    """On digits: scores worsen from real images over fewer principal components to noise."""
    module = example("fashion_mnist_floor")
    rows = module.main(epochs=9, quick=True, runs=tmp_path / "r", out=tmp_path, device="cpu")
    by_name = {row["run"]: row for row in rows}
    order = [by_name[name] for name in (module.FLOOR, "PCA-10", module.NOISE)]
    for name, sign in (("FID", 1), ("KID", 1), ("coverage", -1), ("recall", -1)):
        values = [sign * row[name] for row in order]
        assert values == sorted(values), name
    content = checkpoint.read_json(tmp_path / "fashion_mnist_floor.json")
    assert len(content["runs"]) == 4
    assert len(rows) == 12
    assert "coursework report" in capsys.readouterr().out
    pictures = list((tmp_path / "fashion_mnist_floor").glob("*.png"))
    assert len(pictures) == 4
    assert all(path.stat().st_size < 300_000 for path in pictures)


def test_the_study_of_codes_classifies_each_and_writes_its_results(tmp_path, capsys):
    """On digits: what is below raw pixels of the same images is an untrained encoder's."""
    module = example("latent_knn")
    rows = module.main(epochs=9, quick=True, runs=tmp_path / "r", out=tmp_path, device="cpu")
    accuracy = {row["run"]: row["accuracy"] for row in rows}
    assert len(accuracy) == 12
    assert min(accuracy["raw"], accuracy["PCA"], accuracy["raw of 200"]) > 0.85
    content = checkpoint.read_json(tmp_path / "latent_knn.json")
    assert {*content["runs"]} == {*module.CHANGES}
    assert "coursework report" in capsys.readouterr().out
    pictures = list((tmp_path / "latent_knn").glob("*.png"))
    assert len(pictures) == 8
    assert all(path.stat().st_size < 300_000 for path in pictures)


@pytest.mark.filterwarnings("ignore::probgen.training.CollapseWarning")
def test_the_gan_study_runs_quickly_and_writes_its_results(tmp_path, capsys):
    """On digits: every loss and net at the same number of generated images."""
    module = example("gan_mnist")
    rows = module.main(9, True, tmp_path / "r", tmp_path, "cpu", seeds=2)
    again = [f"{name}, seed 1" for name in module.CHANGES]
    assert [row["run"] for row in rows] == [*module.CHANGES, *again]
    content = checkpoint.read_json(tmp_path / "gan_mnist.json")
    steps = {run["recipe"]["epochs"] * 300 // 50 for run in content["runs"].values()}
    assert steps == {24}
    means = content["table"][len(rows) + 3 :]
    assert [row["run"] for row in means] == [*module.CHANGES]
    for row in means:
        both = [one["FID"] for one in rows if one["run"].partition(", seed")[0] == row["run"]]
        assert row["low"] < min(both) < row["mean FID"] < max(both) < row["high"]
    assert "coursework report" in capsys.readouterr().out
    pictures = list((tmp_path / "gan_mnist").glob("*.png"))
    assert len(pictures) == 6
    assert all(path.stat().st_size < 300_000 for path in pictures)


def test_the_classifiers_can_be_trained_again(tmp_path):
    rows = example("train_classifiers").main(["digits"], quick=True, out=tmp_path, device="cpu")
    assert [row["run"] for row in rows] == ["digits"]
    known = checkpoint.read_json(tmp_path / "digits.json")
    assert {"accuracy", "recipe", "sha256", "environment"} <= known.keys()


def test_no_machine_path_is_committed():
    files = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=False
    )
    words = ["/" + "work/", "/" + "root/", "/" + "home/"]
    for name in files.stdout.split():
        path = ROOT / name
        if path.suffix in {".py", ".md", ".toml", ".json", ".cff", ""} and path.is_file():
            text = path.read_text(errors="ignore")
            assert not [word for word in words if word in text], name
