"""A run's folder: run.json, weights.safetensors, history.csv and the checkpoints of a run."""

import hashlib
import math
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pyro
import torch
from torch import Tensor, nn

import probgen
from probgen import checkpoint
from probgen.checkpoint import CheckpointError, Expectation, Spec

FORMAT = 1
M = TypeVar("M", bound=nn.Module)


class RunError(ValueError):
    """A folder that holds no run, or one that this version cannot read."""


def load(module: M, folder: str | Path) -> M:
    """The module with the weights of a finished run, in evaluation mode.

    ``recipe.trained(folder)`` builds the module too, of a run of the command line.

    Args:
        module: of the same make as the one that was trained, weights and all; changed in place.
        folder: the ``checkpoint`` of the training.

    Raises:
        RunError: no run, or one that is not finished.
        CheckpointError: the weights are damaged, or another model's.

    >>> from tempfile import TemporaryDirectory
    >>> from probgen import data, models, nets, objectives, training
    >>> train, _ = data.digits()
    >>> def vae():
    ...     encoder = nets.dense_encoder(train.shape, 4)
    ...     return models.VAE(encoder, nets.dense_decoder(4, train.shape))
    >>> with TemporaryDirectory() as folder:
    ...     history = training.fit(vae(), objectives.ELBO(), train, steps=2, checkpoint=folder)
    ...     trained = load(vae(), folder)
    """
    module.load_state_dict(Folder(folder).read_weights(module))
    return module.eval()


class Folder:
    """Where a run leaves what it is made of; everything in it is checked when read.

    Args:
        path: the folder; made when something is written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.checkpoints = self.path / "checkpoints"

    def holds_run(self) -> bool:
        """Whether a run has begun here."""
        return (self.path / "run.json").exists() or bool(checkpoint.generations(self.checkpoints))

    def facts(self) -> dict[str, Any]:
        """What run.json says: recipe, settings, data, environment, results.

        Raises:
            RunError: there is none, or it is from another version.
        """
        path = self.path / "run.json"
        if not path.exists():
            raise RunError(f"{self.path} holds no run: expected {path}")
        facts = checkpoint.read_json(path)
        if facts.get("format") != FORMAT:
            raise RunError(f"expected format {FORMAT} in {path}; got {facts.get('format')!r}")
        return facts

    def write_facts(self, facts: Mapping[str, Any]) -> None:
        """Replace run.json."""
        content = checkpoint.to_json({"format": FORMAT, **facts})
        checkpoint.write(self.path / "run.json", content)

    def save(self, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """One more checkpoint."""
        checkpoint.save(self.checkpoints, step, tensors, state)

    def forget_after(self, step: int) -> None:
        """Remove checkpoints of later steps."""
        checkpoint.remove_after(self.checkpoints, step)

    def restore(self, expected: Expectation) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The newest usable checkpoint, or None where none was ever saved.

        Raises:
            CheckpointError: none of them is usable, or a finished run's are gone.
        """
        if not checkpoint.generations(self.checkpoints):
            if self.holds_run() and "results" in self.facts():
                raise CheckpointError(f"the run in {self.path} is finished, its checkpoints gone")
            return None
        return checkpoint.load(self.checkpoints, expected)

    def finish(
        self, weights: Mapping[str, Tensor], history: str, facts: Mapping[str, Any]
    ) -> None:
        """Write the results, run.json last, so that a finished run has them all."""
        content = checkpoint.pack(weights)
        checkpoint.write(self.path / "weights.safetensors", content)
        checkpoint.write(self.path / "history.csv", history.encode())
        self.write_facts({**facts, "weights_sha256": hashlib.sha256(content).hexdigest()})

    def read_weights(self, module: nn.Module) -> dict[str, Tensor]:
        """The finished run's weights, for a module of the same make (on the meta device, say).

        Raises:
            RunError: the run is not finished.
            CheckpointError: the file is damaged, or of another model.
        """
        sha256 = self.facts().get("weights_sha256")
        if not isinstance(sha256, str):
            raise RunError(f"the run in {self.path} is not finished: probgen resume {self.path}")
        path = self.path / "weights.safetensors"
        weights = checkpoint.read_tensors(path, specs(module), sha256)
        for name, _ in module.named_parameters():
            if not weights[name].isfinite().all():
                raise CheckpointError(f"{path} holds NaN or infinity in {name}")
        return weights


class Best:
    """The weights of the best validation, and how many worse ones followed it."""

    def __init__(self) -> None:
        self.loss = math.inf
        self.stale = 0
        self.weights: dict[str, Tensor] = {}

    def see(self, loss: float, module: nn.Module) -> None:
        """One more validation loss."""
        self.stale += 1
        if loss < self.loss:
            weights = {name: tensor.clone() for name, tensor in tensors_of(module).items()}
            self.loss, self.stale, self.weights = loss, 0, weights


class Driven(NamedTuple):
    """An optimiser, and what it keeps per parameter, {name: dtype}."""

    optimizer: torch.optim.Optimizer
    layout: Mapping[str, torch.dtype]

    @property
    def parameters(self) -> list[nn.Parameter]:
        """What it moves, in its own order."""
        return [p for group in self.optimizer.param_groups for p in group["params"]]


