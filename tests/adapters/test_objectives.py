"""Each estimator's objective as a head: value, gradient, predictions and the way back, against scikit-learn itself."""

import copy
import sys
from functools import cache
from typing import Any

import joblib
import numpy as np
import pytest

from tests.adapters.cases import ESTIMATORS, Case
from upweight.adapters import READERS, Adapted, adapt
from upweight.adapters.base import Stationarity
from upweight.adapters.kinked import Settled
from upweight.attribution import HeadAttribution
from upweight.linear_head import LinearHead
from upweight.removal.hinge_refit import with_width

SMOOTH = pytest.mark.parametrize("case", [case for case in ESTIMATORS if not case.kinks], ids=lambda case: case.name)
KINKED = pytest.mark.parametrize("case", [case for case in ESTIMATORS if case.kinks], ids=lambda case: case.name)
EVERY = pytest.mark.parametrize("case", ESTIMATORS, ids=lambda case: case.name)
UNJUDGED = Stationarity(0.0, 1.0, None)
HERE = sys.modules["upweight.adapters.assemble"]


@cache
def _fitted(case: Case) -> tuple[Any, str]:
    """The estimator, and what it was before anything read it."""
    model = case.fit()
    return model, joblib.hash(model)


@cache
def _adapted(case: Case) -> Adapted:
    data = case.data()
    return adapt(_fitted(case)[0], data.x, data.y, data.weight)


def _at_user(case: Case) -> LinearHead:
    """The head where the user's own solver left it."""
    adapted = _adapted(case)
    head = adapted.objective if adapted.fitted is None else adapted.objective.at(adapted.fitted)
    return with_width(head, 0.0) if case.kinks else head


def _own(model: Any, case: Case, said: Any) -> Any:
    """What the estimator itself says of its rows, in the shape of `said`."""
    adapted, x = _adapted(case), case.data().x
    if adapted.has_probability:
        truth = model.predict_proba(x)
        truth = truth[:, 1:] if said.shape[1] == 1 else truth
    else:
        truth = model.decision_function(x) if adapted.classes else model.predict(x)
    return np.reshape(truth, said.shape)


def test_every_reader_has_a_case() -> None:
    """An estimator that is read is tested."""
    assert {type(case.make()) for case in ESTIMATORS} == set(READERS)


@SMOOTH
def test_gradient_vanishes_at_the_fitted_parameters(case: Case) -> None:
    """The mapping table holds: where scikit-learn stopped, ∇F is at its solver's tolerance; polished, at rounding."""
    adapted = _adapted(case)
    assert adapted.objective.normalization == case.normalization
    assert adapted.stationarity.mismatch is None
    assert np.max(np.abs(_at_user(case).gradient)) < case.tol
    assert np.max(np.abs(adapted.objective.gradient)) < 1e-9


@KINKED
def test_optimum_of_kinks_is_below_every_point_around_it(case: Case) -> None:
    """F of the hinges is least at the path's end, where the user's own solver stopped within its tolerance."""
    adapted = _adapted(case)
    assert adapted.objective.normalization == case.normalization
    assert adapted.stationarity.mismatch is None
    assert np.max(np.abs(adapted.objective.gradient)) < 1e-9  # of the rounded loss
    best = _at_user(case).at(adapted.attribution(adapted.objective, "auto", 0.0).vector)
    size = np.max(np.abs(best.outputs))
    assert np.max(np.abs(best.outputs - _at_user(case).outputs)) < case.tol * size
    for direction in np.random.default_rng(1).normal(size=(20, best.params.size)):
        for step in (1e-2, 1e-5):
            assert best.at(best.params.vector + step * direction).value > best.value


@EVERY
def test_value_equals_the_documented_objective(case: Case) -> None:
    """F is what the estimator's documentation says."""
    assert _at_user(case).value == pytest.approx(case.objective(_fitted(case)[0], case.data()), rel=1e-12)


@EVERY
def test_predictions_are_the_estimators_own(case: Case) -> None:
    """What the head's loss says of its outputs is predict_proba, else decision_function, else predict."""
    head = _at_user(case)
    said = head.loss.predict(head.outputs)
    np.testing.assert_allclose(said, _own(_fitted(case)[0], case, said), atol=1e-10, rtol=1e-10)


@EVERY
def test_rebuilt_estimator_predicts_as_the_head(case: Case) -> None:
    """rebuild puts a moved θ into the user's own class."""
    adapted = _adapted(case)
    shift = 0.01 * np.random.default_rng(0).normal(size=adapted.objective.params.size)
    moved = adapted.objective.at(adapted.objective.params.vector + shift)
    again = adapted.rebuild(moved.params.vector)
    assert type(again) is type(_fitted(case)[0])
    said = moved.loss.predict(moved.outputs)
    np.testing.assert_allclose(said, _own(again, case, said), atol=1e-10, rtol=1e-10)


@EVERY
def test_weight_two_is_a_repeated_row(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """n F counts a row of weight 2 as two rows (mean form: F itself); SGD divides by rows and does not."""
    monkeypatch.setattr(HERE, "reconsider", lambda judged, reading, estimator, n: judged)
    monkeypatch.setattr(HERE, "polish", lambda head, judged, sizes, l1: (head, judged))
    monkeypatch.setattr(
        HERE, "settle", lambda head, kinks, smoothing, name: Settled(head, HeadAttribution, UNJUDGED, "")
    )
    model, data = _fitted(case)[0], case.data()
    weight = data.weights.copy()
    weight[3] *= 2.0
    twice = np.append(np.arange(data.x.shape[0]), 3)
    frozen = _frozen(model)
    one = adapt(frozen, data.x, data.y, weight).objective
    two = adapt(frozen, data.x[twice], np.asarray(data.y)[twice], data.weights[twice]).objective
    if case.normalization == "rows":
        assert abs(one.value - two.value) > 1e-8
    else:
        factor = 1.0 if case.normalization == "mean" else two.n / one.n
        assert two.value * factor == pytest.approx(one.value, rel=1e-12)
        np.testing.assert_allclose(two.gradient * factor, one.gradient, atol=1e-12)


@EVERY
def test_cold_refit_of_nothing_is_the_fit_and_the_users_own_is_never_changed(case: Case) -> None:
    """With no row removed the user's own solver comes back to its parameters; nothing wrote to the user's object."""
    adapted, (model, before) = _adapted(case), _fitted(case)
    assert adapted.cold_refit is not None
    head = _at_user(case)
    said = head.loss.predict(head.outputs)
    np.testing.assert_allclose(_own(adapted.cold_refit([]), case, said), said, atol=1e-4, rtol=1e-4)
    assert joblib.hash(model) == before


def _frozen(model: Any) -> Any:
    """Class weights as numbers, so that they do not move with the rows."""
    model = copy.deepcopy(model)
    for part in getattr(model, "estimators_", [model]):
        if getattr(part, "class_weight", None) == "balanced":
            part.class_weight = {label: 1.0 + k for k, label in enumerate(part.classes_)}
    return model
