"""Sets: batches, splits, checks and packed sets."""

import numpy as np
import pytest
import torch
from torch.distributions import constraints

from probgen import data


@pytest.fixture(scope="module")
def pictures():
    pixels = torch.randint(0, 256, (50, 3, 4, 5), generator=torch.Generator().manual_seed(1))
    return data.arrays(pixels.to(torch.uint8), torch.arange(50) % 3, name="pictures")


class TestSet:
    def test_batches_of_images_are_scaled(self, pictures):
        index = torch.tensor([3, 1, 1])
        x, y = pictures.batch(index)
        assert x.dtype == torch.float32
        assert torch.equal(x, pictures.x[index] / 255)
        assert torch.equal(y, index % 3)
        assert torch.equal(pictures.batch(slice(1, 4))[0], pictures.x[1:4] / 255)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
    def test_floats_pass_unscaled(self, dtype):
        values = torch.tensor([[[[200.5]]]], dtype=dtype)
        assert torch.equal(data.arrays(values).batch(slice(None))[0], values)

    def test_integers_become_floats_unscaled(self):
        counts = data.arrays(np.array([[0, 300], [7, 255]]))
        x, y = counts.batch(torch.tensor([0, 1]))
        assert y is None
        assert x.dtype == torch.float32
        assert x.tolist() == [[0, 300], [7, 255]]

    def test_indices_may_be_lists(self):
        numbers = data.arrays([5.0, 6.0, 7.0], [0, 1, 2])
        assert [t.tolist() for t in numbers.batch([2, 0])] == [[7.0, 5.0], [2, 0]]

    def test_dynamic_binarisation_has_the_pixels_as_mean(self):
        levels = torch.tensor([0, 51, 128, 255], dtype=torch.uint8).reshape(1, 1, 2, 2)
        s = data.arrays(levels).binarized()
        torch.manual_seed(0)
        draws, _ = s.batch(torch.zeros(20_000, dtype=torch.int64))
        assert set(draws.unique().tolist()) == {0.0, 1.0}
        torch.testing.assert_close(draws.mean(0), levels[0] / 255, atol=0.015, rtol=0)
        assert draws[:, 0, 0, 0].sum() == 0
        assert draws[:, 0, 1, 1].all()

    def test_binarisation_follows_the_global_generator(self, pictures):
        s = pictures.binarized()
        torch.manual_seed(3)
        first, second = s.batch(slice(0, 9))[0], s.batch(slice(0, 9))[0]
        torch.manual_seed(3)
        assert torch.equal(first, s.batch(slice(0, 9))[0])
        assert not torch.equal(first, second)

    @pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5, 0.99])
    def test_split_is_a_partition(self, fraction):
        whole = data.arrays(
            torch.arange(200.0), torch.arange(200) % 7, factors=[[i] for i in range(200)]
        )
        rest, part = whole.split(fraction, seed=5)
        assert len(part) == round(fraction * 200)
        assert sorted([*rest.x.tolist(), *part.x.tolist()]) == whole.x.tolist()
        for side in (rest, part):
            assert torch.equal(side.y, side.x.long() % 7)
            assert torch.equal(side.factors[:, 0], side.x.long())

    def test_split_depends_on_the_seed_alone(self, pictures):
        a, b, other = (pictures.split(0.3, seed=s)[1].x for s in (0, 0, 1))
        assert torch.equal(a, b)
        assert not torch.equal(a, other)

    @pytest.mark.parametrize("fraction", [0.0, 0.001, 0.999, 1.0, -0.1, 2.0])
    def test_split_leaves_no_side_empty(self, pictures, fraction):
        with pytest.raises(data.DataError, match="both sides of 50; got"):
            pictures.split(fraction)

    def test_histogram_counts_every_level(self, pictures):
        counts = pictures.histogram()
        assert counts.shape == (3, 256)
        assert counts[1, 77] == (pictures.x[:, 1] == 77).sum()

    def test_statistics_are_those_of_the_pixels(self, pictures):
        mean, std = pictures.binarized().statistics()
        pixels = pictures.x.double() / 255
        torch.testing.assert_close(mean, pixels.mean((0, 2, 3)))
        torch.testing.assert_close(std, pixels.std((0, 2, 3), correction=0))

    def test_statistics_need_images(self):
        with pytest.raises(
            data.DataError, match=r"uint8 images \(N, C, H, W\); got float32 \(1, 2\)"
        ):
            data.arrays([[1.0, 2.0]]).statistics()

    def test_where_selects_by_factor(self):
        grid = torch.cartesian_prod(torch.arange(3), torch.arange(4))
        s = data.arrays(grid.float(), factors=grid, factor_names=("shape", "scale"))
        assert s.where(shape=1, scale=[0, 3]).factors.tolist() == [[1, 0], [1, 3]]
        with pytest.raises(data.DataError, match="one of the factors shape, scale; got 'colour'"):
            s.where(colour=1)
        with pytest.raises(data.DataError, match="at least one item"):
            s.where(shape=9)


