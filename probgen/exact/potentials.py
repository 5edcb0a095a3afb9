"""Distributions as products of potentials: whether two are one, and summing a node out."""

from typing import Any, NamedTuple

import networkx as nx
import numpy as np

from probgen.exact.network import (
    Array,
    ExactError,
    Factor,
    Network,
    State,
    closeness,
    network_of,
)
from probgen.exact.plan import Question, planned
from probgen.exact.propagation import beliefs
from probgen.exact.rows import evidence_of
from probgen.reasoning import loading
from probgen.reasoning.loading import GraphLike
from probgen.reasoning.names import Node, listed, shown


class Sameness(NamedTuple):
    """Truthy if two distributions are one; else where they differ most.

    Attributes:
        difference: the largest difference of two clique marginals.
        states: the states {node: state} at which it occurs.
        tolerance: differences up to which the verdict is truthy.
    """

    difference: float
    states: dict[Node, State]
    tolerance: float

    def __bool__(self) -> bool:
        return self.difference <= self.tolerance

    def __str__(self) -> str:
        if self:
            return f"the same distribution: no marginal differs by more than {self.difference:.1g}"
        at = ", ".join(f"{shown(v)} = {shown(s)}" for v, s in self.states.items())
        return f"different distributions: p({at}) differs by {self.difference:.3g}"

    def __repr__(self) -> str:
        return str(self)


def same_distribution(
    first: Any, second: Any, *, tolerance: float = 1e-9, max_bytes: int | None = None
) -> Sameness:
    """Whether two networks, Bayesian or Markov, are the same distribution over the same nodes.

    Both factorise over one triangulation of their united moral graphs, and a distribution is
    the product of its clique marginals over its separator marginals (Lauritzen 1996, "Graphical
    Models", section 3.3): they are equal if and only if all clique marginals are. Scaling a
    potential changes none of them.

    Args:
        first: a network with tables or potentials.
        second: another, over the same nodes and states in any order.
        tolerance: greatest difference of two probabilities that counts as none.
        max_bytes: that may be taken; half of what the machine has available unless given.

    Raises:
        ExactError: other nodes or other states.

    >>> import networkx as nx
    >>> one = nx.Graph([("A", "B")], factors=[(("A", "B"), [[1.0, 2.0], [3.0, 4.0]])])
    >>> five = nx.Graph([("A", "B")], factors=[(("A", "B"), [[5.0, 10.0], [15.0, 20.0]])])
    >>> same_distribution(one, five)
    the same distribution: no marginal differs by more than 0
    >>> same_distribution("A -> B", one)
    Traceback (most recent call last):
    ...
    probgen.exact.network.ExactError: expected a table at every node; got none at A: ...
    """
    tolerance = closeness(tolerance)
    one, two = network_of(first), network_of(second)
    others = _aligned(two, one)
    pair = [_united(one, one.factors, others), _united(one, others, one.factors)]
    none = evidence_of(one, None, None)
    plans = [planned(network, Question(), max_bytes) for network in pair]
    made = [beliefs(plan, none) for plan in plans]
    for found in made:
        if found.total[0] <= 0:
            raise ExactError("expected potentials with a product above 0 somewhere; got Z = 0")
    worst, states = 0.0, dict[Node, State]()
    for clique, a, b in zip(plans[0].cliques, *(found.tables for found in made), strict=True):
        gap = np.abs(a / made[0].total - b / made[1].total)[..., 0]
        if gap.size and gap.max() >= worst:
            worst = float(gap.max())
            at = np.unravel_index(gap.argmax(), gap.shape)
            states = {
                one.nodes[v]: one.states[v][k] for v, k in zip(clique.scope, at, strict=True)
            }
    return Sameness(worst, states, tolerance)


def _aligned(network: Network, like: Network) -> list[Factor]:
    """The factors of a network with nodes and states numbered as in another one."""
    if different := network.index.keys() ^ like.index.keys():
        raise ExactError(
            f"expected two networks on the same nodes; got {listed(different)} in one"
        )
    for v, node in enumerate(like.nodes):
        if set(like.states[v]) != set(network.states[network.index[node]]):
            raise ExactError(f"expected the same states of {shown(node)} in both networks")
    return [_renamed(network, like, factor) for factor in network.factors]


def _renamed(network: Network, like: Network, factor: Factor) -> Factor:
    scope = tuple(like.index[network.nodes[v]] for v in factor.scope)
    order = [
        [network.codes[old][state] for state in like.states[new]]
        for old, new in zip(factor.scope, scope, strict=True)
    ]
    return like.factor(scope, factor.values[np.ix_(*order)] if order else factor.values)


def _united(base: Network, factors: list[Factor], others: list[Factor]) -> Network:
    """The factors, and 1 wherever the others have one, so that both have one junction tree."""
    ones = [Factor(f.scope, np.ones(f.values.shape)) for f in others]
    return base.with_factors([*factors, *ones], directed=False)


