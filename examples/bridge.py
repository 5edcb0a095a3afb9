"""The pharmacy network as a graph, as a program and with an intervention; a VAE as a graph.

python examples/bridge.py --out runs/bridge
"""

import argparse
from pathlib import Path

import numpy as np
import pyro
import torch
from pyro import distributions as dist
from pyro.infer import TraceEnum_ELBO, autoguide

from probgen import dsep, exact, graph, models, nets, program
from probgen.reasoning import drawing

KNOWN = {"D": "yes", "F": "poor"}


def as_graph():
    """Independence is read from the edges, whatever the tables."""
    print("As a graph")
    print(dsep.check("pharmacy", "M", "D", given=["I"]))
    print(dsep.check("pharmacy", "M", "F", given=["T"]), end="\n\n")


def as_program():
    """The same network as a Pyro model, enumerated: how far its posteriors are from exact ones."""
    model, guide = program.program_of("pharmacy")
    known = pyro.condition(model, model.codes(KNOWN))
    found = TraceEnum_ELBO(max_plate_nesting=0).compute_marginals(known, guide)
    posterior = exact.marginals("pharmacy", KNOWN)
    gap = max(
        abs(float(p) - posterior[v][state])
        for v, d in found.items()
        for state, p in zip(model.states[v], d.probs, strict=True)
    )
    same = set(program.graph_of(model).edges) == set(graph.load("pharmacy").edges)
    print(f"As a program\nread back as a graph it is the network: {same}")
    print(f"enumeration and exact inference differ by at most {gap:.0e}", end="\n\n")
    return same, gap


def intervened():
    """Who gets the dear drug is more severely ill; who is given it, is not."""
    print("An intervention: P(death)")
    for drug in ("cheap", "dear"):
        seen = exact.marginals("pharmacy", {"T": drug})["D"]["yes"]
        done = exact.marginals("pharmacy", do={"T": drug})["D"]["yes"]
        print(f"{drug:>6} drug seen {seen:.4f}, given {done:.4f}")
    model, _ = program.program_of("pharmacy")
    cut = program.graph_of(pyro.do(model, model.codes({"T": "dear"})))
    print(
        f"T, the drug that would have been chosen, now acts on {list(cut.succ['T'])}", end="\n\n"
    )


def learned(rows):
    """Tables from samples: counting, EM and the exact gradient agree."""
    network = graph.load("pharmacy")
    data = exact.sample(network, rows, seed=0)
    tables = exact.counts(network, data)
    counted = {v: t / t.sum(-1, keepdims=True) for v, t in tables.items()}
    blank = network.copy()
    for _, node in blank.nodes(data=True):
        node["table"] = np.full_like(node["table"], 1 / len(node["states"]))
    print(f"Tables learned from {rows:,} samples")
    gaps = {}
    for method in ("em", "gradient"):
        fitted = exact.fit(blank, data, method=method)
        gaps[method] = max(
            np.abs(fitted.network.nodes[v]["table"] - counted[v]).max() for v in network
        )
        print(f"{method:>8}: {fitted.log_likelihood[-1]:.4f} nats, ", end="")
        print(f"at most {gaps[method]:.0e} from counting")
    print()
    return gaps


def vae():
    """A VAE, asked about its own independences."""
    x = torch.rand(16, 1, 8, 8)
    pair = models.VAE(nets.dense_encoder((1, 8, 8), 4), nets.dense_decoder(4, (1, 8, 8)))
    generative, guide = (program.graph_of(f, x) for f in (pair.model, pair.guide))
    print("A VAE, its guide, and what the guide cannot represent")
    print(dsep.check(generative, "z", "x"))
    print(dsep.check(guide, "x", "z"))
    print(program.audit(pair.model, pair.guide, x), end="\n\n")
    return generative, guide


def two_causes():
    """Two causes, one effect: independent before it is seen, dependent after."""
    z1, z2 = (pyro.sample(z, dist.Normal(0.0, 1.0)) for z in ("z1", "z2"))
    pyro.sample("x", dist.Normal(z1 + z2, 1.0), obs=torch.tensor(3.0))


def audited():
    """What mean field drops, and a full covariance does not."""
    print("Two causes, one effect")
    for kind in (autoguide.AutoNormal, autoguide.AutoMultivariateNormal):
        print(f"{kind.__name__}: {program.audit(two_causes, kind(two_causes))}")


def main(rows=10_000, out=None):
    """All of it."""
    as_graph()
    as_program()
    intervened()
    learned(rows)
    graphs = dict(zip(("model", "guide"), vae(), strict=True))
    audited()
    if out:
        out.mkdir(parents=True, exist_ok=True)
        for name, drawn in graphs.items():
            (out / f"{name}.svg").write_text(drawing.svg(drawing.picture(drawn)), "utf-8")
        print(f"pictures: {out}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--out", type=Path, help="folder for the pictures")
    arguments = parser.parse_args()
    main(arguments.rows, arguments.out)
