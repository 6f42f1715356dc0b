"""Influence.from_torch on small networks of every kind, against dense float64 answers written a second way."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

from tests.influence.network_cases import CASES, Case, Dense, N, asked, trained
from upweight.errors import MeasurementError

NAMED = {
    "classes": ("loss", "log_prob", "prob", "margin", "prediction"),
    "binary": ("loss", "log_prob", "prob", "margin"),
    "numbers": ("loss", "prediction"),
}
BY_NAME = {case.name: case for case in CASES}


def query(case: Case) -> tuple[Any, Any]:
    """X and y of the queries."""
    return case.data[2], case.data[3]


def close(ours: Any, theirs: torch.Tensor, tol: float = 1e-7) -> None:
    """Equal beside the largest."""
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=tol * float(theirs.abs().max()))


def curvature(dense: Dense, regime: Any) -> torch.Tensor:
    """The one that the regime's rule names, built from the reference's own matrices."""
    if regime.near:
        return dense.hessian
    mean = float((dense.ggn.diagonal() - dense.case.penalty).mean()) + dense.case.penalty
    delta = max(dense.case.penalty, 0.1 * mean)
    assert regime.damping == pytest.approx(delta, rel=1e-10), "max(penalty, a tenth of the mean eigenvalue)"
    return dense.ggn + delta * torch.eye(len(dense.theta), dtype=torch.float64)


@pytest.mark.parametrize("how", ["settled", "stopped"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_measurement_is_the_dense_answer(case: Case, how: str) -> None:
    """At a minimum H, with what is left of the gradient; before one the Gauss-Newton matrix and its damping."""
    model = trained(case, how)
    influence, dense = asked(case, model), Dense(case, model)
    regime = influence.attribution.regime
    assert regime.counterfactual == {"settled": "optimum", "stopped": "proximal"}[how]
    matrix = curvature(dense, regime)
    first, newton = dense.first_order(matrix, regime.near), dense.newton(matrix, regime.near)
    for name in NAMED[case.kind]:
        x, y = query(case)
        if name == "prediction" and case.kind == "classes":
            y = dense.outputs(dense.theta, x).argmax(1).detach()  # of the predicted class, whatever is given
        measured = "prob" if name == "prediction" and case.kind == "classes" else name
        scores = influence.scores(*query(case), measurement=name, removal="first_order")
        again = Dense(replace(case), model)
        again.case.__dict__["data"] = (*case.data[:2], x, y)
        close(scores.values, again.changes(measured, first))
        close(influence.scores(*query(case), measurement=name).values, again.evaluated(measured, newton), 1e-6)
    network = influence.attribution.network
    last = network.chosen[-1]  # a bias: none of a network's symmetries turns it
    element = influence.scores(measurement=f"parameter:{last}[0]")
    close(element.values[0], newton[:, network.position(last).start], 1e-6)
    assert f"Counterfactual: {regime.counterfactual} (" in element.meaning


@pytest.mark.parametrize("how", ["settled", "stopped"])
@pytest.mark.parametrize("name", ["tanh", "one logit"])
def test_a_damping_that_is_given_is_the_one_that_is_used(name: str, how: str) -> None:
    """Added to H at a minimum, else to the Gauss-Newton matrix; `how` says it, and what twice and half of it do."""
    case = BY_NAME[name]
    model = trained(case, how)
    influence, dense = asked(case, model, damping=0.03), Dense(case, model)
    near, eye = how == "settled", torch.eye(len(dense.theta), dtype=torch.float64)
    matrix = (dense.hessian if near else dense.ggn) + 0.03 * eye
    scores = influence.scores(*query(case), removal="first_order")
    close(scores.values, dense.changes("loss", dense.first_order(matrix, near)))
    close(influence.scores(*query(case)).values, dense.evaluated("loss", dense.newton(matrix, near)), 1e-6)
    v = torch.autograd.functional.jacobian(dense.measured("loss"), dense.theta)
    x = torch.linalg.solve(matrix, v.T)
    shares = [float((torch.linalg.solve(matrix + d * eye, v.T) - x).norm() / x.norm()) for d in (0.03, -0.015)]
    said = f"twice the damping changes the scores by {100 * shares[0]:.2g} %, half of it by {100 * shares[1]:.2g} %"
    assert said in scores.how
    assert "damped by 0.03" in scores.how
    assert (said in scores.grade.reasons) == (max(shares) > 0.1)


def test_rows_of_unequal_weight() -> None:
    """A sampler's rates are weights, in both forms; a row that is never shown is no row."""
    for name in ("tanh", "one logit"):
        case = BY_NAME[name]
        weights = 0.5 + torch.arange(N, dtype=torch.float64) / N
        weights = weights / weights.mean()
        model = case.settled(weights)
        sampler = WeightedRandomSampler(weights.tolist(), N, replacement=True)
        data = DataLoader(TensorDataset(*case.data[:2]), batch_size=8, sampler=sampler)
        influence, dense = asked(case, model, data=data), Dense(case, model, weights)
        assert influence.attribution.at_minimum
        close(
            influence.scores(*query(case), removal="first_order").values,
            dense.changes("loss", dense.first_order(dense.hessian, True)),
        )
        close(influence.scores(*query(case)).values, dense.evaluated("loss", dense.newton(dense.hessian, True)), 1e-6)


