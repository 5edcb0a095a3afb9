"""Layers point down, edges are short, nodes do not overlap."""

from itertools import combinations
from pathlib import Path

import networkx as nx
from shared_data import bif_files

from probgen import graph


def test_layers_make_edges_short():
    from probgen.reasoning import layout

    g = graph.load("A -> B -> C -> D -> E; X -> Y -> E; X -> Z; Q")
    places = layout.layout(g, dict.fromkeys(g, 36.0)).centres
    spans = [(places[v][1] - places[u][1]) / layout.LAYER for u, v in g.edges]
    assert spans == [1.0] * len(spans)


def test_nodes_of_undirected_drawings_do_not_overlap():
    from probgen import markov
    from probgen.reasoning import drawing

    names = {i: "a rather long name"[: 2 + i % 17] + str(i) for i in range(40)}
    g = nx.relabel_nodes(nx.gnp_random_graph(40, 0.1, seed=0), names)
    tree = markov.junction_tree("asia")
    for drawn in map(drawing.picture, (g, tree)):
        for (a, (x0, y0)), (b, (x1, y1)) in combinations(drawn.layout.centres.items(), 2):
            apart = (drawn.widths[a] + drawn.widths[b]) / 2
            assert abs(x1 - x0) >= apart or abs(y1 - y0) >= drawing.HEIGHT
    assert "{bronc, either, lung}" in drawing.svg(drawing.picture(tree))


def test_layers_point_down_and_nodes_do_not_overlap():
    from probgen.reasoning import drawing

    for path in [p for p in bif_files() if isinstance(p, Path)][:4]:
        g = graph.load(path)
        drawn = drawing.picture(g)
        centres = drawn.layout.centres
        assert all(centres[u][1] < centres[v][1] for u, v in g.edges)
        rows = {}
        for v, (x, y) in centres.items():
            rows.setdefault(y, []).append((x, drawn.widths[v]))
        for row in rows.values():
            row.sort()
            for (x0, w0), (x1, w1) in zip(row, row[1:], strict=False):
                assert x1 - x0 >= (w0 + w1) / 2
