"""Separators and independences of all pairs."""

from hypothesis import given as hypothesis_given
from hypothesis import settings
from random_graphs import dags, graphs, queries

from probgen import dsep

common = settings(deadline=None, max_examples=150)


@common
@hypothesis_given(queries(dags(smallest=3) | graphs(smallest=3)))
def test_separators(query):
    g, x, y, _ = query
    every = dsep.independencies(g)
    found = [frozenset(s) for s in every.minimal_separators(x, y)]
    others = [v for v in g if v not in x | y]
    separating = {
        frozenset(z)
        for z in (_subset(others, bits) for bits in range(2 ** len(others)))
        if dsep.check(g, x, y, z)
    }
    minimal = {z for z in separating if not any(s < z for s in separating)}
    assert len(found) == len(set(found))
    assert set(found) == minimal
    smallest = every.minimum_separator(x, y)
    if minimal:
        assert len(smallest) == min(map(len, minimal))
        assert frozenset(smallest) in minimal
        assert frozenset(every.minimal_separator(x, y)) in minimal
    else:
        assert smallest is None
        assert every.minimal_separator(x, y) is None


def _subset(nodes, bits):
    return [v for i, v in enumerate(nodes) if bits >> i & 1]


@settings(deadline=None, max_examples=40)
@hypothesis_given(dags(largest=5) | graphs(largest=5))
def test_pairwise_lists_what_check_says(g):
    pairwise = dsep.independencies(g).pairwise()
    n = len(g)
    assert pairwise.candidates == n * (n - 1) // 2 * 2 ** (n - 2)
    assert all(dsep.check(g, *s) for s in pairwise)