def marginalise(network: GraphLike, node: Node, *, normalised: bool = False) -> nx.Graph:
    """The network of the other nodes, with this one summed out.

    In a Markov network the potentials of the node become one potential of its neighbours, their
    product summed over the node. An isolated node leaves the number that its potential sums to,
    as a potential of no nodes: it drops out only if that is 1, or if `normalised` leaves it
    away, which changes Z and no probability.

    In a Bayesian network a node without children just drops out. Otherwise its arrows are turned
    round first, which gives its children its other neighbours as parents (Shachter 1986,
    "Evaluating influence diagrams", theorem 2).

    Args:
        network: a network with tables or potentials; it is left as it is.
        node: to sum out.
        normalised: of a Markov network, leave away a number that multiplies all potentials.

    Returns:
        A new graph with tables, or potentials.

    Raises:
        UnknownNode: a node that the network does not have.
        ExactError: a network of one node, or a product that float64 cannot hold.

    >>> import networkx as nx
    >>> g = nx.Graph(factors=[(("A",), [1.0, 3.0]), (("B",), [2.0, 5.0])])
    >>> g.add_nodes_from("AB", states=("no", "yes"))
    >>> [(names, float(values)) for names, values in marginalise(g, "B").graph["factors"][1:]]
    [((), 7.0)]
    >>> marginalise(g, "B", normalised=True).graph["factors"]
    [(('A',), array([1., 3.]))]
    >>> sorted(marginalise("asia", "smoke").edges("lung"))
    [('lung', 'bronc'), ('lung', 'either')]
    """
    known = network_of(network)
    v = known.number(node, "a node to sum out")
    if len(known.nodes) == 1:
        raise ExactError("expected a network with other nodes; got one node")
    return (
        _without_directed(known, v, network) if known.directed else _without(known, v, normalised)
    )


def _without(network: Network, v: int, normalised: bool) -> nx.Graph:
    near = [f for f in network.factors if v in f.scope]
    kept = [f for f in network.factors if v not in f.scope]
    product = _product(network, near)
    scope = tuple(u for u in product.scope if u != v)
    left = Factor(scope, product.values.sum(product.scope.index(v)))
    if scope or not (normalised or left.values == 1):
        kept.append(left)
    return _undirected(network, v, kept)


def _undirected(network: Network, v: int, factors: list[Factor]) -> nx.Graph:
    made = nx.Graph()
    for u, node in enumerate(network.nodes):
        if u != v:
            made.add_node(node, states=network.states[u])
    names = [tuple(network.nodes[u] for u in f.scope) for f in factors]
    for scope in names:
        made.add_edges_from((a, b) for i, a in enumerate(scope) for b in scope[:i])
    made.graph["factors"] = [(s, f.values) for s, f in zip(names, factors, strict=True)]
    return made


def _product(network: Network, factors: list[Factor]) -> Factor:
    scope = tuple(sorted({u for f in factors for u in f.scope}))
    values: Array = np.ones([network.cards[u] for u in scope])
    try:
        with np.errstate(under="raise", over="raise"):
            for f in factors:
                axes = tuple(slice(None) if u in f.scope else None for u in scope)
                values = values * f.values[axes]
    except FloatingPointError:
        raise ExactError(
            "expected potentials whose product float64 can hold; got one out of its range: "
            "divide them by their largest entries"
        ) from None
    return Factor(scope, values)


def _without_directed(network: Network, v: int, source: Any) -> nx.DiGraph:
    factors, families = dict(enumerate(network.factors)), dict(enumerate(network.families))
    rank = {network.index[u]: k for k, u in enumerate(nx.topological_sort(loading.load(source)))}
    children = [u for u, family in families.items() if v in family[:-1]]
    for child in sorted(children, key=rank.__getitem__):
        _turn(network, factors, families, v, child)
    return _directed(network, factors, families, v)


def _turn(
    network: Network,
    factors: dict[int, Factor],
    families: dict[int, tuple[int, ...]],
    v: int,
    child: int,
) -> None:
    """p(v | a) p(child | v, b) = p(child | a, b) p(v | child, a, b)."""
    joint = _product(network, [factors[v], factors[child]])
    axis = joint.scope.index(v)
    total = joint.values.sum(axis, keepdims=True)
    even = np.full(joint.values.shape, 1 / network.cards[v])
    turned = np.divide(joint.values, total, out=even, where=total > 0)
    above = tuple(u for u in joint.scope if u not in (v, child))
    families[child], families[v] = (*above, child), (*above, child, v)
    factors[child] = Factor(tuple(u for u in joint.scope if u != v), total.squeeze(axis))
    factors[v] = Factor(joint.scope, turned)


def _directed(
    network: Network, factors: dict[int, Factor], families: dict[int, tuple[int, ...]], v: int
) -> nx.DiGraph:
    made = nx.DiGraph()
    made.add_nodes_from(node for u, node in enumerate(network.nodes) if u != v)
    for u in families.keys() - {v}:
        names = tuple(network.nodes[w] for w in families[u])
        scope, values = factors[u]
        table = values.transpose([scope.index(w) for w in families[u]])
        made.add_edges_from((parent, names[-1]) for parent in names[:-1])
        made.nodes[names[-1]].update(states=network.states[u], parents=names[:-1], table=table)
    return made
