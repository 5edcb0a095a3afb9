"""Scores and tables in a terminal."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from probgen.evaluation import Score
    from probgen.evaluation.likelihood import Scores


def show_scores(folder: Path, scores: "Scores", metrics: "Sequence[Score]" = ()) -> None:
    """Print the scores of a run on its test set, and save them in its folder."""
    from rich.console import Console
    from rich.table import Table

    from probgen import report

    table = Table("test", "mean per image", "standard error", "unit", box=None)
    for name, score in scores.values.items():
        numbers = f"{score['mean']:.2f}", f"{score['standard_error']:.2f}"
        table.add_row(report.mean_with_arrow(name), *numbers, score["unit"])
    if scores.values:
        Console().print(table)
        names = ("n", "data", "num_particles")
        n, data, particles = (scores.protocol[name] for name in names)
        print(f"{n:,} images of {data}, {particles} sample(s) of the guide each")
    elif not metrics:
        print(f"no density to score: probgen evaluate {folder} --metrics fid,kid,prdc,classes")
    for one in report.metric_tables([_Scored("value", metrics)]):
        print_table(one)
    report.save_scores(folder, scores, metrics)


class _Scored(NamedTuple):
    name: str
    metrics: "Sequence[Score]"


def print_table(table: Any) -> None:
    """Print a table of a report."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    shown = Table(box=None)
    for i, header in enumerate(table.header):
        shown.add_column(escape(header), no_wrap=i == 0)
    for row in table.rows:
        shown.add_row(*map(escape, row))
    Console().print(shown)
    if table.note:
        print(table.note)
