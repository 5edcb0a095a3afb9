"""Fashion-MNIST: how well nearest neighbours classify pixels, components, and codes.

python examples/latent_knn.py           # 30 minutes at most on two idle cores
python examples/latent_knn.py --quick   # the same on a few digits, in seconds

Raw pixels, PCA (the number of components chosen by the cross-validated accuracy of PCA and kNN
together), Isomap (of 10,000 images, beside raw pixels of the same), and the codes of eight
encoders: dense and convolutional, autoencoder and VAE, 32 and 64 dimensions. Runs go to
runs/latent_knn, each in the format of `probgen train`: an interrupted study goes on where it
stopped. Numbers and figures go to docs/results.
"""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.datasets import make_s_curve
from sklearn.decomposition import PCA
from sklearn.manifold import Isomap
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from probgen import recipe, study
from probgen.data import Set
from probgen.evaluation import Score
from probgen.evaluation.latents import knn, pca
from probgen.report import Run, figures, pictures

NAME = "latent_knn"
MODELS: dict[str, dict[str, Any]] = {
    "AE": {"model": "autoencoder", "likelihood": "gaussian", "sigma": math.sqrt(0.5)},
    "VAE": {"model": "vae", "likelihood": "gaussian-optimal"},
}
CHANGES = {
    f"{net} {name} {latent}": {"net": net, "hidden": hidden, "latent": latent} | words
    for net, hidden in (("dense", 400), ("conv", 256))
    for name, words in MODELS.items()
    for latent in (32, 64)
}
REFERENCE = {
    "raw": {"accuracy": 0.8568},
    "PCA": {"accuracy": 0.8606},
    "raw of 10000": {"accuracy": 0.82},
    "Isomap of 10000": {"accuracy": 0.78},
    "dense AE 64": {"accuracy": 0.8728},
    "conv AE 64": {"accuracy": 0.8706},
    "dense VAE 32": {"accuracy": 0.70},
    "dense VAE 64": {"accuracy": 0.73},
    "conv VAE 64": {"accuracy": 0.75},
}
SOURCE = "coursework report, on 20 % of all images; VAE rows: neighbours fitted to the test set"
NEIGHBOURS = 35
NOTE = """
Accuracy on the official test set; precision, recall and F1 as means over the classes. k and
weights are chosen by 3-fold cross-validation on the training set, as are PCA's {components}
components, of {options}, at k = 5. Isomap: {neighbours} neighbours, {embedded} dimensions, fitted
to {few:,} training images; the test images by its out-of-sample extension. Codes: of an
autoencoder, or the mean of q(z | x). Epochs of each encoder: {epochs}; autoencoders on the sum
of squares, VAEs with the Gaussian scale of the greatest likelihood. With sigma^2 = 1/2, fixed, a
VAE's codes hold 8 nats and classify at 0.80 to 0.82: too little of the image is left in them.
Seconds: to build the index and to classify the test set.
A coursework report has 0.70 to 0.75 for codes: it fitted the neighbours to the test set and
scaled the KL wrongly.
"""


class Sizes(NamedTuple):
    """What PCA chooses from, what Isomap sees and gives, and what an image is rebuilt from."""

    options: tuple[int, ...]
    few: int
    embedded: int
    rebuilt: tuple[int, int]


FULL = Sizes((10, 20, 40, 60, 80, 120, 184), 10_000, 32, (10, 184))
QUICK = Sizes((5, 10), 200, 8, (5, 20))


def recipes(epochs: int, quick: bool) -> dict[str, recipe.Recipe]:
    data = {"data": "digits", "limit": 300} if quick else {"data": "fashion-mnist"}
    return {name: recipe.Recipe(**data, **words, epochs=epochs) for name, words in CHANGES.items()}


def pixels(data: Set) -> np.ndarray:
    return data.batch(slice(None))[0].flatten(1).cpu().numpy()


def chosen(x: np.ndarray, y: Any, options: tuple[int, ...]) -> int:
    """The number of components with the best cross-validated accuracy of PCA and 5 neighbours."""
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    accuracy = {
        c: cross_val_score(make_pipeline(PCA(c), KNeighborsClassifier(5)), x, y, cv=folds).mean()
        for c in options
    }
    return max(accuracy, key=lambda c: accuracy[c])


def classical(train: Set, test: Set, sizes: Sizes, components: int) -> dict[str, Score]:
    """Neighbours by raw pixels, by principal components, and by Isomap of some images."""
    few = train.draw(sizes.few)
    x, less, unknown = pixels(train), pixels(few), pixels(test)
    principal = pca(x, unknown, components)
    isomap = Isomap(n_neighbors=NEIGHBOURS, n_components=sizes.embedded).fit(less)
    codes = {
        "raw": ((x, train.y), unknown),
        "PCA": ((principal.train, train.y), principal.test),
        f"raw of {len(few)}": ((less, few.y), unknown),
        f"Isomap of {len(few)}": ((isomap.embedding_, few.y), isomap.transform(unknown)),
    }
    return {name: knn(known, (seen, test.y)) for name, (known, seen) in codes.items()}


