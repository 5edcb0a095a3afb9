"""Scores of codes, of reconstructed images, and of conditional samples."""

import math

import numpy as np
import pytest
import torch
from shared_data import vectors
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from torch import nn

from probgen import data, models, nets
from probgen.evaluation import EvaluationError, controllability, images, latents
from probgen.models.pairs import PairError
from probgen.report import pictures


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
    score = images.mse(x, y, interval=0.95)
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
        (images.psnr, (2, 1, 8, 8), (2, 1, 8, 8), {"interval": 0.9}, "of inf has no interval"),
        (images.mse, (2, 1, 8, 8), (2, 1, 8, 8), {"interval": 1.0}, "expected interval"),
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


@pytest.fixture(scope="module")
def digits():
    train, test = data.digits()
    return [(part.x.flatten(1).numpy() / 255, part.y) for part in (train, test)]


@pytest.mark.parametrize("weights", ["uniform", "distance"])
@pytest.mark.parametrize("k", [1, 4, 9])
def test_neighbours_vote_as_in_scikit_learn(digits, k, weights):
    (x, y), (test_x, test_y) = digits
    x, y = np.concatenate([x[:400], test_x[:50]]), np.concatenate([y[:400], test_y[:50]])
    score = latents.knn((x, y), (test_x, test_y), neighbours=[k], weights=[weights])
    model = KNeighborsClassifier(k, weights=weights).fit(x, y)
    expected = model.predict(test_x)
    assert float(score) == pytest.approx((expected == test_y.numpy()).mean(), abs=1e-12)
    assert (score.details["confusion"] == confusion_matrix(test_y, expected)).all()


def test_the_best_neighbours_are_those_of_a_grid_search(digits):
    (x, y), test = digits
    x, y = x[:600], y[:600]
    score = latents.knn((x, y), test, neighbours=[1, 3, 20], seed=3)
    folds = StratifiedKFold(3, shuffle=True, random_state=3)
    grid = {"n_neighbors": [1, 3, 20], "weights": ["uniform", "distance"]}
    found = GridSearchCV(KNeighborsClassifier(), grid, cv=folds).fit(x, y)
    chosen = score.details["chosen"]
    assert (chosen["k"], chosen["weights"]) == tuple(found.best_params_.values())
    by_grid = dict(zip(
        [(p["n_neighbors"], p["weights"]) for p in found.cv_results_["params"]],
        found.cv_results_["mean_test_score"], strict=True,
    ))  # fmt: skip
    assert score.details["validation"] == pytest.approx(by_grid, abs=1e-9)


@pytest.mark.parametrize("probe", [latents.knn, latents.linear_probe])
def test_what_a_probe_tells(digits, probe):
    train, test = digits
    score = probe(
        train,
        test,
        interval=0.95,
        **({"neighbours": [3]} if probe is latents.knn else {"strengths": [0.1]}),
    )
    details = score.details
    assert float(score) > 0.9
    assert score.n == (1500, 297)
    assert details["confusion"].sum() == 297
    assert np.trace(details["confusion"]) / 297 == pytest.approx(float(score))
    recall = np.diag(details["confusion"]) / details["confusion"].sum(1)
    np.testing.assert_allclose(details["recall"], recall)
    assert details["macro_f1"] == pytest.approx(details["f1"].mean())
    assert details["support"].sum() == 297
    assert min(details["fit_seconds"], details["predict_seconds"], details["search_seconds"]) > 0
    assert score.interval[0] < float(score) < score.interval[1]


def test_labels_keep_their_values(digits):
    (x, y), (test_x, test_y) = digits
    plain = latents.knn((x, y), (test_x, test_y), neighbours=[3], weights=["uniform"])
    named = latents.knn(
        (x, 10 * y - 7), (test_x, 10 * test_y - 7), neighbours=[3], weights=["uniform"]
    )
    assert float(plain) == float(named)
    assert named.details["classes"].tolist() == list(range(-7, 93, 10))


def test_the_test_set_chooses_nothing(digits):
    train, (x, y) = digits
    scores = [
        latents.linear_probe(train, (x, labels), strengths=[0.01, 1.0])
        for labels in (y, y.flip(0))
    ]
    assert scores[0].details["validation"] == scores[1].details["validation"]


