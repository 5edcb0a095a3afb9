"""Hugin NET: networks with their tables, as Hugin, SamIam, GeNIe, pgmpy and pyAgrum write them."""

import re
from typing import Any

import networkx as nx

from probgen.reasoning.names import shown
from probgen.reasoning.readers import blocks, holding
from probgen.reasoning.readers.blocks import Block, Blocks
from probgen.reasoning.readers.cpds import Tables, place

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def read(source: str, file: str = "", tolerance: float | None = None) -> nx.DiGraph:
    """Read a network: nodes with `states`, `parents` and `table` (*parents, node), float64.

    Format: "The HUGIN NET language" (Hugin API reference manual). `data` runs through the parents
    in their order, the first slowest, and through the node's states fastest. A potential without
    `data` has no `table`. `label` and `position` are kept, as the attributes `label` and `pos`.

    Raises:
        GraphError: malformed (with file and line), a continuous, decision or utility node, an
            expression or an instance, a row off 1 by more than the tolerance.

    >>> g = read('net {} node A { states = ("yes" "no"); } potential (A) { data = (0.2 0.8); }')
    >>> g.nodes["A"]["table"].tolist()
    [0.2, 0.8]
    """
    parsed, net = Blocks(source, file, r"%[^\n]*"), Tables(file, tolerance)
    found = parsed.all
    if [b.kind for b in found] == ["class"]:
        found = found[0].inner
    potentials = []
    for block in found:
        if block.kind == "potential":
            potentials.append(block)
        elif block.kind != "net":
            _node(net, parsed, block)
    for block in potentials:
        _potential(net, parsed, block)
    return net.graph()


def _node(net: Tables, parsed: Blocks, block: Block) -> None:
    words = [block.kind, *block.head.split()]
    name = words[-1]
    if words[-2:-1] != ["node"] or not {*words[:-2]} <= {"discrete", "chance"}:
        raise parsed.error(
            "expected discrete chance nodes and potentials; got "
            f"{shown(f'{block.kind} {block.head}')[:80]}",
            block.line,
        )
    states = block.fields.get("states")
    if not states:
        raise parsed.error(f"expected states of {shown(name)}; got none", block.line)
    net.variable(name, blocks.listed(states.text), states.line)
    found = net.attributes[name] = {}
    label = blocks.unquoted(block.value("label"))
    if label and label != name:
        found["label"] = label
    if position := place(block.value("position")):
        found["pos"] = position


def _potential(net: Tables, parsed: Blocks, block: Block) -> None:
    head = block.head.strip()
    names, _, listed = head.removeprefix("(").removesuffix(")").partition("|")
    nodes = names.split()
    if len(nodes) != 1 or not (head.startswith("(") and head.endswith(")")):
        raise parsed.error(
            f"expected potential (node | parents); got {shown(head)[:80]!r}", block.line
        )
    rows, card = net.family(nodes[0], listed.split(), block.line)
    data = block.fields.get("data")
    if not data or not blocks.numbers(data.text).strip():
        if block.value("model_data"):
            raise parsed.error(
                f"expected data for {shown(nodes[0])}; got an expression: compile the network "
                "and save its tables",
                block.line,
            )
        return
    if blocks.uneven(data.text, card):
        raise parsed.error(
            f"expected {card} numbers in every innermost list of {shown(nodes[0])}", data.line
        )
    values = net.numbers(blocks.numbers(data.text), nodes[0], data.line)
    net.table(nodes[0], values, data.line)


def write(graph: nx.DiGraph) -> str:
    """The network in Hugin NET, with labels and positions.

    Raises:
        GraphError: an undirected graph, a node without states, or a node whose name is not
            letters, digits and underscores.
    """
    holding.require_network(graph, "NET")
    holding.require_plain(graph, "NET")
    holding.require_identifiers(graph, "NET", _IDENTIFIER)
    lines = ["net", "{", "}"]
    for node, data in graph.nodes(data=True):
        states = " ".join(map(blocks.quoted, data["states"]))
        lines += [f"node {node}", "{", f"  states = ({states});"]
        if "label" in data:
            lines.append(f"  label = {blocks.quoted(data['label'])};")
        if position := holding.position(data):
            lines.append(f"  position = ({position[0]:.17g} {position[1]:.17g});")
        lines.append("}")
    for node, data in graph.nodes(data=True):
        above = holding.parents(graph, node)
        given = f" | {' '.join(map(str, above))}" if above else ""
        lines += [f"potential ({node}{given})", "{"]
        if "table" in data:
            lines.append(f"  data = {_nested(holding.array(data['table']).tolist())};")
        lines.append("}")
    return "\n".join([*lines, ""])


def _nested(values: list[Any]) -> str:
    if isinstance(values[0], list):
        return f"({' '.join(map(_nested, values))})"
    return f"({' '.join(map(repr, values))})"
