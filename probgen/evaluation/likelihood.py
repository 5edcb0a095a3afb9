"""The likelihood of data under a pair, and the terms it splits into."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import pyro
import torch
from torch import Tensor

from probgen.data import Set
from probgen.evaluation.score import EvaluationError
from probgen.objectives import ELBO, Pair, Terms

LARGEST_SEED = 2**48


def terms(
    pair: Pair,
    data: Set,
    *,
    batch_size: int = 500,
    num_particles: int = 1,
    seed: int = 0,
    objective: ELBO | None = None,
) -> Terms:
    """The ELBO's terms of every datum of a set, on the CPU, in nats.

    ELBO = E_q log p(x | z) - KL(q(z | x) || p(z)), one row per datum

    Args:
        pair: model/guide pair; used in evaluation mode and left in the mode it was in.
        data: the set, moved to the pair's device.
        batch_size: rows at a time.
        num_particles: samples of the guide per datum.
        seed: of the samples; the caller's generators are left alone.
        objective: whose terms to take, over these data, with its own number of particles; the
            ELBO's if there is none.

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
    objective = (objective or ELBO(num_particles=num_particles)).over(len(data))
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


class Scores(NamedTuple):
    """Means over a set with their standard errors, how they were got, and the terms behind."""

    values: dict[str, dict[str, Any]]
    protocol: dict[str, Any]
    terms: Terms


def scores(
    pair: Pair, data: Set, *, part: str = "test", num_particles: int = 1, seed: int = 0
) -> Scores:
    """ELBO, log-likelihood and KL in nats, and the squared error of reconstructions.

    The sum of squares is that of x minus the mean of p(x | z) at the mean of q(z | x), for pairs
    with ``encode`` and ``decode``.

    Args:
        pair: as for ``terms``.
        data: as for ``terms``.
        part: what the protocol calls the data.
        num_particles: as for ``terms``.
        seed: as for ``terms``.
    """
    found = terms(pair, data, num_particles=num_particles, seed=seed)
    named = {"ELBO": found.elbo, "log-likelihood": found.log_likelihood, "KL": found.total_kl}
    values = {name: {**_mean_and_error(v), "unit": "nats"} for name, v in named.items()}
    if hasattr(pair, "encode") and hasattr(pair, "decode"):
        squares = _mean_and_error(_squares(pair, data, seed))
        values["sum of squares"] = {**squares, "unit": "squared values"}
    protocol = {"data": data.name, "part": part, "n": len(data), "particles": num_particles}
    return Scores(values, protocol | {"seed": seed, "per": "item"}, found)


def reconstructed(pair: Any, x: Tensor) -> Tensor:
    """Mean of p(x | z) at the mean of q(z | x), shape as ``x``."""
    return pair.decode(pair.encode(x).mean).mean


def check_seed(seed: int) -> None:
    """Raise unless every generator takes the seed."""
    if not (isinstance(seed, int) and 0 <= seed < LARGEST_SEED):
        raise EvaluationError(f"expected seed from 0 to 2^48 - 1; got {seed!r}")


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
    check_seed(seed)
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


def _squares(pair: Pair, data: Set, seed: int, batch_size: int = 500) -> Tensor:
    data = data.to(device_of(pair))
    with at_rest(pair, seed):
        errors = []
        for start in range(0, len(data), batch_size):
            x, _ = data.batch(slice(start, start + batch_size))
            errors.append((x - reconstructed(pair, x)).square().flatten(1).sum(1).cpu())
        return torch.cat(errors)


def _mean_and_error(values: Tensor) -> dict[str, float]:
    error = values.std(correction=min(1, len(values) - 1)) / len(values) ** 0.5
    return {"mean": values.mean().item(), "standard_error": error.item()}


def _restore(modes: list[tuple[torch.nn.Module, bool]]) -> None:
    for module, training in modes:
        module.training = training


def _like(pair: Pair) -> Tensor:
    return next(pair.parameters(), torch.zeros(()))  # type: ignore[attr-defined]
