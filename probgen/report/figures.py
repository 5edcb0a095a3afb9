"""Figures for pages and files: legible on light and dark, user text never read as markup."""

import io
import warnings
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from probgen.run.grids import tiled
from probgen.run.history import History

INK = "#333334"
COLOURS = (
    "#3b82c4", "#e08a1e", "#2a9d6f", "#c9609b", "#8c6bb1",
    "#c8553d", "#7f8c1f", "#17a2b8", "#8d8d8d", "#e3c34a",
)  # fmt: skip
STYLE: dict[Any, Any] = {
    "font.size": 9, "axes.titlesize": 9, "axes.labelsize": 9, "legend.fontsize": 8,
    "xtick.labelsize": 8, "ytick.labelsize": 8, "text.color": INK, "axes.labelcolor": INK,
    "xtick.color": INK, "ytick.color": INK, "axes.edgecolor": INK, "axes.linewidth": 0.6,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": INK,
    "grid.alpha": 0.15, "grid.linewidth": 0.6, "axes.axisbelow": True, "lines.linewidth": 1.6,
    "legend.frameon": False, "svg.fonttype": "path", "svg.hashsalt": "probgen",
    "figure.constrained_layout.use": True,
}  # fmt: skip
ADAPTIVE = (
    f"<style>:root{{color:{INK}}}"
    "@media(prefers-color-scheme:dark){:root{color:#d3d7de}}</style></svg>"
)
WIDTH, HEIGHT = 4.2, 2.7
LONGEST, MOST_INSIDE = 28, 4
WITHOUT_UNIT = ("d_loss", "g_loss", "distance", "fid", "kid", "classes", "diversity")
Labelled = Mapping[str, Tensor]

styled = matplotlib.rc_context


def to_svg(figure: Figure) -> bytes:
    """Transparent SVG, text as outlines, its ink light where the reader prefers dark."""
    svg = _saved(figure, "svg", transparent=True, metadata={"Date": None}).decode()
    return svg.replace(INK, "currentColor").replace("</svg>", ADAPTIVE).encode()


def to_png(figure: Figure, dpi: int = 110) -> bytes:
    """PNG on white."""
    return _saved(figure, "png", facecolor="white", dpi=dpi, metadata={"Software": None})


@styled(STYLE)
def curves(histories: Mapping[str, History], term: str, sign: int = 1) -> Figure | None:
    """One term of every run by step: dashed on the validation set, dotted its target.

    None if nobody has it.
    """
    figure, axes = _figure()
    _draw_term(axes, histories, term, sign)
    if not axes.lines:
        return None
    axes.set(xlabel="step", ylabel=_unit(term) or term.replace("_", " "))
    _legend(axes, _solid(axes), least=1 if len(histories) > 1 else 2)
    return figure


@styled(STYLE)
def overlaid(histories: Mapping[str, History], terms: Mapping[str, tuple[str, int]]) -> Figure:
    """All runs in one panel per term, as in ``curves``.

    Args:
        histories: by the runs' names.
        terms: what is drawn under which title, {title: (term, sign)}.
    """
    figure = Figure(figsize=(3 * len(terms), 2.9))
    panels = figure.subplots(1, len(terms), squeeze=False).flat
    for axes, (title, (term, sign)) in zip(panels, terms.items(), strict=True):
        _draw_term(axes, histories, term, sign)
        axes.set(title=title, xlabel="step")
        axes.set_ylabel(_unit(term))
    handles = max((_solid(axes) for axes in figure.axes), key=len)
    names = [_short(str(line.get_label())) for line in handles]
    figure.legend(handles, names, loc="outside lower center", ncols=min(4, len(names)))
    return figure


def _draw_term(axes: Axes, histories: Mapping[str, History], term: str, sign: int) -> None:
    tallest = 0.0
    for (name, history), colour in zip(histories.items(), _colours(len(histories)), strict=True):
        for series, style in ((term, "-"), (f"validation_{term}", "--"), (f"target_{term}", ":")):
            steps, values = history.series(series)
            if steps:
                heights = [sign * value for value in values]
                axes.plot(steps, heights, style, color=colour, marker=_marker(steps), label=name)
                tallest = max(tallest, *heights)
    if _is_weight(term) and tallest > 10:
        axes.set_yscale("symlog", linthresh=1)
        axes.yaxis.set_major_formatter("{x:g}")


