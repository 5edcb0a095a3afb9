#!/bin/sh
# networkx 3.6.1 with pydot 4.0.1: edges inside a DOT subgraph are lost, ports become nodes.
#
# Guess before the run: `from_pydot` reads a cluster's edges into the one graph, as Graphviz draws them,
# and `c:port` as the node c.
# Seen: `subgraph cluster_0 { a -> b; } b -> c;` gives the single edge b -> c and no node a; `c:n -> d`
# makes a node called "c:n" beside c. No warning. In a cluster-drawn network (a plate, a time slice)
# whole tables lose their parents.
# What to do: walk `graph.get_subgraphs()` too and cut ports, or read DOT by another reader.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet networkx==3.6.1 pydot==4.0.1
"$folder/venv/bin/python" - <<'PYTHON'
import networkx as nx
import pydot


def read(text):
    return nx.nx_pydot.from_pydot(pydot.graph_from_dot_data(text)[0])


plate = read("digraph { subgraph cluster_0 { a -> b; } b -> c; }")
print("nodes", sorted(plate), "edges", sorted(plate.edges()))
assert sorted(plate) == ["b", "c"]
assert sorted(plate.edges()) == [("b", "c")]
ports = read("digraph { a -> c:n; c -> d; }")
print("nodes", sorted(ports))
assert sorted(ports) == ["a", "c", "c:n", "d"]
PYTHON
