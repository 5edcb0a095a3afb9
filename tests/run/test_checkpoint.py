"""What lies on disk: whole or refused, and never lost."""

import errno
import json
import os
import pickle

import pytest
import torch

from probgen import checkpoint
from probgen.run.checkpoint import CheckpointError, Spec

TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(7)}
EXPECTED = {name: Spec.of(tensor) for name, tensor in TENSORS.items()}
STATE = {"step": 3, "loss": 0.1}


@pytest.fixture
def folder(tmp_path):
    for step in (1, 2, 3):
        checkpoint.save(tmp_path / "run", step, TENSORS, STATE | {"step": step})
    return tmp_path / "run"


def flip(path, at=-1):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_what_is_saved_comes_back_and_the_last_two_are_kept(folder):
    tensors, state = checkpoint.load(folder, EXPECTED)
    assert state == STATE
    for name, tensor in TENSORS.items():
        assert torch.equal(tensors[name], tensor)
    assert [path.name for path in checkpoint.generations(folder)] == ["000000002", "000000003"]
    assert not list(folder.glob(".*"))


def test_a_step_saved_again_comes_after_the_first(folder):
    for loss in (9.0, 10.0):
        checkpoint.save(folder, 3, TENSORS, STATE | {"loss": loss})
        assert checkpoint.load(folder, EXPECTED)[1]["loss"] == loss
    assert [path.name for path in checkpoint.generations(folder)] == ["000000003-1", "000000003-2"]
    assert not list(folder.glob(".*"))


def test_names_of_the_future_do_not_crowd_out_what_is_saved(folder):
    for name in ("999999998", "999999999"):
        (folder / name).mkdir()
    checkpoint.save(folder, 4, TENSORS, STATE | {"step": 4})
    assert checkpoint.load(folder, EXPECTED)[1]["step"] == 4


def test_links_are_not_followed_and_pipes_not_waited_for(folder, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    for name in (".saving-run.json", ".saving-000000004"):
        (folder / name).symlink_to(victim)
    checkpoint.write(folder / "run.json", b"{}")
    checkpoint.save(folder, 4, TENSORS, STATE)
    assert victim.read_text() == "mine"
    os.mkfifo(folder / "pipe")
    with pytest.raises(CheckpointError, match="not a regular file"):
        checkpoint.read_json(folder / "pipe")
    with pytest.raises(CheckpointError, match="not a regular file"):
        checkpoint.read_tensors(folder / "pipe", EXPECTED)


@pytest.mark.parametrize("name", ["state.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "missing"])
def test_a_damaged_generation_falls_back_on_the_older_one(folder, name, damage):
    path = folder / "000000003" / name
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(content[: len(content) // 2] if damage == "cut" else content)
        if damage == "flip":
            flip(path, len(content) // 2)
    assert checkpoint.load(folder, EXPECTED)[1]["step"] == 2


def test_two_damaged_generations_are_an_error(folder):
    for generation in checkpoint.generations(folder):
        flip(generation / "state.safetensors")
    with pytest.raises(CheckpointError, match="no usable checkpoint .* is damaged"):
        checkpoint.load(folder, EXPECTED)


@pytest.mark.parametrize(
    "expected",
    [
        {**EXPECTED, "a": Spec((3, 2), torch.float32)},
        {**EXPECTED, "a": Spec((2, 3), torch.float64)},
        {**EXPECTED, "c": Spec((), torch.float32)},
        {"a": EXPECTED["a"]},
    ],
    ids=["shape", "dtype", "missing", "extra"],
)
def test_another_model_is_refused(folder, expected):
    with pytest.raises(CheckpointError, match="of another model: expected"):
        checkpoint.load(folder, expected)


class Bomb:
    def __reduce__(self):
        return (print, ("executed",))


def header(value):
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return len(content).to_bytes(8, "little") + content


HUGE = {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"short",
        pickle.dumps(Bomb()),
        (2**62).to_bytes(8, "little") + b"{}",
        header(b"[" * 100_000),
        header(b'{"a": 1, "a": 2}'),
        header({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 0]}}),
        header({"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}),
        header({"a": HUGE, "b": HUGE}),
        header([1]),
        header({"a": {"dtype": "F32", "shape": [0], "data_offsets": [5, 9]}}),
        checkpoint.pack(TENSORS) + b"more",
        checkpoint.pack(TENSORS)[:-1],
    ],
)
def test_malicious_tensors_are_refused(tmp_path, content, capsys):
    path = tmp_path / "state.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError):
        checkpoint.read_tensors(path, EXPECTED)
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[1]",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"a": 1, "a": 2}',
        b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}",
        b'{"a": ' + b"[" * 100_000,
        b'{"a": ' + b"9" * 10_000 + b"}",
        b"\xff\xfe",
        pickle.dumps(Bomb()),
    ],
)
def test_loose_json_is_refused(tmp_path, content):
    path = tmp_path / "run.json"
    path.write_bytes(content)
    with pytest.raises(CheckpointError):
        checkpoint.read_json(path)


def test_a_full_disk_leaves_the_older_generations(folder, monkeypatch):
    def full(path, content):
        path.write_bytes(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "_write", full)
    with pytest.raises(CheckpointError, match="step 4 .* No space left .* step 3 is kept"):
        checkpoint.save(folder, 4, TENSORS, STATE)
    with pytest.raises(CheckpointError, match="could not write .*run.json: No space left"):
        checkpoint.write(folder / "run.json", b"{}")
    assert checkpoint.load(folder, EXPECTED)[1]["step"] == 3
    assert sorted(path.name for path in folder.iterdir()) == ["000000002", "000000003"]


def test_a_file_where_the_folder_should_be_is_one_clear_error(tmp_path):
    (tmp_path / "run").write_text("in the way")
    with pytest.raises(CheckpointError, match="could not save step 1"):
        checkpoint.save(tmp_path / "run", 1, TENSORS, STATE)


def test_no_checkpoint_is_said(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint in"):
        checkpoint.load(tmp_path / "nowhere", EXPECTED)


def test_tensors_of_other_memory_layouts_are_saved_in_order(tmp_path):
    image = torch.arange(24.0).reshape(1, 2, 3, 4).contiguous(memory_format=torch.channels_last)
    tensors = {"image": image, "transposed": torch.arange(6.0).reshape(2, 3).T}
    specs = {name: Spec.of(tensor) for name, tensor in tensors.items()}
    checkpoint.write(tmp_path / "t.safetensors", checkpoint.pack(tensors))
    found = checkpoint.read_tensors(tmp_path / "t.safetensors", specs)
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
