"""A trained run as a report takes it, read from its folder."""

from pathlib import Path
from typing import Any, NamedTuple

from probgen.data import Set
from probgen.evaluation import Score, likelihood
from probgen.recipe.training import sets, trained
from probgen.recipe.words import Recipe
from probgen.recipe.written import read, written_in
from probgen.report.scores import saved_metrics
from probgen.run.folder import Folder, RunError
from probgen.run.grids import is_image
from probgen.run.history import History


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

    @property
    def recipe(self) -> Recipe:
        """What it was trained by.

        Raises:
            RunError: it was not made from a recipe.
        """
        return written_in(self.facts, self.folder or self.name).recipe

    def shows(self, ability: type) -> bool:
        """Whether the data are images and the pair is a ``models.Codec``, or another of these."""
        return isinstance(self.pair, ability) and is_image(self.data.shape)


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
    pair = trained(path, device)
    data = sets(read(path), images).test
    scores = likelihood.scores(pair, data)
    facts = Folder(path).facts()
    return Run(name_of(path), history(path), pair, data, scores, facts, saved_metrics(path), path)


def history(folder: str | Path) -> History:
    """What a run's history.csv holds.

    Raises:
        RunError: there is none that can be read.
    """
    try:
        return History.from_csv((Path(folder) / "history.csv").read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"the run in {folder} has no history.csv that can be read") from error


def name_of(path: Path) -> str:
    """Name a run by its folder, also where that is no valid UTF-8."""
    return path.resolve().name.encode(errors="replace").decode()
