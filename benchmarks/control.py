"""Which variable a PI controller of beta should integrate: beta or log (beta + c), and which c.

Every rule steers the KL of the same networks to the targets that people use, from both bounds
(beta 0, where the KL overshoots, and beta 100, where it stays low), with kp = 1 and ki = 0.02.
The error is in nats, as published, or relative: tenths of targets above 10. Counted are the
steps until the mean KL of every 25 batches stays within 0.5 nats or 2 %, the greatest
KL on the way, and the mean and deviation of KL and beta over the last 100 steps.

    python benchmarks/control.py --out benchmarks/results/control.json
"""

import argparse
import json
import math
import platform
from functools import partial
from pathlib import Path

import numpy as np
import torch

from probgen import data, models, nets, objectives, training

KP, KI, LARGEST, WINDOW = 1.0, 0.02, 100.0, 25
OFFSETS = {"beta": None, **{f"log (beta + {c:g})": c for c in (0.001, 0.1, 1.0)}}
RULES = [(name, True) for name in OFFSETS] + [("beta", False), ("log (beta + 0.1)", False)]


class Ruled(objectives.ELBO):
    """The ELBO with beta by a rule in plain floats."""

    def __init__(self, target, space, relative, start):
        super().__init__()
        self.offset = OFFSETS[space]
        self.target, self.unit = target, max(1.0, target / 10) if relative else 1.0
        self.beta, self.integral = start, self.enter(start)

    def enter(self, beta):
        """The variable that is integrated."""
        return beta if self.offset is None else math.log(beta + self.offset)

    def leave(self, u):
        """Back to beta."""
        return u if self.offset is None else math.exp(u) - self.offset

    def combine(self, terms):
        """Loss per datum."""
        return self._penalised(terms, self.beta * terms.total_kl.mean())

    def weights(self):
        """The beta of this step."""
        return {"beta": torch.tensor(self.beta)}

    def steer(self, terms):
        """One step of the rule."""
        error = (self.target - terms.total_kl.mean().item()) / self.unit
        swing = -0.5 * KP * math.tanh(error / 2)
        low, high = self.enter(0.0), self.enter(LARGEST)
        u = self.integral + swing
        if not ((u >= high and error < 0) or (u <= low and error > 0)):
            self.integral = min(max(self.integral - KI * error, low), high)
        self.beta = self.leave(min(max(self.integral + swing, low), high))


def plants(targets):
    """(name, target, data, latent, likelihood): where the literature uses such a target."""
    half = partial(models.Gaussian, math.sqrt(0.5))
    known = [
        (10.0, "digits", 16, half),
        (8.0, "mnist", 10, models.Bernoulli),
        (14.0, "mnist", 10, models.Bernoulli),
        (16.0, "dsprites", 10, models.Bernoulli),
        (18.0, "dsprites", 10, models.Bernoulli),
        (25.0, "fashion_mnist", 32, half),
        (180.0, "cifar10", 200, models.OptimalGaussian),
    ]
    for target, name, latent, likelihood in known:
        if target in targets:
            part = getattr(data, name)()[0]
            drawn = torch.randperm(len(part), generator=torch.Generator().manual_seed(0))
            yield name, target, part.take(drawn[:20_000]), latent, likelihood


def run(part, latent, likelihood, objective, steps):
    torch.manual_seed(0)
    pair = models.VAE(
        nets.dense_encoder(part.shape, latent, (200,)),
        nets.dense_decoder(latent, part.shape, (200,)),
        likelihood(),
    )
    history = training.fit(pair, objective, part, steps=steps, log_every=1, show=False)
    return [np.array(history.series(name)[1]) for name in ("kl", "beta")]


def settled(kl, target):
    """The step from which the mean over a window stays close to the target; None for never."""
    means = kl[: len(kl) // WINDOW * WINDOW].reshape(-1, WINDOW).mean(1)
    far = np.flatnonzero(abs(means - target) >= max(0.5, 0.02 * target))
    after = far[-1] + 1 if len(far) else 0
    return int(after * WINDOW) if after < len(means) else None


def row(plant, space, relative, start, steps):
    name, target, part, latent, likelihood = plant
    objective = Ruled(target, space, relative, start)
    kl, beta = run(part, latent, likelihood, objective, steps)
    found = {
        "data": name, "target": target, "integral in": space,
        "error": "relative" if relative else "nats", "start": start, "steps": steps,
        "settled": settled(kl, target), "greatest KL": round(kl.max(), 1),
        "KL": round(kl[-100:].mean(), 2), "deviation of KL": round(kl[-100:].std(), 2),
        "beta": round(beta[-100:].mean(), 3), "deviation of beta": round(beta[-100:].std(), 3),
    }  # fmt: skip
    print(json.dumps(found), flush=True)
    return found


def main(steps, targets, rules, out):
    rows = []
    for plant in plants(targets):
        for space, relative in RULES:
            if space not in rules or (not relative and plant[1] <= 10):
                continue  # up to 10 nats both errors are one
            rows += [row(plant, space, relative, start, steps) for start in (0.0, LARGEST)]
    machine = {"machine": platform.machine(), "torch": torch.__version__}
    machine["threads"] = torch.get_num_threads()
    if out:
        Path(out).write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--targets", type=float, nargs="+", default=[10, 8, 14, 16, 18, 25, 180])
    parser.add_argument("--rules", nargs="+", choices=OFFSETS, default=[*OFFSETS])
    parser.add_argument("--out", help="write the numbers as JSON too")
    main(**vars(parser.parse_args()))
