"""Training of the classifier that the evaluators take features from."""

import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from probgen.data import Set
from probgen.evaluation.features import Classifier
from probgen.models import pairs
from probgen.run import progress
from probgen.training.settings import TrainingError


class ClassificationError(TrainingError):
    """Data or settings that no classifier can be trained with."""


def fit_classifier(
    data: Set,
    *,
    epochs: int = 12,
    batch_size: int = 128,
    lr: float = 4e-3,
    weight_decay: float = 0.02,
    smoothing: float = 0.05,
    seed: int = 0,
    show: bool | None = None,
    **settings: Any,
) -> Classifier:
    """Train a classifier of labelled images; deterministic for a seed.

    AdamW under a one-cycle schedule, cross-entropy with smoothed labels.

    Args:
        data: labelled images; training happens where they are: ``train.to("cuda")``.
        epochs: passes over the data.
        batch_size: images per update; what does not fill a batch is left for the next epoch.
        lr: greatest learning rate of the schedule.
        weight_decay: as for ``torch.optim.AdamW``.
        smoothing: share of each label spread over all classes.
        seed: of the weights, batches and dropout, from 0 to 2^48 - 1.
        show: a progress bar; None for a line every 30 seconds where there is no terminal.
        settings: others of ``Classifier``: features, dropout, name.

    Returns:
        The classifier, in evaluation mode.

    Raises:
        ClassificationError: no labels, fewer than two classes, settings that cannot work, or a
            loss that is not finite.

    >>> from probgen import data
    >>> train, _ = data.digits()
    >>> fit_classifier(train, epochs=1).classes
    10
    """
    steps = _steps(data, epochs, batch_size)
    _check(lr, weight_decay, smoothing, seed)
    device = data.x.device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        classes = len(data.classes) or int(data.y.max()) + 1  # type: ignore[union-attr]
        net = Classifier(data.shape, classes, **settings).to(device).train()
        optimizer = torch.optim.AdamW(
            net.parameters(), lr=lr, weight_decay=weight_decay, fused=True
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps * epochs)
        with progress.bar(f"classifier of {data.name}", epochs, show) as advance:
            for epoch in range(epochs):
                loss = _epoch(net, data, optimizer, schedule, batch_size, smoothing)
                advance(epoch + 1, {"loss": loss})
    return net.eval()


def _epoch(
    net: nn.Module,
    data: Set,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    batch_size: int,
    smoothing: float,
) -> float:
    """One pass; the mean loss."""
    order = torch.randperm(len(data)).to(data.x.device)
    batches = order[: len(data) // batch_size * batch_size].split(batch_size)
    total = torch.zeros((), device=data.x.device)
    for index in batches:
        x, y = pairs.batch(net, data, index)
        loss = functional.cross_entropy(net(x), y, label_smoothing=smoothing)  # type: ignore[arg-type]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        total += loss.detach()
    mean = total.item() / len(batches)
    if not math.isfinite(mean):
        raise ClassificationError(f"the loss is {mean}: expected finite; try a smaller lr")
    return mean


def _check(lr: float, weight_decay: float, smoothing: float, seed: int) -> None:
    try:
        pairs.check_seed(seed)
    except pairs.PairError as error:
        raise ClassificationError(str(error)) from error
    if not (0 < lr < math.inf and 0 <= smoothing < 1 and weight_decay >= 0):
        raise ClassificationError(
            f"expected lr > 0, smoothing in [0, 1) and weight_decay >= 0; got {lr}, {smoothing} "
            f"and {weight_decay}"
        )


def _steps(data: Set, epochs: int, batch_size: int) -> int:
    """Updates in an epoch."""
    if not isinstance(data, Set):
        raise ClassificationError(
            f"expected one data.Set, such as train; got {type(data).__name__}"
        )
    if data.y is None or len(data.y.unique()) < 2:
        raise ClassificationError(f"expected labels of two classes or more in {data.name}")
    whole = isinstance(epochs, int) and isinstance(batch_size, int)
    if not whole or epochs < 1 or not 2 <= batch_size <= len(data):
        raise ClassificationError(
            f"expected epochs >= 1 and batch_size from 2 to {len(data)}, whole numbers; got "
            f"{epochs} and {batch_size}"
        )
    return len(data) // batch_size
