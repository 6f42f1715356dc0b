"""A torch model that is linear in what moves answers as the scikit-learn estimator with the same parameters."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge
from torch import nn
from torch.nn import functional

from upweight import Influence
from upweight.adapters.torch_module import adapt_torch
from upweight.linear_head import LinearHead
from upweight.network import Network

Floats = NDArray[np.float64]


def scaled(x: Floats) -> Floats:
    return (x - x.mean(axis=0)) / x.std(axis=0)


def linear(estimator: Any) -> nn.Linear:
    """The estimator as a layer in float64."""
    coef, intercept = np.atleast_2d(estimator.coef_), np.atleast_1d(estimator.intercept_)
    layer = nn.Linear(coef.shape[1], coef.shape[0], dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.as_tensor(coef))
        layer.bias.copy_(torch.as_tensor(np.broadcast_to(intercept, len(coef)).copy()))
    return layer.eval()


@dataclass(frozen=True)
class Pair:
    """One problem for both doors."""

    estimator: Any
    x: Floats
    y: Any
    loss: Callable[[Any, Any], Any]
    target: torch.Tensor
    penalty: float
    normalization: str
    factor: float = 1.0  # the torch loss beside scikit-learn's


def iris() -> Pair:
    x, y = load_iris(return_X_y=True)
    x = scaled(x)
    fit = LogisticRegression(C=0.5, tol=1e-12, max_iter=10_000).fit(x, y)
    loss = nn.CrossEntropyLoss(reduction="none")
    return Pair(fit, x, y, loss, torch.as_tensor(y), 1 / (0.5 * len(y)), "sum")


def cancer() -> Pair:
    x, y = load_breast_cancer(return_X_y=True)
    x, y = scaled(x[:200, :6]), y[:200]
    fit = LogisticRegression(C=2.0, tol=1e-12, max_iter=10_000).fit(x, y)
    loss = nn.BCEWithLogitsLoss(reduction="none")
    return Pair(fit, x, y, loss, torch.as_tensor(y, dtype=torch.float64)[:, None], 1 / (2.0 * len(y)), "sum")


def diabetes() -> Pair:
    x, y = load_diabetes(return_X_y=True)
    x, y = scaled(x[:150]), y[:150] / 100.0
    fit = Ridge(alpha=3.0, solver="cholesky").fit(x, y)

    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return functional.mse_loss(outputs[:, 0], targets, reduction="none")

    return Pair(fit, x, y, loss, torch.as_tensor(y), 2 * 3.0 / len(y), "sum", 2.0)


def counts() -> Pair:
    x, y = load_diabetes(return_X_y=True)
    x, y = scaled(x[:150, :5]), np.round(y[:150] / 40.0)
    fit = PoissonRegressor(alpha=0.1, tol=1e-12, solver="newton-cholesky").fit(x, y)
    loss = nn.PoissonNLLLoss(reduction="none")
    return Pair(fit, x, y, loss, torch.as_tensor(y)[:, None], 0.1, "mean")


PAIRS = [iris, cancer, diabetes, counts]


def both(pair: Pair) -> tuple[Influence, Influence]:
    ours = Influence.from_sklearn(pair.estimator, pair.x, pair.y)
    theirs = Influence.from_torch(
        linear(pair.estimator),
        pair.loss,
        (torch.as_tensor(pair.x), pair.target),
        penalty={"weight": pair.penalty},
        normalization=pair.normalization,
    )
    return ours, theirs


def same(a: Any, b: Any) -> None:
    size = float(np.max(np.abs(b)))
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-8 * size)


@pytest.mark.parametrize("make", PAIRS)
def test_every_answer_equals_scikit_learns(make: Callable[[], Pair]) -> None:
    """Scores by both removals, self-influence, a refit and its rows: to 1e-8."""
    pair = make()
    ours, theirs = both(pair)
    assert isinstance(theirs.adapted.objective, LinearHead)
    assert theirs.adapted.stationarity.unconverged is None
    x, y = pair.x[:4], pair.y[:4]
    for removal in ("leverage", "first_order"):
        wanted = ours.scores(x, y, removal=removal).values
        same(theirs.scores(torch.as_tensor(x), pair.target[:4], removal=removal).values, pair.factor * wanted)
    same(theirs.self_influence().values, pair.factor * ours.self_influence().values)
    refit, wanted = theirs.without([0, 5]), ours.without([0, 5])
    assert type(refit.model) is nn.Linear
    same(refit.model.weight.detach().numpy(), np.atleast_2d(wanted.model.coef_))
    same(refit.model.bias.detach().numpy(), np.atleast_1d(wanted.model.intercept_))


@pytest.mark.parametrize("make", [iris, cancer])
def test_flips_and_checks_equal_scikit_learns(make: Callable[[], Pair]) -> None:
    """The same rows flip a prediction; estimates and refits of a check are the same numbers."""
    pair = make()
    ours, theirs = both(pair)
    p = pair.estimator.predict_proba(pair.x).max(axis=1)
    nearest = pair.x[[int(np.argmin(p))]]
    assert theirs.smallest_flip(torch.as_tensor(nearest)).rows == ours.smallest_flip(nearest).rows
    a, b = (i.check(pair.x[:2], np.asarray(pair.y[:2]), rows=6) for i in (theirs, ours))
    same(a.estimate, b.estimate)
    same(a.refit, b.refit)
    assert a.row_ids == b.row_ids


def test_what_a_person_reads_is_the_same() -> None:
    """Classes, probabilities, unit: binary by one logit, three classes by softmax."""
    for make in (iris, cancer):
        ours, theirs = both(make())
        assert theirs.adapted.kind == "classification"
        assert theirs.adapted.classes == ours.adapted.classes
        assert theirs.adapted.has_probability
    x = iris().x[:2]
    a, b = both(iris())
    same(b.scores(x, measurement="prob").values, a.scores(x, measurement="prob").values)
    assert b.scores(x).unit == "nats"


class Wrapped(nn.Module):
    """A backbone, a head, and an output without its last axis."""

    def __init__(self, frozen: bool, bias: bool = True, c: int = 3) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(4, 6), nn.Tanh()).double().requires_grad_(not frozen)
        self.head = nn.Linear(6, c, bias=bias, dtype=torch.float64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.backbone(x))
        return out.squeeze(-1) if out.shape[1] == 1 else out


def data(c: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    x, y = load_iris(return_X_y=True)
    return torch.as_tensor(scaled(x)), torch.as_tensor(y if c == 3 else (y == 1).astype(float))


LOSS = nn.CrossEntropyLoss(reduction="none")


@pytest.mark.parametrize(
    ("model", "params", "is_head"),
    [
        (lambda: Wrapped(frozen=False), "head", True),
        (lambda: Wrapped(frozen=True), "all", True),
        (lambda: Wrapped(frozen=False), ["head.weight"], True),
        (lambda: Wrapped(frozen=False), lambda name, _: name.startswith("head."), True),
        (lambda: Wrapped(frozen=False, bias=False), "head", True),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(4, 3, dtype=torch.float64)), "all", True),
        (lambda: Wrapped(frozen=False), "all", False),
        (lambda: Wrapped(frozen=False), ["backbone.0.weight"], False),
        (lambda: nn.Sequential(nn.Linear(4, 3, dtype=torch.float64), nn.ReLU()), "all", False),
        (lambda: nn.Sequential(nn.Linear(4, 3, dtype=torch.float64), nn.Softplus()), "all", False),
    ],
)
def test_linear_models_are_recognised(model: Callable[[], nn.Module], params: Any, is_head: bool) -> None:
    """A last linear layer whose parameters alone move is a head; anything that bends after or before it is none."""
    torch.manual_seed(0)
    built = model().eval()
    before = copy.deepcopy(built.state_dict())
    adapted = adapt_torch(built, LOSS, data(), penalty=0.01, params=params)
    assert isinstance(adapted.objective, LinearHead if is_head else Network)
    assert all(torch.equal(value, before[name]) for name, value in built.state_dict().items())
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in built.modules())


def test_an_activation_that_happens_to_do_nothing_is_no_head() -> None:
    """ReLU behind outputs that are all positive equals the layer, and bends elsewhere."""
    layer = nn.Linear(4, 3, dtype=torch.float64)
    with torch.no_grad():
        layer.bias.fill_(100.0)
    adapted = adapt_torch(nn.Sequential(layer, nn.ReLU()).eval(), LOSS, data(), penalty=0.01)
    assert isinstance(adapted.objective, Network)


def test_a_layer_used_twice_is_no_head() -> None:
    """A weight that also makes the features moves them."""

    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(4, 4, dtype=torch.float64)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.head(functional.tanh(x @ self.head.weight.T))
            return out

    torch.manual_seed(0)
    assert isinstance(adapt_torch(Tied().eval(), LOSS, data(), penalty=0.01).objective, Network)


def test_a_head_without_bias_keeps_none() -> None:
    """Its constant column stays 0 through a refit, and the refit is the user's class."""
    torch.manual_seed(0)
    influence = Influence.from_torch(Wrapped(frozen=True, bias=False).eval(), LOSS, data(), penalty=0.01)
    assert influence.adapted.objective.params.size == 18
    model = influence.without([3]).model
    assert isinstance(model, Wrapped)
    assert model.head.bias is None


