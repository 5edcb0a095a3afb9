"""Fashion-MNIST by class: a conditional VAE beside the unconditional one, judged by a classifier.

python examples/conditional_fashion.py           # 25 minutes at most on two idle cores
python examples/conditional_fashion.py --quick   # the same on a few digits, in seconds

Runs go to runs/conditional_fashion, each in the format of `probgen train`: an interrupted study
goes on where it stopped. Numbers and figures go to docs/results.
"""

import math
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from probgen import evaluation, recipe, study
from probgen.evaluation import fid
from probgen.evaluation.features import identity
from probgen.report import Run, figures, pictures
from probgen.scoring import Evidence, extractor

NAME = "conditional_fashion"
CHANGES = {"conv VAE": {}, "conv cVAE": {"model": "conditional"}}
CLOSELY = ("T-shirt/top", "Trouser", "Ankle boot")
REFERENCE = {
    "conv cVAE": {"total": 51.82, "reconstruction": 34.74, "KL": 17.08},
    "Coat": {"accuracy": 0.254},
    "Shirt": {"accuracy": 0.728},
    "Pullover": {"accuracy": 0.834},
    "Trouser": {"accuracy": 0.990},
    "mean": {"accuracy": 0.8352},
}
SOURCE = "coursework report"
NOTE = """
Means over the test set, in nats per image; Gaussian likelihood with sigma^2 = 1/2, so that the
reconstruction is the sum of squares at a sample of q(z | x). FID: between the test images and as
many samples, on the features of the library's classifier of these images ({extractor});
real training images have {floor:.2f}. A sample is the mean of p(x | z) for z from the prior.
"""
BY_CLASS = """
accuracy: share of the samples of a class, {n:,} of all classes, in which the classifier sees that
class; ceiling: its accuracy on the real test images of the class. diversity: root mean squared
distance between the samples of a class over that between its real test images.
"""


def recipes(epochs: int, quick: bool) -> dict[str, recipe.Recipe]:
    words: dict[str, Any] = {"data": "fashion-mnist", "validation": 5_000 / 60_000}
    if quick:
        words = {"data": "digits", "limit": 300, "validation": 0.1}
    words |= {"net": "conv", "latent": 64, "hidden": 256, "likelihood": "gaussian",
              "sigma": math.sqrt(0.5), "objective": "beta", "epochs": epochs}  # fmt: skip
    return {name: recipe.DEFAULTS | words | changes for name, changes in CHANGES.items()}


def constant(run: Run) -> float:
    """What -log N(x; mean, 1/2) has beyond the sum of squares."""
    return math.prod(run.data.shape) / 2 * math.log(math.pi)


def row(run: Run, seen: Evidence) -> study.Row:
    return {**study.terms(run, constant(run)), "FID": float(fid.score(seen.test, seen.samples))}


def by_class(score: evaluation.Score, names: tuple[str, ...]) -> list[study.Row]:
    """What a class's samples are, one row each, and their mean."""
    columns = {"accuracy": "accuracy", "ceiling": "ceiling_accuracy", "diversity": "diversity"}
    found = {header: score.details[name] for header, name in columns.items()}
    rows = [
        {"run": name, **{header: float(values[i]) for header, values in found.items()}}
        for i, name in enumerate(names)
    ]
    return [*rows, {"run": "mean", **{h: float(values.mean()) for h, values in found.items()}}]


def drawn(runs: list[Run], score: evaluation.Score) -> dict[str, Figure]:
    pair, data = runs[1].pair, runs[1].data
    each = {name: pictures.samples(pair, 20, seed=k, y=k) for k, name in enumerate(data.classes)}
    closely = {}
    for name in CLOSELY if {*CLOSELY} <= {*each} else data.classes[:3]:
        real = data.take((data.y == data.classes.index(name)).nonzero().flatten()[:12])
        closely |= {name: each[name][:12], f"{name}, real": real.batch(slice(0, 12))[0]}
    few = pictures.items(pair, data)
    confusions = {"samples": "confusion", "real images": "ceiling_confusion"}
    shares = {name: score.details[of] for name, of in confusions.items()}
    shares = {name: counts / counts.sum(1, keepdims=True) for name, counts in shares.items()}
    return {
        "losses": figures.loss_panels(
            {run.name: run.history for run in runs}, {run.name: constant(run) for run in runs}
        ),
        "reconstructions": figures.images(
            {"original": few.x} | {r.name: pictures.reconstruction(r.pair, few) for r in runs}
        ),
        "samples": figures.images({run.name: pictures.samples(run.pair, 8) for run in runs}),
        "samples-by-class": figures.images(each),
        "three-classes": figures.images(closely),
        "confusion": figures.heatmaps(shares, data.classes, data.classes, "share of its class"),
    }


def main(epochs: int, quick: bool, runs: Path, out: Path | None, device: str) -> list[study.Row]:
    runs = runs / "quick" if quick else runs
    out = out or (runs / "results" if quick else Path("docs/results"))
    trained = study.train(recipes(1 if quick else epochs, quick), runs / NAME, device)
    parts = recipe.sets(trained[0].facts["recipe"])
    judge, n = extractor("auto", parts.test.name), 200 if quick else 10_000
    seen = [Evidence(run.pair, parts.training, run.data, judge) for run in trained]
    rows = [row(run, one) for run, one in zip(trained, seen, strict=True)]
    floor = float(fid.score(seen[0].test, seen[0].train))
    study.show(rows, NOTE.format(extractor=identity(judge), floor=floor))
    conditional = trained[1]
    score = evaluation.controllability.score(conditional.pair, judge, n, real=parts.test)
    classes = by_class(score, parts.test.classes)
    study.show(classes, BY_CLASS.format(n=n))
    compared = study.beside([*rows, *classes], REFERENCE, SOURCE)
    study.show(compared)
    table, measured = [*rows, *classes, *compared], {conditional.name: {"accuracy": score}}
    study.write(out, NAME, trained, table, drawn(trained, score), measured)
    return rows


if __name__ == "__main__":
    study.command(main, epochs=20)
