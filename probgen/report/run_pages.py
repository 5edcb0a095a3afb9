"""The page of a run, and the page that compares several."""

import json
from collections.abc import Iterable, Sequence
from itertools import chain, count, groupby
from pathlib import Path
from typing import Any

from probgen.data import Set
from probgen.evaluation import likelihood
from probgen.objectives import Codec, Generative, Pair
from probgen.report import figures, page, pictures, sample_cards
from probgen.report.facts import differences, facts_of
from probgen.report.latent_cards import latent_cards, latent_section, why_no_pictures, with_codes
from probgen.report.loaded import Run, name_of
from probgen.report.page import Card, Page, ReportError, Section, Table
from probgen.report.scores import mean_with_arrow, means_note, metric_tables, pm, saved_metrics
from probgen.run import checkpoint
from probgen.run.folder import Folder
from probgen.run.history import History

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


def save(
    folder: str | Path,
    history: History,
    pair: Pair | Generative,
    data: Set,
    scores: likelihood.Scores | None = None,
) -> Path:
    """Write report.html, one file that needs no other, report.json, and report/ with figures.

    Args:
        folder: where; the recipe is that of a run.json there.
        history: what ``training.fit`` returned.
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
    one = Run(name_of(path), history, pair, data, scores, facts, saved_metrics(path), path)
    checkpoint.write(path / "report.json", checkpoint.to_json(_numbers(one)))
    subtitle = f"{type(pair).__name__} on {data.name}: {len(data):,} items of shape {data.shape}"
    sections = [
        Section("Scores", [_means(one), *metric_tables([one])]),
        Section("Training", cards=_curves([one])),
        _seen([one]),
        *([Section("Latent space", cards=latent_cards(one))] if with_codes([one]) else []),
        Section("Recipe", facts=facts_of(one)),
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
        Section("Recipes", [differences(runs)]),
        Section("Training", cards=_curves(runs)),
        _seen(runs),
        *latent_section(with_codes(runs)),
    ]
    title = f"{len(runs)} runs compared"
    return page.write(
        path / "report.html", Page(title, " · ".join(r.name for r in runs), sections)
    )


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
    header = ["run", *(f"{mean_with_arrow(name)} ({values[name]['unit']})" for name in names)]
    rows = [[run.name, *(pm(run.scores.values[name]) for name in names)] for run in runs]
    return Table(header, rows, means_note(runs[0].scores.protocol))


def _means(run: Run) -> Table:
    """The means of one run below each other: a telephone has room for them."""
    if not run.scores.values:
        return Table(["score"], [["of samples only"]], NO_DENSITY)
    rows = [
        [mean_with_arrow(name), pm(score), score["unit"]]
        for name, score in run.scores.values.items()
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


def _seen(runs: Sequence[Run]) -> Section:
    coded = with_codes(runs)
    title = "Reconstructions and samples" if coded else "Samples"
    cards = _reconstructions(coded) if coded else []
    if all(run.shows(Generative) for run in runs):
        cards += [*sample_cards.samples(runs), *sample_cards.origins(runs)]
    else:
        cards.append(Card("Samples", note=why_no_pictures(runs, "sample")))
    return Section(title, cards=cards)


def _reconstructions(runs: Sequence[Run]) -> list[Card]:
    title = "Reconstructions"
    if len({(run.data.shape, run.data.digest()) for run in runs}) > 1:
        return [Card(title, note="The runs saw different data: there are no common test images.")]
    if not all(run.shows(Codec) for run in runs):
        return [Card(title, note=why_no_pictures(runs, "encode", "decode"))]
    rows = {" original": pictures.items(runs[0].pair, runs[0].data).x}  # no run's name
    for run in runs:
        shown = pictures.items(run.pair, run.data)
        name = run.name if len(runs) > 1 else "reconstruction"
        rows[name] = pictures.reconstruction(run.pair, shown)
    note = "Images spread over the test set, and the mean of p(x | z) at the mean of q(z | x)."
    several = len(runs) > 1
    figure = figures.images(rows, width=sample_cards.WIDE if several else figures.WIDTH)
    return [Card(title, figure, note, "reconstructions", wide=several)]
