"""Scores of reconstructed images against reference values."""

import math

import numpy as np
import pytest
import torch
from shared_data import vectors

from probgen.evaluation import EvaluationError, images


def test_image_scores_are_the_reference():
    given, expected = vectors("ssim")
    a, b = given["a"], given["b"]
    for score, name in (
        (images.mse(a, b), "mse"),
        (images.ssim(a, b), "skimage_default_uniform7"),
        (images.ssim(a, b, gaussian=True), "skimage_gaussian"),
    ):
        np.testing.assert_allclose(score.details["per_image"], expected[name], rtol=0, atol=1e-8)
        assert float(score) == pytest.approx(np.mean(expected[name]), abs=1e-8)
    psnr = images.psnr(a, b).details["per_image"]
    np.testing.assert_allclose(psnr, -10 * np.log10(expected["mse"]), atol=1e-8)
    found = images.ssim(a, b).details["per_image"] - torch.tensor(expected["torchmetrics"])
    assert found.abs().min() > 1e-4  # another window


@pytest.mark.parametrize("gaussian", [False, True])
def test_ssim_knows_equal_opposite_and_channels(gaussian):
    x = torch.rand(3, 2, 16, 12, dtype=torch.float64)
    assert float(images.ssim(x, x, gaussian=gaussian)) == pytest.approx(1)
    assert float(images.ssim(x, 1 - x, gaussian=gaussian)) < 0
    y = (x + 0.1 * torch.rand_like(x)).clamp(0, 1)
    apart = [images.ssim(x[:, [c]], y[:, [c]], gaussian=gaussian).value for c in range(2)]
    assert float(images.ssim(x, y, gaussian=gaussian)) == pytest.approx(np.mean(apart))
    scaled = images.ssim(255 * x, 255 * y, gaussian=gaussian, peak=255)
    assert float(scaled) == pytest.approx(float(images.ssim(x, y, gaussian=gaussian)))


def test_image_scores_have_intervals_and_states():
    x, y = torch.rand(700, 1, 8, 8), torch.rand(700, 1, 8, 8)
    score = images.mse(x, y, level=0.95)
    assert score.interval[0] < float(score) < score.interval[1]
    assert score.interval[0] < 1 / 6 < score.interval[1]
    assert score.n == (700,)
    assert math.isinf(images.psnr(x, x))


@pytest.mark.parametrize(
    ("measure", "a", "b", "settings", "message"),
    [
        (images.mse, (2, 1, 8, 8), (2, 1, 8, 9), {}, r"twice; got \(2, 1, 8, 8\) and"),
        (images.mse, (1, 8, 8), (1, 8, 8), {}, "twice; got"),
        (images.mse, (0, 1, 8, 8), (0, 1, 8, 8), {}, "twice; got"),
        (images.ssim, (2, 1, 6, 8), (2, 1, 6, 8), {}, "images of 7 x 7 or more"),
        (images.ssim, (2, 1, 8, 8), (2, 1, 8, 8), {"gaussian": True}, "of 11 x 11 or more"),
        (images.ssim, (2, 1, 8, 8), (2, 1, 8, 8), {"peak": 0}, "expected peak > 0"),
        (images.psnr, (2, 1, 8, 8), (2, 1, 8, 8), {"peak": math.nan}, "expected peak > 0"),
        (images.psnr, (2, 1, 8, 8), (2, 1, 8, 8), {"level": 0.9}, "of inf has no interval"),
        (images.mse, (2, 1, 8, 8), (2, 1, 8, 8), {"level": 1.0}, "expected level"),
    ],
)
def test_bad_images(measure, a, b, settings, message):
    with pytest.raises(EvaluationError, match=message):
        measure(torch.zeros(a), torch.zeros(b), **settings)


@pytest.mark.parametrize("measure", [images.psnr, images.ssim])
def test_values_beyond_the_peak_are_no_images_of_it(measure):
    x, y = torch.rand(2, 2, 1, 8, 8)
    measure(x, 1.2 * y - 0.1)
    for a, b in ((x, 255 * y), (2 * x - 1, 2 * y - 1)):
        with pytest.raises(EvaluationError, match="give peak= their range"):
            measure(a, b)


def test_pixels_that_are_no_numbers():
    x = torch.zeros(3, 1, 8, 8)
    y = x.clone()
    y[2, 0, 3, 3] = math.nan
    with pytest.raises(EvaluationError, match="finite pixels; got others in image 2"):
        images.mse(x, y)
    with pytest.raises(EvaluationError, match="divide bytes by 255"):
        images.psnr((255 * x).byte(), x)
