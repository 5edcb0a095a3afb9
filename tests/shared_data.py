"""Networks that may lie beside the repository or under $PROBGEN_DATA."""

import os
from pathlib import Path

import pytest

BESIDE = Path(__file__).parents[2] / "shared" / "data"


def bif_files():
    """The .bif.gz files as test parameters; one skipped parameter when there are none."""
    folders = [Path(os.environ.get("PROBGEN_DATA", BESIDE)) / "bif", BESIDE / "bif"]
    for folder in folders:
        if files := sorted(folder.glob("*.bif.gz")):
            return files
    reason = "no bif/*.bif.gz under $PROBGEN_DATA or beside the repository"
    return [pytest.param(Path("none"), marks=pytest.mark.skip(reason=reason))]
