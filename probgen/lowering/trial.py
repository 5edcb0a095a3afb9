"""Runs that leave no trace, and whether two of them gave the same.

Two runs of one computation from one generator state differ by rounding at most. A trial makes such
a run: what it writes is put back, and all generators are left as they were.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor


def trial(
    run: Callable[..., Sequence[Tensor]], inputs: Sequence[Tensor], written: Sequence[Tensor]
) -> list[Tensor]:
    """What a run gives and leaves in ``written``; without effect, from the same noise."""
    before = [tensor.clone() for tensor in written]
    with torch.no_grad(), undisturbed():
        try:
            outputs = list(run(*inputs))
            return outputs + [tensor.clone() for tensor in written]
        finally:
            for tensor, value in zip(written, before, strict=True):
                tensor.copy_(value)


def storages(tensors: Sequence[Tensor]) -> set[int]:
    """The memory of tensors."""
    return {tensor.untyped_storage()._cdata for tensor in tensors}


def same_layout(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors of one shape lie in memory in one order."""
    if a.stride() == b.stride():
        return True
    strides = zip(a.shape, a.stride(), b.stride(), strict=True)
    return all(one == other for size, one, other in strides if size > 1)


def agree(found: Sequence[Tensor], expected: Sequence[Tensor]) -> bool:
    """Whether tensors are equal up to rounding."""
    return all(_close(a, b) for a, b in zip(found, expected, strict=True))


def _close(a: Tensor, b: Tensor) -> bool:
    """Equal up to rounding, measured over the whole tensor."""
    if not b.is_floating_point():
        return torch.equal(a, b)
    if a.shape != b.shape or a.dtype != b.dtype or not torch.equal(a.isfinite(), b.isfinite()):
        return False
    finite = b.isfinite()
    error = (a[finite].double() - b[finite].double()).norm()
    rounding = torch.finfo(b.dtype).eps ** 0.5
    return bool(error <= rounding * (b[finite].double().norm() + rounding))


@contextmanager
def undisturbed() -> Iterator[None]:
    """Leave all generators as they were."""
    states = generators()
    try:
        yield
    finally:
        set_generators(states)


def generators() -> tuple[Any, ...]:
    """States of PyTorch's, Python's and NumPy's."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return torch.get_rng_state(), cuda, random.getstate(), np.random.get_state()


def python_noise(states: tuple[Any, ...]) -> str:
    """What of them is not PyTorch's."""
    return str(states[2:])


def set_generators(states: tuple[Any, ...]) -> None:
    """Put all back to these."""
    cpu, cuda, python, numpy = states
    torch.set_rng_state(cpu)
    if cuda:
        torch.cuda.set_rng_state_all(cuda)
    random.setstate(python)
    np.random.set_state(numpy)
