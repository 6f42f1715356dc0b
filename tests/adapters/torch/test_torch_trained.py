"""Whether the parameters are those that training would leave: said as a note, as unconverged, or as a mismatch."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from torch import Tensor, nn

from upweight.adapters import Adapted
from upweight.adapters.torch_module import adapt_torch

LOSS = nn.CrossEntropyLoss(reduction="none")


def data() -> tuple[Tensor, Tensor]:
    x, y = load_iris(return_X_y=True)
    return torch.as_tensor((x - x.mean(0)) / x.std(0)), torch.as_tensor(y)


def model(hidden: bool) -> nn.Module:
    torch.manual_seed(0)
    if not hidden:
        return nn.Linear(4, 3, dtype=torch.float64)
    return nn.Sequential(nn.Linear(4, 4, dtype=torch.float64), nn.Tanh(), nn.Linear(4, 3, dtype=torch.float64))


def trained(hidden: bool, decay: float, steps: int = 200) -> nn.Module:
    """By L-BFGS on the mean loss and the decay, to its optimum."""
    net, (x, y) = model(hidden), data()
    optimizer = torch.optim.LBFGS(net.parameters(), max_iter=steps, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def closure() -> Any:
        optimizer.zero_grad()
        total = LOSS(net(x), y).mean() + 0.5 * decay * sum((p**2).sum() for p in net.parameters())
        total.backward()
        return total

    for _ in range(5):
        optimizer.step(closure)
    return net.eval()


def adapted(net: nn.Module, penalty: float = 0.0) -> Adapted:
    return adapt_torch(net, LOSS, data(), penalty=penalty)


@pytest.mark.parametrize("hidden", [False, True])
def test_a_trained_model_is_at_its_optimum(hidden: bool) -> None:
    """Neither unconverged nor a mismatch, and no word of a decay."""
    found = adapted(trained(hidden, 0.02), 0.02)
    assert found.stationarity.unconverged is None
    assert found.stationarity.mismatch is None
    assert not any("weight decay" in note for note in found.notes)


@pytest.mark.parametrize("hidden", [False, True])
def test_a_model_on_its_way_is_unconverged(hidden: bool) -> None:
    """Better than a constant, and a gradient left: the size is in the sentence."""
    found = adapted(trained(hidden, 0.02, steps=2), 0.02)
    assert found.stationarity.mismatch is None
    assert "the training gradient at" in str(found.stationarity.unconverged)
    assert found.stationarity.gradient > found.stationarity.tol


@pytest.mark.parametrize("hidden", [False, True])
def test_an_untrained_checkpoint_is_a_mismatch(hidden: bool) -> None:
    """Its loss on its own rows is worse than the best constant's, log 3 for three classes of one size."""
    net = model(hidden).eval()
    with torch.no_grad():
        for value in net.parameters():
            value *= 3.0
    found = adapted(net, 0.02)
    assert "1.099 is what the best constant prediction has" in str(found.stationarity.mismatch)
    assert "untrained checkpoint?" in str(found.stationarity.mismatch)


def test_shuffled_targets_are_a_mismatch() -> None:
    """A trained model beside other rows' targets."""
    net, (x, y) = trained(True, 0.02), data()
    found = adapt_torch(net, LOSS, (x, y.roll(50)), penalty=0.02)
    assert found.stationarity.mismatch is not None


@pytest.mark.parametrize("hidden", [False, True])
def test_a_decay_that_nobody_gave_is_suspected(hidden: bool) -> None:
    """The gradient that is left is −κθ: the note says κ, more than was given, or less."""
    net = trained(hidden, 0.05)
    (note,) = [note for note in adapted(net).notes if "weight decay" in note]
    assert "a weight decay of about 0.05 that is not in penalty" in note
    (note,) = [note for note in adapted(net, 0.02).notes if "weight decay" in note]
    assert "about 0.03 more than the penalty given" in note
    (note,) = [note for note in adapted(net, 0.15).notes if "penalty given" in note]
    assert "the penalty given is about 0.1 larger than what the model was trained with" in note


def test_a_strong_penalty_at_its_optimum_is_no_mismatch() -> None:
    """Where the bias is penalised too, the best constant is out of reach: being stationary counts."""
    x, y = data()
    net = nn.Linear(4, 1, dtype=torch.float64)
    target = (y + 100.0).double()[:, None]
    gram = torch.cat([x, torch.ones(len(x), 1, dtype=torch.float64)], dim=1)
    h = 2 * gram.T @ gram / len(x) + 50.0 * torch.eye(5, dtype=torch.float64)
    theta = torch.linalg.solve(h, 2 * gram.T @ target / len(x))[:, 0]
    with torch.no_grad():
        net.weight.copy_(theta[None, :4])
        net.bias.copy_(theta[4:])
    found = adapt_torch(net.eval(), nn.MSELoss(reduction="none"), (x, target), penalty=50.0)
    assert found.stationarity.mismatch is None
    assert found.stationarity.unconverged is None
    np.testing.assert_allclose(found.objective.gradient, 0.0, atol=1e-9)
