"""Codes and traversals of a run: what its latents hold."""

from collections.abc import Sequence

import torch
from torch import Tensor

from probgen.data import Set
from probgen.objectives import Codec, Decodes, Encodes, Generative
from probgen.report import figures, pictures
from probgen.report.loaded import Run
from probgen.report.page import Card, Section
from probgen.run.grids import is_image


def with_codes(runs: Sequence[Run]) -> list[Run]:
    """Those with codes to show or to miss: all but what samples without any, as a GAN does."""
    return [
        run for run in runs
        if run.shows(Encodes) or run.shows(Decodes) or not run.shows(Generative)
    ]  # fmt: skip


def latent_cards(run: Run) -> list[Card]:
    """Show a run's KL per dimension, traversals, lines between codes, and the codes."""
    cards = [_kl_card([run]), *_traversals([run])]
    if run.shows(Codec) and len(run.data) > 1:
        lines = pictures.interpolation(run.pair, pictures.items(run.pair, run.data))
        rows = {" " * i: line for i, line in enumerate(lines)}
        note = "Straight lines between the codes of two test images."
        cards.append(Card("Interpolation", figures.images(rows), note, "interpolation"))
    return cards + _codes(run)


def latent_section(runs: Sequence[Run]) -> list[Section]:
    """Show KL per dimension and traversals of several runs side by side; nothing for none."""
    cards = [_kl_card(runs), *_traversals(runs)]
    return [Section("Latent space", cards=cards)] if runs else []


def _kl_card(runs: Sequence[Run]) -> Card:
    kl = {
        f"{run.name} {site}" if len(run.scores.terms.kl_per_dim) > 1 else run.name: v.mean(0)
        for run in runs
        for site, v in run.scores.terms.kl_per_dim.items()
    }
    if not kl:
        return Card("KL per dimension", note="No latent site has a KL per dimension.")
    note = "; ".join(f"{name}: {_active(v)} of {len(v)} above 0.01 nats" for name, v in kl.items())
    return Card("KL per dimension", figures.kl_per_dimension(kl), note, "kl-per-dimension")


def _active(kl: Tensor) -> int:
    return int((kl > 0.01).sum())


def _traversals(runs: Sequence[Run]) -> list[Card]:
    cards = []
    for i, run in enumerate(runs):
        title = "Latent traversal" if len(runs) == 1 else f"Latent traversal: {run.name}"
        if not run.shows(Codec):
            cards.append(Card(title, note=why_no_pictures([run], "encode", "decode")))
            continue
        if pictures.codes_on_a_grid(run.pair, run.data):
            cards.append(Card(title, note="No pictures: the latent is a grid, not a vector."))
            continue
        note = "Each row moves one dimension from −3 to 3 about the code of the first test image."
        file = "traversal" if len(runs) == 1 else f"traversal-{i + 1}"
        cards.append(Card(title, figures.images(traversal(run)), note, file))
    return cards


def traversal(run: Run) -> dict[str, Tensor]:
    """Rows of ``pictures.traversal`` about the first test image, dimensions ordered by KL."""
    first = pictures.items(run.pair, run.data, 1)
    latent = pictures.codes(run.pair, pictures.spread(run.data, 1)).shape[1]
    found = [v.mean(0) for v in run.scores.terms.kl_per_dim.values() if v.shape[-1] == latent]
    return pictures.traversal(run.pair, first, found[0] if found else torch.zeros(latent))


def _codes(run: Run) -> list[Card]:
    if not isinstance(run.pair, Encodes):
        return [Card("Codes", note="The pair has no encode(x).")]
    shown = pictures.spread(run.data, pictures.CODES)
    codes = pictures.codes(run.pair, shown)
    if codes.shape[1] == 1:
        return [_one_dimension(shown, codes[:, 0])]
    points = pictures.principal(codes)
    cards = []
    for number, (name, (classes, names)) in enumerate(pictures.colourings(shown).items()):
        title = f"Codes by {name}" if name else "Codes"
        unlabelled = "" if name else " The data have no labels or factors to colour them by."
        note = f"First two principal components of {len(points):,} means of q(z | x).{unlabelled}"
        figure = figures.scatter(points, classes, names)
        cards.append(Card(title, figure, note, f"codes-{number + 1}"))
    return cards


def _one_dimension(data: Set, codes: Tensor) -> Card:
    name, (classes, names) = next(iter(pictures.colourings(data).items()))
    classes = torch.zeros(len(codes)) if classes is None else classes.cpu()
    groups = {
        names[k] if k < len(names) else str(k): codes[classes == k]
        for k in map(int, classes.unique())
    }
    note = "The latent has one dimension: a histogram in place of principal components."
    title = f"Codes by {name}" if name else "Codes"
    return Card(title, figures.histogram(groups, "mean of q(z | x)"), note, "codes-1")


def why_no_pictures(runs: Sequence[Run], *abilities: str) -> str:
    """Say what stands in the way: data that are no images, or what the pair lacks."""
    for run in runs:
        if not is_image(run.data.shape):
            return f"No pictures: items of shape {run.data.shape} are no grey or RGB images."
    return f"No pictures: the pair lacks {' or '.join(abilities)}."
