"""What every loop of training keeps: checkpoints, the last good weights, precision."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from digit_vae import DIGITS, same, vae, weights

from probgen import checkpoint, objectives, training

ELBO = objectives.ELBO


def test_a_full_disk_while_saving_is_one_error_and_loses_nothing(tmp_path, monkeypatch):
    training.fit(vae(), ELBO(), DIGITS, steps=4, checkpoint=tmp_path)
    write = checkpoint._write

    def full(path, content):
        if path.name == "state.safetensors":
            raise OSError(28, "No space left on device")
        write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "_write", full)
        with pytest.raises(checkpoint.CheckpointError, match="step 4 is kept"):
            training.fit(vae(), ELBO(), DIGITS, steps=9, checkpoint=tmp_path, resume=True)
    history = training.fit(vae(), ELBO(), DIGITS, steps=9, checkpoint=tmp_path, resume=True)
    assert history.records[-1]["step"] == 9


def test_a_pair_in_double_precision_trains():
    history = training.fit(vae().double(), ELBO(), DIGITS, steps=3)
    assert history.records[-1]["loss"] < 100


def test_ctrl_c_finishes_the_step_saves_and_says_how_to_resume(tmp_path):
    whole, pair = vae(), vae()
    training.fit(whole, ELBO(), DIGITS, steps=20, log_every=3)

    def press(record):
        if record["step"] == 9:
            os.kill(os.getpid(), signal.SIGINT)

    settings = {"steps": 20, "log_every": 3, "checkpoint": tmp_path}
    with pytest.raises(training.Interrupted, match=r"step 10 and saved; resume with: fit"):
        training.fit(pair, ELBO(), DIGITS, log=press, **settings)
    other = vae(seed=3)
    training.fit(other, ELBO(), DIGITS, resume=True, **settings)
    assert same(weights(whole), weights(other))


def allowed():
    return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize(
    ("precision", "found"),
    [
        ("float32", ("highest", False)),
        ("tf32", ("high", True)),
        ("bfloat16", ("highest", False)),
    ],
)
def test_products_have_the_precision_that_the_run_states(precision, found):
    seen, before = set(), allowed()
    training.fit(
        vae(), ELBO(), DIGITS, steps=2, precision=precision, log=lambda record: seen.add(allowed())
    )
    assert (seen, allowed()) == ({found}, before)


def test_precisions_set_in_the_newer_way_are_given_back(monkeypatch):
    newer = (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn)
    before = allowed()
    try:
        for way, precision in zip(newer, ("tf32", "ieee", "tf32"), strict=True):
            way.fp32_precision = precision
        training.fit(vae(), ELBO(), DIGITS, steps=1)
        assert [way.fp32_precision for way in newer] == ["tf32", "ieee", "tf32"]
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
def test_lower_precision_trains(precision):
    pair = vae()
    history = training.fit(pair, ELBO(), DIGITS, epochs=3, precision=precision)
    losses = history.series("loss")[1]
    assert losses[-1] < losses[0]
    assert next(pair.parameters()).dtype == torch.float32


def test_a_run_killed_at_any_moment_resumes_to_the_same_weights(tmp_path):
    script = Path(__file__).parents[1] / "kill_points.py"
    command = [sys.executable, str(script), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads(done.stdout)
    assert len(results) == 20
    assert all(result["killed"] and result["same"] for result in results), results


def test_a_run_whose_objective_was_written_otherwise_goes_on(tmp_path, monkeypatch):
    kind = objectives.ImportanceWeightedELBO
    with monkeypatch.context() as former:
        former.setattr(kind, "extra_repr", lambda self: f"k={self.num_particles}, gradient=dreg")
        training.fit(vae(), kind(2), DIGITS, steps=2, checkpoint=tmp_path)
    with pytest.raises(checkpoint.CheckpointError, match="same objective"):
        training.fit(vae(), kind(3), DIGITS, steps=4, checkpoint=tmp_path, resume=True)
    training.fit(vae(), kind(2), DIGITS, steps=4, checkpoint=tmp_path, resume=True)
