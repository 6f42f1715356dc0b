"""The n-side solver: what is its own."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import scipy.sparse

from upweight.curvature import HeadCurvature
from upweight.features import DenseFeatures
from upweight.linear_head import LinearHead
from upweight.output_loss import Logistic, Separate, Softmax
from upweight.params import Params
from upweight.solvers import CG, Status, Woodbury
from upweight.solvers.low_rank import LowRank


@dataclass(frozen=True)
class SparseRows:
    """A scipy matrix as features; it refuses to be made dense beyond a few rows."""

    x: Any

    @property
    def rows(self) -> int:
        return int(self.x.shape[0])

    @property
    def columns(self) -> int:
        return int(self.x.shape[1]) + 1

    def matmul(self, w: Any, rows: slice) -> Any:
        return self.x[rows] @ w[:, :-1].T + w[None, :, -1]

    def rmatmul(self, e: Any, rows: slice) -> Any:
        return np.hstack([(self.x[rows].T @ e).T, e.sum(0)[:, None]])

    def second_moment(self, weight: Any, rows: slice) -> Any:
        raise AssertionError("a D × D matrix of sparse features")

    def gram(self, other: Any, scale: Any) -> Any:
        return (self.x @ scipy.sparse.diags(scale[:-1]) @ other.x.T).toarray() + scale[-1]

    def squares(self, scale: Any) -> Any:
        return self.x.multiply(self.x) @ scale[:-1] + scale[-1]

    def take(self, rows: Any) -> Any:
        assert len(rows) <= 12, "densified"
        return np.hstack([self.x[rows].toarray(), np.ones((len(rows), 1))])

    def bytes_per_row(self) -> float:
        return 24.0 * self.x.nnz / self.x.shape[0]


def text_head(n: int, d: int, c: int) -> tuple[LinearHead, LinearHead]:
    """A head on sparse rows, and the same on dense ones."""
    rng = np.random.default_rng(0)
    x = scipy.sparse.random(n, d, 0.01, format="csr", random_state=1)
    lam = np.full((c, d + 1), 0.01)
    lam[:, -1] = 0
    columns = (*(f"w{j}" for j in range(d)), "intercept")
    params = Params(rng.normal(size=(c, d + 1)), np.ones((c, d + 1), bool), tuple("abcdef"[:c]), columns)
    loss = Separate(Logistic()) if c == 1 else Softmax(c)
    y = rng.integers(0, max(2, c), n)
    head = LinearHead(SparseRows(x), loss, y.astype(float) if c == 1 else y, np.ones(n), params, lam, "sum")
    return head, replace(head, features=DenseFeatures(x.toarray(), np.float64))


@pytest.mark.parametrize("c", [1, 3])
def test_sparse_rows_are_never_densified(c: int) -> None:
    """p = 3,001 times outputs from 40 sparse rows: Woodbury and CG give the dense answer without a dense row block."""
    sparse, dense = text_head(40, 3000, c)
    b = HeadCurvature(dense).row_jacobians(np.arange(2)).reshape(2 * c, -1)
    if c > 1:
        b = b[[0, 4]] - b[[1, 5]]  # off the gauge
    woodbury = Woodbury().prepare(HeadCurvature(sparse))
    found = woodbury(b)
    assert all(s is Status.CONVERGED for s in found.status)
    np.testing.assert_allclose(found.x, Woodbury().prepare(HeadCurvature(dense))(b).x, rtol=1e-8, atol=1e-12)
    iterative = CG(tol=1e-10, preconditioner=LowRank(rank=20)).prepare(HeadCurvature(sparse))(b)
    np.testing.assert_allclose(iterative.x, found.x, atol=1e-7 * np.abs(found.x).max())
    np.testing.assert_allclose(woodbury.leverages(), Woodbury().prepare(HeadCurvature(dense)).leverages(), atol=1e-12)


def test_how_names_the_sizes() -> None:
    """A softmax row counts c − 1 times, a fit apart once in each of its matrices."""
    sparse, _ = text_head(40, 3000, 3)
    assert (
        Woodbury().prepare(HeadCurvature(sparse)).how == "Woodbury: 80 × 80 (rows × outputs) in place of 9,003 × 9,003"
    )


def test_weak_penalty_is_refined() -> None:
    """λ = 1e-9 cancels nine digits of D⁻¹(b − R y); a second solve on the residual brings them back."""
    _, dense = text_head(40, 300, 1)
    weak = replace(dense, penalty=dense.penalty * 1e-7)
    curvature = HeadCurvature(weak)
    b = curvature.row_jacobians(np.arange(3)).reshape(3, -1)
    found = Woodbury().prepare(curvature)(b)
    assert all(s is Status.CONVERGED for s in found.status)
    assert found.iterations.max() >= 0
    exact = np.linalg.solve(curvature.dense(), b.T).T
    np.testing.assert_allclose(curvature.row_outputs(found.x), curvature.row_outputs(exact), rtol=1e-5, atol=1e-8)
