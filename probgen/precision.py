"""What float32 means for matrix products and convolutions."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch.backends import cuda, cudnn


@contextmanager
def products(tf32: bool) -> Iterator[None]:
    """Products of float32 in full, or in TF32 (10 bits of mantissa) where a device has it.

    PyTorch itself convolves in TF32 on CUDA unless told otherwise, and multiplies in full.

    >>> with products(tf32=False):
    ...     cudnn.allow_tf32, torch.get_float32_matmul_precision()
    (False, 'highest')
    """
    restore = _restore()
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    cudnn.allow_tf32 = tf32
    try:
        yield
    finally:
        restore()


def _restore() -> Callable[[], None]:
    """What sets the precisions as they are, in the one of PyTorch's two ways they were set."""
    try:
        matmul, convolutions = torch.get_float32_matmul_precision(), cudnn.allow_tf32
    except RuntimeError:
        ways = cuda.matmul, cudnn.conv, cudnn.rnn  # type: ignore[attr-defined]
        precisions = [way.fp32_precision for way in ways]

        def restore() -> None:
            for way, precision in zip(ways, precisions, strict=True):
                way.fp32_precision = precision
    else:

        def restore() -> None:
            torch.set_float32_matmul_precision(matmul)
            cudnn.allow_tf32 = convolutions

    return restore
