"""Certificates side by side: never smaller than the distance they bound, and near it; elsewhere those of certify."""

from dataclasses import replace

import numpy as np
import pytest

from upweight.attribution import HeadAttribution
from upweight.attribution.certifying import CertifiesEach
from upweight.curvature import HeadCurvature
from upweight.linear_head import LinearHead
from upweight.newton import minimise
from upweight.removal.certificate import certify
from upweight.removal.certified import certify_each
from upweight.removal.warm_refit import left_at
from upweight.solvers import Cholesky
from upweight.testing import problem

PENALISED = ["no intercept", "penalised intercept", "mean form", "squared"]
REFITTED = 1e-11  # where a refit stops


def head_of(name: str) -> LinearHead:
    """A problem whose every parameter is penalised."""
    if name == "mean form":
        base = replace(problem("softmax, mean form").head, penalty=np.full((3, 5), 0.05))
        return minimise(base).head
    if name == "squared":
        base = problem("ridge, two targets").head
        return minimise(replace(base, penalty=np.full_like(base.penalty, 0.05))).head
    return problem(name).head


@pytest.mark.parametrize("name", PENALISED)
def test_the_bound_is_never_smaller_than_the_distance(name: str) -> None:
    """Refits pushed off their optimum by 1e-3 and 1e-8 of their way: the dense distance is within, and near."""
    head = head_of(name)
    rng, engine = np.random.default_rng(1), HeadAttribution(head, Cholesky())
    removals = [rng.choice(head.n, size=size, replace=False).tolist() for size in (1, 1, 2, 5)]
    exact, _ = engine.refitted(removals)
    for push in (1e-3, 1e-8):
        rough = exact + push * np.abs(exact - head.params.vector).max() * rng.normal(size=exact.shape)
        for rows, start, end, found in zip(removals, rough, exact, engine.certificates(removals, rough), strict=True):
            keep = np.ones(head.n)
            keep[rows] = 0.0
            there, factor = head.at(start).without(keep)
            h = HeadCurvature(there, penalty_factor=factor).dense()
            far = np.sqrt((start - end) @ h @ (start - end))
            assert found.proof
            assert found.bound is not None
            assert found.outputs_within is not None
            assert far <= found.bound * (1.0 + 1e-6) + REFITTED
            assert found.bound <= 1.1 * far + REFITTED
            x = head.features.take(np.flatnonzero(keep))
            moved = np.abs(x @ head.params.place((start - end)[None])[0].T).max()
            assert moved <= found.outputs_within + REFITTED
            direction = rng.normal(size=len(start))
            assert found.within(direction) == pytest.approx(certify(head, rows, start).within(direction), rel=0.02)
            assert found.sentence.startswith("proved: no output of any row that is left is further than ")


def test_what_is_left_is_the_gradient_there_and_a_step_that_ends_it() -> None:
    """∇F = H̃ step + residual, both by the dense H̃, in the mean form too."""
    for name in ("softmax, mean form", "no intercept"):
        head = problem(name).head
        rows, vector = [[3], [1, 4]], np.stack([head.params.vector, 1.1 * head.params.vector])
        left = left_at(head, Cholesky().prepare(HeadCurvature(head)), rows, vector)
        for j, out in enumerate(rows):
            keep = np.ones(head.n)
            keep[out] = 0.0
            there, factor = head.at(vector[j]).without(keep)
            gradient = there.gradient - (1.0 - factor) * there.penalty_gradient
            np.testing.assert_allclose(left.gradient[j], gradient, rtol=1e-9, atol=1e-13)
            residual = gradient - HeadCurvature(there, penalty_factor=factor).dense() @ left.step[j]
            np.testing.assert_allclose(left.residual[j], residual, atol=1e-6 * np.abs(gradient).max())


def test_a_refit_too_far_off_is_not_proved() -> None:
    """κ ≥ 1 says so with its number."""
    head = problem("no intercept").head
    prepared = Cholesky().prepare(HeadCurvature(head))
    found = certify_each(head, [[0]], 50.0 * head.params.vector[None], prepared, Cholesky())[0]
    assert found.bound is found.outputs_within is None
    assert not found.proof
    assert found.sentence.startswith("not proved: the refit is still too far from its optimum for the bound (κ = ")


def test_where_the_penalty_is_no_bound_each_is_certified_alone() -> None:
    """A free intercept: the numbers are those of `certify`."""
    head = problem("softmax").head
    engine = HeadAttribution(head, Cholesky())
    assert isinstance(engine, CertifiesEach)
    removals = [[0], [2, 3]]
    states, _ = engine.refitted(removals)
    for rows, state, found in zip(removals, states, engine.certificates(removals, states), strict=True):
        assert found.bound == certify(head, rows, state).bound
    assert engine.certificates([], states[:0]) == ()
