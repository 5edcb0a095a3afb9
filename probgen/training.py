"""Stochastic variational inference: ``fit(pair, objective, data)``, resumed at will."""

import math
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pyro
import torch
from torch import Tensor, nn

from probgen import progress
from probgen.checkpoint import CheckpointError
from probgen.classification import fit_classifier as fit_classifier
from probgen.data import Set
from probgen.evaluation import likelihood
from probgen.history import History, Measured, Meter, NonFiniteError, Record, measured
from probgen.lowering import HOW, How, Lowered
from probgen.objectives import ELBO, Pair, Terms
from probgen.run import Best, Folder, Snapshot, environment, load_state, tensors_of

Precision = Literal["float32", "tf32", "bfloat16"]
Optimizer = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
EPOCH_STRIDE = 1_000_003


class TrainingError(ValueError):
    """A run that cannot start as asked."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C: the step was finished and saved."""


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
        data: training set, kept on the device; batches are drawn without replacement.
        epochs: passes over the data; or else
        steps: updates.
        batch_size: data per update; the last batch of an epoch may be smaller.
        lr: learning rate of Adam, the default optimiser.
        clip_norm: greatest norm of all gradients together.
        optimizer: called with the parameters instead, e.g. ``partial(torch.optim.SGD, lr=0.1)``.
        device: where to train, as for ``place``; None for where the pair is.
        seed: of the batches and the samples, from 0 to 2^48 - 1.
        precision: "tf32" and "bfloat16" hold for matrix products and convolutions; densities
            are float32 always.
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
        show: a progress bar; None for only on a terminal.

    Returns:
        The run's history.

    Raises:
        TrainingError: settings that cannot work, named.
        NonFiniteError: a NaN or an infinity, with its term and step.
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
        epochs, steps, batch_size, lr, clip_norm, seed, precision, lower, validate_every,
        patience, checkpoint_every, log_every,
    )  # fmt: skip
    settings.check(objective, data, validation)
    objective = objective if objective.data_size else objective.over(len(data))
    folder = None if checkpoint is None else Folder(checkpoint)
    if folder and folder.holds_run() and not resume:
        raise TrainingError(f"{folder.path} already holds a run: resume it or name another folder")
    where = likelihood.device_of(pair) if device is None else place(device)
    module: Any = pair
    module.to(where)
    objective.to(where)
    with _surroundings(where, seed, precision):
        run = _Run(module, objective, data.to(where), settings, validation, folder, log)
        run.prepare(optimizer, recipe)
        if resume:
            run.restore()
        return run.train(show)


