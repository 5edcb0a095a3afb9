"""The page of a run, and the page that compares several."""

import json
from collections.abc import Iterable, Sequence
from itertools import chain, count, groupby
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from probgen import checkpoint, recipe
from probgen.data import Set
from probgen.evaluation import Score, likelihood
from probgen.grids import is_image
from probgen.history import History
from probgen.objectives import Pair
from probgen.report import figures, page, pictures, sampling
from probgen.report.page import Card, Facts, Page, ReportError, Section, Table
from probgen.report.scores import means_note, metric_tables, pm, saved_metrics, with_way
from probgen.run import Folder, RunError

TERMS = (
    ("loss", "Total: the loss that is minimised", 1),
    ("log_likelihood", "Reconstruction: −log p(x | z)", -1),
    ("kl", "KL(q(z | x) ‖ p(z))", 1),
    ("beta", "β", 1),
    ("lambda", "λ", 1),
    ("d_loss", "The discriminator's loss", 1),
    ("g_loss", "The generator's loss", 1),
    ("distance", "Wasserstein distance, as the critic has it", 1),
    ("fid", "FID of samples while training", 1),
    ("kid", "KID of samples while training", 1),
    ("classes", "Classes among samples", 1),
    ("diversity", "Variance of samples over that of data", 1),
)

NO_DENSITY = "No density to score: probgen evaluate RUN --metrics fid,kid,prdc,classes."
DASHED, DOTTED = "Dashed: on the validation set.", "Dotted: the target."


class Run(NamedTuple):
    """A trained pair, how it came about, and its scores on a set."""

    name: str
    history: History
    pair: Any
    data: Set
    scores: likelihood.Scores
    facts: dict[str, Any]
    metrics: tuple[Score, ...] = ()
    folder: Path | None = None

    def shows(self, *abilities: str) -> bool:
        """Whether the data are images and the pair has these methods."""
        able = all(hasattr(self.pair, ability) for ability in abilities)
        return able and is_image(self.data.shape)


def save(
    folder: str | Path,
    run: History,
    pair: Pair,
    data: Set,
    scores: likelihood.Scores | None = None,
) -> Path:
    """Write report.html, one file that needs no other, report.json, and report/ with figures.

    Args:
        folder: where; the recipe is that of a run.json there.
        run: what ``training.fit`` returned.
        pair: what it trained; ``encode``, ``decode`` and ``sample`` give the pictures.
        data: a set it was not trained on, with labels or factors to colour by or without.
        scores: of the pair on the data, where they are at hand.

    Returns:
        The path of report.html.

    Raises:
        RunError: run.json is of another version.
        DataError: the data are not the pair's.
    """
    path = Path(folder)
    facts = Folder(path).facts() if (path / "run.json").exists() else {}
    scores = scores or likelihood.scores(pair, data)
    one = Run(_name(path), run, pair, data, scores, facts, saved_metrics(path), path)
    checkpoint.write(path / "report.json", checkpoint.to_json(_numbers(one)))
    subtitle = f"{type(pair).__name__} on {data.name}: {len(data):,} items of shape {data.shape}"
    sections = [
        Section("Scores", [_scores(one), *metric_tables([one])]),
        Section("Training", cards=_curves([one])),
        _seen([one]),
        *([Section("Latent space", cards=_latent(one))] if _coded([one]) else []),
        Section("Recipe", facts=_facts(one)),
    ]
    return page.write(path / "report.html", Page(one.name, subtitle, sections))


def compare(folder: str | Path, runs: Sequence[Run]) -> Path:
    """Write report.html, report.json and figures on several runs side by side.

    Args:
        folder: where.
        runs: from ``load``, at least one.

    Raises:
        ReportError: no runs.
    """
    if not runs:
        raise ReportError("expected at least one run to compare")
    runs = _with_unique_names(runs)
    path = Path(folder)
    checkpoint.write(path / "report.json", checkpoint.to_json({r.name: _numbers(r) for r in runs}))
    tables = [*_score_tables(runs), *metric_tables(runs)]
    sections = [
        Section("Scores", tables, note="" if tables else NO_DENSITY),
        Section("Recipes", [_differences(runs)]),
        Section("Training", cards=_curves(runs)),
        _seen(runs),
        *_compared_latents(_coded(runs)),
    ]
    title = f"{len(runs)} runs compared"
    return page.write(
        path / "report.html", Page(title, " · ".join(r.name for r in runs), sections)
    )


