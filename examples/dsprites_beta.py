"""dSprites: what single latents know of the factors, from a plain VAE to controlled ones.

python examples/dsprites_beta.py           # 30 minutes at most on two idle cores
python examples/dsprites_beta.py --quick   # 300 images, in seconds
python examples/dsprites_beta.py --full    # 300,000 steps of a convolutional net, for a GPU

Beta 1, 4 and 8; a KL held at 16 and at 18 nats, towards which its target rises; and beta on the
total correlation alone. Runs go to runs/dsprites_beta, each in the format of `probgen train`: an
interrupted study goes on where it stopped, and `probgen evaluate "runs/dsprites_beta/beta 4"`
reproduces a run's scores. Numbers and figures go to docs/results.
"""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from probgen import evaluation, recipe, report, study
from probgen.evaluation import Score, disentanglement
from probgen.report import Run, figures, pictures

NAME = "dsprites_beta"
CHANGES = {
    **{f"beta {beta:g}": {"objective": "beta", "beta": beta} for beta in (1.0, 4.0, 8.0)},
    **{f"KL {kl:g}": {"objective": "controlled", "target_kl": kl} for kl in (16.0, 18.0)},
    "TC beta 6": {"objective": "total-correlation", "beta": 6.0},
}
REFERENCE = {
    "beta 1": {"reconstruction": 18.0, "KL": 28.0, "MIG": 0.1642},
    "beta 4": {"reconstruction": 40.0, "KL": 15.0, "MIG": 0.1529},
    "beta 8": {"reconstruction": 75.0, "KL": 18.0, "MIG": 0.1988},
}
PUBLISHED = {
    "beta 4": {"MIG": 0.514},
    "KL 16": {"MIG": 0.563},
    "KL 18": {"MIG": 0.543},
    "TC beta 6": {"MIG, aggregate": 0.50},
}
POINTS = 10_000
STEPS, BATCH = 300_000, 64
SOURCE = "coursework report"
PAPERS = "ControlVAE paper; for TC disentangling-vae #64, 4 factors: convolutional, 300,000 steps"
NOTE = """
Means over the test images, in nats per image but for the sum of squares. total = reconstruction
+ beta KL; the reconstruction is -log p(x | z), Bernoulli on binary pixels. A target KL rises from
0 over the first half of the steps.
The coursework gives rounded numbers without their unit, for a network and a number of steps of
its own; its KL at beta 8 lies above the one at beta 4, and it does not say which MIG it gives.
MIG: means of q(z | x) in 20 bins; aggregate: samples of q(z | x) and their mixtures; floor: the
mean of the first over shuffled factors. All of the same test images, spread over the set, and
five factors."""
BEST = """
Share of each factor's entropy that the latent knows which knows it best, I(z; v) / H(v): a factor
that a run dropped is one near 0."""


def recipes(epochs: int, quick: bool, full: bool) -> dict[str, recipe.Recipe]:
    """A dense net on part of the images, which two cores can train, or the full protocol."""
    words = {"net": "dense", "hidden": 400, "latent": 10, "limit": 200_000, "lr": 5e-4}
    if full:
        words = {"net": "conv", "hidden": 256, "latent": 10, "lr": 1e-4}
    if quick:
        words = {"net": "dense", "hidden": 32, "latent": 10, "limit": 300}
    common = recipe.Recipe(**words, data="dsprites", batch_size=BATCH)
    items = len(recipe.sets(common).training)
    epochs = math.ceil(STEPS * BATCH / items) if full else epochs
    steps = epochs * math.ceil(items / BATCH)
    found = {}
    for name, words in CHANGES.items():
        warmup = steps // 2 if "target_kl" in words else 0
        found[name] = replace(common, epochs=epochs, warmup=warmup, **words)
    return found


def row(run: Run, scores: dict[str, Score]) -> study.Row:
    total = {} if run.recipe.objective == "beta" else {"total": "-"}
    return study.terms(run) | total | {name: float(score) for name, score in scores.items()}


def scored(run: Run) -> dict[str, Score]:
    """How well single latents tell the factors, of the test images that the protocols take."""
    shown = pictures.spread(run.data, POINTS)
    loc, log_scale = evaluation.latents.posterior(run.pair, shown)
    return {
        "MIG": disentanglement.mig(loc, shown.factors, level=0.95),
        "MIG, aggregate": disentanglement.mig_aggregate(loc, log_scale, shown.factors, level=0.95),
        "MIG, floor": disentanglement.floor(disentanglement.mig, loc, shown.factors),
    }


def shares(score: Score) -> np.ndarray:
    """I(z_j; v_k) / H(v_k), (latents, factors)."""
    return score.details["mutual_information"] / score.details["entropies"]


def known(scores: dict[str, dict[str, Score]], factors: tuple[str, ...]) -> Figure:
    """What each latent knows of each factor."""
    found = {name: shares(score["MIG"]) for name, score in scores.items()}
    latents = [f"z{i + 1}" for i in range(len(next(iter(found.values()))))]
    return figures.heatmaps(found, latents, factors, "I(z; v) / H(v)")


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


def main(
    epochs: int, quick: bool, runs: Path, out: Path | None, device: str, full: bool = False
) -> list[study.Row]:
    runs, out = study.places(runs, out, quick)
    name = f"{NAME}_full" if full else NAME
    trained = study.train(recipes(1 if quick else epochs, quick, full), runs / name, device)
    scores = {run.name: scored(run) for run in trained}
    rows = [row(run, scores[run.name]) for run in trained]
    study.show(rows, NOTE)
    factors = trained[0].data.factor_names
    best = [
        {"run": of, **dict(zip(factors, shares(score["MIG"]).max(0).tolist(), strict=True))}
        for of, score in scores.items()
    ]
    study.show(best, BEST)
    compared = [*study.beside(rows, REFERENCE, SOURCE), *study.beside(rows, PUBLISHED, PAPERS)]
    study.show(compared)
    pictured = drawn(trained) | {"information": known(scores, factors)}
    study.write(out, name, trained, [*rows, *best, *compared], pictured, scores)
    return rows


if __name__ == "__main__":
    study.command(main, epochs=5)
