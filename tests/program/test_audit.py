"""What guides miss of posteriors."""

import re
from pathlib import Path

import pyro
import pyro.distributions as dist
import pytest
import torch
from pair_zoo import PAIRS, SHAPE
from pyro.infer import autoguide
from small_programs import UNIT, collider

from probgen import program


def test_audit_finds_what_mean_field_drops_and_nothing_in_a_full_guide():
    def mean_field():
        pyro.sample("a", UNIT), pyro.sample("b", UNIT)

    def full():
        a = pyro.sample("a", UNIT)
        pyro.sample("b", dist.Normal(-a, 1.0))

    found = program.audit(collider, mean_field)
    assert not found
    assert str(found) == ("the guide drops a - b: a -> x <- b is open at x, an observed collider")
    assert program.audit(collider, full)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (autoguide.AutoNormal, "drops a - b"),
        (autoguide.AutoDiagonalNormal, "draws the 2 dimensions of _AutoDiagonalNormal_latent"),
        (autoguide.AutoMultivariateNormal, "can represent every dependence"),
        (autoguide.AutoDelta, "puts a on one point"),
    ],
)
def test_audit_of_autoguides(kind, said):
    guide = kind(collider)
    guide()
    assert said in str(program.audit(collider, guide))


def test_audit_of_the_library_is_what_its_document_says():
    torch.manual_seed(0)
    documented = (Path(__file__).parents[2] / "docs" / "bridge.md").read_text("utf-8")
    batch = torch.rand(6, *SHAPE), torch.arange(6)
    for name, make in PAIRS.items():
        pair = make()
        said = str(program.audit(pair.model, pair.guide, *batch))
        assert re.search(rf"^\| {name} \|.*\| {re.escape(said)} \|$", documented, re.MULTILINE)
        points = name.startswith(("vq", "autoencoder"))
        assert ("puts z on one point" in said) == points, name
        assert ("dimensions of z independently" in said) == (not points), name


def test_audit_of_a_joint_latent_asks_whether_the_posterior_couples_it():
    def apart():
        for z, x in (("a", "x"), ("b", "y")):
            pyro.sample(x, dist.Normal(pyro.sample(z, UNIT), 1.0), obs=torch.tensor(1.0))

    guide = autoguide.AutoDiagonalNormal(apart)
    guide()
    assert program.audit(apart, guide)
