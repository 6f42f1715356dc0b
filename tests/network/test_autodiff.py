"""Row gradients, Jacobians and directions of networks against dense answers, however many vectors there are."""

import gc
from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.network.cases import CASES, Case, N, dense
from upweight.curvature.ggn import GGN
from upweight.curvature.hessian import Hessian
from upweight.gradients import GradientSource
from upweight.gradients.autodiff import AutodiffSource, query_directions, row_jacobians, rows_apart

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
few_and_many = pytest.mark.parametrize("k", [1, 3, 14])


def vectors(k: int, *shape: int) -> torch.Tensor:
    return torch.randn(k, *shape, generator=torch.Generator().manual_seed(k), dtype=torch.float64)


def all_of(source: AutodiffSource, v: torch.Tensor) -> torch.Tensor:
    return torch.cat([own for _, own in source.dot(v)], dim=1)


def close(found: torch.Tensor, exact: torch.Tensor, tol: float = 1e-12) -> None:
    torch.testing.assert_close(found, exact, rtol=tol, atol=tol * max(1.0, float(exact.abs().max())))


def pulls(case: Case, shift: torch.Tensor | None) -> torch.Tensor:
    """w_i g_i + share_i Λθ at θ, or where θ − d is to first order."""
    network, exact = case.network, dense(case)
    own, theta = exact.gradients, network.vector
    if shift is not None:
        own, theta = own - exact.hessians @ shift, theta - shift
    shares = network.weights if case.normalization == "mean" else torch.zeros_like(network.weights)
    return network.weights[:, None] * own + shares[:, None] * (network.penalty * theta)


@every_case
@few_and_many
@pytest.mark.parametrize("shifted", [False, True], ids=["at θ", "shifted"])
def test_dot_and_combine(case: Case, k: int, shifted: bool) -> None:
    """Every vector against every row's pull, and weighted sums of pulls: each the other's transpose."""
    network = case.network
    shift = 0.1 * vectors(1, network.size)[0] if shifted else None
    source = AutodiffSource(network, shift)
    assert isinstance(source, GradientSource)
    exact, v, e = pulls(case, shift), vectors(k, network.size), vectors(k, N)
    close(all_of(source, v), v @ exact.mT)
    close(source.combine(e), e @ exact)
    assert source.said(v) == ""
    assert (source.n, source.scale) == (N, network.scale)


@every_case
def test_which_modules_take_rows_one_by_one(case: Case) -> None:
    """A module without a rule for it, or one that misreads a single row, is found out and takes whole batches."""
    assert rows_apart(replace(case.network)) == case.apart
    rows = torch.tensor([4, 0, 5])
    close(AutodiffSource(case.network).row_gradients(rows), dense(case).gradients[rows])


@every_case
def test_row_jacobians(case: Case) -> None:
    """∂z/∂θ of any rows, by slice or by index."""
    for rows in (slice(2, 5), torch.tensor([6, 1])):
        close(row_jacobians(case.network, rows), dense(case).jacobians[rows])


@every_case
def test_query_directions(case: Case) -> None:
    """Jᵀ dz of each query, however many share a pass; none for no query."""
    network, exact = case.network, dense(case)
    x, _ = network.batch(slice(0, N))
    dz = vectors(N, network.c)
    close(query_directions(network, x, dz), (exact.jacobians * dz[:, :, None]).sum(1))
    assert query_directions(network, network.batch(slice(0, 0))[0], dz[:0]).shape == (0, network.size)


@every_case
def test_batches_of_any_size_give_the_same(case: Case) -> None:
    """Two rows at a time: dot, combine and both curvatures to rounding; blocks come in order."""
    if case.name == "squeezed":
        return
    network = case.network
    v, e, d = vectors(3, network.size), vectors(3, N), 0.1 * vectors(1, network.size)[0]
    small = replace(network, batch_bytes=2.5 * 5 * network.bytes_per_row)
    for shift in (None, d):
        one, many = AutodiffSource(network, shift), AutodiffSource(small, shift)
        close(all_of(many, v), all_of(one, v))
        close(many.combine(e), one.combine(e))
        blocks = [rows for rows, _ in many.dot(v)]
        assert len(blocks) > 1
        assert [row for rows in blocks for row in range(rows.start, rows.stop)] == list(range(N))
    for kind in (Hessian, GGN):
        close(kind(small).matmul(v), kind(network).matmul(v))


def alive() -> int:
    gc.collect()
    return sum(1 for thing in gc.get_objects() if issubclass(type(thing), torch.Tensor))


@pytest.mark.parametrize("name", ["tanh", "lstm", "attention"])
def test_no_graph_is_left(name: str) -> None:
    """300 passes leave as many tensors as three did, and no result is tied to a graph."""
    network = next(case for case in CASES if case.name == name).network
    source, v, e = AutodiffSource(network, 0.1 * network.vector), vectors(2, network.size), vectors(2, N)

    def once() -> list[Any]:
        found = [own for _, own in source.dot(v)]
        return [*found, source.combine(e), Hessian(network).matmul(v), GGN(network).matmul(v)]

    for _ in range(3):
        assert not any(result.requires_grad for result in once())
    before = alive()
    for _ in range(300 if name == "tanh" else 10):
        list(AutodiffSource(network).dot(v))
    for _ in range(5):
        once()
    assert alive() <= before
