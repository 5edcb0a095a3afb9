"""One family of errors: every one is drawn, documented, exported, and one of Python's own."""

import importlib
import pkgutil
import re

import pytest

import probgen
from probgen import ProbgenError, ProbgenWarning

OPTIONAL = {"probgen.__main__", "probgen.reasoning.separation_numba"}
"""Modules that run on import, or need what is not always installed; they define no errors."""
CONTROL_FLOW = {"Deviation", "Unrecordable", "CompileError"}
"""Exceptions that lowering catches itself."""


def defined():
    """Every exception class of the package, by its name."""
    found = {}
    for info in pkgutil.walk_packages(probgen.__path__, "probgen."):
        if info.name in OPTIONAL:
            continue
        for value in vars(importlib.import_module(info.name)).values():
            if isinstance(value, type) and value.__module__ == info.name:
                if issubclass(value, Exception):
                    found[value.__name__] = value
    return found


def drawn():
    """(name, face, depth, builtin kind) of each line of the tree in the docstring."""
    lines = re.findall(r"^ {8}([│ ]*)[├└]── (\w+)\.(\w+)(?: \((\w+)\))?$", TREE, re.M)
    return [(name, face, len(bars) // 4, kind) for bars, face, name, kind in lines]


TREE = probgen.ProbgenError.__doc__
ALL = defined()
ERRORS = {name: one for name, one in ALL.items() if not issubclass(one, Warning)}
FAMILY = {name: one for name, one in ERRORS.items() if name not in CONTROL_FLOW}
WARNINGS = {name: one for name, one in ALL.items() if issubclass(one, Warning)}


def test_the_family_is_drawn_as_it_is():
    parents = []
    for name, _, depth, kind in drawn():
        parents = [*parents[:depth], name]
        parent = FAMILY[parents[-2]] if depth else ProbgenError
        bases = [base.__name__ for base in FAMILY[name].__bases__]
        assert bases == [parent.__name__, *([kind] if kind else [])]
    assert sorted(name for name, *_ in drawn()) == sorted(FAMILY)


@pytest.mark.parametrize("name", FAMILY)
def test_an_error_is_documented_and_one_of_pythons_own(name):
    error = FAMILY[name]
    assert issubclass(error, ProbgenError)
    assert issubclass(error, ValueError | KeyError | OSError)
    assert error.__doc__
    assert error.__doc__[0].isupper()


@pytest.mark.parametrize("name", FAMILY)
def test_an_error_is_exported_by_the_face_of_its_room(name):
    faces = {one: face for one, face, *_ in drawn()}
    face = importlib.import_module(f"probgen.{faces[name]}")
    assert FAMILY[name].__module__.split(".")[1] == faces[name]
    assert getattr(face, name) is FAMILY[name]
    assert name in face.__all__


@pytest.mark.parametrize("name", sorted(CONTROL_FLOW))
def test_control_flow_is_no_error_of_a_user(name):
    assert ERRORS[name].__bases__ == (Exception,)
    assert ERRORS[name].__module__.startswith("probgen.lowering.")


@pytest.mark.parametrize("name", WARNINGS)
def test_a_warning_is_one_of_the_packages(name):
    assert issubclass(WARNINGS[name], ProbgenWarning)
    assert WARNINGS[name].__doc__


def test_a_door_names_base_error_and_warning():
    assert {"ProbgenError", "ProbgenWarning"} <= {*probgen.__all__}
    assert issubclass(ProbgenWarning, UserWarning)


def test_whoever_catches_run_errors_catches_what_stops_a_training():
    for name in ("TrainingError", "NonFiniteError", "CollapseError", "CheckpointError"):
        assert issubclass(FAMILY[name], probgen.run.RunError)
