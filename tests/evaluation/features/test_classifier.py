"""Classifiers as feature extractors: trained, saved, shipped."""

import pytest
import torch

from probgen import checkpoint, data, training
from probgen.evaluation import features
from probgen.evaluation.features import extractor


def test_one_pass_gives_features_and_probabilities():
    _, test = data.digits()
    classifier = features.Classifier.load("digits")
    found = features.extract(classifier, test, cache=False)
    assert found.values.shape == (297, 64)
    with torch.no_grad():
        expected = classifier(test.batch(slice(None))[0]).softmax(1)
    torch.testing.assert_close(classifier.probabilities(found).float(), expected)


def test_a_classifier_is_saved_and_loaded(tmp_path):
    train, _ = data.digits()
    classifier = training.fit_classifier(train, epochs=1)
    classifier.save(tmp_path / "mine", {"accuracy": 0.1})
    again = features.Classifier.load(tmp_path / "mine")
    assert again.sha256 == classifier.sha256
    assert features.identity(again).startswith("Classifier mine ")
    content = bytearray((tmp_path / "mine.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "mine.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match="damaged"):
        features.Classifier.load(tmp_path / "mine")
    (tmp_path / "mine.json").write_text('{"shape": "all", "classes": 10, "features": 64}')
    with pytest.raises(ValueError, match="not a classifier's"):
        features.Classifier.load(tmp_path / "mine")


LEAST = {"digits": 0.97, "mnist": 0.992, "fashion-mnist": 0.92}


@pytest.mark.parametrize("name", LEAST)
def test_the_shipped_classifiers_are_as_good_as_recorded(name, request):
    if name != "digits":
        request.getfixturevalue("shared_data")
    path = features.classifier.WEIGHTS / name
    recorded = checkpoint.read_json(path.with_suffix(".json"))
    assert path.with_suffix(".safetensors").stat().st_size < 1_000_000
    _, test = getattr(data, name.replace("-", "_"))()
    found = float(features.accuracy(features.Classifier.load(name), test))
    assert found == pytest.approx(recorded["accuracy"], abs=2 / len(test))
    assert found >= LEAST[name]
    assert features.identity(extractor("auto", test.name)).split()[1] == name
