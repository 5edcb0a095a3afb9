"""How any pair is asked: in evaluation mode, in its precision, with labels if it takes them."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pyro
import torch
from torch import Tensor
from torch.backends import cuda, cudnn
from torch.nn.parameter import is_lazy

from probgen import ProbgenError
from probgen.data import Set

CHUNK = 500
LARGEST_SEED = 2**48


class PairError(ProbgenError, ValueError):
    """Not a pair, or one that cannot be asked this: by its weights, its data or its seed."""


def given(pair: Any, y: Tensor | None) -> tuple[Tensor | None, ...]:
    """What ``encode`` and ``decode`` take beside their first argument: labels, if ``classes``."""
    return (y,) if hasattr(pair, "classes") else ()


def reconstructed(pair: Any, x: Tensor, y: Tensor | None = None) -> Tensor:
    """Mean of p(x | z) at the mean of q(z | x), shape as ``x``."""
    labels = given(pair, y)
    return pair.decode(pair.encode(x, *labels).mean, *labels).mean


def sampled(pair: Any, n: int, seed: int) -> Tensor:
    """``pair.sample(n)`` in evaluation mode, some at a time, ``(n, *shape)`` on the CPU."""
    with evaluation_mode(pair, seed):
        sizes = (min(CHUNK, n - start) for start in range(0, n, CHUNK))
        return torch.cat([pair.sample(size).cpu() for size in sizes])


def check_seed(seed: int) -> None:
    """Raise unless every generator takes the seed."""
    if not (isinstance(seed, int) and 0 <= seed < LARGEST_SEED):
        raise PairError(f"expected seed from 0 to 2^48 - 1; got {seed!r}")


def check(pair: Any, data: Set) -> None:
    """Raise unless the data are of the shape and in the support that the pair states."""
    check_set(data)
    if data.y is not None:
        _check_takes_labels(pair)
    stated = {name: getattr(pair, name, None) for name in ("shape", "support", "classes")}
    data.check(**stated)


def check_set(data: Any) -> None:
    """Raise unless it is one set."""
    if not isinstance(data, Set):
        raise PairError(
            f"expected one data.Set, such as test; got {type(data).__name__}: data.arrays(x) "
            "makes one of arrays"
        )


def check_pair(pair: Any) -> None:
    """Raise unless it is a module with a model and a guide."""
    if not (isinstance(pair, torch.nn.Module) and has_density(pair)):
        kind = type(pair).__name__
        raise PairError(
            f"expected a module with a model and a guide, such as models.VAE; got {kind}"
        )


def check_weights(module: Any) -> None:
    """Raise where a weight is NaN or infinite, or what a module keeps beside its weights NaN."""
    weights = [(n, p) for n, p in module.named_parameters() if not is_lazy(p)]
    kept = [(n, b) for n, b in module.named_buffers() if not is_lazy(b)]
    wrong = [name for name, weight in weights if not weight.isfinite().all()]
    wrong += [name for name, buffer in kept if buffer.isnan().any()]
    if wrong:
        raise PairError(
            f"expected finite weights; got NaN or infinity in {wrong[0]} of "
            f"{type(module).__name__}: load a sound run, or train anew at a lower lr"
        )


def has_density(pair: Any) -> bool:
    """Whether it is a pair: a GAN, which samples only, is none."""
    return hasattr(pair, "model") and hasattr(pair, "guide")


def device_of(pair: Any) -> torch.device:
    """Where the parameters of a pair, or of any module, lie."""
    return _like(pair).device


def batch(pair: Any, data: Set, index: Tensor | slice) -> tuple[Tensor, Tensor | None]:
    """``data.batch`` with x in the precision of the pair's parameters."""
    x, y = data.batch(index)
    return x.to(_like(pair).dtype), y


def batches(pair: Any, data: Set, size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
    """One ``batch`` after the other, on the pair's device, of ``size`` rows but for the last."""
    if size < 1:
        raise PairError(f"expected batch_size >= 1; got {size}")
    data = data.to(device_of(pair))
    for start in range(0, len(data), size):
        yield batch(pair, data, slice(start, start + size))


def arguments(pair: Any, data: Set, index: Tensor | slice) -> tuple[Tensor, ...]:
    """What the pair's programs are called with: x in the precision of its parameters, y if any."""
    x, y = batch(pair, data, index)
    return (x,) if y is None else (x, y)


@contextmanager
def evaluation_mode(pair: Any, seed: int) -> Iterator[None]:
    """Evaluation mode, no gradients or validation, float32; own generators, parameter store.

    Args:
        pair: a pair, or any module; left in the mode it was in.
        seed: of what is drawn; the caller's generators are left alone.
    """
    check_seed(seed)
    modes = [(part, part.training) for part in pair.modules()]
    with torch.no_grad(), isolated(device_of(pair), seed):
        try:
            pair.eval()
            yield
        finally:
            for part, training in modes:
                part.training = training


@contextmanager
def isolated(device: torch.device, seed: int, *, tf32: bool = False) -> Iterator[None]:
    """Own generators, seeded, own parameter store and precision; Pyro's validation off."""
    with (
        torch.random.fork_rng([device] if device.type == "cuda" else []),
        pyro.get_param_store().scope(),
        pyro.validation_enabled(False),
        products(tf32),
    ):
        torch.manual_seed(seed)
        yield


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


def _check_takes_labels(pair: Any) -> None:
    """Labelled data are handed to both programs, labels and all."""
    for program in (getattr(pair, name, None) for name in ("model", "guide")):
        try:
            inspect.signature(program).bind(None, None)  # type: ignore[arg-type]
        except TypeError:
            if callable(program):
                raise PairError(
                    f"expected {program.__name__}(x, y=None), as the data have labels; got "
                    f"{program.__name__}{inspect.signature(program)}"
                ) from None
        except ValueError:  # it shows no signature
            pass


def _like(pair: Any) -> Tensor:
    return next(pair.parameters(), torch.zeros(()))
