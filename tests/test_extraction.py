"""Features of images: what a pass gives, what is kept on disk, which networks there are."""

import hashlib
import io
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from probgen import checkpoint, data, training
from probgen.data import DataError, files
from probgen.evaluation import EvaluationError, ProtocolError, features, fid
from probgen.evaluation.features import extractor, inception
from probgen.training import ClassificationError

RAW = torch.rand(30, 1, 8, 8, generator=torch.Generator().manual_seed(0))


class Counting(nn.Module):
    """Mean and greatest pixel by a linear layer; counts the images it has seen."""

    seen = 0

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.net = nn.Linear(64, 3)

    def forward(self, x):
        Counting.seen += len(x)
        return self.net(x.flatten(1))


@pytest.fixture(autouse=True)
def _nothing_seen():
    Counting.seen = 0


def test_one_pass_in_batches_equals_the_whole():
    net = Counting()
    with torch.no_grad():
        expected = net(RAW)
    for size in (1, 7, 30, 1000):
        found = features.extract(net, RAW, batch_size=size, cache=False)
        torch.testing.assert_close(found.values, expected)
    assert found.extractor.startswith("Counting ")


def test_a_set_gives_what_its_images_give():
    _, test = data.digits()
    a = features.extract(lambda x: x.flatten(1), test, cache=False)
    b = features.extract(lambda x: x.flatten(1), test.batch(slice(None))[0], cache=False)
    torch.testing.assert_close(a.values, b.values)


def test_modules_rest_while_they_are_asked():
    net = nn.Sequential(nn.Flatten(), nn.Dropout(0.9), nn.BatchNorm1d(64)).train()
    before = {name: t.clone() for name, t in net.state_dict().items()}
    found = features.extract(net, RAW, cache=False)
    torch.testing.assert_close(found.values, RAW.flatten(1) / (1 + 1e-5) ** 0.5)
    assert net.training
    assert all(torch.equal(t, before[name]) for name, t in net.state_dict().items())


def test_the_second_score_needs_no_second_pass(tmp_path):
    first = features.extract(Counting(), RAW, cache=tmp_path)
    again = features.extract(Counting(), RAW.clone(), cache=tmp_path)
    assert Counting.seen == len(RAW)
    assert torch.equal(first.values, again.values)
    assert first.extractor == again.extractor


def test_other_images_weights_attributes_or_code_are_asked_anew(tmp_path):
    def seen_by(net, images):
        before = Counting.seen
        features.extract(net, images, cache=tmp_path)
        return Counting.seen - before

    class Other(Counting):
        def forward(self, x):
            return super().forward(x) + 1

    changed = Counting()
    changed.temperature = 2.0
    flat = RAW.reshape(30, 1, 4, 16)
    cases = [(Counting(), RAW), (Counting(1), RAW), (Other(), RAW), (changed, RAW),
             (Counting(), 1 - RAW), (Counting(), flat), (Counting(), RAW[:29])]  # fmt: skip
    assert [seen_by(*case) for case in cases] == [30, 30, 30, 30, 30, 30, 29]
    assert [seen_by(*case) for case in cases] == [0] * 7


def test_plain_functions_are_not_kept(tmp_path):
    features.extract(lambda x: x.flatten(1), RAW, cache=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "no sum", "other sum", "pickle"])
def test_a_corrupt_entry_is_computed_again(tmp_path, damage):
    first = features.extract(Counting(), RAW, cache=tmp_path)
    (kept,) = tmp_path.glob("*.safetensors")
    content = bytearray(kept.read_bytes())
    content[-1] ^= 1
    contents = {"flip": content, "cut": content[:40], "empty": b"", "pickle": b"\x80\x04."}
    if damage == "no sum":
        kept.with_suffix(".json").unlink()
    elif damage == "other sum":
        kept.with_suffix(".json").write_text('{"sha256": "0"}')
    else:
        kept.write_bytes(contents[damage])
    again = features.extract(Counting(), RAW, cache=tmp_path)
    assert Counting.seen == 2 * len(RAW)
    assert torch.equal(first.values, again.values)
    features.extract(Counting(), RAW, cache=tmp_path)
    assert Counting.seen == 2 * len(RAW)


