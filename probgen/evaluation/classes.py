"""Which classes appear among samples, as a classifier sees them."""

from torch import Tensor

from probgen.evaluation.score import EvaluationError, Score


def score(probabilities: Tensor, *, least: float = 0.1, extractor: str = "") -> Score:
    """How many classes have at least ``least`` of an even share of the samples.

    Args:
        probabilities: p(class | sample), (N, C), e.g. ``Classifier.probabilities(features)``.
        least: share that counts, 1 for 1 / C.
        extractor: what the classifier is called, with its hash.

    Returns:
        Score with details ``shares`` (C,), float64.

    Raises:
        EvaluationError: no table of probabilities, or a share that is not in (0, 1].

    >>> import torch
    >>> float(score(torch.tensor([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0]])))
    2.0
    """
    if probabilities.dim() != 2 or not len(probabilities) or not probabilities.isfinite().all():
        raise EvaluationError(
            f"expected finite probabilities (N, C); got {tuple(probabilities.shape)}"
        )
    if not 0 < least <= 1:
        raise EvaluationError(f"expected least in (0, 1]; got {least}")
    n, classes = probabilities.shape
    shares = probabilities.argmax(1).bincount(minlength=classes).double() / n
    found = (shares >= least / classes).sum().item()
    return Score(
        "classes",
        float(found),
        n=(n,),
        variant=f"of {classes}, with {least:g} of an even share",
        better="higher",
        extractor=extractor,
        details={"shares": shares},
    )
