"""Measure what docs/objectives.md claims as proven, and write its table.

python tests/objectives_table.py    # rewrites the section "Proven" of docs/objectives.md

The tests measure by the same functions, and hold each number to its bound.
"""

import importlib.util
import math
import sys
from pathlib import Path

import pyro
import pyro.distributions as dist
import torch
from pyro.infer import RenyiELBO, Trace_ELBO, TraceMeanField_ELBO
from torch import nn

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import aggregate_toy as toy  # noqa: E402
import toy_pairs as pairs  # noqa: E402

from probgen import objectives  # noqa: E402
from probgen.evaluation import likelihood  # noqa: E402

LOCAL = [pairs.Plain, pairs.Subsampled, pairs.Masked, pairs.Mixture, pairs.Nested, pairs.Factor]
ALL = pairs.PAIRS
SIZE = {"data_size": 60}

LIMITS = {
    "ELBO = Pyro's TraceMeanField_ELBO": (objectives.ELBO, TraceMeanField_ELBO, ALL),
    "BetaELBO(1) = Pyro's TraceMeanField_ELBO": (
        objectives.BetaELBO, TraceMeanField_ELBO, ALL,
    ),
    "TotalCorrelationELBO(1, 1, 1) = ELBO": (
        lambda: objectives.TotalCorrelationELBO(1, 1, 1, **SIZE),
        lambda: objectives.ELBO(**SIZE), [*LOCAL, pairs.Global],
    ),
    "TotalCorrelationELBO(4, 4, 4) = BetaELBO(4)": (
        lambda: objectives.TotalCorrelationELBO(4, 4, 4, **SIZE),
        lambda: objectives.BetaELBO(4, **SIZE), [*LOCAL, pairs.Global],
    ),
    "ImportanceWeightedELBO(1, gradient='naive') = Pyro's Trace_ELBO": (
        lambda: objectives.ImportanceWeightedELBO(1, gradient="naive"), Trace_ELBO,
        [*LOCAL, pairs.Scaled],
    ),
    "CapacityELBO(4, capacity=0) = BetaELBO(4)": (
        lambda: objectives.CapacityELBO(4.0, 0.0), lambda: objectives.BetaELBO(4),
        [kind for kind in ALL if kind is not pairs.Mixture],
    ),
    "FreeBitsELBO(0) = ELBO": (
        lambda: objectives.FreeBitsELBO(0.0), objectives.ELBO,
        [kind for kind in ALL if kind is not pairs.Mixture],
    ),
    "ControlledELBO without gains, beta 4 = BetaELBO(4)": (
        lambda: objectives.ControlledELBO(5.0, kp=0.0, ki=0.0, start=4.0),
        lambda: objectives.BetaELBO(4), ALL,
    ),
    "GECO without gains, lambda 1, tolerance 0 = ELBO": (
        lambda: objectives.GECO(0.0, kp=0.0, ki=0.0), objectives.ELBO, ALL,
    ),
}  # fmt: skip


def limit(ours, sibling, kinds):
    """Greatest differences (value, gradient) over the pairs, relative to the sibling's."""
    values, slopes = [], []
    for kind in kinds:
        pair, x = kind().double(), torch.linspace(-1, 1, 6).double()
        value, gradient = pairs.gradients(ours(), pair, x)
        wanted, slope = pairs.gradients(sibling(), pair, x)
        gradient, slope = (torch.cat([g.flatten() for g in t]) for t in (gradient, slope))
        values.append(abs(value - wanted) / abs(wanted))
        slopes.append(((gradient - slope).norm() / slope.norm()).item())
    return max(values), max(slopes)


