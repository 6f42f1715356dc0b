"""Labels and inputs as perturbations: their paths, the head's transpose of each, and both against real refits."""

from typing import Any

import numpy as np
import pytest

from upweight.curvature import HeadCurvature
from upweight.features import DenseFeatures
from upweight.gradients import PerturbedSource
from upweight.gradients.perturbed import replaced_inputs
from upweight.linear_head import LinearHead
from upweight.perturbation import Batch, Inputs, Labels, Perturbation, Targets
from upweight.removal.changed_refit import Changed, refit_changed
from upweight.sensitivity import Implicit
from upweight.solvers import Cholesky
from upweight.testing import problem

NAMES = [
    "binary logistic",
    "softmax",
    "softmax, mean form",
    "ridge",
    "ridge, two targets",
    "ridge, mean of the rows",
    "one against the rest, per row",
    "weights 0 and 2",
    "masked by L1",
    "no intercept",
]
ROWS = np.array([3, 7, 11])


def label_path(head: LinearHead) -> Perturbation:
    """Each class, or each target per unit."""
    if head.loss.name == "squared":
        return Targets(1e-3)
    if head.targets.ndim == 2:
        return Labels(np.eye(head.c), np.ones(head.c), head.c)
    classes = np.array([0.0, 1.0]) if head.c == 1 else np.arange(head.c)
    return Labels(classes, np.ones(len(classes)), head.c)


def directions(head: LinearHead, k: int = 2) -> Any:
    """Random measurements that no gauge sees."""
    matrices = np.random.default_rng(1).normal(size=(k, *head.params.matrix.shape))
    for null in head.loss.null_outputs:
        matrices = matrices - null[None, :, None] * (null @ matrices)[:, None, :]
    return head.params.collect(matrices)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("moved", ["labels", "inputs"])
def test_the_pull_is_the_derivative_of_the_parts(name: str, moved: str) -> None:
    """Weighted losses of the parts add up to a path whose derivative, by differences in ε, is what `dot` gives."""
    head = problem(name).head
    path = Inputs() if moved == "inputs" else label_path(head)
    v = directions(head)
    found = np.concatenate([b for _, b in PerturbedSource(head, path, ROWS).dot(v)], axis=1)
    assert found.shape[:2] == (2, 3)
    x = head.features.take(ROWS)[:, :-1]
    batch = Batch(x, head.targets[ROWS], head.weights[ROWS])

    def along(eps: Any) -> Any:
        total = np.zeros((2, 3))
        for part in path.parts(batch, eps):
            constant = np.concatenate([part.inputs, np.ones((3, 1))], axis=1)
            u = head.loss.gradient(constant @ head.params.matrix.T, part.targets)
            per_row = head.params.collect(u[:, :, None] * constant[:, None, :])
            total += part.weights[None, :] * (v @ per_row.T)
        return total

    for m in range(found.shape[2]):
        eps = np.zeros((3, found.shape[2]))
        eps[:, m] = 1e-5
        np.testing.assert_allclose(found[:, :, m], (along(eps) - along(-eps)) / 2e-5, atol=1e-8)
    np.testing.assert_allclose(along(np.zeros((3, found.shape[2]))), v @ _row_gradients(head).T, atol=1e-12)


def _row_gradients(head: LinearHead) -> Any:
    u = (head.output_gradients * head.weights[:, None])[ROWS]
    return head.params.collect(u[:, :, None] * head.features.take(ROWS)[:, None, :])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rows", [ROWS, None], ids=["some", "all"])
def test_adjoint_and_forward_agree(name: str, rows: Any) -> None:
    """⟨adjoint(v), e⟩ = ⟨v, forward(e)⟩ for labels and inputs, to rounding."""
    head = problem(name).head
    sensitivity, v = Implicit(Cholesky().prepare(HeadCurvature(head))), directions(head)
    for path in (label_path(head), Inputs()):
        source = PerturbedSource(head, path, rows)
        values = np.concatenate([block for _, block in sensitivity.adjoint(v, source).blocks], axis=1)
        e = np.random.default_rng(2).normal(size=(4, *values.shape[1:]))
        backward = np.einsum("kbm,jbm->kj", values, e)
        np.testing.assert_allclose(backward, v @ sensitivity.forward(e, source).T, atol=1e-11)


@pytest.mark.parametrize("name", NAMES)
def test_inputs_against_refits(name: str) -> None:
    """Per unit of a feature: central differences of refits to optimum, six digits of the largest."""
    head = problem(name).head
    prepared, v, eps = Cholesky().prepare(HeadCurvature(head)), directions(head), 1e-4
    source = PerturbedSource(head, Inputs(), ROWS)
    found = np.concatenate([block for _, block in Implicit(prepared).adjoint(v, source).blocks], axis=1)
    x = head.features.take(ROWS)[:, :-1]
    real = np.zeros_like(found)
    for j in range(x.shape[1]):
        step = eps * np.eye(x.shape[1])[j]
        up, down = (
            refit_changed(head, prepared, Changed(ROWS, features=DenseFeatures(x + s * step, np.float64)))
            for s in (1, -1)
        )
        assert up.converged.all()
        assert down.converged.all()
        real[:, :, j] = v @ (up.vectors - down.vectors).T / (2 * eps)
    np.testing.assert_allclose(found, real, atol=1e-6 * np.abs(real).max())


def test_a_label_changed_to_itself_changes_nothing_to_the_bit() -> None:
    """Own classes read exactly 0, whatever a class weighs."""
    head = problem("softmax").head
    path = Labels(np.arange(3), np.array([1.0, 2.0, 5.0]), 3)
    found = np.concatenate([block for _, block in PerturbedSource(head, path).dot(directions(head))], axis=1)
    own = found[:, np.arange(head.n), head.targets]
    assert (own == 0.0).all()
    assert (found != 0.0).sum() == 2 * 2 * head.n


@pytest.mark.parametrize("name", ["ridge", "softmax"])
def test_replaced_inputs_is_the_difference_of_gradients(name: str) -> None:
    """Of a whole other row at once, written out for one row at a time."""
    head = problem(name).head
    images = directions(head)
    new = head.features.take(np.array([1, 2, 4])) * 1.5
    found = replaced_inputs(head, images, ROWS, new)
    for k, row in enumerate(ROWS):
        gradients = []
        for x in (head.features.take(np.array([row]))[0], new[k]):
            u = head.loss.gradient((head.params.matrix @ x)[None], head.targets[[row]])[0]
            gradients.append(head.params.collect((u[:, None] * x[None])[None])[0])
        expected = -head.scale * head.weights[row] * images @ (gradients[1] - gradients[0])
        np.testing.assert_allclose(found[:, k], expected, rtol=1e-10)
