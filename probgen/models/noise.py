"""The forward process of diffusion: schedules, and the Gaussians that follow from the log-SNR.

x_t = alpha_t x_0 + sigma_t noise, alpha_t^2 + sigma_t^2 = 1, log_snr = log(alpha_t^2 / sigma_t^2)

Without noise the log-SNR is infinite; every function takes that too.
"""

import math

import torch
from torch import Tensor

from probgen.models.base import ModelError

GREATEST_BETA = 0.999


def cosine(steps: int, offset: float = 0.008) -> Tensor:
    """alpha_t^2 of the cosine schedule, t = 1 ... T, float64.

    alpha_t^2 = prod_i (1 - beta_i), beta_i = min(1 - f(i) / f(i - 1), 0.999),
    f(t) = cos^2((t / T + offset) / (1 + offset) pi / 2)

    Args:
        steps: T.
        offset: keeps the first steps from being too small.

    Raises:
        ModelError: fewer than one step.

    Source: Nichol & Dhariwal 2021, Improved denoising diffusion, equation 17.

    >>> cosine(4)
    tensor([8.4701e-01, 4.9384e-01, 1.4427e-01, 1.4427e-04], dtype=torch.float64)
    """
    t = torch.arange(_checked(steps) + 1, dtype=torch.float64) / steps
    f = ((t + offset) / (1 + offset) * math.pi / 2).cos().square()
    return _remaining(1 - f[1:] / f[:-1])


def linear(steps: int, first: float = 1e-4, last: float = 0.02) -> Tensor:
    """alpha_t^2 of the linear schedule, t = 1 ... T, float64.

    alpha_t^2 = prod_i (1 - beta_i), beta_i = min(1000 / T linspace(first, last), 0.999)

    Args:
        steps: T; other numbers than 1,000 take as much noise in all.
        first: beta_1 of 1,000 steps.
        last: beta_T of 1,000 steps.

    Raises:
        ModelError: fewer than one step.

    Source: Ho et al. 2020, Denoising diffusion probabilistic models, section 4; the factor for
    other T as in their and Nichol's code.

    >>> linear(1000)[[0, -1]]
    tensor([9.9990e-01, 4.0358e-05], dtype=torch.float64)
    """
    betas = torch.linspace(first, last, _checked(steps), dtype=torch.float64)
    return _remaining(1000 / steps * betas)


def marginal(x_0: Tensor, log_snr: Tensor) -> tuple[Tensor, Tensor]:
    """Mean alpha_t x_0 and deviation sigma_t of q(x_t | x_0).

    Source: Ho et al. 2020, equation 4.
    """
    return log_snr.sigmoid().sqrt() * x_0, (-log_snr).sigmoid().sqrt()


def posterior(
    x_t: Tensor, x_0: Tensor, log_snr: Tensor, less_noise: Tensor
) -> tuple[Tensor, Tensor]:
    """Mean and deviation of q(x_s | x_t, x_0), s before t.

    mean = alpha_s ((1 - c) x_t / alpha_t + c x_0), variance = sigma_s^2 c, c = 1 - SNR_t / SNR_s

    Args:
        x_t: the noisy data.
        x_0: the data.
        log_snr: of t.
        less_noise: log-SNR of s; infinite for s = 0.

    Source: Ho et al. 2020, equation 7, as Kingma et al. 2021, Variational diffusion models,
    equation 33 write it.

    >>> posterior(torch.ones(()), torch.zeros(()), torch.zeros(()), torch.tensor(torch.inf))
    (tensor(0.), tensor(0.))
    """
    ratio, known = (log_snr - less_noise).exp(), share(log_snr, less_noise)
    mean = less_noise.sigmoid().sqrt() * (ratio / log_snr.sigmoid().sqrt() * x_t + known * x_0)
    return mean, ((-less_noise).sigmoid() * known).sqrt()


def share(log_snr: Tensor, less_noise: Tensor) -> Tensor:
    """What q(x_s | x_t, x_0) takes of x_0: c = 1 - SNR_t / SNR_s."""
    return -torch.expm1(log_snr - less_noise)


def step_scale(log_snr: Tensor, less_noise: Tensor) -> Tensor:
    """Deviation sqrt(beta) of q(x_t | x_s): beta = 1 - alpha_t^2 / alpha_s^2."""
    kept = torch.nn.functional.logsigmoid
    return (-torch.expm1(kept(log_snr) - kept(less_noise))).sqrt()


def _checked(steps: int) -> int:
    if not (isinstance(steps, int) and steps >= 1):
        raise ModelError(f"expected steps, a whole number >= 1; got {steps!r}")
    return steps


def _remaining(betas: Tensor) -> Tensor:
    return (1 - betas.clamp(max=GREATEST_BETA)).cumprod(0)
