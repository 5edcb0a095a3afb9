"""Scores of runs: in scores.json, in tables, and side by side."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from probgen.evaluation import ProtocolError, Score, likelihood
from probgen.evaluation.score import Direction
from probgen.report.page import Table
from probgen.run import checkpoint
from probgen.run.checkpoint import CheckpointError
from probgen.run.folder import Folder, RunError

ARROWS: Mapping[Direction, str] = {"lower": "↓", "higher": "↑"}
DIRECTIONS = "↓ lower is better, ↑ higher"
MEAN = {"mean": int | float, "standard_error": int | float, "unit": str}
RENAMED = {"particles": "num_particles"}
"""Words of a protocol as files of former versions have them, and as they are now."""


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
    runs = _comparable(folders)
    protocol = next(iter(runs.values())).protocol
    header = ["mean per item", *runs, "unit"]
    table = Table(header, _means([run.means for run in runs.values()]), means_note(protocol))
    metrics = {name: run.metrics for name, run in runs.items()}
    rows = [_beside(found) for found in _by_score(runs.values())]
    return [table, _of_metrics(metrics, rows)] if rows else [table]


COLUMNS = (
    "run", "score", "value", "standard_error", "low", "high", "level", "unit", "better", "n",
    "variant", "features", "data", "seed",
)  # fmt: skip


def tidy(folders: Sequence[str | Path]) -> list[dict[str, Any]]:
    """What ``side_by_side`` shows, one row for each score of each run, for other programs.

    Returns:
        Rows with the keys ``COLUMNS``, None or empty where a score has no such thing; ``better``
        is "lower" or "higher", ``n`` one number per set compared with spaces between.

    Raises:
        ProtocolError: as for ``side_by_side``.
        RunError: as for ``side_by_side``.
    """
    found = []
    for name, run in _comparable(folders).items():
        known = [run.protocol.get(key) for key in ("data", "part", "data_sha256")]
        source: dict[str, Any] = {key: run.protocol.get(key) for key in ("n", "seed")}
        source["data"] = " ".join(str(word) for word in known if word)
        source["variant"] = f"num_particles {run.protocol.get('num_particles')}"
        for score, mean in run.means.items():
            about = {"value": mean["mean"], "better": likelihood.BETTER.get(score)}
            found.append({"run": name, "score": score, **about, **mean, **source})
        for score, one in run.metrics.items():
            low, high = one.interval or (None, None)
            bounds = {"low": low, "high": high, "features": one.extractor}
            sizes = " ".join(map(str, one.n))
            found.append({**one.facts, **bounds, "run": name, "score": score, "n": sizes})
    return [{column: row.get(column) for column in COLUMNS} for row in found]


class _Saved(NamedTuple):
    """A scores.json."""

    means: dict[str, dict[str, Any]]
    protocol: dict[str, Any]
    metrics: dict[str, Score]


def _comparable(folders: Sequence[str | Path]) -> dict[str, _Saved]:
    """Each run's scores by its name; a folder that is named twice counts once."""
    paths = [*dict.fromkeys(map(Path, folders))]
    saved = [_read(path) for path in paths]
    names = [path.resolve().name for path in paths]
    if len({*names}) < len(names):
        names = [str(path) for path in paths]
    for name, one in zip(names, saved, strict=True):
        if one.protocol != saved[0].protocol:
            raise ProtocolError(
                f"these means cannot be compared: {_differences(saved[0], one, names[0], name)}: "
                "probgen report puts them into tables of their own"
            )
    for found in _by_score(saved):
        known = [score for score in found if score is not None]
        for score in known:
            score.check_comparable(known[0])
    return dict(zip(names, saved, strict=True))


def _by_score(runs: Iterable[_Saved]) -> list[list[Score | None]]:
    """For each metric that a run has, that of every run, or None."""
    runs = list(runs)
    names = dict.fromkeys(name for run in runs for name in run.metrics)
    return [[run.metrics.get(name) for run in runs] for name in names]


def _differences(a: _Saved, b: _Saved, *names: str) -> str:
    """What two protocols differ in, in words."""
    first, other = a.protocol, b.protocol
    differ = [name for name in {**first, **other} if first.get(name) != other.get(name)]
    return ", ".join(
        f"{name} is {first.get(name)} of {names[0]}, {other.get(name)} of {names[1]}"
        for name in differ
    )


