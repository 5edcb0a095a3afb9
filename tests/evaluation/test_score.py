"""What every score of samples must do, and what it refuses."""

import math

import pytest
import torch
from samples import normal

from probgen.evaluation import (
    EvaluationError,
    features,
    fid,
    inception_score,
    kid,
    memorization,
    prdc,
)


def test_every_score_says_how_it_was_got():
    x, y = (features.Features(normal(60, 3, seed=s), "net 0123") for s in (0, 1))
    found = [
        fid.score(x, y, level=0.9),
        fid.infinity(x, y),
        kid.score(x, y, level=0.9),
        inception_score.score(normal(60, 3).softmax(1), extractor="net 0123", level=0.9),
        *prdc.score(x, y, level=0.9),
        memorization.score(y, x, test=y),
    ]
    for one in found:
        assert one.extractor == "net 0123"
        assert one.variant
        assert one.n[0] == 60
        assert (one.interval is None) == (one.level is None)
        if one.interval:
            assert one.interval[0] <= float(one) <= one.interval[1]


X = normal(30, 3)
WRONG = [
    (lambda: fid.score(X[:1], X), "at least 2 rows of features; got 1"),
    (lambda: fid.score(X, X[:, :2]), "same dimension; got 3 and 2"),
    (lambda: fid.score(X[0], X), r"features \(N, d\); got \(3,\)"),
    (lambda: fid.score(X, X.index_fill(0, torch.tensor(4), math.nan)), "infinity in row 4"),
    (lambda: kid.score(X, X / 0), "NaN or infinity in row 0"),
    (lambda: fid.score(fid.Statistics.of(X[:1]), fid.Statistics.of(X)), "at least 2 rows"),
    (lambda: fid.score(fid.Statistics.of(X), X[:, :2]), "same dimension"),
    (lambda: fid.score(fid.Statistics.of(X), X, level=0.95), "got statistics"),
    (lambda: fid.Statistics.of(X) + fid.Statistics.of(X[:, :2]), "of one extractor"),
    (lambda: fid.infinity(X[:5], X), "10 rows or more"),
    (lambda: fid.infinity(X, X, shares=1), "shares >= 2"),
    (lambda: fid.score(X, X, level=95), r"level in \(0, 1\)"),
    (lambda: kid.score(X, X, subsets=0), "subsets >= 1"),
    (lambda: kid.score(X, X, subsets=5), "subset_size from 2 to 30; got 5 and 1000"),
    (lambda: kid.score(X, X, subsets=5, subset_size=9, level=0.95), "subsets=None"),
    (lambda: prdc.score(X, X, k=0), "k from 1 to 29, fewer than the rows; got 0"),
    (lambda: prdc.score(X, X[:4], k=4), "k from 1 to 3"),
    (lambda: fid.score(X[:2], X, level=0.95), "3 rows or more for an interval"),
    (lambda: inception_score.score(X[:10].softmax(1), level=0.95), "more rows for an interval"),
    (lambda: inception_score.score(X), "logits need a softmax"),
    (lambda: inception_score.score(X.softmax(1), splits=31), "splits from 1 to 30; got 31"),
    (lambda: inception_score.score(X.softmax(1)[:1]), "N >= 2"),
    (lambda: inception_score.score(X.softmax(1) * math.nan), "in row 0"),
    (lambda: memorization.score(X, X, test=X[:, :1]), "same dimension"),
]


@pytest.mark.parametrize(("call", "match"), WRONG)
def test_wrong_input_is_named(call, match):
    with pytest.raises(EvaluationError, match=match):
        call()
