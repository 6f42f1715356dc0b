"""The Hessian of a part of the rows: which factor is taken, how near it is, leverages of rows in it."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from upweight.curvature import HeadCurvature
from upweight.features import DenseFeatures
from upweight.linear_head import LinearHead
from upweight.output_loss import Logistic, Separate, Softmax
from upweight.params import Params
from upweight.solvers import BlockCG, Status
from upweight.solvers.sampled import SampledHessian
from upweight.testing import Problem
from upweight.testing.reference import leverages

N = 800


def few_directions(rng: Any, penalty: float = 0.03, c: int = 1, decay: float = 0.8, columns: int = 60) -> LinearHead:
    """Rows that vary in a few columns much more than in the others; the constant is free."""
    x = rng.normal(size=(N, columns)) * np.exp(-decay * np.arange(columns))
    z = x @ rng.normal(size=(columns, max(c, 2))) + rng.gumbel(size=(N, max(c, 2)))
    y = np.argmax(z, axis=1)
    lam = np.full((c, columns + 1), penalty)
    lam[:, columns] = 0.0
    labels = (*(f"x{j}" for j in range(columns)), "intercept")
    names = tuple(f"y{a}" for a in range(c))
    params = Params(np.zeros((c, columns + 1)), np.ones((c, columns + 1), dtype=bool), names, labels)
    loss = Softmax(c) if c > 1 else Separate(Logistic())
    targets = y if c > 1 else y.astype(float)
    return LinearHead(DenseFeatures(x.astype(np.float32), np.float64), loss, targets, np.ones(N), params, lam, "sum")


def nearness(case: Problem, apply: Any) -> tuple[float, float]:
    """Smallest and largest eigenvalue of M⁻¹ H."""
    root = np.linalg.cholesky(case.hessian)
    middle = root.T @ apply(np.eye(len(root))) @ root
    assert np.abs(middle - middle.T).max() <= 1e-3 * np.abs(middle).max()  # float32, symmetric
    values = np.linalg.eigvalsh(0.5 * (middle + middle.T))
    return float(values[0]), float(values[-1])


def test_rows_that_hold_few_directions_are_factored_themselves() -> None:
    """40 rows for 61 columns: M⁻¹ H is positive and within a factor of a few of 1; the rest is said."""
    case = Problem("few directions", few_directions)
    near = SampledHessian(122, fewer=40).prepare(HeadCurvature(case.head))
    assert near.drawn is not None
    drawn = int(np.count_nonzero(near.drawn))
    assert 0 < drawn <= 40
    assert near.how == f"the Hessian of {drawn} of the rows"
    low, high = nearness(case, near.apply)
    assert 0.2 <= low <= high <= 5.0


@pytest.mark.parametrize(
    "settings",
    [{"decay": 0.0}, {"penalty": 1e-9}, {"c": 3}, {"penalty": 0.0}],
    ids=["many directions", "no penalty to speak of", "several outputs", "no penalty"],
)
def test_else_the_columns_are(settings: dict[str, Any]) -> None:
    """More rows, and as near: where few would not hold the directions, or several outputs go together."""
    case = Problem("more", lambda rng: few_directions(rng, **{"decay": 0.05, **settings}))
    curvature = HeadCurvature(case.head)
    near = SampledHessian(2 * case.head.params.size, fewer=case.head.params.size // 2).prepare(curvature)
    assert near.drawn is not None
    assert np.count_nonzero(near.drawn) > case.head.params.size // 2
    if settings.get("c", 1) == 1:
        low, high = nearness(case, near.apply)
        assert 0.1 <= low <= high <= 10.0


def test_drawn_rows_stand_for_all_curvature() -> None:
    """What multiplies each row's curvature sums to the whole: Σ times · s w S = Σ s w S."""
    case = Problem("few directions", few_directions)
    curvature = HeadCurvature(case.head)
    near = SampledHessian(100).prepare(curvature)
    own = curvature.output_curvatures[:, 0, 0]
    assert near.drawn is not None
    assert math.isclose(float(near.drawn @ own), float(own.sum()), rel_tol=1e-12)


@pytest.mark.parametrize(("c", "columns"), [(1, 60), (3, 60), (1, 300)])
def test_leverages_of_rows_in_the_part_are_not_too_small(c: int, columns: int) -> None:
    """A row that was drawn counts in M more than once: taken out and put back once, its leverage is the reference's."""
    case = Problem("few directions", lambda rng: few_directions(rng, c=c, columns=columns))
    prepared = BlockCG(tol=1e-2).prepare(HeadCurvature(case.head))
    prepared(case.right_hand_sides(1))  # few: the part
    assert prepared.row_leverages is not None
    exact = leverages(case.head)
    unseen = np.asarray(case.head.loss.null_outputs)
    seen = np.eye(c) - unseen.T @ unseen
    size = np.linalg.norm(seen @ exact @ seen, axis=(1, 2))
    rows = np.argsort(-size)[:30]
    found = np.linalg.norm(seen @ prepared.row_leverages(rows) @ seen, axis=(1, 2))
    assert np.all(np.abs(found / size[rows] - 1.0) <= 0.4)
    assert abs(float(np.median(found / size[rows])) - 1.0) <= 0.15


def moved(shift: float, longer: float = 1.0, **settings: Any) -> Any:
    """The same rows with every column shifted, and one of them so many times as long."""

    def build(rng: Any) -> LinearHead:
        head = few_directions(rng, **settings)
        x = np.asarray(head.features.take(np.arange(N)))[:, :-1] + shift
        x[401] *= longer
        return replace(head, features=DenseFeatures(x.astype(np.float32), np.float64))

    return build


@pytest.mark.parametrize("tol", [1e-2, 1e-3, 1e-5])
@pytest.mark.parametrize(
    "build",
    [moved(0.0), moved(0.0, c=3), moved(0.0, columns=300), moved(100.0), moved(0.0, 1e4), moved(10.0, columns=300)],
    ids=["plain", "softmax", "rows factored", "shifted", "a long row", "shifted, rows factored"],
)
def test_few_questions_state_their_error(build: Any, tol: float) -> None:
    """Judged by their own steps where float32 holds on a sample, in float64 elsewhere: the true error is no larger."""
    case = Problem("few", build)
    b = case.right_hand_sides(2)
    solution = BlockCG(tol=tol).prepare(HeadCurvature(case.head))(b)
    exact = b @ case.inverse
    gap = np.asarray(solution.x) - exact
    of = np.einsum("kp,pq,kq->k", exact, case.hessian, exact)
    true = np.sqrt(np.einsum("kp,pq,kq->k", gap, case.hessian, gap) / of)
    assert all(status is Status.CONVERGED for status in solution.status)
    assert np.all(true <= 1.5 * np.asarray(solution.residual) + 2e-8)  # the reference's own digits
    assert np.all(np.asarray(solution.residual) <= tol)
    assert ("float32 within" in solution.said) != ("in float64" in solution.said)
