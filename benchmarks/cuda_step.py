"""Time per step on a CUDA device: ours, captured, beside Pyro's and a loop captured by hand.

MLP VAE 784-400-32 on MNIST (batch 128), a convolutional VAE on 64 x 64 dSprites (batch 64) and the
hierarchical regression of ``training.py``, data on the device. Each round times every contender
once, in turn; what counts is the median over the rounds of the ratio within a round. "fit" is the
rate that ``training.fit`` records once its step is captured. A step's arithmetic is that of matrix
products and convolutions, its traffic what its kernels read and write without fusion; both are
given as shares of what large matrix products and copies reach on the device.

    python benchmarks/cuda_step.py --out benchmarks/results/cuda_step.json

``--device cpu`` runs the same code without captures.
"""

import argparse
import json
import statistics
from pathlib import Path

import pyro
import torch
from svi_step import (
    LR,
    batches,
    by_hand,
    by_pyro,
    machine,
    paired,
    report,
    update_by_hand,
    vae,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode
from training import PROGRAMS, by_svi

from probgen import data, lowering, objectives, training

SPRITES = 50_000
SPARE = 3
"""First records of a run, in which its step is recorded and captured."""


def by_fit(train, batch_size, steps, conv=False):
    """Seconds by the rate that ``fit`` records."""
    pair, every = vae(train, conv), max(1, steps // 20)

    def loop():
        history = training.fit(
            pair, objectives.ELBO(), train, steps=steps, batch_size=batch_size, lr=LR,
            lower="graph", log_every=every,
        )  # fmt: skip
        rates = history.series("images_per_second")[1][SPARE:]
        return steps * batch_size / statistics.median(rates)

    return loop


def by_capture(train, batch_size, steps, conv=False):
    """The loop by hand, its step captured in a CUDA graph."""
    update = update_by_hand(train, conv, capturable=True)
    index = batches(train, batch_size, 1)[0].clone()
    beside = torch.cuda.Stream()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(3):
            update(index)
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        update(index)

    def loop():
        for rows in batches(train, batch_size, steps):
            index.copy_(rows)
            graph.replay()

    return loop


class Traffic(TorchDispatchMode):
    """Bytes that operations read and write; views move none."""

    total = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if not function.is_view:
            leaves = tree_leaves((args, kwargs, result))
            self.total += sum(t.nbytes for t in leaves if isinstance(t, torch.Tensor))
        return result


def work(train, batch_size, conv):
    """Operations and bytes of a step by hand."""
    update, index = update_by_hand(train, conv), batches(train, batch_size, 1)[0]
    update(index)
    with FlopCounterMode(display=False) as counter:
        update(index)
    with Traffic() as traffic:
        update(index)
    return counter.get_total_flops(), traffic.total


def limits(device, side, repeats=20):
    """Operations and bytes a second of float32 matrix products and of copies."""
    a, b = torch.randn(2, side, side, device=device)
    out = torch.empty_like(a)

    def products():
        for _ in range(repeats):
            torch.mm(a, b, out=out)

    def copies():
        for _ in range(repeats):
            out.copy_(a)

    times = paired({"products": products, "copies": copies}, 5)
    fastest = {name: min(values) for name, values in times.items()}
    return repeats * 2 * side**3 / fastest["products"], repeats * 2 * a.nbytes / fastest["copies"]


def shares(row, steps_work, limit):
    """How much of the device each contender uses."""
    seconds = {name: value / 1e3 for name, value in row["medians"].items()}
    names = ("arithmetic", "memory")
    row["share of the device"] = {
        kind: {name: round(amount / s / most, 4) for name, s in seconds.items()}
        for kind, amount, most in zip(names, steps_work, limit, strict=True)
    }
    for kind, found in row["share of the device"].items():
        print(f"  share of {kind}: " + ", ".join(f"{n} {v:.1%}" for n, v in found.items()))
    return row


def of_vae(title, train, batch_size, steps, rounds, limit, conv=False):
    size = train, batch_size, steps
    contenders = {
        "pyro": by_pyro(*size, conv=conv),
        "SVI": by_pyro(*size, lowering.SVI, conv=conv, lower="graph"),
        "fit": by_fit(*size, conv=conv),
        "by hand": by_hand(*size, conv=conv),
    }
    if train.x.is_cuda:
        contenders["captured by hand"] = by_capture(*size, conv=conv)
    times = paired(contenders, rounds)
    against = [name for name in contenders if name not in ("SVI", "fit")]
    row = report(title, times, ("SVI", "fit"), against, 1e3 / steps, "ms")
    return shares(row, work(train, batch_size, conv), limit)


def of_regression(device, steps, rounds):
    name = next(iter(PROGRAMS))
    with torch.device(device):
        loops = {
            "pyro": by_svi(pyro.infer.SVI, name, steps),
            "SVI": by_svi(lowering.SVI, name, steps, lower="graph"),
            "SVI inductor": by_svi(lowering.SVI, name, steps, lower="inductor"),
        }
        times = paired(loops, rounds)
    return report(name, times, ("SVI", "SVI inductor"), ("pyro",), 1e3 / steps, "ms")


def sprites():
    few = data.dsprites()[0].take(range(SPRITES))
    images = few.batch(slice(0, SPRITES))[0]
    return data.arrays(images.mul(255).to(torch.uint8), name=few.name)


def main(device, steps, rounds, out):
    limit = limits(device, 8192 if device != "cpu" else 1024)
    mnist = data.mnist()[0].to(device)
    title = "MLP VAE 784-400-32, MNIST, batch 128"
    rows = [of_vae(title, mnist, 128, steps, rounds, limit)]
    title = "convolutional VAE, 64 x 64 dSprites, latent 64, batch 64"
    rows.append(of_vae(title, sprites().to(device), 64, steps, rounds, limit, conv=True))
    rows.append(of_regression(device, max(1, steps // 4), rounds))
    facts = machine() | {"device": device, "products, GFLOP/s": round(limit[0] / 1e9),
                         "copies, GB/s": round(limit[1] / 1e9)}  # fmt: skip
    if device != "cpu":
        facts |= {"device": torch.cuda.get_device_name(), "CUDA": torch.version.cuda}
    print(facts)
    if out:
        Path(out).write_text(json.dumps({"machine": facts, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--steps", type=int, default=400, help="steps per round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", help="write the numbers as JSON too")
    main(**vars(parser.parse_args()))
