"""GeNIe's XDSL: networks of chance nodes with their tables."""

import re
from typing import Any
from xml.etree.ElementTree import Element

import networkx as nx

from probgen.reasoning.names import shown
from probgen.reasoning.readers import holding, markup
from probgen.reasoning.readers.cpds import Tables, place

_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_HALF = (36.0, 24.0)
"""Half the width and height of a node as it is written; GeNIe fits it to its text."""


def read(source: str, file: str = "", tolerance: float | None = None) -> nx.DiGraph:
    """Read a network: nodes with `states`, `parents` and `table` (*parents, node), float64.

    Format: BayesFusion, "SMILE: multidimensional arrays" and "XDSL file format": `probabilities`
    runs through the parents in their order, the first slowest, and through the node's states
    fastest; `resultingstates` of a deterministic node is the state of each row. The name and the
    centre that GeNIe draws are kept, as the attributes `label` (where it is not the identifier)
    and `pos`.

    Raises:
        GraphError: malformed (with file and line), entities, nodes of another kind than `cpt` and
            `deterministic`, a row off 1 by more than the tolerance, or a file of pyAgrum in which
            a node has several parents.

    >>> g = read('''<smile version="1.0"><nodes><cpt id="A"><state id="yes"/><state id="no"/>
    ...   <probabilities>0.2 0.8</probabilities></cpt></nodes></smile>''')
    >>> g.nodes["A"]["table"].tolist()
    [0.2, 0.8]
    """
    tree = markup.Tree(source, file)
    nodes = tree.root.find("nodes")
    if tree.root.tag != "smile" or nodes is None:
        raise tree.error(f"expected the elements smile and nodes; got {shown(tree.root.tag)}")
    net = Tables(file, tolerance)
    for element in nodes:
        _node(net, tree, element)
    turned = any(g.get("app", "").startswith("aGrUM") for g in tree.root.iter("genie"))
    for element in nodes:
        _table(net, tree, element, turned)
    for drawn in tree.root.iter("node"):
        _draw(net, drawn)
    return net.graph()


def _node(net: Tables, tree: markup.Tree, element: Element) -> None:
    name = element.get("id", "")
    if element.tag not in ("cpt", "deterministic"):
        raise tree.error(
            f"expected cpt and deterministic nodes only; got {shown(name)!r} of kind "
            f"{shown(element.tag)}: turn it into a table in GeNIe, or drop it",
            element,
        )
    states = [state.get("id", "") for state in element.findall("state")]
    net.variable(name, states, tree.line(element))


def _table(net: Tables, tree: markup.Tree, element: Element, turned: bool) -> None:
    node, line = element.get("id", ""), tree.line(element)
    parents = markup.text(element, "parents").split()
    if turned and len(parents) > 1:
        raise tree.error(
            f"expected a table with the first parent slowest; got {shown(node)} with "
            f"{len(parents)} parents in a file of pyAgrum, which writes the first parent fastest: "
            "save the network from pyAgrum as .bif",
            element,
        )
    net.family(node, parents, line)
    if element.tag == "deterministic":
        if states := markup.text(element, "resultingstates").split():
            net.certain(node, states, line)
    elif text := markup.text(element, "probabilities"):
        net.table(node, net.numbers(text, node, line), line)


def _draw(net: Tables, drawn: Element) -> None:
    node = drawn.get("id", "")
    if node not in net.states:
        return
    found: dict[str, Any] = net.attributes.setdefault(node, {})
    label = markup.text(drawn, "name")
    if label and label != node:
        found["label"] = label
    corners = markup.text(drawn, "position").split()
    if len(corners) == 4:
        near, far = place(" ".join(corners[:2])), place(" ".join(corners[2:]))
        if near and far:
            found["pos"] = ((near[0] + far[0]) / 2, (near[1] + far[1]) / 2)


def write(graph: nx.DiGraph) -> str:
    """The network in XDSL, with labels and positions in GeNIe's part; parents come first.

    Raises:
        GraphError: an undirected graph, a node without states, or names of nodes or states that
            are not letters, digits and underscores after a letter.
    """
    holding.require_network(graph, "XDSL")
    holding.require_plain(graph, "XDSL")
    holding.require_identifiers(graph, "XDSL", _IDENTIFIER, states=True)
    rank = {node: i for i, node in enumerate(graph)}
    order = list(nx.lexicographical_topological_sort(graph, key=rank.__getitem__))
    lines = ['<?xml version="1.0" encoding="UTF-8"?>']
    lines += ['<smile version="1.0" id="network" numsamples="10000">', "  <nodes>"]
    for node in order:
        lines += _written(graph, node)
    lines += ["  </nodes>", "  <extensions>"]
    lines.append('    <genie version="1.0" app="probgen" name="network">')
    for node in order:
        lines += _drawn(node, graph.nodes[node])
    return "\n".join([*lines, "    </genie>", "  </extensions>", "</smile>", ""])


def _written(graph: nx.DiGraph, node: Any) -> list[str]:
    data, above = graph.nodes[node], holding.parents(graph, node)
    lines = [f'    <cpt id="{node}">']
    lines += [f'      <state id="{state}"/>' for state in data["states"]]
    if above:
        lines.append(f"      <parents>{' '.join(map(str, above))}</parents>")
    if "table" in data:
        numbers = " ".join(map(repr, holding.array(data["table"]).reshape(-1).tolist()))
        lines.append(f"      <probabilities>{numbers}</probabilities>")
    return [*lines, "    </cpt>"]


def _drawn(node: Any, data: dict[str, Any]) -> list[str]:
    lines = [f'      <node id="{node}">']
    lines.append(f"        <name>{markup.escaped(data.get('label', node))}</name>")
    if position := holding.position(data):
        corners = [p + h * s for s in (-1, 1) for p, h in zip(position, _HALF, strict=True)]
        lines.append(f"        <position>{' '.join(map(repr, corners))}</position>")
    return [*lines, "      </node>"]
