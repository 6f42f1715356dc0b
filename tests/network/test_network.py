"""A network's objective against dense answers; no graph is kept, and the module is left as it was."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from tests.network.cases import CASES, Case, N, cross_entropy, dense
from upweight.curvature.ggn import GGN
from upweight.curvature.hessian import Hessian
from upweight.gradients.autodiff import AutodiffSource
from upweight.network import Network, even_blocks

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def close(found: torch.Tensor, exact: torch.Tensor, tol: float = 1e-12) -> None:
    torch.testing.assert_close(found, exact, rtol=tol, atol=tol * max(1.0, float(exact.abs().max())))


@every_case
def test_losses_gradient_and_value(case: Case) -> None:
    """ℓ_i, ∇F and F are those of the module's own parameters, row by row."""
    network, exact = case.network, dense(case)
    w, theta = network.weights, network.vector
    scale = 1.0 / float(w.sum()) if case.normalization == "mean" else 1.0 / N
    close(network.row_losses, exact.losses)
    close(network.gradient, scale * w @ exact.gradients + network.penalty * theta)
    assert network.value == pytest.approx(
        scale * float(w @ exact.losses) + 0.5 * float(network.penalty @ theta**2), rel=1e-12
    )
    assert network.scale == pytest.approx(scale, rel=1e-14)
    close(network.shares, w if case.normalization == "mean" else torch.zeros(N, dtype=torch.float64))


@every_case
def test_parameters_keep_the_order_of_the_module(case: Case) -> None:
    """θ is the chosen parameters one after another, tied ones once; `position` and `at` find them again."""
    network = case.network
    for name in network.chosen:
        own = network.module.get_parameter(name).detach()
        assert network.shape_of(name) == tuple(own.shape)
        assert torch.equal(network.vector[network.position(name)].reshape(own.shape), own)
    moved = network.at(2.0 * network.vector)
    assert torch.equal(moved.vector, 2.0 * network.vector)
    assert network.value != moved.value
    assert torch.equal(moved.at(network.vector).gradient, network.gradient)


def test_the_module_is_left_as_it_was() -> None:
    """No gradient, hook or value of the user's module changes, and it may live in another state than the network."""
    case = next(case for case in CASES if case.name == "some frozen, one unused")
    network = case.network
    before = {name: value.clone() for name, value in network.module.state_dict().items()}
    other = network.with_state({name: value + 1.0 for name, value in network.values.items()})
    assert other.value != network.value
    assert float(other.gradient.norm()) > 0
    assert all(torch.equal(value, before[name]) for name, value in network.module.state_dict().items())
    assert all(parameter.grad is None or parameter.grad_fn is None for parameter in network.module.parameters())
    assert not any(part._forward_hooks for part in network.module.modules())


@every_case
def test_batches_of_any_size_give_the_same(case: Case) -> None:
    """All rows at once, or two at a time: to rounding."""
    network = case.network
    small = replace(network, batch_bytes=2.5 * 3 * network.bytes_per_row)
    assert [rows.stop - rows.start for rows in small.batches(1)] == [1, 2, 2, 2]
    if case.name != "squeezed":  # one row alone loses its axis there
        close(small.gradient, network.gradient, 1e-13)
        close(small.row_losses, network.row_losses, 1e-13)


def test_blocks_cover_all_rows_and_are_even() -> None:
    """No block of one row is left over at the end."""
    for n in (0, 1, 2, 7, 100, 101):
        for most in (0.1, 1, 2, 33, 1000):
            blocks = list(even_blocks(n, most))
            assert [row for block in blocks for row in range(block.start, block.stop)] == list(range(n))
            sizes = [block.stop - block.start for block in blocks]
            assert not sizes or max(sizes) <= max(1, most)
            assert not sizes or max(sizes) - min(sizes) <= 1


def test_weight_0_is_a_row_that_left_and_weight_2_is_two_rows() -> None:
    """∇F in both normalisations' own terms."""
    case = next(case for case in CASES if case.name == "tanh")
    full = case.network
    keep = torch.ones(N, dtype=torch.float64)
    keep[2] = 0.0
    kept = [row for row in range(N) if row != 2]
    fewer = replace(full, inputs=full.inputs[kept], targets=full.targets[kept], weights=full.weights[kept])
    close(replace(full, weights=full.weights * keep).gradient, fewer.gradient)
    twice = torch.tensor([*range(N), 5])
    more = replace(full, inputs=full.inputs[twice], targets=full.targets[twice], weights=full.weights[twice])
    doubled = full.weights.clone()
    doubled[5] *= 2.0
    close(replace(full, weights=doubled).gradient, more.gradient)


@pytest.mark.parametrize("normalization", ["mean", "sum"])
def test_without_divides_as_before_and_names_what_the_penalty_keeps(normalization: str) -> None:
    """(F without rows) times what its divisor lost is the old scale over fewer rows, with the penalty's factor."""
    full = replace(next(case for case in CASES if case.name == "tanh").network, normalization=normalization)
    keep = torch.ones(N, dtype=torch.float64)
    keep[[1, 4]] = 0.0
    left, factor = full.without(keep)
    assert left.scale == full.scale
    assert factor == pytest.approx(float((keep @ full.weights) / full.weights.sum()) if normalization == "mean" else 1)
    refit = replace(full, weights=full.weights * keep)
    ratio = left.scale / refit.scale
    close(left.gradient + (factor - 1.0) * left.penalty_gradient, ratio * refit.gradient)


def test_results_keep_no_graph_and_work_under_any_grad_mode() -> None:
    """Also inside no_grad and inference_mode."""
    network = next(case for case in CASES if case.name == "lstm").network
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode:
            fresh = replace(network)
            close(fresh.gradient, network.gradient)
            assert not fresh.gradient.requires_grad
            assert not fresh.row_losses.requires_grad
            v = network.vector[None, :]
            found = Hessian(fresh).matmul(v), GGN(fresh).matmul(v), *(own for _, own in AutodiffSource(fresh).dot(v))
            assert not any(result.requires_grad for result in found)
    assert not network.outputs(network.vector, network.inputs).requires_grad


def test_narrow_parameters_keep_their_type() -> None:
    """A module in float32 is read in float32, and an integer buffer stays one."""
    module = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)).eval()
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    weights, penalty = torch.ones(5), torch.zeros(18)
    names = tuple(name for name, _ in module.named_parameters())
    network = Network(module, cross_entropy, names, x, torch.zeros(5, dtype=torch.long), weights, penalty, "mean")
    assert network.dtype is network.gradient.dtype is torch.float32
    assert network.values["1.num_batches_tracked"].dtype is torch.long


def test_passes_leave_torchs_settings_as_they_were() -> None:
    """The attention kernels and the fast path are the user's again afterwards."""
    network: Any = next(case for case in CASES if case.name == "attention").network
    before = torch.backends.mha.get_fastpath_enabled(), torch.backends.cuda.flash_sdp_enabled()
    assert float(network.gradient.norm()) > 0
    assert (
        (torch.backends.mha.get_fastpath_enabled(), torch.backends.cuda.flash_sdp_enabled()) == before == (True, True)
    )
