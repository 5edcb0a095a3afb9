"""Training: right numbers, nothing lost, nothing touched that is not its own."""

from functools import partial

import pyro
import pyro.distributions as dist
import pytest
import torch
from digit_vae import DIGITS, TEST, same, vae, weights
from pyro import infer
from sklearn.decomposition import PCA
from torch import nn

from probgen import (
    checkpoint,
    control,
    data,
    evaluation,
    models,
    nets,
    objectives,
    players,
    recipe,
    run,
    training,
)
from probgen.evaluation import likelihood
from probgen.lowering import LoweringWarning
from probgen.models import pairs
from probgen.run import Folder
from probgen.run.history import NonFiniteError

ELBO = objectives.ELBO


def test_a_last_batch_of_one_row_that_batch_norm_cannot_take_stops_fit_before_it_starts():
    pair, steps = vae(), []
    pair.encoder.trunk.append(nn.BatchNorm1d(32))
    before = {name: tensor.clone() for name, tensor in pair.state_dict().items()}
    few = DIGITS.take(slice(0, 101))
    with pytest.raises(training.TrainingError, match="has 1 of 101 rows.*choose another batch"):
        training.fit(pair, ELBO(), few, epochs=1, batch_size=50, log=steps.append)
    assert not steps
    assert same(before.values(), pair.state_dict().values())
    assert training.fit(pair, ELBO(), few, epochs=1, batch_size=51, log=steps.append).records


def test_training_raises_the_elbo_and_leaves_the_pair_at_rest():
    pair = vae()
    before = evaluation.likelihood.terms(pair, TEST).elbo.mean()
    history = training.fit(pair, ELBO(), DIGITS, epochs=5, validation=TEST)
    after = evaluation.likelihood.terms(pair, TEST)
    assert after.elbo.mean() > before + 10
    assert not pair.training
    assert history.series("validation_elbo")[1][-1] == pytest.approx(after.elbo.mean().item())
    assert history.series("epoch")[1] == pytest.approx([1, 2, 3, 4, 50 / 12, 5])
    for record in history.records:
        assert record["loss"] == pytest.approx(record["kl"] - record["log_likelihood"], rel=1e-5)


def test_a_run_is_deterministic_for_a_seed_and_disturbs_nobody():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    pyro.param("mine", torch.tensor(1.0))
    pairs = [vae(), vae(), vae()]
    torch.manual_seed(5)
    for pair, seed in zip(pairs, (0, 0, 1), strict=True):
        training.fit(pair, ELBO(), DIGITS, steps=15, seed=seed)
    assert torch.equal(torch.rand(3), expected)
    assert pyro.settings.get("validate_poutine")
    assert set(pyro.get_param_store()) == {"mine"}
    assert same(weights(pairs[0]), weights(pairs[1]))
    assert not same(weights(pairs[0]), weights(pairs[2]))
    pyro.clear_param_store()


