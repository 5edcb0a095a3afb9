"""Time per SVI step of Pyro programs: Pyro, the same lowered, and NumPyro's jitted update.

Each round times every contender once, in turn; what counts is the median over the rounds of the
ratio within a round. Data and initial values are the same; all use Adam.

    OMP_NUM_THREADS=2 python benchmarks/training.py

The hidden Markov model has 13,000 operations: inductor takes minutes to compile it, once; later
runs find the code in its cache. ``--fast`` leaves inductor out.

NumPyro is timed where it can be imported (pip install --target DIR numpyro; PYTHONPATH=DIR).
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.infer import Trace_ELBO, TraceEnum_ELBO, autoguide, config_enumerate
from timing import machine, paired, ratio

from probgen import lowering

LR, GROUPS, ROWS, LENGTH = 0.01, 50, 2000, 100


def hierarchical(group, x, y):
    mean = pyro.sample("mean", dist.Normal(0.0, 1.0))
    spread = pyro.sample("spread", dist.HalfNormal(1.0))
    noise = pyro.sample("noise", dist.HalfNormal(1.0))
    with pyro.plate("groups", GROUPS):
        slope = pyro.sample("slope", dist.Normal(mean, spread))
    with pyro.plate("rows", ROWS):
        pyro.sample("y", dist.Normal(slope[group] * x, noise), obs=y)


@config_enumerate
def mixture(x):
    weights = pyro.sample("weights", dist.Dirichlet(torch.ones(5)))
    scale = pyro.sample("scale", dist.LogNormal(0.0, 1.0))
    with pyro.plate("components", 5):
        loc = pyro.sample("loc", dist.Normal(0.0, 10.0))
    with pyro.plate("data", len(x)):
        component = pyro.sample("component", dist.Categorical(weights))
        pyro.sample("x", dist.Normal(loc[component], scale), obs=x)


@config_enumerate
def markov(x):
    with pyro.plate("states", 4):
        transition = pyro.sample("transition", dist.Dirichlet(torch.ones(4)))
        loc = pyro.sample("loc", dist.Normal(0.0, 5.0))
    state = 0
    for t in pyro.markov(range(LENGTH)):
        state = pyro.sample(f"state{t}", dist.Categorical(transition[state]))
        pyro.sample(f"x{t}", dist.Normal(loc[state], 1.0), obs=x[t])


def program(name):
    """Model, guide, loss and data."""
    pyro.set_rng_seed(0)
    x = torch.randn(ROWS)
    if name == "hierarchical regression, 50 groups, 2,000 rows":
        group = torch.randint(0, GROUPS, (ROWS,))
        y = torch.randn(GROUPS)[group] * x + 0.5 * torch.randn(ROWS)
        return hierarchical, autoguide.AutoNormal(hierarchical), Trace_ELBO(), (group, x, y)
    enumerated = TraceEnum_ELBO(max_plate_nesting=1)
    if name == "Gaussian mixture, 5 components, 2,000 rows, enumerated":
        guide = autoguide.AutoNormal(poutine.block(mixture, hide=["component"]))
        return mixture, guide, enumerated, (x + torch.randint(-3, 4, (ROWS,)) * 3.0,)
    guide = autoguide.AutoNormal(poutine.block(markov, expose=["transition", "loc"]))
    return markov, guide, enumerated, (x[:LENGTH] + torch.arange(LENGTH) % 4 * 5.0,)


PROGRAMS = {
    "hierarchical regression, 50 groups, 2,000 rows": 40,
    "Gaussian mixture, 5 components, 2,000 rows, enumerated": 20,
    "hidden Markov model, 4 states, 100 steps, enumerated": 20,
}
"""Steps per round of each."""


def by_svi(kind, name, steps, **settings):
    """A loop in a parameter store of its own; its first steps are taken and timed here."""
    store = pyro.get_param_store()
    with store.scope() as parameters:
        model, guide, loss, args = program(name)
        svi = kind(model, guide, pyro.optim.Adam({"lr": LR}), loss, **settings)
        start = time.perf_counter()
        for _ in range(2):
            svi.step(*args)
        svi.first = time.perf_counter() - start

    def loop():
        with store.scope(parameters):
            for _ in range(steps):
                svi.step(*args)

    loop.svi = svi
    return loop


def by_numpyro(steps):
    """NumPyro's jitted update of the hierarchical regression."""
    import jax
    import numpyro
    import numpyro.distributions as jdist
    from numpyro.infer import SVI, autoguide
    from numpyro.infer import Trace_ELBO as Loss

    *_, args = program("hierarchical regression, 50 groups, 2,000 rows")
    data = [jax.numpy.asarray(arg.numpy()) for arg in args]

    def model(group, x, y):
        mean = numpyro.sample("mean", jdist.Normal(0.0, 1.0))
        spread = numpyro.sample("spread", jdist.HalfNormal(1.0))
        noise = numpyro.sample("noise", jdist.HalfNormal(1.0))
        with numpyro.plate("groups", GROUPS):
            slope = numpyro.sample("slope", jdist.Normal(mean, spread))
        with numpyro.plate("rows", ROWS):
            numpyro.sample("y", jdist.Normal(slope[group] * x, noise), obs=y)

    svi = SVI(model, autoguide.AutoNormal(model), numpyro.optim.Adam(LR), Loss())
    state = svi.init(jax.random.PRNGKey(0), *data)
    update = jax.jit(svi.update)

    def loop():
        nonlocal state
        for _ in range(steps):
            state, loss = update(state, *data)
        jax.block_until_ready(loss)

    return loop


