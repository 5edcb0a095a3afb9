"""How many images per second the samplers of one diffusion model give, beside each other.

One small U-Net, untrained, since its weights do not change the time, draws the same number of
images by 250 ancestral steps, by DDIM and by DPM-Solver++ in fewer, and with guidance, which
evaluates the network twice a step. Rounds are interleaved; the medians and their ratios to 250
ancestral steps are kept. What the images are worth is in the study examples/cifar_diffusion.py:
its table says whether 20 steps of DPM-Solver++ lie in the FID interval of 250 ancestral ones.

    python benchmarks/sampling.py --out benchmarks/results/sampling.json
"""

import argparse
import json
import platform
import statistics
import time
from pathlib import Path

import torch

from probgen import denoisers, models
from probgen.models import samplers

SETTINGS = {
    "ancestral, 250 steps": (samplers.ancestral, 250, 1.0),
    "DDIM, 50 steps": (samplers.ddim, 50, 1.0),
    "DDIM, 20 steps": (samplers.ddim, 20, 1.0),
    "DPM-Solver++, 20 steps": (samplers.dpm_solver, 20, 1.0),
    "DPM-Solver++, 20 steps, guidance 2": (samplers.dpm_solver, 20, 2.0),
}


def diffusion(device):
    torch.manual_seed(0)
    net = denoisers.unet((1, 28, 28), (32, 64), blocks=1, attention=(7,), classes=10, patch=2)
    return models.Diffusion(net).to(device).eval()


def seconds(pair, n, sampler, steps, guidance):
    start = time.perf_counter()
    images = pair.sample(n, sampler=sampler, steps=steps, guidance=guidance)
    assert images[-1].isfinite().all()  # waits for the device
    return time.perf_counter() - start


def main(n, rounds, device, out):
    pair = diffusion(device)
    seconds(pair, n, samplers.dpm_solver, 3, 1.0)
    times = {name: [] for name in SETTINGS}
    for _ in range(rounds):
        for name, settings in SETTINGS.items():
            times[name].append(seconds(pair, n, *settings))
    rows = []
    slowest = statistics.median(times["ancestral, 250 steps"])
    for name, (_, steps, guidance) in SETTINGS.items():
        median = statistics.median(times[name])
        rows.append({
            "sampler": name, "evaluations": steps * (2 if guidance != 1.0 else 1),
            "images per second": round(n / median, 2), "times 250 ancestral": slowest / median,
            "seconds": times[name],
        })  # fmt: skip
        print(json.dumps(rows[-1]), flush=True)
    machine = {"machine": platform.machine(), "device": device, "torch": torch.__version__}
    machine |= {"threads": torch.get_num_threads(), "images": n, "rounds": rounds}
    if out:
        Path(out).write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=64, help="images per draw")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", help="write the numbers as JSON too")
    main(**vars(parser.parse_args()))
