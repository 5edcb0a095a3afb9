"""The log-likelihood of rows as a function of the tables, which autograd can differentiate."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from probgen.exact.network import Array, Network, bayesian
from probgen.exact.plan import Plan, piece, planned
from probgen.exact.propagation import LINEAR, Algebra, Evidence, sweeps, tables
from probgen.exact.queries import parts_of, question
from probgen.exact.rows import several
from probgen.reasoning.loading import GraphLike
from probgen.reasoning.names import Node

if TYPE_CHECKING:
    import torch


def log_likelihood(
    network: GraphLike,
    rows: Any,
    tables: Mapping[Node, "torch.Tensor"],
    *,
    max_bytes: int | None = None,
) -> "torch.Tensor":
    """The log-probability of every row in nats, differentiable with respect to the tables.

    Args:
        network: a Bayesian network; its tables serve where `tables` has none.
        rows: as evidence for `marginals`: what a row does not have is summed out.
        tables: {node: tensor (*parents, node)}, used as they are: give softmax rows. Rows whose
            products leave the range of the numbers are done in logarithms, in which an entry
            of 0 has the gradient 0.
        max_bytes: that may be taken; half of what the machine has available unless given.

    Returns:
        A tensor (rows,).

    >>> import torch
    >>> table = torch.tensor([0.5, 0.5], dtype=torch.float64, requires_grad=True)
    >>> log_likelihood("asia", [{"smoke": "yes"}], {"smoke": table}).sum().backward()
    >>> [round(g, 9) for g in table.grad.tolist()]
    [2.0, 0.0]
    """
    known = bayesian(network)
    found = several(known, rows)
    plan = planned(known, question(found), max_bytes, found.rows)
    given = {known.number(v, "nodes with a table"): table for v, table in tables.items()}
    return log_likelihoods(known, plan, found, given)


def log_likelihoods(
    network: Network, plan: Plan, evidence: Evidence, given: "Mapping[int, torch.Tensor]"
) -> "torch.Tensor":
    """`log_likelihood` of numbered nodes, with a plan."""
    import torch

    first = next(iter(given.values()), torch.ones((), dtype=torch.float64))
    algebra, logs = _torch(first.device, first.dtype), _torch_logs(first.device, first.dtype)
    ascending = {
        v: table.permute(sorted(range(table.ndim), key=network.families[v].__getitem__))
        for v, table in given.items()
    }
    pieces = _pieces(network, plan, ascending, algebra.enter)
    numbers = {v: table.detach().cpu().numpy() for v, table in ascending.items()}
    plain = _pieces(network, plan, numbers, np.asarray)
    parts = []
    for part in parts_of(plan, evidence):
        if _in_range(plan, part, plain):
            made = tables(plan, part, algebra, pieces)
            value = sweeps(plan, made, algebra, down=False, scale=True).log_z
        else:
            made = tables(plan, part, logs, pieces)
            value = sweeps(plan, made, logs, down=False).log_z
        parts.append(value.expand(part.rows))
    return torch.cat(parts)


def _pieces(
    network: Network, plan: Plan, given: Mapping[int, Any], enter: Callable[[Array], Any]
) -> list[Any]:
    """What each clique is the product of, with some tables replaced."""
    made = []
    for clique in plan.cliques:
        few = [
            piece(clique.scope, axes, given[f] if f in given else enter(values))
            for f in clique.factors
            for axes, values in [network.factors[f]]
        ]
        made.append(few or [piece(clique.scope, (), enter(np.ones(())))])
    return made


def _in_range(plan: Plan, evidence: Evidence, pieces: list[Any]) -> bool:
    """Whether no product leaves the range of the numbers, which the processor reports."""
    try:
        with np.errstate(under="raise", over="raise"):
            sweeps(plan, tables(plan, evidence, LINEAR, pieces), LINEAR, False, scale=True)
    except FloatingPointError:
        return False
    return True


def _torch(device: Any, dtype: Any) -> Algebra:
    """The upward sweep in torch, whose derivative autograd takes."""
    import torch

    return Algebra(
        times=torch.mul,
        plus=lambda table, axes: table.sum(axes, keepdim=True) if axes else table,
        over=torch.div,
        enter=lambda values: torch.as_tensor(values, device=device, dtype=dtype),
        log=torch.log,
        permute=torch.permute,
        take=lambda values, code: values.index_select(-1, torch.as_tensor(code, device=device)),
    )


def _torch_logs(device: Any, dtype: Any) -> Algebra:
    """The same in logarithms; an entry of 0 stays 0 and has no gradient."""
    import torch

    def log(values: Any) -> Any:
        entered = torch.as_tensor(values, device=device, dtype=dtype)
        some = entered > 0
        return torch.where(some, torch.where(some, entered, 1.0).log(), -torch.inf)

    return _torch(device, dtype)._replace(
        times=torch.add,
        plus=lambda table, axes: table.logsumexp(axes, keepdim=True) if axes else table,
        over=torch.sub,
        enter=log,
        log=lambda values: values,
    )
