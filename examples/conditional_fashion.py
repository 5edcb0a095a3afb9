"""Fashion-MNIST by class: conditional VAEs beside unconditional ones, measured by a classifier.

python examples/conditional_fashion.py           # 30 minutes at most on two idle cores
python examples/conditional_fashion.py --quick   # the same on a few digits, in seconds

Once with sigma^2 = 1/2 and z ~ N(0, I); once with the sigma of the greatest likelihood, 16 latent
dimensions, and a learned mixture as the prior, p(z) or p(z | y). Runs go to
runs/conditional_fashion, each in the format of `probgen train`: an interrupted study goes on where
it stopped. Numbers and figures go to docs/results.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from probgen import evaluation, recipe, study
from probgen.evaluation import Score, fid
from probgen.evaluation.features import extractor, identity
from probgen.evaluation.scoring import Inputs
from probgen.models.pairs import batches, device_of, evaluation_mode
from probgen.report import Run, figures, pictures

NAME = "conditional_fashion"
PLAIN: dict[str, Any] = {"likelihood": "gaussian", "sigma": math.sqrt(0.5)}
LEARNED: dict[str, Any] = {"likelihood": "gaussian-optimal", "prior": "mixture", "latent": 16}
CHANGES = {
    "conv VAE": PLAIN,
    "conv cVAE": PLAIN | {"model": "conditional"},
    "conv VAE, p(z)": LEARNED | {"components": 200},
    "conv cVAE, p(z | y)": LEARNED | {"model": "conditional", "components": 20},
}
CONDITIONAL = {"cVAE": "conv cVAE", "p(z | y)": "conv cVAE, p(z | y)"}
CLOSELY = ("T-shirt/top", "Trouser", "Ankle boot")
REFERENCE = {
    "conv cVAE": {"total": 51.82, "reconstruction": 34.74, "KL": 17.08},
    "Coat": {"p(z | y)": 0.254},
    "Shirt": {"p(z | y)": 0.728},
    "Pullover": {"p(z | y)": 0.834},
    "Trouser": {"p(z | y)": 0.990},
    "mean": {"p(z | y)": 0.8352},
}
SOURCE = "coursework report"
NOTE = """
Means over the test set, in nats per image. With sigma^2 = 1/2 (the first two) the reconstruction
is the sum of squares at a sample of q(z | x); with the sigma of the greatest likelihood, that of
each batch, it is -log p(x | z). FID: between the test images and as many samples, on the features
of the library's classifier of these images ({extractor}); real training images
have {floor:.2f}. A sample is the mean of p(x | z) for z from the prior.
"""
BY_CLASS = """
Share of the samples of a class, {n:,} of all classes, in which the classifier sees that class, of
the conditional VAE with z ~ N(0, I) and of that with a learned p(z | y); rebuilt: the same of real
test images that the latter rebuilt; ceiling: of the real test images. diversity: root mean squared
distance between the samples of a class over that between its real test images.
"""


def recipes(epochs: int, quick: bool) -> dict[str, recipe.Recipe]:
    words: dict[str, Any] = {"data": "fashion-mnist", "validation": 5_000 / 60_000}
    if quick:
        words = {"data": "digits", "limit": 300, "validation": 0.1}
    words |= {"net": "conv", "latent": 64, "hidden": 256, "objective": "beta", "epochs": epochs}
    return {name: recipe.Recipe(**(words | changes)) for name, changes in CHANGES.items()}


def constant(run: Run) -> float:
    """What -log N(x; mean, 1/2) has beyond the sum of squares."""
    fixed = run.recipe.likelihood == "gaussian"
    return fixed * math.prod(run.data.shape) / 2 * math.log(math.pi)


def row(run: Run, seen: Inputs) -> study.Row:
    return {**study.terms(run, constant(run)), "FID": float(fid.score(seen.test, seen.samples))}


def rebuilt(run: Run, classifier: Any) -> np.ndarray:
    """Share of each class's test images whose reconstruction the classifier puts there."""
    with evaluation_mode(run.pair, seed=0):
        right = [
            classifier(run.pair.reconstruct(x, y).to(device_of(classifier))).argmax(1).cpu()
            == y.cpu()
            for x, y in batches(run.pair, run.data, 500)
        ]
    found, classes = torch.cat(right), range(len(run.data.classes))
    return np.array([found[run.data.y == k].float().mean() for k in classes])


