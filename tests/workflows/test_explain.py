"""An explanation's numbers, each against a fit of scikit-learn's own from nothing."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_diabetes, load_iris
from sklearn.linear_model import LogisticRegression, Ridge

from upweight import Influence
from upweight.display.words import verdict
from upweight.validation.grade import Grade
from upweight.workflows import overall as module
from upweight.workflows.explain import explain, worst
from upweight.workflows.explanation import Explanation
from upweight.workflows.measured import chosen
from upweight.workflows.overall import harmful_overall

KEPT, ASKED = 100, 8


@pytest.fixture(scope="module")
def numbers() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = load_diabetes(return_X_y=True)
    return 20.0 * x[: KEPT + ASKED], y[: KEPT + ASKED]


@pytest.fixture(scope="module")
def ridge(numbers: tuple[Any, Any]) -> Influence:
    x, y = numbers
    frame = pd.Series(y[:KEPT], name="progression")
    return Influence.from_sklearn(Ridge(alpha=5.0).fit(x[:KEPT], frame), x[:KEPT], frame)


@pytest.fixture(scope="module")
def explained(numbers: tuple[Any, Any], ridge: Influence) -> Explanation:
    x, y = numbers
    held_out = (x[KEPT:], y[KEPT:])
    return explain(ridge, x[KEPT : KEPT + 3], y[KEPT : KEPT + 3], held_out=held_out, check_rows=8)


def without(x: Any, y: Any, row: int) -> Ridge:
    kept = np.setdiff1d(np.arange(KEPT), [row])
    return Ridge(alpha=5.0).fit(x[kept], y[kept])


def test_what_is_shown_of_a_number_is_a_real_change_of_its_error(numbers: Any, explained: Explanation) -> None:
    """|prediction − truth| after a cold refit without the row, less the same now; in the target's unit."""
    x, y = numbers
    full = Ridge(alpha=5.0).fit(x[:KEPT], y[:KEPT])
    for i, prediction in enumerate(explained.predictions):
        query, truth = x[[KEPT + i]], y[KEPT + i]
        now = abs(full.predict(query)[0] - truth)
        assert prediction.now == pytest.approx(now, rel=1e-9)
        assert prediction.unit == "progression"
        for effect in (*prediction.for_it, *prediction.against, *prediction.nearest):
            real = abs(without(x, y, effect.id).predict(query)[0] - truth) - now
            assert effect.refit.change == pytest.approx(real, rel=1e-6, abs=1e-9)
            assert effect.estimate.change == pytest.approx(real, rel=1e-6, abs=1e-9)  # exact for ridge


def test_rows_are_the_ones_that_matter_most(numbers: Any, explained: Explanation) -> None:
    """No other row's removal lowers or raises the error more; helpful and harmful say which way."""
    x, y = numbers
    query, truth = x[[KEPT]], y[KEPT]
    now = abs(Ridge(alpha=5.0).fit(x[:KEPT], y[:KEPT]).predict(query)[0] - truth)
    changes = np.array([abs(without(x, y, row).predict(query)[0] - truth) - now for row in range(KEPT)])
    prediction = explained.predictions[0]
    assert [e.id for e in prediction.against] == np.argsort(changes)[:3].tolist()
    assert [e.id for e in prediction.for_it] == np.argsort(-changes)[:3].tolist()
    assert {e.verdict for e in prediction.against} == {"harmful"}
    assert {e.verdict for e in prediction.for_it} == {"helpful"}


def test_harm_to_all_is_the_mean_over_the_held_out_rows(numbers: Any, explained: Explanation) -> None:
    """The mean error of the held-out rows after a cold refit, less the same now."""
    x, y = numbers
    overall = explained.overall
    assert overall is not None
    now = np.abs(Ridge(alpha=5.0).fit(x[:KEPT], y[:KEPT]).predict(x[KEPT:]) - y[KEPT:]).mean()
    assert overall.now == pytest.approx(now, rel=1e-9)
    real = np.array([np.abs(without(x, y, r).predict(x[KEPT:]) - y[KEPT:]).mean() - now for r in range(KEPT)])
    assert [e.id for e in overall.rows] == np.argsort(real)[:5].tolist()
    assert [e.refit.change for e in overall.rows] == pytest.approx(np.sort(real)[:5], rel=1e-6)


