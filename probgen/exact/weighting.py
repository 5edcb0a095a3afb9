"""Posteriors by likelihood weighting where an exact answer takes too much memory, with errors."""

from collections.abc import Mapping, Sequence
from graphlib import TopologicalSorter
from math import exp, inf, log, nan, sqrt
from typing import Any, NamedTuple

import numpy as np

from probgen.exact.network import (
    Array,
    ExactError,
    Network,
    State,
    generator,
    network_of,
    whole,
)
from probgen.exact.propagation import Evidence
from probgen.exact.queries import Do, asked_for
from probgen.exact.rows import evidence_of
from probgen.exact.sampling import drawn
from probgen.reasoning.loading import GraphLike
from probgen.reasoning.names import Node

BATCH = 1 << 22
"""States drawn at a time."""
Z = 1.959963984540054
"""The normal quantile of intervals of 95 %."""


class WeightedSamples(NamedTuple):
    """Posteriors from weighted draws.

    Attributes:
        marginals: {node: {state: probability}}.
        intervals: {node: {state: (low, high)}} of at least 95 %; Wilson's, for as many draws as
            have the estimate's variance, never more than the effective sample size: wider than
            need be for a state whose draws weigh less than others.
        effective_sample_size: how many unweighted draws from the posterior are worth as much,
            (sum w)^2 / sum w^2 (Kong 1992).
        draws: how many were taken.
        log_probability: of the evidence, in nats.
        log_probability_error: its standard error.
    """

    marginals: dict[Node, dict[State, float]]
    intervals: dict[Node, dict[State, tuple[float, float]]]
    effective_sample_size: float
    draws: int
    log_probability: float
    log_probability_error: float

    def __str__(self) -> str:
        return (
            f"{len(self.marginals):,} posteriors from {self.draws:,} draws, worth "
            f"{self.effective_sample_size:,.0f}; log-probability of the evidence "
            f"{self.log_probability:.4g} ± {self.log_probability_error:.2g}"
        )


def likelihood_weighting(
    network: GraphLike,
    evidence: Mapping[Node, Any] | None = None,
    *,
    nodes: Sequence[Node] | None = None,
    n: int = 10_000,
    do: Do = None,
    seed: int = 0,
) -> WeightedSamples:
    """Estimate posteriors from draws, parents first, weighted by how likely the evidence is.

    Fung and Chang 1989, "Weighing and integrating evidence for stochastic simulation in Bayesian
    networks". Soft evidence is drawn with: from p(node | parents) times its likelihood. So
    evidence at nodes without unknown ancestors costs no draws; evidence far below its causes
    costs most of them, which the effective sample size says. Only what the asked nodes and the
    evidence descend from is drawn. Memory does not grow with n, nor time with the width.

    Args:
        network: a Bayesian network with tables.
        evidence: as for `marginals`, one row.
        nodes: whose posteriors are asked for; all of them unless given.
        n: how many draws.
        do: as for `marginals`.
        seed: of the draws.

    Raises:
        UnknownNode, ExactError: as `marginals`; an undirected network; no draws; evidence that
            agrees with none of them.

    >>> found = likelihood_weighting("asia", {"xray": "yes"}, nodes=["lung"], n=20_000)
    >>> low, high = found.intervals["lung"]["yes"]
    >>> low < 0.4887 < high, found.effective_sample_size < found.draws
    (True, True)
    """
    known = network_of(network)
    if not known.directed:
        raise ExactError(
            "expected a directed network to draw from, parents first; got an undirected one: "
            "ask exact.belief_propagation"
        )
    n, rng = whole(n, "n", 1, "draw"), generator(seed)
    found = evidence_of(known, evidence, do)
    if not found.single:
        raise ExactError("expected one {node: state} as evidence; got rows: ask once per row")
    asked = list(range(len(known.nodes)))
    if nodes is not None:
        asked = asked_for(known, nodes, found, "nodes")
    return _estimated(known, found, asked, n, rng)


