"""Graphs as SVG, HTML and matplotlib figures: observed nodes shaded, trails in colour."""

from collections.abc import Iterable, Mapping
from html import escape
from itertools import pairwise
from math import hypot
from typing import TYPE_CHECKING, Any, NamedTuple

import networkx as nx

from probgen.graph import GraphError, Node, shown
from probgen.reasoning.layout import Layout, Point, layout
from probgen.reasoning.separation import Index
from probgen.reasoning.trails import Trail

if TYPE_CHECKING:
    from probgen.dsep import Verdict

OPEN, BLOCKED, SHADE, LINE = "#0072b2", "#d55e00", "#c9ccd1", "#5b6068"
HEIGHT, LETTER, LONGEST = 32.0, 9.0, 26


class Edge(NamedTuple):
    """An edge ready to draw: its cubic Bezier points, whether it has a head, its colour."""

    points: list[Point]
    head: bool
    colour: str
    strong: bool


class Picture(NamedTuple):
    """A drawing: names, places and widths of the nodes, colours of their rims, the edges."""

    names: dict[Node, str]
    layout: Layout
    widths: dict[Node, float]
    observed: frozenset[Node]
    rims: dict[Node, str]
    edges: list[Edge]

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
        left, top = min(xs, default=0) - 8, min(ys, default=0) - 8
        return left, top, max(xs, default=0) + 8 - left, max(ys, default=0) + 8 - top


def picture(
    graph: nx.Graph,
    given: Iterable[Node] = (),
    colours: Mapping[frozenset[Node], str] | None = None,
    rims: Mapping[Node, str] | None = None,
) -> Picture:
    """Lay out a graph; `colours` of edges, by their two nodes, and of the rims of nodes."""
    names = {v: _short(shown(v)) for v in graph}
    widths = {v: max(HEIGHT + 4, LETTER * len(name) + 18) for v, name in names.items()}
    places = layout(graph, widths)
    edges = []
    for (u, v), route in places.routes.items():
        both = graph.is_directed() and graph.has_edge(v, u)
        if both and (v, u) in places.routes and list(graph).index(v) < list(graph).index(u):
            continue
        colour = (colours or {}).get(frozenset((u, v)))
        points = _curve(_trimmed(route, widths[u], widths[v]))
        head = graph.is_directed() and not both
        edges.append(Edge(points, head, colour or LINE, bool(colour)))
    return Picture(names, places, widths, frozenset(given), dict(rims or {}), edges)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"


def _trimmed(route: list[Point], first: float, last: float) -> list[Point]:
    """The route from rim to rim."""
    start = _rim(route[0], route[1], first, 1.0)
    end = _rim(route[-1], route[-2], last, 3.0)
    return [start, *route[1:-1], end]


def _rim(centre: Point, towards: Point, width: float, margin: float) -> Point:
    """Where the line from the centre of an ellipse leaves it."""
    dx, dy = towards[0] - centre[0], towards[1] - centre[1]
    length = hypot(dx, dy) or 1.0
    share = 1 / (hypot(dx / (width / 2), dy / (HEIGHT / 2)) or 1.0) + margin / length
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
    parts = [_svg_edge(edge) for edge in drawn.edges]
    parts += [_svg_node(drawn, v) for v in drawn.layout.centres]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="{left:.1f} {top:.1f} {width:.1f} {height:.1f}" '
        'style="max-width:100%;height:auto;background:#fff" '
        'font-family="sans-serif" font-size="14">'
        f"{''.join(parts)}</svg>"
    )


def _svg_edge(edge: Edge) -> str:
    start, *rest = (f"{x:.1f},{y:.1f}" for x, y in edge.points)
    line = (
        f'<path d="M{start} C{" ".join(rest)}" fill="none" stroke="{edge.colour}" '
        f'stroke-width="{3 if edge.strong else 1.4}"/>'
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
    fill = SHADE if node in drawn.observed else "#fff"
    rim = drawn.rims.get(node, LINE)
    title = f"<title>{escape(shown(node))}</title>"
    return (
        f'<g>{title}<ellipse cx="{x:.1f}" cy="{y:.1f}" rx="{drawn.widths[node] / 2:.1f}" '
        f'ry="{HEIGHT / 2}" fill="{fill}" stroke="{rim}" '
        f'stroke-width="{3 if node in drawn.rims else 1.4}"/>'
        f'<text x="{x:.1f}" y="{y + 5:.1f}" text-anchor="middle" fill="#16181d">'
        f"{escape(drawn.names[node])}</text></g>"
    )


def verdict_html(verdict: "Verdict", graph: nx.Graph) -> str:
    """The answer, the graph with its open trails and blocks in colour, and the trails."""
    colours = {pair: OPEN for t in verdict.trails if t.active for pair in _pairs(t.nodes)}
    rims = {step.node: BLOCKED for step in verdict.certificate}
    rims |= dict.fromkeys(verdict.x | verdict.y, OPEN)
    rows = "".join(
        f'<li style="color:{OPEN if t.active else BLOCKED}">{escape(str(t))}</li>'
        for t in verdict.trails
    )
    shown_graph = svg(picture(graph, verdict.given, colours, rims)) if len(graph) <= 200 else ""
    return (
        f"<div><p><b>{escape(str(verdict))}</b></p>{shown_graph}"
        f"<p>{escape(verdict.trails.heading)}</p><ol>{rows}</ol></div>"
    )


def _pairs(nodes: Iterable[Node]) -> list[frozenset[Node]]:
    return [frozenset(pair) for pair in pairwise(nodes)]


def plot(graph: nx.Graph, given: Any, path: Any, ax: Any) -> Any:
    """The picture on matplotlib axes, as `graph.plot` documents it."""
    known = Index(nx.empty_graph(graph), copy=False)
    observed = known.nodes(given, "given")
    nodes = _path(graph, known, path)
    drawn = picture(graph, observed, dict.fromkeys(_pairs(nodes), OPEN))
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
    for edge in drawn.edges:
        _draw_edge(ax, edge, points)
    for node in drawn.layout.centres:
        _draw_node(ax, drawn, node, points)
    return ax


def _draw_edge(ax: Any, edge: Edge, points: float) -> None:
    from matplotlib.patches import PathPatch, Polygon
    from matplotlib.path import Path

    codes = [Path.MOVETO] + [Path.CURVE4] * (len(edge.points) - 1)
    width = (3 if edge.strong else 1.4) * points
    line = Path(edge.points, codes)
    ax.add_patch(PathPatch(line, fill=False, edgecolor=edge.colour, linewidth=width))
    if edge.head:
        ax.add_patch(Polygon(_head(edge), facecolor=edge.colour, edgecolor="none"))


def _draw_node(ax: Any, drawn: Picture, node: Node, points: float) -> None:
    from matplotlib.patches import Ellipse

    centre = drawn.layout.centres[node]
    fill = SHADE if node in drawn.observed else "white"
    rim, width = drawn.rims.get(node, LINE), (3 if node in drawn.rims else 1.4) * points
    ellipse = Ellipse(centre, drawn.widths[node], HEIGHT, facecolor=fill, edgecolor=rim)
    ellipse.set(linewidth=width, zorder=2)
    ax.add_patch(ellipse)
    style = {"ha": "center", "va": "center", "fontsize": 13 * points, "zorder": 3}
    ax.text(*centre, drawn.names[node], parse_math=False, **style)