class Normals(nn.Module):
    """z ~ N(0, I), x | z ~ N(z, I) in two dimensions; q(z | x) = N(loc, scale) of each row."""

    def __init__(self, x, size=None):
        super().__init__()
        self.x, self.size = x.double(), size or len(x)
        self.loc = nn.Parameter(torch.full_like(self.x, 0.3))
        self.log_scale = nn.Parameter(torch.full_like(self.x, -0.1))

    def plate(self):
        return pyro.plate("data", self.size, subsample=torch.arange(len(self.x)))

    def model(self):
        with self.plate():
            z = pyro.sample("z", dist.Normal(torch.zeros(2).double(), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=self.x)

    def guide(self):
        pyro.module(f"normals{id(self)}", self)
        with self.plate():
            pyro.sample("z", dist.Normal(self.loc, self.log_scale.exp()).to_event(1))

    def evidence(self):
        """Mean log p(x)."""
        return dist.Normal(0.0, math.sqrt(2)).log_prob(self.x).sum(-1).mean().item()


def bound(objective, pair):
    """The bound per datum of the plate."""
    pyro.clear_param_store()
    torch.manual_seed(0)
    return -float(objective.loss(pair.model, pair.guide)) / pair.size


def bounds_by_plate(k=50, rows=64):
    """Bound per datum for plates of 1, 10 and 1000 times the rows: ours and RenyiELBO's."""
    x = torch.randn(rows, 2, generator=torch.Generator().manual_seed(1))
    both = {}
    for times in (1, 10, 1000):
        pair = Normals(x, rows * times)
        ours = objectives.ImportanceWeightedELBO(k, max_plate_nesting=1)
        renyi = RenyiELBO(0, k, vectorize_particles=True, max_plate_nesting=1)
        both[times] = bound(ours, pair), bound(renyi, pair)
    return both


ONE = torch.tensor([[0.4, -0.2]])


def bounds_by_samples(rows=20_000):
    """Bound for K = 1, 4, 16, 64 as a mean over so many draws; and log p(x)."""
    pair = Normals(ONE.expand(rows, 2))
    found = {
        k: bound(objectives.ImportanceWeightedELBO(k, max_plate_nesting=1), pair)
        for k in (1, 4, 16, 64)
    }
    return found, pair.evidence()


def signal_to_noise(gradient, rows=20_000):
    """|mean| / standard deviation of the guide's gradient for K = 1, 8, 64, over as many draws."""
    found = {}
    for k in (1, 8, 64):
        pair = Normals(ONE.expand(rows, 2))
        objective = objectives.ImportanceWeightedELBO(k, gradient=gradient, max_plate_nesting=1)
        torch.manual_seed(0)
        objective.loss_and_grads(pair.model, pair.guide)
        draws = torch.cat([pair.loc.grad, pair.log_scale.grad], 1)
        found[k] = (draws.mean(0).norm() / draws.var(0).sum().sqrt()).item()
    return found


def reported():
    """Exact (MI, TC) of the toy, and the scores that ``decompose`` reports."""
    pair = toy.Planes()
    exact = [value.item() for value in toy.exact(pair)]
    found = likelihood.decompose(pair, toy.indices())
    return exact, found


def minibatch(estimator, chunks=20, batches=100):
    """Of MI, TC: the mean of an estimator, its standard error, and the bias of its gradient."""
    pair, generator = toy.Planes(), torch.Generator().manual_seed(0)
    exact = [toy.gradient(pair, value) for value in toy.exact(pair)]
    values, gradients = [], []
    for _ in range(chunks):
        found = toy.estimated(pair, estimator, batches, generator)
        values.append(torch.stack(found).detach())
        gradients.append(torch.stack([toy.gradient(pair, v) for v in found]))
    mean, slopes = torch.stack(values), torch.stack(gradients)
    error = mean.std(0) / chunks**0.5
    bias = [
        ((slope - wanted).norm() / wanted.norm()).item()
        for slope, wanted in zip(slopes.mean(0), exact, strict=True)
    ]
    return mean.mean(0).tolist(), error.tolist(), bias


def exercise(x):
    """(theta by SVI, ELBO there) of z ~ Exp(1), x ~ Exp(z), q = Gamma(2, theta)."""
    path = ROOT / "examples" / "gamma_exercise.py"
    spec = importlib.util.spec_from_file_location("gamma_exercise", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    theta, _ = module.main(x)
    return theta, module.elbo(theta, x)


def table(head, rows):
    """Lines of a Markdown table."""
    return [
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
        *(f"| {' | '.join(map(str, row))} |" for row in rows),
        "",
    ]


def limits_section():
    rows = []
    for name, case in LIMITS.items():
        value, gradient = limit(*case)
        rows.append((f"`{name}`", len(case[2]), f"{value:.0e}", f"{gradient:.0e}"))
    return table(("limit", "programs", "value differs by", "gradient differs by"), rows)


def aggregate_section():
    (information, correlation), found = reported()
    rows = [("exact, on grids", f"{information:.2f}", "", f"{correlation:.2f}", "")]
    ours = found.mutual_information, found.total_correlation
    shown = [f"{s.value:.2f} ± {s.details['standard_error']:.2f}" for s in ours]
    rows.append(("`likelihood.decompose`", shown[0], "", shown[1], ""))
    for name in toy.ESTIMATORS:
        mean, _, bias = minibatch(name)
        rows.append((f"batch of 64, {name}", f"{mean[0]:.2f}", f"{bias[0]:.2f}",
                     f"{mean[1]:.2f}", f"{bias[1]:.2f}"))  # fmt: skip
    head = ("estimate", "MI, nats", "bias of its gradient", "TC, nats", "bias of its gradient")
    return table(head, rows)


def bound_sections():
    plates = [
        (f"{times} B", f"{ours:.4f}", f"{renyi:.4f}")
        for times, (ours, renyi) in bounds_by_plate().items()
    ]
    by_k, evidence = bounds_by_samples()
    naive, dreg = signal_to_noise("naive"), signal_to_noise("dreg")
    bounds = [(k, f"{value:.4f}") for k, value in by_k.items()]
    noise = [(k, f"{naive[k]:.3f}", f"{dreg[k]:.3f}") for k in naive]
    head = ("plate", "`ImportanceWeightedELBO(50)`", "Pyro's `RenyiELBO`")
    return [
        *table(head, plates),
        *table(("K", "bound per datum"), [*bounds, ("log p(x)", f"{evidence:.4f}")]),
        *table(("K", "naive", "DReG"), noise),
    ]


def exercise_section():
    rows = []
    for x in (0.1, 1.0, 10.0):
        theta, elbo = exercise(x)
        evidence = -2 * math.log(x + 1)
        rows.append((f"{x:g}", f"{theta:.4f}", f"{x + 1:g}", f"{elbo:.5f}", f"{evidence:.5f}"))
    return table(("x", "theta by SVI", "x + 1", "ELBO", "log p(x)"), rows)


START, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def section():
    """The text between the two marks."""
    return "\n".join([
        "Each objective at its limit is its simpler sibling; differences relative to the",
        "sibling's, the greatest over so many programs (subsampled, masked, nested, scaled,",
        "mixture prior, global latent ...), at the same samples in float64:",
        "",
        *limits_section(),
        f"N = {toy.N} data, normal q(z | x) in {4} dimensions, whose aggregate posterior is an",
        "integral over planes. Means over 2,000 batches of 64; the bias of a gradient is its",
        "distance from the exact one, relative to the latter's length:",
        "",
        *aggregate_section(),
        "The importance-weighted bound per datum does not move with the size of the plate that",
        "B = 64 rows stand for, rises with K towards log p(x), and has a DReG gradient of the",
        "guide whose signal-to-noise ratio (length of the mean over the standard deviation of one",
        "draw) grows with K, where the naive one's falls to what 20,000 draws can tell from 0:",
        "",
        *bound_sections(),
        "z ~ Exp(1), x ~ Exp(z), q = Gamma(2, theta) (`examples/gamma_exercise.py`):",
        "",
        *exercise_section(),
    ])  # fmt: skip


def main():
    path = ROOT / "docs" / "objectives.md"
    before, _, rest = path.read_text().partition(START)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{START}\n{section()}{END}{after}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
