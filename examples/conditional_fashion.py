"""Fashion-MNIST by class: a conditional VAE beside the unconditional one, judged by a classifier.

python examples/conditional_fashion.py           # 10 minutes at most on two idle cores
python examples/conditional_fashion.py --quick   # the same on a few digits, in seconds

Runs go to runs/conditional_fashion, each in the format of `probgen train`: an interrupted study
goes on where it stopped. Numbers and figures go to docs/results.
"""

import math
from typing import Any

from matplotlib.figure import Figure

from probgen import evaluation, recipe, study
from probgen.evaluation import features, fid
from probgen.report import Run, figures, pictures

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
reconstruction is the sum of squares at a sample of q(z | x). FID between {n:,} samples and the
test set on the features of the library's classifier."""
BY_CLASS = """
accuracy: share of {n:,} samples in all that the classifier assigns to the class asked for;
ceiling: its accuracy on the real test images of the class. diversity: root mean squared distance
between samples of a class over that between its real test images."""


def recipes(epochs: int, quick: bool) -> dict[str, recipe.Recipe]:
    words: dict[str, Any] = {"data": "fashion-mnist", "validation": 5_000 / 60_000}
    if quick:
        words = {"data": "digits", "limit": 300, "validation": 0.1}
    words |= {"net": "conv", "latent": 64, "hidden": 256, "likelihood": "gaussian",
              "sigma": math.sqrt(0.5), "objective": "beta", "epochs": epochs}  # fmt: skip
    return {name: recipe.DEFAULTS | words | changes for name, changes in CHANGES.items()}


def row(run: Run, classifier: Any, n: int) -> study.Row:
    constant = math.prod(run.data.shape) / 2 * math.log(math.pi)
    made, real = (
        features.extract(classifier, x) for x in (pictures.samples(run.pair, n), run.data)
    )
    return {**study.terms(run, constant), "FID": float(fid.score(made, real))}


def by_class(score: evaluation.Score, names: tuple[str, ...]) -> list[study.Row]:
    found = [score.details[name] for name in ("accuracy", "ceiling_accuracy", "diversity")]
    rows = [*zip(names, *found, strict=True), ("mean", *(column.mean() for column in found))]
    headers = ("run", "accuracy", "ceiling", "diversity")
    return [dict(zip(headers, (name, *map(float, values)), strict=True)) for name, *values in rows]


def drawn(runs: list[Run], score: evaluation.Score) -> dict[str, Figure]:
    pair, data = runs[1].pair, runs[1].data
    each = {name: pictures.samples(pair, 20, seed=k, y=k) for k, name in enumerate(data.classes)}
    closely = {}
    for name in [name for name in CLOSELY if name in each] or list(each)[:3]:
        real = data.take((data.y == data.classes.index(name)).nonzero().flatten()[:12])
        closely |= {name: each[name][:12], f"{name}, real": real.batch(slice(0, 12))[0]}
    few = pictures.items(pair, data)
    return {
        "losses": figures.loss_panels({run.name: run.history for run in runs}),
        "samples-by-class": figures.images(each),
        "three-classes": figures.images(closely),
        "reconstructions": figures.images(
            {"original": few.x} | {r.name: pictures.reconstruction(r.pair, few) for r in runs}
        ),
        "confusion": figures.matrix(score.details["confusion"], data.classes, data.classes),
    }
