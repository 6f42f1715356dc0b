"""The certificate against the distance that it bounds: never smaller, and not much larger."""

from dataclasses import replace

import numpy as np
import pytest

from upweight.attribution import HeadAttribution
from upweight.curvature import HeadCurvature
from upweight.gradients import HeadSource
from upweight.linear_head import LinearHead
from upweight.newton import minimise
from upweight.output_loss import Huber, Poisson, Separate
from upweight.removal.certificate import certify
from upweight.removal.leverage import leverages
from upweight.sensitivity import Implicit
from upweight.solvers import CG, Cholesky, Prepared
from upweight.testing import problem

SMOOTH = ["binary logistic", "softmax", "poisson", "ridge", "softmax, mean form", "one against the rest, per row"]
GROUPS = 24


def head_of(name: str) -> LinearHead:
    """A problem's head; "poisson" is the logistic one with counts for targets."""
    if name != "poisson":
        return problem(name).head
    base = problem("binary logistic").head
    x = np.asarray(base.features.take(np.arange(base.n)))
    counts = np.random.default_rng(2).poisson(np.exp(0.4 * x[:, 0] - 0.3 * x[:, 1] + 0.5)).astype(float)
    return minimise(replace(base, loss=Separate(Poisson()), targets=counts, normalization="mean")).head


