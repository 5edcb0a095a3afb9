"""Drawings of graphs."""

import networkx as nx
import pytest

from probgen import dsep, graph
from probgen.reasoning.graph import GraphError


def test_plots(tmp_path):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    from probgen import markov

    g = nx.gnp_random_graph(30, 0.08, seed=0, directed=True)
    g = nx.DiGraph((u, v) for u, v in g.edges if u < v)
    verdict = dsep.check("pharmacy", "M", "F", "T")
    axes = [
        graph.plot("pharmacy", given="T", path=verdict.open_trail),
        graph.plot("abcdefg", path=["A", "B"]),
        graph.plot(g),
        graph.plot(markov.cpdag("abcmost")),
        graph.plot("A; B"),
        verdict.plot(),
    ]
    assert len(axes[0].texts) == 6
    axes[0].figure.savefig(tmp_path / "x.png")
    pyplot.close("all")
    with pytest.raises(GraphError, match="as given; got 'Q'"):
        graph.plot("pharmacy", given="Q")
    with pytest.raises(GraphError, match="got M, D, which no edge joins"):
        graph.plot("pharmacy", path=["M", "I", "M", "D"])
    for path in ("MIT", 3):
        with pytest.raises(GraphError, match=f"as path; got '{path}'"):
            graph.plot("pharmacy", path=path)
