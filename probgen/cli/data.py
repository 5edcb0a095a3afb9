"""`probgen data`: the data sets, fetching them, and a page on one."""

from pathlib import Path
from typing import Annotated

import typer

from probgen.cli.options import DataName, Side
from probgen.recipe import training as recipes

data_app = typer.Typer(help="List, fetch and look at data sets.", no_args_is_help=True)


@data_app.command("list")
def list_data() -> None:
    """List the data sets with their sizes, and say which are on this machine."""
    from rich.console import Console
    from rich.table import Table

    from probgen import data

    table = Table("name", "train + test", "shape", "where", "source", "licence", box=None)
    for column in table.columns:
        column.overflow = "fold"
    for known in data.available():
        sizes, shape = "{:,} + {:,}".format(*known.items), "x".join(map(str, known.shape))
        table.add_row(known.name, sizes, shape, known.where, known.source, known.licence)
    Console().print(table)
    print(f"files are looked for in {data.root()} (set PROBGEN_DATA to change it)")


@data_app.command("get")
def get_data(name: DataName) -> None:
    """Fetch a data set if it is not here yet, check it, and say what it holds.

    Example: `probgen data get fashion-mnist`
    """
    for part, found in zip(("train", "test"), recipes.named(name), strict=True):
        print(f"{found.name} {part}: {len(found):,} items of shape {found.shape}")


@data_app.command("show")
def show_data(
    name: DataName,
    side: Side = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the page.", show_default="runs/data-NAME")
    ] = None,
) -> None:
    """Write a page on a data set: counts, pixel values, example images and mean images.

    Example: `probgen data show fashion-mnist`
    """
    from probgen import report

    parts = dict(zip(("train", "test"), recipes.named(name, side), strict=True))
    folder = out or Path("runs") / f"data-{Path(name).resolve().name}"
    print(f"report: {report.save_data(folder, parts)}")
