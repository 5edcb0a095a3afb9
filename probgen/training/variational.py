"""Stochastic variational inference: ``fit(pair, objective, data)``, resumed at will.

A step minimises the objective, such as the negative ELBO E_q[log q(z | x) - log p(x, z)] per
datum, on a batch that is sampled without replacement, by gradients through samples of q.

Source: Kingma & Welling 2014, Auto-encoding variational Bayes, algorithm 1.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import pyro
import torch
from pyro import infer
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from probgen.data import Set
from probgen.evaluation import likelihood
from probgen.lowering import How, Step
from probgen.models import GAN, pairs
from probgen.objectives import ELBO, Pair, Terms
from probgen.run.errors import NonFiniteError
from probgen.run.history import History, Measured, Record
from probgen.run.snapshot import Best, Snapshot, load_state
from probgen.training.loop import Loop, fixed_facts, shuffled, updated
from probgen.training.settings import (
    Optimizer,
    Precision,
    Settings,
    TrainingError,
    as_training_errors,
    check_positive,
    check_whole,
    driven,
    opened,
    place,
)


def measured(loss: Tensor, terms: Terms, weights: Mapping[str, Tensor]) -> Measured:
    """What a step is recorded by."""
    named = {"log_likelihood": terms.log_likelihood.mean(), **_means("kl", terms.kl)}
    named |= _means("penalty", terms.penalty) | dict(weights) | {"loss": loss}
    several = len(terms.kl) > 1
    sites = {f"kl.{site}" if several else "kl": site for site in terms.kl}
    values = [value.detach().to(loss) for value in named.values()]
    return Measured(list(named), sites, torch.stack(values))


def _means(name: str, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The sum over the sites, and each of them where there are several."""
    means = {f"{name}.{site}": value.mean() for site, value in values.items()}
    total = {name: sum(means.values(), torch.zeros(()))} if means else {}
    return total | means if len(means) > 1 else total


def fit(
    pair: Pair,
    objective: ELBO,
    data: Set,
    *,
    epochs: int | None = None,
    steps: int | None = None,
    batch_size: int = 128,
    lr: float = 1e-3,
    clip_norm: float | None = None,
    optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer] | None = None,
    device: str | torch.device | None = None,
    seed: int = 0,
    precision: Precision = "float32",
    lower: How = "auto",
    validation: Set | None = None,
    validate_every: int = 1,
    patience: int | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: float = 30.0,
    resume: bool = False,
    log: Callable[[Record], object] | None = None,
    log_every: int = 50,
    recipe: Mapping[str, Any] | None = None,
    show: bool | None = None,
) -> History:
    """Minimise the objective's loss per datum over the pair's parameters, in place.

    Deterministic for a seed. A run with a ``checkpoint`` folder can be killed at any moment and
    resumed: on the CPU, at equal threads and build, to the same weights bit for bit.

    Args:
        pair: ``nn.Module`` with ``model(x, y=None)`` and ``guide(x, y=None)``; left in
            evaluation mode, with the best weights if ``patience`` is given, else the last.
        objective: what to minimise; told the size of the data unless it has a ``data_size``.
        data: training set, kept on the device; batches are sampled without replacement.
        epochs: passes over the data; or else
        steps: updates.
        batch_size: data per update; the last batch of an epoch may be smaller.
        lr: learning rate of Adam, the default optimiser.
        clip_norm: greatest norm of all gradients together.
        optimizer: called with the parameters instead, e.g. ``partial(torch.optim.SGD, lr=0.1)``.
        device: where to train, as for ``place``; None for where the pair is.
        seed: of the batches and the samples, from 0 to 2^48 - 1.
        precision: of matrix products and convolutions: "float32" in full (PyTorch convolves in
            TF32 on CUDA), "tf32" or "bfloat16"; densities are float32 always.
        lower: how the steps run: "graph" replays their recording, "inductor" compiles it, "auto"
            compiles where the run is long enough to gain by it, "eager" does without.
        validation: set for the validation terms.
        validate_every: epochs between validations.
        patience: stop after so many validations without a better validation loss (the
            objective's; for ``ELBO`` the negative validation ELBO). Needs a constant objective.
        checkpoint: the run's folder.
        checkpoint_every: seconds between saves.
        resume: continue the run in ``checkpoint``, from the start if it was never saved.
        log: called with each record: the door to TensorBoard, W&B or MLflow.
        log_every: steps between records.
        recipe: what a reader needs to build the pair again, for ``run.json``.
        show: a progress bar; None for a line every 30 seconds where there is no terminal.

    Returns:
        The run's history.

    Raises:
        TrainingError: settings that cannot work, or a pair that is none, named.
        DataError: data of another shape than the pair's, or outside of what it takes.
        ObjectiveError: an objective that is not defined for the pair.
        NonFiniteError: a NaN or an infinity, with its term and step; the pair is then what it was
            at the end of an epoch, or as last saved, whichever is the last with a finite loss.
        Interrupted: Ctrl-C, once the step is finished and saved.
        CheckpointError: a save failed, or the saved run is damaged or another one.

    >>> from probgen import data, models, nets, objectives, training
    >>> train, test = data.digits()
    >>> vae = models.VAE(nets.dense_encoder(train.shape, 4), nets.dense_decoder(4, train.shape))
    >>> history = training.fit(vae, objectives.ELBO(), train, steps=20)
    >>> history.records[-1]["step"]
    20
    """
    settings = _Settings(
        epochs=epochs, steps=steps, batch_size=batch_size, lr=lr, clip_norm=clip_norm, seed=seed,
        precision=precision, lower=lower, validate_every=validate_every, patience=patience,
        checkpoint_every=checkpoint_every, log_every=log_every,
    )  # fmt: skip
    _check(pair, objective)
    settings.check(objective, data, validation)
    folder = opened(checkpoint, resume)
    module: Any = pair
    there = pairs.device_of(module) if device is None else place(device)
    module.to(there)
    with pairs.isolated(there, seed, tf32=precision == "tf32"):
        run = _Run(module, data.to(there), settings, folder, log, recipe)
        run.prepare(objective, validation, optimizer)
        if resume:
            run.restore()
        return run.train(show)