def test_the_loss_does_not_depend_on_the_plate_scale():
    """A pair that says 'these are B of N rows' trains the same as one that does not."""

    class Scaled(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def in_plate(self, program, x):
            with pyro.poutine.scale(scale=1.0):
                return program(x)

        def model(self, x, y=None):
            with pyro.plate("data", 1500, subsample_size=len(x)):
                z = pyro.sample("z", self.inner.prior())
                pyro.sample("x", self.inner.decode(z), obs=x)

        def guide(self, x, y=None):
            with pyro.plate("data", 1500, subsample_size=len(x)):
                pyro.sample("z", self.inner.encode(x))

    plain, scaled = vae(), Scaled(vae())
    settings = {"steps": 10, "clip_norm": 5.0}
    a = training.fit(plain, ELBO(), DIGITS, **settings)
    b = training.fit(scaled, ELBO(), DIGITS, **settings)
    assert a.records[-1]["loss"] == pytest.approx(b.records[-1]["loss"], rel=0.05)


def test_probabilistic_pca_meets_its_analytic_evidence():
    """A linear VAE's optimum is pPCA [Tipping & Bishop 1999; Lucas et al. 2019, theorem 1]."""
    latent, rows = 4, DIGITS.x.flatten(1).double().div(255)
    evidence = PCA(latent).fit(rows.numpy()).score(rows.numpy())
    torch.manual_seed(0)
    pair = models.VAE(
        nets.dense_encoder(DIGITS.shape, latent, hidden=()),
        nets.dense_decoder(latent, DIGITS.shape, hidden=()),
        models.Gaussian(sigma=0.3, learned=True),
    )
    for lr, epochs in ((1e-2, 60), (1e-3, 40), (1e-4, 20)):
        training.fit(pair, ELBO(), DIGITS, epochs=epochs, batch_size=100, lr=lr)
    elbo = evaluation.likelihood.terms(pair, DIGITS, num_particles=20).elbo.mean().item()
    assert evidence - 0.1 < elbo < evidence + 0.05


@pytest.mark.parametrize("objective", [ELBO(), objectives.BetaELBO(control.Linear(0, 1, 40))])
@pytest.mark.parametrize("steps", [7, 12, 20], ids=["mid-epoch", "epoch's end", "second epoch"])
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(tmp_path, objective, steps):
    import copy

    def run(pair, steps, **where):
        goal = copy.deepcopy(objective)
        return training.fit(pair, goal, DIGITS, steps=steps, validation=TEST, log_every=5, **where)

    whole, parts = vae(), vae()
    reference = run(whole, 30)
    run(parts, steps, checkpoint=tmp_path)
    fresh = vae(seed=9)
    history = run(fresh, 30, checkpoint=tmp_path, resume=True)
    assert same(weights(whole), weights(fresh))
    assert history.records[-1]["validation_elbo"] == reference.records[-1]["validation_elbo"]
    facts = Folder(tmp_path).facts()
    assert facts["results"]["steps"] == 30
    assert facts["environments"][0]["threads"] == torch.get_num_threads()


def test_early_stopping_keeps_the_best_weights_also_when_resumed(tmp_path):
    few = DIGITS.take(slice(0, 100))
    settings = {"epochs": 400, "batch_size": 50, "lr": 1e-2, "patience": 3, "validation": TEST}
    pair = vae(latent=16)
    history = training.fit(pair, ELBO(), few, **settings)
    losses = history.series("validation_loss")[1]
    assert len(losses) < 400
    assert min(losses) == losses[-4]
    loss = -evaluation.likelihood.terms(pair, TEST).elbo.mean().item()
    assert loss == pytest.approx(min(losses))
    other = vae(latent=16)
    for epochs in (len(losses) - 2, 400):
        settings["epochs"] = epochs
        training.fit(other, ELBO(), few, **settings, checkpoint=tmp_path, resume=True)
    assert same(weights(pair), weights(other))


def test_resuming_with_other_settings_is_refused(tmp_path):
    training.fit(vae(), ELBO(), DIGITS, steps=2, checkpoint=tmp_path)
    with pytest.raises(training.TrainingError, match="already holds a run"):
        training.fit(vae(), ELBO(), DIGITS, steps=2, checkpoint=tmp_path)
    for change, name in [({"batch_size": 64}, "batch_size"), ({"lr": 0.1}, "optimizer")]:
        with pytest.raises(checkpoint.CheckpointError, match=f"the same {name}"):
            training.fit(
                vae(), ELBO(), DIGITS, steps=3, checkpoint=tmp_path, resume=True, **change
            )
    with pytest.raises(checkpoint.CheckpointError, match="another model"):
        training.fit(vae(latent=5), ELBO(), DIGITS, steps=3, checkpoint=tmp_path, resume=True)


def test_a_state_that_is_no_state_is_refused(tmp_path):
    training.fit(vae(), ELBO(), DIGITS, steps=2, checkpoint=tmp_path)
    folder = Folder(tmp_path)
    tensors, state = folder.restore(lambda name, spec: True)
    for broken in ({**state, "step": "two"}, {**state, "records": [1]}, {"run": state["run"]}):
        folder.save(2, tensors, broken)
        with pytest.raises(checkpoint.CheckpointError, match="state is not a run's"):
            training.fit(vae(), ELBO(), DIGITS, steps=3, checkpoint=tmp_path, resume=True)


def test_the_run_folder_holds_what_a_reader_needs(tmp_path):
    records = []
    history = training.fit(
        vae(), ELBO(), DIGITS, steps=5, checkpoint=tmp_path, recipe={"mine": 1}, log=records.append
    )
    facts = Folder(tmp_path).facts()
    assert facts["recipe"] == {"mine": 1}
    assert facts["run"]["data"] == {"name": DIGITS.name, "n": 1500, "shape": [1, 8, 8]}
    assert records == history.records
    assert (tmp_path / "history.csv").read_text() == history.to_csv()
    other = vae(seed=1)
    other.load_state_dict(Folder(tmp_path).read_weights(other))
    flipped = bytearray((tmp_path / "weights.safetensors").read_bytes())
    flipped[-1] ^= 1
    (tmp_path / "weights.safetensors").write_bytes(flipped)
    with pytest.raises(checkpoint.CheckpointError, match="is damaged"):
        Folder(tmp_path).read_weights(other)


class Exploding(models.Gaussian):
    """Turns NaN or refuses after some steps."""

    def __init__(self, at):
        super().__init__()
        self.at, self.calls = at, 0

    def forward(self, mean, x=None):
        if self.training:
            self.calls += 1
        return super().forward(mean * float("nan") if self.calls == self.at else mean, x)


def same_weights(one, other):
    return all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))


