"""What must not matter: a row of weight 0, two copies against weight 2, order, scale; and least squares by others."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor, Ridge

from upweight import Influence
from upweight.attribution import HeadAttribution
from upweight.solvers import Cholesky
from upweight.testing import problem

N = 40
EXACT: dict[str, Any] = {"solver": "newton-cholesky", "tol": 1e-14}
MODELS = {
    "logistic": lambda: LogisticRegression(**EXACT),
    "ridge": lambda: Ridge(alpha=0.7),
    "poisson": lambda: PoissonRegressor(alpha=0.2, **EXACT),
}
EVERY = pytest.mark.parametrize("name", MODELS)


def data(name: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three columns and a target that suits the model."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(N, 3))
    z = x @ [0.8, -0.5, 0.0]
    y = {
        "logistic": np.argmax(np.stack([z, -z, 0 * z], axis=1) + rng.gumbel(size=(N, 3)), axis=1),
        "ridge": z + rng.normal(size=N),
        "poisson": rng.poisson(np.exp(z)),
    }[name]
    return x, y


def scores(name: str, x: Any, y: Any, weights: Any = None, removal: str = "leverage") -> np.ndarray:
    """The loss of three fixed queries without each row."""
    model = MODELS[name]().fit(x, y, sample_weight=weights)
    queries, labels = data(name, seed=1)
    values = Influence.from_sklearn(model, x, y, weights).scores(queries[:3], labels[:3], removal=removal).values
    assert np.isfinite(values).all()
    return values


@EVERY
@pytest.mark.parametrize("removal", ["leverage", "first_order"])
def test_weight_0_is_not_there(name: str, removal: str) -> None:
    """Rows of weight 0 score 0, and the other rows score what they do where those rows were never given."""
    x, y = data(name)
    weights = np.where(np.arange(N) % 5 == 0, 0.0, 1.0)
    with_zeros = scores(name, x, y, weights, removal)
    left = scores(name, x[weights > 0], y[weights > 0], None, removal)
    assert not with_zeros[:, weights == 0].any()
    assert with_zeros[:, weights > 0] == pytest.approx(left, rel=1e-7, abs=1e-12)


@EVERY
def test_weight_2_is_two_copies_to_first_order(name: str) -> None:
    """A weight of 2 scores the sum of its two copies; with leverage more than the sum, since both leave at once."""
    x, y = data(name)
    double = np.arange(N) % 7 == 0
    weighted = scores(name, x, y, np.where(double, 2.0, 1.0), "first_order")
    repeated = scores(name, np.vstack([x, x[double]]), np.concatenate([y, y[double]]), None, "first_order")
    folded = repeated[:, :N].copy()
    folded[:, double] += repeated[:, N:]
    assert weighted == pytest.approx(folded, rel=1e-7, abs=1e-12)


@EVERY
@pytest.mark.parametrize("removal", ["leverage", "first_order"])
def test_order_does_not_matter(name: str, removal: str) -> None:
    """Rows shuffled: each keeps its score to rounding."""
    x, y = data(name)
    order = np.random.default_rng(3).permutation(N)
    assert scores(name, x[order], y[order], None, removal) == pytest.approx(
        scores(name, x, y, None, removal)[:, order], rel=1e-7, abs=1e-12
    )


@EVERY
def test_duplicated_rows_share_their_scores(name: str) -> None:
    """Exact copies score the same."""
    x, y = data(name)
    found = scores(name, np.vstack([x, x[:6]]), np.concatenate([y, y[:6]]))
    assert found[:, :6] == pytest.approx(found[:, N:], rel=1e-9, abs=1e-13)


@settings(max_examples=12, deadline=None)
@given(st.lists(st.floats(-6, 6), min_size=4, max_size=4))
def test_columns_rescaled_with_their_penalty_change_nothing(exponents: list[float]) -> None:
    """Columns times 10^a, their penalties times 10^2a: the same outputs move the same way, to rounding."""
    head = problem("softmax").head
    scale = 10.0 ** np.array(exponents)
    x = np.asarray(head.features.take(np.arange(head.n)))[:, :-1] * scale
    penalty = head.penalty.copy()
    penalty[:, :-1] *= scale**2
    matrix = head.params.matrix.copy()
    matrix[:, :-1] /= scale
    moved = replace(
        head,
        features=replace(head.features, x=x),
        penalty=penalty,
        params=replace(head.params, matrix=matrix),
    )
    query = np.array([[0.3, -1.0, 0.5, 0.2]])
    expected = HeadAttribution(head, Cholesky()).output_removals(replace(head.features, x=query), "leverage").values()
    scaled = replace(head.features, x=query * scale)
    found = HeadAttribution(moved, Cholesky()).output_removals(scaled, "leverage").values()
    differences = (expected[0] - expected[1], found[0] - found[1])  # outputs are known up to a shift of all
    assert np.abs(differences[0] - differences[1]).max() <= 1e-11 * np.abs(differences[0]).max()


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 3), st.booleans())
def test_ridge_is_exact_on_any_data(seed: int, targets: int, intercept: bool) -> None:
    """Any seed, weights, targets, intercept: the estimate is scikit-learn's refit, to 1e-9 of the largest."""
    rng = np.random.default_rng(seed)
    x, weights = rng.normal(size=(15, 4)), rng.uniform(0.2, 3.0, 15)
    y = rng.normal(size=(15, targets))
    y = y[:, 0] if targets == 1 else y

    def fit(rows: Any) -> Ridge:
        return Ridge(alpha=0.5, fit_intercept=intercept).fit(x[rows], y[rows], sample_weight=weights[rows])

    every = np.arange(15)
    influence = Influence.from_sklearn(fit(every), x, y, weights)
    queries = rng.normal(size=(2, 4))
    labels = rng.normal(size=(2, targets))
    labels = labels[:, 0] if targets == 1 else labels
    estimate = influence.scores(queries, labels).values

    def loss(model: Ridge) -> np.ndarray:
        return 0.5 * np.sum((model.predict(queries) - labels).reshape(2, -1) ** 2, axis=1)

    truth = np.stack([loss(fit(np.delete(every, i))) - loss(fit(every)) for i in every], axis=1)
    assert np.abs(estimate - truth).max() <= 1e-9 * max(1.0, np.abs(truth).max())


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000), st.floats(-8, 2))
def test_nothing_is_ever_nan(seed: int, strength: float) -> None:
    """Tiny, separable, duplicated, constant: scores, self-influence and refits are finite, or absent."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-1, 2, size=(8, 2)).astype(float)
    y = np.arange(8) % 2
    model = LogisticRegression(C=10.0**-strength, max_iter=2000).fit(x, y)
    influence = Influence.from_sklearn(model, x, y)
    found = influence.scores(x[:2], y[:2])
    assert np.isfinite(found.values).all()
    assert np.isfinite(influence.self_influence().values).all()
    refits = found.top(8)["refit"].tolist()
    assert all(value is None or np.isfinite(value) for value in refits)


def test_least_squares_is_what_statsmodels_says() -> None:
    """OLSInfluence: dfbeta is minus our change of the parameters, the hat diagonal our leverage; Cook's distance."""
    x, y = data("ridge")
    model = LinearRegression().fit(x, y)
    influence = Influence.from_sklearn(model, x, y)
    theirs = sm.OLS(y, sm.add_constant(x)).fit().get_influence()
    names = ["intercept", "x0", "x1", "x2"]
    ours = np.stack([influence.scores(measurement=f"parameter:{name}").values[0] for name in names], axis=1)
    assert ours == pytest.approx(-theirs.dfbeta, rel=1e-9, abs=1e-12)
    h = influence.attribution.leverage.h
    assert h == pytest.approx(theirs.hat_matrix_diag, rel=1e-9)
    residual = y - model.predict(x)
    s2 = residual @ residual / (N - 4)
    assert residual**2 * h / (4 * s2 * (1 - h) ** 2) == pytest.approx(theirs.cooks_distance[0], rel=1e-9)
    design = np.column_stack([np.ones(N), x])
    cook = np.einsum("ij,jk,ik->i", ours, design.T @ design, ours) / (4 * s2)
    assert cook == pytest.approx(theirs.cooks_distance[0], rel=1e-9)


@EVERY
def test_damping_only_shrinks(name: str) -> None:
    """More damping, smaller scores in sum of squares; none is the model's own curvature."""
    x, y = data(name)
    model = MODELS[name]().fit(x, y)
    queries, labels = data(name, seed=1)
    sizes = []
    for damping in (0.0, 0.1, 10.0):
        found = Influence.from_sklearn(model, x, y, damping=damping)
        sizes.append(np.linalg.norm(found.scores(queries[:3], labels[:3], removal="first_order").values))
    assert sizes[0] > sizes[1] > sizes[2] > 0
