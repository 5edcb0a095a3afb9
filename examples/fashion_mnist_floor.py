"""Scores of images with known faults, so that the scores of a model can be read.

python examples/fashion_mnist_floor.py           # half an hour at most on two idle cores
python examples/fashion_mnist_floor.py --quick   # the same on digits, in seconds

Real training images against real test images are the floor, uniform noise is the ceiling; between
them lie principal components, which blur, and the reconstructions and samples of VAEs: the
convolutional one, and a small one whose KL is left to itself or held at 8 and 14 nats. Features
are those of the classifier that comes with the package. Runs go to runs/fashion_mnist_floor.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from probgen import recipe, study
from probgen.evaluation import fid, kid, memorization, prdc
from probgen.evaluation.features import Features, extract
from probgen.evaluation.scoring import Inputs
from probgen.report import figures

NAME = "fashion_mnist_floor"
DENSE = {"net": "dense", "latent": 10, "hidden": 256}
HELD = DENSE | {"objective": "controlled"}
CHANGES = {
    "conv": {"net": "conv", "latent": 64, "hidden": 256},
    "dense": DENSE,
    "KL 8": HELD | {"target_kl": 8.0},
    "KL 14": HELD | {"target_kl": 14.0},
}
FLOOR, NOISE = "real training images", "noise"
COMPONENTS = (64, 10)
REFERENCE = {"KL 8, samples": {"FID": 80.6}, "KL 14, samples": {"FID": 136.8}}
SOURCE = "coursework report"
NOTE = """
{n:,} images each against {n:,} test images of {data}; features: {extractor}.
FID, its limit for infinitely many images and KID (x 1000) are better the lower, precision, recall,
density and coverage (k = 5) the higher. memorization is 0.5 for new images like the training set,
toward 1 for copies of it, toward 0 for images unlike any. The reference states neither the data
nor the features of its FID, which has no unit: no comparison."""


def recipes(epochs: int, quick: bool) -> dict[str, recipe.Recipe]:
    data = {"data": "digits", "limit": 300} if quick else {"data": "fashion-mnist"}
    common = recipe.Recipe(**data, likelihood="gaussian-optimal", epochs=epochs)
    if not quick:
        common = replace(common, validation=5_000 / 60_000)
    return {name: replace(common, **changes) for name, changes in CHANGES.items()}


def principal(train: Tensor, x: Tensor, components: int) -> Tensor:
    """Images brought back from so many principal components of the training images."""
    rows = train.flatten(1)
    mean = rows.mean(0)
    _, axes = torch.linalg.eigh((rows - mean).T @ (rows - mean))
    kept = axes[:, -components:]
    return ((x.flatten(1) - mean) @ kept @ kept.T + mean).clamp(0, 1).reshape(x.shape)


def image_sets(seen: Mapping[str, Inputs]) -> dict[str, Tensor]:
    """What is scored, worst last but for the models."""
    first = next(iter(seen.values()))
    train, _ = first.train_set.batch(slice(None))
    test, _ = first.test_set.batch(slice(None))
    found = {f"PCA-{k}": principal(train, test, k) for k in COMPONENTS}
    found[NOISE] = torch.rand(test.shape, generator=torch.Generator().manual_seed(0))
    for name, one in seen.items():
        found[f"{name}, reconstructions"] = one.reconstructed()
        found[f"{name}, samples"] = one.sampled()
    return found


def row(name: str, generated: Features, seen: Inputs) -> study.Row:
    # The real training images are no copies of themselves: their other half is the training set.
    half = len(seen.train.values) // 2
    known = Features(seen.train.values[half:], seen.train.extractor)
    judged = Features(generated.values[:half], generated.extractor)
    return {
        "run": name,
        "FID": float(fid.score(seen.test, generated)),
        "FID limit": float(fid.infinity(seen.test, generated)),
        "KID": 1000 * float(kid.score(seen.test, generated)),
        **{one.name: float(one) for one in prdc.score(seen.test, generated)},
        "memorization": float(memorization.score(known, judged, test=seen.test)),
    }


def pictured(
    images: Mapping[str, Tensor], seen: Mapping[str, Inputs], rows: list[study.Row]
) -> dict[str, Figure]:
    first = next(iter(seen.values()))
    index = torch.linspace(0, len(first.test_set) - 1, 8).round().long()
    test, _ = first.test_set.batch(index)
    found = {"test images": test} | {name: x[index] for name, x in images.items()}
    heights = {str(one["run"]): float(one["FID"]) for one in rows if one["run"] != NOISE}
    return {
        "images": figures.images(found),
        "fid": figures.bars(heights, "FID"),
        "fid-per-class": figures.bars(per_class(first), "FID of the reconstructions"),
        "nearest": figures.images(nearest(first)),
    }


def per_class(seen: Inputs) -> dict[str, float]:
    """The convolutional VAE's reconstructions against the test images of each class."""
    labels = seen.test_set.y
    found = fid.per_class(seen.test, seen.reconstructions, labels, labels)
    return {seen.test_set.classes[k]: float(one) for k, one in found.items()}


def nearest(seen: Inputs) -> dict[str, Tensor]:
    """The samples nearest to a training image, and that image."""
    found = memorization.score(seen.train, seen.samples, test=seen.test).details
    closest = found["distance"].argsort()[:8]
    training, _ = seen.train_set.draw(len(seen.train), seen.seed).batch(found["nearest"][closest])
    return {"sample": seen.sampled()[closest], "nearest training image": training}


def main(epochs: int, quick: bool, runs: Path, out: Path | None, device: str) -> list[study.Row]:
    runs, out = study.places(runs, out, quick)
    trained = study.train(recipes(1 if quick else epochs, quick), runs / NAME, device)
    seen = {run.name: study.inputs(run) for run in trained}
    first = seen["conv"]
    images = image_sets(seen)
    known = {name: extract(first.extractor, x) for name, x in images.items()}
    rows = [row(name, fake, first) for name, fake in ({FLOOR: first.train} | known).items()]
    n, data = len(first.test_set), first.test_set.name
    study.show(rows, NOTE.format(n=n, data=data, extractor=first.test.extractor))
    compared = study.beside(rows, REFERENCE, SOURCE)
    study.show(compared)
    study.write(out, NAME, trained, [*rows, *compared], pictured(images, seen, rows))
    return rows


if __name__ == "__main__":
    study.command(main, epochs=6)
