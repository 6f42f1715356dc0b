"""Single removals by leverage against one Newton step on an objective rebuilt without the row."""

from dataclasses import replace

import numpy as np
import pytest

from upweight.attribution import HeadAttribution
from upweight.linear_head import LinearHead
from upweight.newton import minimise
from upweight.removal.leverage import leverages
from upweight.solvers import Cholesky, Prepared
from upweight.testing import PROBLEMS, Problem, problem, reference

ROUNDING = 1e-10
REGULAR = [p for p in PROBLEMS if not p.singular and p.name not in ("near-singular", "tall")]


def tolerance(head: LinearHead) -> float:
    """Rounding; where shares are unequal one factor serves all rows, and each is off by s |share − mean share|."""
    spread = np.abs(head.shares - np.mean(head.shares[head.weights > 0]))[head.weights > 0].max()
    return ROUNDING + float(head.scale * spread)


@pytest.mark.parametrize("problem", REGULAR, ids=lambda p: p.name)
def test_leverage_is_one_newton_step_without_the_row(problem: Problem) -> None:
    """H with the row's block and its share of the penalty taken out, inverted for each row anew: the same effect."""
    head, v = problem.head, problem.right_hand_sides(3)
    estimate = HeadAttribution(head, Cholesky()).removals(v, "leverage").values()
    expected = reference.leverage_corrected(head, v)
    assert np.isfinite(estimate).all()
    assert np.abs(estimate - expected).max() <= tolerance(head) * np.abs(expected).max()


@pytest.mark.parametrize("problem", REGULAR, ids=lambda p: p.name)
def test_first_order_is_the_derivative(problem: Problem) -> None:
    """(1/n) ∇mᵀ H⁻¹ (w_i g_i + share_i Λθ) by Kronecker products and a dense inverse."""
    head, v = problem.head, problem.right_hand_sides(3)
    estimate = HeadAttribution(head, Cholesky()).removals(v, "first_order").values()
    expected = reference.first_order(head, v)
    assert np.abs(estimate - expected).max() <= ROUNDING * np.abs(expected).max()


@pytest.mark.parametrize("name", ["ridge", "ridge, two targets", "ridge, mean of the rows", "wide, ridge"])
def test_quadratic_losses_are_removed_exactly(name: str) -> None:
    """The estimate is the refit, whatever the leverage: in the mean form too, where a lost 1/n would show."""
    head, v = problem(name).head, problem(name).right_hand_sides(2)
    estimate = HeadAttribution(head, Cholesky()).removals(v, "leverage").values()
    rows = range(0, head.n, 3)
    truth = np.stack([reference.measured_change(head, [i], v) for i in rows], axis=1)
    assert np.abs(estimate[:, list(rows)] - truth).max() <= 1e-9 * np.abs(truth).max()


def test_a_weighted_quadratic_row_is_removed_exactly() -> None:
    """Weights 0 and 2 are inside the leverage: the estimate stays the refit, and weight 0 changes nothing."""
    base = problem("ridge").head
    weights = np.where(np.arange(base.n) % 4 == 0, 0.0, np.where(np.arange(base.n) % 3 == 0, 2.0, 1.0))
    head = replace(base, weights=weights)
    head = replace(head, params=replace(head.params, matrix=reference.refit(head, [])))
    v = np.eye(head.params.size)[:3]
    estimate = HeadAttribution(head, Cholesky()).removals(v, "leverage").values()
    truth = np.stack([reference.measured_change(head, [i], v) for i in range(12)], axis=1)
    assert np.abs(estimate[:, :12] - truth).max() <= 1e-9 * np.abs(truth).max()
    assert not estimate[:, weights == 0].any()


