"""Every variant of plans and numbers, for the tests of exact inference."""

import pytest

from probgen.exact import plan, propagation, queries


@pytest.fixture(params=["scaled messages", "logarithms"])
def other_numbers(request, monkeypatch):
    """Propagation as it is where plain products could underflow."""
    monkeypatch.setattr(plan, "SAFE", 0.0)
    if request.param == "logarithms":
        monkeypatch.setattr(propagation, "LINEAR", refusing)


def refuse(*_):
    raise FloatingPointError


refusing = propagation.LINEAR._replace(times=refuse, plus=refuse)


@pytest.fixture(params=["one plan for all", "a plan for each"])
def plans(request, monkeypatch):
    """Plans as they are for small networks, and for large ones; few rows at a time there."""
    if request.param == "a plan for each":
        monkeypatch.setattr(plan, "SMALL", 0)
        monkeypatch.setattr(queries, "CHUNK", 1)