def test_a_non_finite_term_is_named_and_the_last_checkpoint_kept(tmp_path):
    pair = vae(likelihood=Exploding(at=17))
    settings = {"steps": 40, "log_every": 5, "checkpoint": tmp_path, "checkpoint_every": 0}
    counts = pytest.warns(LoweringWarning, match="Exploding.calls changes in every call")
    with counts, pytest.raises(NonFiniteError) as caught:
        training.fit(pair, ELBO(), DIGITS, **settings)
    assert "log_likelihood is nan at step 17" in str(caught.value)
    assert f"again what it was at step 15, saved in {tmp_path}" in str(caught.value)
    healthy = vae(likelihood=models.Gaussian())
    training.fit(healthy, ELBO(), DIGITS, steps=15, lower="eager")
    assert same_weights(pair, healthy)
    healthy = vae(likelihood=models.Gaussian())
    training.fit(healthy, ELBO(), DIGITS, steps=40, checkpoint=tmp_path, resume=True)
    assert all(parameter.isfinite().all() for parameter in healthy.parameters())


class Overflowing(torch.optim.SGD):
    """Finite losses, infinite weights."""

    def step(self):
        with torch.no_grad():
            self.param_groups[0]["params"][0].fill_(torch.inf)


def test_weights_that_overflow_are_never_saved(tmp_path):
    pair, untrained = vae(), vae()
    message = "is not finite at step 1; the VAE is again what it was at step 0"
    with pytest.raises(NonFiniteError, match=message):
        training.fit(pair, ELBO(), DIGITS, steps=1, optimizer=Overflowing, checkpoint=tmp_path)
    assert not checkpoint.generations(tmp_path / "checkpoints")
    assert same_weights(pair, untrained)


def test_a_run_that_diverges_keeps_the_weights_of_its_last_epoch():
    straight, diverged = vae(likelihood=models.Gaussian()), vae(likelihood=Exploding(at=20))
    training.fit(straight, ELBO(), DIGITS, epochs=1, lower="eager")
    with pytest.raises(
        NonFiniteError, match="nan at step 20; the VAE is again what it was at step 12"
    ):
        training.fit(diverged, ELBO(), DIGITS, epochs=2, lower="eager")
    expected = straight.state_dict()
    assert all(
        torch.equal(tensor, expected[name]) for name, tensor in diverged.state_dict().items()
    )
    assert not diverged.training


