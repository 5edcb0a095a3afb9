"""The likelihood of data under a pair, and the terms it splits into."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pyro
import torch
from torch import Tensor

from probgen.data import Set
from probgen.objectives import ELBO, Pair, Terms


class EvaluationError(ValueError):
    """What cannot be evaluated, or only to a wrong number."""


def terms(
    pair: Pair, data: Set, *, batch_size: int = 500, num_particles: int = 1, seed: int = 0
) -> Terms:
    """The ELBO's terms of every datum of a set, on the CPU, in nats.

    ELBO = E_q log p(x | z) - KL(q(z | x) || p(z)), one row per datum

    Args:
        pair: model/guide pair; used in evaluation mode and left in the mode it was in.
        data: the set, moved to the pair's device.
        batch_size: rows at a time.
        num_particles: samples of the guide per datum.
        seed: of the samples; the caller's generators are left alone.

    Raises:
        EvaluationError: the pair has no plate over the data.
        DataError: the data are not of the pair's shape or outside its support.

    >>> from probgen import data, models, nets
    >>> train, test = data.digits()
    >>> vae = models.VAE(nets.dense_encoder(test.shape, 4), nets.dense_decoder(4, test.shape))
    >>> terms(vae, test).elbo.shape
    torch.Size([297])
    """
    if batch_size < 1:
        raise EvaluationError(f"expected batch_size >= 1; got {batch_size}")
    check(pair, data)
    objective = ELBO(num_particles=num_particles, data_size=len(data))
    data = data.to(device_of(pair))
    with at_rest(pair, seed):
        chunks = [
            objective.terms(
                pair.model, pair.guide, *arguments(pair, data, slice(i, i + batch_size))
            )
            for i in range(0, len(data), batch_size)
        ]
    if not chunks[0].log_likelihood.dim():
        raise EvaluationError("expected a pyro.plate over the data in the model; got none")
    return Terms.joined(chunks, lambda tensors: torch.cat(tensors).cpu(), scale=1.0)


def check(pair: Pair, data: Set) -> None:
    """Raise unless the data are of the shape and in the support that the pair states."""
    data.check(shape=getattr(pair, "shape", None), support=getattr(pair, "support", None))


def device_of(pair: Pair) -> torch.device:
    """Where the pair's parameters lie."""
    return _like(pair).device


def arguments(pair: Pair, data: Set, index: Tensor | slice) -> tuple[Tensor, ...]:
    """What the pair's programs are called with: x in the precision of its parameters, y if any."""
    x, y = data.batch(index)
    x = x.to(_like(pair).dtype)
    return (x,) if y is None else (x, y)


@contextmanager
def at_rest(pair: Pair, seed: int) -> Iterator[None]:
    """No gradients, evaluation mode, own generators and parameter store, no validation."""
    module: torch.nn.Module = pair  # type: ignore[assignment]
    modes = [(part, part.training) for part in module.modules()]
    device = device_of(pair)
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(torch.random.fork_rng([device] if device.type == "cuda" else []))
        stack.enter_context(pyro.get_param_store().scope())
        stack.enter_context(pyro.validation_enabled(False))
        stack.callback(_restore, modes)
        torch.manual_seed(seed)
        module.eval()
        yield


def _restore(modes: list[tuple[torch.nn.Module, bool]]) -> None:
    for module, training in modes:
        module.training = training


def _like(pair: Pair) -> Tensor:
    return next(pair.parameters(), torch.zeros(()))  # type: ignore[attr-defined]