def load(folder: str | Path, images: Path | None = None, device: str = "auto") -> Run:
    """A finished run of the command line or of a study, scored on its test set.

    Args:
        folder: the run's.
        images: its data, where they are a folder of images.
        device: as for ``training.place``.

    Raises:
        RunError: no run, or one that is unfinished, lacks a file or is of another version.
    """
    path = Path(folder)
    pair = recipe.trained(path, device)
    data = recipe.sets(recipe.read(path), images).test
    scores = likelihood.scores(pair, data)
    facts = Folder(path).facts()
    return Run(_name(path), history(path), pair, data, scores, facts, saved_metrics(path), path)


def history(folder: str | Path) -> History:
    """What a run's history.csv holds.

    Raises:
        RunError: there is none that can be read.
    """
    try:
        return History.from_csv((Path(folder) / "history.csv").read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"the run in {folder} has no history.csv that can be read") from error


def _name(path: Path) -> str:
    return path.resolve().name.encode(errors="replace").decode()


def _with_unique_names(runs: Sequence[Run]) -> list[Run]:
    names: list[str] = []
    for run in runs:
        numbered = (f"{run.name} ({number})" for number in count(2))
        names.append(next(name for name in chain([run.name], numbered) if name not in names))
    return [run._replace(name=name) for run, name in zip(runs, names, strict=True)]


def _numbers(run: Run) -> dict[str, Any]:
    kl = {site: values.mean(0).tolist() for site, values in run.scores.terms.kl_per_dim.items()}
    return {
        "scores": run.scores.values,
        "protocol": run.scores.protocol,
        "metrics": [one.facts for one in run.metrics],
        "kl_per_dimension": kl,
        "history": run.history.records,
    }


def _score_tables(runs: Sequence[Run]) -> list[Table]:
    """One table per protocol: numbers got in different ways do not share one."""

    def protocol(run: Run) -> str:
        return json.dumps([run.scores.protocol, list(run.scores.values)])

    runs = [run for run in runs if run.scores.values]
    ordered = sorted(runs, key=protocol) if len({*map(protocol, runs)}) > 1 else runs
    return [_score_table(list(group)) for _, group in groupby(ordered, protocol)]


def _score_table(runs: list[Run]) -> Table:
    names, values = list(runs[0].scores.values), runs[0].scores.values
    header = ["run", *(f"{with_way(name)} ({values[name]['unit']})" for name in names)]
    rows = [[run.name, *(pm(run.scores.values[name]) for name in names)] for run in runs]
    return Table(header, rows, means_note(runs[0].scores.protocol))


def _scores(run: Run) -> Table:
    """The scores of one run below each other: a telephone has room for them."""
    if not run.scores.values:
        return Table(["score"], [["of samples only"]], NO_DENSITY)
    rows = [
        [with_way(name), pm(score), score["unit"]] for name, score in run.scores.values.items()
    ]
    return Table(["score", "mean per item", "unit"], rows, means_note(run.scores.protocol))


def _curves(runs: Sequence[Run]) -> list[Card]:
    histories = {run.name: run.history for run in runs}
    names = dict.fromkeys(
        name for run in runs for record in run.history.records for name in record
    )
    terms = [*TERMS, *((name, _of_site(name), 1) for name in _telling(names, runs))]
    drawn = [(t, title, figures.curves(histories, t, sign)) for t, title, sign in terms]
    styles = (("validation_", DASHED), ("target_", DOTTED))
    cards = []
    for number, (term, title, figure) in enumerate(drawn):
        if figure:
            note = " ".join(words for kind, words in styles if f"{kind}{term}" in names)
            file = term if number < len(TERMS) else f"site-{number - len(TERMS) + 1}"
            cards.append(Card(title, figure, note, file))
    return cards or [Card("No curves", note="The history holds no records.")]


def _telling(names: Iterable[str], runs: Sequence[Run]) -> list[str]:
    """Columns of single sites, unless they are 0 throughout or the only ones that are not."""
    of_sites = [name for name in names if _of_site(name)]
    moving = [
        name for name in of_sites if any(any(run.history.series(name)[1]) for run in runs)
    ]  # fmt: skip
    return moving if len(moving) > 1 or len(of_sites) == len(moving) else []


def _of_site(name: str) -> str:
    """Title of a column that belongs to one latent site; empty for the others."""
    kind, _, site = name.partition(".")
    symbol = {"kl": "KL", "beta": "β"}.get(kind)
    return f"{symbol} of {site}" if symbol and site else ""


