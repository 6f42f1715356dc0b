"""The models of row 9: small networks and a softmax regression on the same images, each trained once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from data.digits import Images
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn import functional

from upweight import Influence
from upweight.optimisers import SGD
from upweight.training_run import TrainingRun

__all__ = ["PENALTY", "FromSeed", "Networks", "regression"]

PENALTY = 0.01  # on the mean loss, as everywhere in this row


class Networks:
    """Small networks and a softmax regression on the same images, each trained once."""

    def __init__(self, held: Images, hidden: int, steps: int) -> None:
        self.held, self.hidden, self.steps = held, hidden, steps
        self.X, self.y = torch.as_tensor(held.X).double(), torch.as_tensor(held.y)
        self.regression = regression(held)
        self.linear = Influence.from_sklearn(self.regression, held.X.astype(float), held.y)
        self._models: dict[tuple[str, int], nn.Module] = {}

    def perceptron(self) -> nn.Module:
        """One hidden layer."""
        return nn.Sequential(nn.Linear(self.X.shape[1], self.hidden), nn.Tanh(), nn.Linear(self.hidden, 10)).double()

    def deeper(self) -> nn.Module:
        """Two."""
        hidden = (nn.Linear(self.X.shape[1], self.hidden), nn.Tanh(), nn.Linear(self.hidden, self.hidden), nn.Tanh())
        return nn.Sequential(*hidden, nn.Linear(self.hidden, 10)).double()

    def training(self, build: Any) -> TrainingRun:
        """All rows at each step, to a minimum."""
        rule = SGD(0.5, momentum=0.9, weight_decay=PENALTY)
        return TrainingRun(build, _loss, self.X, self.y, rule, steps=self.steps)

    def model(self, build: Any, seed: int) -> nn.Module:
        """Trained on all rows."""
        key = (build.__name__, seed)
        if key not in self._models:
            self._models[key] = self.training(build)(torch.ones(len(self.y)), seed)
        return self._models[key]

    def influence(self, build: Any, seed: int, train: Any = None, params: str = "all") -> Influence:
        """Of such a model; `train` is what refits use."""
        made = self.model(build, seed)
        return Influence.from_torch(made, _loss, (self.X, self.y), penalty=PENALTY, params=params, train=train)

    def queries(self, count: int) -> tuple[Tensor, Tensor]:
        """The first test rows."""
        return torch.as_tensor(self.held.X_test[:count]).double(), torch.as_tensor(self.held.y_test[:count])

    def accuracy(self, build: Any, seed: int) -> float:
        """On the test rows."""
        query, label = self.queries(len(self.held.y_test))
        with torch.no_grad():
            return float((self.model(build, seed)(query).argmax(1) == label).double().mean())


@dataclass(frozen=True)
class FromSeed:
    """A training that starts from a seed of its own, whichever is asked for."""

    run: TrainingRun
    seed: int

    def __call__(self, weights: Any, seed: int) -> nn.Module:
        return self.run(weights, self.seed)

    def many(self, weights: Any, seeds: Sequence[int]) -> dict[str, Tensor]:
        return self.run.many(weights, [self.seed] * len(seeds))


def _loss(outputs: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(outputs, targets, reduction="none")


def regression(held: Images) -> LogisticRegression:
    """The penalty on the mean loss, as everywhere in this row."""
    c = 1.0 / (PENALTY * len(held.y))
    return LogisticRegression(C=c, solver="newton-cholesky", tol=1e-10).fit(held.X.astype(float), held.y)
