"""The precisions in which lowered steps are compared."""

import pytest
import torch

TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-10}


@pytest.fixture(params=TOLERANCE, ids=["float32", "float64"])
def tolerance(request):
    before = torch.get_default_dtype()
    torch.set_default_dtype(request.param)
    yield TOLERANCE[request.param]
    torch.set_default_dtype(before)
