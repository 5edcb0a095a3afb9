"""`probgen evaluate`, `compare`, `report` and `sample`: what is done with trained models."""

import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from probgen.cli.options import Device, Images, RunFolder, RunFolders
from probgen.cli.tables import print_table, show_scores
from probgen.recipe import training as recipes
from probgen.recipe.word import RecipeError
from probgen.recipe.written import read

if TYPE_CHECKING:
    from probgen.evaluation import Score

METRICS = {
    "fid": "Frechet distance between samples and test images, with its floor: that of training "
    "images.",
    "kid": "Kernel distance between samples and test images.",
    "prdc": "Precision, recall, density and coverage of samples.",
    "is": "Inception score: how sure the classifier is of each sample, and how varied they are.",
    "memorization": "Whether samples are closer to training images than test images are.",
    "classes": "How many classes the samples show.",
    "mig": "Mutual information gap: how well single latents tell the factors of the data.",
    "nll": "Negative log-likelihood by importance sampling.",
}
"""What --metrics takes; ``scoring.METRICS`` has what computes them."""
DIFFUSION = "Diffusion"

evaluate_help = """Compute the test scores of a run, and the metrics that are asked for.

The ELBO and its terms are in nats per image. All scores go into the run's scores.json as well,
each as soon as it is done, so that Ctrl-C keeps those before it. Metrics that are in there already
stay, unless the weights have changed. With --metrics the run's page is written again. What the
model or the data do not allow is named at the end.

Metrics:

""" + "\n".join(f"- {name}: {text}" for name, text in METRICS.items())


def evaluate(
    folder: RunFolder,
    metrics: Annotated[
        str, typer.Option(help="Metrics to compute, separated by commas.", show_default="none")
    ] = "",
    features: Annotated[
        str,
        typer.Option(
            help="Feature extractor of the metrics: the name of a data set for its classifier, "
            "inception, a .pth file, or auto for the classifier of the run's data."
        ),
    ] = "auto",
    level: Annotated[
        float, typer.Option(help="Confidence level of the intervals; 0 for no intervals.")
    ] = 0.95,
    data: Images = None,
    num_particles: Annotated[
        int,
        typer.Option(help="Number of samples from the guide for each image, for the ELBO.", min=1),
    ] = 1,
    n: Annotated[
        int,
        typer.Option(
            "-n", "--n", help="Number of test images for nll, chosen by the seed.", min=1
        ),
    ] = 500,
    importance_samples: Annotated[
        int, typer.Option(help="Number of samples from the guide for each image, for nll.", min=1)
    ] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of all random samples.")] = 0,
    device: Device = "auto",
) -> None:
    """Compute the test scores of a run, and the metrics that are asked for."""
    from probgen import report
    from probgen.evaluation import EvaluationError, likelihood

    words = _known_metrics(metrics)
    recipe = read(folder)
    parts = recipes.sets(recipe, data)
    pair = recipes.trained(folder, device)
    scores = likelihood.scores(pair, parts.test, num_particles=num_particles, seed=seed)
    found = report.saved_metrics(folder)
    if words:
        from probgen.evaluation import scoring

        def keep(new: "Sequence[Score]") -> None:
            nonlocal found
            names = {one.name for one in new}
            found = (*(one for one in found if one.name not in names), *new)
            report.save_scores(folder, scores, found)

        training, test = parts.training, parts.test
        seen = scoring.Inputs(
            pair, training, test, features, seed=seed, n=n, num_particles=importance_samples
        )
        try:
            _, failed = scoring.measured(
                words, seen, level=level or None, keep=keep, begin=_say_begun
            )
        except KeyboardInterrupt:
            kept = ", ".join(one.name for one in found) or "none"
            print(f"probgen: stopped; metrics in {folder}/scores.json: {kept}", file=sys.stderr)
            raise typer.Exit(130) from None
    show_scores(folder, scores, found)
    if words:
        history = report.history(folder)
        print(f"report: {report.save(folder, history, pair, parts.test, scores)}")
        if failed:
            raise EvaluationError("; ".join(failed))


