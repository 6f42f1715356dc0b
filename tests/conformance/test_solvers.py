"""Every solver of the registry on every problem: right to its stated residual, or it says what happened."""

from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

import array_api_strict
import numpy as np
import pytest

from upweight.curvature import HeadCurvature
from upweight.errors import UnsupportedQuestion
from upweight.solvers import CG, SOLVERS, Cholesky, LiSSA, Solver, Status, Woodbury
from upweight.solvers.low_rank import LowRank
from upweight.solvers.preconditioner import Diagonal, Identity
from upweight.solvers.sampled import SampledHessian
from upweight.testing import PROBLEMS, Problem, in_namespace, problem
from upweight.testing.reference import Plain, leverages

SETTINGS: dict[str, Solver] = {name: kind() for name, kind in SOLVERS.items()}
SETTINGS["lissa"] = LiSSA(max_iterations=1500)  # enough for all but the problems that may run out of steps
PRECONDITIONERS = [
    Identity(),
    Diagonal(),
    LowRank(rank=2),
    LowRank(rank=100),
    LowRank(rank=3, fraction=0.3, basis_fraction=0.5),
    LowRank(rank=3, bulk="float32"),
    SampledHessian(rows=20),
]
ROUNDING = 1e-13
NAMESPACED = ["softmax", "masked by L1", "ridge, two targets", "wide, softmax", "collinear without penalty"]

every_problem = pytest.mark.parametrize("case", PROBLEMS, ids=lambda p: p.name)
every_solver = pytest.mark.parametrize("name", SOLVERS)


@dataclass(frozen=True)
class Matrix:
    """A curvature that is a matrix and nothing more: no rows, no features."""

    h: Any

    @property
    def size(self) -> int:
        return int(self.h.shape[0])

    def matmul(self, vectors: Any) -> Any:
        return vectors @ self.h

    def damped(self, damping: float) -> "Matrix":
        return type(self)(self.h + damping * np.eye(self.size))


@dataclass(frozen=True)
class Written(Matrix):
    """The same, and it can be written out."""

    def dense(self) -> Any:
        return self.h


def errors(case: Problem, x: Any, b: Any) -> Any:
    """Relative error of each row; of what the rows can see of it where directions are missing."""
    x, exact = np.asarray(x), b @ case.inverse
    if case.singular:
        plain = Plain.of(case.head)
        seen = np.concatenate([plain.row_jacobian(i) for i in range(case.head.n)])
        x, exact = x @ seen.T, exact @ seen.T
    return np.linalg.norm(x - exact, axis=1) / np.linalg.norm(exact, axis=1)


@every_problem
@every_solver
def test_solver_is_right_or_says_so(name: str, case: Problem) -> None:
    """A converged row is within condition × tol of the dense answer; else its status is allowed."""
    solver, b = SETTINGS[name], case.right_hand_sides(3)
    solution = solver.prepare(HeadCurvature(case.head))(b)
    assert np.all(np.isfinite(solution.x))
    for error, status, row in zip(errors(case, solution.x, b), solution.status, range(3), strict=True):
        if status is Status.CONVERGED:
            assert error <= case.condition * max(solver.tol, ROUNDING)
        else:
            assert status in case.may_report, f"{case.name}: {solution.explain(row)}"


@every_problem
@every_solver
def test_stated_residual_is_the_true_one(name: str, case: Problem) -> None:
    """‖b − Hx‖ / ‖b‖, by the dense Hessian of the reference, is what the solution says, to the matrix's rounding."""
    b = case.right_hand_sides(2)
    curvature = HeadCurvature(case.head)
    solution = SETTINGS[name].prepare(curvature)(b)
    plain = Plain.of(case.head)
    h = case.hessian + plain.gauge().T * curvature.pins[curvature.pins > 0] @ plain.gauge()
    true = np.linalg.norm(b - solution.x @ h, axis=1) / np.linalg.norm(b, axis=1)
    size = np.linalg.norm(solution.x, axis=1) * np.linalg.norm(h, 2) / np.linalg.norm(b, axis=1)
    assert np.all(np.abs(true - np.asarray(solution.residual)) <= 1e-13 * (1.0 + size))


