"""The official sets, as their authors counted them."""

import numpy as np
import pytest
import torch

from probgen import data
from probgen.data import cifar


def test_root_is_chosen_by_the_environment(monkeypatch):
    monkeypatch.setenv("PROBGEN_DATA", "/a/b")
    assert str(data.root()) == "/a/b"
    monkeypatch.delenv("PROBGEN_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", "/c")
    assert str(data.root()) == "/c/probgen"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert str(data.root()).endswith("/.cache/probgen")


def test_digits_are_split_in_proportion():
    train, test = data.digits()
    assert (len(train), len(test), train.shape, train.x.dtype) == (
        1500,
        297,
        (1, 8, 8),
        torch.uint8,
    )
    whole = train.y.bincount() + test.y.bincount()
    assert whole.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert (test.y.bincount() - whole * 297 / 1797).abs().max() < 1
    assert torch.equal(train.x, data.digits()[0].x)
    assert train.x.max() == 255


MNIST_COUNTS = (
    [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
    [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
)
OFFICIAL = {
    "mnist": (MNIST_COUNTS, [5, 0, 4, 1, 9], [0.1307], [0.3081]),
    "fashion-mnist": (([6000] * 10, [1000] * 10), [9, 0, 0, 3, 0], [0.2860], [0.3530]),
    "cifar10": (
        ([5000] * 10, [1000] * 10),
        [0, 1, 2, 3, 4],
        [0.49125, 0.48209, 0.44652],
        [0.24523, 0.24278, 0.26063],
    ),
}


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_sets(shared_data, name):
    if name == "cifar10" and cifar.has_original():
        pytest.skip("these numbers are those of the JPEGs")
    counts, labels, mean, std = OFFICIAL[name]
    train, test = getattr(data, name.replace("-", "_"))()
    assert [s.y.bincount().tolist() for s in (train, test)] == list(counts)
    assert train.y[:5].tolist() == labels
    found = train.statistics()
    np.testing.assert_allclose(found.mean, mean, atol=5e-5)
    np.testing.assert_allclose(found.std, std, atol=5e-5)
    entry = next(e for e in data.available() if e.name == name)
    assert (entry.items, entry.shape, entry.where) == (
        (len(train), len(test)),
        train.shape,
        "on disk",
    )
    assert train.name == ("cifar10 (lossy JPEG)" if name == "cifar10" else name)
