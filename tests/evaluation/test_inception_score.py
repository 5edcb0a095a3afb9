"""The inception score: its references, bounds and order."""

import pytest
import torch
from shared_data import vectors

from probgen.evaluation import inception_score


def test_inception_score_meets_the_references():
    given, expected = vectors("inception_score")
    p = given["logits"].softmax(1)
    for splits in (1, 5, 10):
        found = inception_score.score(p, splits=splits, seed=None)
        wanted = expected[f"splits{splits}"]
        assert float(found) == pytest.approx(wanted["inception_score_mean"], abs=1e-8)
        assert found.details["std"] == pytest.approx(wanted["inception_score_std"], abs=1e-8)


def test_inception_score_bounds_and_order():
    """1 where all answers are alike, the number of classes where each is sure and all occur."""
    sure = torch.eye(5).repeat_interleave(40, 0)
    assert float(inception_score.score(torch.full((50, 5), 0.2))) == pytest.approx(1)
    assert float(inception_score.score(sure, splits=1)) == pytest.approx(5)
    assert float(inception_score.score(sure, splits=5, seed=None)) == pytest.approx(1)
    assert float(inception_score.score(sure, splits=5)) > 4