def test_weights_whose_loss_is_not_finite_are_no_good_ones(tmp_path):
    """After the first step, of a huge learning rate, all is finite but the loss of the second."""
    few = DIGITS.take(slice(0, 200))
    pair, settings = vae(), {"epochs": 10, "batch_size": 200, "lr": 1e4, "checkpoint_every": 0}
    with pytest.raises(NonFiniteError, match="at step 2; the VAE is again what it was at step 0"):
        training.fit(pair, ELBO(), few, checkpoint=tmp_path, **settings)
    assert same_weights(pair, vae())
    assert not checkpoint.generations(tmp_path / "checkpoints")


def test_an_optimiser_that_cannot_be_saved_trains_without_a_folder(tmp_path):
    fit = partial(training.fit, vae(), ELBO(), DIGITS, epochs=2, optimizer=Counting)
    assert fit().records[-1]["step"] == 24
    with pytest.raises(checkpoint.CheckpointError, match="cannot save this optimiser"):
        fit(checkpoint=tmp_path)


class Counting(torch.optim.SGD):
    """Keeps a Python number per parameter."""

    def __init__(self, parameters):
        super().__init__(parameters, lr=1e-3)

    def step(self):
        super().step()
        for parameter in self.param_groups[0]["params"]:
            count = self.state[parameter].get("count", 0)
            self.state[parameter]["count"] = count + 1


def test_divergence_is_no_lack_of_patience(tmp_path):
    """NaN at the last step; gone on with, the run is the one without it."""
    few, held = DIGITS.take(slice(0, 1000)), DIGITS.take(slice(1000, 1400))
    fit = partial(
        training.fit, objective=ELBO(), data=few, batch_size=100, epochs=3, validation=held,
        patience=3, lower="eager", checkpoint_every=0,
    )  # fmt: skip
    straight, diverged = vae(likelihood=models.Gaussian()), vae(likelihood=Exploding(at=25))
    fit(straight, checkpoint=tmp_path / "straight")
    with pytest.raises(NonFiniteError, match="step 25; the VAE is again what it was at step 20"):
        fit(diverged, checkpoint=tmp_path / "run")
    again = vae(likelihood=models.Gaussian())
    fit(again, checkpoint=tmp_path / "run", resume=True)
    assert same_weights(again, straight)


def test_a_buffer_may_be_infinite(tmp_path):
    pair = vae()
    pair.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
    training.fit(pair, ELBO(), DIGITS, steps=2, checkpoint=tmp_path)
    assert Folder(tmp_path).facts()["results"]["steps"] == 2


def test_a_validation_that_is_not_finite_is_named():
    pair = vae(likelihood=models.Gaussian())
    far = data.arrays(torch.full((10, 1, 8, 8), 1e30))
    with pytest.raises(NonFiniteError, match="validation loss is"):
        training.fit(pair, ELBO(), DIGITS, steps=1, validation=far)


def test_a_finished_run_keeps_its_checkpoint_and_says_when_it_is_gone(tmp_path):
    training.fit(vae(), ELBO(), DIGITS, steps=3, checkpoint=tmp_path)
    for _ in range(2):
        training.fit(vae(), ELBO(), DIGITS, steps=3, checkpoint=tmp_path, resume=True)
    assert len(checkpoint.generations(tmp_path / "checkpoints")) == 1
    with pytest.raises(training.TrainingError, match="at least the 3 steps"):
        training.fit(vae(), ELBO(), DIGITS, steps=2, checkpoint=tmp_path, resume=True)
    (tmp_path / "checkpoints").rename(tmp_path / "elsewhere")
    with pytest.raises(checkpoint.CheckpointError, match="its checkpoints gone"):
        training.fit(vae(), ELBO(), DIGITS, steps=4, checkpoint=tmp_path, resume=True)


def test_other_data_are_noticed_on_resuming(tmp_path):
    training.fit(vae(), ELBO(), DIGITS, steps=2, checkpoint=tmp_path)
    other = data.arrays(255 - DIGITS.x, DIGITS.y, classes=DIGITS.classes, name=DIGITS.name)
    with pytest.raises(checkpoint.CheckpointError, match="same data_sha256"):
        training.fit(vae(), ELBO(), other, steps=3, checkpoint=tmp_path, resume=True)


