"""Features of images: what a pass gives, what is kept on disk, which networks there are."""

import warnings

import numpy as np
import pytest
import torch
from counting import RAW, Counting
from torch import nn

from probgen import data
from probgen.evaluation import EvaluationError, ProtocolError, features, fid


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


def test_numpy_and_torch_tables_are_the_same():
    x = np.random.default_rng(0).normal(size=(20, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert float(fid.score(x, x + 1)) == float(fid.score(torch.tensor(x), torch.tensor(x + 1)))
