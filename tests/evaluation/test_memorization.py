"""Copies, new data and noise are told apart."""

import torch
from samples import normal

from probgen.evaluation import memorization


def test_memorization_of_copies_new_data_and_noise():
    train, test, new = normal(400, 3), normal(300, 3, seed=1), normal(300, 3, seed=2)
    copies = train[:200] + 1e-3 * normal(200, 3, seed=3)
    found = memorization.score(train, copies, test=test)
    assert float(found) > 0.99
    assert torch.equal(found.details["nearest"], torch.arange(200))
    assert found.details["z"] > 10
    assert abs(memorization.score(train, new, test=test).details["z"]) < 3
    assert float(memorization.score(train, new + 50, test=test)) == 0
    assert float(memorization.score(train, test, test=test)) == 0.5
