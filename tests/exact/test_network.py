"""Networks with tables: what is read, compared, refused."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import common, gibbs, joint_of, networks

from probgen import exact, graph
from probgen.exact import ExactError


@common
@given(networks | gibbs, networks | gibbs, st.data())
def test_sameness_is_that_of_the_joints(g, h, data):
    if data.draw(st.booleans()):
        h = moral_potentials(g)
    if set(g) != set(h) or any(g.nodes[v]["states"] != h.nodes[v]["states"] for v in g):
        with pytest.raises(ExactError, match="same nodes|same states"):
            exact.same_distribution(g, h)
        return
    one, two = ({frozenset(x.items()): w for x, w in joint_of(each)} for each in (g, h))
    gap = max(abs(w / sum(one.values()) - two[x] / sum(two.values())) for x, w in one.items())
    verdict = exact.same_distribution(g, h)
    assert bool(verdict) == (gap < 1e-9)


def moral_potentials(g):
    """The same distribution as potentials, its states turned round and one scaled."""
    made = nx.Graph()
    made.add_nodes_from((v, {"states": tuple(g.nodes[v]["states"])}) for v in sorted(g))
    scopes = [(*d["parents"], v) for v, d in g.nodes(data=True)] if g.is_directed() else []
    made.graph["factors"] = [(s, 2 * g.nodes[s[-1]]["table"]) for s in scopes] or [
        (names[::-1], 3 * table.T) for names, table in g.graph["factors"]
    ]
    return made


def test_a_changed_table_is_noticed():
    lists = graph.load("sprinkler").copy()
    lists.nodes["C"]["table"] = [0.5, 0.5]
    exact.marginals(lists)
    lists.nodes["C"]["table"][:] = [1.0, 0.0]
    assert exact.marginals(lists)["R"]["yes"] == pytest.approx(0.8)
    g = graph.load("sprinkler").copy()
    before = exact.marginals(g)["R"]["yes"]
    g.nodes["R"]["table"] = g.nodes["R"]["table"].copy()
    g.nodes["R"]["table"][0] = [0.5, 0.5]
    assert exact.marginals(g)["R"]["yes"] == pytest.approx(before - 0.15)
    g.nodes["R"]["states"] = ("wet", "dry")
    assert set(exact.marginals(g)["R"]) == {"wet", "dry"}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            {"table": np.array([0.5, 0.4])},
            "to sum to 1 within 1e-06; got a row that is off by 0.1",
        ),
        ({"table": np.array([1.5, -0.5])}, "finite and at least 0"),
        ({"table": np.array([np.nan, 1.0])}, "finite"),
        ({"table": np.ones((2, 2)) / 2}, "shape \\(2,\\)"),
        ({"table": "half"}, "expected an array"),
        ({"states": ("yes", "yes")}, "all different"),
        ({"states": ()}, "at least one state"),
        ({"states": 2}, "a tuple of states"),
        ({"table": [[0.5], [0.1, 0.4]]}, "expected an array"),
        ({"parents": ("lung",)}, "parents of smoke"),
    ],
)
def test_bad_tables_are_refused(change, match):
    g = graph.load("asia").copy()
    g.nodes["smoke"].update(change)
    with pytest.raises(ExactError, match=match):
        exact.marginals(g)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_pgmpy_networks_go_in():
    g = graph.load("sprinkler")
    assert exact.same_distribution(graph.to_pgmpy(g), g)
