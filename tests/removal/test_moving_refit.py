"""Refits that follow rows whose inputs move: against minimise from nothing, and derivatives against refits."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_diabetes, load_iris
from sklearn.linear_model import (
    HuberRegressor,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
)
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from upweight import Influence
from upweight.features import DenseFeatures
from upweight.linear_head import LinearHead
from upweight.newton import minimise
from upweight.removal import moving_refit
from upweight.removal.moving_refit import Moving

ROWS = np.asarray([3, 70, 20])
Floats = NDArray[np.float64]


def data(kind: str) -> tuple[Floats, Any]:
    """Standardised columns; three classes, two classes, numbers, counts."""
    if kind in ("numbers", "counts"):
        x, y = load_diabetes(return_X_y=True)
        y = np.round(y / 20.0) if kind == "counts" else y
        return StandardScaler().fit_transform(x)[:120], y[:120]
    x, y = load_iris(return_X_y=True)
    x, y = (x[50:], y[50:]) if kind == "two" else (x, y)
    return StandardScaler().fit_transform(x), y


MODELS = {
    "binary": ("two", LogisticRegression(tol=1e-12, max_iter=10_000)),
    "weighted": ("two", LogisticRegression(tol=1e-12, max_iter=10_000, class_weight={1: 1.0, 2: 3.0})),
    "softmax": ("three", LogisticRegression(tol=1e-12, max_iter=10_000)),
    "ridge": ("numbers", Ridge(1.0)),
    "one-hot ridge": ("three", RidgeClassifier(1.0)),
    "counts": ("counts", PoissonRegressor(alpha=0.1, tol=1e-12, max_iter=10_000)),
    "huber": ("numbers", HuberRegressor(alpha=0.1, tol=1e-10, max_iter=10_000)),
    "squared hinge": ("two", LinearSVC(C=0.1, tol=1e-12, max_iter=100_000)),
    "one against rest": ("three", SGDClassifier("log_loss", alpha=0.01, max_iter=2000, tol=None, average=True)),
}


@pytest.fixture(
    scope="module", params=[(name, way) for name in MODELS for way in ("factored", "iterated")], ids="-".join
)
def moving(request: Any) -> Iterator[Moving]:
    """A head and three of its rows; H written out at every step, or solved behind the first H⁻¹."""
    name, way = request.param
    kind, model = MODELS[name]
    x, y = data(kind)
    attribution: Any = Influence.from_sklearn(model.fit(x, y), x, y).attribution
    with pytest.MonkeyPatch.context() as patch:
        if way == "iterated":
            patch.setattr(moving_refit, "WRITTEN_OUT", 0.0)
        yield Moving(attribution.head, attribution.prepared, ROWS)


def elsewhere(moving: Moving, size: float) -> Floats:
    x = np.array(moving.start().x)
    x[:, :-1] += size * np.random.default_rng(0).normal(size=x[:, :-1].shape)
    return x


def from_nothing(moving: Moving, x: Floats) -> LinearHead:
    """The same objective written down with the other inputs, its minimum found from θ = 0 or where it stood."""
    features: Any = moving.head.features
    other = np.array(features.take(np.arange(moving.head.n)))[:, :-1]
    other[ROWS] = x[:, :-1]
    found = minimise(replace(moving.head, features=DenseFeatures(other, np.float64)), tol=1e-13)
    assert found.converged
    return found.head


def test_it_is_the_optimum_with_the_rows_there(moving: Moving) -> None:
    """After several moves, large and small, θ and the kept outputs are those of a refit that knows no history."""
    state = moving.start()
    for size in (0.02, 0.3, 1.0):
        x = elsewhere(moving, size)
        state = moving.follow(state, x)
        assert state.converged
        exact = from_nothing(moving, x)
        size_of = np.linalg.norm(exact.params.vector)
        assert np.linalg.norm(state.vector - exact.params.vector) <= 1e-7 * size_of
        kept = np.setdiff1d(np.arange(moving.head.n), ROWS)
        np.testing.assert_allclose(state.there.outputs[kept], exact.outputs[kept], rtol=1e-6, atol=1e-7)


def test_the_derivative_is_that_of_real_refits(moving: Moving) -> None:
    """∂m/∂x by central differences of refits, away from where the model was fitted."""
    x = elsewhere(moving, 0.1)
    state = moving.follow(moving.start(), x)
    v = np.random.default_rng(1).normal(size=moving.head.params.size)
    if moving.head.loss.name == "softmax":  # what a shift of all intercepts does is not asked
        v = moving.head.params.collect(
            (lambda w: w - w.mean(axis=1, keepdims=True))(moving.head.params.expand(v[None]))
        )
        v = v[0]
    pull = moving.pull(state, moving.adjoint(state, v))
    for k, j in ((0, 1), (1, 0), (2, 2)):
        step = np.zeros_like(x)
        step[k, j] = 1e-4
        ends = [from_nothing(moving, x + sign * step).params.vector @ v for sign in (1.0, -1.0)]
        assert pull[k, j] == pytest.approx((ends[0] - ends[1]) / 2e-4, rel=2e-4, abs=2e-6 * np.abs(pull).max())


def test_rows_that_stay_change_nothing(moving: Moving) -> None:
    """To the bit: the optimum is where it was."""
    state = moving.start()
    assert np.array_equal(moving.follow(state, state.x).vector, moving.head.params.vector)
