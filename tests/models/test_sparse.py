"""Sparse codes: ISTA converges to the lasso."""

import torch
from torch import nn

from probgen import models


def test_ista_converges_to_the_lasso():
    from sklearn.linear_model import Lasso

    torch.manual_seed(0)
    ista = models.UnrolledISTA((30,), atoms=50, steps=10_000, penalty=0.3).double().eval()
    x = torch.randn(4, 30, dtype=torch.float64)
    code = ista(x)[0].detach()
    dictionary = ista.dictionary.detach().numpy()
    for row, found in zip(x, code, strict=True):
        lasso = Lasso(alpha=0.3 / 30, fit_intercept=False, tol=1e-12, max_iter=100_000)
        expected = torch.as_tensor(lasso.fit(dictionary, row.numpy()).coef_)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
        assert torch.equal(found == 0, expected == 0)


def test_the_step_of_ista_stays_where_it_converges():
    torch.manual_seed(0)
    ista = models.UnrolledISTA((30,), atoms=50)
    for free in (-50.0, 0.0, 50.0):
        nn.init.constant_(ista.free_step, free)
        bound = ista._bound(ista.dictionary)
        assert bound > 0.499 * torch.linalg.matrix_norm(ista.dictionary, 2) ** 2
