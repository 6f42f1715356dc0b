"""Relabel against the models really fitted again with the other label, by scikit-learn's own solvers."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge, RidgeClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.adapters.cases import ESTIMATORS, Case
from upweight import Influence
from upweight.errors import InputError, MeasurementError, UnsupportedQuestion
from upweight.relabel import Relabel
from upweight.removal.changed_refit import Changed

EXACT: dict[str, Any] = {"solver": "newton-cholesky", "tol": 1e-14, "max_iter": 500}
NAMES = np.array(["ant", "bee", "cat"])


def data(n: int, c: int, seed: int = 0) -> tuple[Any, Any]:
    """Noisy classes by name."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4))
    return x, NAMES[np.argmax(1.2 * x @ rng.normal(size=(4, c)) + rng.gumbel(size=(n, c)), axis=1)]


CLASSIFIERS = {
    "binary": (lambda: LogisticRegression(**EXACT), 2),
    "softmax": (lambda: LogisticRegression(**EXACT), 3),
    "one against the rest": (lambda: OneVsRestClassifier(LogisticRegression(**EXACT)), 3),
    "ridge": (lambda: RidgeClassifier(), 3),
    "ridge, two classes": (lambda: RidgeClassifier(), 2),
}


def measured(model: Any, x: Any, y: Any) -> Any:
    """The loss that each model is fitted by, of each query."""
    if hasattr(model, "predict_proba") and not isinstance(model, OneVsRestClassifier):
        return -np.log(model.predict_proba(x)[np.arange(len(x)), np.searchsorted(model.classes_, y)])
    k = np.searchsorted(model.classes_, y)
    z = model.decision_function(x)
    sides = 2.0 * k - 1.0 if z.ndim == 1 else 2.0 * np.eye(z.shape[1])[k] - 1.0
    loss = np.logaddexp(0, -sides * z) if isinstance(model, OneVsRestClassifier) else 0.5 * (z - sides) ** 2
    return loss if loss.ndim == 1 else loss.sum(axis=1)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_estimates_are_near_refits_and_refits_are_real(name: str) -> None:
    """n = 800: median error below 10 %, slope within 5 %; `refitter` is scikit-learn's own fit with that label."""
    make, c = CLASSIFIERS[name]
    x, y = data(820, c, seed=3)
    model = make().fit(x[:800], y[:800])
    relabel = Influence.from_sklearn(model, x[:800], y[:800]).relabel(x[800:], y[800:])
    assert relabel.values.shape == (20, 800, c)
    rng = np.random.default_rng(1)
    rows = rng.choice(800, 20, replace=False)
    becomes = (relabel.codes[rows] + 1 + rng.integers(0, c - 1, 20)) % c
    assert relabel.refitter is not None
    real = relabel.refitter(rows.tolist(), becomes.tolist())
    for k in (0, 5):
        other = y[:800].copy()
        other[rows[k]] = relabel.classes[becomes[k]]
        refitted = make().fit(x[:800], other)
        change = measured(refitted, x[800:], y[800:]) - measured(model, x[800:], y[800:])
        np.testing.assert_allclose(real[k], change, rtol=1e-6, atol=1e-10)
    estimate = relabel.values[:, rows, becomes].T
    assert np.median(np.abs(estimate - real) / np.abs(real)) < 0.10
    assert abs(np.sum(estimate * real) / np.sum(estimate**2) - 1) < 0.05


def test_values_are_the_derivative_along_the_label() -> None:
    """(1 − ε) of the row and ε of it in class c, fitted as two weighted rows: six digits; own labels exactly 0."""
    x, y = data(80, 3)
    weight = np.random.default_rng(2).uniform(0.5, 2.0, size=70)
    model = LogisticRegression(**EXACT).fit(x[:70], y[:70], sample_weight=weight)
    relabel = Influence.from_sklearn(model, x[:70], y[:70], sample_weight=weight).relabel(x[70:], y[70:])
    own = relabel.values[:, np.arange(70), relabel.codes]
    assert (own == 0.0).all()
    row, to = 7, (relabel.codes[7] + 1) % 3

    def at(eps: float) -> Any:
        weights = np.append(weight, eps * weight[row])
        weights[row] *= 1.0 - eps
        both = LogisticRegression(**EXACT).fit(np.vstack([x[:70], x[[row]]]), np.append(y[:70], NAMES[to]), weights)
        return measured(both, x[70:], y[70:])

    h = 1e-3
    slope = (4.0 * at(h) - at(2.0 * h) - 3.0 * at(0.0)) / (2.0 * h)
    np.testing.assert_allclose(relabel.values[:, row, to], slope, rtol=1e-4, atol=1e-6 * np.abs(slope).max())


