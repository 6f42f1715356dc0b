"""The exact path of hinge models: against refits by libsvm and liblinear, across twins and empty margins."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC, LinearSVR

from upweight.adapters import Adapted, adapt
from upweight.attribution import HingeAttribution
from upweight.removal.changed_refit import Changed
from upweight.removal.hinges import FULL, INSIDE, OFF, duality_gap, violation
from upweight.removal.svm_path import follow

TIGHT = 1e-10


def made(model: Any, x: Any, y: Any, weight: Any = None) -> tuple[Adapted, HingeAttribution]:
    """The fitted model, read and ready."""
    adapted = adapt(model.fit(x, y, sample_weight=weight), x, y, weight)
    ready = adapted.attribution(adapted.objective, "auto", 0.0)
    assert isinstance(ready, HingeAttribution)
    return adapted, ready


def cancer(rows: int | None = None) -> tuple[Any, Any]:
    """Breast cancer, scaled."""
    x, y = load_breast_cancer(return_X_y=True)
    return StandardScaler().fit_transform(x)[:rows], y[:rows]


def digits(one: int, other: int) -> tuple[Any, Any]:
    """Two of the digits."""
    x, y = load_digits(return_X_y=True)
    at = np.isin(y, (one, other))
    return x[at] / 16.0, y[at]


def outputs_of(ready: HingeAttribution, states: Any) -> Any:
    """z of all rows at k states, [k, n]."""
    return ready.row_outputs_at(states, range(ready.n))[:, :, 0]


@pytest.mark.parametrize(
    ("data", "model"),
    [
        (cancer(), SVC(gamma=1 / 30, tol=TIGHT)),
        (cancer(200), SVC(kernel="linear", C=0.5, tol=TIGHT)),
        (digits(3, 8), SVC(gamma=0.2, C=3.0, tol=TIGHT)),
    ],
    ids=["cancer rbf", "cancer linear", "digits rbf"],
)
def test_every_support_vector_removed_is_libsvms_own_refit(data: Any, model: Any) -> None:
    """Walked out one by one, all of them: the outputs of all rows are a cold refit's, to 1e-6 of the largest.

    The path meets the conditions of an optimum at rounding; libsvm misses them by up to 5e-6 whatever its tol.
    """
    x, y = data
    _, ready = made(model, x, y)
    hold = model.support_
    states, settled = ready.refitted([[int(i)] for i in hold])
    assert settled.all()
    ours = outputs_of(ready, states)
    for i, z in list(zip(hold, ours, strict=True))[::3]:
        left = np.delete(np.arange(len(y)), i)
        own = SVC(**model.get_params()).fit(x[left], y[left])
        np.testing.assert_allclose(z, own.decision_function(x), atol=1e-6 * np.abs(z).max())
        assert violation(*ready.exactly.ends([int(i)])[0]) < 1e-12


def test_rows_inside_and_off_have_no_weight_derivative_but_removal_moves_the_model() -> None:
    """A little less weight of a margin support vector changes nothing, none of it does: the path is what sees that."""
    x, y = cancer(250)
    _, ready = made(SVC(tol=TIGHT), x, y)
    places = ready.exactly.places[:, 0]
    for place, moves in ((OFF, False), (INSIDE, True), (FULL, True)):
        rows = [int(i) for i in np.flatnonzero(places == place)[:5]]
        nudged, _ = ready.refitted([[i] for i in rows], [[1 - 1e-7]] * len(rows))
        removed, _ = ready.refitted([[i] for i in rows])
        slope = np.abs(nudged - ready.vector).max(axis=1) / 1e-7
        assert np.all(slope < 1e-5) if place != FULL else np.all(slope > 1e-3)
        assert np.all((np.abs(removed - ready.vector).max(axis=1) > 1e-6) == moves)


def test_derivative_of_a_full_hinge_is_the_bordered_system() -> None:
    """db and dα_M of METHODS.md 2.5, solved once in dense arithmetic, are the first piece of the path."""
    x, y = cancer(150)
    model = SVC(gamma=0.05, tol=TIGHT)
    _, ready = made(model, x, y)
    hinges, fit = ready.exactly.fits[0]
    inside, e = np.flatnonzero(fit.place == INSIDE), int(np.flatnonzero(fit.place == FULL)[0])
    s = 2.0 * y - 1.0
    kernel = np.exp(-0.05 * ((x[:, None] - x[None]) ** 2).sum(-1)) * s[:, None] * s[None]
    border = np.block([[np.zeros((1, 1)), s[None, inside]], [s[inside][:, None], kernel[np.ix_(inside, inside)]]])
    slope = np.linalg.solve(border, -np.append(s[e], kernel[inside, e]))
    box = hinges.box.copy()
    box[e] -= 1e-9
    _, end = follow(hinges, fit, box=box)
    np.testing.assert_allclose((end.dual - fit.dual)[inside] / -1e-9, slope[1:], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("repeat", [2, 5])
def test_twins_hold_each_others_place(repeat: int) -> None:
    """Copies of rows: the margin's Gram matrix is singular, and every removal is still the refit."""
    rng = np.random.default_rng(repeat)
    x = np.repeat(np.round(rng.normal(size=(14, 2)), 1), repeat, axis=0)
    y = np.repeat((rng.normal(size=14) + x[::repeat, 0] > 0).astype(int), repeat)
    model = SVC(kernel="linear", C=2.0, tol=TIGHT)
    _, ready = made(model, x, y)
    states, settled = ready.refitted([[i] for i in range(len(y))])
    assert settled.all()
    for i, z in enumerate(outputs_of(ready, states)):
        left = np.delete(np.arange(len(y)), i)
        own = SVC(**model.get_params()).fit(x[left], y[left])
        coef = states[i, :-1]
        np.testing.assert_allclose(coef, own.coef_[0], atol=1e-6)
        here = ready.exactly.ends([i])[0][1]
        if np.any(here.place == INSIDE):  # else the intercept has a range, and libsvm's rounding chooses
            np.testing.assert_allclose(z, own.decision_function(x), atol=1e-6)


