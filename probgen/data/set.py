"""The Set that every other part of the library takes its batches from."""

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.distributions import constraints

from probgen import ProbgenError

CHUNK = 2**22
MOST_CLASSES = 2**16


class DataError(ProbgenError, ValueError):
    """A data set that is missing, damaged or not what was asked for."""


class Statistics(NamedTuple):
    """Per-channel pixel statistics on the scale of a batch, float64 of shape (C,)."""

    mean: Tensor
    std: Tensor


@dataclass(frozen=True, eq=False, repr=False)
class Set:
    """Items, and what is known of each: a label, the factors that generated it.

    Construction checks everything once: lengths agree, at least one item, no NaN or infinity,
    labels within ``classes``; ``DataError`` names the first offending item.

    Args:
        x: (N, ...) items. uint8 of shape (N, C, H, W) are images; anything else is an array.
            Of binary images with ``packed`` it holds the bits, uint8 (N, C * H * W / 8).
        y: int64 (N,) labels, each an index into ``classes``.
        factors: int64 (N, k) generative factors, each a class number from 0.
        classes: the name of each label; empty if the labels have none.
        name: what tables and figures call the set.
        dynamic: draw every pixel anew from a Bernoulli in each batch (dynamic binarisation).
        factor_names: the name of each column of ``factors``.
        packed: shape (C, H, W) of binary images in ``x``, as from ``numpy.packbits``; only
            the images of a batch are unpacked.

    Example:
        >>> import torch
        >>> s = Set(torch.tensor([[[[0, 51]]], [[[102, 255]]]], dtype=torch.uint8))
        >>> len(s), s.shape
        (2, (1, 1, 2))
        >>> s.batch(slice(0, 1))
        (tensor([[[[0.0000, 0.2000]]]]), None)
    """

    x: Tensor
    y: Tensor | None = None
    factors: Tensor | None = None
    classes: tuple[str, ...] = ()
    name: str = "arrays"
    dynamic: bool = False
    factor_names: tuple[str, ...] = ()
    packed: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.x.ndim == 0 or len(self.x) == 0:
            raise DataError(f"{self.name}: expected at least one item; got x {_kind(self.x)}")
        if self.x.is_complex():
            raise DataError(f"{self.name}: expected real numbers; got x {_kind(self.x)}")
        self._check_aligned("y", self.y, 1)
        self._check_aligned("factors", self.factors, 2)
        self._check_names()
        self._check_labels()
        self._check_packed()
        if self.x.is_floating_point():
            self._scan(self.x.isfinite(), "finite values")
        if self.dynamic:
            replace(self, dynamic=False).check(support=constraints.unit_interval)

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        return f"<{self.name}: {len(self):,} items {self.shape}, {len(self.classes)} classes>"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one item."""
        return self.packed or tuple(self.x.shape[1:])

    def batch(self, index: Tensor | slice | Sequence[int]) -> tuple[Tensor, Tensor | None]:
        """Items and labels at ``index``, as a model takes them.

        Images come as x / 255 in [0, 1], integers as floats (both in torch's default dtype,
        float32), floats as they are. Binarisation draws from torch's global generator.

        Args:
            index: int64 (B,), a list of integers, or a slice.

        Returns:
            x (B, *shape) and y (B,), None for a set without labels.
        """
        if not isinstance(index, slice | Tensor):
            index = torch.as_tensor(index, device=self.x.device).flatten()
        x = _rows(self.x, index)
        if self.packed:
            x = _unpack(x, self.packed)
        elif self._pixels:
            x = x / 255
        if not x.is_floating_point():
            x = x.to(torch.get_default_dtype())
        if self.dynamic:
            x = torch.rand_like(x).lt_(x)  # four times as fast as torch.bernoulli on a CPU
        return x, None if self.y is None else _rows(self.y, index)

    def take(self, index: Tensor | slice | Sequence[int]) -> "Set":
        """The subset at ``index``: integers in any order, a boolean mask (N,), or a slice."""
        if not isinstance(index, slice):
            index = torch.as_tensor(index, device=self.x.device).flatten()
        return self._map(lambda t: t[index])

    def draw(self, n: int, seed: int = 0) -> "Set":
        """At most ``n`` items: all of them, or a seeded draw in the original order.

        Args:
            n: how many, from 1 up.
            seed: the same seed gives the same draw on every device.

        Raises:
            DataError: fewer than one.

        Example:
            >>> arrays(range(10)).draw(3).x
            tensor([1, 4, 7])
        """
        if n < 1:
            raise DataError(f"{self.name}: expected n >= 1 items to draw; got {n}")
        if n >= len(self):
            return self
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        return self.take(order[:n].sort().values)

    def where(self, **factors: int | Sequence[int]) -> "Set":
        """The subset whose named factors have the given class, or one of the given classes.

        Raises:
            DataError: for a factor that the set doesn't have, or an empty subset.

        Example:
            >>> s = arrays([1.0, 2.0, 3.0], factors=[[0], [1], [2]], factor_names=("size",))
            >>> s.where(size=[0, 2]).x
            tensor([1., 3.])
        """
        keep = torch.ones(len(self), dtype=torch.bool, device=self.x.device)
        for name, wanted in factors.items():
            if self.factors is None or name not in self.factor_names:
                known = ", ".join(self.factor_names) or "none"
                raise DataError(f"{self.name}: expected one of the factors {known}; got {name!r}")
            column = self.factors[:, self.factor_names.index(name)]
            keep &= torch.isin(column, torch.as_tensor(wanted, device=column.device))
        return self.take(keep)

    def split(self, fraction: float, seed: int = 0) -> tuple["Set", "Set"]:
        """A seeded random split into (rest, part), each in the original order.

        Args:
            fraction: size of the part: it gets ``round(fraction * N)`` items.
            seed: the same seed gives the same split on every device.

        Raises:
            DataError: when either side would be empty.

        Example:
            >>> train, validation = arrays(range(10)).split(0.2)
            >>> len(train), len(validation)
            (8, 2)
        """
        size = round(fraction * len(self)) if 0 < fraction < 1 else 0
        if not 0 < size < len(self):
            raise DataError(
                f"{self.name}: expected a fraction that leaves items on both sides of "
                f"{len(self)}; got {fraction}"
            )
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        return self.take(order[size:].sort().values), self.take(order[:size].sort().values)

    def to(self, device: torch.device | str) -> "Set":
        """The set with its tensors on ``device``."""
        return self._map(lambda t: t.to(device))

    def binarized(self) -> "Set":
        """The same set with dynamic binarisation: every batch draws each pixel anew.

        Raises:
            DataError: for values outside [0, 1], naming the first.

        Source: Burda, Grosse and Salakhutdinov, arXiv:1509.00519.

        Example:
            >>> draws, _ = arrays([0.3] * 1000).binarized().batch(slice(None))
            >>> draws.unique()
            tensor([0., 1.])
        """
        return replace(self, dynamic=True)

    def histogram(self) -> Tensor:
        """How often each of the levels 0 to 255 occurs in each channel, int64 (C, 256).

        Raises:
            DataError: for a set that isn't one of images.
        """
        if not (self._pixels or self.packed):
            raise DataError(
                f"{self.name}: expected uint8 images (N, C, H, W); got {_kind(self.x)}"
            )
        channels = self.x.reshape(len(self), self.shape[0], -1).unbind(1)
        counts = torch.stack([channel.flatten().bincount(minlength=256) for channel in channels])
        if not self.packed:
            return counts
        bits_set = torch.tensor([byte.bit_count() for byte in range(256)], device=counts.device)
        ones = (counts * bits_set).sum(1)
        zeros = 8 * counts.sum(1) - ones
        return torch.stack([zeros, *torch.zeros_like(counts.T[:254]), ones], 1)

    def statistics(self) -> Statistics:
        """Mean and (population) standard deviation of each channel over all images and pixels.

        Raises:
            DataError: for a set that isn't one of images.

        Example:
            >>> s = arrays(torch.tensor([0, 255], dtype=torch.uint8).reshape(1, 1, 1, 2))
            >>> s.statistics().mean, s.statistics().std
            (tensor([0.5000], dtype=torch.float64), tensor([0.5000], dtype=torch.float64))
        """
        levels = torch.arange(256, dtype=torch.float64, device=self.x.device) / 255
        counts = self.histogram().double()
        share = counts / counts.sum(1, keepdim=True)
        mean = share @ levels
        return Statistics(mean, (share * (levels - mean[:, None]) ** 2).sum(1).sqrt())

    def digest(self) -> str:
        """Sha256 of the items, their labels and whether they are binarised: what numbers are of.

        Example:
            >>> s = arrays([0.0, 1.0])
            >>> s.digest() == s.take([0, 1]).digest() != s.take([1, 0]).digest()
            True
        """
        tensors = [t for t in (self.x, self.y) if t is not None]
        digest = hashlib.sha256(str((self.dynamic, [t.dtype for t in tensors])).encode())
        for tensor in tensors:
            digest.update(tensor.contiguous().cpu().numpy().data)
        return digest.hexdigest()

    def check(
        self,
        shape: Sequence[int] | None = None,
        support: constraints.Constraint | None = None,
        classes: int | None = None,
    ) -> None:
        """Refuse items that a model cannot take.

        Args:
            shape: expected shape of one item.
            support: where the values of a batch have to lie, for instance ``bernoulli.support``.
            classes: how many classes a label has to be one of; None for a model without labels.

        Raises:
            DataError: naming what was expected, and the first offending item and value.

        Example:
            >>> from torch.distributions import constraints
            >>> arrays([0.5, 2.0]).check(support=constraints.unit_interval)
            Traceback (most recent call last):
            probgen.data.set.DataError: arrays: expected values in [0, 1]; got 2.0 in item 1:
            give images as uint8 (N, C, H, W), or take a Gaussian likelihood
        """
        if shape is not None and tuple(shape) != self.shape:
            raise DataError(f"{self.name}: expected items {tuple(shape)}; got {self.shape}")
        if classes is not None:
            self._check_classes(classes)
        while isinstance(support, constraints.independent):
            support = support.base_constraint
        if support is None or self._always_in(support):
            return
        devices = [self.x.device] if self.x.is_cuda else []
        with torch.random.fork_rng(devices):
            for start, x in self._chunks():
                self._scan(support.check(x), *_wanted(support), x, start)

    def _check_classes(self, classes: int) -> None:
        if self.y is None:
            raise DataError(f"{self.name}: expected labels, for a conditional model; got none")
        within = (self.y >= 0) & (self.y < classes)
        self._scan(within, f"labels from 0 to {classes - 1}", x=self.y)

    @property
    def _pixels(self) -> bool:
        return self.x.dtype == torch.uint8 and self.x.ndim == 4

    def _always_in(self, support: constraints.Constraint) -> bool:
        """Whether images lie in ``support`` whatever they show: no scan is needed."""
        binary = self.dynamic or self.packed is not None
        values = torch.arange(0, 256, 255 if binary else 1, device=self.x.device) / 255
        return (
            (self._pixels or binary)
            and support.event_dim == 0
            and bool(support.check(values).all())
        )

    def _chunks(self) -> Iterator[tuple[int, Tensor]]:
        rows = max(1, CHUNK // max(1, math.prod(self.shape)))
        for start in range(0, len(self), rows):
            yield start, self.batch(slice(start, start + rows))[0]

    def _map(self, function: Callable[[Tensor], Tensor]) -> "Set":
        y = None if self.y is None else function(self.y)
        factors = None if self.factors is None else function(self.factors)
        return replace(self, x=function(self.x), y=y, factors=factors)

    def _scan(
        self, ok: Tensor, wanted: str, todo: str = "", x: Tensor | None = None, start: int = 0
    ) -> None:
        """Raise for the first False of ``ok``, whose rows are those of ``x``."""
        if ok.all():
            return
        row = int((~ok.reshape(len(ok), -1).all(1)).nonzero()[0])
        item = (self.x if x is None else x)[row]
        value = item[~ok[row]][0].tolist()
        raise DataError(f"{self.name}: expected {wanted}; got {value} in item {start + row}{todo}")

    def _check_aligned(self, field: str, t: Tensor | None, ndim: int) -> None:
        if t is not None and (t.dtype != torch.int64 or t.ndim != ndim or len(t) != len(self)):
            wanted = f"({len(self)},)" if ndim == 1 else f"({len(self)}, k)"
            raise DataError(f"{self.name}: expected {field} int64 {wanted}; got {_kind(t)}")

    def _check_packed(self) -> None:
        bits = 8 * self.x.numel() // len(self)
        if self.packed and (self.x.dtype != torch.uint8 or bits != math.prod(self.packed)):
            raise DataError(
                f"{self.name}: expected the bits of {self.packed} images; got {_kind(self.x)}"
            )

    def _check_names(self) -> None:
        for field in ("classes", "factor_names"):
            names = getattr(self, field)
            if len(set(names)) < len(names):
                name, times = Counter(names).most_common(1)[0]
                raise DataError(f"{self.name}: expected distinct {field}; got {name!r} {times}x")

    def _check_labels(self) -> None:
        if self.y is not None:
            top = len(self.classes) or MOST_CLASSES
            ok = (self.y >= 0) & (self.y < top)
            self._scan(ok, f"labels from 0 to {top - 1}", x=self.y)
        if self.factors is not None:
            self._scan(self.factors >= 0, "factor classes from 0", x=self.factors)
        columns = 0 if self.factors is None else self.factors.shape[1]
        if self.factor_names and len(self.factor_names) != columns:
            raise DataError(
                f"{self.name}: expected {columns} factor names; got {self.factor_names}"
            )


def arrays(
    x: Any,
    y: Any = None,
    *,
    factors: Any = None,
    classes: Sequence[str] = (),
    factor_names: Sequence[str] = (),
    name: str = "arrays",
) -> Set:
    """One Set of a user's own arrays (numpy, torch or nested lists); split it with ``split``.

    Args:
        x: (N, ...) real numbers. uint8 (N, C, H, W) are images, scaled by 1 / 255 in a batch;
            anything else (counts, tables, floats of any shape) passes through unscaled.
        y: (N,) integer labels from 0.
        factors: (N, k) integer factor classes from 0.
        classes: the name of each label; the labels' numbers if not given.
        factor_names: the name of each factor.
        name: what tables and figures call the set.

    Raises:
        DataError: for lengths that differ, NaN or infinity, labels outside ``classes``, labels
            that are strings, images with their channels last.

    Example:
        >>> s = arrays([[1.5, 2.0], [0.0, 1.0]], [1, 0], classes=("no", "yes"))
        >>> s.batch(slice(0, 1))
        (tensor([[1.5000, 2.0000]]), tensor([1]))
    """
    labels = None if y is None else _integers(as_tensor(y, "y"), "y")
    if labels is not None and not classes and len(labels):
        classes = [str(label) for label in range(min(int(labels.max()) + 1, MOST_CLASSES))]
    table = None if factors is None else _integers(as_tensor(factors, "factors"), "factors")
    items, names = as_tensor(x, "x"), tuple(factor_names)
    if items.dtype == torch.uint8 and items.ndim == 4 and items.shape[3] < 5 <= items.shape[1]:
        raise DataError(
            f"{name}: expected images (N, C, H, W); got {_kind(items)}, channels last: give "
            "numpy.moveaxis(x, -1, 1)"
        )
    return Set(items, labels, table, tuple(classes), name, factor_names=names)


def _wanted(support: constraints.Constraint) -> tuple[str, str]:
    """What values ought to be, and what to do where they are not."""
    if support is not constraints.unit_interval:
        return f"values in {support}", ""
    return "values in [0, 1]", ": give images as uint8 (N, C, H, W), or take a Gaussian likelihood"


def _rows(t: Tensor, index: Tensor | slice) -> Tensor:
    """``t[index]``; index_select is faster than indexing on a CPU."""
    return t[index] if isinstance(index, slice) else t.index_select(0, index)


def _unpack(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=x.device)
    return (x.unsqueeze(-1) >> shifts & 1).reshape(len(x), *shape)


def as_tensor(values: Any, field: str) -> Tensor:
    """Numbers of any kind as a tensor; ``field`` is for the error."""
    if isinstance(values, Tensor):
        return values.detach()
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "biufc":
            todo = "; numpy.unique(y, return_inverse=True) gives classes and labels"
            raise TypeError(f"{array.dtype} {array.shape}{todo if field == 'y' else ''}")
        if array.dtype == np.float64 and not isinstance(values, np.ndarray):
            array = array.astype(np.float32)
        native = array.dtype.newbyteorder("=")
        return torch.from_numpy(np.require(array, native, ["C", "W"]))
    except (TypeError, ValueError) as error:
        raise DataError(f"expected {field} to be an array of numbers; got {error}") from None


def _integers(t: Tensor, field: str) -> Tensor:
    if t.is_floating_point() or t.is_complex():
        raise DataError(f"expected {field} to be integers; got {_kind(t)}")
    return t.to(torch.int64)


def _kind(t: Tensor) -> str:
    return f"{str(t.dtype).removeprefix('torch.')} {tuple(t.shape)}"