def test_principal_components_are_those_of_the_training_codes(digits):
    (x, _), (test_x, _) = digits
    found = latents.pca(x, test_x, 10)
    assert found.train.shape == (1500, 10)
    assert (np.diff(found.explained) <= 0).all()
    np.testing.assert_allclose(found.train.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(
        found.train.var(0, ddof=1).sum() / x.var(0, ddof=1).sum(), found.explained.sum(), rtol=1e-5
    )
    one = latents.pca(x, test_x[:1], 10).test
    np.testing.assert_allclose(np.abs(one), np.abs(found.test[:1]), atol=1e-6)
    assert latents.pca(x, test_x, 0.9).explained.sum() >= 0.9


def test_the_posterior_is_what_the_encoder_gives():
    _, test = data.digits()
    torch.manual_seed(0)
    vae = models.VAE(nets.dense_encoder(test.shape, 3), nets.dense_decoder(3, test.shape))
    found = latents.posterior(vae, test, batch_size=100)
    q = vae.encode(test.batch(slice(None))[0])
    torch.testing.assert_close(found.loc, q.mean.detach())
    torch.testing.assert_close(found.log_scale.exp(), q.stddev.detach())
    torch.testing.assert_close(pictures.codes(vae, test), found.loc)


X, Y = [[0.0], [0.1], [1.0], [1.1]], [0, 0, 1, 1]


@pytest.mark.parametrize("probe", [latents.knn, latents.linear_probe])
@pytest.mark.parametrize(
    ("train", "test", "settings", "message"),
    [
        (([0.0, 1.0], [0, 1]), (X, Y), {}, r"train codes \(N, d\)"),
        ((X, Y), ([[0.0, 1.0]], [0]), {}, "test codes of width 1"),
        (([[math.nan], *X[1:]], Y), (X, Y), {}, "finite train codes; got .* in row 0"),
        ((X, Y[:3]), (X, Y), {}, r"labels: integers \(4,\)"),
        ((X, [0.0, 0.0, 1.0, 1.0]), (X, Y), {}, "labels: integers .*float64"),
        ((X, [1, 1, 1, 1]), (X, Y), {}, "at least two classes"),
        ((X, Y), (X, Y), {"folds": 1}, "expected folds >= 2"),
        ((X, Y), (X, Y), {"folds": 3}, r"3 folds and \[2, 2\] items"),
        ((X, Y), (X, Y), {"folds": 2, "seed": -1}, "expected seed"),
    ],
)
def test_bad_codes(probe, train, test, settings, message):
    with pytest.raises(EvaluationError, match=message):
        probe(train, test, **settings)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: latents.knn((X, Y), (X, Y), folds=2, neighbours=[0]), "expected k from 1 to 2"),
        (
            lambda: latents.knn((X, Y), (X, Y), folds=2, neighbours=[3]),
            r"which every fold holds; got \[3\]",
        ),
        (
            lambda: latents.knn((X, Y), (X, Y), folds=2, neighbours=[1], weights=["near"]),
            "uniform or distance",
        ),
        (
            lambda: latents.linear_probe((X, Y), (X, Y), folds=2, strengths=[0.0]),
            "strengths C > 0",
        ),
        (lambda: latents.pca(X, X, 2), "components from 1 to 1, or a share"),
        (lambda: latents.pca(X, [[0.0, 1.0]], 1), "width 1"),
    ],
)
def test_bad_choices(call, message):
    with pytest.raises(EvaluationError, match=message):
        call()


class Painter(nn.Module):
    """Draws the pixel of its class with noise; ``wrong`` of the time another's."""

    def __init__(self, classes=4, noise=0.1, wrong=0.0):
        super().__init__()
        self.place = nn.Parameter(torch.eye(classes))
        self.noise, self.wrong = noise, wrong

    def sample(self, n, y):
        asked = torch.where(torch.rand(n) < self.wrong, (y + 1) % len(self.place), y)
        flat = self.place[asked] + self.noise * torch.randn(n, len(self.place))
        return flat.reshape(n, 1, 2, -1)