def test_nobody_on_the_margin_gives_the_middle_of_the_intercepts() -> None:
    """With boxes too small to lift anyone off them the intercept has a range, and moves until somebody enters."""
    x = np.array([[-2.0], [-1.0], [1.0], [3.0]])
    y = np.array([0, 0, 1, 1])
    _, ready = made(SVC(kernel="linear", C=0.01, tol=TIGHT), x, y)
    _, fit = ready.exactly.fits[0]
    assert not np.any(fit.place == INSIDE)
    assert fit.theta[0] == pytest.approx(0.07)
    low, high = -1.0 + 0.07, 1.0 - 0.21  # z of row 1 at -1, z of row 3 at 1
    assert fit.theta[1] == pytest.approx((low + high) / 2, abs=0.2)
    states, settled = ready.refitted([[0]])
    assert settled.all()
    own = SVC(kernel="linear", C=0.01, tol=TIGHT).fit(x[1:], y[1:])
    np.testing.assert_allclose(states[0, 0], own.coef_[0, 0], atol=1e-9)


def test_losing_a_side_has_no_optimum_and_says_so() -> None:
    """Without its only positive row nothing holds the intercept."""
    x, y = np.array([[-1.0], [-2.0], [1.0]]), np.array([0, 0, 1])
    _, ready = made(SVC(kernel="linear", tol=TIGHT), x, y)
    _, settled = ready.refitted([[2]])
    assert not settled.any()