def _coded(runs: Sequence[Run]) -> list[Run]:
    """Those with codes to show or to miss: all but what samples without any, as a GAN does."""
    return [
        run for run in runs
        if run.shows("encode") or run.shows("decode") or not run.shows("sample")
    ]  # fmt: skip


def _seen(runs: Sequence[Run]) -> Section:
    coded = _coded(runs)
    title = "Reconstructions and samples" if coded else "Samples"
    cards = _reconstructions(coded) if coded else []
    if all(run.shows("sample") for run in runs):
        cards += [*sampling.samples(runs), *sampling.origins(runs)]
    else:
        cards.append(Card("Samples", note=_why_not(runs, "sample")))
    return Section(title, cards=cards)


def _reconstructions(runs: Sequence[Run]) -> list[Card]:
    title = "Reconstructions"
    if len({(run.data.shape, run.data.digest()) for run in runs}) > 1:
        return [Card(title, note="The runs saw different data: there are no common test images.")]
    if not all(run.shows("encode", "decode") for run in runs):
        return [Card(title, note=_why_not(runs, "encode", "decode"))]
    rows = {" original": pictures.items(runs[0].pair, runs[0].data).x}  # no run's name
    for run in runs:
        shown = pictures.items(run.pair, run.data)
        name = run.name if len(runs) > 1 else "reconstruction"
        rows[name] = pictures.reconstruction(run.pair, shown)
    note = "Images spread over the test set, and the mean of p(x | z) at the mean of q(z | x)."
    several = len(runs) > 1
    figure = figures.images(rows, width=sampling.WIDE if several else figures.WIDTH)
    return [Card(title, figure, note, "reconstructions", wide=several)]


def _latent(run: Run) -> list[Card]:
    cards = [_kl_card([run]), *_traversals([run])]
    if run.shows("encode", "decode") and len(run.data) > 1:
        lines = pictures.interpolation(run.pair, pictures.items(run.pair, run.data))
        rows = {" " * i: line for i, line in enumerate(lines)}
        note = "Straight lines between the codes of two test images."
        cards.append(Card("Interpolation", figures.images(rows), note, "interpolation"))
    return cards + _codes(run)


def _compared_latents(runs: Sequence[Run]) -> list[Section]:
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
        if not run.shows("encode", "decode"):
            cards.append(Card(title, note=_why_not([run], "encode", "decode")))
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
    if not hasattr(run.pair, "encode"):
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


def _why_not(runs: Sequence[Run], *abilities: str) -> str:
    for run in runs:
        if not is_image(run.data.shape):
            return f"No pictures: items of shape {run.data.shape} are no grey or RGB images."
    return f"No pictures: the pair lacks {' or '.join(abilities)}."


def _facts(run: Run) -> list[Facts]:
    words = run.facts.get("recipe")
    if words and "model" in words:
        words = recipe.in_force(recipe.DEFAULTS | words)
    chosen = words or run.facts.get("run") or {}
    parameters = sum(p.numel() for p in run.pair.parameters())
    known = {**chosen, "parameters": f"{parameters:,}", **run.facts.get("results", {})}
    facts = [Facts(_texts(known))]
    for i, environment in enumerate(run.facts.get("environments", ())):
        where = "Where it was trained." if i == 0 else "Before that."
        facts.append(Facts(_texts(environment), where))
    return facts


def _texts(values: dict[str, Any]) -> dict[str, str]:
    return {str(name).replace("_", " "): _text(value) for name, value in values.items()}


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "–", True: "yes", False: "no"}[value]
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_text(one)}" for name, one in value.items())
    if isinstance(value, list):
        return " × ".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _differences(runs: Sequence[Run]) -> Table:
    found = [run.facts.get("recipe") for run in runs]
    recipes = [recipe.in_force(recipe.DEFAULTS | one) if one else {} for one in found]
    names = list(dict.fromkeys(name for one in recipes for name in one))
    differ = [n for n in names if len({json.dumps(one.get(n)) for one in recipes}) > 1]
    same = [f"{n.replace('_', ' ')} {_text(recipes[0][n])}" for n in names if n not in differ]
    header = ["run", *(name.replace("_", " ") for name in differ)]
    rows = [
        [run.name, *(_text(one.get(name)) for name in differ)]
        for run, one in zip(runs, recipes, strict=True)
    ]
    return Table(header, rows, f"The same in all: {', '.join(same)}." if same else "")
