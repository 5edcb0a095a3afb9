"""Markov properties: blankets, moral graphs, cliques, factorisations, I-maps, equivalence."""

from collections.abc import Iterator
from itertools import combinations, islice
from typing import Any, NamedTuple

import networkx as nx

from probgen.reasoning import loading
from probgen.reasoning.loading import GraphLike
from probgen.reasoning.moral import directed, moral, undirected
from probgen.reasoning.names import GraphError, Node, UnknownNode, listed, shown
from probgen.reasoning.separation import Index
from probgen.reasoning.statements import Statement
from probgen.reasoning.triangulation import (
    chordal,
    junction_tree,
    running_intersection,
    triangulate,
)

__all__ = [
    "GraphError",
    "UnknownNode",
    "ancestral",
    "barren",
    "blanket",
    "chordal",
    "cliques",
    "cpdag",
    "equivalent",
    "factorisation",
    "imap",
    "junction_tree",
    "moral",
    "perfect_map",
    "running_intersection",
    "triangulate",
]


def blanket(graph: GraphLike, node: Node) -> frozenset[Node]:
    """The Markov blanket: parents, children and the children's other parents; or neighbours.

    Given its blanket, a node is independent of all the others (Pearl 1988, section 3.3.1).

    Raises:
        UnknownNode: a node that the graph does not have.

    >>> sorted(blanket("abcmost", "T"))
    ['A', 'B', 'M', 'O']
    """
    loaded = loading.load(graph)
    (v,) = _one(loaded, node)
    if not loaded.is_directed():
        return frozenset(loaded[v])
    families = {u for child in loaded.succ[v] for u in loaded.pred[child]}
    return frozenset(families.union(loaded.pred[v], loaded.succ[v]) - {v})


def _one(graph: nx.Graph, node: Node) -> frozenset[Node]:
    found = Index(graph, copy=False).nodes(node, "node")
    if len(found) != 1:
        raise GraphError(f"expected one node; got {len(found)}")
    return found


def cliques(graph: GraphLike, max_cliques: int = 100_000) -> list[frozenset[Node]]:
    """The maximal cliques of an undirected graph, in the order of its nodes.

    Raises:
        GraphError: a directed graph, or more cliques than `max_cliques`.

    >>> [sorted(c) for c in cliques("A - B; B - C; A - C; C - D")]
    [['A', 'B', 'C'], ['C', 'D']]
    """
    loaded = undirected(graph, "maximal cliques")
    found = list(islice(nx.find_cliques(loaded), max_cliques + 1))
    if len(found) > max_cliques:
        raise GraphError(
            f"expected at most {max_cliques:,} maximal cliques; got more: raise max_cliques"
        )
    place = {v: i for i, v in enumerate(loaded)}
    ordered = sorted(sorted(map(place.__getitem__, clique)) for clique in found)
    names = list(loaded)
    return [frozenset(names[i] for i in clique) for clique in ordered]


class Factorisation(NamedTuple):
    """A joint distribution as a product: (node, parents) each, or cliques."""

    directed: bool
    factors: list[tuple[tuple[Node, ...], tuple[Node, ...]]]

    def __str__(self) -> str:
        words = [
            f"{'p' if self.directed else 'φ'}({listed(of)}{' | ' if given else ''}{listed(given)})"
            for of, given in self.factors
        ]
        return ("" if self.directed else "1/Z ") + " ".join(words)

    def __repr__(self) -> str:
        return str(self)

    def latex(self) -> str:
        r"""The product in LaTeX.

        >>> print(factorisation("A - B").latex())
        \frac{1}{Z} \, \phi(\mathrm{A}, \mathrm{B})
        """
        from probgen.reasoning.latex import names

        letter = "p" if self.directed else r"\phi"
        bar = r" \mid "
        words = [
            f"{letter}({names(of)}{bar if given else ''}{names(given)})"
            for of, given in self.factors
        ]
        return r" \, ".join([*([] if self.directed else [r"\frac{1}{Z}"]), *words])


def factorisation(graph: GraphLike) -> Factorisation:
    """The joint distribution as the graph factorises it.

    Directed: the product of p(node | parents), by the chain rule. Undirected: the product of
    one potential per maximal clique over Z, for positive distributions (Hammersley and Clifford
    1971); scaling a potential scales Z alike and changes nothing.

    >>> factorisation("M -> I <- S")
    p(M) p(I | M, S) p(S)
    >>> factorisation("A - B; B - C")
    1/Z φ(A, B) φ(B, C)
    """
    loaded = loading.load(graph)
    if loaded.is_directed():
        return Factorisation(True, [((v,), tuple(loaded.pred[v])) for v in loaded])
    return Factorisation(
        False, [(tuple(v for v in loaded if v in c), ()) for c in cliques(loaded)]
    )


