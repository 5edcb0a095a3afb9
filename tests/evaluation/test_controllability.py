"""Scores of conditional samples: do they show what was asked for?"""

import math

import numpy as np
import pytest
import torch
from torch import nn

from probgen import data
from probgen.evaluation import EvaluationError, controllability
from probgen.models.pairs import PairError


class Painter(nn.Module):
    """Draws the pixel of its class with noise; ``wrong`` of the time another's."""

    def __init__(self, classes=4, noise=0.1, wrong=0.0):
        super().__init__()
        self.place = nn.Parameter(torch.eye(classes))
        self.noise, self.wrong = noise, wrong

    def sample(self, n, y):
        asked = torch.where(torch.rand(n) < self.wrong, (y + 1) % len(self.place), y)
        flat = self.place[asked] + self.noise * torch.randn(n, len(self.place))
        return flat.reshape(n, 1, 2, -1)


class Judge(nn.Module):
    name, sha256 = "Judge", "0123456789abcdef"

    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout(0.9)

    def forward(self, x):
        return self.drop(x.flatten(1))


def real(noise=0.2, n=400):
    torch.manual_seed(1)
    y = torch.arange(n) % 4
    x = torch.eye(4)[y] + noise * torch.randn(n, 4)
    return data.arrays(x.reshape(n, 1, 2, 2), y)


def test_controllability_counts_what_was_asked_for():
    judge = Judge().train()
    score = controllability.score(Painter(wrong=0.25), judge, n=2002, real=real(), level=0.95)
    assert score.interval[0] < 0.75 < score.interval[1]
    assert score.details["confusion"].sum(1).tolist() == [501, 501, 500, 500]
    wrong = np.diag(score.details["confusion"][:, [1, 2, 3, 0]])
    assert (wrong + np.diag(score.details["confusion"]) == [501, 501, 500, 500]).all()
    assert score.details["accuracy"].mean() == pytest.approx(float(score))
    assert score.details["ceiling"] > 0.98
    assert score.details["ceiling_confusion"].sum(1).tolist() == [100] * 4
    assert score.extractor == "Judge 0123456789ab"
    assert judge.training


def test_diversity_is_that_of_the_real_images():
    half = controllability.score(Painter(noise=0.1), Judge(), n=4000, real=real(0.2, 4000))
    np.testing.assert_allclose(half.details["diversity"], 0.5, atol=0.03)
    np.testing.assert_allclose(half.details["spread"], 0.1 * math.sqrt(8), rtol=0.05)
    alike = controllability.score(Painter(noise=0.0), Judge(), n=40, real=real())
    assert float(alike) == 1
    assert (alike.details["diversity"] == 0).all()


def test_the_spread_is_the_mean_over_all_pairs():
    torch.manual_seed(0)
    x = torch.randn(30, 1, 2, 2)
    seen = controllability._Seen.of(lambda x: x.flatten(1), x.split(7), 4)
    pairs = torch.pdist(x.flatten(1).double())
    assert seen.spread == pytest.approx(pairs.square().mean().sqrt().item())


def test_controllability_is_reproducible():
    scores = [controllability.score(Painter(wrong=0.5), Judge(), n=100, seed=s) for s in (1, 1, 2)]
    assert (scores[0].details["confusion"] == scores[1].details["confusion"]).all()
    assert (scores[0].details["confusion"] != scores[2].details["confusion"]).any()
    assert "ceiling" not in scores[0].details


def test_a_model_that_does_not_listen_is_at_chance():
    class Deaf(Painter):
        def sample(self, n, y):
            return super().sample(n, torch.randint(4, (n,)))

    assert float(controllability.score(Deaf(), Judge(), n=4000)) == pytest.approx(0.25, abs=0.04)


@pytest.mark.parametrize(
    ("pair", "classifier", "settings", "message"),
    [
        (Painter(), Judge(), {"n": 7}, "expected n >= 2 for each of 4 classes"),
        (Painter(), Judge(), {"batch_size": 0}, "batch_size >= 1; got 5000 and 0"),
        (Painter(), Judge(), {"level": 0.0}, "expected level"),
        (Painter(), lambda x: x.flatten(1).sum(1), {}, r"expected class scores \(1, at least 2\)"),
        (Painter(), lambda x: x.flatten(1) * math.nan, {}, "with nan"),
        (Painter(noise=math.inf), Judge(), {}, "samples of finite pixels for class 0"),
        (Painter(), Judge(), {"real": data.arrays(torch.zeros(4, 1, 2, 2))}, "has no labels"),
        (
            Painter(),
            Judge(),
            {"real": data.arrays(torch.zeros(4, 1, 2, 2), [0, 1, 2, 9])},
            "labels below 4",
        ),
    ],
)
def test_bad_conditions(pair, classifier, settings, message):
    with pytest.raises(EvaluationError, match=message):
        controllability.score(pair, classifier, **settings)


def test_samples_of_a_seed_that_no_generator_takes_are_refused():
    with pytest.raises(PairError, match="expected seed"):
        controllability.score(Painter(), Judge(), seed=-1)
