"""What a page says of a run in words: its recipe, settings and environment."""

import json
from collections.abc import Sequence
from typing import Any

from probgen.recipe.owners import in_force
from probgen.recipe.written import written_in
from probgen.report.loaded import Run
from probgen.report.page import Facts, Table
from probgen.run.folder import RunError


def facts_of(run: Run) -> list[Facts]:
    """Say what a run was trained by, what came of it, and where it was trained."""
    chosen = _words(run) or run.facts.get("run") or {}
    parameters = sum(p.numel() for p in run.pair.parameters())
    known = {**chosen, "parameters": f"{parameters:,}", **run.facts.get("results", {})}
    facts = [Facts(_texts(known))]
    for i, environment in enumerate(run.facts.get("environments", ())):
        where = "Where it was trained." if i == 0 else "Before that."
        facts.append(Facts(_texts(environment), where))
    return facts


def _words(run: Run) -> dict[str, Any]:
    """The words that have an effect, or all of a recipe of the user's own."""
    try:
        found = written_in(run.facts, run.name)
    except RunError:
        return run.facts.get("recipe") or {}
    return {**in_force(found.recipe), "shape": list(found.shape), "classes": found.classes}


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


def differences(runs: Sequence[Run]) -> Table:
    """Say in which words of their recipes runs differ, one row for each run."""
    recipes = [_words(run) for run in runs]
    names = list(dict.fromkeys(name for one in recipes for name in one))
    differ = [n for n in names if len({json.dumps(one.get(n)) for one in recipes}) > 1]
    same = [f"{n.replace('_', ' ')} {_text(recipes[0][n])}" for n in names if n not in differ]
    header = ["run", *(name.replace("_", " ") for name in differ)]
    rows = [
        [run.name, *(_text(one.get(name)) for name in differ)]
        for run, one in zip(runs, recipes, strict=True)
    ]
    return Table(header, rows, f"The same in all: {', '.join(same)}." if same else "")
