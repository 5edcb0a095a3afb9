"""Samples and training steps per second of each net of a GAN, 28x28 images, latent 64.

    OMP_NUM_THREADS=2 python benchmarks/gan_sampling.py

Each round times every contender once, in turn; numbers are medians over the rounds.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from timing import machine

from probgen import data, models, players, training
from probgen.objectives.adversarial import (
    GradientPenalty,
    Hinge,
    NonSaturating,
    SelfSupervised,
    Wasserstein,
)

SHAPE, LATENT, BATCH = (1, 28, 28), 64, 64


def contenders():
    conv, dcgan = players.conv_discriminator, players.dcgan_generator
    found = {
        "GAN, dense": (
            players.dense_generator,
            players.dense_discriminator(SHAPE),
            NonSaturating(),
        ),
        "DCGAN": (dcgan, conv(SHAPE, norm="batch"), NonSaturating()),
        "pixel shuffle": (players.subpixel_generator, conv(SHAPE, norm="batch"), NonSaturating()),
        "WGAN, clipped": (dcgan, conv(SHAPE, norm="batch"), Wasserstein()),
        "WGAN-GP": (dcgan, conv(SHAPE), GradientPenalty()),
        "SNGAN": (dcgan, conv(SHAPE, norm="spectral"), Hinge()),
        "SSGAN": (dcgan, conv(SHAPE, norm="spectral", rotations=True), SelfSupervised()),
    }
    return {
        name: (models.GAN(make(LATENT, SHAPE), critic).eval(), loss)
        for name, (make, critic, loss) in found.items()
    }


def sampling(gan, n):
    start = time.perf_counter()
    gan.sample(n)
    return n / (time.perf_counter() - start)


def training_steps(gan, loss, images, steps):
    history = training.fit_adversarial(
        gan, loss, images, steps=steps, batch_size=BATCH, log_every=1
    )
    seconds = [record["seconds"] for record in history.records]
    return (len(seconds) - 1) / (seconds[-1] - seconds[0])


def main(rounds, steps, n, out):
    torch.manual_seed(0)
    noise = torch.randint(256, (4096, *SHAPE), dtype=torch.uint8)
    images, games = data.Set(noise, name="noise"), contenders()
    sampled = {name: [] for name in games}
    stepped = {name: [] for name in games}
    for _ in range(rounds):
        for name, (gan, loss) in games.items():
            sampled[name].append(sampling(gan, n))
            stepped[name].append(training_steps(gan, loss, images, steps))
    rows = [
        {
            "title": name,
            "parameters of the generator": sum(p.numel() for p in gan.generator.parameters()),
            "samples per second": round(statistics.median(sampled[name])),
            "generator steps of 64 per second": round(statistics.median(stepped[name]), 2),
        }
        for name, (gan, _) in games.items()
    ]
    for row in rows:
        print(*row.values(), sep="  ")
    if out:
        content = {"machine": machine(), "rounds": rounds, "rows": rows}
        out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--out", type=Path, help="a JSON file")
    main(*vars(parser.parse_args()).values())
