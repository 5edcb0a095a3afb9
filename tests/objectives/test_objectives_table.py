"""What docs/objectives.md says is proven: each number measured anew and held to its bound."""

import math

import objectives_table as proven
import pytest


@pytest.mark.parametrize("name", proven.LIMITS)
def test_a_limit_is_its_simpler_sibling(name):
    value, gradient = proven.limit(*proven.LIMITS[name])
    rounding = 1e-7 if name.startswith("Controlled") else 1e-12  # its beta is a float32
    assert value < rounding
    assert gradient < rounding


@pytest.mark.parametrize("x", [0.1, 1.0, 10.0])
def test_svi_finds_the_posterior_of_the_gamma_exercise(x):
    theta, elbo = proven.exercise(x)
    assert theta == pytest.approx(x + 1, rel=0.01)
    assert elbo == pytest.approx(-2 * math.log(x + 1), abs=1e-4)


def test_the_document_has_the_rows_that_are_measured():
    text = (proven.ROOT / "docs" / "objectives.md").read_text()
    measured = text.partition(proven.START)[2].partition(proven.END)[0]
    for row in [*proven.LIMITS, *proven.toy.ESTIMATORS, "1000 B", "log p(x)", "x + 1"]:
        assert row in measured
