"""The width that a hinge is rounded over: the derivative is that of the rounded fit, refits are the kinked one's."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC, LinearSVR

from upweight import Influence
from upweight.adapters import kinked
from upweight.errors import InputError
from upweight.removal.hinges import FULL, INSIDE, OFF

X, Y = load_breast_cancer(return_X_y=True)
X = StandardScaler().fit_transform(X)[:, :6]
HERE, THERE = slice(0, 90), slice(90, 94)
N, C = 90, 0.2
STEP = 1e-4


def linear() -> Any:
    """liblinear's hinge, its intercept penalised."""
    return LinearSVC(loss="hinge", C=C, tol=1e-10, max_iter=10**6, random_state=0).fit(X[HERE], Y[HERE])


def free() -> Any:
    """libsvm's, its intercept free."""
    return SVC(kernel="linear", C=C, tol=1e-10).fit(X[HERE], Y[HERE])


def tube() -> Any:
    """A regression's two hinges a row."""
    return LinearSVR(epsilon=0.1, C=C, tol=1e-10, max_iter=10**6, random_state=0).fit(X[HERE, :5], X[HERE, 5])


def smooth_fit(x: Any, hinges: Any, weight: Any, ridge: Any, t: float) -> NDArray[np.float64]:
    """θ at the minimum of (1/n) Σ w t log(1 + e^((m − s z)/t)) + ½ θᵀΛθ, by plain Newton steps from a wide t down."""
    theta = np.zeros(x.shape[1])
    for width in sorted({t, *np.geomspace(t, max(t, 2.0), 9)}, reverse=True):
        for _ in range(60):
            gradient, hessian = ridge * theta, np.diag(ridge)
            for s, m in hinges:
                share = expit((m - s * (x @ theta)) / width)
                gradient = gradient - x.T @ (weight * s * share) / N
                hessian = hessian + (x * (weight * share * (1 - share) / width)[:, None]).T @ x / N
            theta = theta - np.linalg.solve(hessian, gradient)
    return theta


CASES = {
    "LinearSVC": (linear, slice(None), Y, "margin", 1.0),
    "SVC, free intercept": (free, slice(None), Y, "margin", 0.0),
    "LinearSVR": (tube, slice(0, 5), X[:, 5], "prediction", 1.0),
}


@pytest.mark.parametrize("t", [0.05, 0.5])
@pytest.mark.parametrize("name", CASES)
def test_derivative_is_that_of_the_rounded_fit(name: str, t: float) -> None:
    """Central differences in the rows' weights of fits of the rounded loss, made a second way."""
    make, columns, y, measurement, held = CASES[name]
    x = np.column_stack([X[:, columns], np.ones(len(X))])
    ridge = np.full(x.shape[1], 1.0 / (C * N))
    ridge[-1] *= held
    here = y[HERE]
    side = 2.0 * here - 1.0
    hinges = [(1.0, here - 0.1), (-1.0, -here - 0.1)] if name == "LinearSVR" else [(side, np.ones(N))]
    influence = Influence.from_sklearn(make(), X[HERE, columns], here, smoothing=t)
    scores = influence.scores(X[THERE, columns], y[THERE], measurement=measurement, removal="first_order").values
    base = smooth_fit(x[HERE], hinges, np.ones(N), ridge, t)
    np.testing.assert_allclose(influence.adapted.objective.params.vector, base, atol=1e-9)
    sign = 1.0 if name == "LinearSVR" else 2.0 * y[THERE] - 1.0
    largest = np.argsort(-np.abs(scores).max(axis=0))[:6]
    for i in largest:
        up, down = (
            smooth_fit(x[HERE], hinges, np.where(np.arange(N) == i, 1.0 + e, 1.0), ridge, t) for e in (STEP, -STEP)
        )
        slope = sign * (x[THERE] @ (up - down)) / (2.0 * STEP)
        np.testing.assert_allclose(scores[:, i], -slope, rtol=1e-5, atol=1e-8)


def test_without_rounding_it_is_the_gradient_over_the_penalty_and_margin_rows_have_none() -> None:
    """s = 0: x·x′ / (λ n) of the rows inside the margin; 0 for those on it and off it."""
    influence = Influence.from_sklearn(linear(), X[HERE], Y[HERE], smoothing=0)
    found = influence.scores(X[THERE], Y[THERE], measurement="margin", removal="first_order")
    places: Any = influence.attribution.exactly.places[:, 0]  # type: ignore[attr-defined]
    assert min(np.bincount(places, minlength=3)) > 0
    sides, of = 2.0 * Y - 1.0, np.column_stack([X, np.ones(len(X))])
    expected = -(sides[THERE, None] * (of[THERE] @ of[HERE].T) * sides[None, HERE]) * C
    np.testing.assert_allclose(found.values[:, places == FULL], expected[:, places == FULL], rtol=1e-9)
    assert not found.values[:, places == INSIDE].any()
    assert not found.values[:, places == OFF].any()
    assert found.grade.letter == "C"
    assert "sizes are far too large" in found.grade.reasons[0]
    assert influence.relabel(X[THERE], Y[THERE]).grade.letter == "C"
    assert influence.features(X[THERE], Y[THERE], [3]).grade.letter == "C"


