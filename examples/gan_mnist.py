"""MNIST: seven GANs at an equal number of generated images, and a self-supervised one on fashion.

python examples/gan_mnist.py               # 7 epochs: 1 to 10 minutes a model on two idle cores
python examples/gan_mnist.py --epochs 20   # the dearest, WGAN-GP, half an hour
python examples/gan_mnist.py --full        # 150 epochs, as in the coursework report
python examples/gan_mnist.py --seeds 3     # each three times, with an interval of the mean FID
python examples/gan_mnist.py --quick       # the same on a few digits, in seconds

GAN (dense), DCGAN, its pixel-shuffle twin, WGAN with clipped weights and with a gradient penalty,
SNGAN (hinge, spectral norm) and SSGAN (the same with rotations). An epoch is as many generated
images as there are training images, whatever the number of critic steps. Rotations are ambiguous
for 0, 1, 8 and 6 / 9, so SSGAN is shown on Fashion-MNIST too. Runs go to runs/gan_mnist, each in
the format of `probgen train`: an interrupted study goes on where it stopped. Numbers and figures
go to docs/results.
"""

import time
from dataclasses import replace
from pathlib import Path

import torch
from matplotlib.figure import Figure

from probgen import evaluation, recipe, report, study
from probgen.evaluation.features import Inception, identity
from probgen.evaluation.scoring import Inputs
from probgen.report import Run, figures, pictures

NAME = "gan_mnist"
CHANGES = {
    "GAN": {"net": "dense"},
    "DCGAN": {},
    "DCGAN, pixel shuffle": {"net": "subpixel"},
    "WGAN, clipped": {"loss": "wasserstein", "lr": 5e-4},
    "WGAN-GP": {"loss": "wasserstein-gp", "lr": 5e-4},
    "SNGAN": {"loss": "hinge"},
    "SSGAN": {"loss": "self-supervised"},
    "SSGAN, fashion": {"loss": "self-supervised", "data": "fashion-mnist"},
}
QUARTERS, FULL = 4, 150
NOTE = """
FID, KID and PRDC (k = 5) between the {n:,} test images and as many samples, on the features of the
library's classifier of these images ({extractor}); real training images of {data} have an FID of
{floor:.2f}. FID by Inception: only where its weights were fetched before. classes: of ten, those
with a tenth of an even share of the samples or more. minutes: of training, {images:,} generated
images each. images/s: sampling on this machine.
"""
SOURCE = "coursework report, 150 epochs, no numbers"


def recipes(epochs: int, quick: bool) -> dict[str, recipe.Recipe]:
    words = {"data": "mnist", "latent": 64, "batch_size": 64, "net": "conv"}
    if quick:
        words |= {"data": "digits", "limit": 300, "latent": 8, "batch_size": 50}
    common = recipe.Recipe(model="gan", **words, epochs=epochs)
    found = {name: replace(common, **changes) for name, changes in CHANGES.items()}
    if not quick:
        return found
    return {name: replace(one, data="digits") for name, one in found.items()}


def by_inception(run: Run) -> study.Row:
    """The FID that papers give, where the weights were fetched before."""
    if not Inception.fetched():
        return {}
    seen = study.inputs(run, "inception")
    return {"FID by Inception": float(evaluation.fid.score(seen.test, seen.samples))}


def row(run: Run, seen: Inputs) -> study.Row:
    k = min(5, len(seen.test_set) - 1)
    prdc = evaluation.prdc.score(seen.test, seen.samples, k=k)
    return {
        "run": run.name,
        "FID": float(evaluation.fid.score(seen.test, seen.samples)),
        **by_inception(run),
        "KID": float(evaluation.kid.score(seen.test, seen.samples)),
        **{name: float(score) for name, score in prdc._asdict().items()},
        "classes": f"{float(evaluation.classes.score(seen.probabilities)):.0f}",
        "minutes": run.facts["results"]["seconds"] / 60,
        "images/s": f"{speed(run):,.0f}",
    }


def speed(run: Run, n: int = 1000) -> float:
    """Samples per second; the first call warms up."""
    pictures.samples(run.pair, n)
    start = time.perf_counter()
    pictures.samples(run.pair, n)
    return n / (time.perf_counter() - start)


def claims(rows: list[study.Row]) -> list[study.Row]:
    """What the coursework report says, and what came out here."""
    by_name = {one["run"]: one for one in rows}
    gan, wgan, ssgan = (by_name[name] for name in ("GAN", "WGAN, clipped", "SSGAN"))

    def claim(text: str, holds: bool, reference: str) -> study.Row:
        return {"run": text, "ours": "yes" if holds else "no", "reference": reference,
                "source": SOURCE}  # fmt: skip

    return [
        claim("clipped WGAN has the lower FID than GAN", wgan["FID"] < gan["FID"], "yes"),
        claim("clipped WGAN is the faster", wgan["minutes"] < gan["minutes"], "yes"),
        claim("SSGAN trains: nine classes or more", int(ssgan["classes"]) >= 9, "no"),
    ]


def drawn(runs: list[Run]) -> dict[str, Figure]:
    histories = {run.name: run.history for run in runs}
    wasserstein = {name: one for name, one in histories.items() if name.startswith("WGAN")}
    grids = {run.name: report.quarters(run.folder) for run in runs}
    quarters = {name: torch.stack([*found.values()]) for name, found in grids.items()}
    columns = [f"step {step}" for step in next(iter(grids.values()))]
    half = len(runs) // 2
    first, second = dict(list(quarters.items())[:half]), dict(list(quarters.items())[half:])
    found = {
        "losses": figures.overlaid(
            histories, {"discriminator": ("d_loss", 1), "generator": ("g_loss", 1)}
        ),
        "judged": figures.overlaid(
            histories,
            {"FID": ("fid", 1), "classes": ("classes", 1), "variance": ("diversity", 1)},
        ),
        "distance": figures.curves(wasserstein, "distance"),
        "quarters-1": figures.images(first, columns, width=7),
        "quarters-2": figures.images(second, columns, width=7),
        "samples": figures.images({run.name: pictures.samples(run.pair, 10) for run in runs}),
    }
    return {name: figure for name, figure in found.items() if figure is not None}


def main(
    epochs: int, quick: bool, runs: Path, out: Path | None, device: str, full: bool = False,
    seeds: int = 1,
) -> list[study.Row]:  # fmt: skip
    runs, out = study.places(runs, out, quick)
    epochs = QUARTERS if quick else FULL if full else epochs
    every = max(1, epochs // 20)
    words = study.repeated(recipes(epochs, quick), seeds)
    trained = study.train(words, runs / NAME, device, validate_every=every)
    seen = [study.inputs(run) for run in trained]
    rows = [row(run, one) for run, one in zip(trained, seen, strict=True)]
    facts = trained[0].facts
    images = facts["results"]["steps"] * facts["settings"]["batch_size"]
    known = {"n": len(seen[0].test_set), "extractor": identity(seen[0].extractor),
             "data": trained[0].data.name}  # fmt: skip
    floor = float(seen[0].floor())
    study.show(rows, NOTE.format(**known, floor=floor, images=images))
    compared = claims(rows)
    study.show(compared)
    means = study.over_seeds(rows, "FID") if seeds > 1 else []
    if means:
        study.show(means)
    pages = drawn(trained[: len(CHANGES)])
    study.write(out, NAME, trained, [*rows, *compared, *means], pages, budget=80)
    return rows


if __name__ == "__main__":
    study.command(main, epochs=7)
