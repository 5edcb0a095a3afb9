"""Diffusion by class: samples, bits per dimension and FID by steps and guidance.

python examples/cifar_diffusion.py           # Fashion-MNIST, small: half an hour on two cores
python examples/cifar_diffusion.py --full    # CIFAR-10, a larger one: hours on a GPU
python examples/cifar_diffusion.py --quick   # a few digits, in seconds

Runs go to runs/cifar_diffusion, each in the format of `probgen train`: an interrupted study goes
on where it stopped. Numbers and figures go to docs/results.
"""

import math
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from probgen import recipe, study
from probgen.data import Set
from probgen.evaluation import EvaluationError, fid, memorization, time_steps
from probgen.evaluation.features import Extractor, extract, extractor, identity
from probgen.models import noise, samplers
from probgen.models.pairs import device_of, evaluation_mode
from probgen.report import Run, figures, pictures

NAME = "cifar_diffusion"
CHUNK = 500
PATHS = {
    "ancestral": (samplers.ancestral, (250,)),
    "DDIM": (samplers.ddim, (10, 20, 50)),
    "DPM-Solver++": (samplers.dpm_solver, (10, 20)),
    "DPM-Solver++ without noise": (partial(samplers.dpm_solver, eta=0.0), (10, 20)),
}
GUIDANCE = (1.0, 1.5, 2.0, 3.0)
NOTE = """
{data}. bits/dim: the ELBO, -log2 p(x) per value, at most; nats: the same per image, the sum of
KL (of all steps), decoder, -log p(x | x_1), and prior, KL(q(x_T | x) || p(x_T)). FID: between
{n:,} test images and as many samples of 20 steps of DPM-Solver++ without guidance; real
training images have {floor}. {features}.
"""
SAMPLED = """
FID of {n:,} samples by sampler, steps (evaluations of the network, twice as many with guidance)
and scale of guidance, with its 95 % interval; seconds: for all of them on this machine.
"""


def recipes(epochs: int, quick: bool, full: bool) -> dict[str, recipe.Recipe]:
    words: dict[str, Any] = {"data": "fashion-mnist", "width": 32, "patch": 2, "lr": 1e-3}
    if full:
        words = {"data": "cifar10", "width": 128, "blocks": 2, "lr": 2e-4, "precision": "bfloat16"}
    if quick:
        words = {"data": "digits", "limit": 300, "width": 16, "noise_steps": 250}
    words |= {"model": "diffusion", "net": "conv", "by_class": True, "objective": "simple",
              "epochs": epochs, "clip_norm": 1.0}  # fmt: skip
    return {f"{words['data']} diffusion": recipe.Recipe(**words)}


def sampled(run: Run, labels: Tensor, **settings: Any) -> tuple[Tensor, float]:
    """Samples of the labels, in [0, 1], and the seconds they took."""
    start = time.perf_counter()
    with evaluation_mode(run.pair, seed=0):
        chunks = [
            run.pair.sample(len(y), y, **settings).clamp(0, 1).cpu() for y in labels.split(CHUNK)
        ]
    return torch.cat(chunks), time.perf_counter() - start


def network_for(run: Run) -> Extractor | None:
    """The library's classifier of the data, else Inception, fetched where it can be."""
    for name in ("auto", "inception"):
        try:
            return extractor(name, run.data.name)
        except (EvaluationError, OSError, ImportError):
            continue
    return None


def of_samplers(run: Run, test: Set, network: Extractor | None) -> tuple[list[study.Row], Tensor]:
    """A row per sampler, steps and guidance; the samples of the first row of DPM-Solver++."""
    rows: list[study.Row] = []
    settings = [
        (name, sampler, steps, 1.0) for name, (sampler, all_steps) in PATHS.items()
        for steps in all_steps
    ]  # fmt: skip
    settings += [("DPM-Solver++", samplers.dpm_solver, 20, scale) for scale in GUIDANCE[1:]]
    kept = torch.empty(0)
    real = None if network is None else extract(network, test)
    for name, sampler, steps, scale in settings:
        images, seconds = sampled(run, test.y, sampler=sampler, steps=steps, guidance=scale)
        row = {"run": name, "steps": steps, "guidance": scale, "seconds": seconds}
        if network is not None:
            score = fid.score(real, extract(network, images), level=0.95)
            low, high = score.interval
            row |= {"FID": score.value, "low": low, "high": high}
        else:
            row |= {"FID": "-", "low": "-", "high": "-"}
        rows.append(row)
        if (name, steps, scale) == ("DPM-Solver++", 20, 1.0):
            kept = images
    return rows, kept


def agreement(rows: list[study.Row]) -> study.Row | None:
    """Whether DPM-Solver++ in 20 steps lies in the interval of 250 ancestral ones."""
    by_name = {(row["run"], row["steps"], row["guidance"]): row for row in rows}
    few, many = by_name["DPM-Solver++", 20, 1.0], by_name["ancestral", 250, 1.0]
    if few["FID"] == "-":
        return None
    within = many["low"] <= few["FID"] <= many["high"]
    name = "DPM-Solver++ 20 within the interval of ancestral 250"
    bounds = {"low": many["low"], "high": many["high"]}
    return {"run": name, "FID": few["FID"], **bounds, "within": "yes" if within else "no"}


def described(run: Run) -> str:
    """The data, whose name says whether they are a lossy pack, and how many."""
    return f"{run.data.name}, {len(run.data):,} test images"


