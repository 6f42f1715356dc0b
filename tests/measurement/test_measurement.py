"""Measurements: values from their definitions, gradients by finite differences, and who may ask for which."""

from typing import Any

import numpy as np
import pytest

from upweight.errors import MeasurementError
from upweight.measurement import NAMES, Measurement, class_of, decided, measurement
from upweight.output_loss import Logistic, Poisson, Separate, Softmax, Squared

RNG = np.random.default_rng(0)
CLASSIFIERS: dict[str, tuple[Any, Any, Any]] = {
    "softmax": (Softmax(4), RNG.normal(size=(9, 4)) * 3, np.arange(9) % 4),
    "binary": (Separate(Logistic()), RNG.normal(size=(9, 1)) * 3, (np.arange(9) % 2).astype(float)),
    "one against rest": (Separate(Logistic(), 3), RNG.normal(size=(9, 3)) * 2, np.eye(3)[np.arange(9) % 3]),
}
REGRESSIONS: dict[str, tuple[Any, Any, Any]] = {
    "squared": (Separate(Squared()), RNG.normal(size=(9, 1)), RNG.normal(size=9)),
    "poisson": (Separate(Poisson()), RNG.normal(size=(9, 1)), np.arange(9.0)),
}
MODELS = CLASSIFIERS | REGRESSIONS


def asked(name: str, model: str, given: bool = True, has_probability: bool = True) -> Measurement:
    """The measurement for one of the models above."""
    return measurement(name, MODELS[model][0], model in CLASSIFIERS, has_probability, given, "euros")


ALL = [(m, name) for m in CLASSIFIERS for name in NAMES] + [
    (m, name) for m in REGRESSIONS for name in ("loss", "prediction")
]


@pytest.mark.parametrize(("model", "name"), ALL)
def test_gradient_is_the_derivative_of_the_value(model: str, name: str) -> None:
    """Central differences in each output: 1e-7 of the largest."""
    _, z, y = MODELS[model]
    found = asked(name, model)
    gradient = found.gradient(z, y)
    assert gradient.shape == z.shape
    for a in range(z.shape[1]):
        step = 1e-5 * np.eye(z.shape[1])[a]
        difference = (found.value(z + step, y) - found.value(z - step, y)) / 2e-5
        assert np.abs(gradient[:, a] - difference).max() <= 1e-7 * max(1.0, np.abs(gradient).max())


def test_softmax_values_are_their_definitions() -> None:
    """Probability, log-probability, loss and log-odds of the labelled class."""
    _, z, y = MODELS["softmax"]
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    own = p[np.arange(9), y]
    assert asked("prob", "softmax").value(z, y) == pytest.approx(own)
    assert asked("prediction", "softmax").value(z, y) == pytest.approx(own)
    assert asked("log_prob", "softmax").value(z, y) == pytest.approx(np.log(own))
    assert asked("loss", "softmax").value(z, y) == pytest.approx(-np.log(own))
    assert asked("margin", "softmax").value(z, y) == pytest.approx(np.log(own / (1 - own)))


def test_binary_values_are_of_the_labelled_side() -> None:
    """One output, two classes: label 0 reads 1 − p and minus the logit."""
    _, z, y = MODELS["binary"]
    p = 1 / (1 + np.exp(-z[:, 0]))
    assert asked("prob", "binary").value(z, y) == pytest.approx(np.where(y == 1, p, 1 - p))
    assert asked("margin", "binary").value(z, y) == pytest.approx(np.where(y == 1, z[:, 0], -z[:, 0]))


def test_separate_fits_have_their_margin_against_the_next_best() -> None:
    """c decision scores that were fitted apart: the labelled one minus the largest other."""
    _, z, y = MODELS["one against rest"]
    own = np.argmax(y, axis=1)
    rest = np.where(np.eye(3)[own] > 0, -np.inf, z).max(axis=1)
    found = asked("margin", "one against rest")
    assert found.value(z, y) == pytest.approx(z[np.arange(9), own] - rest)
    assert found.unit == "decision score"


@pytest.mark.parametrize("model", ["softmax", "binary"])
def test_extreme_outputs_stay_finite(model: str) -> None:
    """Logits of ±800, where probabilities round to 0 and 1: value and gradient of each measurement are finite."""
    _, z, y = MODELS[model]
    z = np.where(z > 0, 800.0, -800.0)
    for name in NAMES:
        found = asked(name, model)
        assert np.isfinite(found.value(z, y)).all()
        assert np.isfinite(found.gradient(z, y)).all()


def test_units_and_directions() -> None:
    """Each says its unit and which way is better; with the predicted label, or for a bare prediction, neither is."""
    assert [(asked(n, "softmax").unit, asked(n, "softmax").better) for n in ("loss", "prob", "log_prob", "margin")] == [
        ("nats", "lower"), ("probability", "higher"), ("nats", "higher"), ("log-odds", "higher"),
    ]  # fmt: skip
    assert asked("prob", "softmax", given=False).better is None
    assert asked("prediction", "softmax").better is None
    assert (asked("prediction", "squared").unit, asked("prediction", "squared").better) == ("euros", None)
    assert asked("loss", "squared").unit == "half squared error"


def test_classes_of_every_encoding() -> None:
    """An index, 0/1, ±1 for one output, or one column per class; the predicted one is the largest score's."""
    assert class_of(np.array([2, 0]), 3).tolist() == [2, 0]
    assert class_of(np.array([0.0, 1.0]), 1).tolist() == [0, 1]
    assert class_of(np.array([-1.0, 1.0]), 1).tolist() == [0, 1]
    assert class_of(np.array([[-1.0, 1.0, -1.0]]), 3).tolist() == [1]
    assert decided(np.array([[-1.0], [2.0], [0.0]])).tolist() == [
        0,
        1,
        0,
    ]  # a tie goes to the first class, as sklearn's


@pytest.mark.parametrize(
    ("name", "model", "kwargs", "message"),
    [
        ("los", "softmax", {}, "'los' is not known. Use one of 'log_prob', 'loss', 'margin', 'prediction', 'prob'"),
        ("loss", "squared", {"given": False}, "needs y_query"),
        ("prob", "squared", {}, "a regression has no 'prob'"),
        ("log_prob", "squared", {}, "a regression has no 'log_prob'"),
        ("margin", "squared", {}, "a regression has no margin"),
        ("prob", "softmax", {"has_probability": False}, "gives no probabilities, so there is no 'prob'"),
        ("log_prob", "softmax", {"has_probability": False}, "gives no probabilities, so there is no 'log_prob'"),
    ],
)
def test_refusals_name_the_measurement(name: str, model: str, kwargs: Any, message: str) -> None:
    """What this model or query does not have, and what to use instead."""
    with pytest.raises(MeasurementError, match=message):
        asked(name, model, **kwargs)


def test_a_regression_on_several_targets_has_no_one_prediction() -> None:
    """Three numbers at once: the loss, or a function of one's own."""
    with pytest.raises(MeasurementError, match="predicts 3 numbers at once"):
        measurement("prediction", Separate(Squared(), 3), False, False, True, "euros")
