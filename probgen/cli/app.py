"""The command ``probgen``: its commands in the order of the help, and what is an error."""

import io
import sys
from typing import Annotated

import typer
import typer.core

from probgen import ProbgenError, __version__
from probgen.cli import learning, reasoning
from probgen.cli.data import data_app
from probgen.cli.train import resume, train_app


class InOrder(typer.core.TyperGroup):
    """Commands in the order of a user's day, where typer puts groups last."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """Name the commands."""
        learning = ["train", "resume", "evaluate", "compare", "report", "sample", "data"]
        return [*learning, "dsep", "infer", "graph"]


app = typer.Typer(
    cls=InOrder,
    help="Deep generative models on Pyro, and probabilistic graphs.",
    epilog="Start with: `probgen train vae --data digits --epochs 100 --out runs/first`",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    add_completion=False,
)
LEARNING, REASONING = "Learning", "Reasoning"

app.add_typer(train_app, name="train", rich_help_panel=LEARNING)
app.command(rich_help_panel=LEARNING)(resume)
app.command(
    rich_help_panel=LEARNING,
    help=learning.evaluate_help,
    epilog="Example: `probgen evaluate runs/x --metrics fid,kid,prdc`",
)(learning.evaluate)
app.command(rich_help_panel=LEARNING)(learning.compare)
app.command(rich_help_panel=LEARNING)(learning.report)
app.command(rich_help_panel=LEARNING)(learning.sample)
app.add_typer(data_app, name="data", rich_help_panel=LEARNING)
app.command(rich_help_panel=REASONING)(reasoning.dsep)
app.command(rich_help_panel=REASONING)(reasoning.infer)
app.add_typer(reasoning.graph_app, name="graph", rich_help_panel=REASONING)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"probgen {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", callback=_show_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Options of the command itself."""


def main() -> None:
    """Run the command line; what is wrong with the input is one line."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a path may hold what a terminal cannot show
    try:
        app()
    except ProbgenError as error:
        print(f"probgen: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2) from None
