"""A preconditioner in place of the curvature: what it answers, and that it says how far off it is."""

import numpy as np

from upweight.curvature import HeadCurvature
from upweight.solvers import Approximate, Status
from upweight.solvers.low_rank import LowRank
from upweight.solvers.preconditioner import Diagonal, Identity
from upweight.testing.problems import problem


def test_identity_gives_back_the_question_and_the_diagonal_divides_by_itself() -> None:
    """b and b / H_jj, with the true residual of each and the status that it has not converged."""
    case = problem("binary logistic")
    b, h = case.right_hand_sides(3), case.hessian
    for preconditioner, expected in ((Identity(), b), (Diagonal(), b / np.diag(h))):
        solution = Approximate(preconditioner).prepare(HeadCurvature(case.head))(b)
        np.testing.assert_allclose(solution.x, expected, rtol=1e-10)
        residual = np.linalg.norm(b - expected @ h, axis=1) / np.linalg.norm(b, axis=1)
        np.testing.assert_allclose(solution.residual, residual, rtol=1e-10)
        assert all(status is Status.OUT_OF_STEPS for status in solution.status)


def test_a_preconditioner_that_is_the_inverse_converges() -> None:
    """Of whole rank, the low-rank one is H⁻¹ itself."""
    case = problem("wide, softmax")
    b = case.right_hand_sides(2)
    solution = Approximate(LowRank(rank=100), tol=1e-6).prepare(HeadCurvature(case.head))(b)
    assert all(status is Status.CONVERGED for status in solution.status)
    np.testing.assert_allclose(solution.x, b @ case.inverse, rtol=1e-4, atol=1e-8)


def test_rows_that_are_not_finite_say_so() -> None:
    """NaN in one row."""
    case = problem("softmax")
    b = case.right_hand_sides(2)
    b[0, 0] = np.nan
    prepared = Approximate().prepare(HeadCurvature(case.head))
    assert prepared(b).status[0] is Status.NONFINITE_INPUT
    assert np.all(np.isfinite(prepared(b).x))
    assert prepared.how == f"the identity in place of the curvature of {case.head.params.size} parameters"
