"""Relabel and features of torch models: as scikit-learn's where linear, as refits where not, refused where unnamed."""

import copy
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional

from upweight import Influence
from upweight.errors import UnsupportedQuestion
from upweight.questions.linearised import perturbable
from upweight.questions.on_parameter import OnParameter
from upweight.removal.changed_refit import Changed

RNG = np.random.default_rng(0)
N, DECAY = 60, 0.05
X = RNG.normal(size=(N, 3))
Y = np.argmax(X @ RNG.normal(size=(3, 3)) + RNG.gumbel(size=(N, 3)), axis=1)
QUERY = (X[:4], Y[:4])


def loss(outputs: Any, targets: Any) -> Any:
    """Cross-entropy a row."""
    return functional.cross_entropy(outputs, targets, reduction="none")


def fitted(net: nn.Module, x: Any = X, y: Any = Y) -> nn.Module:
    """At its optimum, every parameter decayed."""
    net, inputs, targets = net.double(), torch.as_tensor(x), torch.as_tensor(y)
    optimiser = torch.optim.LBFGS(
        net.parameters(), max_iter=5000, tolerance_grad=1e-12, tolerance_change=1e-16, line_search_fn="strong_wolfe"
    )

    def closure() -> Any:
        optimiser.zero_grad()
        value = loss(net(inputs), targets).mean() + 0.5 * DECAY * sum((p**2).sum() for p in net.parameters())
        value.backward()
        return value

    for _ in range(3):
        optimiser.step(closure)
    return net.eval()


def asked(net: nn.Module, **settings: Any) -> Influence:
    """The net with its rows."""
    data = (torch.as_tensor(X), torch.as_tensor(Y))
    return Influence.from_torch(net, loss, data, penalty=DECAY, damping=0.0, **settings)


@pytest.fixture(scope="module")
def tanh() -> nn.Module:
    """A small network."""
    torch.manual_seed(0)
    return fitted(nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3)))


def test_a_linear_layer_answers_as_scikit_learn() -> None:
    """The same numbers to 1e-8, labels and features, one in mean and one in sum form: what a refit divides by stays."""
    estimator = LogisticRegression(C=1.0 / (0.02 * N), solver="newton-cholesky", tol=1e-14, max_iter=500).fit(X, Y)
    layer = nn.Linear(3, 3, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.as_tensor(estimator.coef_))
        layer.bias.copy_(torch.as_tensor(estimator.intercept_))
    data = (torch.as_tensor(X), torch.as_tensor(Y))
    ours = Influence.from_sklearn(estimator, X, Y)
    theirs = Influence.from_torch(layer.eval(), loss, data, penalty={"weight": 0.02}, damping=0.0)
    query = (torch.as_tensor(X[:4]), torch.as_tensor(Y[:4]))
    np.testing.assert_allclose(theirs.relabel(*query).values, ours.relabel(*QUERY).values, atol=1e-8)
    np.testing.assert_allclose(theirs.features(*query, [1, 5]).values, ours.features(*QUERY, [1, 5]).values, atol=1e-8)


def test_a_network_against_its_refits(tanh: nn.Module) -> None:
    """Per unit of an input: differences of nets fitted on from the optimum; a label: the refit beside it."""
    influence = asked(tanh)
    query = (torch.as_tensor(X[:4]), torch.as_tensor(Y[:4]))
    found = influence.features(*query, [7])
    for j in (0, 2):
        values = []
        for sign in (1.0, -1.0):
            x = X.copy()
            x[7, j] += sign * 1e-3
            moved = fitted(copy.deepcopy(tanh), x)
            values.append(loss(moved(query[0]), query[1]).detach().numpy())
        slope = (values[0] - values[1]) / 2e-3
        np.testing.assert_allclose(found.values[:, 0, j], slope, rtol=1e-3, atol=1e-3 * np.abs(slope).max())
    top = influence.relabel(*query).top(3)
    np.testing.assert_allclose(top["estimate"], top["refit"].astype(float), rtol=0.3)


def test_what_stands_before_a_head_is_taken_back_to_the_inputs(tanh: nn.Module) -> None:
    """params="head": per unit of an input, through the frozen layers; differences of the head really refitted."""
    influence = asked(tanh, params="head")
    query = (torch.as_tensor(X[:4]), torch.as_tensor(Y[:4]))
    found = influence.features(*query, [1, 7], measurement="margin")
    assert found.values.shape == (4, 2, 3)
    now = influence.attribution
    for k, (row, j) in enumerate(((1, 0), (7, 2))):
        ends = []
        for sign in (1.0, -1.0):
            x = torch.as_tensor(X[[row]])
            x[0, j] += sign * 1e-4
            features: Any = influence.adapted.read_query(x)
            states, settled = now.changed(Changed(np.asarray([row]), features=features))  # type: ignore[attr-defined]
            assert settled.all()
            z = now.outputs_at(states, influence.adapted.read_query(query[0]))[0]
            own = np.eye(3)[Y[:4]] > 0
            ends.append(z[own] - np.log(np.exp(np.where(own, -np.inf, z)).sum(axis=1)))
        np.testing.assert_allclose(found.values[:, k, j], (ends[0] - ends[1]) / 2e-4, rtol=1e-5, atol=1e-9)


def test_an_adapter_that_knows_no_other_labels_is_refused_by_name() -> None:
    """Not every attribution has to answer."""
    question: Any = Mock(spec=OnParameter)
    question.attribution, question.adapted = object(), SimpleNamespace(model_name="Elsewhere")
    with pytest.raises(UnsupportedQuestion, match="relabel is not answered for Elsewhere"):
        perturbable(question, "relabel")
