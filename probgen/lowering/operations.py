"""What PyTorch's operations do beside giving a result, as far as a recording has to know.

The dispatcher hands each operation to its kernel with a schema, which says what it writes to, and
with tags, which say whether it draws noise or gives Python a value. What neither says stands in
the tables here: a special case is a row.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

aten = torch.ops.aten


def leaves(value: Any) -> Iterator[Any]:
    """What nested lists and tuples hold."""
    if isinstance(value, list | tuple):
        for part in value:
            yield from leaves(part)
    else:
        yield value


def _masks(args: Sequence[Any]) -> list[Tensor]:
    """Of the indices, those that select as many elements as are true."""
    given = (index for index in args[1] if index is not None)
    return [index for index in given if index.dtype in (torch.bool, torch.uint8)]


def _second(args: Sequence[Any]) -> list[Tensor]:
    return list(args[1:2])


_LOOKED_AT: dict[Any, Callable[[Sequence[Any]], list[Tensor]]] = {
    aten.index.Tensor: _masks,
    aten.masked_select.default: _second,
}
"""Operations that decide by the values of some of their tensors alone, and of which."""
_VALUE_TAGS = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
"""Tags of the others, which decide by the values of all."""
SAME_AS = {aten.lift_fresh.default: aten.clone.default}
"""What is recorded in place of an operation: of a literal, which the program may write to, a copy.
"""
_WRITTEN_UNSAID = {
    aten.native_batch_norm.default: (3, 4),
    aten.cudnn_batch_norm.default: (3, 4),
    aten.miopen_batch_norm.default: (3, 4),
}
"""Positions of arguments that an operation writes although its schema does not say so."""
_UNFILLED = {
    aten.empty.memory_format,
    aten.empty_like.default,
    aten.empty_strided.default,
    aten.new_empty.default,
    aten.new_empty_strided.default,
}
"""Operations that give memory without values."""
_FILLS = {
    f"aten::{name}_"
    for name in (
        "copy", "fill", "zero", "set", "normal", "uniform", "random", "bernoulli", "exponential",
        "geometric", "cauchy", "log_normal", "index_put", "_index_put_impl", "index_copy",
        "index_fill", "scatter", "masked_fill", "masked_scatter",
    )
}  # fmt: skip
"""Operations that write without reading what was there."""
_MOVES = {"aten::set_", "aten::resize_", "aten::resize_as_"}
"""Operations after which a tensor has other memory."""


class Traits(NamedTuple):
    """What an operation does beside giving its result.

    Attributes:
        draws: takes noise from a generator.
        fuses: can be fused with others: it works element by element.
        moves: gives a tensor other memory.
        fills: writes without reading what was there.
        unfilled: gives memory without values.
        gives_tensors: gives tensors; others give Python a number.
        writes: positions and names of the arguments that it writes to.
        matters: has to be run even where nothing uses its result.
    """

    draws: bool
    fuses: bool
    moves: bool
    fills: bool
    unfilled: bool
    gives_tensors: bool
    writes: tuple[tuple[int, str], ...]
    matters: bool

    @classmethod
    @cache
    def of(cls, func: Any) -> "Traits":
        """Those of an operation, by its schema, its tags and the tables."""
        schema = func._schema
        draws = torch.Tag.nondeterministic_seeded in func.tags
        unsaid = _WRITTEN_UNSAID.get(func, ())
        said = [i for i, one in enumerate(schema.arguments) if _is_written(one)]
        return cls(
            draws=draws,
            fuses=torch.Tag.pointwise in func.tags,
            moves=schema.name in _MOVES,
            fills=schema.name in _FILLS or "out" in func._overloadname,
            unfilled=func in _UNFILLED,
            gives_tensors=any("Tensor" in str(result.type) for result in schema.returns),
            writes=tuple((i, schema.arguments[i].name) for i in (*unsaid, *said)),
            matters=schema.is_mutable or draws or bool(unsaid) or not schema.returns,
        )

    def written(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Tensor]:
        """The tensors that a call with these arguments writes to."""
        given = [args[i] if i < len(args) else kwargs.get(name) for i, name in self.writes]
        return [leaf for leaf in leaves(given) if isinstance(leaf, Tensor)]


def _is_written(argument: Any) -> bool:
    return argument.alias_info is not None and argument.alias_info.is_write


def looked_at(func: Any, args: Sequence[Any], tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    """Of the tensors that an operation takes, those by whose values it or Python decides."""
    if func in _LOOKED_AT:
        return _LOOKED_AT[func](args)
    return [] if _VALUE_TAGS.isdisjoint(func.tags) else tensors
