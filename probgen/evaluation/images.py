"""How much images differ from their reconstructions: MSE, PSNR, SSIM."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d

from probgen.evaluation.interval import normal_interval
from probgen.evaluation.score import Direction, EvaluationError, Score

WINDOW = 7
SIGMA = 1.5
RADIUS = 5
ROWS = 500


def mse(original: Tensor, reconstruction: Tensor, *, level: float | None = None) -> Score:
    """Mean squared error of images, the mean over pixels, channels and images.

    Args:
        original: images (B, C, H, W).
        reconstruction: images of the same shape.
        level: confidence of the interval, such as 0.95; from the standard error over images.

    Returns:
        Score with details ``per_image`` (B,), float64, and ``standard_error``.

    Raises:
        EvaluationError: unequal shapes, no images, bytes, NaN or infinite pixels.

    >>> float(mse(torch.zeros(2, 1, 8, 8), torch.full((2, 1, 8, 8), 0.5)))
    0.25
    """
    return _scored(
        "MSE", "mean over pixels", "lower", _squares, (original, reconstruction), level,
        "squared values",
    )  # fmt: skip


def psnr(
    original: Tensor, reconstruction: Tensor, *, peak: float = 1.0, level: float | None = None
) -> Score:
    """Peak signal-to-noise ratio, the mean over images.

    PSNR = 10 log10(peak^2 / MSE), infinite for equal images

    Args:
        original: images (B, C, H, W).
        reconstruction: images of the same shape.
        peak: range of the values.
        level: as for ``mse``.

    Returns:
        As for ``mse``.

    Raises:
        EvaluationError: as for ``mse``; peak not positive or exceeded; an interval where one is
            infinite.

    >>> round(float(psnr(torch.zeros(2, 1, 8, 8), torch.full((2, 1, 8, 8), 0.1))), 4)
    20.0
    """
    _check_peak(peak, original, reconstruction)

    def ratio(a: Tensor, b: Tensor) -> Tensor:
        return 10 * (peak**2 / _squares(a, b)).log10()

    return _scored(
        "PSNR", f"peak {peak:g}", "higher", ratio, (original, reconstruction), level, "dB"
    )


def ssim(
    original: Tensor,
    reconstruction: Tensor,
    *,
    gaussian: bool = False,
    peak: float = 1.0,
    level: float | None = None,
) -> Score:
    """Structural similarity, the mean over windows that lie inside the image, channels, images.

    SSIM = (2 mean_a mean_b + c_1) (2 cov_ab + c_2)
           / ((mean_a^2 + mean_b^2 + c_1) (var_a + var_b + c_2))

    with c_1 = (0.01 peak)^2, c_2 = (0.03 peak)^2, and variances of samples (n - 1) in even
    windows. Equal to scikit-image's ``structural_similarity(a, b, data_range=peak)``, or with
    ``gaussian_weights=True, use_sample_covariance=False``.

    Args:
        original: images (B, C, H, W).
        reconstruction: images of the same shape.
        gaussian: weight 11 x 11 windows by a Gaussian of sigma 1.5 in place of even 7 x 7 ones.
        peak: range of the values.
        level: as for ``mse``.

    Returns:
        As for ``mse``.

    Raises:
        EvaluationError: as for ``mse``; images smaller than the window; peak not positive
            or exceeded.

    Source: Wang et al. 2004, section III.

    >>> x = torch.rand(2, 3, 16, 16)
    >>> round(float(ssim(x, x)), 6)
    1.0
    """
    _check_peak(peak, original, reconstruction)
    side = 2 * RADIUS + 1 if gaussian else WINDOW
    if min(original.shape[-2:], default=0) < side:
        raise EvaluationError(
            f"expected images of {side} x {side} or more; got {tuple(original.shape)}"
        )
    window = _gaussian_mean if gaussian else _mean
    correction = 1.0 if gaussian else side**2 / (side**2 - 1)

    def similarity(a: Tensor, b: Tensor) -> Tensor:
        means = [window(v) for v in (a, b, a * a, b * b, a * b)]
        return _similarity(means, correction, peak).mean((1, 2, 3))

    name = f"Gaussian {side} x {side}" if gaussian else f"even {side} x {side}"
    return _scored(
        "SSIM", f"{name} windows, peak {peak:g}", "higher", similarity,
        (original, reconstruction), level,
    )  # fmt: skip


def _similarity(means: Sequence[Tensor], correction: float, peak: float) -> Tensor:
    """Of each window, from its means of a, b, a^2, b^2 and ab."""
    a, b, aa, bb, ab = means
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    products, squares = a * b, a * a + b * b
    covariance, variances = correction * (ab - products), correction * (aa + bb - squares)
    return (2 * products + c1) * (2 * covariance + c2) / ((squares + c1) * (variances + c2))


def _mean(x: Tensor) -> Tensor:
    return avg_pool2d(x, WINDOW, stride=1)


def _gaussian_mean(x: Tensor) -> Tensor:
    steps = torch.arange(-RADIUS, RADIUS + 1, dtype=x.dtype, device=x.device)
    line = (-0.5 * (steps / SIGMA) ** 2).softmax(0)
    each = x.flatten(0, 1).unsqueeze(1)
    blurred = conv2d(conv2d(each, line[None, None, None]), line[None, None, :, None])
    return blurred.squeeze(1).unflatten(0, x.shape[:2])


def _squares(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).square().mean((1, 2, 3))


@torch.no_grad()
def _scored(
    name: str,
    variant: str,
    better: Direction,
    measure: Callable[[Tensor, Tensor], Tensor],
    compared: tuple[Tensor, Tensor],
    level: float | None,
    unit: str = "",
) -> Score:
    """Mean over images of a measure of pairs of them, in float64, some at a time."""
    a, b = compared
    if a.shape != b.shape or a.dim() != 4 or not a.numel():
        raise EvaluationError(
            f"expected images (B, C, H, W) twice; got {tuple(a.shape)} and {tuple(b.shape)}"
        )
    for images in (a, b):
        if not images.is_floating_point():
            raise EvaluationError(f"expected floats; got {images.dtype}: divide bytes by 255")
        if not images.isfinite().all():
            item = int((~images.isfinite()).flatten(1).any(1).nonzero()[0])
            raise EvaluationError(f"expected finite pixels; got others in image {item}")
    pairs = zip(a.split(ROWS), b.split(ROWS), strict=True)
    each = torch.cat([measure(x.double(), y.double()).cpu() for x, y in pairs])
    value = each.mean().item()
    error = each.std(correction=min(1, len(each) - 1)).item() / math.sqrt(len(each))
    if level is not None and not math.isfinite(value):
        raise EvaluationError(f"a mean {name} of {value} has no interval")
    return Score(
        name,
        value,
        n=(len(a),),
        variant=variant,
        unit=unit,
        better=better,
        interval=normal_interval(value, error, level),
        level=level,
        details={"per_image": each, "standard_error": error},
    )


def _check_peak(peak: float, a: Tensor, b: Tensor) -> None:
    """Reconstructions may leave the range of the values somewhat, images may not."""
    if not 0 < peak < math.inf:
        raise EvaluationError(f"expected peak > 0, the range of the values; got {peak}")
    less, more = sorted(float(x.max() - x.min()) if x.numel() else 0.0 for x in (a, b))
    if less > peak or more > 2 * peak:
        raise EvaluationError(
            f"expected images whose values span {peak:g}, the peak; got {less:g} and {more:g}: "
            "give peak= their range"
        )