@pytest.mark.parametrize("make", [LogisticRegression, RidgeClassifier])
def test_a_row_weighs_what_its_new_class_weighs(make: Any) -> None:
    """Class weights stay those of the fit ("balanced" is frozen); the row takes those of its new class."""
    x, y = data(160, 2, seed=5)
    settings = {"tol": 1e-12, "max_iter": 2000} if make is LogisticRegression else {}
    weights = {"ant": 3.0, "bee": 1.0}
    model = make(class_weight=weights, **settings).fit(x[:150], y[:150])
    relabel = Influence.from_sklearn(model, x[:150], y[:150]).relabel(x[150:], y[150:], measurement="margin")
    top = relabel.top(3)
    sign = np.where(y[150] == "bee", 1.0, -1.0)
    for record in top.to_dict("records"):
        other = y[:150].copy()
        other[record["row"]] = record["other label"]
        refitted = clone(model).fit(x[:150], other)
        change = refitted.decision_function(x[150:151])[0] - model.decision_function(x[150:151])[0]
        assert record["refit"] == pytest.approx(sign * change, rel=1e-5)
        assert record["estimate"] == pytest.approx(record["refit"], rel=0.5)
        assert record["label"] == y[record["row"]] != record["other label"]


def test_a_ridge_target_is_exact() -> None:
    """Prediction and loss are linear and quadratic: per unit of the target, the prediction's change is the refit's."""
    x, _ = data(60, 3)
    y = x @ np.arange(4.0) + np.random.default_rng(0).normal(size=60)
    model = Ridge(alpha=2.0).fit(x[:50], y[:50])
    relabel = Influence.from_sklearn(model, x[:50], y[:50]).relabel(x[50:], measurement="prediction")
    assert relabel.values.shape == (10, 50, 1)
    for row in (0, 9):
        other = y[:50].copy()
        other[row] += 1.0
        change = Ridge(alpha=2.0).fit(x[:50], other).predict(x[50:]) - model.predict(x[50:])
        np.testing.assert_allclose(relabel.values[:, row, 0], change, rtol=1e-9, atol=1e-13)


def test_a_regressions_other_label_is_what_the_model_predicts() -> None:
    """Top moves each target to the prediction for its row, and refits with that (mean form, weighted)."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(160, 3)) * 0.5
    y = rng.poisson(np.exp(x @ np.array([0.5, -0.3, 0.4]) + 1.0)).astype(float)
    weight = rng.integers(1, 4, size=150).astype(float)
    fitted = PoissonRegressor(alpha=0.01, tol=1e-12, max_iter=1000).fit(x[:150], y[:150], weight)
    relabel = Influence.from_sklearn(fitted, x[:150], y[:150], sample_weight=weight).relabel(
        x[150:], y[150:], measurement="prediction"
    )
    for record in relabel.top(3, query=2).to_dict("records"):
        other = y[:150].copy()
        other[record["row"]] = fitted.predict(x[[record["row"]]])[0]
        assert record["other label"] == pytest.approx(other[record["row"]], rel=1e-6)
        refitted = clone(fitted).fit(x[:150], other, weight)
        change = refitted.predict(x[[152]])[0] - fitted.predict(x[[152]])[0]
        assert record["refit"] == pytest.approx(change, rel=1e-4)
        assert record["estimate"] == pytest.approx(change, rel=0.1)


def kind(case: Case) -> tuple[Any, ...]:
    """What makes a case another objective in its labels: the estimator, its loss, class weights, classes or targets."""
    estimator, y = case.make(), np.asarray(case.data().y)
    settings = estimator.get_params(deep=False)
    asked = tuple(str(settings.get(name)) for name in ("loss", "class_weight", "power"))
    return type(estimator), *asked, y.ndim, len(np.unique(y)) if y.dtype.kind not in "f" else 0


KINDS = {kind(case): case for case in ESTIMATORS}


@pytest.mark.parametrize("case", KINDS.values(), ids=lambda case: case.name)
def test_every_kind_of_estimator(case: Case) -> None:
    """Finite; own labels 0; a regression's slope is the central difference of refits in its target."""
    data = case.data()
    kwargs = {} if data.weight is None else {"sample_weight": data.weight}
    influence = Influence.from_sklearn(case.fit(), data.x, data.y, **kwargs)
    measurement = "margin" if influence.adapted.kind == "classification" else "loss"
    relabel = influence.relabel(data.x[:4], data.y[:4], measurement=measurement)
    assert np.isfinite(relabel.values).all()
    assert np.abs(relabel.values).max() > 0
    attribution: Any = influence.attribution
    rows = np.array([11, 40])
    if relabel.classes:
        assert (relabel.values[:, np.arange(len(relabel.codes)), relabel.codes] == 0.0).all()
        becomes = (relabel.codes[rows] + 1) % len(relabel.classes)
        assert relabel.refitter is not None
        real = relabel.refitter(rows.tolist(), becomes.tolist())
        if attribution.loss.smooth:  # else a kink may lie between the two labels
            size = np.abs(real).max()
            np.testing.assert_allclose(relabel.values[:, rows, becomes].T, real, rtol=0.6, atol=0.3 * size)
        return
    rows = np.argsort(np.asarray(attribution.targets).reshape(len(data.y), -1)[:, 0])[-2:]  # deviances need y > 0
    targets, h = np.asarray(attribution.targets)[rows], 1e-5 * float(np.std(attribution.targets))
    x = influence.adapted.read_query(data.x[:4])
    for t in range(relabel.values.shape[2]):
        step = h * (np.eye(relabel.values.shape[2])[t] if targets.ndim == 2 else 1.0)
        values = []
        for sign in (1.0, -1.0):
            states, _ = attribution.changed(Changed(rows, targets=targets + sign * step))
            z = attribution.outputs_at(states, x)
            y4 = np.asarray(attribution.targets)[:4]
            values.append(np.stack([attribution.loss.value(z[k], y4) for k in range(2)]))
        slope = (values[0] - values[1]) / (2.0 * h)
        size = np.abs(relabel.values).max()
        np.testing.assert_allclose(relabel.values[:, rows, t].T, slope, rtol=1e-4, atol=1e-5 * size)


