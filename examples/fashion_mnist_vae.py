"""Fashion-MNIST: a dense against a convolutional VAE, and the convolutional one at beta 0.5, 1, 4.

python examples/fashion_mnist_vae.py           # 40 minutes at most on two idle cores
python examples/fashion_mnist_vae.py --quick   # the same on a few digits, in seconds

Runs go to runs/fashion_mnist_vae, each in the format of `probgen train`: an interrupted study
goes on where it stopped, and `probgen evaluate runs/fashion_mnist_vae/conv-64` reproduces a run's
scores. Numbers and figures go to docs/results.
"""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from torch import Tensor

from probgen import recipe, report, study
from probgen.report import Run, figures, pictures

NAME = "fashion_mnist_vae"
HALF = math.sqrt(0.5)
DENSE = {"net": "dense", "latent": 32}
CONV = {"net": "conv", "latent": 64, "hidden": 256}
NETS: dict[str, dict[str, Any]] = {
    "dense-32": DENSE,
    "conv-64": CONV,
    "conv-128": CONV | {"latent": 128},
    "conv-64 beta 0.5": CONV | {"beta": 0.5},
    "conv-64 beta 4": CONV | {"beta": 4.0},
}
FIXED = {"likelihood": "gaussian", "sigma": HALF}
OPTIMAL = {"likelihood": "gaussian-optimal"}
CHANGES = {name: words | FIXED for name, words in NETS.items()}
CHANGES |= {f"{name} optimal": words | OPTIMAL for name, words in NETS.items()}
REFERENCE = {
    "dense-32": {"total": 54.38, "reconstruction": 35.77, "KL": 18.61},
    "conv-64": {"total": 49.96, "reconstruction": 29.97, "KL": 19.99},
    "conv-64 beta 0.5": {"total": 40.70, "reconstruction": 25.70, "KL": 30.00},
    "conv-64 beta 4": {"total": 84.71, "reconstruction": 41.77, "KL": 10.74},
}
SOURCE = "coursework report"
NOTE = """
Means over the test set, in nats per image but for the sum of squares (pixels in [0, 1]).
total = reconstruction + beta KL. With sigma^2 = 1/2 the reconstruction is the sum of squares at a
sample of q(z | x), that is -log p(x | z) less its constant of {constant:.2f} nats; with the
optimal sigma it is -log p(x | z). The ELBO keeps every constant.
The reference does not state the unit of its numbers: compare their order."""


def recipes(epochs: int, quick: bool) -> dict[str, recipe.Recipe]:
    data = {"data": "fashion-mnist", "validation": 5_000 / 60_000}
    if quick:
        data = {"data": "digits", "limit": 300, "validation": 0.1}
    common = recipe.Recipe(**data, objective="beta", epochs=epochs)
    return {name: replace(common, **changes) for name, changes in CHANGES.items()}


def constant(run: Run) -> float:
    """What -log N(x; mean, 1/2) has beyond the sum of squares."""
    fixed = run.recipe.likelihood == "gaussian"
    return math.prod(run.data.shape) / 2 * math.log(math.pi) if fixed else 0.0


def drawn(runs: list[Run]) -> dict[str, Figure]:
    by_name = {run.name: run for run in runs}
    betas = {f"beta {b}": by_name[n] for b, n in
             (("0.5", "conv-64 beta 0.5"), ("1", "conv-64"), ("4", "conv-64 beta 4"))}  # fmt: skip
    few = pictures.items(runs[0].pair, runs[0].data)
    found = {
        "losses": figures.loss_panels(
            {run.name: run.history for run in runs}, {run.name: constant(run) for run in runs}
        ),
        "reconstructions": figures.images(
            {"original": few.x} | {r.name: pictures.reconstruction(r.pair, few) for r in runs}
        ),
        "samples": figures.images({b: pictures.samples(r.pair, 8) for b, r in betas.items()}),
        "before-and-after": figures.images(before_and_after(by_name)),
    }
    traversals = {b: figures.images(report.traversal(run)) for b, run in betas.items()}
    return found | {f"traversal {b}".replace(" ", "-"): f for b, f in traversals.items()}


def before_and_after(runs: dict[str, Run]) -> dict[str, Tensor]:
    """Reconstructions by the dense and the convolutional VAE, untrained and trained."""
    few = pictures.items(runs["conv-64"].pair, runs["conv-64"].data)
    rows = {"original": few.x}
    for name in ("dense-32", "conv-64"):
        run = runs[name]
        untrained = recipe.pair(run.recipe, run.data.shape)
        rows[f"{name} before"] = pictures.reconstruction(untrained, few)
        rows[f"{name} after"] = pictures.reconstruction(run.pair, few)
    return rows


def main(epochs: int, quick: bool, runs: Path, out: Path | None, device: str) -> list[study.Row]:
    runs, out = study.places(runs, out, quick)
    trained = study.train(recipes(1 if quick else epochs, quick), runs / NAME, device)
    rows = [study.terms(run, constant(run)) for run in trained]
    study.show(rows, NOTE.format(constant=constant(trained[0])))
    compared = study.beside(rows, REFERENCE, SOURCE)
    study.show(compared)
    study.write(out, NAME, trained, [*rows, *compared], drawn(trained), budget=40)
    return rows


if __name__ == "__main__":
    study.command(main)
