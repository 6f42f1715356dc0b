"""Products of rows and vectors: float32 where they are many and hold, float64 where not, and it is said which."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from upweight.curvature import HeadCurvature
from upweight.gradients import HeadSource, head
from upweight.removal.leverage import largest_leverages, leverage_corrected
from upweight.solvers import BlockCG, Cholesky, Woodbury
from upweight.solvers.low_rank import LowRank
from upweight.testing import PROBLEMS, problem

every_problem = pytest.mark.parametrize("case", PROBLEMS, ids=lambda p: p.name)


def whole(source: HeadSource, vectors: Any) -> Any:
    return np.concatenate([block for _, block in source.dot(vectors)], axis=1)


@every_problem
def test_float32_products_are_within_what_is_said(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few the products: either float64 to the bit, or within 2e-5 of it."""
    source, vectors = HeadSource.plain(case.head), case.right_hand_sides(3)
    exact = whole(source, vectors)
    monkeypatch.setattr(head, "MANY", 0.0)
    found = whole(source, vectors)
    if source.rounds(vectors):
        assert "float32 (within 2e-05 of float64" in source.said(vectors)
        gap = np.linalg.norm(found - exact, axis=1)
        assert np.all(gap <= 1e-4 * np.linalg.norm(exact, axis=1))
    else:
        assert source.said(vectors) == ""
        np.testing.assert_array_equal(found, exact)


def test_products_that_do_not_hold_are_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pulls that do not sum to zero over a softmax's outputs cannot do without one of them: the sample shows it."""
    case = problem("softmax")
    source, vectors = HeadSource.plain(case.head), case.right_hand_sides(2)
    exact = whole(replace(source, pulls=source.pulls + 1.0), vectors)
    monkeypatch.setattr(head, "MANY", 0.0)
    odd = replace(source, pulls=source.pulls + 1.0)
    assert not odd.rounds(vectors)
    np.testing.assert_array_equal(whole(odd, vectors), exact)


@pytest.mark.parametrize("label", ["softmax", "ridge, mean of the rows", "binary logistic"])
def test_leverages_made_in_blocks_are_those_made_at_once(label: str) -> None:
    """The row-wise way of a whole-rank preconditioner against the inverse: pulls, moves and h; and h of two rows."""
    case = problem(label)
    curvature = HeadCurvature(case.head)
    direct = leverage_corrected(curvature, Cholesky().prepare(curvature))
    prepared = BlockCG(tol=1e-10, bulk="float64", preconditioner=LowRank(rank=100)).prepare(curvature)
    blockwise = leverage_corrected(curvature, prepared)
    for name in ("h", "alone"):
        np.testing.assert_allclose(getattr(blockwise, name), getattr(direct, name), rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(blockwise.source.pulls, direct.source.pulls, rtol=1e-6, atol=1e-10)
    rows = np.array([1, 4])
    for one in (prepared, Cholesky().prepare(curvature)):
        some = largest_leverages(curvature, one, rows)
        assert some is not None
        np.testing.assert_allclose(some, np.asarray(direct.h)[rows], rtol=1e-7)
    assert largest_leverages(curvature, Woodbury().prepare(curvature), rows) is None
