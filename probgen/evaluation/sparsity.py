"""How sparse codes are."""

from torch import Tensor

from probgen.evaluation.score import EvaluationError, Score


def zeros(codes: Tensor) -> Score:
    """Share of exact zeros among all entries of codes (N, d).

    Raises:
        EvaluationError: fewer than two dimensions, no codes, or codes that are not finite.

    >>> import torch
    >>> float(zeros(torch.tensor([[0.0, 3.0], [0.0, 0.0]])))
    0.75
    """
    _check(codes)
    return Score("zeros", (codes == 0).double().mean().item(), n=(len(codes),))


def hoyer(codes: Tensor) -> Score:
    """Mean over the rows of codes (N, d) of the Hoyer sparsity, 0 if all are equal, 1 if one is.

    (sqrt(d) - |z|_1 / |z|_2) / (sqrt(d) - 1); a row of zeros counts as 1

    Raises:
        EvaluationError: as for ``zeros``.

    Source: Hoyer 2004, Non-negative matrix factorization with sparseness constraints, equation 3.

    >>> import torch
    >>> round(float(hoyer(torch.tensor([[0.0, 3.0], [2.0, 2.0]]))), 6)
    0.5
    """
    _check(codes)
    codes, root = codes.double(), codes.shape[1] ** 0.5
    norm = codes.norm(dim=1)
    ratio = codes.abs().sum(1) / norm.where(norm > 0, norm.new_ones(()))
    sparsity = ((root - ratio) / (root - 1)).where(norm > 0, norm.new_ones(()))
    return Score("Hoyer sparsity", sparsity.mean().item(), n=(len(codes),))


def _check(codes: Tensor) -> None:
    if codes.dim() != 2 or not len(codes) or codes.shape[1] < 2:
        raise EvaluationError(
            f"expected codes (N, d), N >= 1 and d >= 2; got {tuple(codes.shape)}"
        )
    if not codes.isfinite().all():
        raise EvaluationError("expected finite codes; got NaN or infinity")