@pytest.mark.parametrize("c", [1, 3])
def test_a_refit_of_a_float32_head_is_its_optimum(c: int) -> None:
    """The rebuilt module has its own type, and its gradient without the row is at float32's rounding."""
    torch.manual_seed(0)
    model = Wrapped(frozen=True, c=c).float().eval()
    x, y = data(c)
    loss = LOSS if c == 3 else nn.BCEWithLogitsLoss(reduction="none")
    x, y = x.float(), y if c == 3 else y.float()
    refit = Influence.from_torch(model, loss, (x, y), penalty=0.01, params="head").without([7]).model
    assert refit.head.weight.dtype == torch.float32
    kept = torch.arange(len(x)) != 7
    total = loss(refit(x[kept]), y[kept]).mean() + sum(0.005 * (p**2).sum() for p in refit.head.parameters())
    total.backward()
    assert float(refit.head.weight.grad.abs().max()) < 1e-5


def test_an_interpolating_head_is_answered_as_a_network() -> None:
    """As many parameters without a penalty as rows pass through every row: only damping gives an answer."""
    torch.manual_seed(0)
    model = nn.Linear(30, 1, dtype=torch.float64).eval()
    x, y = torch.randn(20, 30, dtype=torch.float64), torch.randn(20, 1, dtype=torch.float64)
    loss = nn.MSELoss(reduction="none")
    assert isinstance(adapt_torch(model, loss, (x, y)).objective, Network)
    assert isinstance(adapt_torch(model, loss, (x, y), penalty=0.1).objective, LinearHead)


