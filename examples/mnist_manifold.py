"""MNIST: two latent dimensions, seen whole.

python examples/mnist_manifold.py           # 15 minutes at most on two idle cores
python examples/mnist_manifold.py --quick   # the same on a few digits, in seconds

A dense and a convolutional VAE with a two-dimensional latent: the digits that the latent space
holds, where the classes lie in it, and what is lost. Runs go to runs/mnist_manifold, each in the
format of `probgen train`: an interrupted study goes on where it stopped. Numbers and figures go to
docs/results.
"""

from dataclasses import replace
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from probgen import evaluation, recipe, study
from probgen.evaluation import images
from probgen.evaluation.features import extractor
from probgen.evaluation.scoring import Inputs
from probgen.models.pairs import device_of, evaluation_mode
from probgen.report import Run, figures, pictures

NAME = "mnist_manifold"
CHANGES = {"dense": {"net": "dense"}, "conv": {"net": "conv", "hidden": 256}}
SIDE = 20
NOTE = """
ELBO, reconstruction (-log p(x | z), Bernoulli on grey pixels) and KL: means over the test set, in
nats per image. MSE: per pixel, pixels in [0, 1], and SSIM, 7 x 7 windows: between the test images
and the means of p(x | z) at the means of q(z | x). kNN: accuracy of the nearest neighbours of the
test codes among the training codes.
"""


def recipes(epochs: int, quick: bool) -> dict[str, recipe.Recipe]:
    data = {"data": "digits", "limit": 300} if quick else {"data": "mnist"}
    common = recipe.Recipe(**data, latent=2, epochs=epochs)
    return {name: replace(common, **words) for name, words in CHANGES.items()}


def row(run: Run, seen: Inputs) -> study.Row:
    score = study.means(run)
    original, rebuilt = seen.test_set.batch(slice(None))[0].cpu(), seen.reconstructed()
    codes = [pictures.codes(run.pair, part) for part in (seen.train_set, seen.test_set)]
    known, unknown = zip(codes, (seen.train_set.y, seen.test_set.y), strict=True)
    return {
        "run": run.name,
        "ELBO": score["ELBO"],
        "reconstruction": -score["log-likelihood"],
        "KL": score["KL"],
        "MSE": float(images.mse(original, rebuilt)),
        "SSIM": float(images.ssim(original, rebuilt)),
        "kNN": float(evaluation.latents.knn(known, unknown)),
    }


def manifold(run: Run) -> dict[str, Tensor]:
    """Means of p(x | z) at equal steps of the probability of each dimension of N(0, I)."""
    quantiles = torch.distributions.Normal(0.0, 1.0).icdf((torch.arange(SIDE) + 0.5) / SIDE)
    with evaluation_mode(run.pair, seed=0):
        grid = torch.cartesian_prod(quantiles.flip(0), quantiles).flip(1).to(device_of(run.pair))
        rows = run.pair.decode(grid).mean.unflatten(0, (SIDE, SIDE))
    return {f"{z:+.2f}": row for z, row in zip(quantiles.flip(0).tolist(), rows, strict=True)}


def drawn(runs: list[Run]) -> dict[str, Figure]:
    few = pictures.items(runs[0].pair, runs[0].data)
    points = {run.name: (pictures.codes(run.pair, run.data), run.data.y) for run in runs}
    found = {
        "losses": figures.loss_panels({run.name: run.history for run in runs}),
        "scatter": figures.scatters(points, runs[0].data.classes),
        "reconstructions": figures.images(
            {"original": few.x} | {r.name: pictures.reconstruction(r.pair, few) for r in runs}
        ),
    }
    grids = {f"manifold-{run.name}": figures.images(manifold(run), width=6.5) for run in runs}
    return found | grids


def main(epochs: int, quick: bool, runs: Path, out: Path | None, device: str) -> list[study.Row]:
    runs, out = study.places(runs, out, quick)
    trained = study.train(recipes(1 if quick else epochs, quick), runs / NAME, device)
    parts = recipe.sets(trained[0].recipe)
    network = extractor("auto", parts.test.name)
    rows = [row(run, Inputs(run.pair, parts.training, run.data, network)) for run in trained]
    study.show(rows, NOTE)
    study.write(out, NAME, trained, rows, drawn(trained))
    return rows


if __name__ == "__main__":
    study.command(main, epochs=20)
