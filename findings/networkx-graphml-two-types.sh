#!/bin/sh
# networkx 3.6.1 beside igraph 1.0.0: GraphML with a whole and a broken number is refused; GML lists
# shrink to their last item.
#
# Guess before the run: networkx declares one key of type double for an attribute that is 1 at one node
# and 2.5 at another; igraph reads a GML list as a list or says that it can't.
# Seen: networkx declares the key twice (long and double) and igraph refuses the file ("Duplicate
# attribute name found"); of the GML list of states ("yes", "no") igraph keeps "no" without a word.
# What to do: cast an attribute to one type before write_graphml; keep lists out of GML that other
# programs read.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet networkx==3.6.1 igraph==1.0.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import igraph
import networkx as nx

weights = nx.DiGraph()
weights.add_node("a", weight=1)
weights.add_node("b", weight=2.5)
nx.write_graphml(weights, "weights.graphml")
try:
    igraph.Graph.Read_GraphML("weights.graphml")
except igraph.InternalError as error:
    print(error)
    assert "Duplicate attribute name" in str(error)
else:
    raise SystemExit("igraph reads it now")
states = nx.DiGraph()
states.add_node("M", states=["yes", "no"])
nx.write_gml(states, "states.gml")
read = igraph.Graph.Read_GML("states.gml").vs[0]["states"]
print("saved ['yes', 'no'], read", repr(read))
assert read == "no"
PYTHON
