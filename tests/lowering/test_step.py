"""Lowered training is eager training, bit for bit."""

import pyro
import pytest
import torch
from pyro.infer import Trace_ELBO
from steps import DIGITS, TEST, adam, nets_pair

from probgen import control, denoisers, lowering, models, objectives, training
from probgen.run import Folder


def diffusion():
    torch.manual_seed(0)
    net = denoisers.dense(DIGITS.shape, (16, 16), classes=10)
    return models.Diffusion(net, models.noise.cosine(20))


PAIRS = {
    "Bernoulli": nets_pair,
    "Gaussian": lambda: nets_pair(models.Gaussian(learned=True)),
    "optimal Gaussian": lambda: nets_pair(models.OptimalGaussian()),
    "convolutional": lambda: nets_pair(conv=True),
    "double": lambda: nets_pair().double(),
    "diffusion": diffusion,
}
OBJECTIVES = {
    "ELBO": objectives.ELBO,
    "particles": lambda: objectives.ELBO(num_particles=2, vectorize_particles=True),
    "beta": lambda: objectives.BetaELBO(4.0),
    "annealed": lambda: objectives.BetaELBO(control.Linear(0, 1, 10)),
    "capacity": lambda: objectives.CapacityELBO(10.0, control.Linear(0.0, 5.0, 10)),
    "free bits": lambda: objectives.FreeBitsELBO(0.5),
    "controlled": lambda: objectives.ControlledELBO(target_kl=6.0),
    "controlled to a schedule": lambda: objectives.ControlledELBO(control.Linear(2.0, 6.0, 10)),
    "controlled by site": lambda: objectives.ControlledELBO({"z": 5.0}),
    "GECO": lambda: objectives.GECO(tolerance=20.0),
    "total correlation": lambda: objectives.TotalCorrelationELBO(beta=4.0),
    "total correlation, weighted": lambda: objectives.TotalCorrelationELBO(
        beta=4.0, estimator="weighted"
    ),
    "importance weighted": lambda: objectives.ImportanceWeightedELBO(5),
    "simple": objectives.SimpleELBO,
}
FITS = [(pair, "ELBO") for pair in PAIRS] + [
    ("diffusion" if name == "simple" else "Bernoulli", name) for name in OBJECTIVES
]


def test_every_objective_is_among_them():
    made = {type(make()).__name__ for make in OBJECTIVES.values()}
    made.add("SimpleELBO")  # of diffusion alone, in test_diffusion.py
    assert made == {name for name in objectives.__all__ if name.endswith("ELBO") or name == "GECO"}


@pytest.mark.parametrize(("pair", "objective"), FITS)
def test_fit_lowered_is_fit_eager_bit_for_bit(pair, objective):
    runs = {}
    for lower in ("eager", "graph"):
        module = PAIRS[pair]()
        history = training.fit(
            module, OBJECTIVES[objective](), DIGITS, steps=15, clip_norm=5.0, lower=lower,
            log_every=4, validation=TEST,
        )  # fmt: skip
        rows = [{k: v for k, v in r.items() if "second" not in k} for r in history.records]
        runs[lower] = rows, [*module.state_dict().values()]
    assert runs["eager"][0] == runs["graph"][0]
    assert all(map(torch.equal, runs["eager"][1], runs["graph"][1]))


def test_the_choice_is_kept_with_the_run(tmp_path):
    settings = {"checkpoint": tmp_path, "resume": True}
    for lower, steps in (("eager", 2), ("auto", 4)):
        training.fit(nets_pair(), objectives.ELBO(), DIGITS, steps=steps, lower=lower, **settings)
        assert Folder(tmp_path).facts()["lowered"] == "eager"
    training.fit(nets_pair(), objectives.ELBO(), DIGITS, steps=6, lower="graph", **settings)
    assert Folder(tmp_path).facts()["lowered"] == "graph"
    with pytest.raises(training.TrainingError, match="lower auto, graph, inductor, eager"):
        training.fit(nets_pair(), objectives.ELBO(), DIGITS, steps=1, lower="fast")


def test_a_lowered_step_trains_its_pair_and_no_other():
    pairs = [nets_pair(), nets_pair()]
    x = DIGITS.batch(slice(50))[0]
    state = torch.get_rng_state()
    steps = [lowering.lower(objectives.ELBO(), pair, x, clip_norm=5.0) for pair in pairs]
    assert torch.equal(torch.get_rng_state(), state)
    untouched = nets_pair()
    first, second = (list(pair.parameters()) for pair in pairs)
    for _ in range(3):
        assert steps[0](x).dim() == 0
    assert not any(map(torch.equal, first, second))
    assert all(map(torch.equal, second, untouched.parameters()))
    svi = pyro.infer.SVI(pairs[1].model, pairs[1].guide, adam(), Trace_ELBO())
    svi.step(x)
    assert not any(map(torch.equal, second, untouched.parameters()))
