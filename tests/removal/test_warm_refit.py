"""Warm refits against cold ones: a second Newton method, and scikit-learn's own solvers."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression, Ridge

from upweight.attribution import HeadAttribution
from upweight.curvature import HeadCurvature
from upweight.newton import minimise
from upweight.removal.warm_refit import refit_without
from upweight.solvers import CG, Cholesky, Woodbury
from upweight.testing import PROBLEMS, Problem, problem, reference

REGULAR = [p for p in PROBLEMS if not p.singular and p.name not in ("near-singular", "tall", "one row per class")]


def groups(n: int, seed: int = 0) -> list[list[int]]:
    """Two single rows, and groups of 3 %, 10 % and 30 % of the rows, one of them coherent."""
    rng = np.random.default_rng(seed)
    drawn = [rng.choice(n, size=max(2, round(share * n)), replace=False).tolist() for share in (0.03, 0.1, 0.3)]
    return [[0], [n - 1], *drawn, list(range(n // 10))]


@pytest.mark.parametrize("problem", REGULAR, ids=lambda p: p.name)
def test_a_warm_refit_is_the_cold_refit(problem: Problem) -> None:
    """Single rows and groups of up to 30 %: the parameters of a dense Newton run to a gradient of 1e-13."""
    head = problem.head
    sets = groups(head.n)
    found = refit_without(head, HeadAttribution(head, Cholesky()).prepared, sets)
    assert found.converged.all()
    for vector, rows in zip(found.vectors, sets, strict=True):
        cold = reference.refit(head, rows)
        warm = head.params.at(vector).matrix
        assert np.abs(warm - cold).max() <= 1e-8 * np.abs(cold).max()


@pytest.mark.parametrize("problem", REGULAR[::3], ids=lambda p: p.name)
def test_refits_side_by_side_are_those_one_by_one(problem: Problem) -> None:
    """k removals in one go, alone, and in another order: the same to rounding."""
    head, prepared = problem.head, HeadAttribution(problem.head, Cholesky()).prepared
    sets = groups(head.n, seed=1)
    together = refit_without(head, prepared, sets).vectors
    alone = np.concatenate([refit_without(head, prepared, [rows]).vectors for rows in sets])
    backwards = refit_without(head, prepared, sets[::-1]).vectors[::-1]
    size = np.abs(together).max()
    assert np.abs(together - alone).max() <= 1e-10 * size
    assert np.abs(together - backwards).max() <= 1e-10 * size


@pytest.mark.parametrize("solver", [CG(), Woodbury()], ids=lambda s: type(s).__name__)
def test_any_solver_preconditions_the_same_refits(solver: Any) -> None:
    """The factor only speeds the Newton systems: the optimum that is reached is the same."""
    head = problem("wide, softmax").head
    sets = groups(head.n)[:3]
    ours = refit_without(head, solver.prepare(HeadCurvature(head)), sets)
    assert ours.converged.all()
    expected = refit_without(head, Cholesky().prepare(HeadCurvature(head)), sets).vectors
    assert np.abs(ours.vectors - expected).max() <= 1e-9 * np.abs(expected).max()


def test_no_removals_at_all() -> None:
    """An empty list of sets gives no refits; an empty set gives the fit itself."""
    head = problem("softmax").head
    prepared = HeadAttribution(head, Cholesky()).prepared
    assert refit_without(head, prepared, []).vectors.shape == (0, head.params.size)
    assert refit_without(head, prepared, [[]]).vectors[0] == pytest.approx(head.params.vector, abs=1e-10)


def test_a_refit_without_optimum_is_finite_and_says_so() -> None:
    """The one row that kept two classes apart from each other leaves and nothing is penalised: no optimum."""
    x = np.array([[-2.0], [-1.0], [1.0], [2.0], [-1.5]])
    base = problem("binary logistic").head
    params = replace(base.params, matrix=np.zeros((1, 2)), free=np.ones((1, 2), bool), column_names=("x", "intercept"))
    head = replace(
        base,
        features=replace(base.features, x=x),
        targets=np.array([0.0, 0.0, 1.0, 1.0, 1.0]),
        weights=np.ones(5),
        params=params,
        penalty=np.zeros((1, 2)),
    )
    head = minimise(head).head
    found = refit_without(head, HeadAttribution(head, Cholesky()).prepared, [[4], [0]])
    assert np.isfinite(found.vectors).all()
    assert found.converged.tolist() == [False, True]


def test_a_class_that_loses_its_only_member_has_no_refit() -> None:
    """Its free intercept runs to minus infinity: finite, and said for each of the rows."""
    head = problem("one row per class").head
    found = refit_without(head, HeadAttribution(head, Cholesky()).prepared, [[i] for i in range(head.n)])
    assert np.isfinite(found.vectors).all()
    assert not found.converged.any()


def test_a_row_that_weighs_nothing_leaves_the_fit_where_it_is() -> None:
    """Its refit is settled at once, however small the numbers."""
    head = problem("weights 0 and 2").head
    found = refit_without(head, HeadAttribution(head, Cholesky()).prepared, [[0]])
    assert found.converged.all()
    assert found.vectors[0] == pytest.approx(head.params.vector, abs=1e-12)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_the_unit_of_the_target_changes_no_verdict(unit: float) -> None:
    """Ridge in millionths and in millions: refits scale with the unit, and all are settled."""
    base = problem("ridge").head
    head = minimise(replace(base, targets=unit * base.targets)).head
    found = refit_without(head, HeadAttribution(head, Cholesky()).prepared, groups(head.n))
    assert found.converged.all()
    cold = reference.refit(replace(base), [0])
    assert head.params.at(found.vectors[0]).matrix / unit == pytest.approx(cold, rel=1e-8)


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("targets", [1, 2])
def test_ridge_refits_are_those_of_scikit_learn(intercept: bool, targets: int) -> None:
    """To 1e-9, with weights: the rows really taken out and Ridge fitted from nothing."""
    from upweight.adapters import adapt

    rng = np.random.default_rng(3)
    x, weights = rng.normal(size=(50, 6)), rng.uniform(0.5, 2.0, size=50)
    y = x @ rng.normal(size=(6, targets)) + rng.normal(size=(50, targets))
    y = y[:, 0] if targets == 1 else y
    model = Ridge(alpha=2.5, fit_intercept=intercept, solver="cholesky" if targets == 1 else "svd")
    head = adapt(model.fit(x, y, sample_weight=weights), x, y, weights).objective
    sets = groups(50)
    vectors, converged = HeadAttribution(head, Cholesky()).refitted(sets)
    assert converged.all()
    for vector, rows in zip(vectors, sets, strict=True):
        kept = np.setdiff1d(np.arange(50), rows)
        cold = Ridge(alpha=2.5, fit_intercept=intercept).fit(x[kept], y[kept], sample_weight=weights[kept])
        ours = head.params.at(vector).matrix
        assert np.abs(ours[:, :-1] - np.reshape(cold.coef_, (targets, -1))).max() <= 1e-9 * np.abs(cold.coef_).max()
        assert np.abs(ours[:, -1] - np.reshape(cold.intercept_, -1)).max() <= 1e-9


def test_logistic_refits_are_those_of_scikit_learn() -> None:
    """Multinomial iris with weights, cold lbfgs at tol 1e-12: the same probabilities."""
    from upweight.adapters import adapt

    x, y = load_iris(return_X_y=True)
    weights = np.random.default_rng(0).uniform(0.5, 2.0, size=len(x))

    def fit(rows: Any) -> LogisticRegression:
        cold = LogisticRegression(C=1.0, solver="newton-cholesky", tol=1e-12, max_iter=200)
        return cold.fit(x[rows], y[rows], sample_weight=weights[rows])

    head = adapt(fit(np.arange(150)), x, y, weights).objective
    sets = [*groups(150)[:5], list(range(50, 75))]
    engine = HeadAttribution(head, Cholesky())
    vectors, converged = engine.refitted(sets)
    assert converged.all()
    z = engine.outputs_at(vectors, head.features)
    for j, rows in enumerate(sets):
        cold = fit(np.setdiff1d(np.arange(150), rows)).predict_proba(x)
        assert head.loss.predict(z[j]) == pytest.approx(cold, abs=1e-8)
