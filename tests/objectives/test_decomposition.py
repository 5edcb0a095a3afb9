"""The KL's parts, summed exactly and by reference."""

import json
import math
from pathlib import Path

import aggregate_toy as toy
import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from toy_pairs import Drawn, Toy, Two

from probgen import data, evaluation, objectives
from probgen.evaluation import likelihood

VECTORS = Path(__file__).parents[3] / "shared" / "vectors"
X = torch.linspace(-1, 1, 6).double()
Split = objectives.TotalCorrelationELBO


def test_decompose_reports_the_exact_terms(reported):
    exact, found = reported
    for score, value in zip(found[:2], exact, strict=True):
        assert score.value == pytest.approx(value, abs=4 * score.details["standard_error"])
    assert found.kl.n == (toy.N,)
    assert found.largest_mutual_information == math.log(toy.N)
    assert found.active_units.value == 4.0
    per_dim = found.dimension_wise_kl.details["per_dimension"]
    assert sum(per_dim) == pytest.approx(found.dimension_wise_kl.value)


def test_the_parts_add_up_to_the_exact_kl(reported):
    _, found = reported
    parts = sum(map(float, found[:3]))
    assert parts - float(found.kl) == pytest.approx(found.residual, abs=1e-12)
    assert abs(found.residual) < 4 * found.dimension_wise_kl.details["standard_error"]
    assert found.rate_distortion == (found.kl.value, -found.log_likelihood.value)


@pytest.mark.skipif(not VECTORS.is_dir(), reason="no reference vectors beside the repository")
@pytest.mark.parametrize("batch_size", [60, 25])
def test_decompose_agrees_with_the_reference(batch_size):
    inputs = np.load(VECTORS / "elbo_decomposition.npz")
    expected = json.loads((VECTORS / "elbo_decomposition.json").read_text())["expected"]
    loc, log_scale, z = (torch.from_numpy(inputs[name]) for name in ("mu", "logsigma", "z"))

    class Known(Toy):
        def model(self, x, y=None):
            with pyro.plate("data", len(x)):
                pyro.sample("z", dist.Normal(torch.zeros(5).double(), 1.0).to_event(1))
                pyro.sample("x", dist.Normal(0.0, 1.0), obs=torch.zeros(len(x)))

        def guide(self, x, y=None):
            rows = x.flatten().long()
            q = Drawn(loc[rows], log_scale[rows].exp(), z[rows])
            with pyro.plate("data", len(x)):
                pyro.sample("z", q.to_event(1))

    rows = data.arrays(torch.arange(60.0).unsqueeze(1))
    found = likelihood.decompose(Known().double(), rows, batch_size=batch_size)
    log_q = dist.Normal(loc, log_scale.exp()).log_prob(z).sum(-1).mean().item()
    log_p = dist.Normal(0.0, 1.0).log_prob(z).sum(-1).mean().item()
    information = expected["joint_entropy"] + log_q  # the reference has E log q(z | x) exactly,
    rest = -log_p - sum(expected["marginal_entropies"])  # and E log p(z); ours are of the sample
    assert found.mutual_information.value == pytest.approx(information, abs=1e-6)
    assert found.total_correlation.value == pytest.approx(expected["total_correlation"], abs=1e-6)
    assert found.dimension_wise_kl.value == pytest.approx(rest, abs=1e-6)
    assert found.kl.value == pytest.approx(expected["kl"], abs=1e-6)


class Collapsed(Toy):
    """One of two dimensions says nothing of x; a mixture prior without analytic KL."""

    def model(self, x, y=None):
        parts = dist.Normal(torch.tensor([[-1.0, 0.0], [1.0, 0.5]]), 0.7).to_event(1)
        prior = dist.MixtureSameFamily(dist.Categorical(torch.tensor([0.3, 0.7])), parts)
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", prior)
            pyro.sample("x", dist.Normal(z.sum(-1), 1.0), obs=x[:, 0])

    def guide(self, x, y=None):
        loc = torch.cat([x, torch.zeros_like(x)], -1)
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(loc, torch.tensor([0.01, 1.0])).to_event(1))


def test_a_collapsed_dimension_is_not_active_and_mi_meets_its_cap():
    x = data.arrays(torch.linspace(-3, 3, 20).unsqueeze(1))
    found = likelihood.decompose(Collapsed(), x, num_particles=20, batch_size=7)
    assert found.active_units.value == 1.0
    assert found.active_units.details["variances"][1] == 0.0
    assert found.mutual_information.value == pytest.approx(math.log(20), abs=1e-4)
    assert found.total_correlation.value == pytest.approx(0.0, abs=1e-4)
    assert found.residual == pytest.approx(0.0, abs=1e-5)  # a sampled KL has no noise of its own
    assert "per_dimension" not in found.dimension_wise_kl.details


def test_points_are_a_part_of_the_data_under_the_whole_aggregate():
    whole = likelihood.decompose(toy.Planes(), toy.indices(), points=400)
    assert "aggregate posterior of 2000, means over 400" in whole.mutual_information.variant
    part = likelihood.decompose(toy.Planes(), toy.indices().take(torch.arange(400)))
    with pytest.raises(evaluation.ProtocolError, match="2000"):
        whole.mutual_information.check_comparable(part.mutual_information)


@pytest.mark.parametrize("points", [1, 0, 2001])
def test_points_that_are_not_there_are_refused(points):
    with pytest.raises(evaluation.EvaluationError, match=f"2 to 2000 points.*got {points}"):
        likelihood.decompose(toy.Planes(), toy.indices(), points=points)


def test_two_latents_that_look_at_x_alone_are_split():
    pair, losses = Two().double(), []
    for objective in (Split(data_size=60), objectives.ELBO(), Split(beta=2.0, data_size=60)):
        pyro.set_rng_seed(0)
        losses.append(float(objective.loss_and_grads(pair.model, pair.guide, X)))
    assert losses[0] == pytest.approx(losses[1])
    pyro.set_rng_seed(0)
    terms = Split(data_size=60).terms(pair.model, pair.guide, X)
    correlation = terms.estimates["total_correlation"].mean().item() * terms.size
    assert losses[2] - losses[0] == pytest.approx(correlation)
