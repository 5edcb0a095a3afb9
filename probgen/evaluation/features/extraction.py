"""One pass of a feature network over images, kept on disk for the next score that needs it.

The only module of ``evaluation`` that reads and writes files: what it writes can be deleted at any
time, and every score is the same with ``cache=False``.
"""

import hashlib
import inspect
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from probgen.data import Set, fetching
from probgen.evaluation.score import EvaluationError, ProtocolError
from probgen.models.pairs import device_of, evaluation_mode
from probgen.nets.interfaces import Structural
from probgen.run import checkpoint, progress
from probgen.run.checkpoint import CheckpointError, Spec

Extractor = Callable[[Tensor], Tensor]
"""Images (N, C, H, W), floats in [0, 1], to features (N, d): any module or function.

What has a method ``embed``, as ``Classifier`` and ``Inception`` do, is asked for that instead.
"""


@runtime_checkable
class Embeds(Protocol, metaclass=Structural):
    """What gives features by a method, because calling it gives something else."""

    def embed(self, images: Tensor) -> Tensor:
        """Features (N, d) of images (N, C, H, W)."""


@dataclass(frozen=True, eq=False)
class Features:
    """Rows of features, and the name and hash of what they were got with.

    Metrics take them, or bare arrays (N, d); two of different extractors are refused. Their
    length is the number of rows.
    """

    values: Tensor
    extractor: str = ""

    def __len__(self) -> int:
        return len(self.values)


@runtime_checkable
class Classifies(Protocol, metaclass=Structural):
    """An extractor that can say which class its features show."""

    def probabilities(self, features: Features) -> Tensor:
        """p(class | image), (N, K)."""


FeaturesLike = Features | Tensor | np.ndarray


def extract(
    extractor: Extractor,
    images: Set | Tensor,
    *,
    batch_size: int = 250,
    cache: str | Path | bool = True,
    show: bool | None = None,
) -> Features:
    """Features (N, d) of images, float32 on the CPU.

    Args:
        extractor: ``Classifier``, ``Inception``, any module or function from images (N, C, H, W)
            to (N, d). Modules are used in evaluation mode, on the device they are on. Features
            are kept on disk by the hash of the images and of the module: its ``sha256`` if it has
            one, else its weights, attributes and source. A plain function has no such hash, and
            its features are not kept.
        images: a set of images, or floats in [0, 1], (N, C, H, W).
        batch_size: images at a time.
        cache: the folder to keep them in; True for "features" in the user's cache folder, False
            for not at all.
        show: a progress bar; None for a line every 30 seconds where there is no terminal.

    Raises:
        EvaluationError: fewer than two images, values outside [0, 1], features that are NaN or
            not one row per image.

    >>> from probgen import data
    >>> _, test = data.digits()
    >>> found = extract(lambda x: x.flatten(1), test, cache=False)
    >>> found.values.shape
    torch.Size([297, 64])
    """
    _check_images(images)
    if batch_size < 1:
        raise EvaluationError(f"expected batch_size >= 1; got {batch_size}")
    name = identity(extractor)
    path = None if cache is False else _cache_path(extractor, images, cache)
    if path is not None and (kept := _read(path, len(images))) is not None:
        return Features(kept, name)
    values = _one_pass(extractor, images, batch_size, show)
    if path is not None:
        _keep(path, values)
    return Features(values, name)


def identity(extractor: Extractor) -> str:
    """Name and the first 12 digits of the hash, as a score's ``extractor`` has them."""
    name = getattr(extractor, "name", None) or getattr(
        extractor, "__qualname__", type(extractor).__name__
    )
    digest = _digest(extractor)
    return f"{name} {digest[:12]}" if digest else str(name)


def matched(real: FeaturesLike, generated: FeaturesLike) -> tuple[Tensor, Tensor, str]:
    """Both tables as float64 (N, d) and their extractor, once they have been found comparable.

    Raises:
        EvaluationError: a table is not (N, d) with N >= 2, holds NaN or infinity, or the two have
            different d.
        ProtocolError: they are of different extractors.
    """
    x, y = as_features(real), as_features(generated)
    if x.values.shape[1] != y.values.shape[1]:
        raise EvaluationError(
            f"expected features of the same dimension; got {x.values.shape[1]} and "
            f"{y.values.shape[1]}"
        )
    if x.extractor and y.extractor and x.extractor != y.extractor:
        raise ProtocolError(
            f"expected features of one extractor; got {x.extractor} and {y.extractor}"
        )
    return x.values, y.values, x.extractor or y.extractor


def as_features(features: FeaturesLike, *, at_least: int = 2) -> Features:
    """Checked features in float64.

    Raises:
        EvaluationError: as for ``matched``.
    """
    try:
        given = features if isinstance(features, Features) else Features(torch.as_tensor(features))
    except (TypeError, ValueError, RuntimeError):
        kind = type(features).__name__
        raise EvaluationError(
            f"expected features (N, d), as features.extract gives them of a set; got {kind}"
        ) from None
    values = torch.as_tensor(given.values).detach()
    if values.dim() != 2 or values.shape[1] < 1 or values.is_complex():
        raise EvaluationError(f"expected features (N, d); got {tuple(values.shape)}")
    if len(values) < at_least:
        raise EvaluationError(f"expected at least {at_least} rows of features; got {len(values)}")
    values = values.double()
    if not values.isfinite().all():
        row = int((~values.isfinite().all(1)).nonzero()[0])
        raise EvaluationError(f"expected finite features; got NaN or infinity in row {row}")
    return Features(values, given.extractor)