def by_class(
    scores: dict[str, Score], rebuilt: np.ndarray, names: tuple[str, ...]
) -> list[study.Row]:
    """What a class's samples are, one row each, and their mean."""
    found = {title: scores[name].details["accuracy"] for title, name in CONDITIONAL.items()}
    found |= {"rebuilt": rebuilt}
    found |= {"ceiling": next(iter(scores.values())).details["ceiling_accuracy"]}
    for title, name in CONDITIONAL.items():
        found[f"diversity {title}"] = scores[name].details["diversity"]
    rows = [{"run": n, **{h: float(v[i]) for h, v in found.items()}} for i, n in enumerate(names)]
    return [*rows, {"run": "mean", **{h: float(values.mean()) for h, values in found.items()}}]


def drawn(runs: list[Run], scores: dict[str, Score]) -> dict[str, Figure]:
    pair, data = runs[-1].pair, runs[-1].data
    each = {name: pictures.samples(pair, 20, seed=k, y=k) for k, name in enumerate(data.classes)}
    closely = {}
    for name in CLOSELY if {*CLOSELY} <= {*each} else data.classes[:3]:
        real = data.take((data.y == data.classes.index(name)).nonzero().flatten()[:12])
        closely |= {name: each[name][:12], f"{name}, real": real.batch(slice(0, 12))[0]}
    few = pictures.items(pair, data)
    counts = {title: scores[name].details["confusion"] for title, name in CONDITIONAL.items()}
    counts["real images"] = scores[runs[-1].name].details["ceiling_confusion"]
    shares = {name: of / of.sum(1, keepdims=True) for name, of in counts.items()}
    return {
        "losses": figures.loss_panels(
            {run.name: run.history for run in runs}, {run.name: constant(run) for run in runs}
        ),
        "reconstructions": figures.images(
            {"original": few.x} | {r.name: pictures.reconstruction(r.pair, few) for r in runs}
        ),
        "samples": figures.images({run.name: pictures.samples(run.pair, 8) for run in runs}),
        "samples-by-class": figures.images(each, width=9),
        "three-classes": figures.images(closely),
        "confusion": figures.heatmaps(shares, data.classes, data.classes, "share of its class"),
    }


def main(epochs: int, quick: bool, runs: Path, out: Path | None, device: str) -> list[study.Row]:
    runs, out = study.places(runs, out, quick)
    trained = study.train(recipes(1 if quick else epochs, quick), runs / NAME, device)
    parts = recipe.sets(trained[0].recipe)
    classifier, n = extractor("auto", parts.test.name), 200 if quick else 10_000
    seen = [Inputs(run.pair, parts.training, run.data, classifier) for run in trained]
    rows = [row(run, one) for run, one in zip(trained, seen, strict=True)]
    floor = float(fid.score(seen[0].test, seen[0].train))
    study.show(rows, NOTE.format(extractor=identity(classifier), floor=floor))
    scores = {
        run.name: evaluation.controllability.score(run.pair, classifier, n=n, real=parts.test)
        for run in trained
        if run.name in CONDITIONAL.values()
    }
    classes = by_class(scores, rebuilt(trained[-1], classifier), parts.test.classes)
    study.show(classes, BY_CLASS.format(n=n))
    compared = study.beside([*rows, *classes], REFERENCE, SOURCE)
    study.show(compared)
    table = [*rows, *classes, *compared]
    measured = {name: {"accuracy": score} for name, score in scores.items()}
    study.write(out, NAME, trained, table, drawn(trained, scores), measured)
    return rows


if __name__ == "__main__":
    study.command(main, epochs=20)