def test_harm_is_measured_on_a_sample_where_all_would_not_fit(
    numbers: Any, ridge: Influence, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number drawn and the number there are both told; the same seed draws the same."""
    x, y = numbers
    many, truth = np.tile(x[KEPT:], (20, 1)), np.tile(y[KEPT:], 20)
    monkeypatch.setattr(module, "CELLS", 60.0 * KEPT)
    found = harmful_overall(ridge, many, truth, seed=3)
    assert (found.queries, found.held_out) == (60, 160)
    assert found.now == harmful_overall(ridge, many, truth, seed=3).now


def test_nearest_rows_are_nearest(numbers: Any, explained: Explanation) -> None:
    """By the cosine of the features (with the intercept's one), 1 for the row itself."""
    x, _ = numbers
    ones = np.column_stack([x, np.ones(len(x))])
    ones /= np.linalg.norm(ones, axis=1)[:, None]
    cosine = ones[:KEPT] @ ones[KEPT]
    nearest = explained.predictions[0].nearest
    assert [e.id for e in nearest] == np.argsort(-cosine)[:3].tolist()
    assert nearest[0].similarity == pytest.approx(cosine.max())


@pytest.fixture(scope="module")
def flowers() -> tuple[Influence, NDArray[np.float64], NDArray[Any]]:
    """Iris with names for labels: 100 rows to learn from, the rest to ask about."""
    x, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    order = np.random.default_rng(0).permutation(150)
    x, names = x[order], names[order]
    model = LogisticRegression(C=1.0, tol=1e-9, max_iter=1000).fit(x[:100], names[:100])
    return Influence.from_sklearn(model, x[:100], names[:100]), x[100:], names[100:]


def test_flip_goes_to_the_truth_where_the_model_is_wrong(flowers: Any) -> None:
    """A wrong class is explained by the rows without which it would be right; else any other class will do."""
    influence, x, y = flowers
    wrong = worst(influence, x, y, 1)
    found = explain(influence, x[wrong], y[wrong], check_rows=4).predictions[0]
    assert found.wrong
    assert found.flip is not None
    assert found.flip.found
    assert found.flip.after == found.truth
    right = next(i for i in range(len(x)) if influence.without(found.flip.rows).model.predict(x[[i]])[0] == y[i])
    other = explain(influence, x[[right]], y[[right]], check_rows=4).predictions[0]
    assert other.flip is not None
    assert not other.flip.found or other.flip.after != other.says


def test_worst_are_those_with_most_loss(flowers: Any) -> None:
    """By the model's own probabilities."""
    influence, x, y = flowers
    model = influence.adapted.rebuild(influence.adapted.objective.params.vector)
    p = model.predict_proba(x)[np.arange(len(y)), np.searchsorted(model.classes_, y)]
    assert worst(influence, x, y, 4) == np.argsort(p, kind="stable")[:4].tolist()


def test_unknown_truth_beside_a_known_one(flowers: Any) -> None:
    """Each prediction is measured with what is known of it."""
    influence, x, y = flowers
    truth = pd.Series([y[0], None], dtype=object)
    found = explain(influence, x[:2], truth, check_rows=4)
    assert [p.truth for p in found.predictions] == [y[0], None]
    assert found.predictions[1].now == pytest.approx(-np.log(found.predictions[1].sure or 0.0))


@pytest.mark.parametrize(
    ("given", "kind", "known", "name"),
    [
        (None, "classification", False, "loss"),
        (None, "regression", True, "the error"),
        (None, "regression", False, "prediction"),
        ("margin", "classification", True, "margin"),
    ],
)
def test_measurement_is_chosen_by_what_is_known(given: str | None, kind: str, known: bool, name: str) -> None:
    """The user's own, else the one that can be read."""
    assert chosen(given, kind, known) == name


def test_verdict_is_by_the_refit(explained: Explanation) -> None:
    """What a person reads is the real removal; the estimate only where there is none."""
    effect = explained.predictions[0].against[0]
    assert effect.shown is effect.refit
    assert effect.verdict == verdict(effect.refit)


def test_fault_of_the_fit_outlives_the_refit(numbers: Any, ridge: Influence) -> None:
    """A model that was not fitted on these rows stays a D."""
    x, y = numbers
    said = "the training gradient is 0.4: these are not the rows"
    found = explain(ridge, x[KEPT : KEPT + 1], y[KEPT : KEPT + 1], check_rows=6, mismatch=said)
    assert found.grade.letter == "D"
    assert found.grade.reasons[0] == said
    assert isinstance(found.check.grade, Grade)
