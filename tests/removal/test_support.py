"""Refits of l1 models whose support shrinks: against scikit-learn's own."""

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import ElasticNet, Lasso, LogisticRegression
from sklearn.preprocessing import StandardScaler

from upweight.adapters import Adapted, adapt
from upweight.attribution import HeadAttribution
from upweight.solvers import Cholesky


def coefficients(model: Any) -> np.ndarray:
    """With the intercept."""
    return np.append(np.ravel(model.coef_), model.intercept_)


def ours(adapted: Adapted, rows: list[int]) -> tuple[np.ndarray, bool]:
    """Our refit's parameters as the user's class holds them, and whether it says that it is one."""
    vectors, converged = HeadAttribution(adapted.objective, Cholesky()).refitted([rows])
    return coefficients(adapted.rebuild(vectors[0])), bool(converged[0])


@pytest.mark.parametrize(
    "make",
    [lambda: ElasticNet(0.1, tol=1e-9, max_iter=100_000), lambda: Lasso(0.1, tol=1e-9, max_iter=100_000)],
    ids=["net", "l1"],
)
def test_a_coefficient_that_would_turn_stops_at_zero(make: Any) -> None:
    """Twenty random tenths leave: where the support only shrinks our refit is scikit-learn's, held zeros included."""
    x, y = load_diabetes(return_X_y=True)
    model = make().fit(x, y)
    adapted, shrunk = adapt(model, x, y), 0
    for seed in range(20):
        out = np.random.default_rng(seed).choice(len(x), 44, replace=False).tolist()
        cold = coefficients(adapted.cold_refit(out))
        grown = (cold != 0) & (coefficients(model) == 0)
        found, converged = ours(adapted, out)
        if grown.any():
            continue  # coefficients that were 0 stay 0 here, and the notes say how near they are
        shrunk += int(((cold == 0) & (coefficients(model) != 0)).any())
        assert converged
        assert np.max(np.abs(found - cold)) <= 1e-5 * np.max(np.abs(cold))
    assert shrunk >= 1 or isinstance(model, Lasso)


def test_an_l1_classifier_too() -> None:
    """Logistic regression by saga: single rows and groups that set a coefficient to 0."""
    x, y = load_breast_cancer(return_X_y=True)
    x = StandardScaler().fit_transform(x)[:100]
    model = LogisticRegression(C=0.5, l1_ratio=1.0, solver="saga", tol=1e-9, max_iter=100_000).fit(x, y[:100])
    adapted, compared = adapt(model, x, y[:100]), 0
    for seed in range(4):
        out = np.random.default_rng(seed).choice(100, 10, replace=False).tolist()
        cold = coefficients(adapted.cold_refit(out))
        if ((cold != 0) & (coefficients(model) == 0)).any():
            continue
        found, converged = ours(adapted, out)
        assert converged
        assert np.max(np.abs(found - cold)) <= 1e-4 * np.max(np.abs(cold))
        compared += 1
    assert compared >= 1
