import re

import numpy as np
import pytest
import torch

from probgen import data
from probgen.data import sprites

PIXELS_AT_ORIGIN = {
    "square": [100, 144, 196, 256, 324, 400],
    "ellipse": [76, 104, 144, 184, 228, 288],
    "heart": [58, 84, 108, 140, 182, 222],
}


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROBGEN_DATA", str(tmp_path_factory.mktemp("root")))
        return data.dsprites()


@pytest.fixture
def small(root, monkeypatch):
    """A grid of two orientations of a square, and its images as the original has them."""
    monkeypatch.setattr(sprites, "SIZES", (1, 1, 2, 32, 32))
    grid = np.ascontiguousarray(np.indices((1, 1, 1, 2, 32, 32)).reshape(6, -1).T)
    images = data.render_dsprites(grid[:, 1:]).numpy()
    root.mkdir()
    return {"imgs": images, "latents_classes": grid, "metadata": np.array({}, dtype=object)}


def test_the_real_frames_are_reproduced(shared_data):
    with np.load(shared_data / "dsprites_reference" / "dsprites_gif_frames.npz") as frames:
        real, factors = frames["imgs"], frames["latents_classes"][:, 1:]
    differ = (data.render_dsprites(factors).numpy() != real).sum((1, 2))
    assert len(differ) == 320
    assert differ.max() <= 2
    assert (differ == 0).mean() >= 0.975


def test_measured_areas():
    for shape, areas in enumerate(PIXELS_AT_ORIGIN.values()):
        images = data.render_dsprites([[shape, scale, 0, 0, 0] for scale in range(6)])
        assert images.sum((1, 2)).tolist() == areas


def test_positions_31_steps_apart_are_32_pixels_apart():
    factors = torch.tensor([[2, 5, 7, 0, 0], [2, 5, 7, 31, 0], [2, 5, 7, 0, 31]])
    start, right, below = data.render_dsprites(factors)
    assert torch.equal(start.roll(32, dims=1), right)
    assert torch.equal(start.roll(32, dims=0), below)


def test_a_full_turn_is_none():
    start, end = data.render_dsprites([[1, 3, 0, 9, 4], [1, 3, 39, 9, 4]])
    assert torch.equal(start, end)


def test_the_whole_grid_is_there_once(sets):
    factors = torch.cat([s.factors for s in sets])
    index = np.ravel_multi_index(factors.numpy().T, sprites.SIZES)
    assert [len(s) for s in sets] == [663_552, 73_728]
    assert np.array_equal(np.sort(index), np.arange(737_280))
    assert sum(s.x.nbytes for s in sets) <= 400e6


def test_the_split_is_that_of_split(sets):
    _, part = data.arrays(np.arange(737_280)).split(0.1, seed=0)
    index = np.ravel_multi_index(sets[1].factors.numpy().T, sprites.SIZES)
    assert np.array_equal(part.x, index)


def test_images_show_their_factors(sets):
    for s in sets:
        index = torch.randint(len(s), (200,), generator=torch.Generator().manual_seed(0))
        x, y = s.batch(index)
        assert torch.equal(x[:, 0], data.render_dsprites(s.factors[index]).float())
        assert torch.equal(y, s.factors[index, 0])
        assert s.name == "dsprites (rendered)"


def test_subsets_by_factor(sets):
    part = sets[1].where(scale=5, orientation=[0, 39], posX=range(16))
    assert part.factors[:, 1].unique().tolist() == [5]
    assert part.factors[:, 2].unique().tolist() == [0, 39]
    assert part.batch(slice(0, 2))[0].shape == (2, 1, 64, 64)


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ([[0, 0, 0, 0]], r"integers \(N, 5\); got int64 \(1, 4\)"),
        ([[0.0] * 5], "got float32"),
        ([[0] * 5, [3, 0, 0, 0, 0]], r"got \[3 0 0 0 0\] in row 1"),
        ([[0, 0, -1, 0, 0]], "row 0"),
        ([[0, 0], [0]], "array of numbers"),
        ([["a"] * 5], "array of numbers"),
        (None, "array of numbers"),
        ([[10**20] * 5], "array of numbers"),
    ],
)
def test_bad_factors(factors, message):
    with pytest.raises(data.DataError, match=message):
        data.render_dsprites(factors)


def test_no_factors_give_no_images():
    assert data.render_dsprites(torch.empty(0, 5, dtype=torch.int64)).shape == (0, 64, 64)


def test_the_original_wins(root, small):
    small["imgs"][:, 0, 0] = 1
    np.savez_compressed(root / sprites.ARCHIVE, **small)
    train, test = data.dsprites()
    assert (train.name, len(train), len(test)) == ("dsprites", 1843, 205)
    x, _ = test.batch(slice(None))
    assert x[:, 0, 0, 0].all()
    assert torch.equal(x[:, 0, 1:], data.render_dsprites(test.factors)[:, 1:].float())
    assert data.available()[1].where == "on disk"


@pytest.mark.parametrize(
    ("member", "change", "message"),
    [
        ("imgs", lambda a: a * 255, "expected pixels 0 and 1; got 255"),
        ("imgs", lambda a: a.astype(np.int64), "int64"),
        ("imgs", lambda a: a[:, :32], "(2048, 32, 64)"),
        ("imgs", lambda a: np.array([{}], dtype=object), "dtype('O')"),
        ("latents_classes", lambda a: a[::-1].copy(), "not in the order of their factors"),
        ("latents_classes", lambda a: a[:, 1:].copy(), "(2048, 5)"),
    ],
)
def test_a_damaged_original(root, small, member, change, message):
    np.savez_compressed(root / sprites.ARCHIVE, **(small | {member: change(small[member])}))
    with pytest.raises(data.DataError, match=re.escape(message)) as caught:
        data.dsprites()
    assert sprites.ARCHIVE in str(caught.value)


def test_a_truncated_original(root, small):
    np.savez_compressed(root / sprites.ARCHIVE, **small)
    with (root / sprites.ARCHIVE).open("rb+") as file:
        file.truncate(2000)
    with pytest.raises(data.DataError, match="not a zip file"):
        data.dsprites()
