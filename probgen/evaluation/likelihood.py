"""The likelihood of data under a pair, and the terms it splits into."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pyro
import torch
from pyro.distributions import ImproperUniform
from torch import Tensor, distributions

from probgen.data import Set
from probgen.evaluation.elbo_surgery import Decomposition, Draw, split
from probgen.evaluation.interval import normal_interval
from probgen.evaluation.score import Direction, EvaluationError, Score
from probgen.models.pairs import (
    arguments,
    batches,
    check_data,
    check_pair,
    check_set,
    check_weights,
    device_of,
    evaluation_mode,
    labels_for,
    reconstructed,
    stated,
)
from probgen.objectives import (
    ELBO,
    Codec,
    Generative,
    ImportanceWeightedELBO,
    Pair,
    Terms,
    TotalCorrelationELBO,
)
from probgen.objectives.decomposition import sample_sites

BATCH_SIZE = 500
MET = 4
"""How often the draws of a set meet each step of a sum over time, at least on average."""
BETTER: Mapping[str, Direction] = {
    "ELBO": "higher",
    "log-likelihood": "higher",
    "bits per dimension": "lower",
    "sum of squares": "lower",
}
"""Which direction of the means of ``scores`` is better; the KL has none."""


def terms(
    pair: Pair,
    data: Set,
    *,
    batch_size: int = BATCH_SIZE,
    num_particles: int = 1,
    seed: int = 0,
    objective: ELBO | None = None,
) -> Terms:
    """The ELBO's terms of every datum of a set, on the CPU, in nats.

    ELBO = E_q log p(x | z) - KL(q(z | x) || p(z)), one row per datum

    Args:
        pair: model/guide pair; used in evaluation mode and left in the mode it was in.
        data: the set, moved to the pair's device.
        batch_size: rows at a time, at most; the batches are as even as can be.
        num_particles: samples of the guide per datum.
        seed: of the samples; the caller's generators are left alone.
        objective: whose terms to take, over these data, with its own ``num_particles``; the
            ELBO's if there is none.

    Raises:
        EvaluationError: the pair has no plate over the data.
        PairError: not a pair, weights that are not finite, or a seed that no generator takes.
        DataError: the data are not of the pair's shape or outside its support.

    >>> from probgen import data, models, nets
    >>> train, test = data.digits()
    >>> vae = models.VAE(nets.dense_encoder(test.shape, 4), nets.dense_decoder(4, test.shape))
    >>> terms(vae, test).elbo.shape
    torch.Size([297])
    """
    if batch_size < 1:
        raise EvaluationError(f"expected batch_size >= 1; got {batch_size}")
    check_pair(pair)
    check_weights(pair)
    check_data(pair, data)
    objective = (objective or ELBO(num_particles=num_particles)).over(len(data))
    data = data.to(device_of(pair))
    with evaluation_mode(pair, seed):
        chunks = [
            objective.terms(pair.model, pair.guide, *arguments(pair, data, rows))
            for rows in _even(len(data), batch_size)
        ]
    if not chunks[0].log_likelihood.dim():
        raise EvaluationError("expected a pyro.plate over the data in the model; got none")
    return Terms.joined(chunks, lambda tensors: torch.cat(tensors).cpu(), scale=1.0)


class ImportanceEstimate(NamedTuple):
    """log p(x) of every datum as estimated, and how many samples its weights are worth."""

    log_evidence: Tensor
    effective_sample_size: Tensor

    @classmethod
    def of(cls, log_weights: Tensor) -> "ImportanceEstimate":
        """Of log weights (K, B), in float64: log 1/K sum_i w_i, (sum_i w_i)^2 / sum_i w_i^2.

        Source: Burda et al. 2016, equation 8; Kong 1992.

        >>> ImportanceEstimate.of(torch.tensor([[-1000.0], [-1000.0]])).log_evidence
        tensor([-1000.], dtype=torch.float64)
        """
        log_weights = log_weights.double()
        total, squares = log_weights.logsumexp(0), (2 * log_weights).logsumexp(0)
        return cls(total - math.log(len(log_weights)), (2 * total - squares).exp())


def nll(
    pair: Pair,
    data: Set,
    *,
    num_particles: int = 1000,
    batch_size: int = 100,
    chunk: int = 50,
    levels: int | None = None,
    level: float | None = None,
    seed: int = 0,
) -> Score:
    """Negative log-likelihood of a set by importance sampling, mean per item, in nats.

    -log p(x) ~ -log 1/K sum_i p(x, z_i) / q(z_i | x),   z_1 ... z_K ~ q(z | x)

    An upper bound in expectation, which falls to -log p(x) as K grows. It is as good as the
    effective sample size tells: where that stays near 1, a single sample decides, and the bound
    is loose. A ``poutine.scale`` counts as a power of the density.

    Args:
        pair: model/guide pair with a plate over the data; left in the mode it was in.
        data: the set.
        num_particles: K, samples of the guide per item.
        batch_size: items at a time.
        chunk: of these samples at a time, in one more plate outside of all others; 1 for a pair
            whose programs cannot take one.
        levels: of data on an even grid from 0 to 1, to dequantise them for a pair that is a
            density: x becomes (x (levels - 1) + u) / levels with u uniform on [0, 1), and the
            bits are those of a cell of the grid. 256 for grey images.
        level: confidence of the interval, such as 0.95; from the standard error over the items.
        seed: of the samples and u.

    Returns:
        Score with details ``log_evidence`` (N,) and ``effective_sample_size`` (N,), float64 on
        the CPU, ``standard_error``, and ``bits_per_dimension``, which are those of a code only
        for discrete data or with ``levels``. The variant says so where p(x | z) is a Bernoulli
        of grey values and thus no likelihood.

    Raises:
        EvaluationError: num_particles, batch_size, chunk or levels too small; no plate over the
            data; data off the grid, or a Bernoulli for dequantised data; an item whose weights
            are all 0 or not numbers; a flat prior, under which there is no p(x).
        ObjectiveError: a latent outside the plate of the data, whose weights are not one per
            datum.
        DataError: as for ``terms``.

    >>> from probgen import data, models, nets
    >>> train, test = data.digits()
    >>> vae = models.VAE(nets.dense_encoder(test.shape, 4), nets.dense_decoder(4, test.shape),
    ...                  models.Gaussian())
    >>> nll(vae, test, num_particles=10).variant
    'importance sampling, num_particles = 10, no dequantisation'
    """
    sizes = {"num_particles": num_particles, "batch_size": batch_size, "chunk": chunk}
    _check_sizes(2 if levels is None else levels, **sizes)
    check_pair(pair)
    check_weights(pair)
    check_data(pair, data)
    data = data.to(device_of(pair))
    found, relaxed = [], False
    with evaluation_mode(pair, seed):
        with pyro.validation_enabled():
            samplers = _samplers(num_particles, chunk, _nesting(pair, data))
        for start in range(0, len(data), batch_size):
            x, *y = arguments(pair, data, slice(start, start + batch_size))
            relaxed = relaxed or _is_relaxed(pair, x, *y)
            x = x if levels is None else _dequantised(x, levels, start)
            draws = [sampler.log_weights(pair.model, pair.guide, x, *y) for sampler in samplers]
            found.append(_evidence(draws, start))
    evidence = ImportanceEstimate(*(torch.cat(parts).cpu() for parts in zip(*found, strict=True)))
    if relaxed and levels:
        raise EvaluationError("expected a density for dequantised data; got a Bernoulli")
    notes = [f"{levels} levels, uniform dequantisation" if levels else "no dequantisation"]
    notes += ["Bernoulli of grey values: no likelihood"] * relaxed
    value, error = _mean_and_error(-evidence.log_evidence).values()
    size = math.prod(data.shape) or 1
    bits = (value / size + math.log(levels or 1)) / math.log(2)
    return Score(
        "NLL",
        value,
        n=(len(data),),
        variant=", ".join([f"importance sampling, num_particles = {num_particles}", *notes]),
        unit="nats per item",
        better="lower",
        seed=seed,
        interval=normal_interval(value, error, level),
        level=level,
        details=evidence._asdict() | {"standard_error": error, "bits_per_dimension": bits},
    )


class Scores(NamedTuple):
    """Means over a set with their standard errors, how they were got, and the terms behind."""

    values: dict[str, dict[str, Any]]
    protocol: dict[str, Any]
    terms: Terms


def scores(
    pair: Pair | Generative,
    data: Set,
    *,
    part: str = "test",
    num_particles: int = 1,
    seed: int = 0,
) -> Scores:
    """ELBO, log-likelihood and KL in nats, and the squared error of reconstructions.

    For a pair that states the ``levels`` of its discrete data the ELBO is given in bits per value
    of a datum too. The sum of squares is that of x minus the mean of p(x | z) at the mean of
    q(z | x), for pairs with ``encode`` and ``decode``. A GAN has no density
    and none of these scores.

    A pair that states the ``steps`` of a sum over time takes one of them for a datum and sample.
    It gets more samples where the data are too few to meet each step about four times, without
    which the step of the log-likelihood, one in T, may be missing.

    Args:
        pair: as for ``terms``.
        data: as for ``terms``.
        part: what the protocol calls the data.
        num_particles: as for ``terms``; the protocol says how many were taken.
        seed: as for ``terms``.

    Raises:
        EvaluationError: as for ``terms``, or a score that is not finite, with its item.
        DataError: as for ``terms``.
    """
    check_set(data)
    said = stated(pair)
    if isinstance(pair, Pair) and said.steps is not None:
        num_particles = max(num_particles, math.ceil(MET * said.steps / len(data)))
    source = {"data": data.name, "data_sha256": data.digest()[:12], "part": part, "n": len(data)}
    protocol = source | {"num_particles": num_particles, "seed": seed, "per": "item"}
    if not isinstance(pair, Pair):
        return Scores({}, protocol, Terms(torch.zeros(0), {}, {}, {}, 1.0))
    found = terms(pair, data, num_particles=num_particles, seed=seed)
    named = {"ELBO": found.elbo, "log-likelihood": found.log_likelihood, "KL": found.total_kl}
    for name, each in named.items():
        _check_finite(name, each)
    values = {name: {**_mean_and_error(v), "unit": "nats"} for name, v in named.items()}
    if said.levels is not None:
        bits = -found.elbo / (math.prod(data.shape) or 1) / math.log(2)
        values["bits per dimension"] = {**_mean_and_error(bits), "unit": "bits"}
    if isinstance(pair, Codec):
        squares = _mean_and_error(_squares(pair, data, seed))
        values["sum of squares"] = {**squares, "unit": "squared values"}
    return Scores(values, protocol, found)


def decompose(
    pair: Pair,
    data: Set,
    *,
    points: int | None = None,
    batch_size: int = 500,
    num_particles: int = 1,
    seed: int = 0,
) -> Decomposition:
    """KL = MI + TC + DWKL over a whole set, by its aggregate posterior q(z), in nats per datum.

    MI = E log q(z | x) / q(z), TC = E log q(z) / prod_j q(z_j), DWKL = E log prod_j q(z_j) / p(z)

    with q(z) = 1/N sum_n q(z | x_n), all latents of a datum together. The parts add up to the KL
    of the samples, which is checked; ``residual`` is their distance from the exact KL. The cost is
    ``points`` times N times the number of dimensions. What is said of q(z) is said of these data:
    of a part of them (``data.take``), MI is at most the logarithm of that part's size. With a
    prior per class p(z) is p(z | y), and DWKL is no divergence: it may be below 0.

    Args:
        pair: as for ``terms``; q(z | x) factorises over dimensions, given x alone.
        data: as for ``terms``.
        points: data that the means are taken over, drawn by the seed; all unless given. The
            aggregate posterior is that of the whole set in any case.
        batch_size: rows at a time.
        num_particles: samples of the guide per datum.
        seed: as for ``terms``.

    Raises:
        EvaluationError: fewer than two data, or numbers of points that are not there.
        ObjectiveError: not one plate over the data, or a q(z | x) that does not factorise.
        DataError: as for ``terms``.

    Source: Hoffman & Johnson 2016, ELBO surgery; Chen et al. 2018, Isolating sources of
    disentanglement in VAEs, equation 2; Burda et al. 2016, section 5.2 (active units).

    >>> from probgen import data, models, nets
    >>> train, test = data.digits()
    >>> vae = models.VAE(nets.dense_encoder(test.shape, 4), nets.dense_decoder(4, test.shape))
    >>> found = decompose(vae, test)
    >>> parts = found.mutual_information, found.total_correlation, found.dimension_wise_kl
    >>> abs(sum(map(float, parts)) - float(found.kl) - found.residual) < 1e-6
    True
    """
    check_pair(pair)
    check_weights(pair)
    check_set(data)
    points = len(data) if points is None else points
    if not (2 <= points <= len(data) and batch_size >= 1):
        raise EvaluationError(
            f"expected 2 to {len(data)} points, all data, and batch_size >= 1; got {points} and "
            f"{batch_size}"
        )
    check_data(pair, data)
    objective = TotalCorrelationELBO(num_particles=num_particles, data_size=len(data))
    data, batches = data.to(device_of(pair)), []
    with evaluation_mode(pair, seed):
        chosen = torch.zeros(len(data), dtype=torch.bool)
        chosen[torch.randperm(len(data))[:points]] = True
        for start in range(0, len(data), batch_size):
            given = arguments(pair, data, slice(start, start + batch_size))
            traces = objective.traces(pair.model, pair.guide, *given)
            batches.append([Draw.of(*both) for both in traces])
        return split(batches, chosen, seed)


def _even(n: int, most: int) -> Iterator[slice]:
    """Slices of n rows, of ``most`` or fewer each, that differ by one row at most.

    >>> [*_even(5, 2)]
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    parts = -(-n // most)
    for i in range(parts):
        yield slice(-(-i * n // parts), -(-(i + 1) * n // parts))


def _check_sizes(levels: int, **sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise EvaluationError(f"expected {name} >= 1; got {size}")
    if levels < 2:
        raise EvaluationError(f"expected levels >= 2; got {levels}")


def _nesting(pair: Pair, data: Set) -> int:
    """The greatest number of nested plates, from traces of the first item."""
    ((model, guide),) = ELBO().traces(pair.model, pair.guide, *arguments(pair, data, slice(0, 1)))
    for site in sample_sites(model):
        if isinstance(site["fn"], ImproperUniform):
            raise EvaluationError(
                f"expected a prior over {site['name']!r}; it is flat, so that there is no p(x)"
            )
    stacks = [site["cond_indep_stack"] for trace in (model, guide) for site in sample_sites(trace)]
    dims = [frame.dim for stack in stacks for frame in stack if frame.vectorized]
    if not dims:
        raise EvaluationError("expected a pyro.plate over the data in the model; got none")
    return -min(dims)


def _samplers(num_particles: int, chunk: int, nesting: int) -> list[ImportanceWeightedELBO]:
    """One for each portion of the samples."""
    whole, rest = divmod(num_particles, chunk)
    sizes = [chunk] * whole + [rest] * (rest > 0)
    each = {n: ImportanceWeightedELBO(n, max_plate_nesting=nesting + 1) for n in {*sizes}}
    return [each[size] for size in sizes]


def _evidence(draws: list[Tensor], start: int) -> ImportanceEstimate:
    """From log weights (K, B), those of the items from ``start`` on."""
    found = ImportanceEstimate.of(torch.cat(draws).flatten(1))
    _check_finite("estimate of log p(x)", found.log_evidence, start)
    return found


def _check_finite(name: str, values: Tensor, start: int = 0) -> None:
    """Raise with the first item, counted from ``start``, whose value is NaN or infinite."""
    wrong = (~values.isfinite()).nonzero().flatten().tolist()
    if wrong:
        raise EvaluationError(
            f"the {name} is {values[wrong[0]].item()} for item {start + wrong[0]}: the pair gives "
            "it no finite density"
        )


def _is_relaxed(pair: Pair, x: Tensor, y: Tensor | None = None) -> bool:
    """Whether p(x | z) is a Bernoulli although values lie between 0 and 1."""
    if not isinstance(pair, Codec):
        return False
    labels = labels_for(pair, None if y is None else y[:1])
    each = pair.decode(pair.encode(x[:1], *labels).mean, *labels)
    while isinstance(each, distributions.Independent):
        each = each.base_dist
    return isinstance(each, distributions.Bernoulli) and bool(((x > 0) & (x < 1)).any())


def _dequantised(x: Tensor, levels: int, start: int) -> Tensor:
    """(x (levels - 1) + u) / levels of values on a grid 0, ..., 1."""
    steps = x * (levels - 1)
    wrong = ((steps - steps.round()).abs() > 1e-3) | (x < 0) | (x > 1)
    if wrong.any():
        item = int(wrong.flatten(1).any(1).nonzero()[0])
        value = x[item][wrong[item]][0].item()
        raise EvaluationError(
            f"expected values on a grid of {levels} levels from 0 to 1; got {value:g} in item "
            f"{start + item}"
        )
    return (steps.round() + torch.rand_like(x)) / levels


def _squares(pair: Codec, data: Set, seed: int) -> Tensor:
    with evaluation_mode(pair, seed):
        errors = [
            (x - reconstructed(pair, x, y)).square().flatten(1).sum(1).cpu()
            for x, y in batches(pair, data, BATCH_SIZE)
        ]
        return torch.cat(errors)


def _mean_and_error(values: Tensor) -> dict[str, float]:
    error = values.std(correction=min(1, len(values) - 1)) / len(values) ** 0.5
    return {"mean": values.mean().item(), "standard_error": error.item()}