class TestCheck:
    def test_shape(self, pictures):
        pictures.check(shape=(3, 4, 5))
        with pytest.raises(
            data.DataError, match=r"pictures: expected items \(1, 28, 28\); got \(3, 4, 5\)"
        ):
            pictures.check(shape=(1, 28, 28))

    def test_images_are_known_to_be_in_the_unit_interval(self, pictures, monkeypatch):
        monkeypatch.setattr(data.Set, "_chunks", None)
        pictures.check(support=constraints.unit_interval)
        pictures.check(support=constraints.real)
        pictures.binarized().check(support=constraints.boolean)

    def test_images_are_scanned_for_other_supports(self, pictures):
        with pytest.raises(data.DataError, match=r"Boolean\(\); got 0\.\d+ in item 0"):
            pictures.check(support=constraints.boolean)
        binary = data.arrays((pictures.x > 99).to(torch.uint8) * 255)
        binary.check(support=constraints.boolean)

    def test_the_first_offending_item_and_value_are_named(self):
        s = data.arrays(
            torch.cat([torch.rand(40, 2, 3), torch.tensor([[[0.1, 9, 2], [7, 0, 0]]])])
        )
        with pytest.raises(data.DataError, match=r"got 9.0 in item 40"):
            s.check(support=constraints.unit_interval)

    def test_supports_over_events(self):
        s = data.arrays([[0.5, 0.5], [0.5, 0.25]])
        with pytest.raises(data.DataError, match=r"got \[0.5, 0.25\] in item 1"):
            s.check(support=constraints.simplex)

    def test_supports_of_independent_pixels_name_the_pixel(self):
        s = data.arrays([[0.5, 0.5], [0.5, 1.25]])
        with pytest.raises(data.DataError, match=r"got 1.25 in item 1"):
            s.check(support=constraints.independent(constraints.unit_interval, 1))

    def test_checking_draws_nothing(self, pictures):
        torch.manual_seed(0)
        before = torch.get_rng_state()
        with pytest.raises(data.DataError, match="expected values"):
            pictures.binarized().check(support=constraints.greater_than(0.5))
        assert torch.equal(before, torch.get_rng_state())


@pytest.fixture(scope="module")
def pair():
    """The same binary images of two channels, packed and as pixels."""
    bits = np.random.default_rng(0).integers(0, 2, (30, 2, 4, 6), dtype=np.uint8)
    rows = torch.from_numpy(np.packbits(bits.reshape(30, -1), axis=1))
    y = torch.arange(30) % 4
    return data.Set(rows, y, packed=(2, 4, 6)), data.Set(torch.from_numpy(bits * 255), y)


