"""What is known of one word of a recipe, and the check of its values."""

import difflib
import math
import numbers
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from probgen import ProbgenError
from probgen.recipe.choices import Owner

RENAMED = {"k": "num_particles"}
"""Words that earlier versions called otherwise."""


class RecipeError(ProbgenError, ValueError):
    """Words that name no data, no network or no objective, or do not go together."""


class Word(NamedTuple):
    """Describe one word of a recipe, as its field says.

    Attributes:
        name: the field.
        kind: of its value: bool, int, float or str.
        optional: whether None is a value, which says "as if not given".
        default: its value where none is given.
        help: what it does, in a sentence.
        panel: the part of the help that it stands in.
        owners: what it needs to have an effect; any one of these is enough.
        choices: its values, if they are few.
        choice_owners: what some of the choices need.
        least: the smallest value.
        above: a number below all values.
        most: the largest value.
        needed: whether it has to be given where it has an effect.
    """

    name: str
    kind: type
    optional: bool
    default: Any
    help: str
    panel: str
    owners: tuple[Owner, ...]
    choices: tuple[str, ...] = ()
    choice_owners: Mapping[str, Owner] = {}
    least: float | None = None
    above: float | None = None
    most: float | None = None
    needed: bool = False

    @property
    def option(self) -> str:
        """How the command line spells it."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def bounds(self) -> str:
        """Its range as text."""
        if self.most is not None:
            return f" from {self.least} to {self.most}"
        if self.least is not None:
            return f" >= {self.least}"
        return " finite" if self.above is None else f" > {self.above}"

    def checked(self, value: Any) -> Any:
        """Return the value as its kind.

        Raises:
            RecipeError: a value of another kind, no choice, or out of bounds.
        """
        if value is None and self.optional:
            return None
        self._check_kind(value)
        if self.choices and value not in self.choices:
            known, near = ", ".join(self.choices), suggestion(value, self.choices)
            raise RecipeError(f"expected {self.name} {known}; got {value!r}{near}")
        if self.kind in (int, float) and not self._holds(value):
            raise RecipeError(f"expected {self.name}{self.bounds}; got {value}")
        return self.kind(value)

    def _check_kind(self, value: Any) -> None:
        abstract: dict[type, type] = {float: numbers.Real, int: numbers.Integral}
        wanted = abstract.get(self.kind, self.kind)
        truth = isinstance(value, bool) and self.kind is not bool
        if truth or not isinstance(value, wanted):
            shown = f"{self.kind.__name__}{' or None' if self.optional else ''}"
            raise RecipeError(f"expected {self.name}: {shown}; got {value!r}")

    def _holds(self, value: float) -> bool:
        try:
            finite = math.isfinite(value)
        except OverflowError:  # an integer that no float holds
            finite = self.kind is int
        return (
            finite
            and (self.least is None or value >= self.least)
            and (self.above is None or value > self.above)
            and (self.most is None or value <= self.most)
        )


def suggestion(name: object, known: Iterable[str]) -> str:
    """Return `; did you mean X?` for the nearest known word, or nothing.

    >>> suggestion("latnet", ["latent", "hidden"])
    "; did you mean 'latent'?"
    """
    close = difflib.get_close_matches(str(name)[:100], known, 1)
    return f"; did you mean {close[0]!r}?" if close else ""