def _check(pair: Any, objective: Any) -> None:
    """Refuse a pair and an objective that are none."""
    if isinstance(pair, GAN):
        raise TrainingError(
            "expected a pair; got GAN, two players: training.fit_adversarial(gan, loss, data)"
        )
    if not isinstance(objective, ELBO):
        shown = isinstance(objective, str | type)
        got = repr(objective) if shown else type(objective).__name__
        hint = _instead(objective) or "the order is fit(pair, objective, data)"
        raise TrainingError(f"expected an objective such as objectives.ELBO(); got {got}: {hint}")
    with as_training_errors():
        pairs.check_pair(pair)


@dataclass(frozen=True, kw_only=True)
class _Settings(Settings):
    lr: float
    clip_norm: float | None
    patience: int | None

    def epoch_steps(self, rows: int) -> int:
        """The last batch may be smaller."""
        return math.ceil(rows / self.batch_size)

    def check(self, objective: ELBO, data: Set, validation: Set | None) -> None:
        """Refuse what ``fit`` cannot start with."""
        self.check_common(data)
        check_whole(patience=self.patience)
        check_positive(lr=self.lr, clip_norm=self.clip_norm)
        if self.patience is not None and (validation is None or not objective.constant):
            wanted = "validation data" if validation is None else "a constant objective"
            raise TrainingError(f"patience needs {wanted}: two losses must be comparable")


