"""Each estimator's objective as a head: value, gradient, predictions and the way back, against scikit-learn itself."""

import copy
import sys
from typing import Any

import joblib
import numpy as np
import pytest

from tests.adapters.cases import ESTIMATORS, Case
from upweight.adapters import READERS, Adapted, adapt

EVERY = pytest.mark.parametrize("case", ESTIMATORS, ids=lambda case: case.name)


def _adapted(case: Case, model: Any) -> Adapted:
    data = case.data()
    return adapt(model, data.x, data.y, data.weight)


@pytest.fixture
def unpolished(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heads stay at the user's own parameters."""
    monkeypatch.setattr(
        sys.modules["upweight.adapters.assemble"], "polish", lambda head, judged, sizes, l1: (head, judged)
    )


def test_every_reader_has_a_case() -> None:
    """An estimator that is read is tested."""
    assert {type(case.make()) for case in ESTIMATORS} == set(READERS)


@EVERY
@pytest.mark.usefixtures("unpolished")
def test_gradient_vanishes_at_the_fitted_parameters(case: Case) -> None:
    """The mapping table holds: where scikit-learn stopped, ∇F is at its solver's tolerance."""
    adapted = _adapted(case, case.fit())
    assert adapted.head.normalization == case.normalization
    assert np.max(np.abs(adapted.head.gradient)) < case.tol
    assert adapted.stationarity.mismatch is None


@EVERY
def test_polished_gradient_is_rounding(case: Case) -> None:
    """After Newton steps nothing is left, wherever the solver stopped."""
    adapted = _adapted(case, case.fit())
    assert np.max(np.abs(adapted.head.gradient)) < 1e-9


@EVERY
@pytest.mark.usefixtures("unpolished")
def test_value_equals_the_documented_objective(case: Case) -> None:
    """F is what the estimator's documentation says, times a constant that is stated: none."""
    model = case.fit()
    assert _adapted(case, model).head.value == pytest.approx(case.objective(model, case.data()), rel=1e-12)


@EVERY
@pytest.mark.usefixtures("unpolished")
def test_predictions_are_the_estimators_own(case: Case) -> None:
    """What the head's loss says of its outputs is predict_proba, else decision_function, else predict."""
    model, data = case.fit(), case.data()
    adapted = _adapted(case, model)
    said = adapted.head.loss.predict(adapted.head.outputs)
    if adapted.has_probability:
        truth = model.predict_proba(data.x)
        truth = truth[:, 1:] if said.shape[1] == 1 else truth
    elif adapted.classes:
        truth = model.decision_function(data.x)
    else:
        truth = model.predict(data.x)
    np.testing.assert_allclose(said, np.reshape(truth, said.shape), atol=1e-10, rtol=1e-10)


@EVERY
def test_rebuilt_estimator_predicts_as_the_head(case: Case) -> None:
    """rebuild puts a moved θ into the user's own class and leaves the user's object as it was."""
    model, data = case.fit(), case.data()
    before = joblib.hash(model)
    adapted = _adapted(case, model)
    shift = 0.01 * np.random.default_rng(0).normal(size=adapted.head.params.size)
    moved = adapted.head.at(adapted.head.params.vector + shift)
    again = adapted.rebuild(moved)
    assert type(again) is type(model)
    said = moved.loss.predict(moved.outputs)
    if adapted.has_probability:
        truth = again.predict_proba(data.x)
        truth = truth[:, 1:] if said.shape[1] == 1 else truth
    elif adapted.classes:
        truth = again.decision_function(data.x)
    else:
        truth = again.predict(data.x)
    np.testing.assert_allclose(said, np.reshape(truth, said.shape), atol=1e-10, rtol=1e-10)
    assert joblib.hash(model) == before


@EVERY
@pytest.mark.usefixtures("unpolished")
def test_weight_two_is_a_repeated_row(case: Case) -> None:
    """n F counts a row of weight 2 as two rows (mean form: F itself); SGD divides by rows and does not."""
    model, data = case.fit(), case.data()
    weight = data.weights.copy()
    weight[3] *= 2.0
    twice = np.append(np.arange(data.x.shape[0]), 3)
    frozen = _frozen(model, data)
    one = adapt(frozen, data.x, data.y, weight).head
    two = adapt(frozen, data.x[twice], np.asarray(data.y)[twice], data.weights[twice]).head
    if case.normalization == "rows":
        assert abs(one.value - two.value) > 1e-8
    else:
        factor = 1.0 if case.normalization == "mean" else two.n / one.n
        assert two.value * factor == pytest.approx(one.value, rel=1e-12)
        np.testing.assert_allclose(two.gradient * factor, one.gradient, atol=1e-12)


@EVERY
def test_user_estimator_is_never_changed(case: Case) -> None:
    """Neither reading nor refitting writes to it."""
    model = case.fit()
    before = joblib.hash(model)
    adapted = _adapted(case, model)
    assert adapted.cold_refit is not None
    adapted.cold_refit([1, 2])
    assert joblib.hash(model) == before


@EVERY
def test_cold_refit_of_nothing_is_the_fit(case: Case) -> None:
    """With no row removed the user's own solver comes back to the user's own parameters."""
    model, data = case.fit(), case.data()
    adapted = _adapted(case, model)
    assert adapted.cold_refit is not None
    again = adapted.cold_refit([])
    read = model.decision_function if adapted.classes else model.predict
    anew = again.decision_function if adapted.classes else again.predict
    np.testing.assert_allclose(anew(data.x), read(data.x), atol=1e-4, rtol=1e-4)


def _frozen(model: Any, data: Any) -> Any:
    """Class weights as numbers, so that they do not move with the rows."""
    model = copy.deepcopy(model)
    for part in getattr(model, "estimators_", [model]):
        if getattr(part, "class_weight", None) == "balanced":
            part.class_weight = {label: 1.0 + k for k, label in enumerate(part.classes_)}
    return model
