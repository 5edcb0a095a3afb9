"""Time per training step and per epoch against the peers, in paired runs on one machine.

MLP VAE 784-400-32 with a Bernoulli likelihood on MNIST and a convolutional one on Fashion-MNIST,
Adam, all contenders with the same batches of the same images. Each round times every contender
once, in turn; what counts is the median over the rounds of the ratio within a round. The loop by
hand is the floor that no eager library can go below: it has the same arithmetic and nothing else.

    OMP_NUM_THREADS=2 python benchmarks/svi_step.py     # the step; add --pythae for the epoch
"""

import argparse
import itertools
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import pyro
import torch
from pyro.infer import TraceMeanField_ELBO
from torch.nn import functional

from probgen import data, lowering, models, nets, objectives, training

SHAPE, LATENT, HIDDEN, LR = (1, 28, 28), 32, (400,), 1e-3


def vae(train, conv=False):
    torch.manual_seed(0)
    shape = train.shape
    if conv:
        pair = models.VAE(nets.conv_encoder(shape, 64), nets.conv_decoder(64, shape))
    else:
        pair = models.VAE(
            nets.dense_encoder(shape, LATENT, HIDDEN), nets.dense_decoder(LATENT, shape, HIDDEN)
        )
    return pair.to(train.x.device)


def batches(train, batch_size, steps):
    rows, device = len(train), train.x.device
    order = torch.randperm(rows, device=device)
    while len(order) < batch_size * steps:
        order = torch.cat([order, torch.randperm(rows, device=device)])
    return order[: batch_size * steps].split(batch_size)


def seconds_of(action):
    """As measured, or as the action says."""
    start = time.perf_counter()
    said = action()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start if said is None else said


def update_by_hand(train, conv=False, **adam):
    """The step that one would write without any library, with fused Adam."""
    pair = vae(train, conv)
    optimizer = torch.optim.Adam(pair.parameters(), lr=LR, fused=True, **adam)

    def update(index):
        x = train.x[index].float().div_(255)
        loc, log_scale = pair.encoder(x)
        scale = log_scale.exp()
        logits = pair.decoder(loc + scale * torch.randn_like(loc))
        reconstruction = functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        kl = 0.5 * (loc.square() + scale.square() - 2 * log_scale - 1).sum()
        ((reconstruction + kl) / len(x)).backward()
        optimizer.step()
        optimizer.zero_grad()

    return update


def by_hand(train, batch_size, steps, conv=False):
    update = update_by_hand(train, conv)

    def loop():
        for index in batches(train, batch_size, steps):
            update(index)

    return loop


def by_fit(train, batch_size, steps):
    pair = vae(train)
    return lambda: training.fit(
        pair, objectives.ELBO(), train, steps=steps, batch_size=batch_size, lr=LR
    )


def by_pyro(train, batch_size, steps, kind=pyro.infer.SVI, conv=False, **settings):
    """``pyro.infer.SVI`` as its tutorials have it, or another class in its place."""
    pair = vae(train, conv)
    optim = pyro.optim.Adam({"lr": LR})
    svi = kind(pair.model, pair.guide, optim, TraceMeanField_ELBO(), **settings)

    def loop():
        for index in batches(train, batch_size, steps):
            svi.step(train.x[index].float().div_(255))

    return loop


def by_step(train, batch_size, steps, how, conv=False):
    """``lowering.lower``, which is what ``fit`` does in each step."""
    pair = vae(train, conv)
    example = train.x[:batch_size].float().div_(255)
    step = lowering.lower(objectives.ELBO(), pair, example, lr=LR, how=how)

    def loop():
        for index in batches(train, batch_size, steps):
            step(train.x[index].float().div_(255))

    return loop