def _solid(axes: Axes) -> list[Line2D]:
    return [line for line in axes.lines if line.get_linestyle() == "-"]


def _unit(term: str) -> str:
    return "" if _is_weight(term) or term in WITHOUT_UNIT else "nats per item"


def _is_weight(term: str) -> bool:
    """Whether a history's column is a weight, which has no unit."""
    return term.partition(".")[0] in ("beta", "lambda")


@styled(STYLE)
def rate_distortion(
    curve: Mapping[str, tuple[float, float]],
    others: Mapping[str, Sequence[tuple[float, float]]],
    targets: Sequence[float] = (),
) -> Figure:
    """Reconstruction error against KL, in nats: a curve of labelled points, and others beside it.

    Args:
        curve: {label: (KL, error)}, joined in the order of their KL.
        others: {name: points}, one marker per name.
        targets: KLs to mark.
    """
    figure, axes = _figure(5.2, 3.4)
    points = sorted((point, label) for label, point in curve.items())
    axes.plot(*zip(*(point for point, _ in points), strict=True), color=INK, marker="o", ms=4)
    for point, label in points:
        axes.annotate(
            _short(label), point, (-5, -10), fontsize=8, textcoords="offset points", ha="right"
        )
    for target in targets:
        axes.axvline(target, color=INK, linestyle=":", linewidth=0.9)
    looks = zip(others.items(), _colours(len(others)), cycle("sD^vPX*<>"), strict=False)
    for (name, found), colour, marker in looks:
        x, y = zip(*found, strict=True)
        axes.scatter(x, y, color=colour, marker=marker, s=34, zorder=3, alpha=0.8, label=name)
    axes.set(xlabel="KL in nats", ylabel="reconstruction error in nats")
    axes.margins(0.13)
    _legend(axes, axes.collections, least=1)
    return figure


@styled(STYLE)
def lines(series: Mapping[str, tuple[Any, Any]], xlabel: str, ylabel: str) -> Figure:
    """One line of points (x, y) per name, each a sequence of equal length."""
    figure, axes = _figure()
    for (name, (x, y)), colour in zip(series.items(), _colours(len(series)), strict=True):
        axes.plot(x, y, color=colour, marker="." if len(x) < 30 else None, label=name)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    _legend(axes, axes.lines)
    return figure


@styled(STYLE)
def loss_panels(
    histories: Mapping[str, History], constants: Mapping[str, float] | None = None
) -> Figure:
    """Loss, reconstruction and KL of each run, one panel per run.

    Args:
        histories: by the runs' names.
        constants: nats that a run's loss and reconstruction are shown without.
    """
    figure, panels = _panels(len(histories), 3.0, 2.2)
    for axes, (name, history) in zip(panels, histories.items(), strict=True):
        _draw_losses(axes, history, (constants or {}).get(name, 0.0))
        axes.set_title(_short(name))
        axes.xaxis.set_major_locator(MaxNLocator(4))
    panels[0].legend()
    figure.supxlabel("step", fontsize=9)
    figure.supylabel("nats per item", fontsize=9)
    return figure


def _draw_losses(axes: Axes, history: History, constant: float) -> None:
    terms = (("loss", "total", 1), ("log_likelihood", "reconstruction", -1), ("kl", "KL", 1))
    for (term, label, sign), colour in zip(terms, COLOURS, strict=False):
        steps, values = history.series(term)
        less = 0.0 if term == "kl" else constant
        heights = [sign * value - less for value in values]
        axes.plot(steps, heights, color=colour, marker=_marker(steps), label=label)


@styled(STYLE)
def images(rows: Labelled, columns: Sequence[str] = (), width: float = WIDTH) -> Figure:
    """Rows of images (n, C, H, W) with their names at the left; ``width`` in inches."""
    array = tiled(torch.stack([row.cpu() for row in rows.values()]))
    high, wide = array.shape[:2]
    names = [_short(name, 24) for name in rows]
    room = width - 0.07 * max(map(len, names)) - 0.1
    size = (width, max(0.4, room * high / wide + (0.3 if columns else 0.1)))
    figure = Figure(figsize=size, layout="compressed")
    axes = figure.subplots()
    axes.imshow(array, interpolation="none")
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=min(8.0, 72 * room * high / wide / len(rows)))
    axes.set_yticks(_centres(high, len(rows)), names)
    axes.set_xticks(_centres(wide, len(columns)), columns)
    axes.xaxis.tick_top()
    return figure


