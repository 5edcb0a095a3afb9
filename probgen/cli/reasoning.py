"""`probgen dsep`, `infer` and `graph show`: the reasoning half of the command line."""

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from probgen.reasoning.verdict import Verdict

graph_app = typer.Typer(help="Show graphs and how they factorise.", no_args_is_help=True)

Names = Annotated[
    list[str] | None,
    typer.Option(
        "--given", "-g", help="Observed nodes, separated by commas or by repeating the option."
    ),
]

GRAPH = (
    "Graph as text ('M -> I <- S'), a file (.bif, .dot), or a name: probgen graph show lists them."
)
GraphName = Annotated[str, typer.Argument(help=GRAPH)]
Nodes = Annotated[str, typer.Argument(help="Node, or several nodes separated by commas.")]

States = Annotated[
    list[str] | None,
    typer.Option(
        "--given",
        "-g",
        help="State of an observed node, as NODE=STATE, or what was seen of it, as "
        "NODE=STATE:LIKELIHOOD,STATE:LIKELIHOOD; repeat the option for more.",
    ),
]


def dsep(
    graph: GraphName,
    x: Nodes,
    y: Nodes,
    given: Names = None,
    trails: Annotated[
        bool, typer.Option("--trails", help="List every trail between the nodes.")
    ] = False,
    html: Annotated[
        Path | None, typer.Option(help="HTML file to write the answer to, with a picture.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer in JSON.")] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print the answer in CSV; with --trails a row for each.")
    ] = False,
) -> None:
    """Say whether X and Y are independent given the observed nodes, and why.

    The exit status is 0 if they are independent, 1 if they are dependent, and 2 after an error.

    Example: `probgen dsep "M -> I <- S; I -> T <- F" M F --given T`
    """
    from probgen.reasoning import dsep as separation

    if as_json and as_csv:
        raise separation.GraphError("expected --json or --csv; got both: drop one")
    index = separation.Index(graph)
    sets = (_split(index, text) for text in (x, y, "\0".join(given or ())))
    verdict = separation.check(index, *sets)
    if html:
        _write(html, f"<!doctype html><meta charset='utf-8'>{verdict._repr_html_()}")
    if as_json:
        typer.echo(_json(verdict, trails))
    elif as_csv:
        typer.echo(_csv(verdict, trails))
        if trails and not verdict.trails.complete:
            typer.echo(f"probgen: {verdict.trails.heading}", err=True)
    else:
        typer.echo(f"{verdict}\n{verdict.trails}" if trails else str(verdict))
    raise typer.Exit(0 if verdict else 1)


def _sides(verdict: "Verdict") -> dict[str, list[str]]:
    sets = {"x": verdict.x, "y": verdict.y, "given": verdict.given}
    return {role: list(map(str, verdict.ordered(nodes))) for role, nodes in sets.items()}


def _json(verdict: "Verdict", trails: bool) -> str:
    """The answer as one object; its trails only where they are asked for."""
    import json

    answer: dict[str, object] = dict(_sides(verdict))
    answer |= {"independent": bool(verdict), "why": verdict.why}
    if trails:
        answer["complete"] = verdict.trails.complete
        answer["trails"] = [
            {"nodes": list(map(str, t.nodes)), "path": t.path, "open": t.active, "why": t.why}
            for t in verdict.trails
        ]
    return json.dumps(answer, ensure_ascii=False)


def _csv(verdict: "Verdict", trails: bool) -> str:
    """The answer as a row below its header, or a row for every trail."""
    import csv
    import io

    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    if trails:
        rows.writerow(["trail", "open", "why"])
        rows.writerows([t.path, str(t.active).lower(), t.why] for t in verdict.trails)
    else:
        sides = {role: ", ".join(nodes) for role, nodes in _sides(verdict).items()}
        rows.writerow([*sides, "independent", "why"])
        rows.writerow([*sides.values(), str(bool(verdict)).lower(), verdict.why])
    return text.getvalue().rstrip("\n")


def infer(
    network: Annotated[
        str,
        typer.Argument(
            help="A file (.bif, .net), or the name of a network: `probgen graph show` lists them."
        ),
    ],
    nodes: Annotated[
        list[str] | None, typer.Argument(help="Nodes to show; all of them unless given.")
    ] = None,
    given: States = None,
    do: Annotated[
        list[str] | None,
        typer.Option("--do", help="State that a node is set to from outside, as NODE=STATE."),
    ] = None,
    memory: Annotated[
        float | None,
        typer.Option(help="Memory that may be used, in GiB; half of what is free unless given."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, with the probability of what is given.")
    ] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print rows of node, state and probability.")
    ] = False,
) -> None:
    """Compute the exact probability of each state, given what is observed or set from outside.

    Example: `probgen infer asia lung bronc --given smoke=yes --given xray=yes`
    """
    from probgen import exact
    from probgen.cli import posteriors
    from probgen.reasoning import graph as graphs

    loaded = graphs.load(network)
    if as_json and as_csv:
        raise exact.ExactError("expected --json or --csv; got both: drop one")
    seen = posteriors.read_states(loaded, given, soft=True)
    forced = posteriors.read_states(loaded, do)
    most = None if memory is None else int(memory * 2**30)
    found = exact.marginals(loaded, seen, do=forced, max_bytes=most)
    chance = exact.probability(loaded, seen, do=forced, max_bytes=most)
    asked = {node: found[node] for node in (_known(found, name) for name in nodes or found)}
    if as_json:
        typer.echo(posteriors.as_json(asked, chance))
    elif as_csv:
        posteriors.print_csv(asked)
    else:
        typer.echo(posteriors.as_table(asked))
        typer.echo(f"probability of what is given: {chance:.6g}")


def _known(found: Mapping[Hashable, object], name: Hashable) -> Hashable:
    from probgen.reasoning.names import UnknownNode, shown, suggestion

    if name not in found:
        raise UnknownNode(f"expected nodes to show; got {shown(name)!r}{suggestion(name, found)}")
    return name


def _split(index: object, text: str) -> list[str]:
    """Names at commas outside double quotes; a part that is a node as it stands is kept whole."""
    import csv

    nodes = getattr(index, "children", {})
    parts = [p for p in text.split("\0") if p]
    rows = ([p] if p in nodes else next(csv.reader([p], skipinitialspace=True)) for p in parts)
    return [name if name in nodes else name.strip() for row in rows for name in row]


def _write(path: Path, text: str) -> None:
    from probgen.reasoning.names import GraphError

    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise GraphError(f"{path}: cannot be written: {error.strerror or error}") from None


@graph_app.command("show")
def show(
    name: Annotated[str, typer.Argument(help=GRAPH, show_default=False)] = "",
    svg: Annotated[Path | None, typer.Option(help="SVG file to write a picture to.")] = None,
) -> None:
    """Show the nodes, the edges and the factorisation of a graph.

    Without a graph, list the names of the graphs that come with probgen.

    Example: `probgen graph show pharmacy --svg pharmacy.svg`
    """
    from probgen.reasoning import graph as graphs
    from probgen.reasoning import markov

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
