"""KID meets its references, without bias."""

import pytest
import torch
from samples import covered, normal
from shared_data import vectors

from probgen.evaluation import ProtocolError, kid


def test_kid_meets_the_references():
    given, expected = vectors("kid")
    subsets = zip(given["subset_idx_x"], given["subset_idx_y"], strict=True)
    found = [kid.mmd2(given["x"][i], given["y"][j]) for i, j in subsets]
    values = torch.tensor(found, dtype=torch.float64)
    n = expected["n"]
    whole = float(kid.score(given["x"][:n], given["y"][:n]))
    close = {"abs": 1e-8}
    assert values.mean().item() == pytest.approx(
        expected["kernel_inception_distance_mean"], **close
    )
    assert values.std(correction=0).item() == pytest.approx(
        expected["kernel_inception_distance_std"], **close
    )
    assert whole == pytest.approx(expected["full_unbiased_first_n"], **close)
    assert whole != pytest.approx(expected["full_biased_first_n"], abs=1e-2)


def test_kid_is_unbiased_at_any_size(monkeypatch):
    """Its mean over many pairs of sets of one distribution is 0, at 5 rows as at 50."""
    for n, repeats in ((5, 4000), (50, 400)):
        x, y = normal(repeats, n, 2), normal(repeats, n, 2, seed=1)
        values = torch.tensor([kid.mmd2(a, b) for a, b in zip(x, y, strict=True)])
        assert abs(values.mean()) < 4 * values.std() / repeats**0.5
    x, y = normal(50, 3), normal(40, 3, seed=1)
    whole = kid.mmd2(x, y)
    monkeypatch.setattr(kid, "CHUNK", 7)
    assert kid.mmd2(x, y) == pytest.approx(whole, rel=1e-12)


def test_kid_by_subsets_states_them():
    x, y = normal(300, 3), normal(200, 3, seed=1) + 1
    found = kid.score(x, y, subsets=100, subset_size=50)
    assert found.variant == "unbiased, 100 subsets of 50"
    assert float(found) == pytest.approx(float(kid.score(x, y)), rel=0.15)
    assert float(kid.score(x, y, subsets=100, subset_size=50)) == float(found)
    with pytest.raises(ProtocolError, match="all pairs"):
        found < kid.score(x, y)  # noqa: B015


def test_kid_intervals_cover():
    """Linear features: E k = (x y + 1)^3 has the closed form 1 + 3 m m' + 3 s s' + t t'."""
    n = 200
    x, y = normal(n, 100, 1), 0.5 + normal(n, 100, 1, seed=1)
    moments = {m: (m, 1 + m**2, m**3 + 3 * m) for m in (0.0, 0.5)}
    mean = {
        (a, b): 1
        + sum(c * p * q for c, p, q in zip((3, 3, 1), moments[a], moments[b], strict=True))
        for a in moments
        for b in moments
    }
    truth = mean[0.0, 0.0] + mean[0.5, 0.5] - 2 * mean[0.0, 0.5]
    scores = [kid.score(a, b, level=0.95) for a, b in zip(x, y, strict=True)]
    assert covered([one.interval for one in scores], truth, n)
