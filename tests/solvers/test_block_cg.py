"""Block conjugate gradients: the error that they state, what they do when the block fails, and what they refuse."""

from dataclasses import dataclass
from typing import Any

import array_api_strict
import numpy as np
import pytest

from upweight.curvature import HeadCurvature
from upweight.errors import UnsupportedQuestion
from upweight.features import DenseFeatures
from upweight.linear_head import LinearHead
from upweight.output_loss import Logistic, Separate
from upweight.params import Params
from upweight.solvers import BlockCG, Solution, Status
from upweight.solvers.low_rank import LowRank
from upweight.solvers.preconditioner import Identity
from upweight.testing import PROBLEMS, Problem, in_namespace, problem
from upweight.testing.reference import leverages

every_problem = pytest.mark.parametrize("case", PROBLEMS, ids=lambda p: p.name)


def energy_errors(case: Problem, x: Any, b: Any) -> Any:
    """‖x − H⁻¹b‖_H / ‖H⁻¹b‖_H of each row, by the dense inverse."""
    exact = b @ case.inverse
    gap = np.asarray(x) - exact
    of = np.einsum("kp,pq,kq->k", exact, case.hessian, exact)
    return np.sqrt(np.einsum("kp,pq,kq->k", gap, case.hessian, gap) / of)


@every_problem
@pytest.mark.parametrize("solver", [BlockCG(), BlockCG(preconditioner=LowRank(rank=3))], ids=["sized", "rank 3"])
def test_stated_error_is_kept_or_the_row_says_so(solver: BlockCG, case: Problem) -> None:
    """Three rows are audited one by one: each within tol of the dense answer in the norm of H, up to M ≠ H."""
    b = case.right_hand_sides(3)
    solution = solver.prepare(HeadCurvature(case.head))(b)
    assert np.all(np.isfinite(solution.x))
    for row, status in enumerate(solution.status):
        assert status is Status.CONVERGED or status in case.may_report, solution.explain(row)
    if not case.singular and all(status is Status.CONVERGED for status in solution.status):
        assert np.all(energy_errors(case, solution.x, b) <= 3.0 * solver.tol)


def test_mixtures_state_the_error_of_all_rows() -> None:
    """24 rows at three tolerances: the error stated is the true root mean square, within the spread of four draws."""
    case = problem("wide, softmax")
    b = case.right_hand_sides(24)
    for tol in (1e-1, 1e-2, 1e-4):
        solution = BlockCG(tol=tol, preconditioner=LowRank(rank=10)).prepare(HeadCurvature(case.head))(b)
        true = float(np.sqrt(np.mean(energy_errors(case, solution.x, b) ** 2)))
        assert all(status is Status.CONVERGED for status in solution.status)
        assert true <= 2.0 * tol
        assert 0.3 <= true / float(solution.residual[0]) <= 3.0
        assert "by 4 random mixtures of all 24, in float64" in solution.said


def test_one_space_takes_fewer_passes_than_many() -> None:
    """40 right-hand sides behind no preconditioner at all: together they span what one alone has to search for."""
    case = problem("wide, softmax")
    prepared = BlockCG(tol=1e-4, preconditioner=Identity()).prepare(HeadCurvature(case.head))
    b = case.right_hand_sides(40)
    assert int(prepared(b).iterations.max()) < int(prepared(b[:1]).iterations.max())


def test_repeated_and_zero_rows_are_answered() -> None:
    """Directions that repeat others are left out; a zero stays zero; none at all is fine."""
    case = problem("softmax")
    b = case.right_hand_sides(4)
    b = np.vstack([b, b, np.zeros((1, b.shape[1])), -2.0 * b[:2]])
    prepared = BlockCG(preconditioner=LowRank(rank=2)).prepare(HeadCurvature(case.head))
    solution = prepared(b)
    assert all(status is Status.CONVERGED for status in solution.status)
    assert np.all(solution.x[8] == 0)
    np.testing.assert_allclose(solution.x[:4], solution.x[4:8], rtol=1e-2, atol=1e-2 * np.abs(solution.x).max())
    assert prepared(b[:0]).x.shape == (0, b.shape[1])
    assert all(status is Status.CONVERGED for status in prepared(np.zeros((2, b.shape[1]))).status)


def test_rows_that_are_not_finite_say_so_and_harm_no_other() -> None:
    """NaN in one row of six."""
    case = problem("softmax")
    b = case.right_hand_sides(6)
    b[2, 1] = np.nan
    solution = BlockCG().prepare(HeadCurvature(case.head))(b)
    assert solution.status[2] is Status.NONFINITE_INPUT
    kept = [0, 1, 3, 4, 5]
    assert all(solution.status[row] is Status.CONVERGED for row in kept)
    assert np.all(energy_errors(case, solution.x[kept], b[kept]) <= 3e-3)


def test_a_block_that_stalls_is_solved_row_by_row() -> None:
    """float32 products cannot reach 1e-9: conjugate gradients of each row's own do, and it is said."""
    case = problem("wide, softmax")
    b = case.right_hand_sides(6)
    solution = BlockCG(tol=1e-9, preconditioner=LowRank(rank=5)).prepare(HeadCurvature(case.head))(b)
    assert all(status is Status.CONVERGED for status in solution.status)
    assert np.all(energy_errors(case, solution.x, b) <= 3e-9)
    assert "of 6 solved one by one" in solution.said


