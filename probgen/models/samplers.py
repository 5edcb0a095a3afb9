"""From noise to data with a denoiser: ancestral sampling, DDIM, DPM-Solver++(2M).

Each goes along a path of log-SNRs from noise to data, one evaluation of the denoiser a step, and
knows neither the network nor the training.
"""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from probgen.models.noise import posterior, step_scale
from probgen.models.vae import ModelError

Denoise = Callable[[Tensor, Tensor], Tensor]
"""(x_t, log_snr of t, 0-d) -> estimate of x_0, shape as x_t."""
Sampler = Callable[[Denoise, Tensor, Tensor], Tensor]


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
    """
    if not 0 <= eta <= 1:
        raise ModelError(f"expected eta from 0 to 1; got {eta}")
    for t, s in pairwise(path):
        x_0 = denoise(x, t)
        noise = (x - t.sigmoid().sqrt() * x_0) / (-t).sigmoid().sqrt()
        new = eta * posterior(x, x_0, t, s)[1]
        x = s.sigmoid().sqrt() * x_0 + ((-s).sigmoid() - new.square()).clamp(min=0).sqrt() * noise
        if eta:
            x = x + new * torch.randn_like(x)
    return x


def dpm_solver(denoise: Denoise, path: Tensor, x: Tensor) -> Tensor:
    """DPM-Solver++(2M): second order in steps of half the log-SNR, deterministic.

    x_s = (sigma_s / sigma_t) x_t - alpha_s (exp(-h) - 1) D,
    D = (1 + 1 / 2r) x_0 - 1 / 2r x_0', h = (log_snr_s - log_snr_t) / 2, r = h' / h,

    where x_0' and h' are those of the step before. The first step and the last are of first order.

    Args:
        denoise: as for ``ancestral``.
        path: as for ``ancestral``.
        x: as for ``ancestral``.

    Source: Lu et al. 2022, DPM-Solver++, algorithm 2.
    """
    before: tuple[Tensor, Tensor] | None = None
    for t, s in pairwise(path):
        x_0, h = denoise(x, t), (s - t) / 2
        direction = x_0
        if before is not None and math.isfinite(h):
            earlier, h_before = before
            direction = x_0 + (x_0 - earlier) * h / (2 * h_before)
        shrink = ((-s).sigmoid() / (-t).sigmoid()).sqrt()
        x = shrink * x - s.sigmoid().sqrt() * torch.expm1(-h) * direction
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
