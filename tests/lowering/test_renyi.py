"""The corrected Rényi bound of lowering: its value, its gradient, and that it lowers."""

import itertools
import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import RenyiELBO, Trace_ELBO
from pyro.infer.autoguide import AutoMultivariateNormal
from torch.distributions import Bernoulli, Normal, constraints

from probgen.lowering import SVI

N, B, K, RATE = 30, 6, 4, 1e-3
X = torch.randn(N, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 1.5
POWERS = [-1.0, 0.0, 0.5, 2.0]


@pytest.fixture(autouse=True)
def double():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def remembering(program):
    program.remembers = True
    return program


class Local:
    """A latent per datum, of which each step sees a subsample."""

    remembers = False

    def __init__(self, size=N, subsample=B):
        chosen = {"subsample": subsample} if torch.is_tensor(subsample) else {}
        chosen = chosen or {"subsample_size": subsample}
        self.plates = lambda: pyro.plate("data", size, dim=-1, **chosen)
        self.x, self.drawn = X.repeat(max(1, size // N)), []

    def model(self):
        w = pyro.param("w", torch.tensor(0.7))
        with self.plates() as index:
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.deterministic("twice", 2 * z)
            pyro.sample("x", dist.Normal(w * z, 1.0), obs=self.x[index])
        if self.remembers:
            self.drawn.append((index, z.detach()))

    def guide(self):
        a = pyro.param("a", torch.tensor(0.3))
        s = pyro.param("s", torch.tensor(0.8), constraint=constraints.positive)
        with self.plates() as index:
            pyro.sample("z", dist.Normal(a * self.x[index], s))


def renyi(log_weight, alpha):
    """The bound by its definition, weights along the first dimension."""
    return ((1 - alpha) * log_weight).exp().mean(0).log() / (1 - alpha)


def stepped(program, loss, lower="eager", steps=1):
    """The loss, and the gradient that plain gradient descent took; of the last step."""
    pyro.clear_param_store()
    program.guide(), program.model()  # the parameters exist
    pyro.set_rng_seed(0)
    svi = SVI(program.model, program.guide, pyro.optim.SGD({"lr": RATE}), loss, lower=lower)
    for _ in range(steps):
        before = values()
        value = svi.step()
    after = values()
    return value, {n: (before[n] - after[n]) / RATE for n in before}, svi


def values():
    return {n: p.detach().clone() for n, p in pyro.get_param_store().named_parameters()}


@pytest.mark.parametrize("vectorize", [False, True], ids=["loop", "vectorised"])
@pytest.mark.parametrize("alpha", POWERS)
def test_value_and_gradient_are_those_of_the_definition(alpha, vectorize):
    program = remembering(Local())
    loss = RenyiELBO(alpha, K, vectorize_particles=vectorize, max_plate_nesting=1)
    found, gradient, _ = stepped(program, loss)
    drawn = program.drawn[-1 if vectorize else -K :]
    index, z = drawn[0][0], torch.cat([z.reshape(-1, B) for _, z in drawn])
    w, a, log_s = (torch.tensor(v, requires_grad=True) for v in (0.7, 0.3, math.log(0.8)))
    x, s = X[index], log_s.exp()
    z = a * x + s * ((z - 0.3 * x) / 0.8)
    log_p = Normal(0.0, 1.0).log_prob(z) + Normal(w * z, 1.0).log_prob(x)
    expected = -N / B * renyi(log_p - Normal(a * x, s).log_prob(z), alpha).sum()
    expected.backward()
    assert found == pytest.approx(expected.item(), rel=1e-12)
    for name, parameter in {"w": w, "a": a, "s": log_s}.items():
        assert gradient[name].item() == pytest.approx(parameter.grad.item(), rel=1e-9), name


@pytest.mark.parametrize("vectorize", [False, True], ids=["loop", "vectorised"])
def test_it_is_lowered(vectorize):
    results = [
        stepped(
            Local(),
            RenyiELBO(0.5, K, vectorize_particles=vectorize, max_plate_nesting=1),
            lower=lower,
            steps=5,
        )
        for lower in ("eager", "graph")
    ]
    (expected, gradient, _), (found, lowered, svi) = results
    assert svi.lowered.used == "graph"
    assert found == pytest.approx(expected, rel=1e-12)
    for name in gradient:
        assert lowered[name].item() == pytest.approx(gradient[name].item(), rel=1e-7)


def test_without_subsampling_it_is_pyros():
    for alpha, vectorize in itertools.product(POWERS, (False, True)):
        loss = RenyiELBO(alpha, K, vectorize_particles=vectorize, max_plate_nesting=1)
        found, gradient, _ = stepped(Local(subsample=None), loss)
        program = Local(subsample=None)
        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        assert found == pytest.approx(loss.loss_and_grads(program.model, program.guide))
        for name, parameter in pyro.get_param_store().named_parameters():
            assert gradient[name].item() == pytest.approx(parameter.grad.item(), rel=1e-9)


def test_the_bound_per_datum_does_not_move_with_the_size_of_the_data():
    bounds = [stepped(Local(n, B), RenyiELBO(0.0, 100))[0] / n for n in (N, 10 * N, 100 * N)]
    full = stepped(Local(N, N), RenyiELBO(0.0, 100))[0] / N
    evidence = -Normal(0.0, (1 + 0.7**2) ** 0.5).log_prob(X).mean().item()
    assert full == pytest.approx(evidence, abs=0.02)
    assert bounds == pytest.approx([full] * 3, abs=1.0)  # six data instead of all


def test_subsamples_of_one_average_to_the_evidence_of_all():
    loss = RenyiELBO(0.0, 20_000, vectorize_particles=True, max_plate_nesting=1)
    found = [stepped(Local(subsample=torch.tensor([i])), loss)[0] for i in range(N)]
    evidence = Normal(0.0, (1 + 0.7**2) ** 0.5).log_prob(X)
    assert found == pytest.approx((-N * evidence).tolist(), abs=N * 0.05)


class Discrete:
    """Many copies of one datum with a binary latent, so that one gradient is a mean."""

    copies, x = 40_000, torch.tensor(0.4)

    def model(self):
        p = torch.sigmoid(pyro.param("p", torch.tensor(-0.2)))
        with pyro.plate("data", self.copies):
            b = pyro.sample("b", dist.Bernoulli(p))
            z = pyro.sample("z", dist.Delta(b * 0.5))
            pyro.sample("x", dist.Normal(z + b, 1.0), obs=self.x)

    def guide(self):
        q = torch.sigmoid(pyro.param("q", torch.tensor(0.3)))
        with pyro.plate("data", self.copies):
            b = pyro.sample("b", dist.Bernoulli(q))
            pyro.sample("z", dist.Delta(b * 0.5))


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_samples_without_reparameterisation_have_an_unbiased_gradient(alpha, k):
    """Against the bound's expectation, summed over all 2^k samples."""
    p, q = (torch.tensor(v, requires_grad=True) for v in (-0.2, 0.3))
    b = torch.tensor([*itertools.product([0.0, 1.0], repeat=k)]).T
    prior, guide = Bernoulli(logits=p), Bernoulli(logits=q)
    log_p = prior.log_prob(b) + Normal(1.5 * b, 1.0).log_prob(Discrete.x)
    bound = renyi(log_p - guide.log_prob(b), alpha)
    expected = -(guide.log_prob(b).sum(0).exp() * bound).sum()
    expected.backward()
    loss = RenyiELBO(alpha, k)
    found, gradient, _ = stepped(Discrete(), loss)
    error = 5 / Discrete.copies**0.5
    assert found / Discrete.copies == pytest.approx(expected.item(), abs=error)
    assert gradient["p"].item() / Discrete.copies == pytest.approx(p.grad.item(), abs=error)
    assert gradient["q"].item() / Discrete.copies == pytest.approx(q.grad.item(), abs=error)


def test_a_guide_without_the_plate_makes_one_weight_of_all_data():
    def model():
        with pyro.plate("data", 3):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("x", dist.Normal(z, 1.0), obs=X[:3])

    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    guide = AutoMultivariateNormal(model, init_scale=1.0)
    svi = SVI(model, guide, pyro.optim.SGD({"lr": 1e-12}), RenyiELBO(0.0, 2000))
    evidence = Normal(0.0, 2**0.5).log_prob(X[:3]).sum().item()
    assert svi.step() == pytest.approx(-evidence, abs=0.1)


class Above(Local):
    """A latent that all data share."""

    def model(self):
        z = pyro.sample("z", dist.Normal(0.0, 1.0))
        with self.plates() as index:
            pyro.sample("x", dist.Normal(z, 1.0), obs=self.x[index])
        if self.remembers:
            self.drawn.append((index, z.detach()))

    def guide(self):
        pyro.sample("z", dist.Normal(pyro.param("a", torch.tensor(0.3)), 1.0))


def test_a_latent_above_a_subsampled_plate_is_said_to_leave_no_bound():
    program = remembering(Above())
    with pytest.warns(UserWarning, match="above the subsampled plate 'data'.*no bound") as said:
        found, _, _ = stepped(program, RenyiELBO(0.5, K))
    assert len(said) == 1
    weights = []
    for index, z in program.drawn[-K:]:
        likelihood = Normal(z, 1.0).log_prob(X[index]).sum() * N / B
        weights.append(likelihood + Normal(0.0, 1.0).log_prob(z) - Normal(0.3, 1.0).log_prob(z))
    assert found == pytest.approx(-renyi(torch.stack(weights), 0.5).item(), rel=1e-12)


def test_one_sample_is_the_elbo():
    found, gradient, _ = stepped(Local(), RenyiELBO(0.5, 1))
    expected, elbo, _ = stepped(Local(), Trace_ELBO())
    assert found == pytest.approx(expected, rel=1e-12)
    assert {n: g.item() for n, g in gradient.items()} == pytest.approx(
        {n: g.item() for n, g in elbo.items()}, rel=1e-9
    )
