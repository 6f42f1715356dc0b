"""The dense references themselves, against refits and differences: what everybody's tests stand on."""

from dataclasses import replace

import numpy as np
import pytest

from upweight.linear_head import LinearHead
from upweight.testing import PROBLEMS, Problem, problem
from upweight.testing.reference import Plain, first_order, leverage_corrected, measured_change, refit

every_problem = pytest.mark.parametrize("case", PROBLEMS, ids=lambda p: p.name)


def measurements(head: LinearHead) -> np.ndarray:
    """Differences of two rows' outputs: no gauge in them."""
    plain = Plain.of(head)
    return plain.row_gradient(0)[None] - plain.row_gradient(1)[None]


@every_problem
def test_gradient_and_hessian_are_derivatives_of_the_value(case: Problem) -> None:
    """Central differences of F, and of its gradient, along a random direction."""
    plain = Plain.of(case.head)
    v = np.random.default_rng(0).normal(size=len(plain.where))
    h = 1e-5
    up, down = plain.moved(h * v), plain.moved(-h * v)
    slope = (up.value() - down.value()) / (2 * h)
    outputs = np.max(np.abs(plain.x) @ np.abs(plain.theta).T)  # near-singular: sums of 1e4 and more that all but cancel
    rounding = np.finfo(float).eps * outputs / h
    assert slope == pytest.approx(plain.gradient() @ v, abs=max(1e-9, rounding))
    bend = (up.gradient() - down.gradient()) / (2 * h)
    np.testing.assert_allclose(bend, plain.hessian() @ v, atol=max(1e-7 * np.abs(bend).max(), rounding))


@every_problem
def test_problems_are_at_their_optimum(case: Problem) -> None:
    """The gradient vanishes to rounding, by the reference and by the head alike."""
    assert np.abs(Plain.of(case.head).gradient()).max() < 1e-11
    assert np.abs(case.head.gradient).max() < 1e-11


@pytest.mark.parametrize("name", ["ridge", "ridge, two targets", "ridge, mean of the rows"])
@pytest.mark.parametrize("normalization", ["sum", "mean", "rows"])
def test_leverage_correction_is_a_refit_where_the_loss_is_quadratic(name: str, normalization: str) -> None:
    """One Newton step without the row lands on the optimum, whatever the refit divides by."""
    head = replace(problem(name).head, normalization=normalization)
    m = measurements(head)
    estimates = leverage_corrected(head, m)
    for row in (0, 7):
        np.testing.assert_allclose(estimates[:, row], measured_change(head, [row], m), rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("name", ["softmax", "weights 0 and 2", "masked by L1", "one against the rest, per row"])
def test_first_order_is_the_derivative_in_the_weight(name: str) -> None:
    """A refit with a row's weight moved by ±1e-4 of itself, its share of the divisor with it."""
    head = replace(problem(name).head, normalization="sum")
    m, row, step = measurements(head), 5, 1e-4
    found = []
    for sign in (1.0, -1.0):
        weights = head.weights.copy()
        weights[row] *= 1.0 + sign * step
        moved = refit(replace(head, weights=weights), []).reshape(-1)[Plain.of(head).where]
        found.append(m @ moved)
    np.testing.assert_allclose(-(found[0] - found[1]) / (2 * step), first_order(head, m)[:, row], rtol=1e-6)


def test_mean_scores_sum_to_zero() -> None:
    """In mean form the pulls −g_i and −ḡ cancel over all rows."""
    head = problem("softmax, mean form").head
    scores = first_order(head, measurements(head))
    assert np.abs(scores.sum(axis=1)).max() < 1e-12 * np.abs(scores).max() * head.n
