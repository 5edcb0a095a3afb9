"""What `probgen infer` reads and prints: NODE=STATE, and posteriors as a table, JSON or CSV."""

import csv
import json
import sys
from collections.abc import Hashable, Mapping
from typing import Any

import networkx as nx

Posteriors = Mapping[Hashable, Mapping[Hashable, float]]


def read_states(
    network: nx.Graph, pairs: list[str] | None, *, soft: bool = False
) -> dict[Hashable, Any]:
    """`NODE=STATE` as {node: state}, cut where both are known; names may hold equals signs.

    With `soft`, `NODE=STATE:LIKELIHOOD,STATE:LIKELIHOOD` is {node: {state: likelihood}}.

    Raises:
        ExactError: no equals sign, or two readings.
    """
    return dict(_read(network, pair, soft) for pair in pairs or ())


def _read(network: nx.Graph, pair: str, soft: bool) -> tuple[Hashable, Any]:
    from probgen.exact import ExactError

    if "=" not in pair:
        raise ExactError(f"expected NODE=STATE; got {pair!r}")
    cuts = [(pair[:i], pair[i + 1 :]) for i, letter in enumerate(pair) if letter == "="]
    nodes = {str(v): v for v in network}
    known = [(nodes[node], text) for node, text in cuts if node in nodes]
    whole = [(v, states[text]) for v, text in known if text in (states := _named(network, v))]
    if len(whole) > 1:
        readings = " or ".join(f"{v} in state {state}" for v, state in whole)
        raise ExactError(f"expected one reading of {pair!r}; got {readings}: rename a node")
    if whole:
        return whole[0]
    if soft:
        for v, text in known:
            if likelihoods := _likelihoods(_named(network, v), text):
                return v, likelihoods
    return known[0] if known else pair.rpartition("=")[::2]


def _named(network: nx.Graph, v: Hashable) -> dict[str, Hashable]:
    """The states of a node by their text."""
    return {str(state): state for state in network.nodes[v].get("states", ())}


def _likelihoods(states: dict[str, Hashable], text: str) -> dict[Hashable, float]:
    """`yes:0.8,no:0.2`; empty if the text says something else."""
    found = {}
    for part in text.split(","):
        name, colon, number = part.rpartition(":")
        try:
            found[states[name]] = float(number)
        except (KeyError, ValueError):
            return {}
    return found


def as_table(posteriors: Posteriors) -> str:
    """One line per state, in columns as wide as their widest name: nothing is cut."""
    from rich.cells import cell_len

    from probgen.reasoning.names import shown

    rows = [("node", "state", "probability")]
    for node, row in posteriors.items():
        rows += [(shown(node), shown(state), f"{p:.6f}") for state, p in row.items()]
    widths = [max(cell_len(row[i]) for row in rows) for i in range(2)]
    lines = []
    for node, state, number in rows:
        first = node + " " * (widths[0] - cell_len(node))
        second = state + " " * (widths[1] - cell_len(state))
        lines.append(f"{first}  {second}  {number}")
    return "\n".join(lines)


def as_json(posteriors: Posteriors, chance: float) -> str:
    """{"probability": of what is given, "posteriors": {node: {state: probability}}}."""
    named = {
        str(node): {str(state): p for state, p in row.items()} for node, row in posteriors.items()
    }
    return json.dumps({"probability": chance, "posteriors": named}, ensure_ascii=False, indent=1)


def print_csv(posteriors: Posteriors) -> None:
    """Rows of node, state, probability, in full precision."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["node", "state", "probability"])
    for node, row in posteriors.items():
        writer.writerows([node, state, p] for state, p in row.items())