def contenders(name, steps, compiled):
    found = {
        "pyro": by_svi(pyro.infer.SVI, name, steps),
        "graph": by_svi(lowering.SVI, name, steps, lower="graph"),
    }
    if compiled:
        found["inductor"] = by_svi(lowering.SVI, name, steps, lower="inductor")
    if name.startswith("hierarchical"):
        try:
            found["numpyro"] = by_numpyro(steps)
        except ImportError:
            print("  (no NumPyro here)")
    return found


def row(name, steps, rounds, compiled):
    print(name, flush=True)
    loops = contenders(name, steps, compiled)
    first = {n: round(loop.svi.first, 2) for n, loop in loops.items() if hasattr(loop, "svi")}
    used = {n: loops[n].svi.lowered.used for n in ("graph", "inductor") if n in loops}
    times = paired(loops, rounds)
    medians = {n: round(statistics.median(t) * 1000 / steps, 3) for n, t in times.items()}
    ratios = {f"pyro / {n}": round(ratio(times, "pyro", n), 2) for n in medians if n != "pyro"}
    if "numpyro" in times and "inductor" in times:
        ratios["inductor / numpyro"] = round(ratio(times, "inductor", "numpyro"), 3)
    for n, value in medians.items():
        print(f"  {n:9} {value:9.3f} ms   first two steps {first.get(n, float('nan')):6.2f} s")
    for n, value in ratios.items():
        print(f"  {n:20} {value:8.2f}", flush=True)
    return {"title": name, "unit": "ms per step", "medians": medians, "ratios": ratios,
            "seconds to the second step": first, "used": used}  # fmt: skip


def memory():
    """Greatest resident memory of a process that takes 50 eager, or lowered, steps."""
    found = {}
    for lower in ("eager", "graph"):
        command = [sys.executable, __file__, "--peak", lower]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found[lower] = int(done.stdout)
    found["graph / eager"] = round(found["graph"] / found["eager"], 3)
    print(f"greatest resident memory, MB: {found}")
    return {"title": "greatest resident memory of the hierarchical regression, MB", **found}


def peak(lower):
    loop = by_svi(lowering.SVI, next(iter(PROGRAMS)), 50, lower=lower)
    loop()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


def main(rounds, out, fast):
    warnings.simplefilter("always", lowering.LoweringWarning)
    rows = [row(name, steps, rounds, compiled=not fast) for name, steps in PROGRAMS.items()]
    rows.append(memory())
    if out:
        facts = {"machine": machine(pyro=pyro.__version__), "rows": rows}
        Path(out).write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--fast", action="store_true", help="without inductor")
    parser.add_argument("--out", help="write the numbers as JSON too")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    options = vars(parser.parse_args())
    lower = options.pop("peak")
    peak(lower) if lower else main(**options)
