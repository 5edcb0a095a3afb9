"""A GAN: what fits together, and what it samples from."""

import pytest
import torch
from digit_gan import SHAPE, gan
from torch import nn

from probgen import evaluation, models, players


def test_the_sampler_is_the_moving_average_of_the_generator():
    duel = gan()
    duel.decay = 0.5
    kept = duel.average.trunk[0].weight.clone()
    for step in (1, 2, 3):
        with torch.no_grad():
            duel.generator.trunk[0].weight.add_(1.0)
        duel.follow()
        decay = min(0.5, (1 + step) / (10 + step))
        kept = decay * kept + (1 - decay) * duel.generator.trunk[0].weight
    assert torch.allclose(duel.average.trunk[0].weight, kept)
    duel.train()
    with torch.no_grad():
        duel.draw(64)
    assert duel.generator.trunk[2].running_mean.abs().sum() > 0
    duel.follow()
    assert torch.equal(duel.average.trunk[2].running_mean, duel.generator.trunk[2].running_mean)
    assert not any(p.requires_grad for p in duel.average.parameters())


def test_classes_count_those_with_a_tenth_of_an_even_share():
    counts = torch.tensor([500, 480, 10, 9, 1])
    answers = torch.arange(5).repeat_interleave(counts)
    found = evaluation.classes.score(nn.functional.one_hot(answers, 5).double())
    assert float(found) == 2
    assert float(evaluation.classes.score(torch.eye(5), least=1.0)) == 5
    assert torch.allclose(found.details["shares"], counts.double() / 1000)
    with pytest.raises(evaluation.EvaluationError, match="expected finite probabilities"):
        evaluation.classes.score(torch.zeros(5))
    with pytest.raises(evaluation.EvaluationError, match="expected least in"):
        evaluation.classes.score(torch.eye(5), least=0)


def column():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 1))


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: models.GAN(gan().generator, column()), r"one score per datum, \(B,\); got"),
        (
            lambda: models.GAN(gan().generator, players.dense_discriminator((2,))),
            "does not take generated data.*build it for",
        ),
        (lambda: models.GAN(nn.Linear(4, 64), column()), "expected latent=: the generator does"),
        (
            lambda: models.GAN(nn.Linear(4, 64), column(), latent=4, shape=SHAPE),
            "generator to give",
        ),
        (lambda: models.GAN(gan().generator, gan().discriminator, decay=1.0), "decay from 0"),
        (lambda: gan().sample(0), "n >= 1 samples; got 0"),
    ],
)
def test_players_that_do_not_fit_together_are_refused(make, match):
    with pytest.raises(models.ModelError, match=match):
        make()
