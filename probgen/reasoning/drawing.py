"""Graphs as SVG, HTML and matplotlib figures: observed nodes shaded, trails in colour."""

from collections.abc import Iterable, Mapping
from html import escape
from itertools import pairwise
from math import hypot
from typing import Any, NamedTuple

import networkx as nx

from probgen.reasoning.colours import LINE, OPEN, SHADE
from probgen.reasoning.layout import LAYER, Layout, Point, layout
from probgen.reasoning.names import GraphError, Node, shown
from probgen.reasoning.separation import Index
from probgen.reasoning.trails import Trail

DASHES = ' stroke-dasharray="5 4"'
HEIGHT, LETTER, LONGEST = 32.0, 9.0, 26
SQUARE, ABOVE, BELOW = 12.0, 12.0, 24.0
"""Side of a factor; room of a plate above and below what it holds, in pixels."""


class Edge(NamedTuple):
    """An edge ready to draw: its cubic Bezier points, whether it has a head, its colour."""

    points: list[Point]
    head: bool
    colour: str
    strong: bool
    dashed: bool


class Frame(NamedTuple):
    """A plate: what it is called and the box around its members."""

    label: str
    left: float
    top: float
    right: float
    bottom: float

    def meets(self, left: float, top: float, right: float, bottom: float) -> bool:
        """Whether the two boxes overlap."""
        apart = right < self.left or left > self.right or bottom < self.top or top > self.bottom
        return not apart


class Picture(NamedTuple):
    """A drawing: names, places and widths of the nodes, colours of their rims, the edges.

    Attributes:
        kinds: of a program's nodes, for those that are not drawn as plain ellipses.
        frames: the plates of a program, outermost first.
    """

    names: dict[Node, str]
    layout: Layout
    widths: dict[Node, float]
    observed: frozenset[Node]
    rims: dict[Node, str]
    edges: list[Edge]
    kinds: dict[Node, str]
    frames: list[Frame]

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, width and height."""
        points = [p for e in self.edges for p in e.points]
        centres = self.layout.centres.items()
        xs = [x + s * self.widths[v] / 2 for v, (x, _) in centres for s in (-1, 1)]
        xs += [x for x, _ in points]
        ys = [y + s * HEIGHT / 2 for _, (_, y) in centres for s in (-1, 1)] + [
            y for _, y in points
        ]
        xs += [x for f in self.frames for x in (f.left, f.right)]
        ys += [y for f in self.frames for y in (f.top, f.bottom)]
        left, top = min(xs, default=0) - 8, min(ys, default=0) - 8
        return left, top, max(xs, default=0) + 8 - left, max(ys, default=0) + 8 - top


def picture(
    graph: nx.Graph,
    given: Iterable[Node] | None = None,
    colours: Mapping[frozenset[Node], str] | None = None,
    rims: Mapping[Node, str] | None = None,
) -> Picture:
    """Lay out a graph; `colours` of edges, by their two nodes, and of the rims of nodes.

    Without `given`, what a program observes is shaded.
    """
    if given is None:
        given = [v for v, known in graph.nodes(data="observed") if known]
    kinds = dict(graph.nodes(data="kind")) if "plates" in graph.graph else {}
    names = {v: _short(shown(v)) for v in graph}
    widths = {v: _width(name, kinds.get(v)) for v, name in names.items()}
    plates = _plates(graph)
    depth = max((sum(p <= q for q in plates.values()) for p in plates.values()), default=0)
    layer = max(LAYER, HEIGHT + 20 + (ABOVE + BELOW) * depth)
    places = layout(graph, widths, set(plates.values()), layer)
    frames = _frames(graph, plates, places.centres, widths)
    if frames is None:
        names = {v: _short(shown(v)) + _tag(plates, v) for v in graph}
        widths = {v: _width(name, kinds.get(v)) for v, name in names.items()}
        places, frames = layout(graph, widths), []
    edges = _edges(graph, places, widths, kinds, colours or {})
    return Picture(names, places, widths, frozenset(given), dict(rims or {}), edges, kinds, frames)


def _width(name: str, kind: str | None) -> float:
    if kind == "factor":
        return 2 * LETTER * len(name) + 3 * SQUARE
    return max(HEIGHT + 4, LETTER * len(name) + 18)


def _plates(graph: nx.Graph) -> dict[str, frozenset[Node]]:
    """Members of a program's plates, by label, the largest first."""
    found: dict[str, list[Node]] = {}
    sizes = graph.graph.get("plates", {})
    for v, names in graph.nodes(data="plates", default=()):
        for name in names if sizes else ():
            found.setdefault(f"{shown(name)} {sizes[name]:,}", []).append(v)
    return {k: frozenset(v) for k, v in sorted(found.items(), key=lambda pair: -len(pair[1]))}


