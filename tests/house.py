"""The structure of the package, read from its files: ``python tests/house.py`` prints it.

``python tests/house.py --tree`` writes the tree of docs/index.md anew.

A *room* is what lies directly in ``probgen/``: a package or a loose module. An *arrow* goes from a
room to another that it imports, a *circle* is a set of files that import each other, directly or
through others. Imports inside functions and those for types only count as any other.
"""

import ast
import re
import sys
from functools import cache
from pathlib import Path

import networkx as nx

ROOT = Path(__file__).parents[1]
DOORS = {"__init__", "__main__"}
ORDER = ("data", "nets", "objectives", "models", "run", "lowering", "evaluation", "training")
ORDER += ("recipe", "report", "reasoning", "exact", "program", "cli")
"""The rooms: each imports only rooms before it."""
BESIDE = {
    "graphs/": "networks to reason about, one line each in graphs/README.md",
    "examples/": "complete scripts, run by the tests",
    "benchmarks/": "speed against peers; results/ holds measured numbers with their machine",
    "tests/": "mirrors probgen/ (tests/README.md)",
    "docs/": "this page and its neighbours",
}
COLUMN, WIDTH = 19, 110


@cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def modules(root: Path = ROOT) -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in sorted((root / "probgen").rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


def imported(path: Path, known: dict[str, Path]) -> set[str]:
    """The modules of the package that a file names in an import, wherever it stands."""
    found = set()
    for node in ast.walk(_parsed(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in known else node.module)
    return found & known.keys()


def files(root: Path = ROOT) -> nx.DiGraph:
    """Which file imports which."""
    known = modules(root)
    graph = nx.DiGraph()
    graph.add_nodes_from(known)
    for name, path in known.items():
        graph.add_edges_from((name, other) for other in imported(path, known) if other != name)
    return graph


def room(module: str) -> str:
    """What a module lies in: the part of its name after ``probgen``."""
    return module.split(".")[1] if "." in module else "__init__"


def rooms(graph: nx.DiGraph) -> nx.DiGraph:
    """Which room imports which; the package's own two doors are no rooms."""
    arrows = nx.DiGraph()
    arrows.add_nodes_from({room(name) for name in graph} - DOORS)
    for start, end in graph.edges:
        pair = room(start), room(end)
        if pair[0] != pair[1] and not DOORS & {*pair}:
            arrows.add_edge(*pair)
    return arrows


def loose(root: Path = ROOT) -> list[str]:
    """Modules that lie directly in the package and in no room."""
    return sorted({path.stem for path in (root / "probgen").glob("*.py")} - DOORS)


def circles(graph: nx.DiGraph) -> list[list[str]]:
    """Sets of nodes that reach each other, the largest first."""
    found = [sorted(part) for part in nx.strongly_connected_components(graph) if len(part) > 1]
    return sorted(found, key=len, reverse=True)


def reached(module: str, graph: nx.DiGraph) -> set[str]:
    """All modules that an import of this one may load, its packages' own files among them."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        one = waiting.pop()
        if one in found:
            continue
        found.add(one)
        waiting += [*graph.successors(one), *_packages(one)]
    return found


def _packages(module: str) -> list[str]:
    """The packages that hold a module."""
    parts = module.split(".")[:-1]
    return [".".join(parts[: i + 1]) for i in range(len(parts))]


@cache
def outside(path: Path) -> frozenset[str]:
    """The packages of others that a file imports anywhere, by their first name."""
    found = set()
    for node in ast.walk(_parsed(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return frozenset(found - {"probgen"})


def borrowed(root: Path = ROOT) -> list[str]:
    """Imports of a name that is private to another file of the package."""
    found = []
    for module, path in modules(root).items():
        for node in ast.walk(_parsed(path)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("probgen"):
                names = [alias.name for alias in node.names]
                private = [n for n in names if n.startswith("_") and not n.startswith("__")]
                found += [f"{module}: {node.module}.{name}" for name in private]
    return found


def undocumented(root: Path = ROOT) -> tuple[list[str], int]:
    """Public names without a docstring, and how many public names there are."""
    bare, total = [], 0
    for module, path in modules(root).items():
        for name, node in _public(_parsed(path), module):
            total += 1
            if not ast.get_docstring(node):
                bare.append(name)
    return bare, total


def _public(tree: ast.Module | ast.ClassDef, inside: str) -> list[tuple[str, ast.AST]]:
    """Functions, classes and methods whose names begin with a letter."""
    found = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            found.append((f"{inside}.{node.name}", node))
            if isinstance(node, ast.ClassDef):
                found += _public(node, f"{inside}.{node.name}")
    return found


def counts(root: Path = ROOT) -> dict[str, object]:
    """The numbers that the tests hold the package to."""
    graph = files(root)
    arrows = rooms(graph)
    bare, total = undocumented(root)
    return {
        "files": len(graph),
        "rooms": len(arrows),
        "loose modules": sum(
            f"probgen.{name}" in modules(root) and not (root / "probgen" / name).is_dir()
            for name in arrows
        ),
        "arrows between rooms": arrows.number_of_edges(),
        "circles of files": [len(circle) for circle in circles(graph)],
        "circles of rooms": [len(circle) for circle in circles(arrows)],
        "public names documented": f"{1 - len(bare) / total:.1%} of {total}",
    }


def tree(root: Path = ROOT) -> str:
    """Every file of the package with what its docstring says first, then the other folders."""
    lines = ["probgen/"]
    for name in (*sorted(DOORS), *ORDER):
        path = root / "probgen" / name
        if path.is_dir():
            lines += _branch(path, 1)
        else:
            lines.append(_line(path.with_suffix(".py"), 1))
    lines += [f"{name.ljust(COLUMN)}{text}" for name, text in BESIDE.items()]
    return "\n".join(lines)


def _branch(folder: Path, depth: int) -> list[str]:
    """A folder's line, its files' and its folders', each in alphabetical order."""
    files = sorted(folder.glob("[!_]*.py"))
    column = 2 * depth + 4 + max(len(path.name) for path in files)
    lines = [_line(folder, depth)]
    lines += [_line(path, depth + 1, column) for path in files]
    for path in sorted(folder.iterdir()):
        if (path / "__init__.py").is_file():
            lines += _branch(path, depth + 1)
    return lines


def _line(path: Path, depth: int, column: int = COLUMN) -> str:
    """A file or a folder with the first sentence of its docstring, as much of it as fits."""
    name = f"{path.name}/" if path.is_dir() else path.name
    source = path / "__init__.py" if path.is_dir() else path
    start = f"{'  ' * depth}{name} ".ljust(column)
    return start + _cut(_sentence(source), WIDTH - len(start))


def _sentence(path: Path) -> str:
    """The first sentence of a file's docstring, on one line."""
    said = ast.get_docstring(_parsed(path)) or ""
    first = " ".join(said.partition("\n\n")[0].split()).replace("`", "")
    return re.split(r"\.(?= |$)", first)[0]


def _cut(sentence: str, width: int) -> str:
    """A sentence, or its words that fit and a sign that more follows."""
    if len(sentence) <= width:
        return sentence
    return sentence[: width - 1].rpartition(" ")[0].rstrip(":;,") + " …"


def documented(text: str) -> tuple[str, str, str]:
    """docs/index.md before its tree, the tree, and after it."""
    before, fence, rest = text.partition("## The tree\n\n```\n")
    shown, end, after = rest.partition("\n```\n")
    return before + fence, shown, end + after


def write_tree(root: Path = ROOT) -> None:
    """Put the tree of the files into docs/index.md."""
    page = root / "docs" / "index.md"
    before, _, after = documented(page.read_text("utf-8"))
    page.write_text(before + tree(root) + after, "utf-8")


if __name__ == "__main__":
    if sys.argv[1:] == ["--tree"]:
        write_tree()
        sys.exit()
    for what, number in counts(*map(Path, sys.argv[1:])).items():
        print(f"{what}: {number}")