class _Run(Loop):
    """One call of ``fit``."""

    shown = (
        "loss", "log_likelihood", "kl", "beta", "lambda", "validation_elbo", "images_per_second",
    )  # fmt: skip
    settings: _Settings

    def prepare(
        self, objective: ELBO, validation: Set | None, optimizer: Optimizer | None
    ) -> None:
        """Try everything that can be wrong before the first step, then make the optimiser."""
        sized = objective if objective.data_size else objective.over(len(self.data))
        self.objective, self.validation, self.best = sized, validation, Best()
        device = self.data.x.device
        self.objective.to(device)
        with as_training_errors():
            pairs.check_weights(self.module)
            for data in (self.data, self.validation):
                if data is not None:
                    pairs.check_data(self.module, data)
        self.parameters = self._dry_run()
        self.driven = driven(optimizer or self._adam, self.parameters)
        self.snapshot = Snapshot(self.module, self.objective, [self.driven], self.best, device)
        self.fixed = self._fixed()
        self.update = self._step()

    def _step(self) -> Step[Measured]:
        return Step(
            self._gradients,
            self.parameters,
            self.driven.optimizer,
            values=attrgetter("values"),
            name=f"training {type(self.module).__name__}",
            roots=(self.module, self.objective),
            how=self.settings.lower,
            steps=self.total,
            keep=self.settings.log_every,
            clip_norm=self.settings.clip_norm,
        )

    def _record_steps(self) -> None:
        self.update.prepare(torch.arange(self.settings.batch_size, device=self.data.x.device))

    def _adam(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, lr=self.settings.lr, fused=True)

    def _fixed(self) -> dict[str, Any]:
        """What a resumed run must have in common with the saved one."""
        optimizer = self.driven.optimizer
        return {
            **{name: getattr(self.settings, name) for name in _FIXED},
            "objective": repr(self.objective),
            "optimizer": f"{type(optimizer).__name__}(lr={optimizer.defaults.get('lr')})",
            "optimizer_settings": {
                name: repr(value) for name, value in optimizer.defaults.items()
            },
            **fixed_facts(self.data, self.folder),
        }

    def _take_extra_state(self, state: Mapping[str, Any]) -> None:
        best = state["best_loss"]
        self.best.loss = math.inf if best is None else float(best)
        self.best.stale = int(state["stale"])
        self.update.run_as(state.get("lowered", "auto"))
        if self.best.stale < 0:
            raise ValueError("a negative count")

    def _extra_state(self) -> dict[str, Any]:
        best = None if math.isinf(self.best.loss) else self.best.loss
        lowered = self.update.facts["lowered"]
        return {"best_loss": best, "stale": self.best.stale, "lowered": lowered}

    def _extra_facts(self) -> dict[str, Any]:
        return {"settings": asdict(self.settings), **self.update.facts}

    def _batches(self) -> Iterator[Tensor]:
        while self.step < self.total and not self._patience_is_out():
            epoch, done = divmod(self.step, self.epoch_steps)
            order = shuffled(self.data, self.settings.seed, epoch)
            remaining = order.split(self.settings.batch_size)[done:]
            yield from remaining[: self.total - self.step]

    def _gradients(self, index: Tensor) -> Measured:
        arguments = pairs.arguments(self.module, self.data, index)
        with _autocast(self.settings.precision, self.data.x.device):
            loss, terms = self.objective.evaluate(self.module.model, self.module.guide, *arguments)
        loss.backward()
        return measured(loss, terms, self.objective.weights())

    def _update(self, index: Tensor) -> None:
        self.meter.add(updated(self.update, index))
        self.images += len(index)
        self.step += 1

    def _evaluated(self) -> Record:
        if self.validation is None or not (self._at_validation() or self.step == self.total):
            return {}
        return self._validate(self.validation)

    def _at_validation(self) -> bool:
        epoch, rest = divmod(self.step, self.epoch_steps)
        return rest == 0 and epoch % self.settings.validate_every == 0

    def _validate(self, validation: Set) -> Record:
        self._check_weights()
        seed = self.settings.seed
        terms = likelihood.terms(self.module, validation, seed=seed, objective=self.objective)
        with torch.no_grad():
            loss = self.objective.combine(terms).item()
        if not math.isfinite(loss):
            raise NonFiniteError(
                f"the validation loss is {loss} at step {self.step}; {self._what_is_kept()}"
            )
        if self.settings.patience is not None and self._at_validation():
            self.best.see(loss, self.module)
        return {
            "validation_loss": loss,
            "validation_elbo": terms.elbo.mean().item(),
            "validation_kl": terms.total_kl.mean().item(),
        }

    def _patience_is_out(self) -> bool:
        patience = self.settings.patience
        return patience is not None and self.best.stale >= patience

    def _settle(self) -> None:
        """The best weights, if they were looked for, and what the pair fits to the data itself."""
        if self.best.weights and self.settings.patience is not None:
            load_state(self.module, self.best.weights)
        super()._settle()

    def _dry_run(self) -> list[nn.Parameter]:
        """Each size of batch with validation on; what it leaves is the list of parameters."""
        size = self.settings.batch_size
        with pairs.evaluation_mode(self.module, self.settings.seed), pyro.validation_enabled(True):
            terms = self._tried(self.objective, self.data, size)
            registered = dict(pyro.get_param_store().named_parameters())
            if rest := len(self.data) % size:
                self._try_last(rest)
            if self.validation is not None:
                objective = self.objective.over(len(self.validation))
                with pyro.validation_enabled(False):
                    self._tried(objective, self.validation, likelihood.BATCH_SIZE)
        self._check_registered(registered)
        if not terms.log_likelihood.dim():
            raise TrainingError("expected a pyro.plate over the data in the model; got none")
        return [p for p in self.module.parameters() if p.requires_grad]

    def _check_registered(self, registered: Mapping[str, Tensor]) -> None:
        """Refuse parameters that would not be trained and saved, and a pair that has none."""
        kind = type(self.module).__name__
        owned = {id(parameter) for parameter in self.module.parameters()}
        for name, parameter in registered.items():
            if id(parameter) not in owned:
                raise TrainingError(
                    f"pyro.param {name!r} is no parameter of {kind}: make it an nn.Parameter or "
                    "PyroParam there, so that it is trained and saved"
                )
        if not any(parameter.requires_grad for parameter in self.module.parameters()):
            raise TrainingError(f"{kind} has no parameters to train")

    def _tried(self, objective: ELBO, data: Set, rows: int) -> Terms:
        few = data.take(slice(0, rows)).to(self.data.x.device)
        given = pairs.arguments(self.module, few, slice(None))
        return objective.terms(self.module.model, self.module.guide, *given)

    def _try_last(self, rows: int) -> None:
        try:
            with _batch_norms_in_training(self.module):
                self._tried(self.objective, self.data, rows)
        except ValueError as error:
            reason, *_ = str(error).splitlines()  # Pyro adds the shapes of a trace
            raise TrainingError(
                f"the last batch of an epoch has {rows} of {len(self.data)} rows, for which the "
                f"objective fails ({reason}): choose another batch_size"
            ) from error