def by_pythae(train, batch_size, epochs):
    """Pythae's trainer on the same layers."""
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    pair = vae(train)

    class Encoder(BaseEncoder):
        def __init__(self):
            super().__init__()
            self.net = pair.encoder

        def forward(self, x):
            loc, log_scale = self.net(x)
            return ModelOutput(embedding=loc, log_covariance=2 * log_scale)

    class Decoder(BaseDecoder):
        def __init__(self):
            super().__init__()
            self.net = pair.decoder

        def forward(self, z):
            return ModelOutput(reconstruction=torch.sigmoid(self.net(z)))

    config = VAEConfig(input_dim=SHAPE, latent_dim=LATENT, reconstruction_loss="bce")
    images = np.ascontiguousarray(train.x.numpy()).astype(np.float32) / 255

    def loop():
        from pythae.data.datasets import BaseDataset

        with tempfile.TemporaryDirectory() as folder:
            settings = BaseTrainerConfig(
                output_dir=folder,
                num_epochs=epochs,
                per_device_train_batch_size=batch_size,
                learning_rate=LR,
                no_cuda=True,
            )
            labels = torch.zeros(len(images))
            dataset = BaseDataset(torch.from_numpy(images), labels)
            model = VAE(model_config=config, encoder=Encoder(), decoder=Decoder())
            BaseTrainer(model=model, train_dataset=dataset, training_config=settings).train()

    return loop


def paired(contenders, rounds):
    """Seconds per contender and round, in turn; the first round warms up and is dropped."""
    times = {name: [] for name in contenders}
    for _ in range(rounds + 1):
        for name, action in contenders.items():
            times[name].append(seconds_of(action))
    return {name: values[1:] for name, values in times.items()}


def ratio(times, a, b):
    return statistics.median(x / y for x, y in zip(times[a], times[b], strict=True))


def machine():
    return {
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "pyro": pyro.__version__,
        "threads": torch.get_num_threads(),
    }


def report(title, times, ours, against, scale, unit):
    print(title)
    row = {"title": title, "unit": unit, "medians": {}, "ratios": {}}
    for name, values in times.items():
        row["medians"][name] = round(statistics.median(values) * scale, 3)
        print(f"  {name:12} {row['medians'][name]:9.3f} {unit}")
    for one, other in itertools.product(ours, against):
        value = row["ratios"][f"{one} / {other}"] = round(ratio(times, one, other), 3)
        print(f"  {one} / {other:6} {value:9.3f}", flush=True)
    return row


def main(steps, rounds, pythae, out):
    train, _ = data.mnist()
    rows = []
    for batch_size in (128, 16):
        size = train, batch_size, steps
        contenders = {
            "eager": by_step(*size, "eager"),
            "graph": by_step(*size, "graph"),
            "inductor": by_step(*size, "inductor"),
            "SVI graph": by_pyro(*size, lowering.SVI, lower="graph"),
            "by hand": by_hand(*size),
            "pyro": by_pyro(*size),
        }
        times = paired(contenders, rounds)
        title = f"step of an MLP VAE 784-400-32, batch {batch_size}"
        ours = ("eager", "graph", "inductor", "SVI graph")
        rows.append(report(title, times, ours, ("by hand", "pyro"), 1000 / steps, "ms"))
    size = data.fashion_mnist()[0], 128, max(1, steps // 20)
    contenders = {
        "eager": by_step(*size, "eager", conv=True),
        "graph": by_step(*size, "graph", conv=True),
        "inductor": by_step(*size, "inductor", conv=True),
        "by hand": by_hand(*size, conv=True),
    }
    times = paired(contenders, rounds)
    title = "step of a convolutional VAE on Fashion-MNIST, latent 64, batch 128"
    ours = ("eager", "graph", "inductor")
    rows.append(report(title, times, ours, ("by hand",), 1000 / size[2], "ms"))
    if pythae:
        epoch = -(-len(train) // 128)
        contenders = {
            "fit": by_fit(train, 128, epoch),
            "by hand": by_hand(train, 128, epoch),
            "pythae": by_pythae(train, 128, 1),
        }
        times = paired(contenders, 5)
        title = "epoch of 60,000 MNIST images, batch 128"
        rows.append(report(title, times, ("fit",), ("by hand", "pythae"), 1, "s"))
    if out:
        Path(out).write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200, help="steps per round")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--pythae", action="store_true", help="needs pythae==0.1.2")
    parser.add_argument("--out", help="write the numbers as JSON too")
    main(**vars(parser.parse_args()))
