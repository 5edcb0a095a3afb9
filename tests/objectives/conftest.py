"""What the tests of several objectives share."""

import objectives_table as proven
import pytest
import torch
from digit_vae import X, vae

from probgen import objectives


@pytest.fixture
def terms():
    pair = vae()
    torch.manual_seed(1)
    return objectives.terms(pair.model, pair.guide, X)


@pytest.fixture(scope="session")
def reported():
    return proven.reported()
