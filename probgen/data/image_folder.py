"""A user's own images from a folder of PNG and JPEG files."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from probgen.data.set import DataError, Set

SUFFIXES = (".png", ".jpg", ".jpeg")
GREY = ("1", "L", "LA")


def images(folder: str | Path, size: tuple[int, int] | None = None) -> Set:
    """One Set of the PNG and JPEG files in ``folder``; split it with ``split``.

    Subfolders are the classes, in the order of their names; without subfolders there are no
    labels. Within a class the order is that of the file names; hidden files are left out.
    If every image is grey the set has one channel, else three. Transparency is dropped.

    Args:
        folder: the folder.
        size: (height, width) to which every image is stretched (bilinear with antialiasing);
            without it all have to be of one size.

    Raises:
        DataError: for a folder without images, images of different sizes, a size below 1, an
            unreadable file or one of more than 89 million pixels, naming the files.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from PIL import Image
        >>> with TemporaryDirectory() as folder:
        ...     Image.new("RGB", (6, 4)).save(Path(folder) / "a.png")
        ...     images(folder).shape
        (3, 4, 6)
    """
    if size is not None and min(size) < 1:
        raise DataError(f"expected a size of positive sides; got {size}")
    top = Path(folder)
    if not top.is_dir():
        raise DataError(f"expected a folder of images; got {top}, which is not a folder")
    classes = sorted(path for path in top.iterdir() if path.is_dir() and _visible(path))
    files = [_images_in(path) for path in classes or [top]]
    if classes and _images_in(top):
        raise DataError(f"expected images either in {top} or in its subfolders; got both")
    for path, found in zip(classes or [top], files, strict=True):
        if not found:
            raise DataError(f"expected PNG or JPEG files in {path}; got none")
    y = torch.tensor([label for label, found in enumerate(files) for _ in found])
    x = _stack([path for found in files for path in found], size)
    names = tuple(path.name for path in classes)
    return Set(x, y if classes else None, classes=names, name=top.resolve().name)


def _visible(path: Path) -> bool:
    return not path.name.startswith(".")


def _images_in(folder: Path) -> list[Path]:
    wanted = (p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and _visible(p))
    return sorted(path for path in wanted if path.is_file())


def _stack(paths: Sequence[Path], size: tuple[int, int] | None) -> torch.Tensor:
    decoded: list[np.ndarray] = []
    for path in paths:
        decoded.append(_decode(path, size))
        first, last = decoded[0].shape[:2], decoded[-1].shape[:2]
        if first != last:
            raise DataError(
                f"expected images of one size; got {first} (height, width) in {paths[0]} and "
                f"{last} in {path}; size=(height, width), or --side, stretches all to one"
            )
    channels = max(image.shape[2] for image in decoded)
    stacked = np.stack([np.broadcast_to(i, (*i.shape[:2], channels)) for i in decoded])
    return torch.from_numpy(stacked).permute(0, 3, 1, 2).contiguous()


def _decode(path: Path, size: tuple[int, int] | None) -> np.ndarray:
    """(H, W, 1 or 3) uint8, turned upright as the camera says."""
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=["PNG", "JPEG"]) as file:
                image = ImageOps.exif_transpose(file)
    except Exception as error:  # Pillow's decoders raise whatever they stumble over
        raise DataError(f"expected a PNG or JPEG image in {path}; got {error}") from None
    if image.mode == "I;16":  # convert("L") would clip instead of scale
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    image = image.convert("L" if image.mode in GREY else "RGB")
    if size is not None:
        image = image.resize(size[::-1], Image.Resampling.BILINEAR)
    return np.atleast_3d(np.asarray(image))
