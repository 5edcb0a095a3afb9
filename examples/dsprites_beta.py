"""dSprites: a VAE at beta 1, 4 and 8, and what its latent space knows of the shapes.

python examples/dsprites_beta.py           # 30 minutes at most on two idle cores
python examples/dsprites_beta.py --quick   # 300 images, in seconds

Runs go to runs/dsprites_beta, each in the format of `probgen train`: an interrupted study goes
on where it stopped, and `probgen evaluate "runs/dsprites_beta/beta 4"` reproduces a run's scores.
Numbers and figures go to docs/results.
"""

from pathlib import Path

from matplotlib.figure import Figure

from probgen import recipe, report, study
from probgen.report import Run, figures, pictures

NAME = "dsprites_beta"
REFERENCE = {
    "beta 1": {"reconstruction": 18.0, "KL": 28.0},
    "beta 4": {"reconstruction": 40.0, "KL": 15.0},
    "beta 8": {"reconstruction": 75.0, "KL": 18.0},
}
SOURCE = "coursework report"
NOTE = """
Means over the test images, in nats per image but for the sum of squares. total = reconstruction
+ beta KL; the reconstruction is -log p(x | z), Bernoulli on binary pixels.
The reference gives rounded numbers without their unit, for a network and a number of steps of
its own; its KL at beta 8 lies above the one at beta 4."""


def recipes(epochs: int, quick: bool) -> dict[str, recipe.Recipe]:
    """A dense net on a tenth of the images: what two cores can train."""
    common = recipe.DEFAULTS | {
        "data": "dsprites",
        "limit": 300 if quick else 50_000,
        "net": "dense",
        "hidden": 32 if quick else 400,
        "latent": 20,
        "objective": "beta",
        "epochs": epochs,
    }
    return {f"beta {beta:g}": common | {"beta": beta} for beta in (1.0, 4.0, 8.0)}


def drawn(runs: list[Run]) -> dict[str, Figure]:
    data = runs[0].data
    few = pictures.items(runs[0].pair, data)
    shown = pictures.spread(data, pictures.CODES)
    codes = {run.name: pictures.principal(pictures.codes(run.pair, shown)) for run in runs}
    panels = {name: (points, shown.y) for name, points in codes.items()}
    found = {
        "losses": figures.loss_panels({run.name: run.history for run in runs}),
        "reconstructions": figures.images(
            {"original": few.x}
            | {run.name: pictures.reconstruction(run.pair, few) for run in runs}
        ),
        "samples": figures.images({run.name: pictures.samples(run.pair, 8) for run in runs}),
        "codes-by-shape": figures.scatters(panels, data.classes),
    }
    traversals = {run.name: figures.images(report.traversal(run)) for run in runs}
    return found | {f"traversal {n}".replace(" ", "-"): f for n, f in traversals.items()}


def main(epochs: int, quick: bool, runs: Path, out: Path | None, device: str) -> list[study.Row]:
    runs = runs / "quick" if quick else runs
    out = out or (runs / "results" if quick else Path("docs/results"))
    trained = study.train(recipes(1 if quick else epochs, quick), runs / NAME, device)
    rows = [study.terms(run) for run in trained]
    study.show(rows, NOTE)
    compared = study.beside(rows, REFERENCE, SOURCE)
    study.show(compared)
    study.write(out, NAME, trained, [*rows, *compared], drawn(trained))
    return rows


if __name__ == "__main__":
    study.command(main)