def sha256_of(module: nn.Module) -> str:
    """Hash of a module's parameters and buffers, by name."""
    digest = hashlib.sha256()
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(_bytes(tensor))
    return digest.hexdigest()


def _check_images(images: Set | Tensor) -> None:
    shape = (len(images), *images.shape) if isinstance(images, Set) else tuple(images.shape)
    if len(shape) != 4:
        raise EvaluationError(f"expected images (N, C, H, W); got {shape}")
    if shape[0] < 2:
        raise EvaluationError(f"expected at least 2 images; got {shape[0]}")
    if not (isinstance(images, Set) or images.is_floating_point()):
        raise EvaluationError(
            f"expected floats in [0, 1]; got {images.dtype}: divide bytes by 255, or pass the Set"
        )
    if isinstance(images, Set) and images.dynamic:
        raise EvaluationError(
            "expected images that stay the same; got a set that is binarised anew in each batch"
        )


def _one_pass(
    extractor: Extractor, images: Set | Tensor, batch_size: int, show: bool | None
) -> Tensor:
    module = extractor if isinstance(extractor, nn.Module) else None
    mode = nullcontext() if module is None else evaluation_mode(module, seed=0)
    device = None if module is None else device_of(module)
    embed = extractor.embed if isinstance(extractor, Embeds) else extractor
    rows: list[Tensor] = []
    with mode, torch.no_grad(), progress.bar("features", len(images), show) as advance:
        for start, x in _batches(images, batch_size):
            found = embed(x if device is None else x.to(device))
            rows.append(_checked(found, len(x), start))
            advance(start + len(x))
    return torch.cat(rows)


def _batches(images: Set | Tensor, batch_size: int) -> Iterator[tuple[int, Tensor]]:
    for start in range(0, len(images), batch_size):
        chunk = slice(start, start + batch_size)
        x = images.batch(chunk)[0] if isinstance(images, Set) else images[chunk]
        outside = ~((x >= 0) & (x <= 1))
        if outside.any():
            row = int(outside.flatten(1).any(1).nonzero()[0])
            value = x[row][outside[row]][0].item()
            raise EvaluationError(f"expected pixels in [0, 1]; got {value} in image {start + row}")
        yield start, x


def _checked(found: Any, n: int, start: int) -> Tensor:
    if not isinstance(found, Tensor) or found.dim() != 2 or len(found) != n:
        got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise EvaluationError(f"expected features ({n}, d) of {n} images; got {got}")
    finite = found.isfinite().all(1)
    if not finite.all():
        row = start + int((~finite).nonzero()[0])
        raise EvaluationError(f"the extractor gave NaN or infinity for image {row}")
    return found.float().cpu()


def _digest(extractor: Extractor) -> str | None:
    """What the features depend on besides the images; None where that cannot be told."""
    if isinstance(stated := getattr(extractor, "sha256", None), str):
        return stated
    if not isinstance(extractor, nn.Module):
        return None
    digest = hashlib.sha256(f"{extractor!r} {sha256_of(extractor)}".encode())
    for part in extractor.modules():
        plain = {k: v for k, v in vars(part).items() if not k.startswith("_") and k != "training"}
        digest.update(repr(plain).encode())
        try:
            digest.update(inspect.getsource(type(part)).encode())
        except (OSError, TypeError):
            return None
    return digest.hexdigest()


def _cache_path(
    extractor: Extractor, images: Set | Tensor, cache: str | Path | bool
) -> Path | None:
    of_extractor = _digest(extractor)
    if of_extractor is None:
        return None
    folder = Path(cache) if isinstance(cache, str | Path) else fetching.cache() / "features"
    x = images.x if isinstance(images, Set) else images
    shape = tuple(images.shape)
    digest = hashlib.sha256(f"1 {of_extractor} {x.dtype} {shape} {tuple(x.shape)}".encode())
    digest.update(_bytes(x))
    return folder / f"{digest.hexdigest()}.safetensors"


def _bytes(tensor: Tensor) -> memoryview:
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data


def _read(path: Path, n: int) -> Tensor | None:
    """What is kept there, if it is whole; else nothing, and it is computed again."""

    def expected(name: str, spec: Spec) -> bool:
        rows = len(spec.shape) == 2 and spec.shape[0] == n
        return name == "features" and rows and spec.dtype == torch.float32

    try:
        sha256 = checkpoint.read_json(path.with_suffix(".json")).get("sha256")
        values = checkpoint.read_tensors(path, expected, str(sha256))["features"]
    except (CheckpointError, KeyError):
        return None
    return values


def _keep(path: Path, values: Tensor) -> None:
    content = checkpoint.pack({"features": values})
    try:
        checkpoint.write(path, content)
        sums = {"sha256": hashlib.sha256(content).hexdigest()}
        checkpoint.write(path.with_suffix(".json"), checkpoint.to_json(sums))
    except CheckpointError as error:
        warnings.warn(f"the features are not kept for next time: {error}", stacklevel=3)
