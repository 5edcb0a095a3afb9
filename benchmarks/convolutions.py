"""What makes a convolutional VAE's hand-written step faster, as a share of what the cores can do.

Fashion-MNIST, latent 64, batch 128, fused Adam, no library around the loop. Variants of one thing
each: memory format, loss, threads, how the decoder enlarges. Each round times every variant once,
in turn; what counts is the median over the rounds of the ratio to the first within a round. The
arithmetic of a step is counted (convolutions and matrix products, forward and backward); the peak
is that of float32 matrix products here, timed in the same rounds.

    OMP_NUM_THREADS=2 python benchmarks/convolutions.py
"""

import argparse
import json
from pathlib import Path

import torch
from svi_step import LR, SHAPE, batches, machine, paired, report, vae
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from probgen import data, models, nets

LATENT, BATCH, SIDE, PRODUCTS = 64, 128, 2048, 4


def enlarged(*layers):
    """A VAE whose decoder goes 7x7 -> 14x14 -> 28x28 by other layers than transposed ones."""
    torch.manual_seed(0)
    start = [nn.Linear(LATENT, 256), nn.ReLU(), nn.Linear(256, 64 * 49), nn.ReLU()]
    trunk = nn.Sequential(*start, nn.Unflatten(1, (64, 7, 7)), *layers)
    return models.VAE(nets.conv_encoder(SHAPE, LATENT), nets.Decoder(LATENT, SHAPE, trunk))


def resized():
    """Nearest neighbours, then a 3x3 convolution: no checkerboards, 9 / 4 of the products."""
    first = nn.Upsample(scale_factor=2), nn.Conv2d(64, 32, 3, padding=1), nn.ReLU()
    return enlarged(*first, nn.Upsample(scale_factor=2), nn.Conv2d(32, 1, 3, padding=1))


def shuffled():
    """A 3x3 convolution at the small size with four times the channels, then a rearrangement."""
    first = nn.Conv2d(64, 128, 3, padding=1), nn.PixelShuffle(2), nn.ReLU()
    return enlarged(*first, nn.Conv2d(32, 4, 3, padding=1), nn.PixelShuffle(2))


def library_loss(logits, x):
    return functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")


def softplus_loss(logits, x):
    """The same number, log(1 + e^l) - x l."""
    return functional.softplus(logits).sum() - torch.dot(x.flatten(), logits.flatten())


def stepping(train, steps, pair, loss=library_loss, layout=torch.contiguous_format, threads=None):
    pair = pair.to(memory_format=layout)
    optimizer = torch.optim.Adam(pair.parameters(), lr=LR, fused=True)

    def step(index):
        x = train.x[index].to(torch.float32, memory_format=layout).div_(255)
        loc, log_scale = pair.encoder(x)
        scale = log_scale.exp()
        logits = pair.decoder(loc + scale * torch.randn_like(loc))
        kl = 0.5 * (loc.square() + scale.square() - 2 * log_scale - 1).sum()
        ((loss(logits, x) + kl) / len(x)).backward()
        optimizer.step()
        optimizer.zero_grad()

    def loop():
        before = torch.get_num_threads()
        torch.set_num_threads(threads or before)
        for index in batches(train, BATCH, steps):
            step(index)
        torch.set_num_threads(before)

    with FlopCounterMode(display=False) as counter:
        step(torch.arange(BATCH))
    loop.operations = counter.get_total_flops()
    return loop


def variants(train, steps):
    size, last = (train, steps), torch.channels_last
    return {
        "by hand": stepping(*size, vae(train, conv=True)),
        "channels last": stepping(*size, vae(train, conv=True), layout=last),
        "softplus loss": stepping(*size, vae(train, conv=True), loss=softplus_loss),
        "one thread": stepping(*size, vae(train, conv=True), threads=1),
        "resized": stepping(*size, resized()),
        "resized, channels last": stepping(*size, resized(), layout=last),
        "pixel shuffle": stepping(*size, shuffled()),
        "pixel shuffle, channels last": stepping(*size, shuffled(), layout=last),
    }


def matrix_products():
    a, b = torch.randn(2, SIDE, SIDE)

    def loop():
        for _ in range(PRODUCTS):
            a @ b

    loop.operations = 2 * SIDE**3
    return loop


def main(steps, rounds, out):
    train, _ = data.fashion_mnist()
    loops = variants(train, steps)
    times = paired(loops | {"matrix products": (products := matrix_products())}, rounds)
    peaks = times.pop("matrix products")
    peak = PRODUCTS * products.operations / sorted(peaks)[len(peaks) // 2]
    title = "step of a convolutional VAE on Fashion-MNIST, latent 64, batch 128"
    others = [name for name in loops if name != "by hand"]
    row = report(title, times, others, ("by hand",), 1e3 / steps, "ms")
    row["peak, GFLOP/s"] = round(peak / 1e9, 1)
    row["MFLOP per step"] = {n: round(loop.operations / 1e6) for n, loop in loops.items()}
    row["share of the peak"] = shares = {
        name: round(loop.operations / (row["medians"][name] / 1e3) / peak, 3)
        for name, loop in loops.items()
    }
    print(f"  peak of matrix products {row['peak, GFLOP/s']} GFLOP/s")
    for name, share in shares.items():
        print(f"  {name:30} {row['MFLOP per step'][name]:6} MFLOP  {share:6.1%} of it")
    if out:
        Path(out).write_text(json.dumps({"machine": machine(), "rows": [row]}, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=10, help="steps per round")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", help="write the numbers as JSON too")
    main(**vars(parser.parse_args()))
