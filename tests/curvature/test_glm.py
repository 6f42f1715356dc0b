"""The Hessian of a linear head: products, dense form, n-side and gauge against the reference's loops."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from upweight.curvature import Batched, Curvature, Dense, HeadCurvature, RootPlusDiagonal, RowKernel, WithDiagonal
from upweight.curvature import glm as glm_module
from upweight.curvature import output_curvature as output_module
from upweight.curvature.output_curvature import Apart, Blocks, Shared, output_curvature
from upweight.testing import PROBLEMS, Problem, problem
from upweight.testing.reference import Plain

every_problem = pytest.mark.parametrize("case", PROBLEMS, ids=lambda p: p.name)


def pinned_hessian(case: Problem, curvature: HeadCurvature, factor: float = 1.0, damping: float = 0.0) -> Any:
    plain = Plain.of(case.head)
    gauge = plain.gauge() if damping == 0 else np.zeros((0, len(plain.where)))
    size = len(plain.where)
    pins = curvature.pins[curvature.pins > 0]  # one direction for each column that is not penalised
    return plain.hessian(factor) + damping * np.eye(size) + gauge.T * pins @ gauge


@every_problem
def test_every_form_is_the_same_matrix(case: Problem) -> None:
    """Products, dense form, diagonal, root plus diagonal: all equal the Hessian summed row by row with kron."""
    curvature = HeadCurvature(case.head)
    exact = pinned_hessian(case, curvature)
    scale = np.abs(exact).max()
    v = np.random.default_rng(0).normal(size=(3, curvature.size))
    np.testing.assert_allclose(curvature.dense(), exact, atol=1e-13 * scale)
    np.testing.assert_allclose(curvature.matmul(v), v @ exact, atol=1e-12 * scale)
    np.testing.assert_allclose(curvature.curvature_diagonal(), np.diag(exact), atol=1e-13 * scale)
    by_root = curvature.root(curvature.root_transpose(v)) + v * curvature.diagonal + curvature.pinned(v)
    np.testing.assert_allclose(by_root, v @ exact, atol=1e-12 * scale)


@every_problem
def test_wide_form_of_the_dense_matrix(case: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pairs of weighted Gram matrices and one product for all outputs give the same matrix."""
    together = HeadCurvature(case.head).dense()
    monkeypatch.setattr(glm_module, "SMALL_COLUMNS", 0)
    np.testing.assert_allclose(HeadCurvature(case.head).dense(), together, atol=1e-13 * np.abs(together).max())


@every_problem
def test_gram_is_the_root_squared_over_the_penalty(case: Problem) -> None:
    """Rᵀ D⁺ R, block by block, and nothing outside its blocks."""
    curvature = HeadCurvature(case.head)
    gram = curvature.gram()
    groups, m, _ = gram.shape
    d = curvature.diagonal
    inverse = np.where(d > 0, 1.0 / np.where(d > 0, d, 1.0), 0.0)
    columns = np.eye(groups * m).reshape(groups * m, groups, m)
    full = curvature.root_transpose(curvature.root(columns) * inverse).reshape(groups * m, groups * m)
    for g in range(groups):
        here = slice(g * m, (g + 1) * m)
        np.testing.assert_allclose(full[here, here], gram[g], atol=1e-12 * np.abs(gram).max())
        full[here, here] = 0
    assert np.abs(full).max() <= 1e-13 * np.abs(gram).max()


@every_problem
def test_rows_in_batches_average_to_the_whole(case: Problem) -> None:
    """The mean of equal batches that cover all rows is H; damping and penalty are whole in each."""
    curvature = HeadCurvature(case.head, damping=0.01)
    n = case.head.n - case.head.n % 5
    v = np.random.default_rng(1).normal(size=(2, curvature.size))
    order = np.random.default_rng(2).permutation(n)
    parts = [curvature.matmul_rows(v, rows) for rows in order.reshape(5, -1)]
    np.testing.assert_allclose(sum(parts) / 5, curvature.matmul_rows(v, np.arange(n)), atol=1e-12)
    np.testing.assert_allclose(
        curvature.matmul_rows(v, np.arange(case.head.n)), curvature.matmul(v), atol=1e-12 * np.abs(v).max()
    )


@every_problem
def test_rows_in_even_steps_are_those_rows(case: Problem) -> None:
    """A slice, which is not copied, gives what the same positions give, in float32 to its rounding."""
    curvature, some = HeadCurvature(case.head, damping=0.01), slice(0, case.head.n, 3)
    v = np.random.default_rng(1).normal(size=(2, curvature.size))
    exact = curvature.matmul_rows(v, np.arange(case.head.n)[some])
    np.testing.assert_allclose(curvature.matmul_rows(v, some), exact, atol=1e-12 * np.abs(exact).max())
    fast = curvature.rounded("float32").matmul_rows(v, some)
    np.testing.assert_allclose(fast, exact, atol=1e-5 * np.abs(exact).max())


@every_problem
def test_float32_products_are_right_to_their_rounding(case: Problem) -> None:
    """The same map to 1e-5 of its size, given back in float64; softmax goes through differences of outputs."""
    curvature = HeadCurvature(case.head)
    v = np.random.default_rng(0).normal(size=(3, curvature.size))
    found, exact = curvature.rounded("float32").matmul(v), curvature.matmul(v)
    assert found.dtype == np.float64
    assert 0 < np.abs(found - exact).max() <= 1e-5 * np.abs(exact).max()