def means_note(protocol: dict[str, Any]) -> str:
    """What the means of a table are, and how they were got."""
    words = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in protocol.items())
    return f"Means per item ± standard error. Protocol: {words}. {DIRECTIONS}."


def with_arrow(name: str, better: Direction | None) -> str:
    """The name of a score with an arrow towards the better values, if they have a direction.

    >>> with_arrow("FID", "lower"), with_arrow("memorization", None)
    ('FID ↓', 'memorization')
    """
    return f"{name} {ARROWS[better]}" if better else name


def mean_with_arrow(name: str) -> str:
    """The same for one of the means of ``likelihood.scores``.

    >>> mean_with_arrow("ELBO"), mean_with_arrow("KL")
    ('ELBO ↑', 'KL')
    """
    return with_arrow(name, likelihood.BETTER.get(name))


def _of_metrics(
    metrics: Mapping[str, Mapping[str, Score]], rows: Sequence[Sequence[str]]
) -> Table:
    """What rows have in common goes below: features and data are long."""
    header, notes = ["score", *metrics, "n", "variant"], [f"{DIRECTIONS}.", *_above_floor(metrics)]
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


def _read(folder: Path) -> _Saved:
    path = folder / "scores.json"
    if not path.is_file():
        raise RunError(f"{folder} has no scores.json: probgen evaluate {folder}")
    saved = checkpoint.read_json(path)
    if not all(isinstance(saved.get(name), dict) for name in ("protocol", "scores")):
        raise CheckpointError(f"expected protocol and scores in {path}")
    for score in saved["scores"].values():
        if not _is_mean(score):
            raise CheckpointError(
                f"expected scores with {', '.join(MEAN)} in {path}; got {score!r}"
            )
    metrics = {one.name: one for one in saved_metrics(folder)}
    protocol = {RENAMED.get(key, key): value for key, value in saved["protocol"].items()}
    return _Saved(saved["scores"], protocol, metrics)


def _is_mean(score: Any) -> bool:
    named = isinstance(score, dict)
    return named and all(isinstance(score.get(name), kind) for name, kind in MEAN.items())


def _means(scores: Sequence[dict[str, Any]]) -> list[list[str]]:
    units = {name: score["unit"] for one in scores for name, score in one.items()}
    return [
        [mean_with_arrow(name), *(pm(one[name]) if name in one else "–" for one in scores), unit]
        for name, unit in units.items()
    ]


def _beside(found: Sequence[Score | None]) -> list[str]:
    values = ["–" if score is None else _with_interval(score) for score in found]
    known = next(score for score in found if score is not None)
    return [with_arrow(known.name, known.better), *values, *_protocol(known)]


def pm(score: dict[str, Any]) -> str:
    """Mean ± standard error."""
    return f"{score['mean']:.2f} ± {score['standard_error']:.2f}"


def metric_tables(runs: Sequence[Scored]) -> list[Table]:
    """A column per run, and a row per metric and protocol; other data, another table."""
    if len(runs) == 1:
        named = [{"value": {one.name: one for one in runs[0].metrics}}]
    else:
        named = [
            {run.name: {m.name: m for m in run.metrics if m.data == data} for run in runs}
            for data in dict.fromkeys(one.data for run in runs for one in run.metrics)
        ]
    known = [{run: found for run, found in one.items() if found} for one in named]
    return [_metric_table(metrics) for metrics in known if metrics]


def _metric_table(metrics: Mapping[str, Mapping[str, Score]]) -> Table:
    each = [{_key(score): score for score in found.values()} for found in metrics.values()]
    keys = dict.fromkeys(key for found in each for key in found)
    return _of_metrics(metrics, [_beside([found.get(key) for found in each]) for key in keys])


def _key(score: Score) -> str:
    return json.dumps([score.name, score.protocol])


def _with_interval(score: Score) -> str:
    value = f"{score.value:.4g}{f' {score.unit}' if score.unit else ''}"
    if score.interval is None:
        return value
    low, high = (f"{bound:.4g}" for bound in score.interval)
    return f"{value} ({low} to {high})"


def _protocol(score: Score) -> list[str]:
    n = ", ".join(f"{n:,}" for n in score.n)
    return [n, score.variant or "–", score.extractor or "–", score.data or "–"]