@styled(STYLE)
def gallery(named: Labelled, columns: int = 5) -> Figure:
    """One image (C, H, W) per name, its name above it."""
    rows = -(-len(named) // columns)
    figure = Figure(figsize=(1.2 * columns, 1.4 * rows))
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes, (name, image) in zip(panels, named.items(), strict=False):
        axes.imshow(tiled(image[None, None]), interpolation="none")
        axes.set_title(_short(name, 14))
    for axes in panels:
        axes.set_axis_off()
    return figure


@styled(STYLE)
def bars(heights: Mapping[str, float], label: str = "") -> Figure:
    """One bar per name, from the top down."""
    figure, axes = _figure(height=max(1.2, 0.24 * len(heights) + 0.5))
    places = range(len(heights))
    axes.barh(places, list(heights.values()), color=COLOURS[0], height=0.7)
    axes.set_yticks(places, [_short(name) for name in heights])
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.set_xlabel(label)
    return figure


@styled(STYLE)
def kl_per_dimension(kl: Labelled) -> Figure:
    """Mean KL of each latent dimension (d,), greatest first, one line or bar series per run."""
    figure, axes = _figure()
    for (name, values), colour in zip(kl.items(), _colours(len(kl)), strict=True):
        heights = values.sort(descending=True).values.tolist()
        if len(kl) == 1:
            axes.bar(range(1, len(heights) + 1), heights, color=colour)
        else:
            axes.plot(range(1, len(heights) + 1), heights, color=colour, label=name, marker=".")
    axes.set(xlabel="dimension, by KL", ylabel="KL in nats", ylim=(0, None))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(axes, axes.lines)
    return figure


@styled(STYLE)
def heatmaps(
    panels: Mapping[str, np.ndarray], rows: Sequence[str], columns: Sequence[str], label: str = ""
) -> Figure:
    """One panel of coloured cells per name, from 0 to the greatest of all in one colour scale."""
    figure = Figure(figsize=(2.2 + 1.6 * len(panels), 0.6 + max(1.2, 0.19 * len(rows))))
    axes = list(figure.subplots(1, len(panels), squeeze=False, sharey=True).flat)
    most = max(float(values.max()) for values in panels.values())
    for panel, (name, values) in zip(axes, panels.items(), strict=True):
        cells = panel.imshow(values, vmin=0, vmax=most, cmap="viridis", aspect="auto")
        panel.set_xticks(range(len(columns)), map(_short, columns), rotation=45, ha="right")
        panel.set_yticks(range(len(rows)), map(_short, rows))
        panel.tick_params(length=0)
        panel.set_title(_short(name))
        panel.grid(False)
    figure.colorbar(cells, ax=axes, label=label).outline.set_visible(False)
    return figure


@styled(STYLE)
def histogram(groups: Mapping[str, Tensor], label: str, bins: int = 60) -> Figure:
    """Histograms of 1-d groups over the same bins."""
    figure, axes = _figure()
    edges = np.histogram_bin_edges(torch.cat(list(groups.values())).numpy(), bins)
    for (name, values), colour in zip(groups.items(), _colours(len(groups)), strict=True):
        counts = np.histogram(values.numpy(), edges)[0]
        axes.stairs(counts, edges, fill=True, alpha=0.5, color=colour, label=name)
    axes.set(xlabel=label, ylabel="items")
    _legend(axes, axes.patches)
    return figure


@styled(STYLE)
def stairs(counts: np.ndarray, edges: np.ndarray, label: str) -> Figure:
    """One histogram that was counted elsewhere."""
    figure, axes = _figure()
    axes.stairs(counts, edges, fill=True, color=COLOURS[0])
    axes.set(xlabel=label, ylabel="count")
    return figure


@styled(STYLE)
def scatter(points: Tensor, classes: Tensor | None, names: Sequence[str] = ()) -> Figure:
    """Points (n, 2) coloured by class: a legend where there are at most ten, else a scale."""
    figure, axes = _figure(height=3.4)
    draw_points(axes, points, classes, names)
    axes.set(xlabel="first component", ylabel="second component")
    return figure


@styled(STYLE)
def scatters(
    panels: Mapping[str, tuple[Tensor, Tensor | None]], names: Sequence[str] = ()
) -> Figure:
    """One panel of points (n, 2) and their classes per name."""
    figure, all_axes = _panels(len(panels), 3.2, 3.4)
    for axes, (title, (points, classes)) in zip(all_axes, panels.items(), strict=True):
        draw_points(axes, points, classes, names)
        axes.set_title(_short(title))
    return figure


def draw_points(
    axes: Axes, points: Tensor, classes: Tensor | None, names: Sequence[str] = ()
) -> None:
    """Points (n, 2) into given axes."""
    x, y = points.cpu().numpy().T
    size = min(14.0, max(3.0, 8_000 / len(x)))
    look: dict[str, Any] = {"s": size, "alpha": 0.75, "linewidths": 0, "rasterized": True}
    if classes is None:
        axes.scatter(x, y, color=COLOURS[0], **look)
        return
    found = classes.cpu().numpy()
    present = np.unique(found)
    if len(present) > len(COLOURS):
        dots = axes.scatter(x, y, c=found, cmap="viridis", **look)
        axes.figure.colorbar(dots, ax=axes, aspect=30).outline.set_visible(False)
        return
    for number, colour in zip(present, COLOURS, strict=False):
        name = names[number] if number < len(names) else str(number)
        here = found == number
        axes.scatter(x[here], y[here], color=colour, label=name, **look)
    _legend(
        axes,
        axes.collections,
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        markerscale=(25 / size) ** 0.5,
        handletextpad=0.2,
    )


def _panels(count: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure of that many panels, three in a row, or four in one."""
    columns = min(count, 4 if count == 4 else 3)
    rows = -(-count // columns)
    figure = Figure(figsize=(width * columns, height * rows))
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in panels[count:]:
        axes.set_axis_off()
    return figure, panels[:count]


def _figure(width: float = WIDTH, height: float = HEIGHT) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height))
    return figure, figure.subplots()


def _marker(steps: Sequence[float]) -> str | None:
    """A dot where there is no line to see."""
    return "o" if len(steps) == 1 else None


def _colours(count: int) -> list[Any]:
    """As many different colours; of more than the palette has, hues around the wheel."""
    if count <= len(COLOURS):
        return list(COLOURS[:count])
    return [hsv_to_rgb((i / count, 0.7, 0.55 + 0.25 * (i % 2))) for i in range(count)]


def _centres(length: int, count: int) -> list[float]:
    return [length * (i + 0.5) / count - 0.5 for i in range(count)]


def _legend(axes: Axes, handles: Sequence[Artist], least: int = 2, **place: Any) -> None:
    """A legend of several names; matplotlib itself would leave out one that starts with _."""
    names = [_short(str(handle.get_label())) for handle in handles]
    if len(names) < least:
        return
    owner: Any = axes
    if len(names) > MOST_INSIDE and not place:
        owner, place = axes.figure, _below(axes.figure, names)
    legend = owner.legend(list(handles), ["."] * len(names), **place)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(name)


def _below(figure: Any, names: Sequence[str]) -> dict[str, Any]:
    """Place of a legend that would hide the curves; the figure grows by its rows."""
    columns = 2 if max(map(len, names)) <= LONGEST // 2 else 1
    figure.set_figheight(figure.get_figheight() + 0.18 * -(-len(names) // columns))
    return {"loc": "outside lower center", "ncols": columns}


def _short(name: str, longest: int = LONGEST) -> str:
    """On one line, cut in its middle: names that begin alike tend to differ at their end."""
    line = " ".join(name.encode(errors="replace").decode().split())
    end = longest // 2
    return line if len(line) <= longest else f"{line[: longest - end - 1]}…{line[-end:]}"


def _saved(figure: Figure, kind: str, **options: Any) -> bytes:
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    content = io.BytesIO()
    with warnings.catch_warnings(), styled(STYLE):
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(content, format=kind, **options)
    return content.getvalue()