class MapVerdict(NamedTuple):
    """Truthy if a map; else claims of each graph that are false in the other."""

    name: str
    false: list[Statement]
    lost: list[Statement]

    def __bool__(self) -> bool:
        return not (self.false or self.lost)

    def __str__(self) -> str:
        if self:
            return self.name
        reasons = [f"it claims {claim}, which is false" for claim in self.false[:1]]
        reasons += [f"it does not show {claim}" for claim in self.lost[:1]]
        return f"not {self.name}: {'; '.join(reasons)}"

    def __repr__(self) -> str:
        return str(self)


def imap(claimed: Any, truth: Any) -> MapVerdict:
    """Whether every independence that a graph claims holds in the other (an I-map of it).

    Checks the pairwise claims of an undirected graph, the local ones of a directed graph: the
    others follow, because separation is a graphoid (Pearl 1988, section 3.1).

    Returns:
        A verdict with one counterexample per false pair, its given set made as small as it goes.

    Raises:
        GraphError: the graphs have different nodes.

    >>> imap("A - C; B - C", "A -> C <- B")
    not an I-map: it claims A _||_ B | C, which is false
    """
    return MapVerdict("an I-map", _false_claims(*_paired(claimed, truth)), [])


def perfect_map(claimed: Any, truth: Any) -> MapVerdict:
    """Whether two graphs have the same independences, with counterexamples in each direction.

    >>> perfect_map("A - C; B - C; A - B", "A -> C <- B")
    not a perfect map: it does not show A _||_ B
    """
    ours, theirs = _paired(claimed, truth)
    return MapVerdict("a perfect map", _false_claims(ours, theirs), _false_claims(theirs, ours))


def _paired(claimed: Any, truth: Any) -> tuple[Index, Index]:
    ours, theirs = Index(claimed), Index(truth)
    if different := ours.children.keys() ^ theirs.children.keys():
        raise GraphError(f"expected two graphs on the same nodes; got {listed(different)} in one")
    return ours, theirs


def _false_claims(claimed: Index, truth: Index) -> list[Statement]:
    return [
        _shrunk(claim, claimed, truth)
        for claim in _basis(claimed)
        if not truth.separated(claim.x, claim.y, claim.given)
    ]


def _basis(index: Index) -> Iterator[Statement]:
    """Statements from which all independences of the graph follow, one pair of nodes each."""
    if not index.directed:
        for a, b in combinations(index.children, 2):
            if b not in index.children[a]:
                yield Statement((a,), (b,), tuple(v for v in index.children if v not in (a, b)))
        return
    order = list(nx.topological_sort(index.graph))
    for i, v in enumerate(order):
        parents = index.parents[v]
        before: list[Node] = []
        for u in order[:i]:
            if u not in parents:
                yield Statement((u,), (v,), (*parents, *before))
                before.append(u)


def _shrunk(claim: Statement, claimed: Index, truth: Index) -> Statement:
    """Drop nodes from the given set while the claim stays made and stays false."""
    given = claim.given
    for node in claim.given:
        fewer = tuple(v for v in given if v != node)
        if claimed.separated(*claim[:2], fewer) and not truth.separated(*claim[:2], fewer):
            given = fewer
    return claim._replace(given=given)


class Equivalence(NamedTuple):
    """Truthy if two graphs have the same independences; else what differs."""

    differences: list[str]

    def __bool__(self) -> bool:
        return not self.differences

    def __str__(self) -> str:
        if not self.differences:
            return "equivalent: the same edges and v-structures"
        return f"not equivalent: {'; '.join(self.differences)}"

    def __repr__(self) -> str:
        return str(self)


def equivalent(first: Any, second: Any) -> Equivalence:
    """Whether two graphs of one kind have the same independences.

    Directed graphs do if and only if they have the same edges without their arrow heads and the
    same v-structures a -> c <- b, a and b not adjacent (Verma and Pearl 1990).

    >>> equivalent("A -> B -> C", "A <- B <- C")
    equivalent: the same edges and v-structures
    >>> equivalent("A -> B -> C", "A -> B <- C")
    not equivalent: only the second has the v-structure A -> B <- C
    """
    one, two = loading.load(first), loading.load(second)
    if one.is_directed() != two.is_directed():
        raise GraphError("expected two graphs of one kind; got a directed and an undirected one")
    _paired(one, two)
    return Equivalence(
        [
            f"only the {which} has {what}"
            for which, a, b in (("first", one, two), ("second", two, one))
            for what in _features(a, b)
        ]
    )


def _features(graph: nx.Graph, other: nx.Graph) -> list[str]:
    """The edges and v-structures of a graph that another one does not have."""
    found = [
        f"the edge {shown(u)} - {shown(v)}"
        for u, v in graph.edges
        if not other.has_edge(u, v) and not other.has_edge(v, u)
    ]
    if graph.is_directed():
        theirs = {(frozenset((a, b)), c) for a, c, b in _v_structures(other)}
        found += [
            f"the v-structure {shown(a)} -> {shown(c)} <- {shown(b)}"
            for a, c, b in _v_structures(graph)
            if (frozenset((a, b)), c) not in theirs
        ]
    return found


