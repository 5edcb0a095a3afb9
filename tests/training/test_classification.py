"""Classifiers learn and repeat."""

import numpy as np
import pytest
import torch
from counting import RAW

from probgen import data, training
from probgen.evaluation import EvaluationError, features
from probgen.training import ClassificationError


def test_fit_classifier_learns_and_repeats():
    train, test = data.digits()
    settings = {"epochs": 4, "features": 16, "seed": 3}
    before = torch.get_rng_state()
    classifier = training.fit_classifier(train, **settings)
    assert torch.equal(before, torch.get_rng_state())
    assert float(features.accuracy(classifier, test)) > 0.9
    assert classifier.sha256 == training.fit_classifier(train, **settings).sha256
    assert not classifier.training


def test_what_no_classifier_is_made_of_is_named():
    train, _ = data.digits()
    with pytest.raises(EvaluationError, match="digits, .*got 'nope'.*fit_classifier"):
        features.Classifier.load("nope")
    with pytest.raises(EvaluationError, match="classes >= 2"):
        features.Classifier((1, 8, 8), 1)
    with pytest.raises(EvaluationError, match=r"expected images \(N, 1, 8, 8\); got"):
        features.Classifier((1, 8, 8), 10)(torch.zeros(2, 3, 8, 8))
    with pytest.raises(ClassificationError, match="labels of two classes"):
        training.fit_classifier(data.arrays(RAW))
    with pytest.raises(ClassificationError, match="epochs >= 1 .* got 0"):
        training.fit_classifier(train, epochs=0)
    with pytest.raises(ClassificationError, match="whole numbers; got 1.5"):
        training.fit_classifier(train, epochs=1.5)
    with pytest.raises(ClassificationError, match="seed from 0"):
        training.fit_classifier(train, seed=-1)
    with pytest.raises(ClassificationError, match="lr > 0"):
        training.fit_classifier(train, lr=-1.0)
    with pytest.raises(ClassificationError, match="one data.Set.*got Tensor"):
        training.fit_classifier(RAW)
    with pytest.raises(EvaluationError, match="has none"):
        features.accuracy(features.Classifier.load("digits"), data.arrays(RAW))


def test_a_classifier_learns_from_doubles():
    pictures = data.arrays(np.random.default_rng(0).random((20, 1, 8, 8)), np.arange(20) % 2)
    assert training.fit_classifier(pictures, epochs=1, batch_size=10).classes == 2
