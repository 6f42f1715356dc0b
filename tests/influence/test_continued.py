"""Estimates of a training that goes on from the trained network: dense formulas, and the real continuing runs."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.influence.network_cases import CASES, Case, Dense, N, asked
from upweight.curvature.ggn import GGN
from upweight.optimisers import SGD, Adam, Optimiser
from upweight.training_run import TrainingRun
from upweight.validation.metrics import pearson, slope

WITHOUT_SYMMETRY = [case for case in CASES if case.name != "attention"]
BY_NAME = {case.name: case for case in CASES}


def onwards(
    case: Case, model: Any, steps: int = 40, optimiser: Optimiser | None = None, **settings: Any
) -> TrainingRun:
    """The case's own training, continued."""
    x, y, _, _ = case.data
    optimiser = SGD(0.1, momentum=0.5) if optimiser is None else optimiser
    given = {"penalty": case.penalty, "normalization": case.normalization, "start": model.state_dict()} | settings
    return TrainingRun(model, case.loss, x, y, optimiser, steps=steps, **given)


def parts(dense: Dense, delta: float) -> tuple[Tensor, Tensor, Tensor]:
    """C, d, and −ḡ where the run is on its way to, from the rows' mean gradient itself."""
    matrix = dense.ggn + delta * torch.eye(len(dense.theta), dtype=torch.float64)
    d = torch.linalg.solve(matrix, dense.slope)
    mean = dense.slope - dense.case.penalty * dense.theta  # of the rows' gradients, at θ
    ended = mean - (dense.ggn @ d - dense.case.penalty * d)  # ḡ − Ḡ d
    return matrix, d, -ended


@pytest.mark.parametrize("case", WITHOUT_SYMMETRY, ids=lambda case: case.name)
def test_first_order_is_the_dense_answer(case: Case) -> None:
    """C = GGN + 1/ρ, u where the run is on its way to; the row's share is of the mean gradient there."""
    model = case.stopped()
    train = onwards(case, model)
    scores = asked(case, model, train=train).scores(*case.data[2:], removal="first_order")
    assert train.reach is not None
    dense = Dense(case, model)
    matrix, d, pull = parts(dense, 1.0 / train.reach)
    u = dense._slopes(dense.outputs(dense.theta - d, case.data[0]).detach())[0]
    each = torch.einsum("ncp,nc->np", dense.rows[0], u) + dense.share[:, None] * pull
    expected = dense.changes("loss", dense.s * torch.linalg.solve(matrix, each.T).T)
    np.testing.assert_allclose(scores.values, expected, rtol=0, atol=1e-9 * float(expected.abs().max()))
    assert "Counterfactual: continued" in scores.meaning
    assert f"damped by {1.0 / train.reach:.3g}"[:14] in scores.how


@pytest.mark.parametrize("case", WITHOUT_SYMMETRY, ids=lambda case: case.name)
def test_leverage_is_both_ends_subtracted(case: Case) -> None:
    """−C_i⁻¹ r_i + C⁻¹ r, C_i and r_i of the objective that divides by the rows left, damping 1/ρ in both."""
    model = case.stopped()
    train = onwards(case, model)
    scores = asked(case, model, train=train).scores(*case.data[2:])
    dense = Dense(case, model)
    assert train.reach is not None
    delta, eye = 1.0 / train.reach, torch.eye(len(dense.theta), dtype=torch.float64)
    _, d, _ = parts(dense, delta)
    j, u, s = dense.rows
    steps = []
    for i in range(N):
        left = torch.ones(N, dtype=torch.float64)
        left[i] = 0.0
        over = float(left.sum()) if case.normalization == "mean" else float(N)
        own = torch.einsum("n,nap,nab,nbq->pq", left, j, s, j) / over + (case.penalty + delta) * eye
        gradient = torch.einsum("n,ncp,nc->p", left, j, u) / over + case.penalty * dense.theta
        steps.append(d - torch.linalg.solve(own, gradient))
    expected = dense.evaluated("loss", torch.stack(steps))
    np.testing.assert_allclose(scores.values, expected, rtol=0, atol=1e-8 * float(expected.abs().max()))