@pytest.mark.parametrize("name", ["softmax", "softmax unpenalised", "ridge, two targets", "masked by L1"])
def test_damping_and_penalty_factor(name: str) -> None:
    """H + δI twice adds up and fills the gauge; a factor multiplies the penalty alone."""
    case = problem(name)
    damped = HeadCurvature(case.head, penalty_factor=0.9).damped(0.2).damped(0.1)
    assert not damped.has_null
    np.testing.assert_allclose(damped.dense(), pinned_hessian(case, damped, 0.9, 0.3), atol=1e-12)


@every_problem
def test_null_directions_are_what_neither_data_nor_penalty_sees(case: Problem) -> None:
    """The projector is that of the reference's gauge, and H without its pin vanishes there."""
    curvature, gauge = HeadCurvature(case.head), Plain.of(case.head).gauge()
    v = np.random.default_rng(0).normal(size=(2, curvature.size))
    np.testing.assert_allclose(curvature.project_null(v), v @ gauge.T @ gauge, atol=1e-14)
    assert curvature.has_null == (len(gauge) > 0)
    if len(gauge):
        diagonals = case.head.params.expand(np.diag(case.hessian)[None])[0]
        assert curvature.pins == pytest.approx(np.where(curvature.null_columns, diagonals.mean(axis=0), 0.0))
        assert np.abs(case.hessian @ gauge.T).max() < 1e-14


@every_problem
def test_row_jacobians_and_outputs(case: Problem) -> None:
    """X_i written out is the reference's, and row_outputs is X_i v for all rows."""
    curvature, plain = HeadCurvature(case.head), Plain.of(case.head)
    rows = np.array([0, 3, 1])
    found = curvature.row_jacobians(rows)
    np.testing.assert_array_equal(found, np.stack([plain.row_jacobian(int(i)) for i in rows]))
    v = np.random.default_rng(0).normal(size=(2, curvature.size))
    np.testing.assert_allclose(curvature.row_outputs(v)[:, rows, :], np.einsum("rcp,kp->krc", found, v), atol=1e-13)


@pytest.mark.parametrize(
    ("name", "form"), [("softmax, mean form", Shared), ("one against the rest, per row", Apart), ("tall", Apart)]
)
@pytest.mark.parametrize("keep", [0, 10**9])
def test_forms_of_a_rows_curvature_agree(name: str, form: Any, keep: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The form that the loss allows, and c × c blocks kept or made anew: the same entries, products and moments."""
    monkeypatch.setattr(output_module, "KEEP_BYTES", keep)
    head = problem(name).head
    short, plain = output_curvature(head), Blocks(head)
    assert isinstance(short, form)
    rng = np.random.default_rng(0)
    for rows in (slice(4, 20), np.array([9, 2, 40])):
        b = len(np.arange(head.n)[rows])
        z, x = rng.normal(size=(b, head.c, 2)), rng.normal(size=(b, 3))
        np.testing.assert_allclose(short.blocks(rows), plain.blocks(rows), atol=1e-15)
        np.testing.assert_allclose(short.times(z, rows), plain.times(z, rows), atol=1e-14)
        np.testing.assert_allclose(short.moments(x, rows), plain.moments(x, rows), atol=1e-13)
    for a in range(head.c):
        for b in range(head.c):
            np.testing.assert_allclose(short.entry(a, b, slice(4, 20)), plain.blocks(slice(4, 20))[:, a, b], atol=1e-15)


def test_saturated_softmax_keeps_its_digits() -> None:
    """Where one class holds 1 − 1e-16, S z is still right to rounding of its own size."""
    case = problem("softmax")
    matrix = np.array([[0.0] * 4 + [40.0], [0.0] * 4 + [0.0], [0.0] * 4 + [1.0]])
    head = replace(case.head, params=replace(case.head.params, matrix=matrix))
    z = np.array([[[1.0], [2.0], [-1.0]]])
    p1, p2 = np.exp(-40.0), np.exp(-39.0)  # beside the 1 of the first class
    mean = 1.0 * p1 - 2.0 * p2  # of z − z_0
    exact = [-mean, p1 * (1.0 - mean), p2 * (-2.0 - mean)]
    found = output_curvature(head).times(z, slice(0, 1))[0, :, 0]
    np.testing.assert_allclose(found, exact, rtol=1e-12)


@dataclass(frozen=True)
class Thin:
    """Features that refuse to be made dense more than a few rows at a time."""

    inner: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def take(self, rows: Any) -> Any:
        assert len(rows) <= 8, "densified"
        return self.inner.take(rows)


@pytest.mark.parametrize("name", ["wide, ridge", "wide, softmax"])
def test_products_never_densify(name: str) -> None:
    """Products and the n-side read the features through their own products alone."""
    case = problem(name)
    curvature = HeadCurvature(replace(case.head, features=Thin(case.head.features)))
    v = np.random.default_rng(0).normal(size=(2, curvature.size))
    curvature.matmul(v)
    curvature.root(curvature.root_transpose(v))
    assert curvature.dense().shape == (curvature.size, curvature.size)


def test_it_keeps_every_protocol() -> None:
    """What solvers ask for by isinstance."""
    curvature = HeadCurvature(problem("softmax").head)
    for protocol in (Curvature, Dense, Batched, WithDiagonal, RootPlusDiagonal, RowKernel):
        assert isinstance(curvature, protocol)
