"""XMLBIF 0.3: networks with their tables in XML."""

import re
from typing import Any
from xml.etree.ElementTree import Element

import networkx as nx

from probgen.reasoning.names import shown
from probgen.reasoning.readers import holding, markup
from probgen.reasoning.readers.cpds import Tables, place

_FAST = re.compile(r"fast\s*=\s*[^\[{]*(?:\[(\d{1,6})\]|\{([^{}]*)\})")


def read(source: str, file: str = "", tolerance: float | None = None) -> nx.DiGraph:
    """Read a network: nodes with `states`, `parents` and `table` (*parents, node), float64.

    Format: F. G. Cozman, "XMLBIF 0.3" (1998), as JavaBayes, Weka, AISpace, pgmpy and pyAgrum
    write it. A `TABLE` runs through the GIVEN variables in their order, the first slowest, and
    through the states of FOR fastest. A definition without numbers has no `table`.

    Raises:
        GraphError: malformed (with file and line), entities, decision or utility nodes, a name
            declared twice or not at all, a row off 1 by more than the tolerance.

    >>> g = read('''<BIF VERSION="0.3"><NETWORK>
    ... <VARIABLE><NAME>A</NAME><OUTCOME>yes</OUTCOME><OUTCOME>no</OUTCOME></VARIABLE>
    ... <DEFINITION><FOR>A</FOR><TABLE>0.2 0.8</TABLE></DEFINITION></NETWORK></BIF>''')
    >>> g.nodes["A"]["table"].tolist()
    [0.2, 0.8]
    """
    tree = markup.Tree(source, file)
    if tree.root.tag != "BIF":
        raise tree.error(f"expected the element BIF; got {shown(tree.root.tag)}", tree.root)
    network = tree.root.find("NETWORK")
    if network is None:
        raise tree.error("expected the element NETWORK; got none", tree.root)
    net = Tables(file, tolerance)
    for variable in network.findall("VARIABLE"):
        _variable(net, tree, variable)
    for definition in network.findall("DEFINITION"):
        _definition(net, tree, definition)
    return net.graph()


def _variable(net: Tables, tree: markup.Tree, variable: Element) -> None:
    name = markup.text(variable, "NAME")
    kind = variable.get("TYPE", "nature")
    if kind != "nature":
        raise tree.error(
            f"expected variables of nature only; got {shown(name)!r} of type {shown(kind)!r}",
            variable,
        )
    properties = [(p.text or "").strip() for p in variable.findall("PROPERTY")]
    states = [(outcome.text or "").strip() for outcome in variable.findall("OUTCOME")]
    net.variable(name, states or _fast(properties), tree.line(variable))
    net.attributes[name] = _attributes(properties)


def _fast(properties: list[str]) -> list[str]:
    """The states in pyAgrum's short notation, `A[3]` or `A{no|yes}`."""
    for text in properties:
        if found := _FAST.match(text):
            return found[2].split("|") if found[2] else list(map(str, range(int(found[1] or 0))))
    return []


def _attributes(properties: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for text in properties:
        key, equals, value = (part.strip() for part in text.partition("="))
        if key == "label" and equals:
            found["label"] = value
        elif key == "position" and (position := place(value)):
            found["pos"] = position
    return found


def _definition(net: Tables, tree: markup.Tree, definition: Element) -> None:
    node, line = markup.text(definition, "FOR"), tree.line(definition)
    parents = [(given.text or "").strip() for given in definition.findall("GIVEN")]
    net.family(node, parents, line)
    table = markup.text(definition, "TABLE")
    if table:
        net.table(node, net.numbers(table, node, line), line)


def write(graph: nx.DiGraph) -> str:
    """The network in XMLBIF 0.3, with labels and positions as properties.

    Raises:
        GraphError: an undirected graph, a node without states, or a name that does not come back.
    """
    holding.require_network(graph, "XMLBIF")
    holding.require_plain(graph, "XMLBIF")
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', '<BIF VERSION="0.3">', "<NETWORK>"]
    lines.append("<NAME>network</NAME>")
    for node, data in graph.nodes(data=True):
        lines += ['<VARIABLE TYPE="nature">', f"  <NAME>{markup.escaped(node)}</NAME>"]
        lines += [f"  <OUTCOME>{markup.escaped(state)}</OUTCOME>" for state in data["states"]]
        if "label" in data:
            lines.append(f"  <PROPERTY>label = {markup.escaped(data['label'])}</PROPERTY>")
        if (place := holding.position(data)) is not None:
            lines.append(f"  <PROPERTY>position = ({place[0]!r}, {place[1]!r})</PROPERTY>")
        lines.append("</VARIABLE>")
    for node, data in graph.nodes(data=True):
        lines += ["<DEFINITION>", f"  <FOR>{markup.escaped(node)}</FOR>"]
        lines += [f"  <GIVEN>{markup.escaped(p)}</GIVEN>" for p in holding.parents(graph, node)]
        if "table" in data:
            rows = "\n  ".join(" ".join(map(repr, row)) for row in holding.rows(data["table"]))
            lines.append(f"  <TABLE>\n  {rows}\n  </TABLE>")
        lines.append("</DEFINITION>")
    return "\n".join([*lines, "</NETWORK>", "</BIF>", ""])