def test_a_cache_that_cannot_be_written_loses_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.warns(UserWarning, match="not kept for next time"):
        found = features.extract(Counting(), RAW, cache=tmp_path / "file")
    assert found.values.shape == (30, 3)


def test_the_default_cache_is_the_users(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    features.extract(Counting(), RAW)
    assert len(list((tmp_path / "probgen" / "features").iterdir())) == 2


def nan_at_seventh(x):
    return x.flatten(1).where(torch.arange(len(x))[:, None] != 7, torch.nan)


WRONG = [
    (RAW[:1], {}, "at least 2 images; got 1"),
    (RAW[0], {}, "expected images"),
    (RAW + 0.5, {}, r"pixels in \[0, 1\]; got 1\.\d+ in image 0"),
    (RAW.clone().index_fill_(0, torch.tensor(21), torch.nan), {}, "got nan in image 21"),
    (torch.cat([RAW, RAW - 1e-3]), {"batch_size": 4}, r"got -0\.\d+ in image"),
    ((RAW * 255).byte(), {}, "divide bytes by 255"),
    (RAW, {"batch_size": 0}, "batch_size >= 1; got 0"),
    (RAW, {"extractor": nan_at_seventh}, "NaN or infinity for image 7"),
    (RAW, {"extractor": lambda x: x}, r"features \(30, d\) of 30 images; got \(30, 1, 8, 8\)"),
    (RAW, {"extractor": lambda x: x.flatten(1)[:3]}, r"got \(3, 64\)"),
    (RAW, {"extractor": lambda x: None}, "got NoneType"),
]


@pytest.mark.parametrize(("images", "settings", "match"), WRONG)
def test_wrong_images_and_extractors_are_named(images, settings, match):
    settings = {"extractor": Counting(), "cache": False} | settings
    extractor = settings.pop("extractor")
    with pytest.raises(EvaluationError, match=match):
        features.extract(extractor, images, **settings)


def test_a_set_binarised_anew_each_time_has_no_features():
    _, test = data.digits()
    with pytest.raises(EvaluationError, match="binarised anew"):
        features.extract(Counting(), test.binarized())


def test_features_of_two_extractors_are_not_compared():
    a = features.extract(Counting(0), RAW, cache=False)
    b = features.extract(Counting(1), RAW, cache=False)
    with pytest.raises(ProtocolError, match="features of one extractor; got Counting"):
        fid.score(a, b)
    assert fid.score(a, a.values).extractor == a.extractor


def test_fit_classifier_learns_and_repeats():
    train, test = data.digits()
    settings = {"epochs": 4, "features": 16, "seed": 3}
    before = torch.get_rng_state()
    classifier = training.fit_classifier(train, **settings)
    assert torch.equal(before, torch.get_rng_state())
    assert float(features.accuracy(classifier, test)) > 0.9
    assert classifier.sha256 == training.fit_classifier(train, **settings).sha256
    assert not classifier.training


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
    with pytest.raises(ClassificationError, match="lr > 0"):
        training.fit_classifier(train, lr=-1.0)
    with pytest.raises(ClassificationError, match="one data.Set.*got Tensor"):
        training.fit_classifier(RAW)
    with pytest.raises(EvaluationError, match="has none"):
        features.accuracy(features.Classifier.load("digits"), data.arrays(RAW))


def test_a_classifier_learns_from_doubles():
    pictures = data.arrays(np.random.default_rng(0).random((20, 1, 8, 8)), np.arange(20) % 2)
    assert training.fit_classifier(pictures, epochs=1, batch_size=10).classes == 2


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


def test_numpy_and_torch_tables_are_the_same():
    x = np.random.default_rng(0).normal(size=(20, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert float(fid.score(x, x + 1)) == float(fid.score(torch.tensor(x), torch.tensor(x + 1)))


def test_downloads_go_below_root(root):
    assert files.root() == root
    with pytest.raises(DataError):
        files.download("https://example.org/x", "x", 1, print, ["x"])
