"""What codes tell: neighbours, probes and principal components."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier

from probgen import data, models, nets
from probgen.evaluation import EvaluationError, latents
from probgen.report import pictures


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
        level=0.95,
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
