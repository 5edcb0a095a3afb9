"""Scores of runs: in scores.json, in tables, and side by side."""

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

from probgen import checkpoint
from probgen.checkpoint import CheckpointError
from probgen.evaluation import BETTER, ProtocolError, Score, likelihood
from probgen.report.page import Table
from probgen.run import Folder, RunError

ARROWS = {"lower": "↓", "higher": "↑"}


class Scored(Protocol):
    """A run, or anything else that has a name and scores."""

    @property
    def name(self) -> str:
        """What a table calls it."""

    @property
    def metrics(self) -> Sequence[Score]:
        """Its scores."""


def save_scores(
    folder: str | Path, scores: likelihood.Scores, metrics: Sequence[Score] = ()
) -> None:
    """Write scores.json, each score with its unit, and their protocol.

    Args:
        folder: the run's.
        scores: means over the test set.
        metrics: others, each with its own protocol; they go with the weights that are there.
    """
    content: dict[str, Any] = {"protocol": scores.protocol, "scores": scores.values}
    if metrics:
        sha256 = Folder(folder).facts().get("weights_sha256")
        facts = [one.facts for one in metrics]
        content["metrics"] = {"weights_sha256": sha256, "scores": facts}
    checkpoint.write(Path(folder) / "scores.json", checkpoint.to_json(content))


def saved_metrics(folder: str | Path) -> tuple[Score, ...]:
    """The metrics in scores.json, if they are of the weights that are there.

    Raises:
        EvaluationError: they are no scores.
    """
    path = Path(folder) / "scores.json"
    if not path.is_file():
        return ()
    saved = checkpoint.read_json(path).get("metrics")
    if not isinstance(saved, dict) or not isinstance(saved.get("scores"), list):
        return ()
    if saved.get("weights_sha256") != Folder(folder).facts().get("weights_sha256"):
        return ()
    return tuple(Score.read(facts) for facts in saved["scores"])


def side_by_side(folders: Sequence[str | Path]) -> list[Table]:
    """The means and the metrics of several runs' scores.json, a score a row and a run a column.

    Raises:
        ProtocolError: two scores of one name were not got in the same way.
        RunError: a folder has no scores.json.
    """
    saved = [_read(Path(folder)) for folder in folders]
    names = [Path(folder).resolve().name for folder in folders]
    if len({*names}) < len(names):
        names = [str(folder) for folder in folders]
    for name, one in zip(names, saved, strict=True):
        if one["protocol"] != saved[0]["protocol"]:
            raise ProtocolError(
                f"these means cannot be compared: {_differences(saved[0], one, names[0], name)}: "
                "probgen report puts them into tables of their own"
            )
    means = _means([one["scores"] for one in saved])
    table = Table(["mean per item", *names, "unit"], means, means_note(saved[0]["protocol"]))
    metrics = [{one.name: one for one in saved_metrics(folder)} for folder in folders]
    rows = [_beside(name, metrics) for name in dict.fromkeys(n for one in metrics for n in one)]
    named = dict(zip(names, metrics, strict=True))
    return [table, _of_metrics(named, rows)] if rows else [table]


def _differences(a: dict[str, Any], b: dict[str, Any], *names: str) -> str:
    """What two protocols differ in, in words."""
    first, other = a["protocol"], b["protocol"]
    differ = [name for name in {**first, **other} if first.get(name) != other.get(name)]
    return ", ".join(
        f"{name} is {first.get(name)} of {names[0]}, {other.get(name)} of {names[1]}"
        for name in differ
    )


def means_note(protocol: dict[str, Any]) -> str:
    """What the means of a table are, and how they were got."""
    words = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in protocol.items())
    return f"Means per item ± standard error. Protocol: {words}. {WAYS}."


WAYS = "↓ lower is better, ↑ higher"


def with_way(name: str) -> str:
    """The name of a score with an arrow where it gets better.

    >>> with_way("FID"), with_way("ELBO"), with_way("KL")
    ('FID ↓', 'ELBO ↑', 'KL')
    """
    return f"{name} {ARROWS[BETTER[name]]}" if name in BETTER else name


