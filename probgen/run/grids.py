"""Images in rows: as a PNG file, and as one array for a figure."""

import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import pad
from torchvision.utils import make_grid

from probgen.run import checkpoint
from probgen.run.errors import GridError

TILE = 64


def save_grid(path: Path, images: Tensor, columns: int | None = None) -> Path:
    """Write images as one PNG, row by row, small ones enlarged by whole pixels.

    Args:
        path: the file, replaced at once.
        images: (n, 1 or 3, height, width), cut to [0, 1].
        columns: images in a row; the square root of n when not given.

    Raises:
        GridError: the tensor is no stack of grey or RGB images.
    """
    if images.dim() != 4 or images.shape[1] not in (1, 3) or not len(images):
        raise GridError(f"expected images (n, 1 or 3, H, W); got {tuple(images.shape)}")
    factor = max(1, TILE // max(images.shape[2:]))
    large = images.detach().cpu().clamp(0, 1).repeat_interleave(factor, 2)
    large = large.repeat_interleave(factor, 3)
    columns = columns or math.ceil(math.sqrt(len(images)))
    grid = make_grid(large, nrow=columns, padding=2, pad_value=1.0)
    pixels = (grid * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    png = io.BytesIO()
    Image.fromarray(pixels).save(png, "PNG")
    checkpoint.write(path, png.getvalue())
    return path


def interleave(originals: Tensor, reconstructions: Tensor) -> Tensor:
    """Each image followed by its reconstruction, for a grid of pairs.

    >>> interleave(torch.zeros(2, 1, 8, 8), torch.ones(2, 1, 8, 8))[:, 0, 0, 0]
    tensor([0., 1., 0., 1.])
    """
    return torch.stack([originals, reconstructions], dim=1).flatten(0, 1)


def is_image(shape: Sequence[int]) -> bool:
    """Whether one datum is a grey or RGB image (1 or 3, H, W)."""
    return len(shape) == 3 and shape[0] in (1, 3)


def tiled(images: Tensor) -> np.ndarray:
    """One RGBA array of images with transparent gutters.

    Args:
        images: (rows, columns, 1 or 3, H, W), cut to [0, 1].

    >>> tiled(torch.zeros(2, 3, 1, 8, 8)).shape
    (17, 26, 4)
    """
    rgb = images.detach().cpu().clamp(0, 1).expand(-1, -1, 3, -1, -1)
    rgba = torch.cat([rgb, torch.ones_like(rgb[:, :, :1])], 2)
    gutter = max(1, images.shape[-1] // 16)
    spaced = pad(rgba, (0, gutter, 0, gutter)).permute(0, 3, 1, 4, 2)
    rows, height, columns, width, _ = spaced.shape
    whole = spaced.reshape(rows * height, columns * width, 4)[:-gutter, :-gutter]
    return (whole * 255).round().to(torch.uint8).numpy()
