"""Tables from data: expected counts, and tables learned from them by EM or by gradient."""

from collections.abc import Mapping
from math import inf, prod
from typing import Any, Literal, NamedTuple

import networkx as nx
import numpy as np

from probgen.exact.differentiable import log_likelihoods
from probgen.exact.network import (
    Array,
    ExactError,
    Network,
    bayesian,
    closeness,
    generator,
    whole,
)
from probgen.exact.plan import Cost, Plan, TooCostly, allowed, planned
from probgen.exact.propagation import Evidence
from probgen.exact.queries import calibrated, parts_of, question
from probgen.exact.rows import Rows, is_missing, weighted
from probgen.reasoning import loading
from probgen.reasoning.loading import GraphLike
from probgen.reasoning.names import Node, listed, shown


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
    known = bayesian(network)
    data = _Data(*weighted(known, rows))
    plan = planned(known, question(data.evidence), max_bytes, len(data.weights))
    found = _counts(known, plan, data)[0]
    return {known.nodes[v]: table for v, table in enumerate(found)}


class Fit(NamedTuple):
    """A network with learned tables, and how it got there.

    Attributes:
        network: a new graph with tables.
        log_likelihood: of all rows in nats, before each step and after the last.
        unseen: {node: array (*parents) of bool} where no row has these states of the parents, so
            that the data say nothing: the row of the table is the prior's mean, without a prior
            that of the network given, and uniform where that had no table.
    """

    network: nx.DiGraph
    log_likelihood: list[float]
    unseen: dict[Node, Array]


def fit(
    network: GraphLike,
    rows: Any,
    *,
    pseudo_counts: Any = 0.0,
    equivalent_sample_size: Any = 0.0,
    method: Literal["em", "gradient"] = "em",
    steps: int = 500,
    tolerance: float = 1e-10,
    seed: int = 0,
    max_bytes: int | None = None,
) -> Fit:
    """Learn the tables of a graph from complete or incomplete rows, with a prior or without.

    Without one the maximum likelihood is sought. A Dirichlet prior counts as rows seen before:
    with complete rows table[u, x] = (n[u, x] + a[u, x]) / (n[u] + a[u]), its posterior mean
    (Heckerman 1995, "A tutorial on learning with Bayesian networks", section 5).

    "em": expected counts, normalised, until a step gains less than `tolerance` nats per row
    (Lauritzen 1995, "The EM algorithm for graphical association models with missing data"); one
    step when nothing is missing. "gradient": L-BFGS on the logits of the tables, through the
    exact log-likelihood. Either starts at the network's tables and finds a local maximum of the
    likelihood times the product of table^a, the global one when nothing is missing.

    Args:
        network: a directed graph; nodes without a table start at a random one, nodes without
            `states` have those of their column, sorted.
        rows: a list of {node: state}, a data frame or `Rows`; None, not-a-number and "?" are
            missing, {state: likelihood} is soft evidence.
        pseudo_counts: a of every entry; or {node: a number, or an array that fits its table}.
        equivalent_sample_size: of BDeu (Heckerman, Geiger and Chickering 1995): so many rows,
            spread evenly over each table; or {node: a number}.
        method: how.
        steps: at most so many.
        tolerance: in nats per row.
        seed: of the random tables.
        max_bytes: that may be taken; half of what the machine has available unless given.

    Raises:
        ExactError: no rows, a state that is not the node's, or a prior below 0.
        ImpossibleEvidence: a row of probability zero under the tables to start from.
        TooCostly: tables or an inference of more bytes than that.

    >>> rows = [{"A": 0, "B": 0}, {"A": 0, "B": 1}, {"A": 1, "B": 1}]
    >>> fit("A -> B", rows).network.nodes["B"]["table"].tolist()
    [[0.5, 0.5], [0.0, 1.0]]
    >>> fit("A -> B", rows, pseudo_counts=1).network.nodes["B"]["table"][1].round(3).tolist()
    [0.333, 0.667]
    """
    if method not in ("em", "gradient"):
        raise ExactError(f"expected method 'em' or 'gradient'; got {method!r}")
    steps, tolerance, rng = (
        whole(steps, "steps", 0, "steps"),
        closeness(tolerance),
        generator(seed),
    )
    source = loading.load(network)
    graph = _started(source, rows, rng, max_bytes)
    known = bayesian(graph)
    prior = _prior(known, pseudo_counts, equivalent_sample_size)
    data = _Data(*weighted(known, rows))
    if not data.weights.size:
        raise ExactError("expected at least one row to learn from; got none")
    plan = planned(known, question(data.evidence), max_bytes, len(data.weights))
    learn = _em if method == "em" else _gradient
    learned, history = learn(known, plan, data, prior, steps, tolerance)
    unseen = _unseen(known, plan, data, learned)
    for v, node in enumerate(known.nodes):
        table = learned[v]
        if node in unseen and "table" not in source.nodes[node] and not prior[v].any():
            table[unseen[node]] = 1 / known.cards[v]
        graph.nodes[node]["table"] = table
    return Fit(graph, history, unseen)