def _of_metrics(
    metrics: Mapping[str, Mapping[str, Score]], rows: Sequence[Sequence[str]]
) -> Table:
    """What rows have in common goes below: features and data are long."""
    header, notes = ["score", *metrics, "n", "variant"], [f"{WAYS}.", *_above_floor(metrics)]
    levels = {score.level for one in metrics.values() for score in one.values() if score.level}
    confidence = ", ".join(f"{100 * level:g} %" for level in sorted(levels))
    if confidence:
        notes.append(f"In brackets: {confidence} interval.")
    columns = [*zip(*rows, strict=True)]
    kept = columns[: len(header)]
    for title, column in zip(("features", "data"), columns[len(header) :], strict=True):
        if len(said := {*column} - {"–"}) == 1:
            notes.append(f"{title.capitalize()}: {said.pop()}.")
        elif said:
            header.append(title)
            kept.append(column)
    return Table(header, [[*row] for row in zip(*kept, strict=True)], " ".join(notes))


def _above_floor(metrics: Mapping[str, Mapping[str, Score]]) -> list[str]:
    """How far the FID of each run is from what real images score, in words."""
    found = []
    for run, scores in metrics.items():
        if {"FID", "FID floor"} <= scores.keys() and (floor := scores["FID floor"].value) > 0:
            of = f" of {run}" if len(metrics) > 1 else ""
            times = f"{scores['FID'].value / floor:.2g} times"
            found.append(f"FID{of}: {times} its floor, the FID of real images.")
    return found


def _read(folder: Path) -> dict[str, Any]:
    path = folder / "scores.json"
    if not path.is_file():
        raise RunError(f"{folder} has no scores.json: probgen evaluate {folder}")
    saved = checkpoint.read_json(path)
    if not all(isinstance(saved.get(name), dict) for name in ("protocol", "scores")):
        raise CheckpointError(f"expected protocol and scores in {path}")
    return saved


def _means(scores: Sequence[dict[str, Any]]) -> list[list[str]]:
    try:
        units = {name: score["unit"] for one in scores for name, score in one.items()}
        return [
            [with_way(name), *(pm(one[name]) if name in one else "–" for one in scores), unit]
            for name, unit in units.items()
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"expected scores with mean and unit; got {error!r}") from error


def _beside(name: str, metrics: Sequence[dict[str, Score]]) -> list[str]:
    found = [one.get(name) for one in metrics]
    known = [score for score in found if score is not None]
    for score in known:
        score.check_comparable(known[0])
    values = ["–" if score is None else _with_interval(score) for score in found]
    return [with_way(name), *values, *_protocol(known[0])]


def pm(score: dict[str, Any]) -> str:
    """Mean ± standard error."""
    return f"{score['mean']:.2f} ± {score['standard_error']:.2f}"


def metric_tables(runs: Sequence[Scored]) -> list[Table]:
    """One table per way the metrics were got, a metric a row and a run a column."""

    def protocols(run: Scored) -> str:
        return json.dumps([one.protocol for one in run.metrics])

    scored = sorted((run for run in runs if run.metrics), key=protocols)
    return [_metric_table(list(group)) for _, group in groupby(scored, protocols)]


def _metric_table(runs: list[Scored]) -> Table:
    names = [run.name for run in runs] if len(runs) > 1 else ["value"]
    named = {
        name: {one.name: one for one in run.metrics} for name, run in zip(names, runs, strict=True)
    }
    rows = []
    for same in zip(*(run.metrics for run in runs), strict=True):
        rows.append([with_way(same[0].name), *map(_with_interval, same), *_protocol(same[0])])
    return _of_metrics(named, rows)


def _with_interval(score: Score) -> str:
    value = f"{score.value:.4g}{f' {score.unit}' if score.unit else ''}"
    if score.interval is None:
        return value
    low, high = (f"{bound:.4g}" for bound in score.interval)
    return f"{value} ({low} to {high})"


def _protocol(score: Score) -> list[str]:
    n = ", ".join(f"{n:,}" for n in score.n)
    return [n, score.variant or "–", score.extractor or "–", score.data or "–"]