@pytest.fixture(scope="module")
def relabelled() -> tuple[Influence, Relabel, pd.DataFrame]:
    """A table behind a scaler, with ids."""
    x, y = data(90, 3, seed=8)
    frame = pd.DataFrame(x, columns=list("abcd"), index=[f"r{i}" for i in range(90)])
    model = make_pipeline(StandardScaler(), LogisticRegression(**EXACT)).fit(frame, y)
    influence = Influence.from_sklearn(model, frame, y)
    return influence, influence.relabel(frame[:3], y[:3]), frame


def test_what_is_shown(relabelled: tuple[Influence, Relabel, pd.DataFrame]) -> None:
    """Top, frame, print and notebook hold the user's ids, labels and columns; kinds follow what is good."""
    _, relabel, frame = relabelled
    top = relabel.top(4, query=1)
    assert list(top.columns) == ["row", "label", "other label", "estimate", "refit", "a", "b", "c", "d"]
    assert (np.abs(top["estimate"]).diff().dropna() <= 0).all()
    assert top["row"].is_unique
    for record in top.to_dict("records"):
        at, k = frame.index.get_loc(record["row"]), relabel.classes.index(record["other label"])
        assert record["estimate"] == relabel.values[1, at, k]
    assert (relabel.top(5, kind="harmful")["estimate"] < 0).all()
    assert (relabel.top(5, kind="helpful")["estimate"] > 0).all()
    long = relabel.to_frame()
    assert list(long.columns) == ["query", "row", "label", "becomes", "estimate"]
    assert len(long) == relabel.values.size
    line = long[(long["query"] == 2) & (long["row"] == "r7") & (long["becomes"] == "bee")]
    assert line["estimate"].item() == relabel.values[2, 7, 1]
    for text in (str(relabel), relabel._repr_html_()):
        assert "other label" in text
        assert "r" in text
    assert "label became that class" in relabel.meaning
    assert "without a leverage correction" in relabel.how
    assert relabel.grade.letter in "ABC"


def test_a_parameter_needs_no_query(relabelled: tuple[Influence, Relabel, pd.DataFrame]) -> None:
    """parameter:NAME is linear in itself: [1, n, c]."""
    influence, _, _ = relabelled
    found = influence.relabel(measurement="parameter:bee/b")
    assert found.values.shape == (1, 90, 3)
    assert found.top(2)["refit"].notna().all()


def test_refusals(relabelled: tuple[Influence, Relabel, pd.DataFrame]) -> None:
    """A function of predictions, a label that is no class, no label in a regression, kinds and queries not there."""
    influence, relabel, frame = relabelled
    with pytest.raises(UnsupportedQuestion, match="function of all predictions at once"):
        influence.relabel(frame[:3], None, measurement=lambda p, y: 0.0)
    with pytest.raises(InputError, match="y_query holds 1 label that the model was not fitted on"):
        influence.relabel(frame[:2], ["ant", "dog"])
    with pytest.raises(InputError, match="query 3 is not there: these answers hold 3 queries"):
        relabel.top(query=3)
    with pytest.raises(InputError, match="kind 'raises' is not one of 'helpful', 'harmful', 'both'"):
        relabel.top(kind="raises")
    x = frame.to_numpy()
    ridge = Influence.from_sklearn(Ridge().fit(x, x[:, 0]), x, x[:, 0])
    with pytest.raises(MeasurementError, match="the loss of a regression needs y_query"):
        ridge.relabel(x[:2])
    y = np.where(x[:, 0] > 0, 1, 0)
    model = LogisticRegression(class_weight={0: 0.0, 1: 1.0}).fit(x, y)
    with pytest.raises(UnsupportedQuestion, match="class 0 has class_weight 0"):
        Influence.from_sklearn(model, x, y).relabel(x[:2], y[:2])
