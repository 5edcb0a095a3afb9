"""Digits, MNIST and Fashion-MNIST, each as (train, test)."""

import math
from collections.abc import Sequence

import numpy as np
import torch

from probgen.data.fetching import File, read
from probgen.data.set import DataError, Set

DIGITS = tuple("0123456789")
CLOTHES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)


def _idx_files(folder: str, url: str, checksums: Sequence[str]) -> list[File]:
    names = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    sizes = (47_040_016, 60_008, 7_840_016, 10_008)
    return [
        File(f"{folder}/raw/{name}-ubyte", size, checksum, f"{url}/{name}-ubyte.gz")
        for name, size, checksum in zip(names, sizes, checksums, strict=True)
    ]


MNIST = _idx_files(
    "MNIST",
    "https://ossci-datasets.s3.amazonaws.com/mnist",
    (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
)
FASHION_MNIST = _idx_files(
    "FashionMNIST",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
    (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
)


def digits() -> tuple[Set, Set]:
    """Scikit-learn's 1,797 real handwritten digits, 8x8, as 1,500 for training and 297 for test.

    They come with scikit-learn: no download. Levels 0..16 become uint8 by round(v * 255 / 16).
    The split is always the same: shuffled with seed 0, then every class in proportion.

    Source: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998.

    Example:
        >>> train, test = digits()
        >>> len(train), len(test), train.shape
        (1500, 297, (1, 8, 8))
    """
    from sklearn.datasets import load_digits

    source = load_digits()
    levels = np.round(source.images * (255 / 16)).astype(np.uint8)
    y = torch.from_numpy(source.target.astype(np.int64))
    whole = Set(torch.from_numpy(levels)[:, None], y, classes=DIGITS, name="digits")
    shuffled = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    by_class = shuffled[y[shuffled].argsort(stable=True)]
    test = torch.zeros(len(y), dtype=torch.bool)
    test[by_class[torch.arange(297) * len(y) // 297]] = True
    return whole.take(~test), whole.take(test)


def mnist() -> tuple[Set, Set]:
    """MNIST: 60,000 + 10,000 handwritten digits, 28x28, in the original order.

    Read from ``MNIST/raw`` below ``root()`` (torchvision's layout, gzipped or not).

    Source: LeCun, Cortes and Burges, The MNIST database of handwritten digits.

    Raises:
        DataError: if a file is damaged, or missing and not to be downloaded.

    Example:
        >>> train, test = mnist()  # doctest: +SKIP
        >>> len(train), len(test), train.shape  # doctest: +SKIP
        (60000, 10000, (1, 28, 28))
    """
    return _idx_sets(MNIST, DIGITS, "mnist")


def fashion_mnist() -> tuple[Set, Set]:
    """Fashion-MNIST: 60,000 + 10,000 pieces of clothing, 28x28, in the original order.

    Read from ``FashionMNIST/raw`` below ``root()`` (torchvision's layout, gzipped or not).

    Source: Xiao, Rasul and Vollgraf, arXiv:1708.07747.

    Raises:
        DataError: if a file is damaged, or missing and not to be downloaded.

    Example:
        >>> train, test = fashion_mnist()  # doctest: +SKIP
        >>> len(train), len(test), train.shape  # doctest: +SKIP
        (60000, 10000, (1, 28, 28))
    """
    return _idx_sets(FASHION_MNIST, CLOTHES, "fashion-mnist")


def idx(content: bytes, path: str) -> np.ndarray:
    """The uint8 array of an IDX file; ``path`` is for the error.

    Example:
        >>> idx(bytes([0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 3, 7, 8, 9]), "x")
        array([[7, 8, 9]], dtype=uint8)
    """
    ndim = content[3] if content[:3] == b"\0\0\x08" and len(content) > 3 else 0
    start = 4 + 4 * ndim
    shape = tuple(int.from_bytes(content[i : i + 4]) for i in range(4, start, 4))
    if ndim == 0 or len(content) != start + math.prod(shape):
        raise DataError(f"{path}: expected an IDX file of bytes {shape}; got {len(content)} bytes")
    return np.frombuffer(bytearray(content), np.uint8, offset=start).reshape(shape)


def _idx_sets(files: Sequence[File], classes: tuple[str, ...], name: str) -> tuple[Set, Set]:
    contents = zip(read(files), files, strict=True)
    parts = [torch.from_numpy(idx(content, file.path)) for content, file in contents]
    train_x, train_y, test_x, test_y = parts
    train = Set(train_x[:, None], train_y.long(), classes=classes, name=name)
    return train, Set(test_x[:, None], test_y.long(), classes=classes, name=name)