def _estimated(
    network: Network, evidence: Evidence, asked: list[int], n: int, rng: np.random.Generator
) -> WeightedSamples:
    order = _order(network, evidence, asked)
    sums = _Sums(network, asked)
    size = max(1, BATCH // len(order))
    for start in range(0, n, size):
        codes, logs = _weighted(network, evidence, order, min(size, n - start), rng)
        sums.add(codes, logs)
    if sums.total == 0:
        raise ExactError(
            f"expected evidence that agrees with some of {n:,} draws; got none: it is impossible "
            "or rare; raise n=, or drop an observation"
        )
    return sums.result(network, n)


def _order(network: Network, evidence: Evidence, asked: list[int]) -> list[int]:
    """Parents first, only what the answer depends on."""
    wanted = frozenset(asked) | evidence.picks.keys() | evidence.likely.keys()
    kept = network.ancestors(frozenset(wanted), evidence.forced)
    above = {
        v: [] if v in evidence.forced else [u for u in network.families[v][:-1] if u in kept]
        for v in sorted(kept)
    }
    return list(TopologicalSorter(above).static_order())


def _weighted(
    network: Network, evidence: Evidence, order: list[int], n: int, rng: np.random.Generator
) -> tuple[dict[int, Array], Array]:
    """Draws of the nodes, and the logarithms of their weights."""
    codes, logs = dict[int, Array](), np.zeros(n)
    for v in order:
        if v in evidence.forced:
            codes[v] = np.full(n, evidence.picks[v])
        elif v in evidence.picks:
            codes[v] = np.full(n, evidence.picks[v])
            axes, values = network.factors[v]
            logs += _log(values[tuple(codes[u] for u in axes)])
        elif v in evidence.likely:
            axes, values = network.factors[v]
            shape = [-1 if u == v else 1 for u in axes]
            seen = values * evidence.likely[v][:, 0].reshape(shape)
            total = seen.sum(axes.index(v), keepdims=True)
            weights = total.squeeze(axes.index(v))
            logs += _log(weights[tuple(codes[u] for u in axes if u != v)])
            # A draw of weight 0 goes on with any state.
            codes[v] = drawn(axes, np.where(total > 0, seen, 1.0), v, codes, n, rng)
        else:
            codes[v] = drawn(*network.factors[v], v, codes, n, rng)
    return codes, logs


def _log(values: Array) -> Array:
    with np.errstate(divide="ignore"):
        return np.log(values)


class _Sums:
    """Sums of weights and of their squares, per state of the asked nodes, on a common scale."""

    def __init__(self, network: Network, asked: list[int]) -> None:
        self.scale, self.total, self.squares = -inf, 0.0, 0.0
        self.firsts = {v: np.zeros(network.cards[v]) for v in asked}
        self.seconds = {v: np.zeros(network.cards[v]) for v in asked}

    def add(self, codes: dict[int, Array], logs: Array) -> None:
        """Add draws with these logarithms of weights."""
        top = float(logs.max())
        if top == -inf:
            return
        if top > self.scale:
            self._rescale(exp(self.scale - top))
            self.scale = top
        weights = np.exp(logs - self.scale)
        self.total += float(weights.sum())
        self.squares += float((weights**2).sum())
        for v, first in self.firsts.items():
            first += np.bincount(codes[v], weights, len(first))
            self.seconds[v] += np.bincount(codes[v], weights**2, len(first))

    def _rescale(self, factor: float) -> None:
        self.total *= factor
        self.squares *= factor**2
        for v, first in self.firsts.items():
            first *= factor
            self.seconds[v] *= factor**2

    def result(self, network: Network, n: int) -> WeightedSamples:
        """Estimates and their errors."""
        effective = self.total**2 / self.squares
        marginals, intervals = {}, {}
        for v, first in self.firsts.items():
            shares = first / self.total
            below = self.seconds[v] * (1 - 2 * shares) + shares**2 * self.squares
            errors = np.sqrt(np.maximum(below, 0)) / self.total
            node, states = network.nodes[v], network.states[v]
            marginals[node] = dict(zip(states, shares.tolist(), strict=True))
            intervals[node] = {
                state: _wilson(float(p), float(error), effective)
                for state, p, error in zip(states, shares, errors, strict=True)
            }
        relative = sqrt(max(0.0, 1 / effective - 1 / n))
        log_probability = self.scale + log(self.total / n)
        return WeightedSamples(
            marginals, intervals, effective, n, log_probability, relative if n > 1 else nan
        )


def _wilson(p: float, error: float, effective: float) -> tuple[float, float]:
    """Wilson's interval (1927) for as many draws as give this standard error."""
    if 0 < p < 1 and error > 0:
        effective = min(effective, p * (1 - p) / error**2)
    square = Z**2 / effective
    centre = (p + square / 2) / (1 + square)
    half = sqrt(square * p * (1 - p) + square**2 / 4) / (1 + square)
    return max(0.0, centre - half), min(1.0, centre + half)
