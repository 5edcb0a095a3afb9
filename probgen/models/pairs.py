"""How any pair is asked: in evaluation mode, in its precision, with labels if it takes them."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pyro
import torch
from torch import Tensor, nn
from torch.backends import cuda, cudnn
from torch.distributions.constraints import Constraint
from torch.nn.parameter import is_lazy

from probgen.data import Set
from probgen.models.base import ModelError
from probgen.nets.interfaces import Codec, Generative, Module, Pair

CHUNK = 500
LARGEST_SEED = 2**48


class PairError(ModelError):
    """Not a pair, or one that cannot be asked this: by its weights, its data or its seed."""


@contextmanager
def evaluation_mode(module: Module, seed: int) -> Iterator[None]:
    """Evaluation mode without gradients, ``isolated``; each part is left in the mode it was in.

    Args:
        module: a pair, or any module.
        seed: of what is drawn; the caller's generators are left alone.
    """
    check_seed(seed)
    modes = [(part, part.training) for part in module.modules()]
    with torch.no_grad(), isolated(device_of(module), seed):
        try:
            module.eval()
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
        float32_precision(tf32=tf32),
    ):
        torch.manual_seed(seed)
        yield


@contextmanager
def float32_precision(*, tf32: bool) -> Iterator[None]:
    """Multiply and convolve float32 in full, or in TF32 (10 bits of mantissa) where there is it.

    PyTorch itself convolves in TF32 on CUDA unless told otherwise, and multiplies in full.

    >>> with float32_precision(tf32=False):
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


class Stated(NamedTuple):
    """What a pair states of itself by attributes of these names; None for what it does not.

    Attributes:
        shape: of one datum.
        support: values that a datum may take.
        classes: of the labels that it takes; None for a pair that takes none.
        levels: of data on an even grid from 0 to 1.
        steps: of a sum over time.
    """

    shape: tuple[int, ...] | None
    support: Constraint | None
    classes: int | None
    levels: int | None
    steps: int | None


def stated(pair: Module) -> Stated:
    """Read what a pair states.

    >>> from probgen import denoisers, models
    >>> diffusion = models.Diffusion(denoisers.dense((1, 8, 8)))
    >>> stated(diffusion).steps, stated(diffusion).levels, stated(diffusion).classes
    (1000, 256, None)
    """
    return Stated(*(getattr(pair, name, None) for name in Stated._fields))


def takes_labels(pair: Module) -> bool:
    """Whether ``encode``, ``decode`` and ``sample`` take labels: it states ``classes``."""
    return stated(pair).classes is not None


def labels_for(pair: Module, y: Tensor | None) -> tuple[Tensor, ...]:
    """Give what ``encode`` and ``decode`` take beside their first argument."""
    return (y,) if takes_labels(pair) else ()  # type: ignore[return-value]


def device_of(module: Module) -> torch.device:
    """Where the parameters of a pair, or of any module, lie."""
    return _like(module).device


def reconstructed(pair: Codec, x: Tensor, y: Tensor | None = None) -> Tensor:
    """Mean of p(x | z) at the mean of q(z | x), shape as ``x``."""
    labels = labels_for(pair, y)
    return pair.decode(pair.encode(x, *labels).mean, *labels).mean


def sampled(pair: Generative, n: int, seed: int) -> Tensor:
    """``pair.sample(n)`` in evaluation mode, some at a time, ``(n, *shape)`` on the CPU."""
    with evaluation_mode(pair, seed):
        sizes = (min(CHUNK, n - start) for start in range(0, n, CHUNK))
        return torch.cat([pair.sample(size).cpu() for size in sizes])


def batch(pair: Module, data: Set, index: Tensor | slice) -> tuple[Tensor, Tensor | None]:
    """``data.batch`` with x in the precision of the pair's parameters."""
    x, y = data.batch(index)
    return x.to(_like(pair).dtype), y


def batches(pair: Module, data: Set, size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
    """One ``batch`` after the other, on the pair's device, of ``size`` rows but for the last."""
    if size < 1:
        raise PairError(f"expected batch_size >= 1; got {size}")
    data = data.to(device_of(pair))
    for start in range(0, len(data), size):
        yield batch(pair, data, slice(start, start + size))


def arguments(pair: Module, data: Set, index: Tensor | slice) -> tuple[Tensor, ...]:
    """What the pair's programs are called with: x in the precision of its parameters, y if any."""
    x, y = batch(pair, data, index)
    return (x,) if y is None else (x, y)


def check_seed(seed: int) -> None:
    """Raise unless every generator takes the seed."""
    if not (isinstance(seed, int) and 0 <= seed < LARGEST_SEED):
        raise PairError(f"expected seed from 0 to 2^48 - 1; got {seed!r}")


def check_pair(pair: Any) -> None:
    """Raise unless it is a module with a model and a guide."""
    if not (isinstance(pair, nn.Module) and isinstance(pair, Pair)):
        kind = type(pair).__name__
        raise PairError(
            f"expected a module with a model and a guide, such as models.VAE; got {kind}"
        )


def check_set(data: Any) -> None:
    """Raise unless it is one set."""
    if not isinstance(data, Set):
        raise PairError(
            f"expected one data.Set, such as test; got {type(data).__name__}: data.arrays(x) "
            "makes one of arrays"
        )


def check_data(pair: Module, data: Set) -> None:
    """Raise unless the data are of the shape and in the support that the pair states."""
    check_set(data)
    if data.y is not None:
        _check_signatures(pair)
    found = stated(pair)
    data.check(shape=found.shape, support=found.support, classes=found.classes)


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


def _like(module: Module) -> Tensor:
    """A tensor of the dtype and on the device of the parameters."""
    return next(module.parameters(), torch.zeros(()))


def _check_signatures(pair: Any) -> None:
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


def _restore() -> Callable[[], None]:
    """What sets the precisions as they are, in the one of PyTorch's two settings they were set."""
    try:
        matmul, convolutions = torch.get_float32_matmul_precision(), cudnn.allow_tf32
    except RuntimeError:
        operators = cuda.matmul, cudnn.conv, cudnn.rnn  # type: ignore[attr-defined]
        precisions = [operator.fp32_precision for operator in operators]

        def restore() -> None:
            for operator, precision in zip(operators, precisions, strict=True):
                operator.fp32_precision = precision
    else:

        def restore() -> None:
            torch.set_float32_matmul_precision(matmul)
            cudnn.allow_tf32 = convolutions

    return restore