@pytest.mark.parametrize("library", ["array_api_strict", "array_api_compat.torch"])
@pytest.mark.parametrize("label", NAMESPACED)
@every_solver
def test_namespaces_agree(name: str, label: str, library: str) -> None:
    """The strict array API namespace gives numpy's answers, and so does torch."""
    pytest.importorskip("torch" if "torch" in library else library)
    case, xp = problem(label), import_module(library)
    b = case.right_hand_sides(3)
    there = SETTINGS[name].prepare(HeadCurvature(in_namespace(case.head, xp)))(xp.asarray(b))
    assert all(s is Status.CONVERGED for s in there.status)
    assert np.all(errors(case, np.asarray(there.x), b) <= case.condition * max(SETTINGS[name].tol, ROUNDING))


@every_solver
def test_nonfinite_rows_say_so_and_harm_no_other(name: str) -> None:
    """NaN and infinity in two rows leave the third as it is alone."""
    case = problem("softmax")
    prepared = SETTINGS[name].prepare(HeadCurvature(case.head))
    b = case.right_hand_sides(3)
    b[0, 2], b[2, 0] = np.nan, np.inf
    solution = prepared(b)
    assert solution.status[0] is solution.status[2] is Status.NONFINITE_INPUT
    assert np.all(np.isfinite(solution.x))
    assert "NaN or infinity" in solution.explain(0)
    assert solution.status[1] is Status.CONVERGED
    np.testing.assert_allclose(solution.x[1], prepared(b[1:2]).x[0], rtol=1e-10, atol=1e-13)