def _tag(plates: Mapping[str, frozenset[Node]], v: Node) -> str:
    labels = [label for label, members in plates.items() if v in members]
    return f" [{', '.join(labels)}]" if labels else ""


def _frames(
    graph: nx.Graph,
    plates: Mapping[str, frozenset[Node]],
    centres: Mapping[Node, Point],
    widths: Mapping[Node, float],
) -> list[Frame] | None:
    """A box around each plate; none at all if one would hold what is not in the plate."""
    frames: dict[str, Frame] = {}
    for label, members in reversed(list(plates.items())):
        boxes = [_box(centres[v], widths[v]) for v in members]
        boxes += [f[1:] for inner, f in frames.items() if plates[inner] <= members]
        frame = _around(label, boxes)
        others = [_box(centres[v], widths[v]) for v in graph if v not in members]
        others += [f[1:] for other, f in frames.items() if not plates[other] <= members]
        if any(frame.meets(*box) for box in others):
            return None
        frames[label] = frame
    return list(frames.values())[::-1]


def _box(centre: Point, width: float) -> tuple[float, float, float, float]:
    (x, y), half = centre, HEIGHT / 2
    return x - width / 2, y - half, x + width / 2, y + half


def _around(label: str, boxes: list[tuple[float, float, float, float]]) -> Frame:
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    left, right = min(lefts) - ABOVE, max(rights) + ABOVE
    missing = max(0.0, LETTER * len(label) + 12 - (right - left))
    return Frame(
        label, left - missing / 2, min(tops) - ABOVE, right + missing / 2, max(bottoms) + BELOW
    )


def _edges(
    graph: nx.Graph,
    places: Layout,
    widths: Mapping[Node, float],
    kinds: Mapping[Node, str],
    colours: Mapping[frozenset[Node], str],
) -> list[Edge]:
    sizes = {
        v: (SQUARE * 1.4,) * 2 if kinds.get(v) == "factor" else (widths[v], HEIGHT) for v in graph
    }
    order = {v: i for i, v in enumerate(graph)}
    edges = []
    for (u, v), route in places.routes.items():
        both = graph.is_directed() and graph.has_edge(v, u)
        if both and (v, u) in places.routes and order[v] < order[u]:
            continue
        colour = colours.get(frozenset((u, v)))
        points = _curve(_trimmed(route, sizes[u], sizes[v]))
        head = graph.is_directed() and not both
        dashed = graph.edges[u, v].get("provenance") is False
        edges.append(Edge(points, head, colour or LINE, bool(colour), dashed))
    return edges


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"


def _trimmed(route: list[Point], first: Point, last: Point) -> list[Point]:
    """The route from rim to rim."""
    start = _rim(route[0], route[1], first, 1.0)
    end = _rim(route[-1], route[-2], last, 3.0)
    return [start, *route[1:-1], end]


def _rim(centre: Point, towards: Point, size: Point, margin: float) -> Point:
    """Where the line from the centre of an ellipse leaves it."""
    dx, dy = towards[0] - centre[0], towards[1] - centre[1]
    length = hypot(dx, dy) or 1.0
    share = 1 / (hypot(dx / (size[0] / 2), dy / (size[1] / 2)) or 1.0) + margin / length
    return centre[0] + dx * share, centre[1] + dy * share


def _curve(points: list[Point]) -> list[Point]:
    """Cubic Bezier points of the Catmull-Rom spline through a route."""
    found = [points[0]]
    padded = [points[0], *points, points[-1]]
    for before, start, end, after in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        found.append(_moved(start, before, end))
        found.append(_moved(end, after, start))
        found.append(end)
    return found


def _moved(point: Point, behind: Point, ahead: Point) -> Point:
    return point[0] + (ahead[0] - behind[0]) / 6, point[1] + (ahead[1] - behind[1]) / 6


