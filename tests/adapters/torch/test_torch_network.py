"""A network as an objective: the user's parameters, rows, penalty and words; refits by the user's own training."""

import copy
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from upweight import Influence
from upweight.adapters.torch_module import adapt_torch
from upweight.attribution.network import NetworkInputs
from upweight.network import Network

N = 30
DRAW = torch.Generator().manual_seed(1)
X = torch.randn(N, 4, generator=DRAW, dtype=torch.float64)
Y = (X[:, :1] - X[:, 1:2] * X[:, 2:3]).tanh() + 0.1 * torch.randn(N, 1, generator=DRAW, dtype=torch.float64)
LOSS = nn.MSELoss(reduction="none")
DECAY = 0.01


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1)).double()


def train(weights: Tensor, seed: int) -> nn.Module:
    """Full batch, from one start."""
    model = net()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=50, line_search_fn="strong_wolfe")

    def closure() -> Any:
        optimizer.zero_grad()
        total = (weights * LOSS(model(X), Y)[:, 0]).sum() / weights.sum()
        total = total + 0.5 * DECAY * sum((p**2).sum() for p in model.parameters())
        total.backward()
        return total

    optimizer.step(closure)
    return model.eval()


FITTED = train(torch.ones(N, dtype=torch.float64), 0)


def test_the_objective_is_the_users_own() -> None:
    """F, its size, rows, weights and Λ: F by hand."""
    found = adapt_torch(FITTED, LOSS, (X, Y), penalty=DECAY)
    network = found.objective
    assert isinstance(network, Network)
    assert network.chosen == ("0.weight", "0.bias", "2.weight", "2.bias")
    theta = torch.cat([p.detach().reshape(-1) for p in FITTED.parameters()])
    by_hand = float(((FITTED(X) - Y) ** 2).mean().detach() + 0.5 * DECAY * (theta**2).sum())
    assert network.value == pytest.approx(by_hand, rel=1e-12)
    assert (found.kind, found.targets, found.unit) == ("regression", ("y",), "target units")
    assert found.labels.shape == (N,)
    assert found.model_name == "Sequential"
    assert found.convention == "a refit divides the loss by the total weight of the rows that are left"


def test_some_parameters_move_and_the_rest_is_said_to_stay() -> None:
    """Names of the user's choice."""
    found = adapt_torch(FITTED, LOSS, (X, Y), penalty={"0.*": DECAY}, params=["0.weight", "0.bias"])
    assert found.objective.size == 15
    assert "frozen: 2 of its parameters" in found.convention
    assert set(found.objective.penalty.tolist()) == {DECAY}


def test_queries_and_refits_go_through_the_users_module() -> None:
    """Inputs are those of the attribution; a state becomes a model of the user's class, and theirs is unchanged."""
    before = copy.deepcopy(FITTED.state_dict())
    found = adapt_torch(FITTED, LOSS, (X, Y), penalty=DECAY)
    queries = found.read_query(X[:3].numpy())
    assert isinstance(queries, NetworkInputs)
    assert queries.rows == 3
    moved = {name: value + 1.0 for name, value in found.objective.values.items()}
    model = found.rebuild(moved)
    assert type(model) is nn.Sequential
    torch.testing.assert_close(model[0].weight, before["0.weight"] + 1.0)
    vector = found.rebuild(found.objective.vector + 1.0)
    torch.testing.assert_close(vector[2].bias, before["2.bias"] + 1.0)
    assert all(torch.equal(value, before[name]) for name, value in FITTED.state_dict().items())


def test_every_kind_of_data_gives_one_answer() -> None:
    """A shuffling loader too."""
    torch.manual_seed(3)
    answers = [
        Influence.from_torch(FITTED, LOSS, given, penalty=DECAY).scores(X[:2], Y[:2]).values
        for given in ((X, Y), TensorDataset(X, Y), DataLoader(TensorDataset(X, Y), batch_size=4, shuffle=True))
    ]
    np.testing.assert_array_equal(answers[0], answers[1])
    np.testing.assert_array_equal(answers[0], answers[2])


def test_a_refit_is_the_users_training_without_the_row() -> None:
    """`without` gives the model that train gives at weight 0."""
    influence = Influence.from_torch(FITTED, LOSS, (X, Y), penalty=DECAY, train=train)
    weights = torch.ones(N, dtype=torch.float64)
    weights[[4, 7]] = 0.0
    wanted = train(weights, 0)
    refit = influence.without([4, 7]).model
    for a, b in zip(refit.parameters(), wanted.parameters(), strict=True):
        torch.testing.assert_close(a, b)


class Two(nn.Module):
    """Reads two inputs, one of whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table, self.layer, self.out = nn.Embedding(5, 2), nn.Linear(4, 2), nn.Linear(4, 3)

    def forward(self, words: Tensor, x: Tensor) -> Tensor:
        both = torch.cat([self.table(words), torch.relu(self.layer(x))], dim=1)
        out: Tensor = self.out(both)
        return out


def test_gradients_switched_off_around_it_change_nothing() -> None:
    """Under the user's own no_grad: the same scores."""
    answer = Influence.from_torch(FITTED, LOSS, (X, Y), penalty=DECAY).scores(X[:2], Y[:2]).values
    with torch.no_grad():
        again = Influence.from_torch(FITTED, LOSS, (X, Y), penalty=DECAY).scores(X[:2], Y[:2]).values
    np.testing.assert_array_equal(answer, again)


@pytest.mark.parametrize("params", ["all", "head"])
def test_a_model_with_two_inputs_is_asked_with_two(params: str) -> None:
    """As a head on what stands before it, and as a network."""
    words, x, y = torch.arange(N) % 5, X.float(), torch.arange(N) % 3
    influence = Influence.from_torch(
        Two().eval(), nn.CrossEntropyLoss(reduction="none"), ((words, x), y), penalty=0.1, params=params
    )
    assert influence.scores((words[:2], x[:2]), [0, 1]).values.shape == (2, N)
    assert influence.adapted.rows[3][0] == 3


def test_a_check_runs_the_users_training_beside_a_head() -> None:
    """On a head, `check` compares our refit with `train`'s."""

    def fit(weights: Tensor, seed: int) -> nn.Module:
        model = nn.Linear(4, 1, dtype=torch.float64)
        one = torch.cat([X, torch.ones(N, 1, dtype=torch.float64)], dim=1)
        h = 2 * one.T @ (weights[:, None] * one) / weights.sum() + DECAY * torch.eye(5, dtype=torch.float64)
        theta = torch.linalg.solve(h, 2 * one.T @ (weights[:, None] * Y) / weights.sum())[:, 0]
        with torch.no_grad():
            model.weight.copy_(theta[None, :4])
            model.bias.copy_(theta[4:])
        return model

    model = fit(torch.ones(N, dtype=torch.float64), 0)
    influence = Influence.from_torch(model, LOSS, (X, Y), penalty=DECAY, train=fit)
    check = influence.check(X[:2], Y[:2], rows=4)
    assert check.noise.gap is not None
    assert check.noise.gap < 1e-8


def test_without_torch_the_line_that_installs_it_is_said() -> None:
    """MissingExtra, with pip's line."""
    code = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
sys.meta_path.insert(0, Hidden())
from upweight import Influence
from upweight.errors import MissingExtra
try:
    Influence.from_torch(None, None, None)
except MissingExtra as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "Influence.from_torch needs torch: pip install 'upweight[torch]'."
