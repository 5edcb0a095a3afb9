import gc
import os
import sys
import urllib.error
from pathlib import Path

import pyro
import pytest
import torch

from probgen import cli
from probgen.data import fetching

SHARED = Path(__file__).parents[2] / "shared" / "data"

torch.set_num_threads(1)  # small tensors gain nothing from more, and busy machines lose much
os.environ.setdefault("OMP_NUM_THREADS", "1")  # nor do the processes that tests start


def pytest_collection_finish():
    """Leave what was imported out of every later garbage collection."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _empty_parameter_store():
    pyro.clear_param_store()


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    """Features that tests keep go with the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def shared_data(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of real data sets, made data.root() for the test; skips where there is none."""
    folder = Path(os.environ.get("PROBGEN_DATA", SHARED))
    if not (folder / "MNIST").is_dir():
        pytest.skip(f"no real data in {folder}; PROBGEN_DATA names their folder")
    monkeypatch.setenv("PROBGEN_DATA", str(folder))
    return folder


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data.root() that doesn't exist yet, and no network to fill it from."""

    def offline(url: str) -> None:
        raise urllib.error.URLError("no network in tests")

    monkeypatch.setenv("PROBGEN_DATA", str(tmp_path / "root"))
    monkeypatch.setattr(fetching, "_open", offline)
    return tmp_path / "root"


@pytest.fixture
def probgen(monkeypatch, capsys):
    """The command ``probgen`` in this process: words in; exit status, stdout and stderr out."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["probgen", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = capsys.readouterr()
        return stop.value.code or 0, out, err

    return run
