"""Probes of codes: SAP, DCI, explicitness."""

import pytest
from codes import close, table
from shared_data import vectors

from probgen.evaluation import EvaluationError, disentanglement
from probgen.evaluation.disentanglement import probes


def parts(given):
    codes, factors = given["codes_train"], given["factors_train"]
    return (codes, factors), {"test": (given["codes_test"], given["factors_test"])}


def test_sap_is_the_reference():
    given, expected = vectors("sap")
    train, test = parts(given)
    score = disentanglement.sap(*train, **test)
    close(float(score), expected["sap_discrete"], 1e-12)
    close(score.details["scores"], expected["score_matrix_discrete"], 1e-12)
    score = disentanglement.sap(*train, continuous=True)
    close(float(score), expected["sap_continuous"])
    close(score.details["scores"], expected["score_matrix_continuous"])


def test_dci_is_the_reference():
    given, expected = vectors("dci")
    train, test = parts(given)
    score = disentanglement.dci(*train, **test)
    close(score.details["importance"], expected["importance"], 2e-2)
    close(float(score), expected["disentanglement"], 2e-2)
    close(score.details["completeness"], expected["completeness"], 2e-2)
    close(score.details["informativeness"], expected["informativeness_test"], 2e-2)
    close(score.details["informativeness_train"], expected["informativeness_train"], 2e-2)
    exact = probes.importances(given["importance"].numpy())
    close(exact.disentanglement, expected["disentanglement"], 1e-10)
    close(exact.completeness, expected["completeness"], 1e-10)
    close(exact.per_latent, expected["disentanglement_per_code"], 1e-10)
    close(exact.per_factor, expected["completeness_per_factor"], 1e-10)


def test_importances_are_the_reference():
    given, expected = vectors("dci_from_importance")
    found = probes.importances(given["importance"].numpy())
    close([found.disentanglement, found.completeness], list(expected.values()), 1e-10)


def test_modularity_and_explicitness_are_the_reference():
    given, expected = vectors("modularity_explicitness")
    train, test = parts(given)
    modularity = disentanglement.modularity(*train)
    close(float(modularity), expected["modularity"])
    close(modularity.details["mutual_information"], given["mi"])
    details = disentanglement.explicitness(*train, **test).details
    close(details["per_factor"], expected["explicitness_test_per_factor"], 1e-4)
    close(details["per_factor_train"], expected["explicitness_train_per_factor"], 1e-4)


def test_continuous_factors_have_no_test_set():
    codes, factors = table(n=50)
    with pytest.raises(EvaluationError, match="no test set for continuous factors"):
        disentanglement.sap(codes, factors, continuous=True, test=(codes, factors))
    assert 0 < float(disentanglement.sap(codes, factors * 0.5, continuous=True)) <= 1
