"""Votes and classifiers over fixed factors: FactorVAE's and beta-VAE's scores."""

import numpy as np
import pytest
from codes import SCORES, SMALL, close, table
from shared_data import vectors

from probgen.evaluation import EvaluationError, disentanglement
from probgen.evaluation.disentanglement import interventions


@pytest.mark.parametrize("threshold", ["0.0", "0.05"])
def test_votes_of_factor_vae_are_the_reference(threshold):
    given, expected = vectors(f"factor_vae_thr{threshold}")
    given = {name: values.numpy() for name, values in given.items()}
    batches = np.concatenate([given["batches_train"], given["batches_eval"]])
    factor = np.concatenate([given["factor_train"], given["factor_eval"]])
    alive = interventions.active(given["variance_codes"], float(given["prune_threshold"]))
    overall = given["variance_codes"].var(0, ddof=1)
    latent = interventions.ballots(batches.var(1, ddof=1), overall, alive)
    shape = (len(alive), factor.max() + 1)
    value, details = interventions.elected(latent, factor, len(given["factor_train"]), shape)
    assert alive.sum() == expected["true_active_dims"]
    assert (latent == np.flatnonzero(alive)[expected["argmin_within_active"]]).all()
    close(value, expected["eval_accuracy"])
    close(details["train_accuracy"], expected["train_accuracy"])
    assert details["votes"].sum() == len(given["factor_train"])


def test_classifier_of_beta_vae_is_the_reference():
    given, expected = vectors("beta_vae")
    features = (given["rep1"] - given["rep2"]).abs().mean(1).numpy()
    close(features[:3], expected["features_train_first3"])
    train = int(given["num_train"])
    value, details = interventions.named(features, given["factor"].numpy(), train)
    close(value, expected["eval_accuracy"], 1 / (len(features) - train))
    close(details["train_accuracy"], expected["train_accuracy"], 1 / train)


def test_codes_too_quiet_to_vote_are_said_to_be():
    codes, factors = table()
    with pytest.warns(UserWarning, match="standard deviation of 0.05 or more: the score is 0"):
        assert float(disentanglement.factor_vae(codes * 1e-3, factors, **SMALL)) == 0
    found = disentanglement.factor_vae(codes * 1e-3, factors, threshold=0, **SMALL)
    assert float(found) == 1
    assert found.details["active"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("mig", {"bins": 1}, "expected bins >= 2; got 1"),
        ("mig_aggregate", {"points": 1}, "expected points >= 2; got 1"),
        ("mig_aggregate", {"z": np.zeros((50, 1))}, r"expected z \(50, 3\); got \(50, 1\)"),
        ("sap", {"train_size": 0}, "train >= 1"),
        ("sap", {"test": (np.zeros((4, 2)), np.zeros((4, 2), int))}, "of widths"),
        ("sap", {"test": (np.zeros((4, 3)), np.zeros((4, 2)))}, "integers"),
        ("factor_vae", {"batch_size": 1}, "expected batch_size >= 2"),
        ("beta_vae", {"test_size": 0}, "test_size >= 1"),
    ],
)
def test_bad_sizes(name, wrong, message):
    metric, settings = SCORES[name]
    with pytest.raises(EvaluationError, match=message):
        metric(*table(n=50), **(settings | wrong))


@pytest.mark.parametrize("name", ["factor_vae", "beta_vae"])
def test_a_factor_nobody_shares(name):
    factors = np.stack([np.arange(50), np.arange(50) % 2], 1)
    with pytest.raises(EvaluationError, match="factor 0 has no value that two items share"):
        SCORES[name][0](table(n=50)[0], factors)


@pytest.mark.parametrize("name", ["dci", "modularity", "factor_vae", "beta_vae"])
def test_one_factor_is_too_few_to_compare(name):
    codes, factors = table(n=50)
    with pytest.raises(EvaluationError, match="at least 2 factors that vary; got 1 of 1"):
        SCORES[name][0](codes, factors[:, :1])
