"""Several runs as one study: trained or gone on with, scored, its numbers and figures written."""

import argparse
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from probgen import evaluation, report
from probgen.evaluation import Score
from probgen.evaluation.interval import mean_interval
from probgen.evaluation.scoring import Inputs
from probgen.recipe import training as recipe
from probgen.recipe.owners import check
from probgen.recipe.words import Recipe
from probgen.report import Run
from probgen.run import checkpoint
from probgen.run.folder import Folder

Row = Mapping[str, str | float]


def command(main: Callable[..., object], epochs: int = 10) -> None:
    """Call a study's ``main`` with the words of the command line.

    Args:
        main: ``main(epochs, quick, runs, out, device)`` of a script whose docstring is the help;
            a study with a protocol for a GPU takes ``full`` as well, one that can be repeated
            ``seeds``, how often.
        epochs: where none are given.
    """
    parser = argparse.ArgumentParser(
        description=sys.modules[main.__module__].__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--epochs", type=int, default=epochs, help=f"default: {epochs}")
    parser.add_argument("--quick", action="store_true", help="a few images, in seconds")
    if "full" in inspect.signature(main).parameters:
        parser.add_argument("--full", action="store_true", help="the full protocol, for a GPU")
    if "seeds" in inspect.signature(main).parameters:
        parser.add_argument("--seeds", type=int, default=1, help="runs of each; default: 1")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="default: runs")
    parser.add_argument("--out", type=Path, help="default: docs/results, unless --quick")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda ...")
    main(**vars(parser.parse_args()))


def train(
    recipes: Mapping[str, Recipe], folder: Path, device: str = "auto", **settings: Any
) -> list[Run]:
    """One run per recipe, each in a folder of its name, as ``probgen train`` leaves it.

    A finished run is not trained again, and one that was stopped goes on; ``probgen evaluate``
    on a folder reproduces its scores.json from its run.json.

    Args:
        recipes: by the runs' names.
        folder: where their folders go.
        device: as for ``training.place``.
        settings: others of ``training.fit``, such as ``log_every``.

    Raises:
        RecipeError: a word of a recipe that would change nothing.
        CheckpointError: a folder holds a run by another recipe.
    """
    for words in recipes.values():
        check(words)
    runs = []
    for name, words in recipes.items():
        path = folder / name
        history, pair, test = recipe.train(words, path, device=device, resume=True, **settings)
        scores = evaluation.likelihood.scores(pair, test)
        report.save_scores(path, scores)
        report.save(path, history, pair, test, scores)
        runs.append(Run(name, history, pair, test, scores, Folder(path).facts(), folder=path))
    report.compare(folder / "comparison", runs)
    return runs


def repeated(recipes: Mapping[str, Recipe], seeds: int) -> dict[str, Recipe]:
    """Each recipe with seeds 0 to ``seeds`` - 1; all but the first have theirs in their names."""
    return {
        name if seed == 0 else f"{name}, seed {seed}": replace(words, seed=seed)
        for seed in range(seeds)
        for name, words in recipes.items()
    }


def over_seeds(rows: Sequence[Row], score: str) -> list[Row]:
    """The mean of a score over the runs of ``repeated``, with its 95 % interval."""
    found: dict[str, list[float]] = {}
    for row in rows:
        found.setdefault(str(row["run"]).partition(", seed ")[0], []).append(float(row[score]))
    return [
        {"run": name, "runs": str(len(values)), f"mean {score}": fmean(values),
         **dict(zip(("low", "high"), mean_interval(values), strict=True))}
        for name, values in found.items()
    ]  # fmt: skip


def places(runs: Path, out: Path | None, quick: bool) -> tuple[Path, Path]:
    """Where a study's runs and its results go: those of a quick one not among the real ones."""
    runs = runs / "quick" if quick else runs
    return runs, out or (runs / "results" if quick else Path("docs/results"))


def inputs(run: Run, features: str = "auto") -> Inputs:
    """What scores take of a run; ``features`` as for ``features.extractor``."""
    return Inputs(run.pair, recipe.sets(run.recipe).training, run.data, features)


def means(run: Run) -> dict[str, float]:
    """The means over the test set, by the scores' names."""
    return {name: value["mean"] for name, value in run.scores.values.items()}


def terms(run: Run, constant: float = 0.0) -> Row:
    """A row of a table: means per item of what the objective weighs, and the ELBO.

    total = reconstruction + beta KL, reconstruction = -log p(x | z) - constant
    """
    score = means(run)
    reconstruction = -score["log-likelihood"] - constant
    total = reconstruction + run.recipe.beta * score["KL"]
    return {"run": run.name, "total": total, "ELBO": score["ELBO"],
            "reconstruction": reconstruction, "KL": score["KL"],
            "sum of squares": score["sum of squares"]}  # fmt: skip


def beside(
    rows: Sequence[Row], reference: Mapping[str, Mapping[str, float]], source: str
) -> list[Row]:
    """Ours, the reference's and its source: a row per number that the reference has.

    >>> beside([{"run": "a", "KL": 2.0}], {"a": {"KL": 3.0}}, "a paper")
    [{'run': 'a, KL', 'ours': 2.0, 'reference': 3.0, 'source': 'a paper'}]
    """
    return [
        {"run": f"{row['run']}, {term}", "ours": row[term], "reference": value, "source": source}
        for row in rows
        for term, value in reference.get(str(row["run"]), {}).items()
    ]


def write(
    out: Path,
    name: str,
    runs: Sequence[Run],
    table: Sequence[Row],
    figures: Mapping[str, Figure],
    measured: Mapping[str, Mapping[str, Score]] | None = None,
    budget: float = 30,
) -> None:
    """NAME.json with the table, scores and recipes, and NAME/ with the figures.

    ``measured`` holds more scores of each run, by its name; ``budget`` is how many minutes the
    defaults may take on two idle cores, printed beside what training took.
    """
    more = measured or {}
    details = {
        run.name: {
            "recipe": run.facts["recipe"],
            "weights_sha256": run.facts["weights_sha256"],
            "environment": run.facts["environments"][0],
            "seconds": run.facts["results"]["seconds"],
            "protocol": run.scores.protocol,
            "scores": run.scores.values,
            "measured": {of: _facts(score) for of, score in more.get(run.name, {}).items()},
        }
        for run in runs
    }
    seconds = sum(run["seconds"] for run in details.values())
    print(f"\n{seconds / 60:.1f} minutes of training; budget of the defaults: {budget:g} minutes")
    took = {"budget_minutes": budget, "training_minutes": seconds / 60}
    content = took | {"table": [dict(row) for row in table], "runs": details}
    checkpoint.write(out / f"{name}.json", checkpoint.to_json(content))
    for title, figure in figures.items():
        checkpoint.write(out / name / f"{title}.png", report.figures.to_png(figure))


def show(rows: Sequence[Row], note: str = "") -> None:
    """Print rows as a table, numbers with two decimals, or four below 1."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None)
    for header in rows[0]:
        table.add_column(escape(header), justify="left" if header == "run" else "right")
    for row in rows:
        table.add_row(*(escape(_cell(value)) for value in row.values()))
    Console(width=110).print(table)
    print(note)


def _facts(score: Score) -> dict[str, Any]:
    """A score as JSON takes it, its protocol and details with it."""
    details = {name: np.asarray(value).tolist() for name, value in score.details.items()}
    return score.facts | {"details": details}


def _cell(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.4f}" if abs(value) < 1 else f"{value:.2f}"
