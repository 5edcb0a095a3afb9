"""CIFAR-10 as (train, test), from its binary version or from a pack of JPEGs."""

import hashlib
import io
import tarfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from probgen.data.fetching import Mismatch, download, exactly, expect, intact, npz, root
from probgen.data.set import Set

CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
ARCHIVE = "cifar-10-binary.tar.gz"
ARCHIVE_LIMIT = 2**28
ARCHIVE_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
FOLDER = "cifar-10-batches-bin"
BATCHES = (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin")
RECORD = 1 + 3 * 32 * 32
BATCH = 10_000 * RECORD
JPEG_PACKS = ("cifar10_jpeg/cifar10_jpeg_train.npz", "cifar10_jpeg/cifar10_jpeg_test.npz")
JPEG_LIMITS = {"bytes": 2**28, "offsets": 2**20, "labels": 2**17}


def cifar10() -> tuple[Set, Set]:
    """CIFAR-10: 50,000 + 10,000 colour photographs of ten kinds of objects, 32x32.

    Read from the binary version, ``cifar-10-batches-bin/`` or ``cifar-10-binary.tar.gz`` below
    ``root()``; else from a pack of JPEGs, ``cifar10_jpeg/``, whose pixels and order are not the
    original ones: that set is named "cifar10 (lossy JPEG)".

    Source: Krizhevsky, Learning multiple layers of features from tiny images, 2009.

    Raises:
        DataError: if a file is damaged, or missing and not to be downloaded.

    Example:
        >>> train, test = cifar10()  # doctest: +SKIP
        >>> len(train), len(test), train.shape  # doctest: +SKIP
        (50000, 10000, (3, 32, 32))
    """
    if not has_original() and has_jpegs():
        train, test = (_jpeg_set(root() / pack) for pack in JPEG_PACKS)
        return train, test
    batches = _folder_batches() if (root() / FOLDER).is_dir() else _archive_batches()
    return _set(batches[:5]), _set(batches[5:])


def has_original() -> bool:
    """Whether the binary version is below root()."""
    return (root() / FOLDER).is_dir() or (root() / ARCHIVE).is_file()


def has_jpegs() -> bool:
    """Whether both JPEG packs are below root()."""
    return all((root() / pack).is_file() for pack in JPEG_PACKS)


def _folder_batches() -> list[bytes]:
    return [_batch(root() / FOLDER / name) for name in BATCHES]


def _batch(path: Path) -> bytes:
    with intact(path), path.open("rb") as file:
        return exactly(BATCH, file)


def _archive_batches() -> list[bytes]:
    path = root() / ARCHIVE
    if not path.is_file():
        download(URL, ARCHIVE, ARCHIVE_LIMIT, _verify, [ARCHIVE])
    with intact(path):
        _verify(path)
        found = dict(_members(path))
        return [found[f"{FOLDER}/{name}"] for name in BATCHES]


def _verify(path: Path) -> None:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
    expect(f"md5 {ARCHIVE_MD5}", f"md5 {digest.hexdigest()}")


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    """The batches by name, read in memory in one pass."""
    with tarfile.open(path, "r:gz") as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isreg() else None
            if file and Path(member.name).name in BATCHES:
                yield member.name, exactly(BATCH, file)


def _set(batches: Sequence[bytes]) -> Set:
    """Records of a label, then the red, green and blue planes."""
    records = np.frombuffer(b"".join(batches), np.uint8).reshape(-1, RECORD)
    y = torch.from_numpy(records[:, 0].astype(np.int64))
    x = torch.from_numpy(records[:, 1:].reshape(-1, 3, 32, 32).copy())
    return Set(x, y, classes=CLASSES, name="cifar10")


def _jpeg_set(path: Path) -> Set:
    """``bytes`` holds all JPEGs end to end, ``offsets`` where each begins and the last ends."""
    with intact(path):
        joined, offsets, labels = npz(path, JPEG_LIMITS).values()
        expect("uint8, int64, uint8", f"{joined.dtype}, {offsets.dtype}, {labels.dtype}")
        expect([1, 1, 1], [joined.ndim, offsets.ndim, labels.ndim])
        expect(f"{len(labels) + 1} offsets", f"{len(offsets)} offsets")
        expect([0, len(joined)], offsets[[0, -1]].tolist())
        if (np.diff(offsets) <= 0).any():
            raise Mismatch("the offsets do not grow")
        x = torch.from_numpy(_decode(joined.tobytes(), offsets.tolist()))
    y = torch.from_numpy(labels.astype(np.int64))
    return Set(x.permute(0, 3, 1, 2).contiguous(), y, classes=CLASSES, name="cifar10 (lossy JPEG)")


def _decode(joined: bytes, offsets: Sequence[int]) -> np.ndarray:
    from PIL import Image

    images = np.empty((len(offsets) - 1, 32, 32, 3), np.uint8)

    def decode(first: int) -> None:
        bounds = pairwise(offsets[first : first + 1001])
        for row, (start, end) in enumerate(bounds, first):
            with Image.open(io.BytesIO(joined[start:end]), formats=["JPEG"]) as image:
                expect(f"(32, 32) RGB in item {row}", f"{image.size} {image.mode} in item {row}")
                images[row] = np.asarray(image)

    with ThreadPoolExecutor() as pool:
        list(pool.map(decode, range(0, len(images), 1000)))
    return images