@pytest.mark.parametrize(
    "model",
    [
        SVC(tol=TIGHT),
        SVR(epsilon=0.2, tol=TIGHT),
        LinearSVC(loss="hinge", intercept_scaling=2.0, tol=1e-11, max_iter=10**6, random_state=0),
        LinearSVR(epsilon=0.2, C=0.05, tol=1e-11, max_iter=10**6, random_state=0),
    ],
    ids=lambda model: type(model).__name__,
)
def test_groups_weights_and_labels_are_the_models_own_refits(model: Any) -> None:
    """A group leaves, rows weigh more or less, a label turns: as the model's own solver does from nothing."""
    x, y = cancer(80)
    x = x[:, :3] if hasattr(model, "intercept_scaling") else x  # liblinear does not get there on more
    rng = np.random.default_rng(0)
    regression = isinstance(model, SVR | LinearSVR)
    target = x[:, 0] + 0.5 * rng.normal(size=80) if regression else y
    model = type(model)(**model.get_params())
    adapted, ready = made(model, x, target)
    frozen = {"gamma": model._gamma} if hasattr(model, "_gamma") else {}

    def own(y_new: Any, weight: Any) -> Any:
        kept = weight > 0
        fresh = type(model)(**(model.get_params() | frozen))
        fresh.fit(x[kept], y_new[kept], sample_weight=weight[kept])
        return fresh.predict(x) if regression else fresh.decision_function(x)

    rows = [3, 10, 11, 40, 62]
    sets, factors = [rows, rows], [[0.0] * 5, [2.0, 0.5, 0.0, 3.0, 1.5]]
    states, settled = ready.refitted(sets, factors)
    assert settled.all()
    for z, factor in zip(outputs_of(ready, states), factors, strict=True):
        weight = np.ones(80)
        weight[rows] = factor
        np.testing.assert_allclose(z, own(target, weight), atol=2e-5)
    at = np.array([3, 40])
    other = target[at] + 1.0 if regression else 1 - target[at]
    states, settled = ready.changed(Changed(at, targets=adapted.read_target(other)))
    assert settled.all()
    for i, label, z in zip(at, other, outputs_of(ready, states), strict=True):
        turned = target.copy()
        turned[i] = label
        np.testing.assert_allclose(z, own(turned, np.ones(80)), atol=2e-5)


def test_gap_and_violation_tell_an_optimum_from_a_point_beside_it() -> None:
    """Both are at rounding at the path's end; a step away the gap is at least half its squared length in Λ."""
    x, y = cancer(100)
    _, ready = made(LinearSVC(loss="hinge", tol=1e-9, max_iter=10**5), x, y)
    hinges, fit = ready.exactly.fits[0]
    assert violation(hinges, fit) < 1e-10
    assert abs(duality_gap(hinges, fit, fit.theta)) < 1e-12
    step = np.random.default_rng(0).normal(size=len(fit.theta))
    assert violation(hinges, replace(fit, theta=fit.theta + step)) > 0.1
    assert duality_gap(hinges, fit, fit.theta + step) >= 0.5 * float(np.sum(step**2 / hinges.inverse))
    certificate = ready.certificate([5], ready.refitted([[5]])[0][0])
    assert certificate.proof
    assert certificate.sentence.startswith("proved: no output")
    assert certificate.outputs_within is not None
    assert certificate.outputs_within < 1e-4
    within = certificate.within(np.eye(len(fit.theta))[0])
    assert within is not None
    assert within < 1e-4


def test_scores_are_the_refits_and_what_holds_the_optimum_is_said() -> None:
    """Every score is a real removal; rows off the margin score exactly 0."""
    x, y = cancer(200)
    _, ready = made(SVC(tol=TIGHT), x, y)
    v = np.random.default_rng(0).normal(size=(3, ready.size))
    values = ready.removals(v, "leverage").values()
    states, _ = ready.refitted([[i] for i in range(200)])
    np.testing.assert_allclose(values, v @ (states - ready.vector).T, atol=1e-9)
    assert np.all(values[:, ready.exactly.places[:, 0] == OFF] == 0.0)
    assert "exact path" in ready.taken_out("leverage")
    moves = ready.own_moves()
    z = ready.row_outputs_at(states, range(200))
    np.testing.assert_allclose(moves[:, 0], z[range(200), range(200), 0] - ready.outputs[:, 0], atol=1e-9)


def test_without_goes_on_from_the_refit() -> None:
    """Removals after a removal are the removals of both."""
    x, y = cancer(120)
    _, ready = made(SVC(tol=TIGHT), x, y)
    first, second = (int(i) for i in np.flatnonzero(ready.exactly.places[:, 0] == FULL)[:2])
    there = ready.without([first])
    both, _ = ready.refitted([[first, second]])
    one, settled = there.refitted([[second]])
    assert settled.all()
    np.testing.assert_allclose(outputs_of(ready, one), outputs_of(ready, both), atol=1e-8)