class _Data(NamedTuple):
    """Different rows, and how often each occurs."""

    evidence: Evidence
    weights: Array


def _prior(network: Network, pseudo_counts: Any, equivalent_sample_size: Any) -> list[Array]:
    """Pseudo-counts in the shapes of the tables."""
    counted = _per_node(network, pseudo_counts, "pseudo_counts")
    spread = _per_node(network, equivalent_sample_size, "equivalent_sample_size")
    if several := [v for v, size in spread.items() if size.ndim]:
        raise ExactError(
            "expected one number as the equivalent_sample_size of each node; got an array for "
            f"{listed(network.nodes[v] for v in several)}: give entries by pseudo_counts="
        )
    if both := [v for v in counted if v in spread and np.any(counted[v]) and np.any(spread[v])]:
        raise ExactError(
            "expected pseudo_counts or an equivalent_sample_size; got both for "
            f"{listed(network.nodes[v] for v in both)}: drop one"
        )
    made = []
    for v, family in enumerate(network.families):
        shape = tuple(network.cards[u] for u in family)
        each = spread.get(v, 0.0) / prod(shape) + counted.get(v, 0.0)
        try:
            made.append(np.broadcast_to(each, shape))
        except ValueError:
            raise ExactError(
                f"expected pseudo_counts of {shown(network.nodes[v])} that fit its table, "
                f"{shape}; got {np.shape(each)}"
            ) from None
    return made


def _per_node(network: Network, given: Any, name: str) -> dict[int, Array]:
    """Numbers of at least 0 for every node, or for those that are named."""
    if isinstance(given, Mapping):
        numbered = {network.number(v, f"nodes in {name}"): x for v, x in given.items()}
    else:
        numbered = dict.fromkeys(range(len(network.nodes)), given)
    found = {}
    for v, value in numbered.items():
        try:
            found[v] = np.asarray(value, dtype=np.float64)
        except (TypeError, ValueError):
            raise ExactError(f"expected {name} as numbers; got {value!r}") from None
        if not (np.isfinite(found[v]) & (found[v] >= 0)).all():
            raise ExactError(f"expected {name} of at least 0, finite; got {value!r}")
    return found


def _unseen(network: Network, plan: Plan, data: _Data, learned: list[Array]) -> dict[Node, Array]:
    """Where the expected counts of a state of the parents are 0."""
    factors = list(map(network.factor, network.families, learned))
    last = network.with_factors(factors)
    found = {}
    for v, expected in enumerate(_counts(last, plan.renewed(last), data)[0]):
        empty = expected.sum(-1) == 0
        if empty.any():
            found[network.nodes[v]] = empty
    return found


