"""Which parameters move, and the penalty that each of them has in the loss."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from upweight.adapters.torch_module import adapt_torch
from upweight.adapters.torch_params import choose, read_penalties
from upweight.errors import InputError, UnsupportedModel

LOSS = nn.CrossEntropyLoss(reduction="none")
X, Y = torch.randn(20, 4, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 3


class Net(nn.Module):
    """A body, a head, and a parameter that the outputs do not use."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = nn.Linear(4, 5), nn.Linear(5, 3)
        self.spare = nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(torch.tanh(self.body(x)))
        return out


ALL = ("spare", "body.weight", "body.bias", "head.weight", "head.bias")


def frozen() -> Net:
    net = Net()
    net.body.requires_grad_(False)
    return net


@pytest.mark.parametrize(
    ("model", "params", "chosen"),
    [
        (Net, "all", ALL),
        (Net, "head", ("head.weight", "head.bias")),
        (Net, ["head.bias", "body.weight"], ("body.weight", "head.bias")),
        (Net, lambda name, value: value.ndim == 2, ("body.weight", "head.weight")),
        (frozen, "all", ("spare", "head.weight", "head.bias")),
    ],
)
def test_parameters_are_chosen_in_the_models_order(
    model: Callable[[], nn.Module], params: Any, chosen: tuple[str, ...]
) -> None:
    """By word, names or function."""
    assert choose(model(), params, "head", 0.0)[0] == chosen


@pytest.mark.parametrize(
    ("params", "said"),
    [
        (["head.wight"], "no parameter 'head.wight'. It has 'spare', 'body.weight'"),
        ([], "no parameter of Net is chosen"),
        (lambda name, value: False, "no parameter of Net is chosen"),
        ("body", "params is 'body'. Use 'all', 'head'"),
        (3, "params is 3"),
    ],
)
def test_choices_that_name_nothing_are_refused(params: Any, said: str) -> None:
    """With the names that there are."""
    with pytest.raises(InputError, match=said):
        choose(Net(), params, "head", 0.0)


def test_a_model_without_a_head_is_told_so() -> None:
    """And one where nothing requires a gradient."""
    with pytest.raises(UnsupportedModel, match="Conv1d does not end in one nn"):
        choose(nn.Conv1d(1, 1, 1), "head", None, 0.0)
    with pytest.raises(InputError, match="none requires a gradient"):
        choose(Net().requires_grad_(False), "all", "head", 0.0)


def test_parameters_that_stay_are_said() -> None:
    """Without gradient, unused by the loss, or not in the optimizer: all named in notes; named by the user: refused."""
    adapted = adapt_torch(frozen().eval(), LOSS, (X, Y), penalty=0.1)
    assert adapted.objective.params.size == 18
    assert any("2 parameters ('body.weight', 'body.bias') without gradient stay" in note for note in adapted.notes)
    assert any("parameter 'spare' that the loss does not use" in note for note in adapted.notes)
    with pytest.raises(InputError, match="the loss does not use parameter 'spare'"):
        adapt_torch(Net().eval(), LOSS, (X, Y), params=["spare", "head.weight"])
    net = Net().eval()
    adapted = adapt_torch(net, LOSS, (X, Y), penalty=torch.optim.SGD(net.head.parameters(), 0.1, weight_decay=0.1))
    assert any("that the optimizer does not hold" in note for note in adapted.notes)
    assert adapted.objective.params.size == 18
    with pytest.raises(InputError, match="holds none of the model's parameters"):
        adapt_torch(Net().eval(), LOSS, (X, Y), penalty=torch.optim.SGD(Net().parameters(), 0.1))


CHOSEN = ("body.weight", "body.bias", "head.weight", "head.bias")


@pytest.mark.parametrize(
    ("penalty", "wanted"),
    [
        (0.1, (0.1, 0.1, 0.1, 0.1)),
        ({"*.weight": 0.2}, (0.2, 0.0, 0.2, 0.0)),
        ({"*.weight": 0.2, "head.weight": 0.5}, (0.2, 0.0, 0.5, 0.0)),
        ({"head.*": 1, "*.bias": 2}, (0.0, 2.0, 1.0, 1.0)),
        ({}, (0.0, 0.0, 0.0, 0.0)),
    ],
)
def test_a_penalty_is_read_per_parameter(penalty: Any, wanted: tuple[float, ...]) -> None:
    """A number for all, biases too; names before patterns, the first pattern first, else 0."""
    assert read_penalties(Net(), CHOSEN, penalty)[0] == dict(zip(CHOSEN, wanted, strict=True))


@pytest.mark.parametrize("kind", ["SGD", "Adam", "RMSprop", "Adagrad", "NAdam", "RAdam"])
def test_weight_decay_in_the_gradient_is_the_penalty(kind: str) -> None:
    """Group by group."""
    net = Net()
    groups = [{"params": net.body.parameters(), "weight_decay": 0.3}, {"params": net.head.parameters()}]
    optimizer = getattr(torch.optim, kind)(groups, lr=0.1, weight_decay=0.01)
    found, notes = read_penalties(net, CHOSEN, optimizer)
    assert list(found.values()) == [0.3, 0.3, 0.01, 0.01]
    assert not notes


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.AdamW(p, weight_decay=0.02),
        lambda p: torch.optim.Adam(p, weight_decay=0.02, decoupled_weight_decay=True),
        lambda p: torch.optim.NAdam(p, weight_decay=0.02, decoupled_weight_decay=True),
    ],
)
def test_decoupled_decay_is_no_part_of_the_loss(make: Callable[[Any], torch.optim.Optimizer]) -> None:
    """Penalty 0, and a sentence that says so."""
    net = Net()
    found, notes = read_penalties(net, CHOSEN, make(net.parameters()))
    assert set(found.values()) == {0.0}
    assert "weight decay of 0.02 is decoupled" in notes[0]
    assert "no part of the loss" in notes[0]


class Strange(torch.optim.Optimizer):
    def __init__(self, params: Any) -> None:
        super().__init__(params, {"lr": 0.1, "weight_decay": 0.1})


@pytest.mark.parametrize(
    ("penalty", "error", "said"),
    [
        (-0.1, InputError, "penalty is -0.1. Give a number >= 0"),
        ("l2", InputError, "penalty is 'l2'. Give the weight decay"),
        ({"*.wight": 0.1}, InputError, r"penalty names '\*.wight', which fit no chosen parameter"),
        ({"*.bias": float("nan")}, InputError, r"penalty\['\*.bias'\] is nan"),
        (Strange(Net().parameters()), UnsupportedModel, "Strange's weight_decay is part of the loss"),
    ],
)
def test_penalties_that_mean_nothing_are_refused(penalty: Any, error: type[Exception], said: str) -> None:
    """With what to give instead."""
    with pytest.raises(error, match=said):
        read_penalties(Net(), CHOSEN, penalty)
