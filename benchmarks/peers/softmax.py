"""The problem's model in torch, with and without its penalty, and the floor: one plain forward and backward pass.

Stands on torch and problem.py; the peers that run on torch stand on it.

Penalty. F has (lam/2)||W||^2 on the weights and nothing on the intercepts. A row's own gradient must not hold
it (upweight's "sum" form), the curvature must. So where a peer lets the loss see the parameters, the term
(lam/2)||W - W*||^2 is added to it, W* the fitted weights: its curvature is the penalty's, its gradient at W*
is zero. Where it does not, the peer's damping of all parameters, intercepts too, stands in, and is said.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.peers.problem import Problem

ROWS_A_BATCH = 2000


def linear(problem: Problem) -> nn.Linear:
    """The fitted regression as one nn.Linear, in the dtype of the problem's rows."""
    outputs, features = problem.W.shape
    model = nn.Linear(features, outputs, dtype=torch.from_numpy(problem.X_train[:0]).dtype)
    model.load_state_dict({"weight": torch.from_numpy(problem.W), "bias": torch.from_numpy(problem.b)})
    return model.eval()


class Penalised(nn.Module):
    """Logits [rows, c] and, as one more column, the penalty around the fitted weights: see the module's docstring."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.linear = linear(problem)
        weight = self.linear.weight.detach()
        # of the weights' dtype: a Python number times a scalar loses float32 under torch.func.hessian
        self.register_buffer("half_lam", torch.tensor(0.5 * problem.lam, dtype=weight.dtype))
        self.register_buffer("fitted", weight.clone())

    def forward(self, x: Tensor) -> Tensor:
        logits = self.linear(x)
        penalty = self.half_lam * (self.linear.weight - self.fitted).square().sum()
        return torch.cat([logits, penalty.expand(len(x), 1)], dim=1)


def row_losses(logits: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy of each row, from one logit or one a class."""
    if logits.shape[1] == 1:
        return nn.functional.binary_cross_entropy_with_logits(logits[:, 0], y.to(logits.dtype), reduction="none")
    return nn.functional.cross_entropy(logits, y, reduction="none")


def penalised_loss(output: Tensor, y: Tensor, reduction: str = "mean") -> Tensor:
    """Cross-entropy plus the penalty's column, averaged or for each row."""
    loss = row_losses(output[:, :-1], y) + output[:, -1]
    return loss.mean() if reduction == "mean" else loss


def train_set(problem: Problem) -> TensorDataset:
    return TensorDataset(torch.from_numpy(problem.X_train), torch.from_numpy(problem.y_train))


def query_set(problem: Problem) -> TensorDataset:
    return TensorDataset(torch.from_numpy(problem.X_query), torch.from_numpy(problem.y_query))


def loader(dataset: TensorDataset, rows: int = ROWS_A_BATCH) -> DataLoader[tuple[Tensor, ...]]:
    """Batches of equal size and none left over, in order: peers that average batches then stay right."""
    count = len(dataset)
    rows = min(rows, count)
    while count % rows:
        rows -= 1
    return DataLoader(dataset, batch_size=rows, shuffle=False)


def floor(problem: Problem) -> Callable[[], object]:
    """One float32 pass over all rows: logits, mean cross-entropy, gradient of weights and intercepts."""
    model, X, y = linear(problem), torch.from_numpy(problem.X_train), torch.from_numpy(problem.y_train)

    def run() -> object:
        model.zero_grad()
        loss = nn.functional.cross_entropy(model(X), y)
        loss.backward()
        return loss

    return run
