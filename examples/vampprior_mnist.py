"""MNIST, binarised anew each time: the same VAE under a normal, a mixture and a VampPrior.

python examples/vampprior_mnist.py           # 30 minutes at most on two idle cores
python examples/vampprior_mnist.py --quick   # the same on a few digits, in seconds

Gated nets 300-300, 40 latent dimensions, 200 components, 40 epochs. Runs go to
runs/vampprior_mnist, each in the format of `probgen train`: an interrupted study goes on where it
stopped. Numbers and figures go to docs/results.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from probgen import evaluation, recipe, study
from probgen.report import Run, figures, pictures

NAME = "vampprior_mnist"
CHANGES: dict[str, dict[str, Any]] = {
    "normal": {},
    "mixture": {"prior": "mixture", "components": 200},
    "vampprior": {"model": "vampprior", "components": 200},
}
REFERENCE = {"normal": {"NLL": 84.50}, "vampprior": {"NLL": 82.38}}
SOURCE = "VampPrior paper, unchecked: dynamic MNIST, 5000 samples, trained to convergence"
NOTE = """
Nats per image over the test set, pixels drawn once from their grey values. NLL: importance
sampling, {num_particles} samples of q(z | x) per image (an upper bound in expectation). Active
units: latent dimensions whose posterior mean varies by more than 0.01 over the test set."""


def recipes(epochs: int, quick: bool) -> dict[str, recipe.Recipe]:
    words: dict[str, Any] = {"data": "mnist", "latent": 40, "hidden": 300}
    if quick:
        words = {"data": "digits", "limit": 300, "latent": 8, "hidden": 32}
    common = recipe.Recipe(**words, binarize=True, net="gated", epochs=epochs)
    found = {name: replace(common, **changes) for name, changes in CHANGES.items()}
    if quick:
        for name in ("mixture", "vampprior"):
            found[name] = replace(found[name], components=24)
    return found


def row(run: Run, num_particles: int) -> study.Row:
    nll = evaluation.likelihood.nll(run.pair, run.data, num_particles=num_particles)
    score = study.means(run)
    active = (pictures.codes(run.pair, run.data).var(0) > 0.01).sum().item()
    return {"run": run.name, "NLL": float(nll), "ELBO": score["ELBO"], "KL": score["KL"],
            "reconstruction": -score["log-likelihood"], "active units": float(active)}  # fmt: skip


def drawn(runs: list[Run]) -> dict[str, Figure]:
    by_name = {run.name: run for run in runs}
    learned = by_name["vampprior"].pair.latent_prior().detach()[:40]
    few = pictures.items(runs[0].pair, runs[0].data)
    return {
        "losses": figures.loss_panels({run.name: run.history for run in runs}),
        "reconstructions": figures.images(
            {"original": few.x} | {r.name: pictures.reconstruction(r.pair, few) for r in runs}
        ),
        "samples": figures.images({run.name: pictures.samples(run.pair, 8) for run in runs}),
        "KL": figures.curves({run.name: run.history for run in runs}, "kl"),
        "pseudo-inputs": figures.images(
            {f"{i + 1} to {i + 8}": learned[i : i + 8] for i in range(0, len(learned), 8)}
        ),
    }


def main(epochs: int, quick: bool, runs: Path, out: Path | None, device: str) -> list[study.Row]:
    runs, out = study.places(runs, out, quick)
    num_particles = 20 if quick else 500
    trained = study.train(recipes(1 if quick else epochs, quick), runs / NAME, device)
    rows = [row(run, num_particles) for run in trained]
    study.show(rows, NOTE.format(num_particles=num_particles))
    compared = study.beside(rows, REFERENCE, SOURCE)
    study.show(compared)
    study.write(out, NAME, trained, [*rows, *compared], drawn(trained))
    return rows


if __name__ == "__main__":
    study.command(main, epochs=40)
