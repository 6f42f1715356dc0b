"""Newton's minimum: from far away, on columns of any size, across kinks, on the n-side, and where there is none."""

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from tests.adapters.cases import ESTIMATORS
from upweight.adapters import adapt
from upweight.adapters.sparse_features import SparseFeatures
from upweight.features import DenseFeatures
from upweight.linear_head import LinearHead
from upweight.newton import minimise
from upweight.output_loss import HuberWithScale, Logistic, Separate, Softmax
from upweight.params import Params
from upweight.solvers import SOLVERS

RNG = np.random.default_rng(0)


def _softmax(x: Any, c: int, penalty: float, seed: int = 0) -> LinearHead:
    """c noisy classes on these features, θ = 0, intercept free."""
    n, d = x.shape
    rng = np.random.default_rng(seed)
    dense = x.toarray() if hasattr(x, "toarray") else x
    scaled = dense / np.sqrt(np.mean(dense**2, axis=0) + 1e-12)
    y = np.argmax(scaled[:, :c] + rng.gumbel(size=(n, c)), axis=1)
    names = (*(f"x{j}" for j in range(d)), "intercept")
    params = Params(np.zeros((c, d + 1)), np.ones((c, d + 1), dtype=bool), tuple("abcdefgh"[:c]), names)
    lam = np.full((c, d + 1), penalty)
    lam[:, -1] = 0.0
    features = SparseFeatures(x) if hasattr(x, "toarray") else DenseFeatures(x, np.float64)
    return LinearHead(features, Softmax(c), y, np.ones(n), params, lam, "sum")


SMOOTH = [case for case in ESTIMATORS if not case.kinks]  # rounded kinks are reached from wide ones, never from afar


@pytest.mark.parametrize("case", SMOOTH[::4], ids=lambda case: case.name)
def test_minimum_is_found_from_far_away(case: Any) -> None:
    """From a random start, kinks and scale parameters included, the gradient ends at rounding."""
    data = case.data()
    head = adapt(case.fit(), data.x, data.y, data.weight).objective
    start = head.params.vector + np.random.default_rng(1).normal(size=head.params.size)
    if isinstance(head.loss, HuberWithScale):
        start[-1] = 5.0
    found = minimise(head.at(start))
    assert found.converged
    assert np.max(np.abs(found.head.gradient)) < 1e-10
    said = head.loss.predict(head.outputs)  # not the outputs: some losses do not see a shift of all of them
    np.testing.assert_allclose(head.loss.predict(found.head.outputs), said, atol=1e-6)


@pytest.mark.parametrize("spread", [0.0, 3.0, 6.0])
def test_columns_of_any_size(spread: float) -> None:
    """Twelve orders of magnitude between columns: the gradient of each, relative to its size, ends at rounding."""
    sizes = 10.0 ** np.linspace(-spread, spread, 6)
    found = minimise(_softmax(RNG.normal(size=(80, 6)) * sizes, 3, 1e-3))
    assert found.converged
    relative = np.abs(found.head.params.expand(found.head.gradient[None])[0]) / np.append(sizes, 1.0)
    assert np.max(relative) < 1e-9


@pytest.mark.parametrize("solver", [None, *(name for name in SOLVERS if name != "lissa")], ids=str)
def test_every_solver_ends_at_the_same_minimum(solver: str | None) -> None:
    """What answers H d = −g does not matter, if it answers: LiSSA, whose direction is stochastic, is never used."""
    head = _softmax(RNG.normal(size=(60, 4)), 3, 0.01)
    found = minimise(head, solver=SOLVERS[solver]() if solver else None)
    assert found.converged
    assert np.max(np.abs(found.head.gradient)) < 1e-12


def test_wide_sparse_rows_take_the_n_side() -> None:
    """p = 15,003 parameters for 40 rows: no p × p matrix, no dense X."""
    x = sp.csr_array(sp.random_array((40, 5000), density=0.01, random_state=np.random.default_rng(0)))
    found = minimise(_softmax(x, 3, 0.01))
    assert found.converged
    assert np.max(np.abs(found.head.gradient)) < 1e-10


def test_separable_data_without_a_penalty_has_no_minimum() -> None:
    """Finite, and said."""
    x = np.linspace(-1, 1, 20)[:, None]
    params = Params(np.zeros((1, 2)), np.ones((1, 2), dtype=bool), ("y",), ("x", "intercept"))
    y = (x[:, 0] > 0).astype(float)
    head = LinearHead(
        DenseFeatures(x, np.float64), Separate(Logistic()), y, np.ones(20), params, np.zeros((1, 2)), "sum"
    )
    found = minimise(head, max_steps=40)
    assert not found.converged
    assert np.all(np.isfinite(found.head.params.vector))
