"""Hessian and Gauss-Newton products of networks against dense answers from double autograd, row by row."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.network.cases import CASES, Case, N, dense, of_type
from upweight.curvature import Batched, Curvature, Dense, Placed, WithDiagonal
from upweight.curvature.ggn import GGN
from upweight.curvature.hessian import Hessian
from upweight.curvature.over_rows import OverRows

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
every_kind = pytest.mark.parametrize("kind", [Hessian, GGN])


def vectors(k: int, p: int) -> torch.Tensor:
    return torch.randn(k, p, generator=torch.Generator().manual_seed(k), dtype=torch.float64)


def close(found: torch.Tensor, exact: torch.Tensor, tol: float = 1e-12) -> None:
    torch.testing.assert_close(found, exact, rtol=tol, atol=tol * max(1.0, float(exact.abs().max())))


def per_row(case: Case, kind: type[OverRows]) -> torch.Tensor:
    exact = dense(case)
    return exact.hessians if kind is Hessian else exact.jacobians.mT @ exact.bends @ exact.jacobians


def whole(case: Case, kind: type[OverRows], factor: float = 1.0) -> torch.Tensor:
    network = case.network
    data = torch.einsum("i,ijk->jk", network.weights, per_row(case, kind))
    return network.scale * data + factor * torch.diag(network.penalty)


@every_case
@every_kind
def test_products_and_matrix(case: Case, kind: type[OverRows]) -> None:
    """One vector, several, more than share a pass; the matrix itself; damping and the penalty's factor on top."""
    curvature, h = kind(case.network), whole(case, kind)
    assert all(isinstance(curvature, protocol) for protocol in (Curvature, Dense, Batched, Placed))
    assert (curvature.size, curvature.rows) == (case.network.size, N)
    for k in (1, 3, 70):
        v = vectors(k, curvature.size)
        close(curvature.matmul(v), v @ h)
    assert curvature.matmul(vectors(1, curvature.size)[:0]).shape == (0, curvature.size)
    close(curvature.dense(), h)
    assert torch.equal(curvature.dense(), curvature.dense().mT)
    eye = torch.eye(curvature.size, dtype=torch.float64)
    close(curvature.damped(0.3).damped(0.2).dense(), h + 0.5 * eye)
    close(kind(case.network, penalty_factor=0.7).dense(), whole(case, kind, 0.7))


@every_case
@every_kind
def test_products_with_some_rows(case: Case, kind: type[OverRows]) -> None:
    """The data part of these rows scaled up by n / their number, penalty and damping whole; numpy indices too."""
    network, rows, v = case.network, np.array([5, 0, 3]), vectors(2, case.network.size)
    part = torch.einsum("i,ijk->jk", network.weights[rows], per_row(case, kind)[rows])
    h = network.scale * N / 3 * part + torch.diag(network.penalty + 0.2)
    close(kind(network, damping=0.2).matmul_rows(v, torch.as_tensor(rows)), v @ h)
    close(kind(network, damping=0.2).matmul_rows(v, rows), v @ h)


@every_case
def test_gauss_newton_never_bends_down_and_is_the_hessian_of_straight_outputs(case: Case) -> None:
    """All losses here are convex in their outputs."""
    found = GGN(replace(case.network, penalty=torch.zeros_like(case.network.penalty))).dense()
    assert float(torch.linalg.eigvalsh(found)[0]) >= -1e-12 * float(found.abs().max())
    if case.straight:
        close(GGN(case.network).dense(), Hessian(case.network).dense())


@every_case
def test_diagonal_of_gauss_newton(case: Case) -> None:
    """Exact, in chunks of rows too."""
    small = replace(case.network, batch_bytes=1.0 if case.name != "squeezed" else 1e6)
    curvature = GGN(small, damping=0.1)
    assert isinstance(curvature, WithDiagonal)
    assert not isinstance(Hessian(small), WithDiagonal)
    close(curvature.curvature_diagonal(), whole(case, GGN).diagonal() + 0.1)


@pytest.mark.parametrize("name", ["tanh", "convolution", "lstm", "attention"])
def test_hessian_is_the_slope_of_the_gradient(name: str) -> None:
    """By central differences of ∇F, to their own error."""
    network = next(case for case in CASES if case.name == name).network
    v, step = vectors(1, network.size), 1e-5
    up, down = (network.at(network.vector + sign * step * v[0]).gradient for sign in (1, -1))
    close(Hessian(network).matmul(v)[0], (up - down) / (2 * step), 1e-8)


@every_kind
def test_float32_follows_float64(kind: type[OverRows]) -> None:
    """A module in float32 gives float32 products, within its rounding."""
    case = next(case for case in CASES if case.name == "attention")
    full = case.network
    narrow = of_type(full, torch.float32)
    v = vectors(3, full.size)
    found = kind(narrow).matmul(v.float())
    assert found.dtype is torch.float32
    close(found.double(), v @ whole(case, kind), 1e-5)
