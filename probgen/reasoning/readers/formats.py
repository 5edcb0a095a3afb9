"""Which format a file or a text is in: by suffix, and by how it begins."""

import re
from pathlib import Path
from xml.parsers import expat

import networkx as nx

from probgen.reasoning.names import GraphError, shown
from probgen.reasoning.readers import arcs, dot

_GAP = r"(?>\s|//[^\n]*|\#[^\n]*|%[^\n]*|/\*(?s:.*?)\*/)*+"

SUFFIXES = {
    ".bif": "bif", ".dot": "dot", ".gv": "dot", ".xmlbif": "xmlbif", ".bifxml": "xmlbif",
    ".xml": "xmlbif", ".uai": "uai", ".net": "net", ".hugin": "net", ".oobn": "net",
    ".dne": "dne", ".xdsl": "xdsl", ".graphml": "graphml", ".gml": "gml", ".json": "json",
    ".dsl": "dsl", ".dsc": "dsc", ".csv": "edges", ".tsv": "edges", ".edges": "edges",
    ".edgelist": "edges",
}  # fmt: skip
"""The format of each suffix; `.gz` may follow."""

LARGEST = 1 << 25
"""Characters of DOT, GraphML and GML, for which a minute is not enough if there are more."""

_STARTS = {
    name: re.compile(start)
    for name, start in {
        "bif": rf"{_GAP}(?:network\b[^{{}};]*\{{|variable\b[^{{}};]*\{{\s*(?:property|type)\b)",
        "net": rf"{_GAP}(?:net\s*\{{|class\s+\w+\s*\{{|node\s+\w+\s*\{{\s*\w+\s*=)",
        "dne": rf"{_GAP}bnet\s+\w+\s*\{{",
        "uai": r"\s*(?:BAYES|MARKOV)\s+\d",
        "json": r'\s*\{\s*["}]',
        "gml": rf'{_GAP}(?:(?:Creator|Version|comment)\s+(?:"[^"]*"|\S+)\s+)*+graph\s*\[',
        "pajek": r"(?i)\s*\*(?:vertices|network)\b",
        "dsl": rf"{_GAP}net\s+\w+\s*\{{{_GAP}(?:HEADER|node)\b",
        "dsc": rf"{_GAP}belief\s+network\b",
        "xml": r"\s*<[?!A-Za-z]",
    }.items()
}
_ROOTS = {"BIF": "xmlbif", "smile": "xdsl", "graphml": "graphml"}
REFUSED = {
    "pajek": "a file of Pajek: write its edges as a table from,to",
    "dsl": "a DSL file of GeNIe: save it from GeNIe as .xdsl",
}
"""What is recognised and not read, and what to do."""


def of_path(path: Path) -> str | None:
    """The format that a file's name says, in any case, `.gz` aside.

    >>> of_path(Path("A.BIF.GZ")), of_path(Path("a.txt"))
    ('bif', None)
    """
    return SUFFIXES.get(suffix(path))


def suffix(path: Path) -> str:
    """The last suffix in small letters, `.gz` aside."""
    name = path.name.lower().removesuffix(".gz")
    return "." + name.rpartition(".")[2] if "." in name else ""


def of_text(text: str) -> str | None:
    """The format that a text begins like; None for arrows, DOT and whatever else.

    >>> of_text("network n { }"), of_text("<BIF/>"), of_text("A -> B")
    ('bif', 'xmlbif', None)
    """
    found = next((name for name, start in _STARTS.items() if start.match(text)), None)
    if found == "xml":
        root = _root(text)
        return _ROOTS.get(root, f"<{shown(root)[:40]}>")
    if found is None and "{" in text and dot.HEADER.match(text):
        return "dot"
    line = text.lstrip().partition("\n")
    if found is None and line[1] and ("," in line[0] or "\t" in line[0]):
        return "edges" if arcs.is_header(line[0][:1000]) else None
    return found


def _root(text: str) -> str:
    """The name of an XML text's root element, without its namespace; empty if there is none."""
    found: list[str] = []
    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda name, attributes: found.append(name.rpartition(":")[2])
    start = text.lstrip()[: 1 << 20]
    try:
        for at in range(0, len(start), 1 << 10):
            parser.Parse(start[at : at + (1 << 10)], False)
            if found:
                break
    except (expat.ExpatError, ValueError):
        pass
    return found[0] if found else ""


def read(
    format_: str,
    text: str,
    file: str = "",
    tolerance: float | None = None,
    directed: bool | None = None,
) -> nx.Graph:
    """Read a text of a known format.

    Raises:
        GraphError: malformed, or a format that is recognised and not read.
    """
    from probgen.reasoning.readers import bif, dne, dsc, graphml, json, net, uai, xdsl, xmlbif

    where = f"{file}: " if file else ""
    if len(text) > LARGEST and format_ in ("dot", "graphml", "gml"):
        raise GraphError(f"{where}expected at most {LARGEST:,} characters; got {len(text):,}")
    if format_ in REFUSED:
        raise GraphError(f"{where}got {REFUSED[format_]}")
    if format_ == "edges":
        return arcs.read(text, file, directed)
    if format_ == "json":
        return json.read(text, file, tolerance, directed)
    if directed is not None:
        raise GraphError(
            f"{where}expected directed= only with edges that do not say it themselves"
        )
    readers = {
        "bif": bif.read, "xmlbif": xmlbif.read, "uai": uai.read, "net": net.read,
        "dne": dne.read, "xdsl": xdsl.read, "graphml": graphml.read, "gml": graphml.read_gml,
        "dot": dot.read, "dsc": dsc.read,
    }  # fmt: skip
    if format_ not in readers:
        raise GraphError(
            f"{where}expected the XML of XMLBIF, XDSL or GraphML; got the element {format_}"
        )
    return readers[format_](text, file, tolerance)