def test_frozen_parts_stay_in_their_mode():
    pair = vae()
    pair.decoder.eval()
    evaluation.likelihood.terms(pair, TEST)
    assert (pair.encoder.training, pair.decoder.training) == (True, False)


class Lazy(nn.Module):
    """Its parameter lives in Pyro's store alone."""

    def __init__(self):
        super().__init__()
        self.inner = vae()

    def model(self, x, y=None):
        self.inner.model(x)

    def guide(self, x, y=None):
        pyro.param("lost", torch.zeros(()))
        self.inner.guide(x)


NAN = data.arrays(torch.rand(40, 1, 8, 8)).x
WRONG = [
    ({}, "epochs or steps"),
    ({"epochs": 1, "steps": 1}, "epochs or steps"),
    ({"epochs": 0}, "epochs a whole number >= 1; got 0"),
    ({"steps": 2.5}, "steps a whole number >= 1; got 2.5"),
    ({"steps": 1, "lr": "fast"}, "lr > 0 and finite; got 'fast'"),
    ({"steps": 1, "optimizer": torch.optim.LBFGS}, "cannot drive LBFGS"),
    ({"steps": 1, "batch_size": 1501}, "batch_size from 1 to 1500.*got 1501"),
    ({"steps": 1, "batch_size": 0}, "batch_size"),
    ({"steps": 1, "lr": -1.0}, "lr > 0"),
    ({"steps": 1, "clip_norm": 0.0}, "clip_norm > 0"),
    ({"steps": 1, "precision": "int8"}, "precision"),
    ({"steps": 1, "seed": -1}, "seed from 0"),
    ({"steps": 1, "device": 3.5}, "device such as cpu or cuda; got 3.5"),
    ({"steps": 1, "checkpoint_every": "often"}, "checkpoint_every in seconds >= 0; got 'often'"),
    ({"steps": 1, "patience": 2}, "validation data"),
    ({"steps": 1, "optimizer": torch.optim.SGD([torch.zeros(1)])}, "function from parameters"),
    ({"steps": 1, "optimizer": pyro.optim.Adam({"lr": 0.1})}, "torch optimiser.*got PyroOptim"),
    ({"steps": 1, "resume": True}, "resume=True needs checkpoint="),
    ({"steps": 1, "device": "gpu"}, "device such as cpu or cuda; got 'gpu'"),
]


@pytest.mark.parametrize(("settings", "match"), WRONG)
def test_settings_that_cannot_work_are_named(settings, match):
    with pytest.raises(training.TrainingError, match=match):
        training.fit(vae(), ELBO(), DIGITS, **settings)


GAN = models.GAN(
    players.dense_generator(4, DIGITS.shape), players.dense_discriminator(DIGITS.shape)
)


@pytest.mark.parametrize(
    ("pair", "objective", "match"),
    [
        (nn.Linear(2, 2), ELBO(), "a module with a model and a guide.*got Linear"),
        (None, ELBO(), "got NoneType"),
        (ELBO(), vae(), "objective such as objectives.ELBO.*got VAE: the order is fit.pair"),
        (vae(), "elbo", "got 'elbo'"),
        (GAN, ELBO(), r"two players: training.fit_adversarial\(gan, loss, data\)"),
        (vae(), infer.TraceMeanField_ELBO(), r"_ELBO: objectives.ELBO\(\) is its equal$"),
        (vae(), infer.Trace_ELBO(3), r"ELBO\(num_particles=3\) is its equal where.*lowering.SVI"),
        (vae(), infer.RenyiELBO(num_particles=5), r"objectives.ImportanceWeightedELBO\(5\)"),
        (vae(), infer.RenyiELBO(alpha=0.5), "got RenyiELBO: lowering.SVI takes it"),
        (vae(), infer.TraceEnum_ELBO(), "got TraceEnum_ELBO: lowering.SVI takes it"),
    ],
)
def test_arguments_in_each_others_place_are_named(pair, objective, match):
    with pytest.raises(ValueError, match=match):
        training.fit(pair, objective, DIGITS, steps=1)


