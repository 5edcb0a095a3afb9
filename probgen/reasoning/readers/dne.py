"""Netica's text format (.dne, DNET-1): networks with their tables."""

import networkx as nx

from probgen.reasoning.names import shown
from probgen.reasoning.readers import blocks
from probgen.reasoning.readers.blocks import Block, Blocks
from probgen.reasoning.readers.cpds import Tables, place


def read(source: str, file: str = "", tolerance: float | None = None) -> nx.DiGraph:
    """Read a network: nodes with `states`, `parents` and `table` (*parents, node), float64.

    Format: Norsys, "DNET-1 File Format" (1998). `probs` runs through the parents in their order,
    the first slowest, and through the node's states fastest; `functable` is the state that each
    row has for certain. Nodes without either have no `table`. States without names are called
    after their levels, `0 to 1` between two of them. `title` and the centre of the first
    `visual` block are kept, as the attributes `label` and `pos`.

    Raises:
        GraphError: malformed (with file and line), a decision, utility or constant node, an
            equation, a row off 1 by more than the tolerance.

    >>> g = read('''bnet n { node A { kind = NATURE; states = (yes, no); parents = ();
    ...   probs = (0.2, 0.8); }; };''')
    >>> g.nodes["A"]["table"].tolist()
    [0.2, 0.8]
    """
    parsed = Blocks(source, file, r"//[^\n]*|/\*(?s:.*?)(?:\*/|\Z)")
    net = Tables(file, tolerance)
    if [b.kind.lower() for b in parsed.all] != ["bnet"]:
        raise parsed.error("expected one block 'bnet name { ... }'", 1)
    nodes = [b for b in parsed.all[0].inner if b.kind.lower() == "node"]
    for block in nodes:
        _node(net, parsed, block)
    for block in nodes:
        _table(net, parsed, block)
    return net.graph()


def _node(net: Tables, parsed: Blocks, block: Block) -> None:
    kind = block.value("kind").upper() or "NATURE"
    if kind != "NATURE":
        raise parsed.error(
            f"expected nodes of nature only; got {shown(block.head)} of kind {shown(kind)}",
            block.line,
        )
    net.variable(block.head, _states(parsed, block), block.line)
    found = net.attributes[block.head] = {}
    if title := blocks.unquoted(block.value("title")):
        found["label"] = title
    centres = (b.value("center") for b in block.inner if b.kind.lower() == "visual")
    if position := next((p for p in map(place, centres) if p), None):
        found["pos"] = position


def _states(parsed: Blocks, block: Block) -> list[str]:
    if states := blocks.listed(block.value("states")):
        return states
    levels = blocks.listed(block.value("levels"))
    if levels and block.value("discrete").upper() == "FALSE":
        return [f"{low} to {high}" for low, high in zip(levels, levels[1:], strict=False)]
    count = block.value("numstates")
    if levels or not count.isdecimal() or len(count) > 6:
        return levels
    return [f"#{i}" for i in range(int(count))]


def _table(net: Tables, parsed: Blocks, block: Block) -> None:
    node = block.head
    rows, card = net.family(node, blocks.listed(block.value("parents")), block.line)
    if probs := block.fields.get("probs"):
        if blocks.uneven(probs.text, card):
            raise parsed.error(
                f"expected {card} numbers in every innermost list of {shown(node)}", probs.line
            )
        net.table(node, net.numbers(blocks.numbers(probs.text), node, probs.line), probs.line)
    elif function := block.fields.get("functable"):
        states = blocks.listed(function.text)
        net.certain(node, [_code(s) for s in states], function.line)
    elif block.value("equation"):
        raise parsed.error(
            f"expected probs for {shown(node)}; got an equation: let Netica make its table",
            block.line,
        )


def _code(state: str) -> str | int:
    """A state of a `functable`: its name, or its number after `#`."""
    return int(state[1:]) if state.startswith("#") and state[1:].isdecimal() else state
