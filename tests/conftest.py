import os
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture
def shared_data(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of real data sets, made data.root() for the test; skips where there is none."""
    folder = Path(os.environ.get("PROBGEN_DATA", SHARED))
    if not (folder / "MNIST").is_dir():
        pytest.skip(f"no real data in {folder}; PROBGEN_DATA names their folder")
    monkeypatch.setenv("PROBGEN_DATA", str(folder))
    return folder
