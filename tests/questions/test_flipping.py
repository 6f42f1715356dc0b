"""Sets whose removal flips a prediction: confirmed by scikit-learn's own refits, and against every set there is."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge

from upweight import Influence

EXACT: dict[str, Any] = {"solver": "newton-cholesky", "tol": 1e-14}


def tiny(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Eleven rows of two noisy classes, and a query."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(11, 2))
    y = (x[:, 0] + 0.8 * rng.logistic(size=11) > 0).astype(int)
    y[:4] = [0, 0, 1, 1]
    return x, y, rng.normal(size=(1, 2)) * 0.7


def exact_minimum(influence: Influence, query: np.ndarray, at_most: int) -> int | None:
    """The size of the smallest set that flips it, by trying all of them."""
    engine, features = influence.attribution, influence.adapted.read_query(query)
    side = np.sign(engine.outputs_at(engine.head.params.vector[None], features)[0, 0, 0])
    for size in range(1, at_most + 1):
        sets = [list(rows) for rows in combinations(range(engine.head.n), size)]
        vectors, converged = engine.refitted(sets)
        margins = side * engine.outputs_at(vectors, features)[:, 0, 0]
        if (margins[converged] < 0).any():
            return size
    return None


def test_never_below_the_exact_minimum_and_mostly_at_it() -> None:
    """Fourteen tiny problems, all sets of up to four rows tried: found sets are real, and minimal in most."""
    sizes = []
    for seed in range(14):
        x, y, query = tiny(seed)
        model = LogisticRegression(**EXACT).fit(x, y)
        influence = Influence.from_sklearn(model, x, y)
        flip = influence.smallest_flip(query)
        best = exact_minimum(influence, query, 4)
        if flip.found:
            kept = np.setdiff1d(np.arange(11), flip.rows)
            cold = LogisticRegression(**EXACT).fit(x[kept], y[kept])
            assert cold.predict(query)[0] == flip.after != flip.before == model.predict(query)[0]
            assert best is None or len(flip.rows) >= best
        if best is not None:
            sizes.append((best, len(flip.rows) if flip.found else None))
    assert len(sizes) >= 6
    assert sum(best == found for best, found in sizes) >= 0.8 * len(sizes)


def test_a_multiclass_flip_is_real_and_proved() -> None:
    """A borderline flower: scikit-learn without these rows says the other species; the certificate proves it."""
    x, y = load_iris(return_X_y=True)
    model = LogisticRegression(**EXACT).fit(x, y)
    borderline = x[[np.argsort(np.sort(model.predict_proba(x), axis=1)[:, -1])[0]]]
    influence = Influence.from_sklearn(model, x, y)
    flip = influence.smallest_flip(borderline)
    assert flip.found
    kept = np.setdiff1d(np.arange(150), flip.rows)
    cold = LogisticRegression(**EXACT).fit(x[kept], y[kept])
    assert cold.predict(borderline)[0] == flip.after
    assert flip.before == model.predict(borderline)[0]
    assert flip.proved
    assert flip.margin is not None
    assert flip.margin[0] > 0 > flip.margin[2]
    assert "confirmed by a refit" in flip.sentence
    assert "minimal" not in flip.sentence
    other = influence.smallest_flip(borderline, to=int(flip.after))
    assert set(other.rows) == set(flip.rows)


def test_twins_leave_together() -> None:
    """Two copies of the row that decides: both are in the set."""
    x = np.array([[0.0], [0.5], [1.0], [1.5], [2.0], [2.5], [3.0], [9.0], [9.0]])
    y = 0.5 * x[:, 0]
    y[7:] = -6.0
    model = Ridge(alpha=0.1).fit(x, y)
    influence = Influence.from_sklearn(model, x, y)
    now = model.predict([[4.0]])[0]
    flip = influence.smallest_flip([[4.0]], to=1.5)
    assert now < 1.5 < flip.after
    assert set(flip.rows) == {7, 8}


@pytest.mark.parametrize("direction", [1.0, -1.0])
def test_a_regression_crosses_the_value_that_was_given(direction: float) -> None:
    """Up and down, for a ridge and through the exponential of a Poisson model: the cold refit is past the value."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(50, 2))
    for model, y in (
        (Ridge(), x @ [1.0, -1.0] + rng.normal(size=50)),
        (PoissonRegressor(alpha=0.1, **EXACT), rng.poisson(np.exp(0.5 * x[:, 0] + 1)).astype(float)),
    ):
        model.fit(x, y)
        query = np.array([[0.5, 0.3]])
        now = float(model.predict(query)[0])
        value = now * (1 + 0.1 * direction) if now > 0 else now * (1 - 0.1 * direction)
        flip = Influence.from_sklearn(model, x, y).smallest_flip(query, to=value)
        assert flip.found
        kept = np.setdiff1d(np.arange(50), flip.rows)
        after = float(type(model)(**model.get_params()).fit(x[kept], y[kept]).predict(query)[0])
        assert direction * (after - value) > 0
        assert flip.after == pytest.approx(after, rel=1e-6)


def test_nothing_found_proves_nothing_and_says_so() -> None:
    """A prediction that no half of the rows holds up: no rows, no claim."""
    x = np.vstack([np.full((20, 1), -1.0), np.full((20, 1), 1.0)])
    y = np.repeat([0, 1], 20)
    flip = Influence.from_sklearn(LogisticRegression(**EXACT).fit(x, y), x, y).smallest_flip([[3.0]])
    assert (flip.rows, flip.found, flip.after, flip.margin, flip.proved) == ((), False, None, None, False)
    assert "no set of up to 20 rows was found" in flip.sentence


def test_a_class_that_is_asked_for_is_the_one_that_wins() -> None:
    """Wherever a set is found for `to`, scikit-learn without it predicts that class and no third one."""
    x, y = load_iris(return_X_y=True)
    model = LogisticRegression(**EXACT).fit(x, y)
    influence = Influence.from_sklearn(model, x, y)
    found = 0
    for row, to in ((70, 2), (83, 1), (77, 2), (106, 1), (119, 1), (133, 1)):
        query = x[[row]]
        if model.predict(query)[0] == to:
            continue
        flip = influence.smallest_flip(query, to=to)
        if flip.found:
            kept = np.setdiff1d(np.arange(len(x)), flip.rows)
            assert LogisticRegression(**EXACT).fit(x[kept], y[kept]).predict(query)[0] == to == flip.after
            found += 1
    assert found >= 2
