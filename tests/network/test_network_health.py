"""Where NaN begins: the layer, the row, the loss, the parameter."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.network.cases import CASES, Case, cross_entropy
from upweight.network import Network
from upweight.network_health import asymmetry, first_nonfinite


def network(module: nn.Module, x: Tensor, loss: Any = cross_entropy, **more: Any) -> Network:
    module = module.double().eval()
    names = tuple(name for name, _ in module.named_parameters())
    size = sum(p.numel() for p in module.parameters())
    y = torch.zeros(len(x), dtype=torch.long)
    weights, penalty = torch.ones(len(x), dtype=torch.float64), torch.zeros(size, dtype=torch.float64)
    return Network(module, loss, names, x, y, weights, penalty, "mean", **more)


def numbers(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


class Root(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sqrt()


def positive(n: int, bad: int) -> Tensor:
    x = numbers(n, 3).abs() + 0.1
    x[bad, 1] = -1.0
    return x


def test_all_finite_is_none() -> None:
    """And the module has no hook left."""
    module = nn.Sequential(nn.Linear(3, 3), nn.Tanh())
    assert first_nonfinite(network(module, numbers(5, 3))) is None
    assert not any(part._forward_hooks for part in module.modules())


def test_the_layer_and_the_row_are_named() -> None:
    """The innermost layer, by its path; the row by its place in all rows, whatever the batch."""
    module = nn.Sequential(nn.Identity(), nn.Sequential(Root(), nn.Linear(3, 3)))
    found = first_nonfinite(network(module, positive(40, 31), batch_bytes=2000.0))
    assert found == "layer '1.0' (Root) gives NaN or infinity for row 31"


def test_rows_on_another_axis_are_found() -> None:
    """Sequence first, as many layers have it."""

    class First(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.root, self.head = Root(), nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.root(x.transpose(0, 1)).sum(0))

    x = numbers(6, 2, 3).abs()
    x[4, 1, 0] = -1.0
    assert first_nonfinite(network(First(), x)) == "layer 'root' (Root) gives NaN or infinity for row 4"


def test_data_that_is_not_finite_is_told_from_a_layer_that_breaks() -> None:
    """The first layer says that it was given it."""
    x = numbers(5, 3)
    x[2, 0] = float("nan")
    found = first_nonfinite(network(nn.Sequential(nn.Linear(3, 3)), x))
    assert found == "layer '0' (Linear) gives NaN or infinity for row 2, and was given it"


def test_a_loss_that_overflows_names_its_row() -> None:
    """The outputs are finite there."""

    def overflowing(z: Tensor, y: Tensor) -> Tensor:
        return torch.where(torch.arange(len(z)) == 3, z[:, 0] / 0.0, z[:, 0] ** 2)

    found = first_nonfinite(network(nn.Sequential(nn.Linear(3, 3)), numbers(5, 3), overflowing))
    assert found is not None
    assert "the loss of row 3 is" in found
    assert "outputs that are finite" in found


def test_a_gradient_that_overflows_names_its_parameter() -> None:
    """The root of 0 has a value but no slope."""

    class Gate(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate, self.head = nn.Parameter(torch.zeros(3)), nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(x) + self.gate.abs().sqrt()

    found = first_nonfinite(network(Gate(), numbers(5, 3)))
    assert found == "the gradient of 'gate' holds NaN or infinity, though all losses are finite"


class Held(torch.autograd.Function):
    """x / ‖x‖ whose backward takes the norm as a constant, as some kernels do."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        norm = x.norm(dim=1, keepdim=True)
        ctx.save_for_backward(x, norm)
        return x / norm

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        x, norm = ctx.saved_tensors
        (g,) = gradients
        return g / norm - x * (g * x).sum(1, keepdim=True) / norm**3


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_second_derivatives_are_symmetric(case: Case) -> None:
    """To rounding, for every kind of network."""
    assert asymmetry(case.network) < 1e-14


def test_a_wrong_kernel_is_not_symmetric() -> None:
    """One that holds a statistic back is found out."""

    class Layer(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return Held.apply(x)

    module = nn.Sequential(nn.Linear(3, 4), Layer(), nn.Linear(4, 3))
    assert asymmetry(network(module, numbers(6, 3))) > 1e-4
