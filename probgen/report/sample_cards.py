"""How samples look and how they come about: cards of a page."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from probgen.models import Diffusion, ModelError
from probgen.objectives import Decodes, Generative
from probgen.report import figures, pictures
from probgen.report.page import Card
from probgen.report.pictures import Rows

if TYPE_CHECKING:
    from probgen.report.loaded import Run

WIDE = 5.2
QUARTERS = 4


def samples(runs: "Sequence[Run]") -> list[Card]:
    """Samples of each run, one above the other."""
    if missing := [_no_prior(run) for run in runs if _no_prior(run)]:
        return [Card("Samples", note=f"No pictures: {missing[0]}.")]
    note = "Means of p(x | z) for z from the prior, seed 0."
    if not all(run.shows(Decodes) for run in runs):
        note = "Draws of sample(n), seed 0."
    if len(runs) == 1:
        whole = pictures.samples(runs[0].pair, 32).unflatten(0, (4, 8))
        rows = {" " * i: row for i, row in enumerate(whole)}
        return [Card("Samples", figures.images(rows), note, "samples")]
    if len({run.data.shape for run in runs}) > 1:
        return [
            Card(f"Samples: {run.name}", figures.images({run.name: pictures.samples(run.pair, 8)}),
                 note, f"samples-{i + 1}") for i, run in enumerate(runs)
        ]  # fmt: skip
    rows = {run.name: pictures.samples(run.pair, 8) for run in runs}
    return [Card("Samples", figures.images(rows, width=WIDE), note, "samples", wide=True)]


def origins(runs: "Sequence[Run]") -> list[Card]:
    """Of GANs the samples while training, of diffusion the way from noise to data."""
    return [*_while_training(runs), *_from_noise(runs)]


def quarters(folder: Path) -> Rows:
    """Corners (3, H, W) of a GAN's grids at up to four quarters of its training, by step.

    All are samples of the same latents.
    """
    paths = [path for path in sorted((folder / "grids").glob("step-*.png")) if _opens(path)]
    last = {max(1, round(len(paths) * q / QUARTERS)) - 1 for q in range(1, QUARTERS + 1)}
    chosen = [paths[i] for i in sorted(last)] if paths else []
    return {f"{int(path.stem.partition('-')[2]):,}": _corner(path) for path in chosen}


def _opens(path: Path) -> bool:
    try:
        Image.open(path).load()
    except OSError:
        return False
    return True


def _corner(path: Path) -> Tensor:
    """Four of the eight rows and columns of a grid."""
    whole = torch.tensor(np.asarray(Image.open(path).convert("RGB"))).permute(2, 0, 1) / 255
    high, wide = ((size - 2) // 2 + 2 for size in whole.shape[1:])
    return whole[:, :high, :wide]


def _while_training(runs: "Sequence[Run]") -> list[Card]:
    """One card for all runs with grids of the same size at the same steps."""
    alike: dict[Any, Rows] = {}
    for run in runs:
        found = quarters(run.folder) if run.folder is not None else {}
        if found:
            corners = torch.stack([*found.values()])
            name = run.name if len(runs) > 1 else ""
            alike.setdefault((*found, corners.shape), {})[name] = corners
    cards = []
    for i, ((*steps, _), rows) in enumerate(alike.items()):
        figure = figures.images(rows, [f"step {step}" for step in steps], width=WIDE)
        note = "The same latents, from early to late in the training."
        cards.append(
            Card("Samples while training", figure, note, f"while-training-{i + 1}", wide=True)
        )
    return cards


def _from_noise(runs: "Sequence[Run]") -> list[Card]:
    cards = []
    for i, run in enumerate(runs):
        if isinstance(run.pair, Diffusion) and run.shows(Generative):
            rows = {" " * k: row for k, row in enumerate(pictures.denoising(run.pair))}
            title = "From noise to data" if len(runs) == 1 else f"From noise to data: {run.name}"
            note = "Each row one sample on its way, at stages spread over its 20 steps."
            cards.append(Card(title, figures.images(rows), note, f"from-noise-{i + 1}"))
    return cards


def _no_prior(run: "Run") -> str:
    """Why the pair cannot be sampled from yet; empty if it can."""
    try:
        pictures.samples(run.pair, 1)
    except ModelError as error:
        return str(error)
    return ""