def rough_and_exact(head: LinearHead, seed: int) -> list[tuple[list[int], np.ndarray, np.ndarray]]:
    """Random groups of up to a fifth: θ by the first-order step, by the leverage-corrected one, and the refit."""
    rng = np.random.default_rng(seed)
    engine, out = HeadAttribution(head, Cholesky()), []
    for j in range(GROUPS):
        size = 1 if j % 3 == 0 else int(rng.integers(2, head.n // 5))
        rows = rng.choice(head.n, size=size, replace=False).tolist()
        e = np.zeros((1, head.n))
        e[0, rows] = -1.0
        exact = engine.refitted([rows])[0][0]
        source = HeadSource.plain(head) if j % 2 else engine.leverage.source
        prepared = engine.prepared if j % 2 else engine.at_removal[1]
        out.append((rows, head.params.vector + Implicit(prepared).forward(e, source)[0], exact))
    return out


@pytest.mark.parametrize("name", SMOOTH)
def test_the_bound_is_never_smaller_than_the_distance(name: str) -> None:
    """24 random groups a loss: bound >= distance in the norm of H̃, and at most twice it where κ < 1/2."""
    head = head_of(name)
    finite = 0
    for rows, rough, exact in rough_and_exact(head, seed=len(name)):
        found = certify(head, rows, rough)
        keep = np.ones(head.n)
        keep[rows] = 0.0
        there, factor = head.at(rough).without(keep)
        curvature = HeadCurvature(there, penalty_factor=factor)
        step = rough - exact
        step = step - curvature.project_null(step[None])[0]
        distance = float(np.sqrt(step @ curvature.matmul(step[None])[0]))
        if found.bound is None:
            assert found.sentence.startswith("not proved: ")
            continue
        finite += 1
        assert found.bound >= distance * (1 - 1e-9) - 1e-13
        outputs = head.features.matmul(head.params.expand(step[None])[0], slice(0, head.n))[keep > 0]
        if head.loss.name == "softmax":  # its outputs are known up to a shift of all
            outputs = outputs - outputs.mean(axis=1, keepdims=True)
        assert found.outputs_within is not None
        assert np.abs(outputs).max() <= found.outputs_within * (1 + 1e-9) + 1e-13
        if head.loss.concordance and kappa(there, found.prepared, keep, found.bound) < 0.5:
            assert found.bound <= 2 * distance + 1e-13
    assert finite >= GROUPS // 3


def kappa(head: LinearHead, prepared: Prepared, keep: np.ndarray, bound: float) -> float:
    """M · reach · bound: at least κ, since the bound is at least ν."""
    b = leverages(head, prepared)[keep > 0] / head.scale
    diagonal = np.diagonal(b, axis1=1, axis2=2)
    spread = diagonal[:, :, None] + diagonal[:, None, :] - 2 * b if head.loss.name == "softmax" else diagonal
    return float(head.loss.concordance or 0.0) * float(np.sqrt(spread.max())) * bound


@pytest.mark.parametrize("name", SMOOTH)
def test_a_warm_refit_is_proved_to_many_digits(name: str) -> None:
    """At the refit the bound is rounding, and the sentence says so in outputs."""
    head = head_of(name)
    for rows in ([1], list(range(0, head.n, 7))):
        exact = HeadAttribution(head, Cholesky()).refitted([rows])[0][0]
        found = certify(head, rows, exact)
        assert found.bound is not None
        assert found.bound < 1e-8
        assert found.sentence.startswith("proved: ")


@pytest.mark.parametrize("name", ["binary logistic", "softmax"])
def test_a_linear_measurement_is_bounded(name: str) -> None:
    """|aᵀ(θ̃ − θ*)| <= within(a) for random directions that the gauge does not touch."""
    head, rng = head_of(name), np.random.default_rng(1)
    for rows, rough, exact in rough_and_exact(head, seed=3)[:8]:
        found = certify(head, rows, rough)
        a = rng.normal(size=head.params.size)
        a = a - HeadCurvature(head).project_null(a[None])[0]
        within = found.within(a)
        assert (within is None) == (found.bound is None)
        if within is not None:
            assert abs(float(a @ (rough - exact))) <= within * (1 + 1e-9)


def test_another_solver_gives_the_same_certificate() -> None:
    """Conjugate gradients find the same bound as Cholesky, and say that an iterated one is no proof."""
    head = head_of("softmax")
    rows, rough, _ = rough_and_exact(head, seed=0)[0]
    dense, iterated = certify(head, rows, rough), certify(head, rows, rough, CG())
    assert iterated.bound == pytest.approx(dense.bound, rel=1e-5)
    assert iterated.outputs_within == pytest.approx(dense.outputs_within, rel=1e-5)
    assert dense.proof
    assert dense.sentence.startswith("proved")
    assert not iterated.proof
    assert iterated.sentence.startswith("estimated by iterated solves, not proved")


def test_too_far_away_nothing_is_proved() -> None:
    """A step that lands far from the optimum has κ >= 1: no bound, no output, no linear measurement, and why."""
    head = head_of("binary logistic")
    found = certify(head, [0], head.params.vector + 3.0)
    assert (found.bound, found.outputs_within, found.within(np.ones(head.params.size))) == (None, None, None)
    assert "too far from its optimum" in found.sentence
    assert found.residual > 0


def huber(intercept_penalty: float) -> LinearHead:
    """Huber regression: curvature 0 or 1, so it has no concordance."""
    base = problem("ridge").head
    penalty = base.penalty.copy()
    penalty[:, -1] = intercept_penalty
    return minimise(replace(base, loss=Separate(Huber(1.0)), penalty=penalty)).head


def test_a_loss_that_bends_in_jumps_needs_a_penalty_on_everything() -> None:
    """With a free intercept nothing is proved; with every parameter penalised ‖∇F‖ / λ bounds the distance."""
    free = huber(0.0)
    assert "bends in jumps" in certify(free, [0], free.params.vector).sentence
    head = huber(0.05)
    engine = HeadAttribution(head, Cholesky())
    for rows in ([0], [3, 9, 20]):
        exact = engine.refitted([rows])[0][0]
        rough = exact + 1e-3
        found = certify(head, rows, rough)
        assert found.bound is not None
        keep = np.ones(head.n)
        keep[rows] = 0.0
        step = rough - exact
        h = HeadCurvature(head.at(rough).without(keep)[0])
        assert found.bound >= float(np.sqrt(step @ h.matmul(step[None])[0]))