def of_run(run: Run, steps: time_steps.Steps, rows: list[study.Row]) -> study.Row:
    best = next(r for r in rows if (r["run"], r["steps"]) == ("DPM-Solver++", 20))
    return {
        "run": run.name,
        "parameters": f"{sum(p.numel() for p in run.pair.parameters()):,}",
        "epochs": str(run.recipe.epochs),
        "bits/dim": steps.bits_per_dimension,
        "nats": steps.nats,
        "KL": steps.steps[1:].sum().item(),
        "decoder": steps.steps[0].item(),
        "prior": steps.prior,
        "FID": best["FID"],
    }


def forward_process(run: Run) -> Figure:
    """One noise, more and more of it."""
    data, pair = pictures.items(run.pair, run.data, 6).x, run.pair
    times = torch.linspace(0, pair.steps - 1, 9).long()
    noisy = torch.randn(data.shape, generator=torch.Generator().manual_seed(0)).to(data)
    stages = []
    for t in times:
        mean, scale = noise.marginal(2 * data - 1, pair.log_snr[t])
        stages.append(((mean + scale * noisy + 1) / 2).clamp(0, 1))
    rows = {" " * i: row for i, row in enumerate(torch.stack(stages, dim=1))}
    return figures.images(rows, ["t = 1", *(f"{int(t) + 1}" for t in times[1:])])


def by_guidance(run: Run) -> Figure:
    """One noise, leaning more and more towards each class."""
    guided = {
        f"guidance {g:g}": pictures.samples(run.pair, 10, y=torch.arange(10), guidance=g)
        for g in (0.0, *GUIDANCE)
    }
    return figures.images(guided, run.data.classes, width=8.5)


def neighbours(run: Run, train: Set, images: Tensor, network: Extractor | None) -> Figure:
    """Samples above the training images nearest to them, in features or else in pixels."""
    few = images[:8]
    if network is None:
        flat = train.batch(slice(None))[0].flatten(1).cpu()
        _, index = memorization.nearest_rows(few.flatten(1), flat)
    else:
        found = [extract(network, part).values for part in (few, train)]
        _, index = memorization.nearest_rows(*found)
    return figures.images({"sample": few, "nearest": train.batch(index.cpu())[0].cpu()})


def pictured(
    run: Run, train: Set, images: Tensor, steps: time_steps.Steps, rows: list[study.Row],
    network: Extractor | None,
) -> dict[str, Figure]:  # fmt: skip
    bits = steps.steps / steps.size / math.log(2)
    each = {
        name: pictures.samples(run.pair, 10, seed=k, y=k)
        for k, name in enumerate(run.data.classes)
    }
    found = {
        "losses": figures.curves({run.name: run.history}, "loss"),
        "forward-process": forward_process(run),
        "samples-by-class": figures.images(each),
        "guidance": by_guidance(run),
        "bits-over-time": figures.lines(
            {"cumulative": (range(1, len(bits) + 1), bits.cumsum(0))}, "step t",
            "bits per dimension up to t",
        ),
        "nearest-neighbours": neighbours(run, train, images, network),
    }  # fmt: skip
    if network is not None:
        plain = [r for r in rows if r["guidance"] == 1.0]
        series = {
            name: ([r["steps"] for r in plain if r["run"] == name],
                   [r["FID"] for r in plain if r["run"] == name])
            for name in PATHS
        }  # fmt: skip
        found["FID-by-steps"] = figures.lines(series, "steps", "FID")
        scaled = [r for r in rows if (r["run"], r["steps"]) == ("DPM-Solver++", 20)]
        line = ([r["guidance"] for r in scaled], [r["FID"] for r in scaled])
        found["FID-by-guidance"] = figures.lines({"20 steps": line}, "guidance", "FID")
    return {name: figure for name, figure in found.items() if figure is not None}


def main(
    epochs: int, quick: bool, runs: Path, out: Path | None, device: str, full: bool = False
) -> list[study.Row]:
    runs, out = study.places(runs, out, quick)
    words = recipes(2 if quick else epochs, quick, full)
    (run,) = study.train(words, runs / NAME, device)
    parts = recipe.sets(run.recipe)
    network, n = network_for(run), 60 if quick else 10_000 if full else 1_000
    test = run.data.draw(n)
    passes = math.ceil(run.pair.steps * 2 / len(run.data))
    steps = time_steps.decompose(run.pair, run.data.to(device_of(run.pair)), passes=passes)
    rows, images = of_samplers(run, test, network)
    table = [of_run(run, steps, rows)]
    floor = "no FID"
    if network is not None:
        real = parts.training.draw(len(test))
        floor = f"{float(fid.score(extract(network, test), extract(network, real))):.2f}"
    features = "No features for these images are at hand" if network is None else identity(network)
    study.show(
        table, NOTE.format(data=described(run), n=len(test), floor=floor, features=features)
    )
    study.show(rows, SAMPLED.format(n=len(test)))
    within = agreement(rows)
    if within:
        study.show([within])
    shown = [*table, *rows, *([within] if within else [])]
    shown += [{"run": "data", "source": described(run)}]
    found = pictured(run, parts.training, images, steps, rows, network)
    study.write(out, NAME, [run], shown, found, budget=30)
    return table


if __name__ == "__main__":
    study.command(main, epochs=8)
