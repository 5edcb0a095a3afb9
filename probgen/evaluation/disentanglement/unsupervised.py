"""How far latents depend on each other, with no factors at hand."""

from typing import Any

import numpy as np

from probgen.evaluation.disentanglement.information import in_bins, information
from probgen.evaluation.disentanglement.table import Table, real
from probgen.evaluation.score import EvaluationError, Score

Codes = Any


def gaussian_total_correlation(codes: Codes) -> Score:
    """Total correlation of the Gaussian with the codes' covariance, in nats; 0 if uncorrelated.

    TC = (sum_j log S_jj - log det S) / 2

    Args:
        codes: (N, d), usually means of q(z | x).

    Raises:
        EvaluationError: fewer than 2 latents or items, codes that are not finite, or latents of
            which one is constant or a linear function of others (the value is infinite).

    Source: Locatello et al. 2019, Challenging common assumptions, section 5.3.

    >>> round(float(gaussian_total_correlation([[1.0, 1.0], [2.0, 3.0], [3.0, 2.0]])), 4)
    0.1438
    """
    covariance = _covariance(codes)
    sign, log_determinant = np.linalg.slogdet(covariance)
    if sign <= 0 or np.linalg.cond(covariance) > 1e15:
        raise EvaluationError("expected latents that vary and are no function of each other")
    value = 0.5 * (np.log(np.diag(covariance)).sum() - log_determinant)
    return Score("Gaussian total correlation", float(value), n=(len(codes),), unit="nats")


def gaussian_wasserstein_correlation(codes: Codes) -> Score:
    """Squared 2-Wasserstein distance from that Gaussian to the one without correlations.

    W = 2 tr S - 2 tr (D^1/2 S D^1/2)^1/2, D = diag(S)

    Args:
        codes: as for ``gaussian_total_correlation``.

    Raises:
        EvaluationError: fewer than 2 latents or items, codes that are not finite.

    Source: Watters et al. 2019, Spatial broadcast decoder; Locatello et al. 2019, section 5.3.

    >>> round(float(gaussian_wasserstein_correlation([[1.0, 1.0], [2.0, 3.0], [3.0, 2.0]])), 4)
    0.1363
    """
    covariance = _covariance(codes)
    scale = np.sqrt(np.diag(covariance))
    eigenvalues = np.linalg.eigvalsh(scale[:, None] * covariance * scale).clip(min=0)
    value = 2 * np.trace(covariance) - 2 * np.sqrt(eigenvalues).sum()
    return Score("Gaussian Wasserstein correlation", float(value), n=(len(codes),))


def latent_information(codes: Codes, *, bins: int = 20) -> Score:
    """Mean mutual information of two binned latents, in nats; the matrix is in the details.

    Args:
        codes: as for ``gaussian_total_correlation``.
        bins: equal-width bins per latent.

    Raises:
        EvaluationError: fewer than 2 latents, items or bins, codes that are not finite.

    Source: Locatello et al. 2019, section 5.3, "average mutual information".

    >>> round(float(latent_information([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])), 4)
    0.6931
    """
    if bins < 2:
        raise EvaluationError(f"expected bins >= 2; got {bins}")
    values = _several(codes)
    binned = np.stack([in_bins(column, bins) for column in values.T], axis=1).astype(np.int64)
    table = Table(values, np.asfortranarray(binned), tuple(range(values.shape[1])))
    matrix = information(table, bins).mutual
    off_diagonal = ~np.eye(len(matrix), dtype=bool)
    return Score(
        "mutual information of latents",
        float(matrix[off_diagonal].mean()),
        n=(len(values),),
        variant=f"{bins} bins",
        unit="nats",
        details={"mutual_information": matrix},
    )


def _covariance(codes: Codes) -> np.ndarray:
    return np.cov(_several(codes), rowvar=False)


def _several(codes: Codes) -> np.ndarray:
    values = real("codes", codes)
    if values.shape[1] < 2:
        raise EvaluationError("expected at least 2 latents; got 1")
    return values
