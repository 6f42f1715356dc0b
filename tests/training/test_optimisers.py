"""Our optimisers beside torch.optim's."""

import pytest
import torch
from torch import Tensor

from upweight.optimisers import SGD, Adam, AdamW, Optimiser

CASES = [
    (SGD(0.1), torch.optim.SGD, {"lr": 0.1}),
    (SGD(0.1, weight_decay=0.2), torch.optim.SGD, {"lr": 0.1, "weight_decay": 0.2}),
    (SGD(0.05, 0.9, weight_decay=0.1), torch.optim.SGD, {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.1}),
    (SGD(0.05, 0.9, True), torch.optim.SGD, {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    (Adam(), torch.optim.Adam, {}),
    (Adam(0.1, (0.7, 0.9), 1e-4), torch.optim.Adam, {"lr": 0.1, "betas": (0.7, 0.9), "eps": 1e-4}),
    (Adam(0.1, weight_decay=0.3), torch.optim.Adam, {"lr": 0.1, "weight_decay": 0.3}),
    (AdamW(), torch.optim.AdamW, {}),
    (AdamW(0.1, weight_decay=0.3), torch.optim.AdamW, {"lr": 0.1, "weight_decay": 0.3}),
]  # fmt: skip


def gradient(theta: Tensor) -> Tensor:
    """Of a curved function of every entry."""
    return torch.tanh(theta) + 0.3 * theta**3 - 0.1


@pytest.mark.parametrize(("ours", "theirs", "settings"), CASES)
def test_each_step_is_torch_optims(ours: Optimiser, theirs: type, settings: dict[str, float]) -> None:
    """Thirty steps under a rate that changes agree with torch.optim's at each of them to 1e-12."""
    start = torch.linspace(-2, 2, 12, dtype=torch.float64).reshape(3, 4)
    reference = torch.nn.Parameter(start.clone())
    optimiser = theirs([reference], **settings)
    parameters = {"w": start.clone()}
    state = ours.start(parameters)
    for step in range(30):
        rate = ours.learning_rate / (1 + 0.1 * step)
        optimiser.param_groups[0]["lr"] = rate
        reference.grad = gradient(reference.detach())
        optimiser.step()
        ours.step(parameters, {"w": gradient(parameters["w"])}, state, rate, step + 1)
        torch.testing.assert_close(parameters["w"], reference.detach(), rtol=0, atol=1e-12)


def test_only_adamw_decouples_its_weight_decay() -> None:
    """AdamW's weight decay is no penalty; everybody else's is."""
    assert [type(o).__name__ for o in (SGD(), Adam(), AdamW()) if o.decoupled] == ["AdamW"]
