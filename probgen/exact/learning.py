"""Tables from data: expected counts, and their maximum likelihood by EM or by gradient."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import networkx as nx
import numpy as np

from probgen.exact.network import Array, ExactError, Network, network_of
from probgen.exact.plan import Plan, piece, planned
from probgen.exact.propagation import LINEAR, Algebra, Evidence, sweeps, tables
from probgen.exact.queries import calibrated, parts_of, question
from probgen.exact.rows import Rows, evidence_of, rows_of
from probgen.reasoning import loading
from probgen.reasoning.loading import GraphLike
from probgen.reasoning.names import Node, shown

if TYPE_CHECKING:
    import torch


def counts(network: GraphLike, rows: Any, *, max_bytes: int | None = None) -> dict[Node, Array]:
    """Expected counts of every table's entries: the sum over rows of p(node, parents | row).

    They are theta d log p(rows) / d theta (Darwiche 2003, section 3), the E step of EM; with
    complete rows they are the counts.

    Args:
        network: a Bayesian network with tables.
        rows: as for `fit`.
        max_bytes: that may be taken; half of what the machine has available unless given.

    Returns:
        {node: array in the shape of the node's table}.

    Raises:
        ImpossibleEvidence: a row of probability zero.

    >>> counts("asia", [{"smoke": "yes"}, {"smoke": "no"}, {}])["smoke"].tolist()
    [1.5, 1.5]
    """
    known = _bayesian(network)
    data = _weighted(known, rows)
    plan = planned(known, question(data.evidence), max_bytes, len(data.weights))
    found = _counts(known, plan, data)[0]
    return {known.nodes[v]: table for v, table in enumerate(found)}


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
    known = _bayesian(network)
    found = evidence_of(known, rows_of(known, rows), None)
    plan = planned(known, question(found), max_bytes, found.rows)
    given = {known.number(v, "nodes with a table"): table for v, table in tables.items()}
    return _log_likelihood(known, plan, found, given)


class Fit(NamedTuple):
    """A network with learned tables, and how it got there.

    Attributes:
        network: a new graph with tables.
        log_likelihood: of all rows in nats, before each step and after the last.
    """

    network: nx.DiGraph
    log_likelihood: list[float]


def fit(
    network: GraphLike,
    rows: Any,
    *,
    method: Literal["em", "gradient"] = "em",
    steps: int = 500,
    tolerance: float = 1e-10,
    seed: int = 0,
    max_bytes: int | None = None,
) -> Fit:
    """Maximum likelihood tables for a graph, from complete or incomplete rows.

    "em": expected counts, normalised, until a step gains less than `tolerance` nats per row
    (Lauritzen 1995, "The EM algorithm for graphical association models with missing data"); one
    step when nothing is missing. "gradient": L-BFGS on the logits of the tables, through the
    exact log-likelihood. Either starts at the network's tables and finds a local maximum, the
    global one when nothing is missing. Parent states that no row has keep their distribution.

    Args:
        network: a directed graph; nodes without a table start at a random one, nodes without
            `states` have those of their column, sorted.
        rows: a list of {node: state}, a data frame or `Rows`; None is missing.
        method: how.
        steps: at most so many.
        tolerance: in nats per row.
        seed: of the random tables.
        max_bytes: that may be taken; half of what the machine has available unless given.

    Raises:
        ExactError: no rows, or a state that is not the node's.
        ImpossibleEvidence: a row of probability zero under the tables to start from.

    >>> fitted = fit("A -> B", [{"A": 0, "B": 0}, {"A": 0, "B": 1}, {"A": 1, "B": 1}])
    >>> fitted.network.nodes["B"]["table"].tolist()
    [[0.5, 0.5], [0.0, 1.0]]
    """
    if method not in ("em", "gradient"):
        raise ExactError(f"expected method 'em' or 'gradient'; got {method!r}")
    graph = _started(loading.load(network), rows, seed)
    known = _bayesian(graph)
    data = _weighted(known, rows)
    if not data.weights.size:
        raise ExactError("expected at least one row to learn from; got none")
    plan = planned(known, question(data.evidence), max_bytes, len(data.weights))
    learn = _em if method == "em" else _gradient
    learned, history = learn(known, plan, data, steps, tolerance)
    for node, table in zip(known.nodes, learned, strict=True):
        graph.nodes[node]["table"] = table
    return Fit(graph, history)


class _Data(NamedTuple):
    """Different rows, and how often each occurs."""

    evidence: Evidence
    weights: Array


def _bayesian(network: GraphLike) -> Network:
    known = network_of(network)
    if not known.directed:
        raise ExactError("expected a directed network to learn tables of; got an undirected one")
    return known


def _weighted(network: Network, rows: Any) -> _Data:
    found = rows_of(network, rows)
    codes, weights = np.unique(found.codes, axis=0, return_counts=True)
    few = Rows(found.nodes, found.states, codes)
    return _Data(evidence_of(network, few, None), weights.astype(np.float64))


def _started(source: nx.Graph, rows: Any, seed: int) -> nx.DiGraph:
    """A copy in which every node has states, parents and a table."""
    if not source.is_directed():
        raise ExactError("expected a directed graph to learn tables of; got an undirected one")
    graph, rng = nx.DiGraph(source), np.random.default_rng(seed)
    for v, data in graph.nodes(data=True):
        if "states" not in data:
            data["states"] = _column_states(rows, v)
        data.setdefault("parents", tuple(graph.pred[v]))
    for _, data in graph.nodes(data=True):
        if "table" not in data:
            shape = [len(graph.nodes[p]["states"]) for p in data["parents"]]
            data["table"] = rng.dirichlet(np.ones(len(data["states"])), shape or None)
    return graph


def _column_states(rows: Any, v: Node) -> tuple[Any, ...]:
    whole = isinstance(rows, Rows) or hasattr(rows, "columns")
    try:
        column = rows[v] if whole else [row.get(v) for row in rows]
        if found := tuple(sorted({s for s in column if s is not None and s == s})):
            return found
    except (KeyError, ValueError, TypeError, AttributeError):
        pass
    raise ExactError(
        f"expected states of {shown(v)} or rows with a column of its states, sortable; got "
        f"neither: set graph.nodes[{shown(v)!r}]['states']"
    )


def _counts(network: Network, plan: Plan, data: _Data) -> tuple[list[Array], float]:
    """Expected counts in the shapes of the tables, and the log-likelihood."""
    found = [np.zeros([network.cards[u] for u in family]) for family in network.families]
    total, start = 0.0, 0
    for part in parts_of(plan, data.evidence):
        weights = data.weights[start : start + part.rows]
        start += part.rows
        made = calibrated(network, plan, part)
        share = weights / made.total
        total += float((weights * made.log_z).sum())
        for clique, table in zip(plan.cliques, made.tables, strict=True):
            for v in clique.factors:
                _count(found[v], network.families[v], clique.scope, share * table, part)
    return found, total


def _count(
    into: Array, family: tuple[int, ...], scope: tuple[int, ...], table: Array, part: Evidence
) -> None:
    """Add a clique's weighted beliefs to a table's counts, at the observed states."""
    free = [u for u in scope if u in family and u not in part.picks]
    seen = [u for u in family if u in part.picks]
    shares = table.sum(tuple(i for i, u in enumerate(scope) if u not in free))
    view = into.transpose([family.index(u) for u in (*seen, *free)])
    if seen:
        np.add.at(view, tuple(part.picks[u] for u in seen), np.moveaxis(shares, -1, 0))
    else:
        view += shares.sum(-1)


def _em(
    network: Network, plan: Plan, data: _Data, steps: int, tolerance: float
) -> tuple[list[Array], list[float]]:
    current, history = network, list[float]()
    gain = tolerance * data.weights.sum()
    for _ in range(steps + 1):
        expected, value = _counts(current, plan, data)
        history.append(value)
        if len(history) > 1 and value - history[-2] <= gain:
            break
        found = [_normalised(*pair) for pair in zip(expected, current.tables(), strict=True)]
        current = current.with_factors(list(map(network.factor, network.families, found)))
        plan = plan.renewed(current)
    return current.tables(), history


def _normalised(expected: Array, before: Array) -> Array:
    total = expected.sum(-1, keepdims=True)
    return np.divide(expected, total, out=before.copy(), where=total > 0)


def _gradient(
    network: Network, plan: Plan, data: _Data, steps: int, tolerance: float
) -> tuple[list[Array], list[float]]:
    import torch

    start = [np.log(np.maximum(np.ascontiguousarray(table), 1e-12)) for table in network.tables()]
    logits = [torch.from_numpy(values).requires_grad_() for values in start]
    weights, history = torch.from_numpy(data.weights), list[float]()
    n = float(data.weights.sum())
    optimiser = torch.optim.LBFGS(
        logits,
        max_iter=steps,
        tolerance_grad=1e-9,
        tolerance_change=tolerance,
        history_size=20,
        line_search_fn="strong_wolfe",
    )

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        given = {v: values.softmax(-1) for v, values in enumerate(logits)}
        value = -(weights * _log_likelihood(network, plan, data.evidence, given)).sum() / n
        value.backward()
        history.append(-float(value.detach()) * n)
        return value

    optimiser.step(loss)
    return [values.detach().softmax(-1).numpy() for values in logits], history


def _log_likelihood(
    network: Network, plan: Plan, evidence: Evidence, given: "Mapping[int, torch.Tensor]"
) -> "torch.Tensor":
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
