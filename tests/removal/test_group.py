"""A group's Newton step, its plain sum and its rows one by one, against dense references and refits."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from upweight.curvature import HeadCurvature
from upweight.linear_head import LinearHead
from upweight.removal import group
from upweight.removal.certificate import certify
from upweight.removal.group import direction_name, group_newton, one_by_one, plain_sum
from upweight.removal.leverage import removal_curvature
from upweight.removal.warm_refit import refit_without
from upweight.solvers import CG, Cholesky, Prepared, Woodbury
from upweight.testing import PROBLEMS, Problem, problem, reference
from upweight.testing.reference import Plain, inverse

REGULAR = [p for p in PROBLEMS if not p.singular and p.name != "near-singular"]
QUADRATIC = ["ridge", "ridge, two targets", "ridge, mean of the rows", "wide, ridge"]
FACTORS = {
    "out": lambda m: np.zeros(m),
    "twice": lambda m: np.full(m, 2.0),
    "mixed": lambda m: np.linspace(0.0, 2.5, m),
}
PATHS = {"rows": {}, "written out": {"FEW": 0}, "n-side": {"FEW": 0, "DENSE": 400}, "iterated": {"FEW": 0, "DENSE": -1}}


def prepared(head: LinearHead, damping: float = 0.0) -> Prepared:
    """H, factored."""
    return Cholesky().prepare(HeadCurvature(head).damped(damping))


def dense_step(head: LinearHead, rows: Any, factors: Any, damping: float = 0.0) -> Any:
    """−(Hessian of the objective with these weights)⁻¹ its gradient, row by row."""
    plain = Plain.of(head)
    weights = plain.weights.copy()
    weights[rows] *= factors
    gained = sum((f - 1) * plain.share(int(i)) for i, f in zip(rows, factors, strict=True)) / plain.total
    gradient = gained * plain.penalty_gradient()
    for i, f in zip(rows, factors, strict=True):
        gradient = gradient + (f - 1) * plain.weights[i] * plain.row_gradient(int(i)) / plain.total
    hessian = replace(plain, weights=weights).hessian(1.0 + gained) + damping * np.eye(len(plain.where))
    return -inverse(hessian, plain.gauge()) @ gradient


def some(head: LinearHead, count: int = 5) -> Any:
    """Rows of no particular kind, that leave something behind."""
    return np.random.default_rng(4).choice(head.n, size=min(count, head.n // 3), replace=False)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("problem", REGULAR, ids=lambda p: p.name)
def test_group_newton_is_one_newton_step(problem: Problem, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the objective with the new weights, its Hessian built row by row: by every way of solving, any factors."""
    for name, value in PATHS[path].items():
        monkeypatch.setattr(group, name, value)
    head, v = problem.head, problem.right_hand_sides(3)
    rows = some(head)
    for factors in FACTORS.values():
        f = factors(len(rows))
        step = group_newton(head, prepared(head), rows, f)
        expected = v @ dense_step(head, rows, f)
        assert step.held is None
        assert (
            np.abs(v @ step.delta - expected).max() <= (1e-7 if path == "iterated" else 1e-9) * np.abs(expected).max()
        )