def coded(run: Run, train: Set) -> Score:
    known, unknown = (pictures.codes(run.pair, part) for part in (train, run.data))
    return knn((known, train.y), (unknown, run.data.y))


def row(name: str, score: Score) -> study.Row:
    details = score.details
    means = {of: details[f"macro_{of}"] for of in ("precision", "recall", "f1")}
    k, weights = details["chosen"].values()
    seconds = {of: details[f"{of}_seconds"] for of in ("fit", "predict")}
    return {"run": name, "accuracy": float(score), **means, "k": str(k), "weights": weights,
            **{f"{of} s": value for of, value in seconds.items()}}  # fmt: skip


def s_curve() -> Figure:
    """The S-curve, flat by PCA and unrolled by Isomap, coloured along the curve."""
    points, along = make_s_curve(1000, random_state=0)
    flat = {
        "PCA": PCA(2).fit_transform(points),
        "Isomap": Isomap(n_neighbors=NEIGHBOURS, n_components=2).fit_transform(points),
    }
    colour = torch.from_numpy(along)
    return figures.scatters({of: (torch.from_numpy(found), colour) for of, found in flat.items()})


def rebuilt(train: Set, test: Set, sizes: Sizes) -> dict[str, Figure]:
    """What principal components explain, and images rebuilt from some of them."""
    few = pictures.spread(test, 8)
    rows = {"original": few.batch(slice(None))[0]}
    for components in sizes.rebuilt:
        fitted = PCA(components).fit(pixels(train))
        images = fitted.inverse_transform(fitted.transform(pixels(few)))
        rows[f"{components} components"] = torch.from_numpy(images).reshape(rows["original"].shape)
    explained = fitted.explained_variance_ratio_.cumsum()
    share = {"explained": (range(1, len(explained) + 1), explained)}
    return {
        "explained-variance": figures.lines(share, "components", "share of the variance"),
        "rebuilt": figures.images({name: x.clamp(0, 1) for name, x in rows.items()}),
    }


def confusions(scores: dict[str, Score], names: tuple[str, ...]) -> Figure:
    """Of raw pixels, of PCA, and of the best autoencoder and VAE."""
    best = [
        max((name for name in CHANGES if kind in name.split()), key=lambda n: float(scores[n]))
        for kind in ("AE", "VAE")
    ]
    shown = {name: scores[name].details["confusion"] for name in ("raw", "PCA", *best)}
    shares = {name: counts / counts.sum(1, keepdims=True) for name, counts in shown.items()}
    return figures.heatmaps(shares, names, names, "share of the true class")


def drawn(
    runs: list[Run], scores: dict[str, Score], train: Set, sizes: Sizes
) -> dict[str, Figure]:
    data = runs[0].data
    some_of = pictures.spread(data, 2000)
    points = {
        run.name: (pictures.principal(pictures.codes(run.pair, some_of)), some_of.y)
        for run in runs
    }
    latents = {
        f"codes-{net}": figures.scatters(
            {name: found for name, found in points.items() if net in name}, data.classes
        )
        for net in ("dense", "conv")
    }
    return latents | rebuilt(train, data, sizes) | {
        "losses": figures.loss_panels({run.name: run.history for run in runs}),
        "accuracy": figures.bars({name: float(s) for name, s in scores.items()}, "accuracy"),
        "confusion": confusions(scores, data.classes),
        "s-curve": s_curve(),
    }  # fmt: skip


def main(epochs: int, quick: bool, runs: Path, out: Path | None, device: str) -> list[study.Row]:
    runs, out = study.places(runs, out, quick)
    epochs, sizes = (1, QUICK) if quick else (epochs, FULL)
    trained = study.train(recipes(epochs, quick), runs / NAME, device)
    train, _, test = recipe.sets(trained[0].recipe)
    components = chosen(pixels(train), train.y.numpy(), sizes.options)
    scores = classical(train, test, sizes, components)
    codes = {run.name: coded(run, train) for run in trained}
    rows = [row(name, score) for name, score in (scores | codes).items()]
    study.show(rows, NOTE.format(components=components, neighbours=NEIGHBOURS, epochs=epochs,
                                 **sizes._asdict()))  # fmt: skip
    compared = study.beside(rows, REFERENCE, SOURCE)
    study.show(compared)
    measured = {name: {"kNN": without_choices(score)} for name, score in codes.items()}
    shown = drawn(trained, scores | codes, train, sizes)
    study.write(out, NAME, trained, [*rows, *compared], shown, measured)
    return rows


def without_choices(score: Score) -> Score:
    """Without the accuracy of each k and weights in cross-validation, which is no JSON."""
    return replace(score, details={k: v for k, v in score.details.items() if k != "validation"})


if __name__ == "__main__":
    study.command(main, epochs=8)
