"""Speed of the evaluators against what everyone uses, in paired runs on one machine.

Each round times every contender once, in turn; what counts is the median over the rounds of the
ratio within a round. Values are compared before anything is timed.

    python benchmarks/evaluators.py --out benchmarks/results/evaluators.json
"""

import argparse
import json
import os
import statistics
from pathlib import Path

import numpy as np
import scipy
import scipy.linalg
import sklearn
import torch
from sklearn.metrics import mutual_info_score
from timing import machine, paired, ratio

from probgen import data
from probgen.evaluation import disentanglement, features, fid

D = 2048


def tables(n, seed=0):
    """Correlated features (n, 2048) with a decaying spectrum, as those of Inception have."""
    generator = torch.Generator().manual_seed(seed)
    spectrum = torch.arange(1, D + 1, dtype=torch.float64) ** -0.5
    mixing = torch.linalg.qr(torch.randn(D, D, generator=generator, dtype=torch.float64)).Q
    x, y = torch.randn(2, n, D, generator=generator, dtype=torch.float64) * spectrum
    return x @ mixing, 1.1 * (y @ mixing) + 0.01


def report(claim, unit, times, slow, fast, target):
    faster = ratio(times, slow, fast)
    medians = {name: round(statistics.median(values), 4) for name, values in times.items()}
    print(f"{claim}\n  {medians} {unit}\n  {slow} / {fast} = {faster:.2f}, target {target}")
    return {"claim": claim, "unit": unit, "medians": medians, "ratio": round(faster, 3),
            "target": target}  # fmt: skip


def agree(a, b, tolerance):
    if abs(a - b) > tolerance * abs(b):
        raise SystemExit(f"expected equal values; got {a} and {b}")


def frechet_distance(rounds):
    """From statistics at d = 2048, as pytorch-fid has it against ours."""
    first, second = (fid.Statistics.of(x) for x in tables(3 * D))
    a, b = first.covariance.numpy(), second.covariance.numpy()
    apart = (first.mean - second.mean).square().sum().item()

    def by_sqrtm():
        root = scipy.linalg.sqrtm(a @ b).real
        return apart + np.trace(a) + np.trace(b) - 2 * np.trace(root)

    agree(float(fid.score(first, second)), by_sqrtm(), 1e-6)
    contenders = {"scipy.linalg.sqrtm": by_sqrtm, "probgen": lambda: fid.score(first, second)}
    return report("Frechet distance at d = 2048", "s", paired(contenders, rounds),
                  "scipy.linalg.sqrtm", "probgen", 4)  # fmt: skip


def few_rows(rounds):
    """500 rows at d = 2048: singular values against covariance and Cholesky with jitter."""
    x, y = tables(500)

    def by_covariance():
        a, b = x.T.cov(), y.T.cov()
        jitter = 1e-12 * a.trace() / D
        lower, _ = torch.linalg.cholesky_ex(a + jitter * torch.eye(D, dtype=a.dtype))
        values = torch.linalg.eigvalsh(lower.T @ b @ lower).clamp(min=0)
        apart = (x.mean(0) - y.mean(0)).square().sum()
        return (apart + a.trace() + b.trace() - 2 * values.sqrt().sum()).item()

    agree(by_covariance(), float(fid.score(x, y)), 1e-3)
    contenders = {"covariance + Cholesky": by_covariance, "probgen": lambda: fid.score(x, y)}
    return report("Frechet distance of 500 rows at d = 2048", "s", paired(contenders, rounds),
                  "covariance + Cholesky", "probgen", 5)  # fmt: skip


def classifier_features(rounds):
    """Features of the 10,000 test images of Fashion-MNIST by the shipped classifier."""
    _, test = data.fashion_mnist()
    classifier = features.Classifier.load("fashion-mnist")
    action = {"probgen": lambda: features.extract(classifier, test, cache=False)}
    (times,) = paired(action, rounds).values()
    rates = [len(test) / seconds for seconds in times]
    rate = round(statistics.median(rates))
    print(f"features of {len(test)} images of {test.name}\n  {rate} images/s, target 5000")
    return {"claim": "features of 10,000 Fashion-MNIST images", "unit": "images/s",
            "medians": {"probgen": rate}, "target": 5000}  # fmt: skip


def digitized_mig(codes, factors, bins=20):
    """The MIG by numpy.digitize and scikit-learn's mutual_info_score, as disentanglement_lib."""
    binned = [np.digitize(c, np.histogram(c, bins)[1][:-1]) for c in codes.T]
    mutual = np.array([[mutual_info_score(f, b) for f in factors.T] for b in binned])
    entropies = np.array([mutual_info_score(f, f) for f in factors.T])
    ordered = np.sort(mutual, axis=0)
    return float(((ordered[-1] - ordered[-2]) / entropies).mean())


def mutual_information_gap(rounds):
    """MIG of 10 codes on the whole grid of dSprites: 737,280 items, 5 factors."""
    factors = np.ascontiguousarray(np.indices((3, 6, 40, 32, 32)).reshape(5, -1).T)
    codes = np.random.default_rng(0).normal(size=(len(factors), 10))
    codes[:, :5] += factors * [1.0, 0.5, 0.1, 0.1, 0.1]
    agree(float(disentanglement.mig(codes, factors)), digitized_mig(codes, factors), 1e-12)
    contenders = {
        "digitize and scikit-learn": lambda: digitized_mig(codes, factors),
        "probgen": lambda: disentanglement.mig(codes, factors),
    }
    return report("MIG of 737,280 x 10 codes, 5 factors", "s", paired(contenders, rounds),
                  "digitize and scikit-learn", "probgen", 12)  # fmt: skip


CLAIMS = (frechet_distance, few_rows, mutual_information_gap, classifier_features)


def main(rounds, out):
    versions = {"scipy": scipy.__version__, "scikit-learn": sklearn.__version__}
    here = machine(**versions) | {"load": [round(one, 2) for one in os.getloadavg()]}
    content = {"machine": here, "rows": [claim(rounds) for claim in CLAIMS]}
    if out:
        Path(out).write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", help="write the numbers as JSON too")
    main(**vars(parser.parse_args()))