class Judge(nn.Module):
    name, sha256 = "Judge", "0123456789abcdef"

    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout(0.9)

    def forward(self, x):
        return self.drop(x.flatten(1))


def real(noise=0.2, n=400):
    torch.manual_seed(1)
    y = torch.arange(n) % 4
    x = torch.eye(4)[y] + noise * torch.randn(n, 4)
    return data.arrays(x.reshape(n, 1, 2, 2), y)


def test_controllability_counts_what_was_asked_for():
    judge = Judge().train()
    score = controllability.score(Painter(wrong=0.25), judge, n=2002, real=real(), interval=0.95)
    assert score.interval[0] < 0.75 < score.interval[1]
    assert score.details["confusion"].sum(1).tolist() == [501, 501, 500, 500]
    wrong = np.diag(score.details["confusion"][:, [1, 2, 3, 0]])
    assert (wrong + np.diag(score.details["confusion"]) == [501, 501, 500, 500]).all()
    assert score.details["accuracy"].mean() == pytest.approx(float(score))
    assert score.details["ceiling"] > 0.98
    assert score.details["ceiling_confusion"].sum(1).tolist() == [100] * 4
    assert score.extractor == "Judge 0123456789ab"
    assert judge.training


def test_diversity_is_that_of_the_real_images():
    half = controllability.score(Painter(noise=0.1), Judge(), n=4000, real=real(0.2, 4000))
    np.testing.assert_allclose(half.details["diversity"], 0.5, atol=0.03)
    np.testing.assert_allclose(half.details["spread"], 0.1 * math.sqrt(8), rtol=0.05)
    alike = controllability.score(Painter(noise=0.0), Judge(), n=40, real=real())
    assert float(alike) == 1
    assert (alike.details["diversity"] == 0).all()


def test_the_spread_is_the_mean_over_all_pairs():
    torch.manual_seed(0)
    x = torch.randn(30, 1, 2, 2)
    seen = controllability._Seen.of(lambda x: x.flatten(1), x.split(7), 4)
    pairs = torch.pdist(x.flatten(1).double())
    assert seen.spread == pytest.approx(pairs.square().mean().sqrt().item())


def test_controllability_is_reproducible():
    scores = [controllability.score(Painter(wrong=0.5), Judge(), n=100, seed=s) for s in (1, 1, 2)]
    assert (scores[0].details["confusion"] == scores[1].details["confusion"]).all()
    assert (scores[0].details["confusion"] != scores[2].details["confusion"]).any()
    assert "ceiling" not in scores[0].details


def test_a_model_that_does_not_listen_is_at_chance():
    class Deaf(Painter):
        def sample(self, n, y):
            return super().sample(n, torch.randint(4, (n,)))

    assert float(controllability.score(Deaf(), Judge(), n=4000)) == pytest.approx(0.25, abs=0.04)


@pytest.mark.parametrize(
    ("pair", "classifier", "settings", "message"),
    [
        (Painter(), Judge(), {"n": 7}, "expected n >= 2 for each of 4 classes"),
        (Painter(), Judge(), {"batch_size": 0}, "batch_size >= 1; got 5000 and 0"),
        (Painter(), Judge(), {"interval": 0.0}, "expected interval"),
        (Painter(), lambda x: x.flatten(1).sum(1), {}, r"expected class scores \(1, at least 2\)"),
        (Painter(), lambda x: x.flatten(1) * math.nan, {}, "with nan"),
        (Painter(noise=math.inf), Judge(), {}, "samples of finite pixels for class 0"),
        (Painter(), Judge(), {"real": data.arrays(torch.zeros(4, 1, 2, 2))}, "has no labels"),
        (
            Painter(),
            Judge(),
            {"real": data.arrays(torch.zeros(4, 1, 2, 2), [0, 1, 2, 9])},
            "labels below 4",
        ),
    ],
)
def test_bad_conditions(pair, classifier, settings, message):
    with pytest.raises(EvaluationError, match=message):
        controllability.score(pair, classifier, **settings)


def test_samples_of_a_seed_that_no_generator_takes_are_refused():
    with pytest.raises(PairError, match="expected seed"):
        controllability.score(Painter(), Judge(), seed=-1)
