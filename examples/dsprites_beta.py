"""dSprites: a VAE at beta 1, 4 and 8, and what its latent space knows of the factors.

python examples/dsprites_beta.py           # 30 minutes at most on two idle cores
python examples/dsprites_beta.py --quick   # 300 images, in seconds

Runs go to runs/dsprites_beta, each in the format of `probgen train`: an interrupted study goes
on where it stopped, and `probgen evaluate "runs/dsprites_beta/beta 4"` reproduces a run's scores.
Numbers and figures go to docs/results.
"""

from pathlib import Path

from matplotlib.figure import Figure

from probgen import evaluation, recipe, report, study
from probgen.evaluation import Score, disentanglement
from probgen.report import Run, figures, pictures

NAME = "dsprites_beta"
REFERENCE = {
    "beta 1": {"reconstruction": 18.0, "KL": 28.0, "MIG": 0.1642},
    "beta 4": {"reconstruction": 40.0, "KL": 15.0, "MIG": 0.1529},
    "beta 8": {"reconstruction": 75.0, "KL": 18.0, "MIG": 0.1988},
}
POINTS = 10_000
SOURCE = "coursework report"
NOTE = """
Means over the test images, in nats per image but for the sum of squares. total = reconstruction
+ beta KL; the reconstruction is -log p(x | z), Bernoulli on binary pixels.
The reference gives rounded numbers without their unit, for a network and a number of steps of
its own; its KL at beta 8 lies above the one at beta 4, and it does not say which MIG it gives.
MIG: means of q(z | x) in 20 bins; aggregate: samples of q(z | x) and their mixtures; floor: the
mean of the first over shuffled factors. All of the same test images, spread over the set, and
five factors."""


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


def scored(run: Run) -> dict[str, Score]:
    """How well single latents tell the factors, of the test images that the protocols take."""
    shown = pictures.spread(run.data, POINTS)
    loc, log_scale = evaluation.latents.posterior(run.pair, shown)
    return {
        "MIG": disentanglement.mig(loc, shown.factors, interval=0.95),
        "MIG, aggregate": disentanglement.mig_aggregate(
            loc, log_scale, shown.factors, interval=0.95
        ),
        "MIG, floor": disentanglement.floor(disentanglement.mig, loc, shown.factors),
    }


def known(scores: dict[str, dict[str, Score]], factors: tuple[str, ...]) -> Figure:
    """What each latent knows of each factor, as a share of the factor's entropy."""
    details = {name: score["MIG"].details for name, score in scores.items()}
    shares = {name: d["mutual_information"] / d["entropies"] for name, d in details.items()}
    latents = [f"z{i + 1}" for i in range(len(next(iter(shares.values()))))]
    return figures.heatmaps(shares, latents, factors, "I(z; v) / H(v)")


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
    scores = {run.name: scored(run) for run in trained}
    rows = [
        study.terms(run) | {name: float(score) for name, score in scores[run.name].items()}
        for run in trained
    ]
    study.show(rows, NOTE)
    compared = study.beside(rows, REFERENCE, SOURCE)
    study.show(compared)
    pictured = drawn(trained) | {"information": known(scores, trained[0].data.factor_names)}
    study.write(out, NAME, trained, [*rows, *compared], pictured, scores)
    return rows


if __name__ == "__main__":
    study.command(main)
