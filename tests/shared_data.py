"""Networks and reference values that may lie beside the repository or under $PROBGEN_DATA."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

BESIDE = Path(__file__).parents[2] / "shared" / "data"


def bif_files():
    """The .bif.gz files as test parameters; one skipped parameter when there are none."""
    folders = [Path(os.environ.get("PROBGEN_DATA", BESIDE)) / "bif", BESIDE / "bif"]
    for folder in folders:
        if files := sorted(folder.glob("*.bif.gz")):
            return files
    reason = "no bif/*.bif.gz under $PROBGEN_DATA or beside the repository"
    return [pytest.param(Path("none"), marks=pytest.mark.skip(reason=reason))]


TOO_MANY = {"link", "munin1", "pigs", "win95pts"}  # torch has 64 dimensions, one per site
ENUMERABLE = [p for p in bif_files() if not TOO_MANY & set(str(getattr(p, "name", p)).split("."))]
"""The networks whose nodes are few enough for a Pyro program to enumerate."""


def vectors(name):
    """Inputs and expected outputs of shared/vectors/NAME; skips the test where there are none."""
    path = BESIDE.parent / "vectors" / f"{name}.npz"
    if not path.is_file():
        pytest.skip("no shared/vectors beside the repository")
    with np.load(path) as arrays:
        inputs = {key: torch.from_numpy(arrays[key]) for key in arrays.files}
    expected = (path.parent / f"{name}.json").read_text()
    return inputs, json.loads(expected)["expected"]
