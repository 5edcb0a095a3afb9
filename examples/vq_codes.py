"""MNIST, Fashion-MNIST and CIFAR-10: a VQ-VAE of 512 codes beside a VAE of about its size.

python examples/vq_codes.py           # 30 minutes at most on two idle cores
python examples/vq_codes.py --quick   # the same on a few digits, in seconds

The VQ-VAE learns a transformer over its codes with the rest, from which its samples come. Runs go
to runs/vq_codes, each in the format of `probgen train`: an interrupted study goes on where it
stopped. Numbers and figures go to docs/results.
"""

import math
from dataclasses import replace
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn.functional import conv2d

from probgen import recipe, study
from probgen.evaluation import fid
from probgen.evaluation.features.classifier import shipped
from probgen.evaluation.scoring import Inputs
from probgen.models.pairs import batches, evaluation_mode
from probgen.models.vq import perplexity
from probgen.report import Run, figures, pictures

NAME = "vq_codes"
DATA = ("mnist", "fashion-mnist", "cifar10")
CHANGES = {
    "VAE": {"net": "conv", "latent": 32, "hidden": 24},
    "VQ-VAE": {"model": "vq", "latent": 64, "codes": 512},
}
NOTE = """
sum of squares: per test image, of the reconstruction, pixels in [0, 1]. sharpness: energy of the
Laplacian of the reconstructions over that of the test images, 1 if as sharp. perplexity: of the
codes of the test set, {codes} if all are used alike; used: how many are. ELBO and KL: nats per
image, Gaussian likelihood with sigma^2 = 1/2; of the VQ-VAE the KL is -log p(codes). parameters:
of encoder, decoder and codebook. FID: between the test images and as many samples, on the features
of the library's classifier of these images, where it has one.
"""


def recipes(epochs: int, quick: bool) -> dict[str, recipe.Recipe]:
    common = recipe.Recipe(likelihood="gaussian", sigma=math.sqrt(0.5), epochs=epochs)
    if quick:
        small = replace(common, data="digits", limit=300, epochs=1)
        return {f"digits {name}": replace(small, **model) for name, model in CHANGES.items()}
    return {
        f"{data} {name}": replace(common, data=data, **model)
        for data in DATA
        for name, model in CHANGES.items()
    }


def row(run: Run, seen: Inputs) -> study.Row:
    score = study.means(run)
    original, rebuilt = seen.test_set.batch(slice(None))[0].cpu(), seen.reconstructed()
    parts = (run.pair.encoder, run.pair.decoder)
    size = sum(p.numel() for part in parts for p in part.parameters())
    counts = used(run)
    if counts is not None:
        size += run.pair.codebook.vectors.numel()
    return {
        "run": run.name,
        "parameters": f"{size:,}",
        "sum of squares": score["sum of squares"],
        "sharpness": edges(rebuilt) / edges(original),
        "perplexity": "-" if counts is None else float(perplexity(counts)),
        "used": "-" if counts is None else f"{int((counts > 0).sum())}",
        "ELBO": score["ELBO"],
        "KL": score["KL"],
        "FID": float(fid.score(seen.test, seen.samples)) if judged(run) else "-",
    }


def edges(images: Tensor) -> float:
    """Mean square of the discrete Laplacian inside images (B, C, H, W)."""
    kernel = images.new_tensor([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
    return conv2d(images.flatten(0, 1)[:, None], kernel[None, None]).square().mean().item()


def used(run: Run) -> Tensor | None:
    """How often the test set uses each code of a VQ-VAE."""
    if run.recipe.model != "vq":
        return None
    with evaluation_mode(run.pair, seed=0):
        codes = [run.pair.codes(x).flatten().cpu() for x, _ in batches(run.pair, run.data, 500)]
    return torch.cat(codes).bincount(minlength=run.pair.codebook.size).float()


def judged(run: Run) -> bool:
    return run.data.name in shipped()


def drawn(runs: list[Run]) -> dict[str, Figure]:
    found = {"losses": figures.loss_panels({run.name: run.history for run in runs})}
    kept = {run.name: used(run) for run in runs}
    usage = {name: counts for name, counts in kept.items() if counts is not None}
    shares = {n: counts.sort(descending=True).values / counts.sum() for n, counts in usage.items()}
    found["codes"] = figures.lines(
        {name: (range(1, len(share) + 1), share) for name, share in shares.items()},
        "code, by use",
        "share of the test set's codes",
    )
    for data in dict.fromkeys(run.recipe.data for run in runs):
        same = [run for run in runs if run.recipe.data == data]
        few = pictures.items(same[0].pair, same[0].data)
        rebuilt = {run.name: pictures.reconstruction(run.pair, few).clamp(0, 1) for run in same}
        samples = {run.name: pictures.samples(run.pair, 8).clamp(0, 1) for run in same}
        found[f"reconstructions-{data}"] = figures.images({"original": few.x} | rebuilt)
        found[f"samples-{data}"] = figures.images(samples)
        found[f"KL-{data}"] = figures.curves({run.name: run.history for run in same}, "kl")
    return found


def main(epochs: int, quick: bool, runs: Path, out: Path | None, device: str) -> list[study.Row]:
    runs, out = study.places(runs, out, quick)
    trained = study.train(recipes(epochs, quick), runs / NAME, device)
    rows = [row(run, study.inputs(run)) for run in trained]
    study.show(rows, NOTE.format(codes=CHANGES["VQ-VAE"]["codes"]))
    study.write(out, NAME, trained, rows, drawn(trained))
    return rows


if __name__ == "__main__":
    study.command(main, epochs=5)