class TestPacked:
    def test_a_packed_set_is_the_set_of_its_images(self, pair):
        index = torch.tensor([7, 0, 29])
        packed, pixels = (s.split(0.9, 1)[1].take(range(5, 20)).binarized() for s in pair)
        assert packed.shape == pixels.shape
        for a, b in zip(packed.batch(index // 3), pixels.batch(index // 3), strict=True):
            assert torch.equal(a, b)
            assert a.dtype == b.dtype
        assert torch.equal(packed.histogram(), pixels.histogram())
        assert all(map(torch.equal, packed.statistics(), pixels.statistics()))

    def test_bits_are_known_to_be_boolean(self, pair, monkeypatch):
        monkeypatch.setattr(data.Set, "_chunks", None)
        pair[0].check((2, 4, 6), constraints.boolean)

    @pytest.mark.parametrize(
        ("x", "message"),
        [
            (torch.zeros(3, 5, dtype=torch.uint8), r"bits of \(2, 4, 6\)"),
            (torch.zeros(3, 6), "float32"),
        ],
    )
    def test_the_bits_have_to_be_there(self, x, message):
        with pytest.raises(data.DataError, match=message):
            data.Set(x, packed=(2, 4, 6))


GOOD = {"x": [[1.0], [2.0], [3.0]]}
BAD = {
    "nothing": (dict(x=np.empty((0, 4))), r"at least one item; got x float64 \(0, 4\)"),
    "a scalar": (dict(x=1.0), "at least one item"),
    "text": (dict(x=["a", "b"]), "x to be an array of numbers"),
    "ragged": (dict(x=[[1.0], [2.0, 3.0]]), "x to be an array of numbers"),
    "complex": (dict(x=[1j]), "real numbers"),
    "nan": (dict(x=[[0.0], [1.0], [np.nan]]), "finite values; got nan in item 2"),
    "inf": (dict(x=[[0.0, -np.inf]]), "finite values; got -inf in item 0"),
    "few labels": (dict(**GOOD, y=[0, 1]), r"y int64 \(3,\); got int64 \(2,\)"),
    "wide labels": (dict(**GOOD, y=[[0], [1], [2]]), r"y int64 \(3,\); got int64 \(3, 1\)"),
    "float labels": (dict(**GOOD, y=[0.0, 1.0, 2.0]), "y to be integers; got float32"),
    "labels by name": (dict(**GOOD, y=["a", "b", "a"]), r"got <U1 \(3,\); numpy.unique"),
    "channels last": (dict(x=np.zeros((3, 8, 8, 3), np.uint8)), r"8, 3\), channels last"),
    "negative label": (dict(**GOOD, y=[0, -1, 2]), "labels from 0 to 2; got -1 in item 1"),
    "same class twice": (dict(**GOOD, classes=("a", "b", "a")), "distinct classes; got 'a' 2x"),
    "same factor twice": (
        dict(**GOOD, factors=[[0, 0]] * 3, factor_names=("a", "a")),
        "distinct factor_names; got 'a' 2x",
    ),
    "large label": (dict(**GOOD, y=[0, 1, 2], classes=("a", "b")), "labels from 0 to 1; got 2 in"),
    "huge label": (dict(**GOOD, y=[0, 1, 1 << 40]), "got 1099511627776 in item 2"),
    "few factors": (dict(**GOOD, factors=[[0], [1]]), r"factors int64 \(3, k\)"),
    "negative factor": (dict(**GOOD, factors=[[0], [1], [-1]]), "from 0; got -1 in item 2"),
    "odd factor names": (dict(**GOOD, factors=[[0]] * 3, factor_names="ab"), "names"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_arrays_are_refused(arguments, message):
    with pytest.raises(data.DataError, match=message):
        data.arrays(**arguments)


def test_values_outside_the_unit_interval_are_not_binarised():
    with pytest.raises(data.DataError, match="got 2.0 in item 1"):
        data.arrays([[0.5], [2.0]]).binarized()


def test_arrays_take_what_numpy_has():
    backwards = np.arange(6, dtype=">f4").reshape(3, 2)[::-1]
    backwards.flags.writeable = False
    s = data.arrays(backwards, np.array([0, 1, 1], np.uint8))
    assert s.x.tolist() == [[4, 5], [2, 3], [0, 1]]
    assert s.classes == ("0", "1")