@pytest.mark.parametrize(("name", "steps"), [("tanh", 10), ("tanh", 100), ("numbers", 30), ("convolution", 30)])
def test_real_runs_agree(name: str, steps: int) -> None:
    """Closer to the runs than the rule that knows no run, in rank and size."""
    case = BY_NAME[name]
    model = case.stopped(60)
    train = onwards(case, model, steps)
    influence = asked(case, model, train=train)
    question = case.data[2:]
    check = influence.check(*question, rows=N)
    plain = asked(case, model).scores(*question).values[:, list(check.row_ids)]
    real = check.refit
    ours = np.mean([pearson(a, b) for a, b in zip(check.estimate, real, strict=True)])
    theirs = np.mean([pearson(a, b) for a, b in zip(plain, real, strict=True)])
    assert ours > 0.95
    assert ours > theirs - 0.01
    size = slope(check.estimate.ravel(), real.ravel())
    assert 0.9 < size < 1.35, "(1 − e^(−ρσ)) / σ is up to 1.3 times 1 / (σ + 1/ρ)"
    assert check.noise.reason.startswith("continued: train goes on from this model, with and without the row")


def test_groups_are_both_ends_subtracted() -> None:
    """One row as a group is the row's own step; a group's real run is near."""
    case = BY_NAME["tanh"]
    model = case.stopped(60)
    influence = asked(case, model, train=onwards(case, model, 30))
    x, y = case.data[2:]
    row = influence.group([3], x, y)
    np.testing.assert_allclose(row.estimate, row.leverage_sum, rtol=1e-6, atol=1e-9)
    group = influence.group([1, 4, 9, 16], x, y).refit()
    assert group.truth is not None
    assert pearson(group.estimate, group.truth) > 0.9


@pytest.mark.parametrize(
    "optimiser",
    [SGD(0.1), SGD(0.05, momentum=0.9), SGD(0.05, momentum=0.8, nesterov=True)],
    ids=["plain", "momentum", "nesterov"],
)
def test_reach_is_how_far_a_constant_gradient_takes_it(optimiser: SGD) -> None:
    """A loss that is linear in its one parameter, with a schedule."""

    class Line(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.at = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))

        def forward(self, x: Tensor) -> Tensor:
            return x * self.at

    x = torch.ones(6, 1, dtype=torch.float64)
    given: dict[str, Any] = {"schedule": lambda step: 1.0 / (1 + step), "batch_size": 2, "steps": 7}
    train = TrainingRun(Line, lambda z, y: z[:, 0] + 0 * y, x, x[:, 0], optimiser, start={"at": x[0]}, **given)
    moved = float(x[0] - dict(train(torch.ones(6)).named_parameters())["at"].detach())
    assert train.reach == pytest.approx(moved, rel=1e-12)


def test_only_a_run_of_sgd_from_here_counts() -> None:
    """Adam has no reach, another start is another model; a damping that is given stands."""
    case = BY_NAME["tanh"]
    model, other = case.stopped(), case.stopped(30)
    found = {
        "here": onwards(case, model),
        "adam": onwards(case, model, optimiser=Adam(0.01)),
        "elsewhere": onwards(case, other),
        "afresh": onwards(case, model, start=None),
    }
    regimes = {name: asked(case, model, train=train).attribution.regime for name, train in found.items()}
    assert {name: regime.counterfactual == "continued" for name, regime in regimes.items()} == {
        "here": True,
        "adam": False,
        "elsewhere": False,
        "afresh": False,
    }
    given = asked(case, model, train=found["here"], damping=0.3)
    assert given.attribution.regime.counterfactual == "continued"
    assert given.attribution.damping == 0.3


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_gauss_newton_from_jacobians(case: Case) -> None:
    """Written out at once as by its products."""
    network = asked(case, case.stopped()).attribution.network
    curvature = GGN(network, damping=0.1, penalty_factor=0.9)
    products = curvature.matmul(torch.eye(network.size, dtype=torch.float64))
    torch.testing.assert_close(curvature.dense(), products, rtol=0, atol=1e-12 * float(products.abs().max()))
