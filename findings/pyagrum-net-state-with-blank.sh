#!/bin/sh
# pyAgrum 3.3.1: a state with a blank in its name is two states after a round trip through Hugin NET,
# and BIFXML is written without escaping.
#
# Guess before the run: as for BIF and DSL, saving is refused ("contains label ... with invalid
# characters"), or the names are quoted as Hugin quotes them.
# Seen: `states = (very high low );` is written, and `loadBN` gives a variable of three states, very,
# high and low, without a word; its child's table grows with it. A state called "<5" makes a BIFXML
# file that pyAgrum itself can't read ("Error reading end tag").
# What to do: rename such states before saving, or save as XDSL, which keeps both.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pyagrum==3.3.1
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import pyagrum


def saved(labels, suffix):
    net = pyagrum.BayesNet("toy")
    net.add(pyagrum.LabelizedVariable("dose", "dose", labels))
    net.cpt("dose").fillWith([0.25, 0.75])
    pyagrum.saveBN(net, f"net.{suffix}")
    read = pyagrum.loadBN(f"net.{suffix}")
    return read["dose"].labels()


split = saved(["very high", "low"], "net")
print("NET:", split)
assert split == ("very", "high", "low")
whole = saved(["very high", "low"], "xdsl")
print("XDSL:", whole)
assert whole == ("very high", "low")
try:
    saved(["<5", ">=5"], "bifxml")
except pyagrum.GumException as error:
    print("BIFXML:", str(error).splitlines()[0])
else:
    raise SystemExit("BIFXML is escaped now")
PYTHON
