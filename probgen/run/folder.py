"""A run's folder: run.json, weights.safetensors, history.csv and the checkpoints of a run."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor, nn

from probgen.run import checkpoint
from probgen.run.checkpoint import Expectation
from probgen.run.errors import CheckpointError, RunError
from probgen.run.snapshot import specs

FORMAT = 1
M = TypeVar("M", bound=nn.Module)


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
