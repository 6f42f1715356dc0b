"""Pixels before a network's head: features and the way back, against differences of passes and of real refits."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from upweight import Influence
from upweight.adapters.row_inputs import RowInputs
from upweight.adapters.torch_row_inputs import GRAPHS, TorchRows, torch_rows
from upweight.arrays import to_numpy
from upweight.gradients import PerturbedSource
from upweight.perturbation import Inputs
from upweight.removal.changed_refit import Changed, refit_changed
from upweight.sensitivity import Implicit

N, PENALTY = 60, 0.02
IMAGES = load_digits().images[:N, None] / 16.0
LABELS = load_digits().target[:N] % 3


def network(dtype: torch.dtype = torch.float64) -> nn.Module:
    draw = torch.Generator().manual_seed(0)
    layers = (nn.Conv2d(1, 4, 3, stride=2), nn.Tanh(), nn.Flatten(), nn.Linear(36, 3))
    module = nn.Sequential(*layers).to(dtype).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=draw, dtype=dtype))
    return module


def asked(dtype: torch.dtype = torch.float64) -> Influence:
    data = (torch.as_tensor(IMAGES, dtype=dtype), torch.as_tensor(LABELS))
    loss = nn.CrossEntropyLoss(reduction="none")
    return Influence.from_torch(
        network(dtype), loss, data, penalty={"3.weight": PENALTY, "3.bias": 0.01}, params="head"
    )


def rows_of(influence: Influence) -> TorchRows:
    found = influence.adapted.row_inputs
    assert isinstance(found, TorchRows)
    assert isinstance(found, RowInputs)
    return found


def test_features_are_the_heads_and_the_way_back_is_their_derivative() -> None:
    """Of several rows in one pass; nothing is left behind in the network."""
    influence = asked()
    inputs, at = rows_of(influence), np.array([5, 0, 31])
    cells = inputs.cells(at)
    features, back = inputs.read(at, cells)
    assert np.allclose(features, influence.adapted.objective.features.take(at)[:, :-1], atol=1e-12)
    v, step = np.random.default_rng(0).normal(size=features.shape), 1e-6
    gradient = back(v)
    assert np.allclose(back(2.0 * v), 2.0 * gradient)  # asked again of the same pass
    for j in (0, 20, 63):
        moved = np.zeros_like(cells)
        moved[:, j] = step
        up, down = (inputs.read(at, cells + sign * moved)[0] for sign in (1.0, -1.0))
        assert np.allclose(np.sum(v * (up - down), axis=1) / (2 * step), gradient[:, j], atol=1e-8)
    assert all(parameter.grad is None for parameter in inputs.model.parameters())
    assert not inputs.inputs.requires_grad


def test_slopes_go_through_the_network_in_parts() -> None:
    """More rows than fit in one pass, each as if alone."""
    inputs = rows_of(asked())
    at = np.arange(2 * GRAPHS + 3)
    v = np.random.default_rng(0).normal(size=(len(at), 36))
    found = inputs.slopes(at, v)
    assert found.shape == (len(at), 64)
    for k in (0, GRAPHS, len(at) - 1):
        assert np.allclose(found[k], inputs.read(at[[k]], inputs.cells(at[[k]]))[1](v[[k]])[0], atol=1e-12)


@pytest.mark.parametrize("row", [3, 40])
def test_a_pixels_influence_is_the_difference_of_real_refits(row: int) -> None:
    """A logit of a query by a training row's pixels, through H⁻¹ and back through the network."""
    influence = asked()
    inputs, own = rows_of(influence), influence.attribution
    head, prepared = own.head, own.prepared  # type: ignore[attr-defined]
    query = influence.adapted.read_query(torch.as_tensor(IMAGES[[7]])).take(np.arange(1))  # type: ignore[attr-defined]
    v = head.params.collect((np.eye(3)[[1]].T @ query)[None])
    blocks = Implicit(prepared).adjoint(v, PerturbedSource(head, Inputs(), np.array([row]))).blocks
    slope = inputs.slopes(np.array([row]), np.concatenate([to_numpy(block)[0] for _, block in blocks]))[0]

    def logit(cells: Any) -> float:
        features: Any = influence.adapted.read_query(inputs.data(np.array([row]), cells))
        refit = refit_changed(head, prepared, Changed(np.array([row]), features=features))
        assert refit.converged.all()
        return float((query @ head.params.at(refit.vectors[0]).matrix.T)[0, 1])

    step = 1e-4
    for j in np.argsort(-np.abs(slope))[[0, 5, 20]]:
        moved = np.zeros((1, 64))
        moved[0, j] = step
        cells = inputs.cells(np.array([row]))
        assert (logit(cells + moved) - logit(cells - moved)) / (2 * step) == pytest.approx(slope[j], rel=1e-5)


def test_narrow_numbers_stay_inside_the_box() -> None:
    """A third is no float32: rounded, it would leave the box on either side."""
    inputs = rows_of(asked(torch.float32))
    cells = inputs.cells(np.array([0, 1]))
    for sign in (1.0, -1.0):
        low, high = cells - 1 / 3, cells + 1 / 3
        found = inputs.held(cells + sign / 3, low, high)
        assert np.array_equal(found, found.astype(np.float32))
        assert np.all((low <= found) & (found <= high))
        assert np.allclose(found, cells + sign / 3, atol=1e-6)
    assert inputs.data(np.array([0, 1]), cells).dtype == torch.float32
    assert np.array_equal(rows_of(asked()).held(cells / 3, cells, cells), cells / 3)


@pytest.mark.parametrize(
    ("shape", "groups", "columns"),
    [((3,), [0, 1, 2], ("x0", "x1", "x2")), ((2, 2, 2), [0] * 4 + [1] * 4, ()), ((2, 3), [0] * 6, ())],
)
def test_cells_that_share_a_scale(shape: tuple[int, ...], groups: list[int], columns: tuple[str, ...]) -> None:
    """Columns of a table, channels of pictures; the values of a group hold its ends."""
    x = torch.randn((20, *shape), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    inputs = torch_rows(nn.Flatten(), "", (x,), None)
    assert inputs is not None
    assert inputs.groups.tolist() == groups
    assert inputs.columns == columns
    assert inputs.shape == shape
    flat = x.reshape(20, -1).numpy()
    for group in set(groups):
        own = flat[:, np.asarray(groups) == group]
        values = inputs.values(group)
        assert values.min() == own.min()
        assert values.max() == own.max()
        assert set(values) <= set(own.ravel())


def test_what_cannot_move_has_no_cells() -> None:
    """Whole numbers, and rows of several tensors."""
    whole: tuple[Tensor, ...] = (torch.zeros(4, 2, dtype=torch.int64),)
    assert torch_rows(nn.Flatten(), "", whole, None) is None
    assert torch_rows(nn.Flatten(), "", (torch.zeros(4, 2), torch.zeros(4, 2)), None) is None