@pytest.mark.parametrize("name", ["binary logistic", "softmax", "softmax, two classes", "duplicates"])
def test_leverage_is_closer_than_the_derivative_by_far(name: str) -> None:
    """Median relative error over all single removals, mean leverage 0.06 to 0.09: under 3 %, without it 5 to 9 %."""
    head, v = problem(name).head, problem(name).right_hand_sides(4)
    engine = HeadAttribution(head, Cholesky())
    refits, converged = engine.refitted([[i] for i in range(head.n)])
    assert converged.all()
    truth = v @ (refits - head.params.vector).T
    error = {
        removal: float(np.median(np.abs(engine.removals(v, removal).values() - truth) / np.abs(truth)))
        for removal in ("leverage", "first_order")
    }
    assert error["leverage"] < 0.03
    assert error["first_order"] > 3 * error["leverage"]


def test_the_error_falls_with_the_square_of_the_rows() -> None:
    """Rows doubled twice in number, from one distribution: the error of θ falls by 4 each time, to a factor of 2."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(800, 4))
    y = (x @ [1.0, -1.0, 0.5, 0.0] + rng.logistic(size=800) > 0).astype(float)
    base = problem("binary logistic").head
    errors = []
    for n in (200, 400, 800):
        head = replace(base, features=replace(base.features, x=x[:n]), targets=y[:n], weights=np.ones(n))
        head = minimise(head).head
        engine = HeadAttribution(head, Cholesky())
        refits, _ = engine.refitted([[i] for i in range(100)])
        moved = engine.removals(np.eye(head.params.size), "leverage").values()[:, :100].T
        errors.append(np.linalg.norm(moved - (refits - head.params.vector), axis=1).mean())
    ratios = np.array(errors[:-1]) / np.array(errors[1:])
    assert (ratios > 2).all()  # 2 would be order 1/n
    assert (ratios < 12).all()


@pytest.mark.parametrize("problem", REGULAR, ids=lambda p: p.name)
def test_every_way_to_the_leverages_agrees(problem: Problem) -> None:
    """From the written-out inverse, and by solves for blocks of rows: s X_i H⁻¹ X_iᵀ both times."""
    head = problem.head
    prepared = HeadAttribution(head, Cholesky()).prepared
    bare = Prepared(prepared.solve, prepared.apply)
    expected = reference.leverages(head)
    size = np.abs(expected).max()
    gauge = np.ones((head.c, head.c)) / head.c if head.loss.name == "softmax" else np.zeros((head.c, head.c))
    off = np.eye(head.c) - gauge  # the gauge's own part is a convention: no measurement sees it
    for found in (leverages(head, prepared), leverages(head, bare)):
        assert np.abs(off @ (found - expected) @ off).max() <= ROUNDING * size


@pytest.mark.parametrize("problem", REGULAR, ids=lambda p: p.name)
def test_leverage_lies_between_0_and_1_and_moves_are_the_rows_own(problem: Problem) -> None:
    """h in [0, 1); `moves` is what the removal does to the row's own outputs, off the gauge."""
    head = problem.head
    engine = HeadAttribution(head, Cholesky())
    found = engine.leverage
    assert (found.h >= -ROUNDING).all()
    assert (found.h < 1).all()
    some = [0, 5 % head.n, head.n - 1]
    jacobians = np.stack([reference.Plain.of(head).row_jacobian(i) for i in some])
    for i, x in zip(some, jacobians, strict=True):
        expected = engine.removals(x, "leverage").values()[:, i]
        ours = found.moves[i]
        if head.loss.name == "softmax":
            expected, ours = expected - expected.mean(), ours - ours.mean()
        assert ours == pytest.approx(expected, abs=1e-9 * (1 + np.abs(expected).max()))


def test_a_row_that_alone_holds_a_direction_is_left_uncorrected_and_said() -> None:
    """A column that one row alone fills, without a penalty: leverage 1, finite effects, `alone` marks the row."""
    head = problem("ridge").head
    x = np.array(head.features.take(np.arange(head.n))[:, :-1])
    x[:, 2] = 0.0
    x[7, 2] = 1.0
    head = replace(head, features=replace(head.features, x=x), penalty=np.zeros_like(head.penalty))
    head = replace(head, params=replace(head.params, matrix=reference.refit(head, [])))
    engine = HeadAttribution(head, Cholesky())
    assert engine.leverage.alone.nonzero()[0].tolist() == [7]
    assert np.isfinite(engine.removals(np.eye(head.params.size), "leverage").values()).all()
