"""A run that the tests of the command line share."""

import pytest


@pytest.fixture
def run(probgen, tmp_path):
    """A small finished run."""
    folder = tmp_path / "run"
    status, out, err = probgen(
        "train", "vae", "--latent", 3, "--hidden", 16, "--epochs", 1, "--out", folder
    )
    assert status == 0, err
    return folder
