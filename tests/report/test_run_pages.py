"""Runs read from their folders."""

import json

import torch
from pages import fitted, labelled, read, scores

from probgen import checkpoint, report


def test_no_run_is_lost_whatever_the_names(tmp_path):
    part = labelled()
    vae, history = fitted(part)
    run = report.Run("a", history, vae, part, scores(vae, part), {})
    names = ["a", "a (2)", "a", "original"]
    report.compare(tmp_path, [run._replace(name=name) for name in names])
    numbers = checkpoint.read_json(tmp_path / "report.json")
    assert list(numbers) == ["a", "a (2)", "a (3)", "original"]
    ours = f"{run.scores.values['ELBO']['mean']:.2f} ±"
    assert read(tmp_path / "report.html").text.count(ours) == len(names)


def test_half_written_and_foreign_folders_are_one_line(probgen, runs, tmp_path):
    facts = json.loads((runs[0] / "run.json").read_text())
    unfinished = {name: value for name, value in facts.items() if name != "weights_sha256"}
    cases = (("is not finished: probgen resume", unfinished), ("expected format 1", {"format": 7}))
    for words, content in cases:
        (runs[0] / "run.json").write_text(json.dumps(content))
        status, _, err = probgen("report", *runs)
        assert (status, err.count("\n")) == (2, 1), err
        assert words in err
    (runs[0] / "run.json").write_text(json.dumps(facts))
    for content in (None, b"\xff", b"step,loss\n1,nan\n"):
        (runs[0] / "history.csv").unlink(missing_ok=True)
        if content is not None:
            (runs[0] / "history.csv").write_bytes(content)
        status, _, err = probgen("report", runs[0])
        assert (status, err.count("\n")) == (2, 1), err
    assert probgen("report", tmp_path / "nowhere")[0] == 2


def test_grids_are_found_once_and_broken_ones_left_out(tmp_path):
    (tmp_path / "grids").mkdir()
    assert report.quarters(tmp_path) == {}
    (tmp_path / "grids" / "step-000001.png").write_bytes(b"no picture")
    for step in (10, 2000):
        path = tmp_path / "grids" / f"step-{step:06d}.png"
        report.save_grid(path, torch.rand(64, 1, 8, 16))
    found = report.quarters(tmp_path)
    assert list(found) == ["10", "2,000"]
    assert [*found["10"].shape] == [3, 4 * (32 + 2) + 2, 4 * (64 + 2) + 2]