@dataclass(frozen=True)
class Matrix:
    """A curvature that is a matrix and nothing more."""

    h: Any

    @property
    def size(self) -> int:
        return int(self.h.shape[0])

    def matmul(self, vectors: Any) -> Any:
        return vectors @ self.h

    def damped(self, damping: float) -> "Matrix":
        return Matrix(self.h + damping * np.eye(self.size))


def test_a_row_without_an_answer_says_so() -> None:
    """One right-hand side outside the range of a singular matrix: it stalls, the other is solved."""
    solver = BlockCG(preconditioner=Identity(), max_passes=5)
    solution: Solution = solver.prepare(Matrix(np.diag([2.0, 1.0, 0.0])))(np.array([[0.1, 0.1, 1.0], [1.0, 1.0, 0.0]]))
    assert solution.status == (Status.STALLED, Status.CONVERGED)
    assert np.all(np.isfinite(solution.x))
    np.testing.assert_allclose(solution.x[1, :2], [0.5, 1.0], rtol=1e-3)  # H does not see the third


def test_a_curvature_without_rows_needs_a_preconditioner() -> None:
    """The error names the solver, the curvature and what to do."""
    with pytest.raises(UnsupportedQuestion, match=r"BlockCG\(\) .* Matrix has none. Use BlockCG\(preconditioner"):
        BlockCG().prepare(Matrix(np.eye(3)))


@pytest.mark.parametrize("label", ["softmax", "wide, softmax", "ridge, two targets"])
def test_namespaces_agree(label: str) -> None:
    """The strict array API gives numpy's answers to the stated error."""
    case, xp = problem(label), array_api_strict
    b = case.right_hand_sides(12)
    there = BlockCG().prepare(HeadCurvature(in_namespace(case.head, xp)))(xp.asarray(b))
    assert all(status is Status.CONVERGED for status in there.status)
    assert float(np.sqrt(np.mean(energy_errors(case, there.x, b) ** 2))) <= 1e-3


@pytest.mark.parametrize("label", ["softmax", "wide, softmax", "binary logistic", "one against the rest, per row"])
def test_leverages_of_some_rows_are_those_of_all(label: str) -> None:
    """By index (solved), by slice and all at once: of whole rank all three are the reference's."""
    case = problem(label)
    prepared = BlockCG(preconditioner=LowRank(rank=100)).prepare(HeadCurvature(case.head))
    assert prepared.row_leverages is not None
    assert prepared.leverages is not None
    unseen = np.asarray(case.head.loss.null_outputs)
    seen = np.eye(case.head.c) - unseen.T @ unseen
    exact = seen @ leverages(case.head) @ seen
    rows = np.array([3, 0, 7])
    close = {"rtol": 0, "atol": 1e-10 * np.abs(exact).max()}
    np.testing.assert_allclose(seen @ prepared.row_leverages(rows) @ seen, exact[rows], **close)
    np.testing.assert_allclose(seen @ prepared.row_leverages(slice(2, 6)) @ seen, exact[2:6], **close)
    np.testing.assert_allclose(seen @ prepared.leverages() @ seen, exact, **close)


def test_outputs_that_are_not_free_alike_have_no_leverages_of_their_own() -> None:
    """L1 left other columns in each output: a row's coordinates alone do not give its leverage."""
    prepared = BlockCG().prepare(HeadCurvature(problem("masked by L1").head))
    assert prepared.row_leverages is None
    assert prepared.leverages is None


def test_few_questions_get_a_smaller_preconditioner() -> None:
    """What is said names it; once the larger one is made it serves all."""
    case = problem("tall")
    prepared = BlockCG().prepare(HeadCurvature(case.head))
    assert "behind the Hessian of 8 of the rows" in prepared(case.right_hand_sides(1)).said
    assert "directions" in prepared(case.right_hand_sides(9)).said
    assert "directions" in prepared(case.right_hand_sides(1)).said
    assert "to a relative error of 8e-04" in prepared.how


def test_a_direction_on_trust_is_seen_by_a_part_of_the_rows() -> None:
    """4,000 rows, 2 right-hand sides, a dozen tolerances: the error stated is no less than the true one, rarely far."""
    rng = np.random.default_rng(3)
    n, d = 4000, 120
    x = rng.normal(size=(n, d)) * np.linspace(0.2, 1.0, d)
    y = (x[:, 0] + rng.normal(size=n) > 0) + 0.0
    params = Params(np.zeros((1, d + 1)), np.ones((1, d + 1), dtype=bool), ("y",), tuple(map(str, range(d + 1))))
    head = LinearHead(
        DenseFeatures(x.astype(np.float32), np.float64), Separate(Logistic()), y, np.ones(n), params,
        np.full((1, d + 1), 0.5), "sum",
    )  # fmt: skip
    curvature = HeadCurvature(head)
    dense, b = curvature.dense(), rng.normal(size=(2, d + 1))
    exact = np.linalg.solve(dense, b.T).T
    trusted = 0
    for tol in np.geomspace(1e-1, 3e-5, 12):
        solution = BlockCG(tol=float(tol)).prepare(curvature)(b)
        gap = solution.x - exact
        true = np.sqrt(np.einsum("kp,pq,kq->k", gap, dense, gap) / np.einsum("kp,kp->k", b, exact))
        stated = float(solution.residual[0])
        assert all(status is Status.CONVERGED for status in solution.status)
        assert np.all(true <= 1.5 * stated)
        assert stated <= tol
        trusted += int(stated > 2.0 * true.max())
    assert trusted >= 2  # overstated by what a sample adds: these took a direction on trust
