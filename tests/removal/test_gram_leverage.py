"""A row taken out by the Gram matrix of the rows: equal to the p-side, and near to real refits."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression

from upweight import Influence
from upweight.curvature import HeadCurvature
from upweight.linear_head import LinearHead
from upweight.removal.gram_leverage import own_moves, row_gram
from upweight.removal.leverage import leverage_corrected
from upweight.solvers import Cholesky


def head(kind: str) -> tuple[Any, Any, Any, LinearHead]:
    """60 rows of 90 columns, weighted; with an intercept or without, dense or sparse."""
    random = np.random.default_rng(0)
    x = random.normal(size=(60, 90)) * (random.uniform(size=(60, 90)) < 0.3)
    y = (x[:, 0] + 0.5 * random.normal(size=60) > 0).astype(int)
    given = sp.csr_array(x) if kind == "sparse" else x
    model = LogisticRegression(C=0.5, tol=1e-10, max_iter=1000, fit_intercept=kind != "no intercept").fit(given, y)
    made = Influence.from_sklearn(model, given, y).adapted.objective
    return model, given, y, made


@pytest.mark.parametrize("kind", ["dense", "sparse", "no intercept"])
def test_moves_are_those_of_the_p_side(kind: str) -> None:
    """To rounding in float64; in float32 to 1e-4 of the largest. A row of weight 0 moves nothing."""
    made = head(kind)[3]
    weights = made.weights.copy()
    weights[3], weights[5] = 0.0, 2.0
    made = replace(made, weights=weights)
    curvature = HeadCurvature(made)
    exact = leverage_corrected(curvature, Cholesky().prepare(curvature)).moves
    size = np.abs(exact).max()
    assert np.allclose(own_moves(made, row_gram(made, np.float64)), exact, atol=1e-9 * size)
    assert np.allclose(own_moves(made, row_gram(made, np.float32)), exact, atol=1e-4 * size)
    assert own_moves(made, row_gram(made, np.float32))[3, 0] == 0.0


def test_moves_are_near_real_refits() -> None:
    """Each row's own logit without it, by scikit-learn; one Newton step is within 5 % of the largest move."""
    model, x, y, made = head("dense")
    moves = own_moves(made, row_gram(made, np.float64))[:, 0]
    for i in range(0, 60, 10):
        keep = np.arange(60) != i
        refit = LogisticRegression(C=0.5, tol=1e-10, max_iter=1000).fit(x[keep], y[keep])
        real = refit.decision_function(x[[i]])[0] - model.decision_function(x[[i]])[0]
        assert moves[i] == pytest.approx(real, abs=0.05 * np.abs(moves).max())