@contextmanager
def _batch_norms_in_training(module: nn.Module) -> Iterator[None]:
    """BatchNorm as in training, where it takes no single row; its statistics stay."""
    norms = [part for part in module.modules() if isinstance(part, _BatchNorm)]
    kept = [(buffer, buffer.clone()) for norm in norms for buffer in norm.buffers()]
    for norm in norms:
        norm.train()
    try:
        yield
    finally:
        for norm in norms:
            norm.eval()
        for buffer, before in kept:
            buffer.copy_(before)


_MEAN_FIELD = (infer.TraceMeanField_ELBO, infer.JitTraceMeanField_ELBO)
_SAMPLED = (infer.Trace_ELBO, infer.JitTrace_ELBO)


def _instead(objective: Any) -> str:
    """What does the work of one of Pyro's ELBOs here; empty for anything else."""
    if not isinstance(objective, infer.ELBO):
        return ""
    kind, particles = type(objective), objective.num_particles  # subclasses do other work
    ours = f"objectives.ELBO({f'num_particles={particles}' if particles > 1 else ''})"
    if kind in _MEAN_FIELD:
        return f"{ours} is its equal"
    svi = "lowering.SVI takes it as pyro.infer.SVI does"
    if kind in _SAMPLED:
        return f"{ours} is its equal where samples are reparameterised; where not, {svi}"
    if isinstance(objective, infer.RenyiELBO) and objective.alpha == 0:
        return f"objectives.ImportanceWeightedELBO({particles}) is this bound, datum by datum"
    return svi


_FIXED = ("batch_size", "clip_norm", "seed", "precision")


def _autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    if precision != "bfloat16":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)