def test_a_narrow_rounding_has_the_true_derivative() -> None:
    """As t falls: what a little less weight of a row really does, along the exact path."""
    influence = Influence.from_sklearn(free(), X[HERE], Y[HERE], smoothing=1e-5)
    scores = influence.scores(X[THERE], Y[THERE], measurement="margin", removal="first_order").values
    nudge = 1e-6
    for i in np.flatnonzero(np.abs(scores).max(axis=0) > 1e-4):
        real = influence.reweight([int(i)], 1.0 - nudge, X[THERE], Y[THERE], measurement="margin").refit().truth
        np.testing.assert_allclose(scores[:, i], np.asarray(real) / nudge, rtol=2e-2, atol=1e-3)


@pytest.mark.parametrize("smoothing", [0.0, 0.001, 0.3, 3.0])
def test_removals_groups_and_refits_are_the_kinked_models_own(smoothing: float) -> None:
    """Whatever the width, which is said where a derivative is."""
    plain, other = (Influence.from_sklearn(linear(), X[HERE], Y[HERE], smoothing=s) for s in (None, smoothing))
    asked = (X[THERE], Y[THERE])
    first, second = plain.scores(*asked), other.scores(*asked)
    np.testing.assert_allclose(first.values, second.values, atol=1e-9)
    assert first.how == second.how
    assert first.grade == second.grade
    np.testing.assert_allclose(
        plain.group([1, 2, 3], *asked).estimate, other.group([1, 2, 3], *asked).estimate, atol=1e-9
    )
    np.testing.assert_allclose(plain.without([5]).model.coef_, other.without([5]).model.coef_, atol=1e-9)
    derivative = other.scores(*asked, removal="first_order")
    said = "kinked loss itself" if smoothing == 0 else f"smoothing = {smoothing:g}"
    assert said in derivative.how
    assert said in other.relabel(*asked).how
    assert said not in plain.scores(*asked, removal="first_order").how
    assert any("as asked" in note for note in derivative.notes)
    assert plain.scores(*asked, removal="first_order").notes == plain.scores(*asked).notes


@pytest.mark.parametrize("smoothing", [-0.1, np.nan, np.inf, True])
def test_what_is_no_width_is_named(smoothing: Any) -> None:
    """Negative, no number."""
    with pytest.raises(InputError, match=rf"smoothing is {smoothing!r}\. Give a number >= 0"):
        Influence.from_sklearn(linear(), X[HERE], Y[HERE], smoothing=smoothing)


@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(),
        LinearSVC(),
        SGDClassifier(loss="modified_huber"),
        SGDClassifier(loss="squared_hinge"),
        MLPClassifier((3,), solver="lbfgs", random_state=0),
    ],
    ids=lambda model: f"{type(model).__name__} {getattr(model, 'loss', '')}".strip(),
)
@pytest.mark.parametrize("smoothing", [0, 0.1])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_model_without_kinks_has_no_width(model: Any, smoothing: float) -> None:
    """Refused by name, with those that have one."""
    with pytest.raises(InputError, match=rf"smoothing is {smoothing}, .* {type(model).__name__} has no kinks .* SVC"):
        Influence.from_sklearn(model.fit(X[HERE], Y[HERE]), X[HERE], Y[HERE], smoothing=smoothing)


def test_a_free_intercept_needs_a_bend() -> None:
    """Nothing else curves in it."""
    with pytest.raises(InputError, match=r"smoothing is 0, and the intercept of this SVC has no penalty"):
        Influence.from_sklearn(free(), X[HERE], Y[HERE], smoothing=0)


def test_widths_that_cannot_be_answered_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Below rounding; where Newton does not arrive; where the exact path did not."""
    with pytest.raises(InputError, match=r"smoothing is 1e-12, less than 1e-09, where rounding decides"):
        Influence.from_sklearn(linear(), X[HERE], Y[HERE], smoothing=1e-12)
    minimise = kinked.minimise
    with monkeypatch.context() as change:
        change.setattr(kinked, "minimise", lambda head, max_steps: replace(minimise(head), converged=False))
        with pytest.raises(InputError, match=r"smoothing is 0\.1: Newton's steps do not find"):
            Influence.from_sklearn(free(), X[HERE], Y[HERE], smoothing=0.1)
    optimum = kinked.true_optimum

    def circling(*arguments: Any) -> Any:
        found = optimum(*arguments)
        return replace(found, fits=tuple((hinges, replace(fit, settled=False)) for hinges, fit in found.fits))

    monkeypatch.setattr(kinked, "true_optimum", circling)
    with pytest.raises(InputError, match=r"smoothing is 0\.1, and the exact path .* this LinearSVC are rounded too"):
        Influence.from_sklearn(linear(), X[HERE], Y[HERE], smoothing=0.1)
    assert "was not found on these rows" in Influence.from_sklearn(linear(), X[HERE], Y[HERE]).adapted.notes[-1]
