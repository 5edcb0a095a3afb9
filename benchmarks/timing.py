"""What the benchmarks share: paired timing in one process, and the machine it was on."""

import os
import platform
import statistics
import time

import torch


def seconds_of(action):
    """As measured, or as the action says."""
    start = time.perf_counter()
    said = action()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return said if isinstance(said, float) else time.perf_counter() - start


def paired(contenders, rounds):
    """Seconds per contender and round, in turn; the first round warms up and is dropped."""
    times = {name: [] for name in contenders}
    for _ in range(rounds + 1):
        for name, action in contenders.items():
            times[name].append(seconds_of(action))
    return {name: values[1:] for name, values in times.items()}


def ratio(times, a, b):
    """Median over the rounds of a's seconds over b's."""
    return statistics.median(x / y for x, y in zip(times[a], times[b], strict=True))


def machine(**versions):
    """The machine and the versions, in general words."""
    return {
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        **versions,
        "threads": torch.get_num_threads(),
    }