@every_solver
def test_number_and_order_of_rows_do_not_matter(name: str) -> None:
    """None, one or many, in any order: to rounding the same answers."""
    case = problem("softmax, mean form")
    prepared = SETTINGS[name].prepare(HeadCurvature(case.head))
    b = np.vstack([case.right_hand_sides(6), np.zeros((1, case.head.params.size))])
    together, order = prepared(b), np.array([4, 0, 6, 2, 5, 1, 3])
    assert prepared(b[:0]).x.shape == (0, b.shape[1])
    assert prepared(b[:0]).status == ()
    np.testing.assert_allclose(prepared(b[order]).x, together.x[order], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(prepared(b[3:4]).x, together.x[3:4], rtol=1e-9, atol=1e-12)
    assert np.all(together.x[6] == 0)
    assert together.status[6] is Status.CONVERGED


@every_problem
@every_solver
def test_answers_are_symmetric(name: str, case: Problem) -> None:
    """uᵀ H⁻¹ v = vᵀ H⁻¹ u to the residual; the bare operator of direct solvers and preconditioners to rounding."""
    prepared = SETTINGS[name].prepare(HeadCurvature(case.head))
    b = case.right_hand_sides(2)
    solution = prepared(b)
    if all(s is Status.CONVERGED for s in solution.status):
        x = np.asarray(solution.x)
        bound = max(SETTINGS[name].tol, ROUNDING) * np.linalg.norm(b, axis=1).max() * np.linalg.norm(x, axis=1).max()
        assert abs(b[0] @ x[1] - b[1] @ x[0]) <= 2 * bound
    if name != "lissa" and case.condition < 1e10:
        bare = np.asarray(prepared.apply(b))
        np.testing.assert_allclose(b[0] @ bare[1], b[1] @ bare[0], rtol=1e-10)


@every_problem
@pytest.mark.parametrize("preconditioner", PRECONDITIONERS, ids=repr)
def test_preconditioner_changes_steps_not_answers(preconditioner: Any, case: Problem) -> None:
    """Conjugate gradients give the dense answer behind each of them, and each is symmetric and positive."""
    b = case.right_hand_sides(3)
    prepared = CG(preconditioner=preconditioner).prepare(HeadCurvature(case.head))
    solution = prepared(b)
    for error, status in zip(errors(case, solution.x, b), solution.status, strict=True):
        if status is Status.CONVERGED:
            assert error <= case.condition * 1e-8
        else:
            assert status in case.may_report
    v = np.random.default_rng(0).normal(size=(4, case.head.params.size))
    form = np.asarray(prepared.apply(v)) @ v.T
    np.testing.assert_allclose(form, form.T, rtol=1e-7, atol=1e-9 * np.abs(form).max())
    assert np.linalg.eigvalsh(0.5 * (form + form.T))[0] > 0 or case.head.params.size < 4


def test_whole_rank_takes_one_step_and_more_rank_takes_fewer() -> None:
    """Q of all directions from all rows is the Hessian itself."""
    case = problem("wide, softmax")
    b = case.right_hand_sides(3)

    def steps(preconditioner: Any) -> int:
        found = CG(preconditioner=preconditioner).prepare(HeadCurvature(case.head))(b)
        return int(found.iterations.max())

    taken = [steps(Identity())] + [steps(LowRank(rank=rank)) for rank in (5, 15, 100)]
    assert taken == sorted(taken, reverse=True)
    assert taken[-1] == 1


@every_problem
def test_woodbury_leverages_are_those_of_the_rows(case: Problem) -> None:
    """X_i H⁻¹ X_iᵀ from the Gram matrix equals the reference, up to what no target sees."""
    curvature = HeadCurvature(case.head)
    found = Woodbury().prepare(curvature).leverages()
    if not case.singular:
        assert_leverages(case, found, 1e-12 * min(case.condition, 1e11))
    strict = HeadCurvature(in_namespace(case.head, array_api_strict))
    np.testing.assert_allclose(np.asarray(Woodbury().prepare(strict).leverages()), found, atol=1e-7)


@every_problem
def test_low_rank_leverages_state_their_error(case: Problem) -> None:
    """Of whole rank they are exact; else the error found on the sample is that of the worst row, within a factor."""
    if case.singular or case.condition > 1e10:
        return
    whole = CG(tol=1e-12, preconditioner=LowRank(rank=100)).prepare(HeadCurvature(case.head))
    if whole.leverages is None:
        assert case.name == "masked by L1"
        return
    assert_leverages(case, whole.leverages(), 1e-10)
    assert whole.leverage_error() < 1e-10
    part = CG(tol=1e-12, preconditioner=LowRank(rank=2)).prepare(HeadCurvature(case.head))
    curvature = HeadCurvature(case.head)
    exact = Woodbury().prepare(curvature).leverages()
    seen = np.eye(case.head.c) - case.head.loss.null_outputs.T @ case.head.loss.null_outputs
    exact, found = seen @ exact @ seen, seen @ part.leverages() @ seen
    gap = np.linalg.norm(found - exact, axis=(1, 2)) / np.linalg.norm(exact, axis=(1, 2))
    assert gap.max() / 4 - 1e-10 <= part.leverage_error() <= gap.max() + 1e-10


def assert_leverages(case: Problem, found: Any, tol: float) -> None:
    null = np.asarray(case.head.loss.null_outputs)
    off = np.eye(case.head.c) - null.T @ null
    exact = off @ leverages(case.head) @ off
    np.testing.assert_allclose(off @ found @ off, exact, rtol=0, atol=tol * np.abs(exact).max())


@pytest.mark.parametrize("solver", [Cholesky(), CG(), LiSSA()], ids=lambda s: type(s).__name__)
def test_negative_curvature_is_met_and_said(solver: Solver) -> None:
    """A saddle: the status names it, the number is the eigenvalue's order, the advice a damping that cures it."""
    rng = np.random.default_rng(3)
    turn = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    curvature = Written(turn @ np.diag([2.0, 1.0, 0.5, 0.4, 0.3, -0.2]) @ turn.T)
    b = rng.normal(size=(2, 6))
    solution = solver.prepare(curvature)(b)
    assert all(s is Status.NEGATIVE_CURVATURE for s in solution.status)
    assert np.all(np.isfinite(solution.x))
    assert all(bent is not None and -0.2 - 1e-9 <= bent < 0 for bent in solution.lowest)
    assert "damping has to be at least" in solution.explain(1)
    cured = solver.prepare(curvature.damped(1.1 * 0.2 + 0.1))(b)
    assert all(s is Status.CONVERGED for s in cured.status)


@pytest.mark.parametrize("solver", [Cholesky(), CG()], ids=lambda s: type(s).__name__)
def test_singular_curvature_stalls_where_the_question_sees_it(solver: Solver) -> None:
    """A right-hand side outside the range has no answer; one inside it has."""
    curvature = Written(np.diag([2.0, 1.0, 0.0]))
    solution = solver.prepare(curvature)(np.array([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0]]))
    assert solution.status == (Status.STALLED, Status.CONVERGED)
    np.testing.assert_allclose(solution.x[1], [0.5, 1.0, 0.0])


def test_out_of_steps() -> None:
    """A step limit below what is needed is said, with the true residual of the best iterate."""
    case = problem("wide, softmax")
    b = case.right_hand_sides(2)
    solution = CG(max_iterations=3).prepare(HeadCurvature(case.head))(b)
    assert solution.status == (Status.OUT_OF_STEPS,) * 2
    assert list(solution.iterations) == [3, 3]
    np.testing.assert_allclose(
        solution.residual, np.linalg.norm(b - solution.x @ case.hessian, axis=1) / np.linalg.norm(b, axis=1), rtol=1e-6
    )