def svg(drawn: Picture) -> str:
    """The picture as one SVG element; names are escaped."""
    left, top, width, height = drawn.box
    parts = [_svg_frame(frame) for frame in drawn.frames]
    parts += [_svg_edge(edge) for edge in drawn.edges]
    parts += [_svg_node(drawn, v) for v in drawn.layout.centres]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="{left:.1f} {top:.1f} {width:.1f} {height:.1f}" '
        'style="max-width:100%;height:auto;background:#fff" '
        'font-family="sans-serif" font-size="14">'
        f"{''.join(parts)}</svg>"
    )


def _svg_frame(frame: Frame) -> str:
    width, height = frame.right - frame.left, frame.bottom - frame.top
    return (
        f'<rect x="{frame.left:.1f}" y="{frame.top:.1f}" width="{width:.1f}" '
        f'height="{height:.1f}" rx="8" fill="none" stroke="{LINE}"/>'
        f'<text x="{frame.right - 7:.1f}" y="{frame.bottom - 7:.1f}" text-anchor="end" '
        f'font-size="12" fill="{LINE}">{escape(frame.label)}</text>'
    )


def _svg_edge(edge: Edge) -> str:
    start, *rest = (f"{x:.1f},{y:.1f}" for x, y in edge.points)
    line = (
        f'<path d="M{start} C{" ".join(rest)}" fill="none" stroke="{edge.colour}" '
        f'stroke-width="{3 if edge.strong else 1.4}"{DASHES if edge.dashed else ""}/>'
    )
    if not edge.head:
        return line
    corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in _head(edge))
    return line + f'<polygon points="{corners}" fill="{edge.colour}"/>'


def _head(edge: Edge) -> list[Point]:
    (x0, y0), (x1, y1) = edge.points[-2:]
    length = hypot(x1 - x0, y1 - y0) or 1.0
    dx, dy = (x1 - x0) / length, (y1 - y0) / length
    long, wide = (12, 5.5) if edge.strong else (9, 4)
    back = x1 - long * dx, y1 - long * dy
    return [
        (x1 + dx, y1 + dy),
        (back[0] - wide * dy, back[1] + wide * dx),
        (back[0] + wide * dy, back[1] - wide * dx),
    ]


def _svg_node(drawn: Picture, node: Node) -> str:
    x, y = drawn.layout.centres[node]
    kind = drawn.kinds.get(node)
    aside = SQUARE if kind == "factor" else 0
    return (
        f"<g><title>{escape(shown(node))}</title>{_svg_shape(drawn, node, kind)}"
        f'<text x="{x + aside:.1f}" y="{y + 5:.1f}" fill="#16181d" '
        f'text-anchor="{"start" if aside else "middle"}">'
        f"{escape(drawn.names[node])}</text></g>"
    )


def _svg_shape(drawn: Picture, node: Node, kind: str | None) -> str:
    x, y = drawn.layout.centres[node]
    rim, width = drawn.rims.get(node, LINE), 3 if node in drawn.rims else 1.4
    if kind == "argument" and node not in drawn.rims:
        return ""
    if kind == "factor":
        corner = f'x="{x - SQUARE / 2:.1f}" y="{y - SQUARE / 2:.1f}"'
        return f'<rect {corner} width="{SQUARE}" height="{SQUARE}" fill="{rim}"/>'
    fill = SHADE if node in drawn.observed and kind != "argument" else "#fff"
    return (
        f'<ellipse cx="{x:.1f}" cy="{y:.1f}" rx="{drawn.widths[node] / 2:.1f}" '
        f'ry="{HEIGHT / 2}" fill="{fill}" stroke="{rim}" stroke-width="{width}"'
        f"{DASHES if kind == 'deterministic' else ''}/>"
    )


def node_pairs(nodes: Iterable[Node]) -> list[frozenset[Node]]:
    """Neighbours on a trail, as the keys that colour their edges."""
    return [frozenset(pair) for pair in pairwise(nodes)]


def plot(graph: nx.Graph, given: Any, path: Any, ax: Any) -> Any:
    """The picture on matplotlib axes, as `graph.plot` documents it."""
    known = Index(nx.empty_graph(graph), copy=False)
    observed = None if given is None else known.nodes(given, "given")
    nodes = _path(graph, known, path)
    drawn = picture(graph, observed, dict.fromkeys(node_pairs(nodes), OPEN))
    return _draw(drawn, ax)