class Snapshot:
    """All tensors that the next step depends on, by name: out for saving, in for resuming.

    Args:
        module: the pair.
        objective: its schedules and controllers.
        optimizers: their moments, per parameter; the parameters of all are numbered on.
        best: the best weights so far.
        device: where they are; its generator belongs to the state.
    """

    def __init__(
        self,
        module: nn.Module,
        objective: nn.Module,
        optimizers: Sequence[Driven],
        best: Best,
        device: torch.device,
    ) -> None:
        self.module, self.objective, self.optimizers = module, objective, optimizers
        self.best, self.device = best, device
        self.parameters = [(p, one.layout) for one in optimizers for p in one.parameters]

    def tensors(self) -> dict[str, Tensor]:
        """The state as it is now."""
        tensors = _prefixed("model", tensors_of(self.module))
        tensors |= _prefixed("objective", tensors_of(self.objective))
        tensors |= _prefixed("best", self.best.weights) | self._generators()
        for first, optimizer in self._numbered():
            for index, values in optimizer.state_dict()["state"].items():
                tensors |= _prefixed(f"optimizer.{first + index}", _only_tensors(values))
        return tensors

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Become the saved state, in place."""
        best = _without_prefix("best", tensors)
        moments = {i: _without_prefix(f"optimizer.{i}", tensors) for i in self._numbers()}
        self._check_complete(tensors, best, moments)
        self._set_generators(tensors)
        load_state(self.module, _without_prefix("model", tensors))
        load_state(self.objective, _without_prefix("objective", tensors))
        self.best.weights = {name: tensor.to(self.device) for name, tensor in best.items()}
        for first, optimizer in self._numbered():
            groups = optimizer.state_dict()["param_groups"]
            numbers = [number for group in groups for number in group["params"]]
            state = {i: moments[first + i] for i in numbers if moments[first + i]}
            optimizer.load_state_dict({"state": state, "param_groups": groups})

    def expects(self, name: str, spec: Spec) -> bool:
        """Whether a saved tensor is one that ``load`` can take."""
        part, _, rest = name.partition(".")
        if part == "best":
            return spec == specs(self.module).get(rest)
        if part == "optimizer":
            index, _, key = rest.partition(".")
            if index not in map(str, self._numbers()):
                return False
            parameter, layout = self.parameters[int(index)]
            fits = math.prod(spec.shape) <= max(1, parameter.numel())
            return fits and spec.dtype == layout.get(key)
        return spec == self._required().get(name)

    def _numbers(self) -> range:
        return range(len(self.parameters))

    def _numbered(self) -> Iterator[tuple[int, torch.optim.Optimizer]]:
        """Each optimiser behind the number of its first parameter."""
        first = 0
        for one in self.optimizers:
            yield first, one.optimizer
            first += len(one.parameters)

    def _check_complete(
        self,
        tensors: Mapping[str, Tensor],
        best: Mapping[str, Tensor],
        moments: Mapping[int, Mapping[str, Tensor]],
    ) -> None:
        missing = self._required().keys() - tensors.keys()
        if best:
            missing |= specs(self.module).keys() - best.keys()
        for index, values in moments.items():
            missing |= self.parameters[index][1].keys() - values.keys() if values else set()
        if missing:
            raise CheckpointError(f"the checkpoint lacks {', '.join(sorted(missing))}")

    def _set_generators(self, tensors: Mapping[str, Tensor]) -> None:
        try:
            torch.set_rng_state(tensors["generator.cpu"])
            if self.device.type == "cuda":
                torch.cuda.set_rng_state(tensors["generator.cuda"], self.device)
        except RuntimeError as error:
            raise CheckpointError(f"the checkpoint's generator state is none: {error}") from error

    def _required(self) -> dict[str, Spec]:
        generators = {name: Spec.of(state) for name, state in self._generators().items()}
        model = _prefixed("model", specs(self.module))
        return model | _prefixed("objective", specs(self.objective)) | generators

    def _generators(self) -> dict[str, Tensor]:
        states = {"generator.cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            states["generator.cuda"] = torch.cuda.get_rng_state(self.device)
        return states


def specs(module: nn.Module) -> dict[str, Spec]:
    """Names, shapes and dtypes of a module's state."""
    return {name: Spec.of(tensor) for name, tensor in tensors_of(module).items()}


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """A module's state, tensors all.

    Raises:
        CheckpointError: the module keeps state that is no tensor.
    """
    state = module.state_dict()
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise CheckpointError(f"expected tensors in state_dict; got {name}: {type(value)}")
    return state


@torch.no_grad()
def load_state(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy tensors into a module's state in place, so that an optimiser keeps its hold on it."""
    for name, tensor in module.state_dict().items():
        tensor.copy_(tensors[name])


def environment() -> dict[str, Any]:
    """What numbers depend on: versions, threads, build, device, commit."""
    build = hashlib.sha256(torch.__config__.show().encode()).hexdigest()[:16]
    cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "probgen": probgen.__version__,
        "torch": torch.__version__,
        "pyro": pyro.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "build": build,
        "threads": torch.get_num_threads(),
        "cuda": cuda,
        "commit": _commit(),
    }


def _commit() -> str | None:
    command = ["git", "rev-parse", "HEAD"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None


def _only_tensors(values: Mapping[str, Any]) -> dict[str, Tensor]:
    for name, value in values.items():
        if not isinstance(value, Tensor):
            raise CheckpointError(f"cannot save this optimiser: its {name} is a {type(value)}")
    return dict(values)


def _prefixed(part: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{part}.{name}": value for name, value in values.items()}


def _without_prefix(part: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {k.removeprefix(f"{part}."): v for k, v in values.items() if k.startswith(f"{part}.")}
