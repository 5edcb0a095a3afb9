"""`probgen dsep` and `probgen graph show`: the reasoning half of the command line."""

from pathlib import Path
from typing import Annotated

import typer

graph_app = typer.Typer(help="Graphs: what they are and what they factorise into.")

Names = Annotated[
    list[str] | None,
    typer.Option("--given", "-g", help="Observed nodes: repeat the option or use commas."),
]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command("dsep")(dsep)
    app.add_typer(graph_app, name="graph")


def dsep(
    graph: Annotated[str, typer.Argument(help="'M -> I <- S', a .dot or .bif file, or a name.")],
    x: Annotated[str, typer.Argument(help="A node, or several with commas.")],
    y: Annotated[str, typer.Argument(help="A node, or several with commas.")],
    given: Names = None,
    trails: Annotated[bool, typer.Option("--trails", help="List every trail.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write the answer with its picture.")] = None,
) -> None:
    """Is X independent of Y given Z, and why. Exit status: 0 independent, 1 dependent, 2 error."""
    from probgen import dsep as separation

    index = separation.Index(graph)
    sets = (_split(index, text) for text in (x, y, "\0".join(given or ())))
    verdict = separation.check(index, *sets)
    if html:
        _write(html, f"<!doctype html><meta charset='utf-8'>{verdict._repr_html_()}")
    typer.echo(str(verdict))
    if trails:
        typer.echo(str(verdict.trails))
    raise typer.Exit(0 if verdict else 1)


def _split(index: object, text: str) -> list[str]:
    """Names at commas; a part that is a node as it stands, commas and all, is kept whole."""
    nodes = getattr(index, "children", {})
    parts = [p for p in text.split("\0") if p]
    return [w for p in parts for w in ([p] if p in nodes else map(str.strip, p.split(",")))]


def _write(path: Path, text: str) -> None:
    from probgen.graph import GraphError

    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise GraphError(f"{path}: cannot be written: {error.strerror or error}") from None


@graph_app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="A graph in arrows, a file, or a name.")] = "",
    svg: Annotated[Path | None, typer.Option(help="Write a picture.")] = None,
) -> None:
    """Nodes, edges and factorisation of a graph; without a name, the graphs there are."""
    from probgen import graph as graphs
    from probgen import markov

    if not name:
        typer.echo("\n".join(graphs.names()))
        return
    loaded = graphs.load(name)
    if svg:
        from probgen.reasoning import drawing

        _write(svg, drawing.svg(drawing.picture(loaded)))
    typer.echo(graphs.summary(loaded))
    typer.echo(str(markov.factorisation(loaded)))


@graph_app.callback()
def _graph() -> None:
    """Keep `show` a subcommand."""