def compare(
    folders: RunFolders,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print a row for each score of each run, as CSV.")
    ] = False,
) -> None:
    """Show the scores of several runs side by side.

    Runs whose scores were computed in different ways, or on different data, are refused.

    Example: `probgen compare runs/beta-1 runs/beta-4`
    """
    from probgen import report

    if as_csv:
        rows = report.tidy(folders)
        writer = csv.DictWriter(sys.stdout, report.scores.COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return
    for table in report.side_by_side(folders):
        print_table(table)


def report(
    folders: RunFolders,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the page that compares several runs.", show_default="runs/comparison"
        ),
    ] = None,
    data: Images = None,
    device: Device = "auto",
) -> None:
    """Write a page on a run, or a page that compares several runs.

    Example: `probgen report runs/beta-1 runs/beta-4 --out runs/betas`
    """
    from probgen import report

    if out and len(folders) == 1:
        raise report.ReportError("--out goes with several runs: one run's page is in its folder")
    runs = [report.load(folder, data, device) for folder in folders]
    if len(runs) > 1:
        page = report.compare(out or Path("runs") / "comparison", runs)
    else:
        only = runs[0]
        page = report.save(folders[0], only.history, only.pair, only.data, only.scores)
    print(f"report: {page}")


def sample(
    folder: RunFolder,
    n: Annotated[int, typer.Option("-n", "--n", help="Number of images.")] = 64,
    seed: Annotated[int, typer.Option(help="Seed of the random samples.")] = 0,
    label: Annotated[
        int | None,
        typer.Option(help="Class of all images, counted from 0, for models that learned classes."),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            help="Number of times to call the network for each image; 20 unless given.",
            rich_help_panel=DIFFUSION,
        ),
    ] = None,
    sampler: Annotated[
        Literal["ancestral", "ddim", "dpm-solver"],
        typer.Option(
            help="How to go from noise to an image. One of ancestral, ddim, dpm-solver.",
            metavar="<word>",
            rich_help_panel=DIFFUSION,
        ),
    ] = "dpm-solver",
    guidance: Annotated[
        float,
        typer.Option(
            help="Strength of the guidance towards the class; 1 for none, larger for more.",
            rich_help_panel=DIFFUSION,
        ),
    ] = 1.0,
    out: Annotated[
        Path | None,
        typer.Option(help="PNG file to write.", show_default="samples.png in the run's folder"),
    ] = None,
    device: Device = "auto",
) -> None:
    """Sample images from a trained model and write them into one PNG file.

    Example: `probgen sample runs/x --label 3 --steps 50 --guidance 2`
    """
    from probgen import models, report
    from probgen.models.pairs import takes_labels

    pair = recipes.trained(folder, device)
    settings: dict[str, Any] = {}
    if isinstance(pair, models.Diffusion):
        chosen = getattr(models.samplers, sampler.replace("-", "_"))
        settings = {"steps": steps, "sampler": chosen, "guidance": guidance}
    elif (steps, sampler, guidance) != (None, "dpm-solver", 1.0):
        raise RecipeError("--steps, --sampler and --guidance go with diffusion")
    if label is not None and not takes_labels(pair):
        kind = type(pair).__name__
        raise RecipeError(f"--label goes with models of classes; this {kind} has none")
    images = report.pictures.samples(pair, n, seed, label, **settings)
    print(f"{n} samples: {report.save_grid(out or folder / 'samples.png', images)}")


def _say_begun(metric: str) -> None:
    """On a terminal, as some metrics take minutes."""
    if sys.stderr.isatty():
        print(f"{metric} ...", file=sys.stderr)


def _known_metrics(words: str) -> list[str]:
    found = [word.strip() for word in words.split(",") if word.strip()]
    for word in found:
        if word not in METRICS:
            raise RecipeError(f"expected metrics {', '.join(METRICS)}; got {word!r}")
    return found
