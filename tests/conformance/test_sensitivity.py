"""Every sensitivity over every problem, source and namespace: adjoint of itself, and the derivative of refits."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import array_api_strict
import numpy as np
import pytest

from upweight.arrays import to_numpy
from upweight.attribution import HeadAttribution
from upweight.curvature import HeadCurvature
from upweight.gradients import GradientSource, HeadSource
from upweight.linear_head import LinearHead
from upweight.newton import minimise
from upweight.removal.leverage import leverage_corrected, removal_curvature
from upweight.sensitivity import Implicit, Sensitivity
from upweight.solvers import CG, Cholesky, Woodbury
from upweight.testing import PROBLEMS, Problem, in_namespace, reference

REGULAR = [p for p in PROBLEMS if not p.singular and p.name not in ("near-singular", "tall")]
EVERY = pytest.mark.parametrize("problem", REGULAR, ids=lambda p: p.name)
SOURCES: dict[str, Callable[[LinearHead], tuple[Sensitivity, GradientSource]]] = {
    "plain": lambda head: (Implicit(Cholesky().prepare(HeadCurvature(head))), HeadSource.plain(head)),
    "leverage": lambda head: _corrected(head),
}


def _corrected(head: LinearHead) -> tuple[Sensitivity, GradientSource]:
    curvature = removal_curvature(head)
    prepared = Cholesky().prepare(curvature)
    return Implicit(prepared), leverage_corrected(curvature, prepared).source


def whole(sensitivity: Sensitivity, v: Any, source: GradientSource) -> np.ndarray:
    """adjoint, its blocks put together [q, n]."""
    return np.concatenate([to_numpy(block) for _, block in sensitivity.adjoint(v, source).blocks], axis=1)


@EVERY
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("xp", [np, array_api_strict], ids=["numpy", "strict"])
def test_adjoint_and_forward_are_transposes(problem: Problem, source: str, xp: Any) -> None:
    """⟨adjoint(V), e⟩ = ⟨V, forward(e)⟩ for random V and e, to rounding: direct solves."""
    head = problem.head if xp is np else in_namespace(problem.head, xp)
    sensitivity, rows = SOURCES[source](head)
    assert isinstance(sensitivity, Sensitivity)
    assert isinstance(rows, GradientSource)
    e = np.random.default_rng(1).normal(size=(2, head.n))
    v = problem.right_hand_sides(3)
    left = whole(sensitivity, xp.asarray(v), rows) @ e.T
    right = v @ to_numpy(sensitivity.forward(xp.asarray(e), rows)).T
    assert np.isfinite(left).all()
    assert np.abs(left - right).max() <= 1e-10 * np.abs(left).max()


@EVERY
@pytest.mark.parametrize("source", SOURCES)
def test_the_strict_standard_gives_the_same_numbers(problem: Problem, source: str) -> None:
    """array_api_strict, which allows nothing beyond the standard, and numpy: equal to rounding."""
    v = problem.right_hand_sides(2)
    ours = whole(*_with(SOURCES[source](problem.head), v))
    strict = whole(*_with(SOURCES[source](in_namespace(problem.head, array_api_strict)), array_api_strict.asarray(v)))
    assert np.abs(ours - strict).max() <= 1e-9 * np.abs(ours).max()


def _with(pair: tuple[Sensitivity, GradientSource], v: Any) -> tuple[Sensitivity, Any, GradientSource]:
    return pair[0], v, pair[1]


@EVERY
def test_plain_is_the_dense_reference(problem: Problem) -> None:
    """−∂m/∂w_i w_i by Kronecker products and a dense inverse, every row."""
    sensitivity, rows = SOURCES["plain"](problem.head)
    v = problem.right_hand_sides(3)
    expected = reference.first_order(problem.head, v)
    assert np.abs(-whole(sensitivity, v, rows) - expected).max() <= 1e-10 * np.abs(expected).max()


@EVERY
def test_plain_is_the_central_difference_of_refits(problem: Problem) -> None:
    """Each weight moved up and down by 1e-4 of itself and the head fitted anew: ∂m/∂(row factor) to 1e-6."""
    head = problem.head
    sensitivity, rows = SOURCES["plain"](head)
    v = problem.right_hand_sides(2)
    derivative = whole(sensitivity, v, rows)
    step = 1e-4
    some = [i for i in range(0, head.n, max(1, head.n // 6)) if head.weights[i] > 0]
    found = []
    for i in some:
        ends = []
        for sign in (1.0, -1.0):
            factor = np.ones(head.n)
            factor[i] += sign * step
            moved, kept = head.without(factor)
            moved = replace(moved, divisor=kept / head.scale)
            ends.append(v @ minimise(moved, tol=1e-13).head.params.vector)
        found.append((ends[0] - ends[1]) / (2 * step))
    truth = np.stack(found, axis=1)
    assert np.abs(derivative[:, some] - truth).max() <= 1e-6 * np.abs(truth).max()


@pytest.mark.parametrize("solver", [CG(tol=1e-10), Woodbury()], ids=lambda s: type(s).__name__)
def test_any_solver_gives_the_same_sensitivity(solver: Any) -> None:
    """Attribution by conjugate gradients and by the n-side equals the direct one, both removals."""
    for problem in (p for p in REGULAR if p.name in ("softmax", "ridge, mean of the rows", "wide, softmax")):
        v = problem.right_hand_sides(2)
        for removal in ("leverage", "first_order"):
            direct = HeadAttribution(problem.head, Cholesky()).removals(v, removal).values()
            other = HeadAttribution(problem.head, solver).removals(v, removal).values()
            assert np.abs(direct - other).max() <= 1e-7 * np.abs(direct).max()


@EVERY
def test_no_rows_moved_moves_nothing(problem: Problem) -> None:
    """forward of zeros is zero."""
    sensitivity, rows = SOURCES["plain"](problem.head)
    assert not to_numpy(sensitivity.forward(np.zeros((1, problem.head.n)), rows)).any()
