"""Precision, recall, density and coverage meet their references."""

import pytest
import torch
from samples import normal
from shared_data import vectors

from probgen.evaluation import prdc


def prdc_values(*sets, k):
    return {name: float(one) for name, one in prdc.score(*sets, k=k)._asdict().items()}


def test_prdc_meets_the_references():
    given, expected = vectors("prdc")
    for k in (3, 5):
        found = prdc_values(given["real"], given["fake"], k=k)
        assert found == pytest.approx(expected[f"k{k}"], abs=1e-8)


def test_prdc_ties_are_outside():
    given, expected = vectors("prdc_ties")
    found = prdc_values(given["real"], given["fake"], k=3)
    other = expected["torch_fidelity_k3_nonstrict"]
    assert found == pytest.approx(expected["prdc_k3_strict"], abs=1e-8)
    assert all(found[name] != pytest.approx(other[name], abs=0.1) for name in found.keys() & other)


def test_prdc_tells_quality_from_variety(monkeypatch):
    real = torch.cat([normal(300, 2), normal(300, 2, seed=1) + 20])
    collapsed, noise = normal(600, 2, seed=2), 100 + normal(600, 2, seed=3)
    one_mode = prdc_values(real, collapsed, k=5)
    assert one_mode["precision"] > 0.9
    assert one_mode["recall"] == pytest.approx(0.5, abs=0.05)
    assert one_mode["coverage"] == pytest.approx(0.5, abs=0.05)
    assert set(prdc_values(real, noise, k=5).values()) == {0.0}
    monkeypatch.setattr(prdc, "CHUNK", 77)
    assert prdc_values(real, collapsed, k=5) == one_mode
