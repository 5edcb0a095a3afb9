"""DSprites: one white shape on black in every combination of five factors, rendered or read.

Rendering all 737,280 images takes less time than reading them from a compressed file would, so
nothing is kept on disk.
"""

import math
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from probgen.data.fetching import Mismatch, exactly, expect, intact, root
from probgen.data.set import DataError, Set, as_tensor

ARCHIVE = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
SHAPES = ("square", "ellipse", "heart")
FACTORS = ("shape", "scale", "orientation", "posX", "posY")
SIZES = (3, 6, 40, 32, 32)
SIDE = 64
REACH = 14  # no shape extends further from its origin, in pixels
HEIGHTS = np.arange(-31 * REACH, 31 * REACH) + 0.5
FROM_COLUMN = np.array([(1 << SIDE - j) - 1 for j in range(SIDE + 1)], np.uint64)


def dsprites() -> tuple[Set, Set]:
    """DSprites: all 737,280 images of 3 shapes x 6 scales x 40 orientations x 32 x 32 positions.

    Rendered from measurements of the original's images, and then named "dsprites (rendered)";
    the original archive, ``dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz``, is read instead if
    it is below ``root()``. The test set is a tenth, drawn with seed 0 as ``split`` does.

    The images are binary, (1, 64, 64), and take 378 MB packed; ``factors`` (N, 5) holds the
    classes of shape, scale (0.5 to 1), orientation (0 to 2 pi, so that class 39 repeats class 0),
    posX and posY (left to right, top to bottom); the label is the shape.

    Source: Matthey, Higgins, Hassabis and Lerchner, dSprites, 2017.

    Raises:
        DataError: if the archive is there and damaged.

    Example:
        >>> train, test = dsprites()
        >>> len(train), len(test), train.factor_names
        (663552, 73728, ('shape', 'scale', 'orientation', 'posX', 'posY'))
        >>> large_hearts = test.where(shape=2, scale=[4, 5])
        >>> large_hearts.batch(slice(0, 8))[0].shape
        torch.Size([8, 1, 64, 64])
    """
    archive = root() / ARCHIVE
    if not archive.is_file():
        return _split(_rendered(), "dsprites (rendered)")
    with intact(archive):
        return _split(_original(archive), "dsprites")


def render_dsprites(factors: Any) -> Tensor:
    """Images of the given factors, by the geometry measured on the original's images.

    Args:
        factors: (N, 5) integer classes of shape, scale, orientation, posX and posY.

    Returns:
        uint8 (N, 64, 64) of zeros and ones.

    Raises:
        DataError: for a class out of range, naming its row.

    Example:
        >>> image = render_dsprites([[0, 0, 0, 0, 0]])[0]
        >>> image.sum(), image[11:21, 11:21].sum()
        (tensor(100), tensor(100))
    """
    classes = as_tensor(factors, "factors").cpu().numpy()
    if classes.ndim != 2 or classes.shape[1] != 5 or classes.dtype.kind not in "iu":
        raise DataError(f"expected integers (N, 5); got {classes.dtype} {classes.shape}")
    outside = ((classes < 0) | (classes >= SIZES)).any(1)
    if outside.any():
        row = outside.argmax()
        raise DataError(f"expected classes below {SIZES}; got {classes[row]} in row {row}")
    images = np.empty((len(classes), SIDE, SIDE), np.uint8)
    sprites, which = np.unique(classes[:, :3], axis=0, return_inverse=True)
    for number, sprite in enumerate(sprites):
        rows = np.flatnonzero(which == number)
        bits = _positions(*sprite)[classes[rows, 3] * SIZES[4] + classes[rows, 4]]
        images[rows] = np.unpackbits(bits, axis=1).reshape(-1, SIDE, SIDE)
    return torch.from_numpy(images)