def place(device: str | torch.device) -> torch.device:
    """The device of that name; "auto" is CUDA where there is any, else the CPU.

    Raises:
        TrainingError: no such device, or not here.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise TrainingError(f"expected a device such as cpu or cuda; got {device!r}") from error
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise TrainingError(f"{device} was asked for and there is no CUDA here: use device='cpu'")
    if found.type not in ("cpu", "cuda"):
        raise TrainingError(f"expected cpu or cuda; got {device}, which is not supported")
    return found


@dataclass(frozen=True)
class _Settings:
    epochs: int | None
    steps: int | None
    batch_size: int
    lr: float
    clip_norm: float | None
    seed: int
    precision: str
    lower: How
    validate_every: int
    patience: int | None
    checkpoint_every: float
    log_every: int

    def check(self, objective: ELBO, data: Set, validation: Set | None) -> None:
        if (self.epochs is None) == (self.steps is None):
            raise TrainingError("expected epochs or steps, one of the two")
        if not isinstance(objective, ELBO):
            raise TrainingError(f"expected an objective of probgen; got {objective!r}")
        if not isinstance(data, Set):
            raise TrainingError(f"expected one data.Set, such as train; got {type(data).__name__}")
        for name in ("epochs", "steps", "validate_every", "patience", "log_every", "batch_size"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int) and value >= 1):
                raise TrainingError(f"expected {name} a whole number >= 1; got {value!r}")
        likelihood.check_seed(self.seed)
        if self.batch_size > len(data):
            raise TrainingError(
                f"expected batch_size from 1 to {len(data)}, the size of {data.name}; "
                f"got {self.batch_size}"
            )
        for name in ("lr", "clip_norm"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int | float) and 0 < value < math.inf):
                raise TrainingError(f"expected {name} > 0 and finite; got {value!r}")
        if self.precision not in ("float32", "tf32", "bfloat16"):
            raise TrainingError(
                f"expected precision float32, tf32 or bfloat16; got {self.precision!r}"
            )
        if self.lower not in HOW:
            raise TrainingError(f"expected lower {', '.join(HOW)}; got {self.lower!r}")
        if self.patience is not None and (validation is None or not objective.constant):
            wanted = "validation data" if validation is None else "a constant objective"
            raise TrainingError(f"patience needs {wanted}: two losses must be comparable")


class _Run:
    """One call of ``fit``: the loop, and what is saved of it."""

    def __init__(
        self,
        module: Any,
        objective: ELBO,
        data: Set,
        settings: _Settings,
        validation: Set | None,
        folder: Folder | None,
        log: Callable[[Record], object] | None,
    ) -> None:
        self.module, self.objective, self.data = module, objective, data
        self.settings, self.validation, self.folder, self.log = settings, validation, folder, log
        self.epoch_steps = math.ceil(len(data) / settings.batch_size)
        self.total = settings.steps or self.epoch_steps * (settings.epochs or 0)
        self.step, self.seconds = 0, 0.0
        self.history, self.meter, self.best = History(), Meter(), Best()
        self.images, self.saved_at = 0, time.monotonic()
        self.kept: int | None = None

    def prepare(self, optimizer: Optimizer | None, recipe: Mapping[str, Any] | None) -> None:
        """Everything that can be wrong before the first step, then the optimiser and run.json."""
        for data in (self.data, self.validation):
            if data is not None:
                likelihood.check(self.module, data)
        self.parameters = self._dry_run()
        make = optimizer or self._adam
        self.optimizer = make(self.parameters)
        layout = _layout(make, self.parameters[0].dtype)
        device = self.data.x.device
        self.snapshot = Snapshot(
            self.module, self.objective, self.optimizer, layout, self.best, device
        )
        self.gradients = Lowered(
            self._gradients,
            lambda: [*self.parameters],
            name=f"training {type(self.module).__name__}",
            roots=(self.module, self.objective),
            how=self.settings.lower,
            steps=self.total,
        )
        self.fixed = self._fixed()
        self.environments = [environment()]
        self.recipe = recipe

    def restore(self) -> None:
        """Go on where the newest usable checkpoint ends, if there is one."""
        found = self.folder and self.folder.restore(self.snapshot.expects)
        if not found:
            return
        tensors, state = found
        self._take(state)
        self.snapshot.load(tensors)
        self.kept = self.step
        if self.step > self.total:
            raise TrainingError(
                f"expected more than {self.step} steps, done already: {self.total}"
            )

    def _adam(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, lr=self.settings.lr, fused=True)

    def _fixed(self) -> dict[str, Any]:
        """What a resumed run must have in common with the saved one."""
        settings = {name: getattr(self.settings, name) for name in _FIXED}
        defaults = self.optimizer.defaults
        return settings | {
            "objective": repr(self.objective),
            "optimizer": f"{type(self.optimizer).__name__}(lr={defaults.get('lr')})",
            "optimizer_settings": {name: repr(value) for name, value in defaults.items()},
            "data": {"name": self.data.name, "n": len(self.data), "shape": [*self.data.shape]},
            "data_sha256": self.data.digest() if self.folder else None,
        }

    def _take(self, state: Mapping[str, Any]) -> None:
        try:
            before = dict(state["run"])
            changed = {k: v for k, v in before.items() if not _same(v, self.fixed.get(k))}
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"the checkpoint's state is not a run's: {error!r}") from error
        if changed:
            raise CheckpointError(
                f"expected a run with the same {', '.join(changed)}; the saved one has {changed}"
            )
        try:
            self.step, self.seconds = int(state["step"]), float(state["seconds"])
            best = state["best_loss"]
            self.best.loss = math.inf if best is None else float(best)
            self.best.stale = int(state["stale"])
            if self.settings.lower == "auto":
                self.gradients.how = _how(state.get("lowered", "auto"))
            if min(self.step, self.seconds, self.best.stale) < 0:
                raise ValueError("a negative count")
            earlier = [dict(e) for e in state["environments"]]
            self.environments = [e for e in earlier if e != environment()] + self.environments
            self.history.records = [
                {name: float(value) for name, value in record.items()}
                for record in state["records"]
            ]
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise CheckpointError(f"the checkpoint's state is not a run's: {error!r}") from error

    def train(self, show: bool | None) -> History:
        """All remaining steps."""
        self.module.train()
        self.gradients.prepare(torch.arange(self.settings.batch_size, device=self.data.x.device))
        if self.folder:
            self.folder.write_facts(self._facts())
        self.measured_at = time.monotonic()
        self.started = self.measured_at - self.seconds
        description = f"{type(self.module).__name__} on {self.data.name}"
        try:
            with progress.bar(description, self.total, show) as advance, _interrupts() as asked:
                self._steps(advance, asked)
                self._warn()
                return self._finish()
        finally:
            self.module.eval()

    def _steps(self, advance: progress.Advance, interrupted: Callable[[], bool]) -> None:
        for index in self._batches():
            self._update(index)
            stop = interrupted() and self.step < self.total
            if stop or self._at_boundary():
                advance(self.step, self._record())
                self._save_if_due(at_once=stop)
            if stop:
                raise Interrupted(self._where_to_resume())

    def _batches(self) -> Iterator[Tensor]:
        while self.step < self.total and not self._patience_is_out():
            epoch, done = divmod(self.step, self.epoch_steps)
            generator = torch.Generator().manual_seed(self.settings.seed + EPOCH_STRIDE * epoch)
            order = torch.randperm(len(self.data), generator=generator).to(self.data.x.device)
            remaining = order.split(self.settings.batch_size)[done:]
            yield from remaining[: self.total - self.step]

    def _gradients(self, index: Tensor) -> Measured:
        arguments = likelihood.arguments(self.module, self.data, index)
        with _autocast(self.settings.precision, self.data.x.device):
            loss, terms = self.objective.evaluate(self.module.model, self.module.guide, *arguments)
        loss.backward()
        return measured(loss, terms, self.objective.weights())

    def _update(self, index: Tensor) -> None:
        step = self.gradients(index)
        if self.settings.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.settings.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.meter.add(step)
        self.images += len(index)
        self.step += 1

    def _at_boundary(self) -> bool:
        at_epoch = self.step % self.epoch_steps == 0
        return at_epoch or self.step % self.settings.log_every == 0 or self.step == self.total

    def _record(self) -> Record:
        record = self._measured()
        if self.validation is not None and (self._at_validation() or self.step == self.total):
            record |= self._validate(self.validation)
        self.history.records.append(record)
        if self.log is not None:
            self.log(record)
        self.images, self.measured_at = 0, time.monotonic()
        shown = {name: record[name] for name in _SHOWN if name in record}
        return {name.replace("_", " "): value for name, value in shown.items()}

    def _measured(self) -> Record:
        try:
            terms = self.meter.read(self.step)
        except NonFiniteError as error:
            raise NonFiniteError(f"{error}; {self._what_is_kept()}") from None
        now = time.monotonic()
        rate = self.images / max(now - self.measured_at, 1e-9)
        self.seconds = now - self.started
        epoch = self.step / self.epoch_steps
        return {"step": self.step, "epoch": epoch, **terms, "seconds": self.seconds,
                "images_per_second": rate}  # fmt: skip

    def _at_validation(self) -> bool:
        epoch, rest = divmod(self.step, self.epoch_steps)
        return rest == 0 and epoch % self.settings.validate_every == 0

    def _validate(self, validation: Set) -> Record:
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
        return {"validation_loss": loss, "validation_elbo": terms.elbo.mean().item(),
                "validation_kl": terms.total_kl.mean().item()}  # fmt: skip

    def _patience_is_out(self) -> bool:
        patience = self.settings.patience
        return patience is not None and self.best.stale >= patience

    def _save_if_due(self, at_once: bool) -> None:
        due = time.monotonic() - self.saved_at >= self.settings.checkpoint_every
        if self.folder and (due or at_once):
            self._check_weights()
            self.folder.save(self.step, self.snapshot.tensors(), self._state())
            self.kept, self.saved_at = self.step, time.monotonic()

    def _finish(self) -> History:
        self._check_weights()
        if self.folder and self.kept != self.step:
            self.folder.save(self.step, self.snapshot.tensors(), self._state())
        if self.best.weights and self.settings.patience is not None:
            load_state(self.module, self.best.weights)
        self._after_training()
        if self.folder:
            results = {"steps": self.step, "seconds": self.seconds}
            facts = {**self._facts(), "results": results}
            self.folder.finish(tensors_of(self.module), self.history.to_csv(), facts)
        return self.history

    def _after_training(self) -> None:
        fit = getattr(self.module, "after_training", None)
        if fit is not None:
            with likelihood.at_rest(self.module, self.settings.seed):
                fit(self.data)

    def _warn(self) -> None:
        complaint = getattr(self.module, "complaint", lambda: None)()
        if complaint:
            warnings.warn(f"step {self.step}: {complaint}", stacklevel=4)

    def _check_weights(self) -> None:
        for name, parameter in self.module.named_parameters():
            if not parameter.isfinite().all():
                raise NonFiniteError(
                    f"{name} is not finite at step {self.step}; {self._what_is_kept()}"
                )

    def _what_is_kept(self) -> str:
        if self.folder is None or self.kept is None:
            return "nothing was saved"
        return f"the last finite checkpoint is step {self.kept} in {self.folder.path}"

    def _where_to_resume(self) -> str:
        where = f"stopped at step {self.step}"
        if self.folder is None:
            return f"{where}, not saved: no checkpoint folder was given"
        how = (
            "fit(..., resume=True)"
            if self.recipe is None
            else f"probgen resume {self.folder.path}"
        )
        return f"{where} and saved; resume with: {how}"

    def _facts(self) -> dict[str, Any]:
        return {
            "recipe": self.recipe,
            "settings": asdict(self.settings),
            "lowered": self.gradients.used,
            "run": self.fixed,
            "environments": self.environments,
        }

    def _state(self) -> dict[str, Any]:
        best = None if math.isinf(self.best.loss) else self.best.loss
        return {"run": self.fixed, "step": self.step, "seconds": self.seconds, "best_loss": best,
                "stale": self.best.stale, "records": self.history.records,
                "lowered": self.gradients.used, "environments": self.environments}  # fmt: skip

    def _dry_run(self) -> list[nn.Parameter]:
        """Each size of batch with validation on; what it leaves is the list of parameters."""
        size = self.settings.batch_size
        with likelihood.at_rest(self.module, self.settings.seed), pyro.validation_enabled(True):
            terms = self._tried(self.objective, self.data, size)
            registered = dict(pyro.get_param_store().named_parameters())
            if rest := len(self.data) % size:
                self._try_last(rest)
            if self.validation is not None:
                objective = self.objective.over(len(self.validation))
                with pyro.validation_enabled(False):
                    self._tried(objective, self.validation, likelihood.BATCH_SIZE)
        parameters = [p for p in self.module.parameters() if p.requires_grad]
        owned = {id(parameter) for parameter in self.module.parameters()}
        for name, parameter in registered.items():
            if id(parameter) not in owned:
                raise TrainingError(
                    f"pyro.param {name!r} is no parameter of {type(self.module).__name__}: make "
                    "it an nn.Parameter or PyroParam there, so that it is trained and saved"
                )
        if not parameters:
            raise TrainingError(f"{type(self.module).__name__} has no parameters to train")
        if not terms.log_likelihood.dim():
            raise TrainingError("expected a pyro.plate over the data in the model; got none")
        return parameters

    def _tried(self, objective: ELBO, data: Set, rows: int) -> Terms:
        few = data.take(slice(0, rows)).to(self.data.x.device)
        given = likelihood.arguments(self.module, few, slice(None))
        return objective.terms(self.module.model, self.module.guide, *given)

    def _try_last(self, rows: int) -> None:
        try:
            self._tried(self.objective, self.data, rows)
        except ValueError as error:
            raise TrainingError(
                f"the last batch of an epoch has {rows} of {len(self.data)} rows, for which the "
                f"objective fails ({error}): choose another batch_size"
            ) from error


def _layout(make: Optimizer, dtype: torch.dtype) -> dict[str, torch.dtype]:
    """What an optimiser keeps per parameter, found by one step on a parameter of its own."""
    probe = nn.Parameter(torch.zeros(2, 2, dtype=dtype))
    probe.grad = torch.zeros_like(probe)
    optimizer = make([probe])
    try:
        optimizer.step()
    except TypeError as error:
        raise TrainingError(f"cannot drive {type(optimizer).__name__}: {error}") from error
    state = optimizer.state[probe].items()
    return {name: value.dtype for name, value in state if isinstance(value, Tensor)}


def _same(saved: Any, current: Any) -> bool:
    """Whether a setting is the saved one; of an optimiser's, those that both versions have."""
    if isinstance(saved, dict) and isinstance(current, dict):
        return all(saved[name] == current[name] for name in saved.keys() & current.keys())
    return saved == current


def _how(saved: Any) -> How:
    if saved not in HOW:
        raise ValueError(f"lowered {saved!r}")
    return saved


_FIXED = ("batch_size", "clip_norm", "seed", "precision")
_SHOWN = (
    "loss", "log_likelihood", "kl", "beta", "lambda", "validation_elbo", "images_per_second",
)  # fmt: skip


@contextmanager
def _surroundings(device: torch.device, seed: int, precision: Precision) -> Iterator[None]:
    """Own generators, parameter store and matrix precision; Pyro's validation off."""
    matmul = torch.get_float32_matmul_precision()
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng([device] if device.type == "cuda" else []))
        stack.enter_context(pyro.get_param_store().scope())
        stack.enter_context(pyro.validation_enabled(False))
        stack.callback(torch.set_float32_matmul_precision, matmul)
        torch.set_float32_matmul_precision("high" if precision == "tf32" else matmul)
        torch.manual_seed(seed)
        yield


def _autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    if precision != "bfloat16":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


@contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed since; a second one interrupts at once."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    asked: list[int] = []

    def ask(number: int, frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: bool(asked)
    finally:
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)
