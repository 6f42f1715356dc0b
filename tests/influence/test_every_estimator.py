"""Every estimator: estimates, our refits, its own refits and its documented objective agree."""

from functools import cache
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from tests.adapters import cases
from tests.adapters.cases import ESTIMATORS, Case, Data
from upweight import Influence
from upweight.questions.on_set import as_predicted
from upweight.questions.own_solver import predictions_of

EVERY = pytest.mark.parametrize("case", ESTIMATORS, ids=lambda case: case.name)
FROM_SETTINGS = pytest.mark.parametrize(  # what "balanced" and CV chose from all rows stays as it was
    "case", [case for case in ESTIMATORS if "balanced" not in case.name and "CV" not in case.name], ids=lambda c: c.name
)
OWN_OPTIMUM = [case for case in ESTIMATORS if not case.name.startswith("sgd")]  # SGD's noise exceeds one row's effect
L1 = ("lasso", "elastic net", "l1")
QUERIES = 6


@cache
def influence(name: str) -> Influence:
    """One fit for all tests of a case."""
    case = next(c for c in ESTIMATORS if c.name == name)
    data = case.data()
    return Influence.from_sklearn(case.fit(), data.x, data.y, data.weight)


def strongest(case: Case) -> int:
    """The row whose removal moves its own loss most, that is no class's only member."""
    found = influence(case.name)
    order = np.argsort(-np.abs(found.self_influence().values[0]), kind="stable")
    return int(order[0])


def kept(data: Data, rows: list[int]) -> Data:
    """The data without these rows."""
    left = np.setdiff1d(np.arange(data.x.shape[0]), rows)
    return Data(data.x[left], data.y[left], None if data.weight is None else data.weight[left])


@pytest.mark.parametrize("case", OWN_OPTIMUM, ids=lambda case: case.name)
def test_our_refit_is_the_estimators_own(case: Case) -> None:
    """Without a row, and without a group: cold predictions by its own solver are ours, to 1e-4 of the effect."""
    found, data = influence(case.name), case.data()
    adapted, engine = found.adapted, found.attribution
    assert adapted.cold_refit is not None
    before = as_predicted(adapted, engine, adapted.objective.outputs)
    for rows in ([strongest(case)], [11, 31, 47, 66]):
        vectors, converged = engine.refitted([rows])
        assert converged.all()
        ours = as_predicted(adapted, engine, engine.outputs_at(vectors, adapted.objective.features)[0])
        own = adapted.cold_refit(rows)
        if any(word in case.name for word in L1) and support(own) != support(found.without(rows).model):
            continue  # the row decided which columns count: our refit keeps the support, and says so
        theirs = predictions_of(adapted, own, data.x)
        effect = np.linalg.norm(ours - before)
        assert effect > 0
        assert np.linalg.norm(theirs - ours) <= max(1e-4, 10 * case.tol) * effect


def support(model: Any) -> list[bool]:
    """Which coefficients are not zero."""
    coef = model.coef_.toarray() if sp.issparse(model.coef_) else model.coef_
    return (np.ravel(coef) != 0).tolist()


@FROM_SETTINGS
def test_our_refit_minimises_the_documented_objective(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """F of the data without the row, written from the documentation: flat at our refit, steep at the fit before.

    With kinks: higher on both sides of our refit, along any direction.
    """
    found, row = influence(case.name), strongest(case)
    head = found.adapted.objective
    vector = found.attribution.refitted([[row]])[0][0]
    rest = kept(case.data(), [row])
    monkeypatch.setattr(cases, "N", cases.N - 1)

    def value(at: Any) -> float:
        return case.objective(found.adapted.rebuild(at), rest)

    if case.kinks:
        best = value(vector)
        for direction in np.random.default_rng(0).normal(size=(4, head.params.size)):
            assert all(value(vector + step * direction) > best for step in (-1e-3, -1e-5, 1e-5, 1e-3))
        return

    def slope(at: Any, direction: Any, step: float = 1e-5) -> float:
        up, down = (value(at + s * direction) for s in (step, -step))
        return (up - down) / (2 * step)

    directions = np.random.default_rng(0).normal(size=(4, head.params.size))
    there = [slope(vector, d) for d in directions]
    before = [slope(head.params.vector, d) for d in directions]
    assert np.linalg.norm(there) <= 1e-4 * np.linalg.norm(before)


@EVERY
def test_estimates_agree_with_refits(case: Case) -> None:
    """All single removals: finite; the median is off by 3 % at most (quadratic: by rounding), the ranking holds."""
    found, data = influence(case.name), case.data()
    scores = found.scores(0.6 * data.x[:QUERIES], data.y[:QUERIES])  # no training row is its own query
    assert scores.values.shape == (QUERIES, cases.N)
    assert np.isfinite(scores.values).all()
    assert scores.refitter is not None
    rows = list(range(0, cases.N, 2))
    truth = scores.refitter(rows).T
    assert np.isfinite(truth).all()
    estimate = scores.values[:, rows]
    moved = np.abs(truth) > 1e-9 * np.abs(truth).max()
    error = np.median(np.abs(estimate - truth)[moved] / np.abs(truth)[moved])
    equal_shares = np.ptp(found.adapted.objective.shares) == 0
    loss = found.adapted.objective.loss
    assert error <= (1e-9 if loss.concordance == 0 and equal_shares else 0.03 if loss.smooth else 0.1)
    assert np.corrcoef(estimate.ravel(), truth.ravel())[0, 1] > (0.98 if loss.smooth else 0.9)


@EVERY
def test_without_gives_the_users_own_class(case: Case) -> None:
    """A fitted estimator of the same class that predicts what the refit says; the user's object is left alone."""
    case_data = case.data()
    model = case.fit()
    state = repr(sorted((k, repr(v)) for k, v in vars(model).items()))
    found = Influence.from_sklearn(model, case_data.x, case_data.y, case_data.weight)
    refit = found.without([3, 14])
    assert type(refit.model) is type(model)
    assert refit.converged
    assert np.isfinite(predictions_of(found.adapted, refit.model, case_data.x)).all()
    assert refit.certificate.sentence.startswith(("proved: ", "not proved: "))
    assert repr(sorted((k, repr(v)) for k, v in vars(model).items())) == state
