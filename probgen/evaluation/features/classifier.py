"""A small classifier whose last hidden layer gives features, shipped for the small data sets."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from probgen.data import Set
from probgen.evaluation.features.extraction import Features, sha256_of
from probgen.evaluation.score import EvaluationError, Score
from probgen.run import checkpoint
from probgen.run.checkpoint import CheckpointError, Spec

WEIGHTS = Path(__file__).parent / "weights"
WIDTHS = (32, 64, 64)


class Classifier(nn.Module):
    """Images (N, *shape), floats in [0, 1], to logits (N, classes); ``embed`` gives features.

    Three convolutions of 3 x 3, each halved by max-pooling, and a hidden layer of features.

    Args:
        shape: (C, H, W) of an image.
        classes: how many.
        features: dimensions of the hidden layer.
        dropout: share of the convolutions' outputs dropped in training.
        name: what its scores call it.

    Example:
        >>> from probgen import data
        >>> _, test = data.digits()
        >>> classifier = Classifier.load("digits")
        >>> classifier(test.batch(slice(0, 5))[0]).argmax(1) == test.y[:5]
        tensor([True, True, True, True, True])
    """

    def __init__(
        self,
        shape: Sequence[int],
        classes: int,
        *,
        features: int = 64,
        dropout: float = 0.3,
        name: str = "Classifier",
    ) -> None:
        super().__init__()
        if len(shape) != 3 or min(shape) < 1 or classes < 2 or features < 1:
            raise EvaluationError(
                f"expected shape (C, H, W), classes >= 2 and features >= 1; got {tuple(shape)}, "
                f"{classes} and {features}"
            )
        self.shape, self.classes, self.name = tuple(shape), classes, name
        channels = [shape[0], *WIDTHS]
        blocks = [_block(i, o) for i, o in zip(channels, WIDTHS, strict=False)]
        sides = [-(-side // 2 ** len(WIDTHS)) for side in shape[1:]]
        self.trunk = nn.Sequential(*blocks, nn.Flatten(), nn.Dropout(dropout))
        self.hidden = nn.Sequential(
            nn.Linear(WIDTHS[-1] * sides[0] * sides[1], features), nn.ReLU()
        )
        self.head = nn.Linear(features, classes)
        self.to(memory_format=torch.channels_last)

    @property
    def sha256(self) -> str:
        """Hash of the weights."""
        return sha256_of(self)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, classes)."""
        return self.head(self.embed(images))

    def embed(self, images: Tensor) -> Tensor:
        """Features (N, features), none below 0."""
        if images.shape[1:] != self.shape:
            raise EvaluationError(
                f"{self.name}: expected images (N, {', '.join(map(str, self.shape))}); "
                f"got {tuple(images.shape)}"
            )
        return self.hidden(self.trunk(images))

    @torch.no_grad()
    def probabilities(self, features: Features | Tensor) -> Tensor:
        """p(class | image) (N, classes) of features that ``embed`` gave: no second pass."""
        values = features.values if isinstance(features, Features) else features
        return self.head(values.to(self.head.weight)).double().softmax(1).cpu()

    def save(self, path: str | Path, facts: Mapping[str, Any]) -> None:
        """Write PATH.safetensors and PATH.json, with ``facts`` on how it was trained.

        Raises:
            CheckpointError: the disk is full or the folder cannot be written.
        """
        content = checkpoint.pack({k: v.contiguous() for k, v in self.state_dict().items()})
        built = {"shape": list(self.shape), "classes": self.classes,
                 "features": self.head.in_features}  # fmt: skip
        known = {**built, **facts, "sha256": hashlib.sha256(content).hexdigest()}
        checkpoint.write(Path(f"{path}.safetensors"), content)
        checkpoint.write(Path(f"{path}.json"), checkpoint.to_json(known))

    @classmethod
    def load(cls, name: str | Path) -> "Classifier":
        """The shipped classifier of that name, or the one that ``save`` wrote there.

        Args:
            name: "digits", "mnist" or "fashion-mnist" (an underscore will do), or a path without
                its ending.

        Raises:
            EvaluationError: there is none.
            CheckpointError: a file is damaged.
        """
        path = WEIGHTS / str(name).replace("_", "-")
        path = path if str(name).replace("_", "-") in shipped() else Path(name)
        if not Path(f"{path}.json").is_file():
            raise EvaluationError(
                f"expected {', '.join(shipped())}, or PATH of PATH.safetensors and PATH.json; "
                f"got {str(name)!r}. training.fit_classifier trains one on any labelled images"
            )
        known = checkpoint.read_json(Path(f"{path}.json"))
        return cls._built(path, known).eval()

    @classmethod
    def _built(cls, path: Path, known: Mapping[str, Any]) -> "Classifier":
        try:
            shape, classes, features = known["shape"], known["classes"], known["features"]
            with torch.device("meta"):
                sketch = cls(shape, classes, features=features)
            expected = {name: Spec.of(tensor) for name, tensor in sketch.state_dict().items()}
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise CheckpointError(f"{path}.json is not a classifier's: {error!r}") from error
        weights = checkpoint.read_tensors(
            Path(f"{path}.safetensors"), expected, str(known.get("sha256"))
        )
        found = cls(shape, classes, features=features, name=f"Classifier {path.name}")
        found.load_state_dict(weights)
        return found


def shipped() -> list[str]:
    """Names of the classifiers that come with the package."""
    return sorted(path.stem for path in WEIGHTS.glob("*.json"))


@torch.no_grad()
def accuracy(classifier: nn.Module, data: Set, *, batch_size: int = 500) -> Score:
    """Share of a labelled set that a module from images to logits puts into its class.

    Args:
        classifier: module from images (B, C, H, W) to logits (B, K), on the set's device.
        data: labelled images.
        batch_size: images at a time.

    Raises:
        EvaluationError: a set without labels.

    >>> from probgen import data
    >>> float(accuracy(Classifier.load("digits"), data.digits()[1])) > 0.95
    True
    """
    if data.y is None:
        raise EvaluationError(f"expected labels; {data.name} has none")
    right = 0
    for start in range(0, len(data), batch_size):
        x, y = data.batch(slice(start, start + batch_size))
        right += int((classifier(x).argmax(1) == y).sum())
    return Score("accuracy", right / len(data), n=(len(data),), better="higher")


def _block(inputs: int, outputs: int) -> nn.Sequential:
    """Pooled first: normalisation and ReLU then see a quarter of the values."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )
