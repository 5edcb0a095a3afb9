"""From noise to data with a denoiser: ancestral sampling, DDIM, DPM-Solver++(2M).

Each goes along a path of log-SNRs from noise to data, one evaluation of the denoiser a step, and
knows neither the network nor the training. How its steps are spread over those of the training it
may say by an attribute ``spread``, ``even_in_time`` if it has none.
"""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from probgen.models.base import ModelError
from probgen.models.noise import posterior, step_scale

Denoise = Callable[[Tensor, Tensor], Tensor]
"""(x_t, log_snr of t, 0-d) -> estimate of x_0, shape as x_t."""
Sampler = Callable[[Denoise, Tensor, Tensor], Tensor]

LOWEST = -10.2


def ancestral(denoise: Denoise, path: Tensor, x: Tensor, *, variance: str = "posterior") -> Tensor:
    """Draws of the reverse process, x_s ~ q(x_s | x_t, x_0 = denoise(x_t)).

    Args:
        denoise: estimate of x_0 from x_t and its log-SNR.
        path: log-SNRs (steps + 1,), rising, the last infinite; fewer than in training take
            larger steps.
        x: x_T, standard normal.
        variance: "posterior", that of q(x_s | x_t, x_0), or "beta", that of q(x_t | x_s).

    Returns:
        Draws of x_0; the last step has no noise.

    Raises:
        ModelError: another variance.

    Source: Ho et al. 2020, algorithm 2.

    >>> path = torch.tensor([-9.0, 0.0, torch.inf])
    >>> ancestral(lambda x, log_snr: torch.ones_like(x), path, torch.randn(2))
    tensor([1., 1.])
    """
    if variance not in ("posterior", "beta"):
        raise ModelError(f"expected variance posterior, beta; got {variance!r}")
    for t, s in pairwise(path):
        mean, scale = posterior(x, denoise(x, t), t, s)
        if variance == "beta":
            scale = step_scale(t, s) * s.isfinite()
        x = mean + scale * torch.randn_like(x)
    return x


def ddim(denoise: Denoise, path: Tensor, x: Tensor, *, eta: float = 0.0) -> Tensor:
    """x_s = alpha_s x_0 + sqrt(sigma_s^2 - d^2) noise_t + d new noise, x_0 = denoise(x_t).

    d is eta times the deviation of q(x_s | x_t, x_0), noise_t = (x_t - alpha_t x_0) / sigma_t.

    Args:
        denoise: as for ``ancestral``.
        path: as for ``ancestral``.
        x: as for ``ancestral``.
        eta: 0 for a deterministic map of x, 1 for ancestral sampling.

    Raises:
        ModelError: eta not from 0 to 1.

    Source: Song et al. 2021, Denoising diffusion implicit models, equation 12.

    >>> path = torch.tensor([-9.0, 0.0, torch.inf])
    >>> ddim(lambda x, log_snr: torch.ones_like(x), path, torch.randn(2))
    tensor([1., 1.])
    """
    _check_eta(eta)
    for t, s in pairwise(path):
        x_0 = denoise(x, t)
        noise = (x - t.sigmoid().sqrt() * x_0) / (-t).sigmoid().sqrt()
        new = eta * posterior(x, x_0, t, s)[1]
        x = s.sigmoid().sqrt() * x_0 + ((-s).sigmoid() - new.square()).clamp(min=0).sqrt() * noise
        if eta:
            x = x + new * torch.randn_like(x)
    return x


def dpm_solver(denoise: Denoise, path: Tensor, x: Tensor, *, eta: float = 1.0) -> Tensor:
    """DPM-Solver++(2M), with noise or without: second order in steps of half the log-SNR.

    x_s = (sigma_s / sigma_t) exp(-eta h) x_t + alpha_s (1 - exp(-(1 + eta) h)) D
    + sigma_s sqrt(1 - exp(-2 eta h)) noise, D = (1 + 1 / 2r) x_0 - 1 / 2r x_0',
    h = (log_snr_s - log_snr_t) / 2, r = h' / h,

    where x_0' and h' are those of the step before. The first step and the last are of first order.

    Args:
        denoise: as for ``ancestral``.
        path: as for ``ancestral``.
        x: as for ``ancestral``.
        eta: 1 for SDE-DPM-Solver++, whose noise mends errors of a network; 0 for a deterministic
            map of x.

    Raises:
        ModelError: eta not from 0 to 1.

    Source: Lu et al. 2022, DPM-Solver++, algorithm 2, and its solver for the diffusion SDE.

    >>> path = torch.tensor([-9.0, 0.0, torch.inf])
    >>> dpm_solver(lambda x, log_snr: torch.ones_like(x), path, torch.randn(2))
    tensor([1., 1.])
    """
    _check_eta(eta)
    before: tuple[Tensor, Tensor] | None = None
    for t, s in pairwise(path):
        x_0, h = denoise(x, t), (s - t) / 2
        direction = x_0
        if before is not None and math.isfinite(h):
            earlier, h_before = before
            direction = x_0 + (x_0 - earlier) * h / (2 * h_before)
        fresh = eta * h if eta else torch.zeros_like(h)
        shrink = ((-s).sigmoid() / (-t).sigmoid()).sqrt() * torch.exp(-fresh)
        x = shrink * x - s.sigmoid().sqrt() * torch.expm1(-h - fresh) * direction
        if eta:
            x = x + ((-s).sigmoid() * -torch.expm1(-2 * fresh)).sqrt() * torch.randn_like(x)
        before = x_0, h
    return x


def guided(conditional: Tensor, unconditional: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance: unconditional + scale (conditional - unconditional).

    The same for estimates of x_0 and of the noise, which are affine in each other. ``scale`` is
    1 + w of the paper: 0 ignores the label, 1 takes the model as it is.

    Source: Ho & Salimans 2022, Classifier-free diffusion guidance, equation 6.

    >>> guided(torch.tensor(3.0), torch.tensor(1.0), 2.0)
    tensor(5.)
    """
    return unconditional + scale * (conditional - unconditional)


def even_in_time(log_snr: Tensor, steps: int) -> Tensor:
    """Indices (steps,) of t, falling from the last of log-SNRs (T,) to the first."""
    return torch.linspace(len(log_snr) - 1, 0, steps, device=log_snr.device).round().long()


def even_in_log_snr(log_snr: Tensor, steps: int) -> Tensor:
    """Indices (steps,) of t as ``even_in_time``, whose log-SNRs are as even as they can be.

    Those below -10.2, where x_t is noise, count as that; no index comes twice.

    Source: Lu et al. 2022, DPM-Solver, section 4.1, and its bound for cosine schedules.

    >>> even_in_log_snr(torch.linspace(8.0, -8.0, 9), 5)
    tensor([8, 6, 4, 2, 0])
    """
    least, most = max(LOWEST, log_snr[-1].item()), log_snr[0].item()
    wanted = torch.linspace(least, most, steps, device=log_snr.device)[1:, None]
    found = [len(log_snr) - 1]
    for i, nearest in enumerate((log_snr - wanted).abs().argmin(1).tolist()):
        found.append(max(steps - 2 - i, min(nearest, found[-1] - 1)))
    return torch.tensor(found, device=log_snr.device)


dpm_solver.spread = even_in_log_snr  # type: ignore[attr-defined]


def _check_eta(eta: float) -> None:
    if not 0 <= eta <= 1:
        raise ModelError(f"expected eta from 0 to 1; got {eta}")
