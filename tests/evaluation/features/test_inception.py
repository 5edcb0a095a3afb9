"""Inception's features are torch-fidelity's."""

import hashlib
import io

import pytest
import torch
from counting import RAW

from probgen.evaluation import EvaluationError, features
from probgen.evaluation.features import inception


def test_inception_asks_for_its_weights(tmp_path):
    pytest.importorskip("torch_fidelity", reason="torch-fidelity is the extra [fid]")
    with pytest.raises(EvaluationError, match="is not there: fetch https"):
        features.Inception(tmp_path / "none.pth")
    (tmp_path / "some.pth").write_bytes(b"no weights")
    with pytest.raises(EvaluationError, match="expected sha256 6726825d"):
        features.Inception(tmp_path / "some.pth")


@pytest.mark.usefixtures("root")
def test_inception_that_cannot_be_fetched_says_what_to_do():
    pytest.importorskip("torch_fidelity", reason="torch-fidelity is the extra [fid]")
    with pytest.raises(EvaluationError, match="could not be downloaded.*name its path"):
        features.Inception("download")


def test_inception_is_torch_fidelitys(tmp_path):
    """Random weights: the published ones are 96 MB. Ours meets torch-fidelity's own call."""
    module = pytest.importorskip(
        "torch_fidelity.feature_extractor_inceptionv3", reason="torch-fidelity is the extra [fid]"
    )
    torch.manual_seed(0)
    bare = bare_inception(module)
    path = tmp_path / "weights.pth"
    torch.save(bare, path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    ours = features.Inception(path, sha256=sha256)
    reference = module.FeatureExtractorInceptionV3(
        "reference", ["2048", "logits_unbiased"], str(path)
    )
    images = RAW[:2]
    expected, logits = reference((images * 255).round().byte().repeat(1, 3, 1, 1))
    found = features.extract(ours, images, cache=False)
    torch.testing.assert_close(found.values, expected)
    torch.testing.assert_close(ours.probabilities(found), logits.double().softmax(1))
    assert found.extractor == f"{inception.Inception.name} {sha256[:12]}"
    with pytest.raises(EvaluationError, match="1 or 3, H, W"):
        ours(torch.zeros(2, 2, 8, 8))


def bare_inception(module):
    """A state dict of the right shapes: the constructor insists on loading one, so catch it."""
    caught = {}

    class Catching(module.FeatureExtractorInceptionV3):
        def load_state_dict(self, state):
            caught.update(self.state_dict())

    buffer = io.BytesIO()
    torch.save({}, buffer)
    buffer.seek(0)
    Catching("bare", ["2048"], buffer)
    return caught
