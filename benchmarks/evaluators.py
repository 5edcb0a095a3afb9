"""Evaluators beside the usual way to compute them, as paired ratios.

Run `python benchmarks/evaluators.py`; the results go to `benchmarks/results/evaluators.json`.
"""

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path

import numpy as np
import sklearn
from sklearn.metrics import mutual_info_score

from probgen.evaluation import disentanglement

HERE = Path(__file__).parent
ROUNDS = 5


def seconds(function, *arguments):
    """Processor seconds of a call, which other load disturbs least, and what it gave."""
    started = time.process_time()
    found = function(*arguments)
    return time.process_time() - started, found


def digitized_mig(codes, factors, bins=20):
    """The MIG by numpy.digitize and scikit-learn's mutual_info_score, as disentanglement_lib."""
    binned = [np.digitize(c, np.histogram(c, bins)[1][:-1]) for c in codes.T]
    mutual = np.array([[mutual_info_score(f, b) for f in factors.T] for b in binned])
    entropies = np.array([mutual_info_score(f, f) for f in factors.T])
    ordered = np.sort(mutual, axis=0)
    return float(((ordered[-1] - ordered[-2]) / entropies).mean())


def mig_speed():
    """MIG of 10 codes on the whole grid of dSprites: 737,280 items, 5 factors."""
    factors = np.ascontiguousarray(np.indices((3, 6, 40, 32, 32)).reshape(5, -1).T)
    codes = np.random.default_rng(0).normal(size=(len(factors), 10))
    codes[:, :5] += factors * [1.0, 0.5, 0.1, 0.1, 0.1]
    rounds = [
        (seconds(digitized_mig, codes, factors), seconds(disentanglement.mig, codes, factors))
        for _ in range(ROUNDS)
    ]
    values = [(theirs[1], float(ours[1])) for theirs, ours in rounds]
    assert all(abs(a - b) < 1e-12 for a, b in values), values
    return {
        "items, codes, factors": [*codes.shape, factors.shape[1]],
        "value": values[0][1],
        "digitize and scikit-learn: seconds": round(statistics.median(t[0] for t, _ in rounds), 3),
        "ours: seconds": round(statistics.median(o[0] for _, o in rounds), 3),
        "times faster": round(statistics.median(t[0] / o[0] for t, o in rounds), 1),
    }


def machine():
    """The machine, its load and the versions, in general words."""
    load = f"load {os.getloadavg()[0]:.1f}"
    found = [f"{os.cpu_count()} cores", load, platform.machine().replace("_", "-")]
    versions = [f"numpy {np.__version__}", f"scikit-learn {sklearn.__version__}"]
    return ", ".join([*found, f"Python {platform.python_version()}", *versions])


def main(out):
    """Measure everything, print it and write it down."""
    results = {"machine": machine(), "mig": mig_speed()}
    text = json.dumps(results, indent=1)
    print(text)
    out.write_text(text + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=HERE / "results" / "evaluators.json")
    main(parser.parse_args().out)
