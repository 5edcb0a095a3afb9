"""MNIST: a VAE held at a KL of 8 and of 14 nats by PI control, beside fixed betas and capacities.

python examples/control_vae.py           # 15 minutes at most on two idle cores
python examples/control_vae.py --quick   # the same on a few digits, in seconds

Each target is approached from both sides: with beta = 0 the KL first shoots above it, with
beta = 100 it first stays below. A sweep of fixed betas traces the rate-distortion curve that all
of them must lie on. Runs go to runs/control_vae, each in the format of `probgen train`: an
interrupted study goes on where it stopped, and `probgen evaluate "runs/control_vae/beta 4"`
reproduces a run's scores. Numbers and figures go to docs/results.
"""

from dataclasses import replace
from pathlib import Path

from matplotlib.figure import Figure

from probgen import recipe, study
from probgen.evaluation import fid
from probgen.evaluation.features import extractor, identity
from probgen.evaluation.scoring import Inputs
from probgen.report import Run, figures, pictures
from probgen.run.history import History

NAME = "control_vae"
TARGETS = (8.0, 14.0)
STARTS = {"from above": 0.0, "from below": 100.0}
BETAS = (0.5, 1.0, 2.0, 4.0, 8.0)
CLOSE = 0.5
SWEEP = {f"beta {beta:g}": {"objective": "beta", "beta": beta} for beta in BETAS}
CONTROLLED = {
    f"KL {target:g} {side}": {"objective": "controlled", "target_kl": target, "beta": start}
    for target in TARGETS
    for side, start in STARTS.items()
}
CAPACITY = {
    f"capacity {target:g}": {"objective": "capacity", "gamma": 10.0, "capacity": target}
    for target in TARGETS
}
LOSSES = {"total": ("loss", 1), "reconstruction": ("log_likelihood", -1), "KL": ("kl", 1)}
START = {"KL": ("kl", 1), "beta": ("beta", 1)}
NOTE = """
In nats per image. Reconstruction, KL and ELBO: means over the test set; the reconstruction is
-log p(x | z), Bernoulli on grey pixels. Training KL and beta: means over the last epoch's batches.
Settled: the step from which the mean KL of every 25 batches is within {close} nats of the target.
FID: between the test images and as many samples, on the features of the library's classifier of
these images ({extractor}); real training images have {floor:.2f}. A sample is the mean of p(x | z)
for z from the prior.
"""
REFERENCE = {"KL 8 from above": {"FID": 80.6}, "KL 14 from above": {"FID": 136.8}}
SOURCE = "coursework report, data set and features not stated"


def recipes(epochs: int, quick: bool) -> dict[str, recipe.Recipe]:
    data = {"data": "digits", "limit": 300} if quick else {"data": "mnist"}
    common = recipe.Recipe(**data, latent=10, hidden=256, epochs=epochs)
    changes = SWEEP | CONTROLLED | CAPACITY
    return {name: replace(common, **words) for name, words in changes.items()}


def row(run: Run, seen: Inputs) -> study.Row:
    """Where a run ended, how soon it came there, and how its samples look to a classifier."""
    score = study.means(run)
    target = goal(run)
    end = run.history.records[-1]["epoch"]
    last = [record for record in run.history.records if record["epoch"] > end - 1]
    training = {n: sum(r[n] for r in last) / len(last) for n in ("kl", "beta") if n in last[-1]}
    return {
        "run": run.name,
        "beta": training.get("beta", "-"),
        "target": "-" if target is None else target,
        "training KL": training["kl"],
        "off by": "-" if target is None else abs(training["kl"] - target),
        "settled": "-" if target is None else settled(run.history, target),
        "reconstruction": -score["log-likelihood"],
        "KL": score["KL"],
        "ELBO": score["ELBO"],
        "FID": float(fid.score(seen.test, seen.samples)),
    }


def goal(run: Run) -> float | None:
    return run.recipe.target_kl or run.recipe.capacity


def settled(history: History, target: float) -> str:
    """The first step from which the KL stays close to its target."""
    steps, kl = history.series("kl")
    far = [i for i, value in enumerate(kl) if abs(value - target) >= CLOSE]
    after = far[-1] + 1 if far else 0
    return f"step {steps[after]:.0f}" if after < len(steps) else "never"


def point(found: study.Row) -> tuple[float, float]:
    return found["KL"], found["reconstruction"]


def drawn(runs: list[Run], rows: list[study.Row]) -> dict[str, Figure]:
    by_name = {run.name: run for run in runs}
    points = {found["run"]: point(found) for found in rows}
    histories = {name: by_name[name].history for name in CONTROLLED}
    beginning = {
        name: History([record for record in history.records if record["step"] <= 500])
        for name, history in histories.items()
    }
    above = {name: by_name[name].history for name in CONTROLLED if "above" in name}
    shown = {name: by_name[name] for name in ("beta 1", *above)}
    few = pictures.items(runs[0].pair, runs[0].data)
    return {
        "rate-distortion": figures.rate_distortion(
            {name: points[name] for name in SWEEP},
            {
                "PI control": [points[name] for name in CONTROLLED],
                "capacity": [points[name] for name in CAPACITY],
            },
            TARGETS,
        ),
        "terms": figures.overlaid(above, LOSSES),
        "beta": figures.curves(histories, "beta"),
        "start": figures.overlaid(beginning, START),
        "losses": figures.loss_panels({run.name: run.history for run in runs}),
        "reconstructions": figures.images(
            {"original": few.x}
            | {name: pictures.reconstruction(run.pair, few) for name, run in shown.items()}
        ),
        "samples": figures.images(
            {name: pictures.samples(run.pair, 8) for name, run in shown.items()}
        ),
    }


def main(epochs: int, quick: bool, runs: Path, out: Path | None, device: str) -> list[study.Row]:
    runs, out = study.places(runs, out, quick)
    words = recipes(1 if quick else epochs, quick)
    trained = study.train(words, runs / NAME, device, log_every=25)
    parts = recipe.sets(trained[0].recipe)
    network = extractor("auto", parts.test.name)
    seen = [Inputs(run.pair, parts.training, run.data, network) for run in trained]
    rows = [row(run, one) for run, one in zip(trained, seen, strict=True)]
    floor = float(fid.score(seen[0].test, seen[0].train))
    study.show(rows, NOTE.format(close=CLOSE, extractor=identity(network), floor=floor))
    compared = study.beside(rows, REFERENCE, SOURCE)
    study.show(compared)
    study.write(out, NAME, trained, [*rows, *compared], drawn(trained, rows))
    return rows


if __name__ == "__main__":
    study.command(main)
