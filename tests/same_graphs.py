"""Equality of graphs with tables."""

import numpy as np


def assert_same(ours, theirs):
    assert set(ours) == set(theirs.nodes)
    assert set(ours.edges) == set(theirs.edges)
    for table in theirs.get_cpds():
        data = ours.nodes[table.variable]
        assert list(data["parents"]) == table.variables[1:]
        assert list(data["states"]) == table.state_names[table.variable]
        np.testing.assert_array_equal(data["table"], np.moveaxis(table.values, 0, -1))
