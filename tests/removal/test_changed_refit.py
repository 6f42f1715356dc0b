"""Refits with a row changed, against the same objective built anew with that row and minimised."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from upweight.curvature import HeadCurvature
from upweight.features import DenseFeatures
from upweight.linear_head import LinearHead
from upweight.newton import minimise
from upweight.removal.changed_refit import Changed, refit_changed
from upweight.solvers import Cholesky
from upweight.testing import problem

NAMES = ["binary logistic", "softmax", "softmax, mean form", "ridge, mean of the rows", "one against the rest, per row"]


def anew(head: LinearHead, row: int, target: Any = None, weight: Any = None, x: Any = None) -> Any:
    """θ of the head whose row is another one; the divisor stays."""
    targets, weights = np.array(head.targets), np.array(head.weights)
    rows = np.array(head.features.take(np.arange(head.n))[:, :-1])
    if target is not None:
        targets[row] = target
    if weight is not None:
        weights[row] = weight
    if x is not None:
        rows[row] = x
    changed = replace(
        head, features=DenseFeatures(rows, np.float64), targets=targets, weights=weights, divisor=1.0 / head.scale
    )
    return minimise(changed).head.params.vector


@pytest.mark.parametrize("name", NAMES)
def test_each_refit_is_that_of_the_changed_rows(name: str) -> None:
    """Labels, weights and inputs, several refits side by side: θ to nine digits."""
    head = problem(name).head
    prepared, rows = Cholesky().prepare(HeadCurvature(head)), np.array([0, 5, 5, 9])
    others = head.targets[np.array([1, 6, 2, 3])]
    labels = refit_changed(head, prepared, Changed(rows, targets=others))
    weights = refit_changed(head, prepared, Changed(rows, targets=others, weights=np.array([2.0, 0.5, 1.0, 3.0])))
    x = head.features.take(rows)[:, :-1] + 1.0
    inputs = refit_changed(head, prepared, Changed(rows, features=DenseFeatures(x, np.float64)))
    for k, row in enumerate(rows):
        assert labels.converged[k]
        np.testing.assert_allclose(labels.vectors[k], anew(head, row, others[k]), atol=1e-9)
        np.testing.assert_allclose(weights.vectors[k], anew(head, row, others[k], [2.0, 0.5, 1.0, 3.0][k]), atol=1e-9)
        np.testing.assert_allclose(inputs.vectors[k], anew(head, row, x=x[k]), atol=1e-9)


def test_an_unchanged_row_changes_nothing() -> None:
    """The refit is θ itself."""
    head = problem("softmax").head
    same = refit_changed(head, Cholesky().prepare(HeadCurvature(head)), Changed(np.array([4])))
    np.testing.assert_allclose(same.vectors[0], head.params.vector, atol=1e-12)


def test_a_coefficient_that_l1_keeps_at_zero_is_held_there() -> None:
    """Through the support's own refits: dense Hessians of rows that stand in two places."""
    head = problem("masked by L1").head
    prepared = Cholesky().prepare(HeadCurvature(head))
    x = head.features.take(np.array([2]))[:, :-1] * 8.0
    refit = refit_changed(head, prepared, Changed(np.array([2]), features=DenseFeatures(x, np.float64)))
    before, after = head.params.vector, refit.vectors[0]
    pull = head.params.collect(head.linear_penalty[None])[0]
    assert (before * after >= 0)[pull != 0].all()
