"""The tensors that the next step of a training depends on."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from probgen.run.checkpoint import Spec
from probgen.run.errors import CheckpointError


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


def _only_tensors(values: Mapping[str, Any]) -> dict[str, Tensor]:
    for name, value in values.items():
        if not isinstance(value, Tensor):
            raise CheckpointError(f"cannot save this optimiser: its {name} is a {type(value)}")
    return dict(values)


def _prefixed(part: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{part}.{name}": value for name, value in values.items()}


def _without_prefix(part: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {k.removeprefix(f"{part}."): v for k, v in values.items() if k.startswith(f"{part}.")}