def _v_structures(graph: nx.DiGraph) -> Iterator[tuple[Node, Node, Node]]:
    for c in graph:
        for a, b in combinations(graph.pred[c], 2):
            if not graph.has_edge(a, b) and not graph.has_edge(b, a):
                yield a, c, b


def cpdag(graph: GraphLike) -> nx.DiGraph:
    """The pattern that stands for all equivalent directed graphs (essential graph).

    An arrow that every one of them shares is one edge; an edge that can be turned is there in
    both directions. Every edge has `compelled` and a `reason`: a v-structure or one of Meek's
    rules (Meek 1995, "Causal inference and causal explanation", section 2.1).

    >>> pattern = cpdag("A -> C <- B; C -> D; E -> A")
    >>> pattern.edges["C", "D"]["reason"]
    'else a new v-structure A -> C <- D'
    >>> pattern.has_edge("A", "E")
    True
    """
    loaded = directed(graph, "a CPDAG")
    pattern = nx.DiGraph()
    pattern.add_nodes_from(loaded)
    for u, v in loaded.edges:
        pattern.add_edge(u, v, compelled=False, reason="can be turned")
        pattern.add_edge(v, u, compelled=False, reason="can be turned")
    for a, c, b in _v_structures(loaded):
        reason = f"v-structure {shown(a)} -> {shown(c)} <- {shown(b)}"
        _compel(pattern, a, c, reason)
        _compel(pattern, b, c, reason)
    queue = list(loaded.edges)
    for u, v in queue:
        if pattern.has_edge(v, u) and _meek(pattern, u, v):
            around = (*loaded.in_edges((u, v)), *loaded.out_edges((u, v)))
            queue += [(a, b) for a, b in around if pattern.has_edge(b, a)]
    return pattern


def _compel(pattern: nx.DiGraph, u: Node, v: Node, reason: str) -> None:
    if pattern.has_edge(v, u):
        pattern.remove_edge(v, u)
        pattern.edges[u, v].update(compelled=True, reason=reason)


def _meek(pattern: nx.DiGraph, u: Node, v: Node) -> bool:
    """Orient u -> v if one of the three rules compels it."""
    into = (w for w in pattern.pred[u] if not pattern.has_edge(u, w))
    if first := [w for w in into if not _adjacent(pattern, w, v)]:
        reason = f"else a new v-structure {shown(first[0])} -> {shown(u)} <- {shown(v)}"
    elif second := [w for w in _arrows(pattern, u) if v in _arrows(pattern, w)]:
        reason = f"else a cycle {shown(u)} -> {shown(second[0])} -> {shown(v)} -> {shown(u)}"
    elif pair := _third_rule(pattern, u, v):
        a, b = map(shown, pair)
        reason = f"else a cycle or a new v-structure through {a} -> {shown(v)} <- {b}"
    else:
        return False
    _compel(pattern, u, v, reason)
    return True


def _arrows(pattern: nx.DiGraph, u: Node) -> list[Node]:
    return [w for w in pattern.succ[u] if not pattern.has_edge(w, u)]


def _adjacent(pattern: nx.DiGraph, u: Node, v: Node) -> bool:
    return bool(pattern.has_edge(u, v) or pattern.has_edge(v, u))


def _third_rule(pattern: nx.DiGraph, u: Node, v: Node) -> tuple[Node, Node] | None:
    middle = [w for w in pattern.succ[u] if pattern.has_edge(w, u) and v in _arrows(pattern, w)]
    pairs = combinations(middle, 2)
    return next((p for p in pairs if not _adjacent(pattern, *p)), None)


def ancestral(graph: GraphLike, nodes: Any) -> nx.DiGraph:
    """The part of a directed graph that the nodes and their ancestors form.

    >>> sorted(ancestral("A -> B -> C; D -> C", "B"))
    ['A', 'B']
    """
    loaded = directed(graph, "an ancestral graph")
    index = Index(loaded, copy=False)
    return loaded.subgraph(index.ancestors(index.nodes(nodes, "nodes"))).copy()


def barren(graph: GraphLike, keep: Any) -> dict[Node, str]:
    """The nodes that can be dropped without inference, last ones first, and why.

    A node without children sums to 1 out of the joint distribution; dropping it may leave its
    parents barren (Shachter 1986). What is asked for or observed has to be in `keep`.

    >>> barren("A -> B -> C; A -> D", "B")
    {'C': 'no children: sum over C of p(C | B) is 1',
     'D': 'no children: sum over D of p(D | A) is 1'}
    """
    loaded = directed(graph, "barren nodes")
    index = Index(loaded, copy=False)
    kept = index.ancestors(index.nodes(keep, "keep"))
    dropped = [v for v in reversed(list(nx.topological_sort(loaded))) if v not in kept]
    return {v: _why_barren(loaded, v) for v in dropped}


def _why_barren(graph: nx.DiGraph, v: Node) -> str:
    given = f" | {listed(graph.pred[v])}" if graph.pred[v] else ""
    left = "no children left after " + listed(graph.succ[v]) if graph.succ[v] else "no children"
    return f"{left}: sum over {shown(v)} of p({shown(v)}{given}) is 1"