def _split(blocks: Iterable[np.ndarray], name: str) -> tuple[Set, Set]:
    """(train, test) of packed images that come block by block in the order of their factors.

    Each block goes straight to its place: never more than one copy of the images in memory.
    """
    count = math.prod(SIZES)
    held = round(0.1 * count)
    shuffled = torch.randperm(count, generator=torch.Generator().manual_seed(0)).numpy()
    order = np.concatenate([np.sort(shuffled[held:]), np.sort(shuffled[:held])])
    places = iter(np.argsort(order).reshape(-1, SIZES[3] * SIZES[4]))
    bits = np.empty((count, SIDE * SIDE // 8), np.uint8)
    for block in blocks:
        bits[next(places)] = block
    factors = np.indices(SIZES).reshape(len(SIZES), count).T[order]
    train, test = (
        _set(torch.from_numpy(bits[part]), torch.from_numpy(factors[part]), name)
        for part in (slice(count - held), slice(count - held, count))
    )
    return train, test


def _set(bits: Tensor, factors: Tensor, name: str) -> Set:
    shape = (1, SIDE, SIDE)
    return Set(bits, factors[:, 0], factors, SHAPES, name, factor_names=FACTORS, packed=shape)


def _rendered() -> Iterator[np.ndarray]:
    for sprite in np.ndindex(SIZES[:3]):
        yield _positions(*sprite)


def _positions(shape: int, scale: int, orientation: int) -> np.ndarray:
    """Packed images, uint8 (1024, 512), of a sprite at every posX and posY, the latter faster.

    A pixel's centre is a whole number of 1/31 pixels and a half away from the sprite's origin,
    at 16 + posX * 32 / 31: the 1,024 images share the few rows of bits that occur.
    """
    pixel, position = np.arange(SIDE)[:, None], np.arange(SIZES[4])
    height = 31 * (pixel - 16) + 15 - 32 * position + 31 * REACH
    height[(height < 0) | (height >= len(HEIGHTS))] = len(HEIGHTS)
    rows = _rows(_outline(shape, scale, orientation))[height].transpose(2, 1, 0)
    return rows.astype(">u8", order="C").view(np.uint8).reshape(-1, SIDE * SIDE // 8)


def _rows(outline: np.ndarray) -> np.ndarray:
    """Rows of 64 pixels as bits, uint64 (heights + 1, posX), the last row empty.

    By the even-odd rule: every edge that a row crosses flips all the pixels right of it.
    """
    x, y = 31 * outline.T
    next_x, next_y = np.roll(x, -1), np.roll(y, -1)
    row, edge = np.nonzero((y <= HEIGHTS[:, None]) != (next_y <= HEIGHTS[:, None]))
    slope = (next_x - x)[edge] / (next_y - y)[edge]
    crossing = x[edge] + (HEIGHTS[row] - y[edge]) * slope
    column = np.ceil((crossing[:, None] + 32 * np.arange(SIZES[3])) / 31 + 15.5)
    flips = FROM_COLUMN[column.clip(0, SIDE).astype(np.int64)]
    first = np.flatnonzero(np.diff(row, prepend=-1))
    rows = np.zeros((len(HEIGHTS) + 1, SIZES[3]), np.uint64)
    rows[row[first]] = np.bitwise_xor.reduceat(flips, first)
    return rows


def _outline(shape: int, scale: int, orientation: int) -> np.ndarray:
    """The shape's corners (n, 2) in pixels from its origin, x right and y down."""
    u, v = (0.5 + 0.1 * scale) * CORNERS[shape].T
    angle = 2 * np.pi * (orientation % 39) / 39
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([cos * u + sin * v, cos * v - sin * u], 1)


def _corners() -> tuple[np.ndarray, ...]:
    """Upright square, ellipse and heart, fitted to 320 images of the original: all are equal."""
    square = 9.598 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    t = 2 * np.pi * np.arange(64) / 64
    ellipse = np.stack([12.7797 * np.cos(t), 7.2212 * np.sin(t)], 1)
    t = 2 * np.pi * np.arange(150) / 150
    height = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    heart = np.stack([9.6 * np.sin(t) ** 3, -1.4394 - 0.6622 * height], 1)
    return square, ellipse, heart


CORNERS = _corners()


def _original(path: Path) -> Iterator[np.ndarray]:
    count = math.prod(SIZES)
    with zipfile.ZipFile(path) as archive:
        with archive.open("latents_classes.npy") as file:
            _expect_header(file, (count, 6), np.int64)
            classes = np.frombuffer(exactly(count * 6 * 8, file), np.int64).reshape(count, 6)
        if (classes != np.indices((1, *SIZES)).reshape(6, count).T).any():
            raise Mismatch("the images are not in the order of their factors")
        with archive.open("imgs.npy") as file:
            _expect_header(file, (count, SIDE, SIDE), np.uint8)
            for _ in np.ndindex(SIZES[:3]):
                yield _pack(file.read(SIZES[3] * SIZES[4] * SIDE * SIDE))


def _pack(block: bytes) -> np.ndarray:
    images = np.frombuffer(block, np.uint8)
    expect(SIZES[3] * SIZES[4] * SIDE * SIDE, len(images))
    if images.max() > 1:
        raise Mismatch(f"expected pixels 0 and 1; got {images.max()}")
    return np.packbits(images.reshape(-1, SIDE * SIDE), axis=1)


def _expect_header(file: IO[bytes], shape: tuple[int, ...], dtype: type) -> None:
    expect((1, 0), np.lib.format.read_magic(file))
    expect((shape, False, np.dtype(dtype)), np.lib.format.read_array_header_1_0(file))