def _path(graph: nx.Graph, known: Index, path: Any) -> tuple[Node, ...]:
    if isinstance(path, str) or not isinstance(path, Iterable):
        return tuple(known.nodes(path, "path"))
    nodes = tuple(path.nodes if isinstance(path, Trail) else path)
    known.nodes(nodes, "path")
    for u, v in pairwise(nodes):
        if not graph.has_edge(u, v) and not graph.has_edge(v, u):
            raise GraphError(
                f"expected a path along edges; got {shown(u)}, {shown(v)}, which no edge joins"
            )
    return nodes


def _draw(drawn: Picture, ax: Any) -> Any:
    from matplotlib import pyplot

    left, top, width, height = drawn.box
    if ax is None:
        scale = max(width, height, 150) / 72
        shrink = min(1.0, 14 / scale)
        _, ax = pyplot.subplots(figsize=(width / 72 * shrink, height / 72 * shrink))
        ax.set_position([0, 0, 1, 1])
    ax.set(xlim=(left, left + width), ylim=(top + height, top), aspect="equal")
    ax.axis("off")
    box = ax.get_window_extent()
    points = 72 / ax.figure.dpi * min(box.width / width, box.height / height)
    for frame in drawn.frames:
        _draw_frame(ax, frame, points)
    for edge in drawn.edges:
        _draw_edge(ax, edge, points)
    for node in drawn.layout.centres:
        _draw_node(ax, drawn, node, points)
    return ax


def _draw_frame(ax: Any, frame: Frame, points: float) -> None:
    from matplotlib.patches import FancyBboxPatch

    corner, width, height = frame[1:3], frame.right - frame.left, frame.bottom - frame.top
    style = "round,pad=0,rounding_size=8"
    box = FancyBboxPatch(corner, width, height, style, fill=False, edgecolor=LINE)
    box.set_linewidth(points)
    ax.add_patch(box)
    text = {"ha": "right", "va": "bottom", "fontsize": 11 * points, "color": LINE}
    ax.text(frame.right - 7, frame.bottom - 5, frame.label, parse_math=False, **text)


def _draw_edge(ax: Any, edge: Edge, points: float) -> None:
    from matplotlib.patches import PathPatch, Polygon
    from matplotlib.path import Path

    codes = [Path.MOVETO] + [Path.CURVE4] * (len(edge.points) - 1)
    width = (3 if edge.strong else 1.4) * points
    line = Path(edge.points, codes)
    style = (0, (3, 2)) if edge.dashed else "solid"
    look = {"edgecolor": edge.colour, "linewidth": width, "linestyle": style}
    ax.add_patch(PathPatch(line, fill=False, **look))
    if edge.head:
        ax.add_patch(Polygon(_head(edge), facecolor=edge.colour, edgecolor="none"))


def _draw_node(ax: Any, drawn: Picture, node: Node, points: float) -> None:
    (x, y), kind = drawn.layout.centres[node], drawn.kinds.get(node)
    if shape := _shape(drawn, node, kind, points):
        ax.add_patch(shape)
    aside = SQUARE if kind == "factor" else 0
    style = {"va": "center", "fontsize": 13 * points, "zorder": 3}
    style["ha"] = "left" if aside else "center"
    ax.text(x + aside, y, drawn.names[node], parse_math=False, **style)


def _shape(drawn: Picture, node: Node, kind: str | None, points: float) -> Any:
    from matplotlib.patches import Ellipse, Rectangle

    x, y = drawn.layout.centres[node]
    rim = drawn.rims.get(node, LINE)
    if kind == "argument" and node not in drawn.rims:
        return None
    if kind == "factor":
        corner = x - SQUARE / 2, y - SQUARE / 2
        return Rectangle(corner, SQUARE, SQUARE, facecolor=rim, edgecolor=rim, zorder=2)
    fill = SHADE if node in drawn.observed and kind != "argument" else "white"
    shape = Ellipse((x, y), drawn.widths[node], HEIGHT, facecolor=fill, edgecolor=rim, zorder=2)
    dashes = (0, (3, 2)) if kind == "deterministic" else "solid"
    shape.set(linewidth=(3 if node in drawn.rims else 1.4) * points, linestyle=dashes)
    return shape
