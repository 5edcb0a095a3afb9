"""Digits and Fashion-MNIST: sparse codes by unrolled ISTA, from weak to strong penalties.

python examples/sparse_codes.py           # 20 minutes at most on two idle cores
python examples/sparse_codes.py --quick   # two penalties on a few digits, in seconds

Runs go to runs/sparse_codes, each in the format of `probgen train`: an interrupted study goes on
where it stopped. Numbers and figures go to docs/results.
"""

from dataclasses import replace
from pathlib import Path

from matplotlib.figure import Figure
from torch import Tensor

from probgen import evaluation, recipe, study
from probgen.report import Run, figures, pictures

NAME = "sparse_codes"
PENALTIES = (0.05, 0.2, 0.5, 1.0, 2.0)
ATOMS = {"digits": 100, "fashion-mnist": 256}
EPOCHS = {"digits": 10, "fashion-mnist": 1}
SHOWN = 0.5
NOTE = """
Codes are the locations of q(z | x) of the test images: what ten steps of ISTA leave exactly 0.
zeros: their share; Hoyer: 0 if all entries are equal, 1 if one alone is not 0. sum of squares: per
image, of the reconstruction at the location, pixels in [0, 1]. used: atoms that some test image
uses. ELBO and KL: nats per image, Gaussian likelihood with sigma = 0.1, prior Laplace(0, 1).
"""


def recipes(epochs: int, quick: bool) -> dict[str, recipe.Recipe]:
    common = recipe.Recipe(model="sparse", likelihood="gaussian", sigma=0.1, lr=1e-2)
    found = {}
    for data, atoms in ATOMS.items():
        own = replace(common, data=data, latent=atoms, epochs=epochs * EPOCHS[data])
        found |= {f"{data} {p:g}": replace(own, penalty=p) for p in PENALTIES}
    if not quick:
        return found
    shown = ("digits 0.5", "digits 1")
    return {name: replace(found[name], limit=300, epochs=1) for name in shown}


def row(run: Run) -> study.Row:
    codes = pictures.codes(run.pair, run.data)
    score = study.means(run)
    return {
        "run": run.name,
        "penalty": run.recipe.penalty,
        "zeros": float(evaluation.sparsity.zeros(codes)),
        "Hoyer": float(evaluation.sparsity.hoyer(codes)),
        "used": float((codes != 0).any(0).sum()),
        "sum of squares": score["sum of squares"],
        "ELBO": score["ELBO"],
        "KL": score["KL"],
    }


def atoms(run: Run, columns: int = 16) -> dict[str, Tensor]:
    """The atoms that the test images use most, each scaled to [0, 1]."""
    use = (pictures.codes(run.pair, run.data) != 0).float().mean(0)
    dictionary = run.pair.encoder.dictionary.detach().cpu().T
    most = dictionary[use.argsort(descending=True)[: 6 * columns]]
    low, high = most.amin(1, keepdim=True), most.amax(1, keepdim=True)
    images = ((most - low) / (high - low)).unflatten(1, run.data.shape)
    return {
        f"{i + 1} to {i + columns}": images[i : i + columns]
        for i in range(0, len(images) - columns + 1, columns)
    }


def drawn(runs: list[Run], rows: list[study.Row]) -> dict[str, Figure]:
    groups = {data: [r for r in runs if r.recipe.data == data] for data in ATOMS}
    groups = {data: found for data, found in groups.items() if found}
    by_run = {str(found["run"]): found for found in rows}
    traded = {
        data: tuple(
            [float(by_run[run.name][column]) for run in found]
            for column in ("zeros", "sum of squares")
        )
        for data, found in groups.items()
    }
    figure = {"sparsity": figures.lines(traded, "share of zeros", "sum of squares per image")}
    for data, found in groups.items():
        few = pictures.items(found[0].pair, found[0].data)
        shown = next(run for run in found if run.recipe.penalty == SHOWN)
        rebuilt = {run.name: pictures.reconstruction(run.pair, few) for run in found}
        samples = {run.name: pictures.samples(run.pair, 8) for run in found}
        figure |= {
            f"dictionary-{data}": figures.images(atoms(shown)),
            f"losses-{data}": figures.loss_panels({run.name: run.history for run in found}),
            f"reconstructions-{data}": figures.images({"original": few.x} | rebuilt),
            f"samples-{data}": figures.images(samples),
        }
    return figure


def main(epochs: int, quick: bool, runs: Path, out: Path | None, device: str) -> list[study.Row]:
    runs, out = study.places(runs, out, quick)
    trained = study.train(recipes(epochs, quick), runs / NAME, device)
    rows = [row(run) for run in trained]
    study.show(rows, NOTE)
    study.write(out, NAME, trained, rows, drawn(trained, rows))
    return rows


if __name__ == "__main__":
    study.command(main)
