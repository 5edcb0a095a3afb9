"""What operations do beside giving a result, by their schemas and the tables of special cases."""

import pytest
import torch

from probgen.lowering.operations import Traits, aten, looked_at

X, MASK, INDEX = torch.arange(4.0), torch.tensor([True, False, True, False]), torch.tensor([1, 2])


@pytest.mark.parametrize(
    ("operation", "traits"),
    [
        (aten.exp.default, "fuses gives_tensors"),
        (aten.mm.default, "gives_tensors"),
        (aten.mul_.Tensor, "fuses gives_tensors matters"),
        (aten.copy_.default, "fills gives_tensors matters"),
        (aten.normal_.default, "draws fills gives_tensors matters"),
        (aten.bernoulli.default, "draws gives_tensors matters"),
        (aten.resize_.default, "moves gives_tensors matters"),
        (aten.empty.memory_format, "unfilled gives_tensors"),
        (aten.native_batch_norm.default, "gives_tensors matters"),
        (aten._local_scalar_dense.default, ""),
    ],
    ids=str,
)
def test_traits(operation, traits):
    found = Traits.of(operation)._asdict()
    found.pop("writes")
    assert {name for name, value in found.items() if value} == {*traits.split()}


def test_what_an_operation_writes_to():
    assert Traits.of(aten.exp.default).written((X,), {}) == []
    assert Traits.of(aten.exp.out).written((X,), {"out": MASK}) == [MASK]
    statistics = [torch.zeros(2), torch.ones(2)]  # which the schema does not say
    args = (torch.ones(3, 2), None, None, *statistics, True, 0.1, 1e-5)
    written = Traits.of(aten.native_batch_norm.default).written(args, {})
    assert all(one is other for one, other in zip(written, statistics, strict=True))


@pytest.mark.parametrize(
    ("operation", "args", "expected"),
    [
        (aten.index.Tensor, (X, [MASK]), [MASK]),
        (aten.index.Tensor, (X, [INDEX]), []),
        (aten.masked_select.default, (X, MASK), [MASK]),
        (aten.nonzero.default, (X,), [X]),
        (aten._local_scalar_dense.default, (X[0],), [X[0]]),
        (aten.add.Tensor, (X, X), []),
    ],
    ids=lambda value: str(value) if isinstance(value, torch._ops.OpOverload) else "",
)
def test_by_which_values_an_operation_decides(operation, args, expected):
    tensors = [arg for arg in args if isinstance(arg, torch.Tensor)]
    found = looked_at(operation, args, tensors)
    assert len(found) == len(expected)
    assert all(map(torch.equal, found, expected))