def test_a_loss_that_bends_down_is_answered_as_a_network() -> None:
    """A linear model under a loss that is not convex has no head: its refits would not be minima."""
    x, y = data()
    model = nn.Linear(4, 1, dtype=torch.float64).eval()
    assert isinstance(adapt_torch(model, bends_down, (x, 3.0 * y[:, None].double()), penalty=0.1).objective, Network)


def bends_down(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return 1.0 - torch.cos(outputs - targets)[:, 0]


def test_a_custom_convex_loss_has_a_head() -> None:
    """Label smoothing: refits are minima of the user's own loss, probabilities are softmax's."""
    x, y = data()
    loss = nn.CrossEntropyLoss(reduction="none", label_smoothing=0.1)
    influence = Influence.from_torch(nn.Linear(4, 3, dtype=torch.float64).eval(), loss, (x, y), penalty=0.01)
    assert isinstance(influence.adapted.objective, LinearHead)
    assert influence.adapted.has_probability
    model = influence.without([0]).model
    total = loss(model(x[1:]), y[1:]).mean() + sum(0.005 * (p**2).sum() for p in model.parameters())
    total.backward()
    assert float(model.weight.grad.abs().max()) < 1e-9
    assert np.isfinite(influence.scores(x[:2], y[:2]).values).all()


@pytest.mark.parametrize("width", [4, 200_000], ids=["narrow", "wide"])
def test_the_rows_pass_through_the_network_once(width: int) -> None:
    """Outputs and what the head reads come from one pass, in blocks by how much a row holds, beside a few trials."""
    seen: list[int] = []

    class Counting(nn.Module):
        """How many rows each call has; a few of their numbers."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(len(x))
            return x[:, :3]

    torch.manual_seed(0)
    x, y = torch.randn(60, width), torch.randint(0, 2, (60,))
    model = nn.Sequential(Counting(), nn.Linear(3, 2)).eval()
    adapted = adapt_torch(model, nn.CrossEntropyLoss(reduction="none"), (x, y), penalty=0.1, params="head")
    assert isinstance(adapted.objective, LinearHead)
    assert sum(seen) < 2 * 60
    assert max(seen) == (60 if width == 4 else 8)
