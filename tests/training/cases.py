"""Small float64 networks and rows to train them on."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from upweight.optimisers import SGD, Adam, AdamW, Optimiser
from upweight.training_run import TrainingRun


class Recurrent(nn.Module):
    """An LSTM over the features, one at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(1, 3, batch_first=True), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        """[b, 3]."""
        return self.head(self.lstm(x[:, :, None])[0][:, -1])  # type: ignore[no-any-return]


class Attention(nn.Module):
    """Two tokens that look at each other."""

    def __init__(self) -> None:
        super().__init__()
        self.mix, self.head = nn.MultiheadAttention(2, 1, batch_first=True), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        """[b, 3]."""
        tokens = x.unflatten(1, (2, 2))
        return self.head(self.mix(tokens, tokens, tokens)[0].flatten(1))  # type: ignore[no-any-return]


OPTIMISERS: dict[str, Optimiser] = {
    "sgd": SGD(0.1),
    "momentum": SGD(0.05, momentum=0.9, weight_decay=0.01),
    "nesterov": SGD(0.05, momentum=0.8, nesterov=True),
    "adam": Adam(0.01, weight_decay=0.01),
    "adamw": AdamW(0.01, betas=(0.8, 0.99), weight_decay=0.1),
}
MODULES: dict[str, Callable[[], nn.Module]] = {
    "tanh": lambda: nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)),
    "relu": lambda: nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.LayerNorm(6), nn.Linear(6, 3)),
    "convolution": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 2, 2)), nn.Conv2d(1, 3, 2, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(27, 3)
    ),
    "recurrent": lambda: Recurrent(),
    "attention": lambda: Attention(),
}


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """[b]."""
    return nn.functional.cross_entropy(outputs, targets, reduction="none")


def rows(n: int = 20) -> tuple[Tensor, Tensor]:
    """Inputs [n, 4] and one of three classes."""
    generator = torch.Generator().manual_seed(7)
    return (
        torch.randn(n, 4, generator=generator, dtype=torch.float64),
        torch.randint(0, 3, (n,), generator=generator),
    )


def a_run(module: str = "tanh", n: int = 20, **settings: Any) -> TrainingRun:
    """A run of a few steps; settings replace its own."""
    inputs, targets = rows(n)
    given = {"optimiser": SGD(0.1), "penalty": 0.01} | settings
    if "epochs" not in given:
        given = {"steps": 12} | given
    return TrainingRun(MODULES[module]().double(), cross_entropy, inputs, targets, **given)


def furthest(one: nn.Module, other: nn.Module) -> float:
    """The largest difference between two models' parameters."""
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)
