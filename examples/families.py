"""Fashion-MNIST by five families: VAE, VQ-VAE, GAN, WGAN-GP and diffusion in one table.

python examples/families.py           # 60 minutes at most on two idle cores
python examples/families.py --quick   # the same on a few digits, in seconds

Each family at a size that two cores train in minutes: the table compares these runs, not what the
families can do. Runs go to runs/families, each in the format of `probgen train`: an interrupted
study goes on where it stopped. Numbers and figures go to docs/results.
"""

import math
import time
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from torch import Tensor

from probgen import evaluation, recipe, study
from probgen.evaluation.features import identity
from probgen.evaluation.scoring import Inputs
from probgen.report import Run, figures, pictures

NAME = "families"
EXPLICIT: dict[str, Any] = {"likelihood": "discretized-logistic"}
GAN: dict[str, Any] = {"model": "gan", "net": "conv", "latent": 64, "batch_size": 64}
CHANGES: dict[str, dict[str, Any]] = {
    "VAE": EXPLICIT | {"net": "conv", "latent": 32, "hidden": 256, "epochs": 10},
    "VQ-VAE": EXPLICIT | {"model": "vq", "latent": 64, "codes": 512, "epochs": 4},
    "GAN": GAN | {"epochs": 4},
    "WGAN-GP": GAN | {"loss": "wasserstein-gp", "lr": 5e-4, "epochs": 4},
    "diffusion": {"model": "diffusion", "net": "conv", "objective": "simple", "width": 32,
                  "patch": 2, "by_class": True, "clip_norm": 1.0, "epochs": 4},
}  # fmt: skip
SMALL = {"data": "digits", "limit": 300, "epochs": 1, "batch_size": 50}
SHOWN = 80
NOTE = """
bits/dim: -log2 p(x) per pixel of 256 levels, at most: the ELBO on the test set; GANs have no
density. FID, precision, recall, density and coverage (k = 5): between {n:,} test images and as
many samples, on the features of the library's classifier of these images ({extractor});
real training images have an FID of {floor:.2f}. Diffusion is sampled by DPM-Solver++ in 20 steps,
without guidance, of classes drawn uniformly. minutes: of training; images/s: sampling, on this
machine.
"""


def recipes(epochs: int, quick: bool) -> dict[str, recipe.Recipe]:
    """``epochs`` in percent of each family's own."""
    found = {}
    for name, words in CHANGES.items():
        share = max(1, round(words["epochs"] * epochs / 100))
        size = SMALL if quick else {"data": "fashion-mnist", "epochs": share}
        found[name] = recipe.Recipe(**(words | size))
    return found


def bits(run: Run) -> float | str:
    """Per dimension, by the ELBO."""
    if "ELBO" not in run.scores.values:
        return "-"
    return -run.scores.values["ELBO"]["mean"] / math.prod(run.data.shape) / math.log(2)


def row(run: Run, seen: Inputs) -> study.Row:
    prdc = evaluation.prdc.score(seen.test, seen.samples, k=5)
    return {
        "run": run.name,
        "parameters": f"{sum(p.numel() for p in run.pair.parameters() if p.requires_grad):,}",
        "bits/dim": bits(run),
        "FID": float(evaluation.fid.score(seen.test, seen.samples)),
        **{name: float(score) for name, score in prdc._asdict().items()},
        "minutes": run.facts["results"]["seconds"] / 60,
        "images/s": f"{speed(run):,.0f}",
    }


def speed(run: Run, n: int = 200) -> float:
    """Samples per second; the first call warms up."""
    pictures.samples(run.pair, 2)
    start = time.perf_counter()
    pictures.samples(run.pair, n)
    return n / (time.perf_counter() - start)


def drawn(runs: list[Run]) -> dict[str, Figure]:
    pages = {run.name: pictures.samples(run.pair, SHOWN).clamp(0, 1) for run in runs}
    return {
        "samples": figures.images({name: images[:16] for name, images in pages.items()}, width=9),
        **{f"samples-{n}": figures.images(in_rows(images)) for n, images in pages.items()},
    }


def in_rows(images: Tensor, columns: int = 16) -> dict[str, Tensor]:
    return {f"{i + 1}": images[i : i + columns] for i in range(0, len(images), columns)}


def main(epochs: int, quick: bool, runs: Path, out: Path | None, device: str) -> list[study.Row]:
    runs, out = study.places(runs, out, quick)
    trained = study.train(recipes(epochs, quick), runs / NAME, device)
    seen = [study.inputs(run) for run in trained]
    rows = [row(run, one) for run, one in zip(trained, seen, strict=True)]
    known = {"n": len(seen[0].test_set), "extractor": identity(seen[0].extractor)}
    study.show(rows, NOTE.format(**known, floor=float(seen[0].floor())))
    study.write(out, NAME, trained, rows, drawn(trained), budget=60)
    return rows


if __name__ == "__main__":
    study.command(main, epochs=100)
