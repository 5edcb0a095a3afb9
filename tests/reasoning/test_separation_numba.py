"""The compiled search answers as the plain one."""

import sys

import networkx as nx
import pytest
from hypothesis import given as hypothesis_given
from hypothesis import settings
from random_graphs import dags, queries

from probgen import dsep


@settings(deadline=None, max_examples=300)
@hypothesis_given(query=queries(dags(largest=8)))
def test_compiled_answers_are_the_same(query):
    pytest.importorskip("numba")
    g, x, y, z = query
    compiled = dsep.index(g, compiled=True)
    assert compiled.separated(x, y, z) == dsep.index(g, compiled=False).separated(x, y, z)
    assert compiled.separated(y, x, z) == compiled.separated(x, y, z)


def test_compiled_without_numba_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "probgen.reasoning.separation_numba", raising=False)
    with pytest.raises(ImportError, match="probgen\\[fast\\]"):
        dsep.index("A -> B", compiled=True)
    assert not dsep.index("A -> B").separated("A", "B")


def test_compiled_scratch_space_suffices():
    pytest.importorskip("numba")
    chain = nx.path_graph(6, create_using=nx.DiGraph)
    index = dsep.index(chain, compiled=True)
    for _ in range(1000):
        assert not index.separated([5, 4], [0, 1, 2, 3])
        assert not index.separated([0, 1, 2, 3], [5, 4])
        assert index.separated([0, 1], [3, 4, 5], 2)
