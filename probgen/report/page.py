"""One self-contained HTML page: figures as data URIs, every text escaped."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from matplotlib.figure import Figure

from probgen import ProbgenError
from probgen.report import figures
from probgen.run import checkpoint


class ReportError(ProbgenError, ValueError):
    """What cannot be shown."""


@dataclass(frozen=True)
class Card:
    """A figure or a sentence on a page."""

    title: str
    figure: Figure | None = None
    note: str = ""
    file: str = ""
    wide: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of text below a header, all but the first column flush right."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


@dataclass(frozen=True)
class Facts:
    """Named values."""

    values: Mapping[str, str]
    note: str = ""


@dataclass(frozen=True)
class Section:
    """Part of a page."""

    title: str
    tables: Sequence[Table] = ()
    facts: Sequence[Facts] = ()
    cards: Sequence[Card] = ()
    note: str = ""


@dataclass(frozen=True)
class Page:
    """A title, what it is about, and the sections."""

    title: str
    subtitle: str
    sections: Sequence[Section] = field(default_factory=tuple)


def write(path: Path, page: Page) -> Path:
    """Write the page, and each figure beside it in a folder of the page's name."""
    drawn: dict[int, str] = {}
    for card in (card for section in page.sections for card in section.cards):
        if card.figure is not None:
            svg = figures.to_svg(card.figure)
            checkpoint.write(path.with_suffix("") / f"{card.file}.svg", svg)
            drawn[id(card)] = "data:image/svg+xml;base64," + base64.b64encode(svg).decode()
    html = _template().render(page=page, image=lambda card: drawn.get(id(card)))
    checkpoint.write(path, html.encode(errors="replace"))
    return path


def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("probgen.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2")