def test_what_training_left_is_taken_into_account() -> None:
    """A network stopped near its minimum: the rows' pulls are those at the outputs that it was on its way to."""
    case = BY_NAME["numbers"]
    model = case.stopped(300, 0.2)
    influence, dense = asked(case, model), Dense(case, model)
    regime = influence.attribution.regime
    assert regime.near
    assert 1e-4 < regime.left < 0.1
    h = dense.hessian
    assert regime.left == pytest.approx(
        float((dense.slope @ torch.linalg.solve(h, dense.slope) / dense.value(dense.theta)) ** 0.5), rel=1e-6
    )
    close(
        influence.scores(*query(case), removal="first_order").values,
        dense.changes("loss", dense.first_order(h, True)),
    )
    close(influence.scores(*query(case)).values, dense.evaluated("loss", dense.newton(h, True)), 1e-6)
    assert "with the gradient that training left" in influence.scores(*query(case)).how


def test_a_row_alone_is_the_objective_without_it() -> None:
    """Central differences of real minima in one row's weight: first order is their slope, for both forms."""
    for name in ("numbers", "gru"):
        case = BY_NAME[name]
        model = trained(case, "settled")
        scores = asked(case, model).scores(*query(case), removal="first_order").values
        x, y = query(case)
        for row in (2, 13):
            ends = []
            for sign in (1.0, -1.0):
                weights = torch.ones(N, dtype=torch.float64)
                weights[row] += sign * 1e-2
                moved = case.settled(weights, start=model)
                ends.append(case.loss(moved(x), y).detach())
            slope = -(ends[0] - ends[1]) / 2e-2
            np.testing.assert_allclose(scores[:, row], slope, rtol=2e-3, atol=5e-4 * float(slope.abs().max()))


def test_a_function_of_all_predictions_is_evaluated() -> None:
    """AUROC and a mean margin of probabilities, at the outputs predicted without each row."""
    case = BY_NAME["tanh"]
    model = trained(case, "settled")
    influence, dense = asked(case, model), Dense(case, model)
    x, y = case.data[0], case.data[1]
    moves = torch.einsum("qcp,np->nqc", dense.jacobian(x), dense.newton(dense.hessian, True))
    z = dense.outputs(dense.theta, x).detach()

    def auroc(p: Any, labels: Any) -> float:
        return float(roc_auc_score(labels, p[:, 1]))

    def brier(p: Any, labels: Any) -> float:
        return float(np.mean((p[:, 1] - np.asarray(labels)) ** 2))

    for function in (auroc, brier):
        scores = influence.scores(x, y.numpy(), measurement=function)
        now = function(torch.softmax(z, 1).numpy(), y.numpy())
        wanted = [function(torch.softmax(z + move, 1).numpy(), y.numpy()) - now for move in moves]
        np.testing.assert_allclose(scores.values[0], wanted, atol=1e-9)


def test_some_parameters_are_all_of_the_matrix() -> None:
    """A head alone is a linear head at its optimum; two layers' biases are the block of H; each differs from all."""
    case = BY_NAME["tanh"]
    model = trained(case, "settled")
    whole = asked(case, model).scores(*query(case), removal="first_order").values
    head = asked(case, model, params="head")
    dense = Dense(case, model, chosen=("2.weight", "2.bias"))
    values = head.scores(*query(case), removal="first_order").values
    close(values, dense.changes("loss", dense.first_order(dense.hessian, False)), 1e-5)  # polished from 1e-8
    assert head.attribution.__class__.__name__ == "HeadAttribution"
    biases = asked(case, model, params=["0.bias", "2.bias"])
    dense = Dense(case, model, chosen=("0.bias", "2.bias"))
    some = biases.scores(*query(case), removal="first_order").values
    close(some, dense.changes("loss", dense.first_order(dense.hessian, True)))
    assert biases.attribution.size == 5
    for other in (values, some):
        assert np.max(np.abs(other - whole)) > 0.05 * np.max(np.abs(whole))


def test_parameters_are_named_by_their_place() -> None:
    """An unknown name, a place outside, and a missing place are refused with what there is."""
    influence = asked(BY_NAME["tanh"], trained(BY_NAME["tanh"], "settled"))
    for name, said in (
        ("1.weight[0, 0]", r"is not one of '0\.weight'"),
        ("0.weight[3, 0]", r"has the shape \[3, 3\]"),
        ("0.weight[0]", r"has the shape \[3, 3\]"),
    ):
        with pytest.raises(MeasurementError, match=said):
            influence.scores(measurement=f"parameter:{name}")


def test_self_influence_is_each_rows_own_loss_without_it() -> None:
    """The loss at z_i + J_i δθ_i; leverages are the largest eigenvalues of s w S J C⁻¹ Jᵀ."""
    case = BY_NAME["numbers"]
    model = trained(case, "settled")
    influence, dense = asked(case, model), Dense(case, model)
    j, _, _ = dense.rows
    moved = dense.outputs(dense.theta, case.data[0]).detach() + torch.einsum(
        "ncp,np->nc", j, dense.newton(dense.hessian, True)
    )
    wanted = case.loss(moved, case.data[1]) - dense.losses(dense.theta)
    close(influence.self_influence().values[0], wanted.detach(), 1e-6)
    left = dense.hessian - dense.s * case.penalty * torch.eye(len(dense.theta), dtype=torch.float64)
    close(influence.attribution.leverages(), dense.leverages(left), 1e-6)
