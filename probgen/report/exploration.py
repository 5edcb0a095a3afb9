"""The page of a data set: counts, pixels, contact sheets and mean images."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from probgen.data import Set
from probgen.report import figures, page, pictures
from probgen.report.page import Card, Page, ReportError, Section, Table
from probgen.run.grids import is_image

MOST = 60_000
MOST_SHEETS = 20
MOST_BARS = 100
BINS = 64


def save_data(folder: str | Path, parts: dict[str, Set]) -> Path:
    """Write report.html on a data set, with its figures beside it.

    Args:
        folder: where.
        parts: the sets by name, the first one is looked at closely: ``{"train": train, ...}``.

    Raises:
        ReportError: no sets.
    """
    if not parts:
        raise ReportError("expected at least one set to look at")
    part, data = next(iter(parts.items()))
    seen = data.draw(MOST)
    whole = "all" if len(seen) == len(data) else f"a seeded draw of {len(seen):,}"
    note = f"Of the {part} set, {whole} of its {len(data):,} items."
    sections = [
        Section("Size", [_sizes(parts)], cards=_counts(parts)),
        Section("Values", cards=_values(seen), note=note),
        Section("Classes", cards=_classes(seen), note=note),
    ]
    subtitle = f"{sum(map(len, parts.values())):,} items of shape {data.shape}"
    return page.write(Path(folder) / "report.html", Page(data.name, subtitle, sections))


def _sizes(parts: dict[str, Set]) -> Table:
    header = ["part", "items", "classes", "factors"]
    rows = []
    for name, part in parts.items():
        classes, factors = len(part.classes) or "–", ", ".join(part.factor_names) or "–"
        rows.append([name, f"{len(part):,}", str(classes), factors])
    return Table(header, rows)


def _counts(parts: dict[str, Set]) -> list[Card]:
    return [_count(name, part, f"counts-{i + 1}") for i, (name, part) in enumerate(parts.items())]


def _count(name: str, part: Set, file: str) -> Card:
    title = f"Classes: {name}"
    if part.y is None:
        return Card(title, note="The data have no labels.")
    counts = part.y.bincount(minlength=len(part.classes)).tolist()
    if len(counts) > MOST_BARS:
        drawn = figures.stairs(*np.histogram(part.y.cpu(), MOST_BARS), "label")
        return Card(title, drawn, f"{len(counts):,} labels in {MOST_BARS} bins.", file)
    heights = {_class(part, label): float(count) for label, count in enumerate(counts)}
    return Card(title, figures.bars(heights, "items"), file=file)


def _class(data: Set, label: int) -> str:
    return data.classes[label] if label < len(data.classes) else str(label)


def _values(data: Set) -> list[Card]:
    """Histograms of the values, with and without the zeros."""
    low, high = _range(data)
    few = pictures.spread(data, 5_000).batch(slice(None))[0]
    levels = min(BINS, len(few.unique()))
    bins = np.linspace(low, high if high > low else low + 1, levels + 1)
    counts, without = np.zeros(levels), np.zeros(levels)
    for x in _batches(data):
        counts += np.histogram(x, bins)[0]
        without += np.histogram(x[x != 0], bins)[0]
    total, zero = counts.sum(), counts.sum() - without.sum()
    note = f"{zero / total:.1%} of {total:,.0f} values are zero."
    return [
        Card("All values", figures.stairs(counts, bins, "value"), file="values"),
        Card("Without zeros", figures.stairs(without, bins, "value"), note, "nonzero"),
    ]


def _range(data: Set) -> tuple[float, float]:
    bounds = [(x.min().item(), x.max().item()) for x in _batches(data)]
    return min(low for low, _ in bounds), max(high for _, high in bounds)


def _batches(data: Set, size: int = 5_000) -> Iterator[Tensor]:
    for start in range(0, len(data), size):
        yield data.batch(slice(start, start + size))[0].cpu()


def _classes(data: Set) -> list[Card]:
    if not is_image(data.shape):
        return [Card("Images", note=f"Items of shape {data.shape} are no grey or RGB images.")]
    if data.y is None:
        note = "The data have no labels."
        return [Card("Images", figures.images(_sheet(data)), note, "images")]
    present = data.y.unique().tolist()
    groups = {_class(data, k): data.take(data.y == k) for k in present[:MOST_SHEETS]}
    means = {name: _mean(group) for name, group in groups.items()}
    sheets = [
        Card(name, figures.images(_sheet(group)), f"{len(group):,} items", f"class-{i + 1}")
        for i, (name, group) in enumerate(groups.items())
    ]
    left_out = f"{len(means)} of {len(present)} classes." if len(means) < len(present) else ""
    title = "Mean image of each class"
    mean = Card(title, figures.gallery(means), left_out, "means", wide=True)
    return [mean, *sheets]


def _mean(data: Set) -> Tensor:
    return sum((x.sum(0) for x in _batches(data)), torch.zeros(data.shape)) / len(data)


def _sheet(data: Set) -> dict[str, Tensor]:
    x, _ = pictures.spread(data, 32).batch(slice(0, 32))
    full = torch.cat([x, x.new_ones(-len(x) % 8, *x.shape[1:])])
    return {" " * i: row for i, row in enumerate(full.split(8))}