def _started(
    source: nx.Graph, rows: Any, rng: np.random.Generator, max_bytes: int | None
) -> nx.DiGraph:
    """A copy in which every node has states, parents and a table."""
    if not source.is_directed():
        raise ExactError("expected a directed graph to learn tables of; got an undirected one")
    graph = nx.DiGraph(source)
    for v, data in graph.nodes(data=True):
        if "states" not in data:
            data["states"] = _column_states(rows, v)
        data.setdefault("parents", tuple(graph.pred[v]))
    absent = [v for v, data in graph.nodes(data=True) if "table" not in data]
    shapes = {
        v: [len(graph.nodes[u]["states"]) for u in graph.nodes[v]["parents"]] for v in absent
    }
    _require_affordable(graph, shapes, max_bytes)
    for v, shape in shapes.items():
        states = graph.nodes[v]["states"]
        graph.nodes[v]["table"] = rng.dirichlet(np.ones(len(states)), shape or None)
    return graph


def _require_affordable(
    graph: nx.DiGraph, shapes: Mapping[Node, list[int]], max_bytes: int | None
) -> None:
    """A table, its counts and its prior are kept at once."""
    sizes = {v: prod(shape) * len(graph.nodes[v]["states"]) for v, shape in shapes.items()}
    memory, most = 24 * sum(sizes.values()), allowed(max_bytes)
    if memory <= most:
        return
    v = max(sizes, key=sizes.__getitem__)
    entries = sum(sizes.values())
    cost = Cost(len(shapes[v]), sizes[v], entries, memory, 3 * entries)
    raise TooCostly(cost, most, f"give {shown(v)} fewer than {len(shapes[v])} parents")


def _column_states(rows: Any, v: Node) -> tuple[Any, ...]:
    whole = isinstance(rows, Rows) or hasattr(rows, "columns")
    try:
        column = rows[v] if whole else [row.get(v) for row in rows]
        if found := tuple(sorted({s for s in column if not is_missing(s)})):
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
    network: Network,
    plan: Plan,
    data: _Data,
    prior: list[Array],
    steps: int,
    tolerance: float,
) -> tuple[list[Array], list[float]]:
    current, history, before = network, list[float](), -inf
    gain = tolerance * data.weights.sum()
    for step in range(steps + 1):
        expected, value = _counts(current, plan, data)
        history.append(value)
        objective = value + _log_prior(prior, current.tables())
        if step == steps or objective - before <= gain:
            break
        before = objective
        found = [
            _normalised(counts + pseudo, table)
            for counts, pseudo, table in zip(expected, prior, current.tables(), strict=True)
        ]
        current = current.with_factors(list(map(network.factor, network.families, found)))
        plan = plan.renewed(current)
    return current.tables(), history


def _log_prior(prior: list[Array], tables: list[Array]) -> float:
    """The sum of a log table, up to a constant the logarithm of the Dirichlet density."""
    total = 0.0
    for pseudo, table in zip(prior, tables, strict=True):
        if pseudo.any():
            with np.errstate(divide="ignore"):
                total += float((pseudo * np.log(table))[pseudo > 0].sum())
    return total


def _normalised(expected: Array, before: Array) -> Array:
    total = expected.sum(-1, keepdims=True)
    return np.divide(expected, total, out=before.copy(), where=total > 0)


def _gradient(
    network: Network,
    plan: Plan,
    data: _Data,
    prior: list[Array],
    steps: int,
    tolerance: float,
) -> tuple[list[Array], list[float]]:
    import torch

    start = [np.log(np.maximum(np.ascontiguousarray(table), 1e-12)) for table in network.tables()]
    logits = [torch.from_numpy(values).requires_grad_() for values in start]
    pseudo = [torch.from_numpy(values.copy()) for values in prior]
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
        value = (weights * log_likelihoods(network, plan, data.evidence, given)).sum()
        history.append(float(value.detach()))
        for counts, values in zip(pseudo, logits, strict=True):
            if counts.any():
                value = value + (counts * values.log_softmax(-1)).sum()
        value = -value / n
        value.backward()
        return value

    optimiser.step(loss)
    return [values.detach().softmax(-1).numpy() for values in logits], history
