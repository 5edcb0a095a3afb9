"""Train the classifiers that the package ships, so that everyone's features are the same.

python examples/train_classifiers.py           # minutes on two idle cores
python examples/train_classifiers.py --quick   # digits only, one epoch, in seconds

Writes NAME.safetensors, under 1 MB, and NAME.json with the accuracy on the test set, the hash and
the recipe; --out probgen/evaluation/features/weights replaces those of the package.
"""

import argparse
import time
from pathlib import Path

from probgen import recipe, run, study, training
from probgen.evaluation import features

RECIPES = {
    "digits": {"epochs": 60},
    "mnist": {"epochs": 7},
    "fashion-mnist": {"epochs": 12},
}


def trained(name: str, settings: dict, out: Path, device: str) -> study.Row:
    train, test = (part.to(training.place(device)) for part in recipe.named(name))
    start = time.monotonic()
    classifier = training.fit_classifier(train, seed=0, **settings)
    score = features.accuracy(classifier, test)
    facts = {
        "data": name,
        "accuracy": float(score),
        "n": score.n[0],
        "recipe": {"function": "training.fit_classifier", "seed": 0, **settings},
        "seconds": round(time.monotonic() - start, 1),
        "environment": run.environment(),
    }
    classifier.save(out / name, facts)
    size = (out / f"{name}.safetensors").stat().st_size
    return {"run": name, "accuracy (%)": 100 * float(score), "size (kB)": size / 1000,
            "seconds": facts["seconds"], "features": identity(out / name)}  # fmt: skip


def identity(path: Path) -> str:
    return features.identity(features.Classifier.load(path))


def main(names: list[str], quick: bool, out: Path, device: str) -> list[study.Row]:
    recipes = {"digits": {"epochs": 1}} if quick else {name: RECIPES[name] for name in names}
    rows = [trained(name, settings, out, device) for name, settings in recipes.items()]
    study.show(rows, "Accuracy on the whole test set; the last column is the extractor of scores.")
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(RECIPES), help=", ".join(RECIPES))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("runs/classifiers"))
    parser.add_argument("--device", default="cpu")
    main(**vars(parser.parse_args()))