def test_lissa_is_its_closed_filter() -> None:
    """On a diagonal H after J steps: (1 − (1 − h/σ)^J) / h in each direction, METHODS.md 4's number among them."""
    h = np.array([1.0, 0.3, 1e-3])
    steps = 1000
    found = LiSSA(tol=0.0, max_iterations=steps, scale=2.0).prepare(Matrix(np.diag(h)))(np.ones((1, 3)))
    np.testing.assert_allclose(found.x[0], (1 - (1 - h / 2.0) ** steps) / h, rtol=1e-9)
    assert round(found.x[0, 2]) == 394  # truth: 1000
    assert found.status == (Status.OUT_OF_STEPS,)


def test_lissa_in_batches_is_near_and_repeats_bring_it_nearer() -> None:
    """Batches of 32 of 300 rows: within its stated residual of the answer, which averaging four runs lowers."""
    case = problem("tall")
    b = case.right_hand_sides(2)

    def residual(repeats: int) -> float:
        solver = LiSSA(tol=1e-9, batch=32, repeats=repeats, max_iterations=400)
        solution = solver.prepare(HeadCurvature(case.head))(b)
        assert np.all(errors(case, solution.x, b) <= case.condition * np.asarray(solution.residual))
        return float(np.mean(solution.residual))

    assert residual(4) < residual(1) < 0.2


@pytest.mark.parametrize(
    ("solver", "named"),
    [
        (Cholesky(), "solver='cholesky'"),
        (Woodbury(), "solver='woodbury'"),
        (CG(preconditioner=Diagonal()), r"Diagonal\(\)"),
        (CG(preconditioner=LowRank()), r"LowRank\(\)"),
        (CG(preconditioner=SampledHessian()), r"SampledHessian\(\)"),
    ],
    ids=lambda s: type(s).__name__,
)
def test_what_a_curvature_lacks_is_refused_by_name(solver: Solver, named: str) -> None:
    """The error names the solver, the curvature and what to use."""
    with pytest.raises(UnsupportedQuestion, match=f"{named}.* Matrix .*Use "):
        solver.prepare(Matrix(np.eye(3)))


def test_solvers_are_values() -> None:
    """Frozen, comparable, and made anew with another setting."""
    assert CG(tol=1e-4) == replace(CG(), tol=1e-4)
    assert all(isinstance(solver, Solver) for solver in SETTINGS.values())


@every_problem
def test_float32_products_reach_a_float64_residual(case: Problem) -> None:
    """Rows that the true residual contradicts start again from it: 1e-8 is reached all the same, or the row says so."""
    b = case.right_hand_sides(3)
    solution = CG(bulk="float32", preconditioner=LowRank(rank=3)).prepare(HeadCurvature(case.head))(b)
    for error, status in zip(errors(case, solution.x, b), solution.status, strict=True):
        assert status is Status.CONVERGED or status in case.may_report
        assert status is not Status.CONVERGED or error <= case.condition * 1e-8


def test_mixtures_state_the_residual_of_all_rows() -> None:
    """Four random mixtures give the root mean square of 24 rows' residuals, within the spread of four draws."""
    case = problem("wide, softmax")
    b = case.right_hand_sides(24)
    solver = CG(tol=1e-3, probes=4, preconditioner=LowRank(rank=5))
    solution = solver.prepare(HeadCurvature(case.head))(b)
    true = np.linalg.norm(b - solution.x @ case.hessian, axis=1) / np.linalg.norm(b, axis=1)
    assert all(s is Status.CONVERGED for s in solution.status)
    assert 0.4 < solution.residual[0] / np.sqrt(np.mean(true**2)) < 2.0
    assert "checked on 4 random mixtures" in solver.prepare(HeadCurvature(case.head)).how


def test_a_trusted_correction_saves_a_product() -> None:
    """Behind a near preconditioner the last correction costs no product and brings the residual below tol."""
    case = problem("wide, softmax")
    b, products = case.right_hand_sides(3), []

    class Counted(HeadCurvature):
        def matmul(self, vectors: Any) -> Any:
            products.append(len(vectors))
            return super().matmul(vectors)

    solution = CG(tol=1e-6, preconditioner=LowRank(rank=100)).prepare(Counted(case.head))(b)
    assert products == [3, 3]  # one step, one true residual
    assert solution.residual.max() < 1e-12