def test_programs_that_take_no_labels_are_named():
    class Unlabelled(nn.Module):
        def __init__(self):
            super().__init__()
            self.pair = vae()

        def model(self, x):
            return self.pair.model(x)

        def guide(self, x):
            return self.pair.guide(x)

    bare = data.arrays(DIGITS.x[:64])
    training.fit(Unlabelled(), ELBO(), bare, steps=1, batch_size=32)
    with pytest.raises(training.TrainingError, match=r"model\(x, y=None\).*got model\(x\)"):
        training.fit(Unlabelled(), ELBO(), DIGITS, steps=1)


def test_a_finished_run_gives_its_weights_to_a_pair_of_the_same_make(tmp_path):
    pair = vae()
    training.fit(pair, ELBO(), DIGITS, steps=2, checkpoint=tmp_path)
    found = run.load(vae(), tmp_path)
    assert all(map(torch.equal, found.state_dict().values(), pair.state_dict().values()))
    assert not found.training
    with pytest.raises(run.RunError, match="holds no run"):
        run.load(vae(), tmp_path / "none")
    with pytest.raises(run.RunError, match="run.load.pair"):
        recipe.read(tmp_path)


def test_a_pair_with_weights_that_are_not_finite_is_named():
    pair = vae()
    nn.init.constant_(next(pair.parameters()), torch.nan)
    with pytest.raises(training.TrainingError, match="expected finite weights; got NaN"):
        training.fit(pair, ELBO(), DIGITS, steps=1)


def test_arrays_are_no_set():
    with pytest.raises(training.TrainingError, match="one data.Set, such as test; got Tensor"):
        training.fit(vae(), ELBO(), DIGITS, steps=1, validation=TEST.x)
    with pytest.raises(pairs.PairError, match="one data.Set.*got tuple"):
        likelihood.scores(vae(), (DIGITS, TEST))


def test_a_seed_that_no_generator_takes_is_named():
    with pytest.raises(training.TrainingError, match="seed from 0"):
        training.fit(vae(), ELBO(), DIGITS, steps=1, seed=-1)


def test_patience_needs_a_constant_objective():
    moving = objectives.BetaELBO(control.Linear(0, 1, 10))
    with pytest.raises(training.TrainingError, match="constant objective"):
        training.fit(vae(), moving, DIGITS, steps=1, patience=1, validation=TEST)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA here")
def test_absent_cuda_is_said():
    with pytest.raises(training.TrainingError, match="no CUDA here"):
        training.fit(vae(), ELBO(), DIGITS, steps=1, device="cuda")


def test_data_that_the_pair_cannot_take_are_named():
    small = data.arrays(torch.rand(200, 1, 8, 9))
    with pytest.raises(data.DataError, match=r"8, 8.*8, 9"):
        training.fit(vae(), ELBO(), small, steps=1)
    x = torch.rand(200, 1, 8, 8)
    x[150, 0, 3, 3] = 1.5
    with pytest.raises(data.DataError, match=r"1\.5"):
        training.fit(vae(), ELBO(), data.arrays(x), steps=1)


def test_a_parameter_outside_the_pair_is_named():
    with pytest.raises(training.TrainingError, match="'lost' is no parameter of Lazy"):
        training.fit(Lazy(), ELBO(), DIGITS, steps=1)


def test_a_global_kl_counts_once_over_the_data_not_in_every_batch():
    class Mean(nn.Module):
        def __init__(self):
            super().__init__()
            self.loc = nn.Parameter(torch.tensor(2.0))

        def model(self, x, y=None):
            w = pyro.sample("w", dist.Normal(0.0, 1.0))
            with pyro.plate("data", len(x)):
                pyro.sample("x", dist.Normal(w, 1.0), obs=x)

        def guide(self, x, y=None):
            pyro.module(f"mean{id(self)}", self)
            pyro.sample("w", dist.Normal(self.loc, 1.0))

    history = training.fit(Mean(), ELBO(), data.arrays(torch.zeros(50)), steps=1, batch_size=5)
    assert history.records[0]["kl"] == pytest.approx(2.0 / 50)