@pytest.mark.parametrize("name", QUADRATIC)
def test_quadratic_losses_are_exact(name: str) -> None:
    """The group's step is the refit of the reference: sum form, mean form, several targets, more columns than rows."""
    head, v = problem(name).head, problem(name).right_hand_sides(2)
    for count in (1, 4, head.n // 3):
        rows = some(head, count)
        step = group_newton(head, prepared(head), rows, np.zeros(len(rows)))
        truth = reference.measured_change(head, rows.tolist(), v)
        assert np.abs(v @ step.delta - truth).max() <= 1e-9 * np.abs(truth).max()


def test_unequal_weights_in_the_mean_form_are_exact() -> None:
    """Each row takes its own share of the penalty: no common factor, unlike one row at a time."""
    head = replace(problem("ridge, mean of the rows").head, normalization="mean")
    head = replace(head, weights=np.linspace(0.5, 2.0, head.n))
    head = replace(head, params=replace(head.params, matrix=reference.refit(head, [])))
    rows, v = some(head), np.eye(head.params.size)
    step = group_newton(head, prepared(head), rows, np.zeros(len(rows)))
    truth = reference.measured_change(head, rows.tolist(), v)
    assert np.abs(step.delta - truth).max() <= 1e-10 * np.abs(truth).max()


@pytest.mark.parametrize("problem", REGULAR, ids=lambda p: p.name)
def test_plain_sum_adds_up_plain_scores(problem: Problem) -> None:
    """Σ (1 − factor) · score, of the dense first-order scores."""
    head, v = problem.head, problem.right_hand_sides(3)
    rows = some(head)
    f = FACTORS["mixed"](len(rows))
    found = v @ plain_sum(head, prepared(head), rows, f)
    expected = reference.first_order(head, v)[:, rows] @ (1.0 - f)
    assert np.abs(found - expected).max() <= 1e-9 * np.abs(expected).max()


@pytest.mark.parametrize("problem", REGULAR, ids=lambda p: p.name)
def test_one_by_one_adds_up_newton_steps(problem: Problem) -> None:
    """The dense leverage-corrected scores of the rows, added up; where shares are unequal, to s times their spread."""
    head, v = problem.head, problem.right_hand_sides(3)
    rows = some(head)
    curvature = removal_curvature(head)
    found = v @ one_by_one(curvature, Cholesky().prepare(curvature), rows, np.zeros(len(rows)))
    expected = reference.leverage_corrected(head, v)[:, rows].sum(axis=1)
    spread = head.scale * np.ptp(head.shares[head.weights > 0])
    assert np.abs(found - expected).max() <= (1e-9 + spread) * np.abs(expected).max()
    alone = rows[:1]
    for factor in (0.3, 2.0):
        single = v @ one_by_one(curvature, Cholesky().prepare(curvature), alone, np.array([factor]))
        step = v @ dense_step(head, alone, np.array([factor]))
        slack = 1e-9 if head.normalization == "sum" else 0.05  # one curvature for every factor
        assert np.abs(single - step).max() <= slack * np.abs(step).max()


@pytest.mark.parametrize("solver", [Cholesky(), Woodbury(), CG(tol=1e-12)], ids=lambda s: type(s).__name__)
def test_any_solver_prepares(solver: Any) -> None:
    """Direct, n-side or iterated: the same step."""
    head = problem("binary logistic").head
    rows, f = some(head), np.zeros(5)
    made = solver.prepare(HeadCurvature(head))
    expected = dense_step(head, rows, f)
    assert np.abs(group_newton(head, made, rows, f).delta - expected).max() <= 1e-8 * np.abs(expected).max()


@pytest.mark.parametrize("path", ["rows", "written out"])
def test_damping_stays(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """δI is in H with the new weights too."""
    for name, value in PATHS[path].items():
        monkeypatch.setattr(group, name, value)
    head = problem("softmax").head
    head = replace(head, penalty=head.penalty + 0.01)  # no gauge: damping and pins do not meet
    rows, f = some(head), np.zeros(5)
    step = group_newton(head, prepared(head, 0.3), rows, f, 0.3)
    expected = dense_step(head, rows, f, 0.3)
    assert np.abs(step.delta - expected).max() <= 1e-9 * np.abs(expected).max()


def held_column(loss: str, hot: int = 3) -> tuple[LinearHead, Any]:
    """A free column that is 1 in a few rows and 0 elsewhere, and those rows."""
    head = problem(loss).head
    x = np.asarray(head.features.take(np.arange(head.n)))[:, :-1].copy()
    x[:, 1] = 0.0
    x[:hot, 1] = 1.0
    penalty = head.penalty.copy()
    penalty[:, 1] = 0.0
    y = head.targets.copy()
    if loss == "binary logistic":
        y[:hot] = [0.0, 1.0, 1.0]
    head = replace(head, features=replace(head.features, x=x), penalty=penalty, targets=y)
    return replace(head, params=replace(head.params, matrix=reference.refit(head, []))), np.arange(hot)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", ["ridge", "ridge, mean of the rows", "binary logistic"])
def test_a_direction_that_the_rows_determine_is_named(name: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A one-hot column without a penalty: never a huge number; what does not see the column is answered exactly."""
    for setting, value in PATHS[path].items():
        monkeypatch.setattr(group, setting, value)
    head, rows = held_column(name)
    rows = np.append(rows, 7)
    step = group_newton(head, prepared(head), rows, np.zeros(len(rows)))
    assert step.held is not None
    assert direction_name(head.params, step.held) == "the coefficient of 'x1'"
    assert np.abs(step.delta).max() < 10.0
    plain, left = Plain.of(head).removed(rows.tolist())
    lost = (left - 1.0) * plain.penalty_gradient()
    for i in rows:
        lost = lost - head.weights[i] * Plain.of(head).row_gradient(int(i)) / plain.total
    others = [j for j in range(head.params.size) if j != 1]
    expected = -np.linalg.solve(plain.hessian(left)[np.ix_(others, others)], lost[others])
    assert np.abs(step.delta[others] - expected).max() <= 1e-7 * np.abs(expected).max()


def test_all_but_what_a_direction_needs_is_no_trouble() -> None:
    """One of its rows stays, or all of them at a small weight: nothing is held, and the step is finite."""
    head, rows = held_column("ridge")
    assert group_newton(head, prepared(head), rows[:-1], np.zeros(2)).held is None
    assert group_newton(head, prepared(head), rows, np.full(3, 0.01)).held is None


def test_a_mixed_direction_names_its_columns() -> None:
    """Largest first; a direction of one parameter is that parameter."""
    params = problem("softmax").head.params
    direction = np.zeros(params.size)
    direction[[0, 6]] = [1.0, 2.0]
    assert direction_name(params, direction) == "a combination of 'y1/x1', 'y0/x0'"
    only = problem("ridge").head.params
    assert direction_name(only, np.eye(only.size)[-1]) == "the intercept"
    assert [only.index(only.name(at)) for at in range(only.size)] == list(range(only.size))


@pytest.mark.parametrize("problem", [p for p in REGULAR if p.name != "one row per class"], ids=lambda p: p.name)
def test_refits_by_factors_are_optima(problem: Problem) -> None:
    """∇F with the new weights and divisor is 0; factor 0 is the removal; the certificate follows the factors."""
    head = problem.head
    rows = some(head, 4).tolist()
    f = FACTORS["mixed"](len(rows)).tolist()
    refits = refit_without(head, prepared(head), [rows, rows], factors=[f, [0.0] * len(rows)])
    assert refits.converged.all()
    plain = Plain.of(head)
    weights = plain.weights.copy()
    weights[rows] *= f
    gained = sum((one - 1) * plain.share(i) for i, one in zip(rows, f, strict=True)) / plain.total
    there = replace(plain, weights=weights).moved(refits.vectors[0] - head.params.vector)
    assert np.abs(there.gradient(1.0 + gained)).max() <= 1e-10
    removed = refit_without(head, prepared(head), [rows])
    assert np.abs(refits.vectors[1] - removed.vectors[0]).max() <= 1e-9
    if problem.head.loss.concordance is not None and problem.name != "wide, softmax":
        assert certify(head, rows, refits.vectors[0], factors=f).bound is not None
