"""Groups and weights on every estimator: estimates against refits, callables, words, and what cannot be answered."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import recall_score, roc_auc_score

from tests.adapters.cases import ESTIMATORS, Case
from upweight import Influence
from upweight.errors import InputError, MeasurementError

GROUP = [3, 11, 31, 47, 66, 70, 81, 88]


def opened(case: Case) -> tuple[Influence, Any]:
    """A case's fit."""
    data = case.data()
    return Influence.from_sklearn(case.fit(), data.x, data.y, data.weight), data


@pytest.mark.parametrize("case", ESTIMATORS, ids=lambda case: case.name)
def test_group_newton_agrees_with_refits(case: Case) -> None:
    """Eight of ninety rows: exact on a quadratic loss in every normalisation, else nearer than the plain sum."""
    influence, data = opened(case)
    queries = (0.6 * data.x[:6], data.y[:6])
    effect = influence.group(GROUP, *queries).refit()
    assert effect.truth is not None
    assert np.isfinite(effect.truth).all()
    size = np.linalg.norm(effect.truth)
    error = np.linalg.norm(effect.estimate - effect.truth)
    loss = influence.attribution.loss
    if loss.concordance == 0:
        l1 = any(word in case.name for word in ("lasso", "elastic"))  # a coefficient may have left the support
        assert error <= (0.2 if l1 else 1e-8) * size
    elif loss.smooth:
        assert error <= 0.15 * size  # where nothing is penalised and labels lean; a hundredth elsewhere
        assert error <= 0.5 * np.linalg.norm(effect.plain - effect.truth)
    if case.kinks:  # along the exact path, where rows alone do not add up
        assert error <= 1e-8 * size
    else:
        assert np.linalg.norm(effect.leverage_sum - effect.truth) <= size


@pytest.mark.parametrize("case", ESTIMATORS[::2], ids=lambda case: case.name)
def test_a_single_row_is_its_score(case: Case) -> None:
    """One row's group is its leverage-corrected score, evaluated as scores are; its plain sum the first-order score."""
    influence, data = opened(case)
    effect = influence.group([11], 0.6 * data.x[:3], data.y[:3])
    score = influence.scores(0.6 * data.x[:3], data.y[:3]).values[:, 11]
    first = influence.scores(0.6 * data.x[:3], data.y[:3], removal="first_order").values[:, 11]
    shares = np.ptp(influence.adapted.objective.shares)
    assert np.allclose(effect.leverage_sum, score, rtol=1e-7, atol=1e-12)
    assert np.allclose(effect.plain, first, rtol=1e-7, atol=1e-12)
    if influence.attribution.exact and shares == 0:
        assert np.allclose(effect.estimate, score, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("case", [c for c in ESTIMATORS if c.normalization != "sum"], ids=lambda c: c.name)
def test_weights_in_the_mean_form_agree_with_refits(case: Case) -> None:
    """Factors 0, a half and 2 at once: the divisor follows, the estimate stays with the refit."""
    influence, data = opened(case)
    factors = [0.0, 0.5, 2.0, 2.0, 0.5, 0.0, 0.0, 2.0]
    effect = influence.reweight(GROUP, factors, 0.6 * data.x[:6], data.y[:6]).refit()
    assert effect.truth is not None
    error, size = np.linalg.norm(effect.estimate - effect.truth), np.linalg.norm(effect.truth)
    assert error <= (0.1 if influence.attribution.loss.smooth else 0.5) * size


def iris() -> tuple[Influence, Any, Any]:
    """Two classes that overlap."""
    x, y = load_iris(return_X_y=True)
    x, y = x[50:, :2], np.array(["red", "blue"])[y[50:] - 1]
    return Influence.from_sklearn(LogisticRegression().fit(x, y), x, y), x, y


def test_a_second_copy_is_a_row_more() -> None:
    """Factor 2 refits to what the user's class fits on the table with the rows twice."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(40, 3))
    y = x @ [1.0, -2.0, 0.5] + rng.normal(size=40)
    influence = Influence.from_sklearn(Ridge(alpha=2.0).fit(x, y), x, y)
    effect = influence.reweight([4, 9], 2, x[:5], measurement="prediction").refit()
    twice = np.append(np.arange(40), [4, 9])
    expected = Ridge(alpha=2.0).fit(x[twice], y[twice]).predict(x[:5]) - Ridge(alpha=2.0).fit(x, y).predict(x[:5])
    assert effect.truth is not None
    assert np.allclose(effect.truth, expected, atol=1e-10)
    assert np.allclose(effect.estimate, expected, atol=1e-10)
    assert np.allclose(influence.reweight([4, 9], 0, x[:5], measurement="prediction").estimate, effect_of_removal(x, y))


def effect_of_removal(x: Any, y: Any) -> Any:
    """The same rows really gone."""
    left = np.delete(np.arange(40), [4, 9])
    return Ridge(alpha=2.0).fit(x[left], y[left]).predict(x[:5]) - Ridge(alpha=2.0).fit(x, y).predict(x[:5])


def test_sample_weights_multiply() -> None:
    """A factor acts on the weight that a row has; a row of weight 0 does nothing, whatever its factor."""
    _, x, y = iris()
    weight = np.where(np.arange(100) % 9 == 0, 0.0, np.linspace(0.5, 2.0, 100))
    weighed = Influence.from_sklearn(LogisticRegression().fit(x, y, sample_weight=weight), x, y, weight)
    anew = weight.copy()
    anew[[5, 17]] *= 3.0
    theirs = LogisticRegression(tol=1e-10, max_iter=5000).fit(x, y, sample_weight=anew)
    now = LogisticRegression(tol=1e-10, max_iter=5000).fit(x, y, sample_weight=weight)
    effect = weighed.reweight([5, 17], 3, x[:4], y[:4], "prob").refit()
    columns = [list(now.classes_).index(label) for label in y[:4]]
    expected = (theirs.predict_proba(x[:4]) - now.predict_proba(x[:4]))[range(4), columns]
    assert effect.truth is not None
    assert np.allclose(effect.truth, expected, atol=1e-6)
    nothing = weighed.reweight([0, 9], 5, x[:4], y[:4])
    assert np.abs(nothing.estimate).max() <= 1e-12


def auroc(predictions: Any, y: Any) -> float:
    """Area under the curve."""
    return float(roc_auc_score(y == "red", predictions[:, 1]))


def fairness_gap(predictions: Any, y: Any) -> float:
    """How much higher the mean prediction of the first half is."""
    return float(predictions[:50, 1].mean() - predictions[50:, 1].mean())


def recall_of_blue(predictions: Any, y: Any) -> float:
    """Of the true blue ones, the share that is found."""
    return float(recall_score(y == "blue", predictions[:, 0] > 0.5))


@pytest.mark.parametrize("function", [auroc, fairness_gap, recall_of_blue])
def test_functions_of_all_predictions(function: Any) -> None:
    """AUROC, a fairness gap, a recall: scores, a group and a check, evaluated at the predictions after removal."""
    influence, x, y = iris()
    scores = influence.scores(x, y, function)
    assert scores.values.shape == (1, 100)
    real = np.array([influence.group([i], x, y, function).refit().truth[0] for i in range(0, 100, 5)])  # type: ignore[index]
    assert np.abs(scores.values[0, ::5] - real).max() <= max(0.1 * np.abs(real).max(), 1e-3)
    effect = influence.group(range(0, 60, 4), x, y, function).refit()
    assert effect.truth is not None
    smallest_step = {"fairness_gap": 0.0, "auroc": 1 / 2500, "recall_of_blue": 1 / 50}[function.__name__]
    assert abs(effect.estimate[0] - effect.truth[0]) <= 0.05 * abs(effect.truth[0]) + smallest_step
    assert influence.check(x, y, function, rows=12).grade.letter in "ABCD"
    assert effect.measurement == function.__name__
    assert effect.better is None


def test_a_function_that_returns_no_number_is_refused() -> None:
    """By its name, with what it returned."""
    influence, x, y = iris()
    with pytest.raises(MeasurementError, match=r"(?s)'half'.*one finite number"):
        influence.group([1, 2], x, y, half)


def half(predictions: Any, y: Any) -> Any:
    """One number a query, where one for all is asked."""
    return predictions[:, 0] / 2


def test_a_parameter_moves_linearly() -> None:
    """No query; the estimate is the group's Newton step of that coefficient."""
    influence, _, _ = iris()
    effect = influence.group([3, 4, 5], measurement="parameter:x1").refit()
    assert effect.truth is not None
    assert effect.base[0] == pytest.approx(influence.adapted.objective.params.vector[1])
    assert effect.estimate[0] == pytest.approx(effect.truth[0], rel=0.02)


def test_words() -> None:
    """One sentence by the estimate, then by the refit; frames; both renderers; a factor is said."""
    influence, x, y = iris()
    effect = influence.group([57, 83], x[:2], y[:2])
    assert effect.sentence().startswith("Removing 2 rows (57 and 83) would ")
    assert effect.sentence().endswith((": helpful, as estimated.", ": harmful, as estimated."))
    assert "refit" not in effect.to_frame()
    known = effect.refit()
    assert known.refit() is known
    assert effect.refit() is known
    assert known.sentence().endswith("really refitted.")
    assert list(known.to_frame().columns) == ["query", "base", "estimate", "refit", "leverage_sum", "plain"]
    assert "if these 2 training rows were removed together" in known.meaning.replace(
        "these 2 rows", "these 2 training rows"
    )
    assert "proved: no output" in str(known)
    assert "<" in known._repr_html_()
    more = influence.reweight([57], 2, x[:1], y[:1])
    assert more.sentence().startswith("Weighing row 57 2 times as much would ")
    assert "helpful" not in more.sentence()
    assert "factor" in str(more)
    with pytest.raises(InputError, match="query 2 is not there"):
        effect.sentence(2)


def test_ids_are_the_users_own() -> None:
    """A DataFrame's index names the rows."""
    _, x, y = iris()
    table = pd.DataFrame(x, columns=["a", "b"], index=[f"r{i}" for i in range(100)])
    influence = Influence.from_sklearn(LogisticRegression().fit(table, y), table, y)
    assert influence.group(["r3", "r8"], table[:1]).rows == ("r3", "r8")


def test_a_whole_class_keeps_its_place() -> None:
    """Its rows leave, the class stays: said, the estimate finite, and the refit owns up to having no optimum."""
    x, y = load_iris(return_X_y=True)
    influence = Influence.from_sklearn(LogisticRegression(max_iter=1000).fit(x, y), x, y)
    effect = influence.group(range(50), x[:2], y[:2])
    assert np.isfinite(effect.estimate).all()
    assert any("all rows of class 0 leave: the class stays in the list" in text for text in effect.warnings)
    known = effect.refit()
    assert known.truth is not None
    assert np.isnan(known.truth).all()
    assert known.certificate is None
    assert any("no optimum was found without these rows" in text for text in known.warnings)
    assert known.to_frame()["refit"].tolist() == [None, None]
    assert "is not known (the refit found no optimum)." in known.sentence()
    some = influence.group(range(49), x[:2], y[:2])
    assert not any("class" in text for text in some.warnings)
    assert influence.adapted.rebuild(influence.attribution.refitted([range(49)])[0][0]).classes_.tolist() == [0, 1, 2]


def test_a_direction_that_the_rows_determine_has_no_answer() -> None:
    """A one-hot column of three rows, no penalty: named, and only what depends on it goes unanswered."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(40, 2)), columns=["age", "dose"])
    table["rare"] = (np.arange(40) < 3).astype(float)
    y = table.to_numpy() @ [1.0, 2.0, 3.0] + rng.normal(size=40)
    influence = Influence.from_sklearn(LinearRegression().fit(table, y), table, y)
    effect = influence.group([0, 1, 2, 7], table.iloc[[0, 20]], measurement="prediction").refit()
    assert effect.truth is not None
    assert np.isnan(effect.estimate[0])
    assert np.isnan(effect.truth[0])
    left = table.index.difference([0, 1, 2, 7])
    theirs = LinearRegression().fit(table.loc[left, ["age", "dose"]], y[left])
    before = LinearRegression().fit(table, y)
    expected = theirs.predict(table[["age", "dose"]].iloc[[20]]) - before.predict(table.iloc[[20]])
    assert effect.estimate[1] == pytest.approx(expected[0], rel=1e-8)
    assert effect.truth[1] == pytest.approx(expected[0], rel=1e-6)
    assert "these rows alone determine the coefficient of 'rare'" in str(effect).replace("\n    ", " ")
    named = influence.group([0, 1, 2], measurement="parameter:rare")
    assert np.isnan(named.estimate[0])
    assert "(these rows alone determine it)" in named.sentence()
    assert np.isfinite(influence.group([0, 1], measurement="parameter:rare").estimate).all()


def test_a_long_step_is_said() -> None:
    """Where one Newton step leaves much of the way, the effect says how much and asks for a refit."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(60, 2))
    y = (x[:, 0] + 0.4 * rng.normal(size=60) > 0).astype(int)
    influence = Influence.from_sklearn(LogisticRegression(C=100.0).fit(x, y), x, y)
    rows = np.flatnonzero((x[:, 0] > 0) & (x[:, 0] < 1.2))
    effect = influence.group(rows, x[:4], y[:4])
    assert effect.left > 0.25
    assert any("ask refit() for the truth" in text for text in effect.warnings)


@pytest.mark.parametrize(
    ("ask", "match"),
    [
        (lambda i, x: i.group(["nobody"], x), "no training row has the id 'nobody'"),
        (lambda i, x: i.group([], x), "0 rows of 100 to remove"),
        (lambda i, x: i.group(range(100), x), "100 rows of 100 to remove"),
        (lambda i, x: i.reweight(range(100), 0, x), "100 rows of 100 to remove"),
        (lambda i, x: i.reweight([], 2, x), "Name some"),
        (lambda i, x: i.group([1, 1], x), "a row is named more than once"),
        (lambda i, x: i.reweight([1], -1.0, x), r"factor holds -1.0\. Give numbers >= 0"),
        (lambda i, x: i.reweight([1, 2], [2.0, np.nan], x), "factor holds nan"),
        (lambda i, x: i.reweight([1, 2], [2.0, np.inf], x), "factor holds inf"),
        (lambda i, x: i.reweight([1, 2], [2.0], x), r"factor has shape \(1,\) for 2 rows"),
        (lambda i, x: i.reweight([1], "twice", x), "factor is 'twice'"),
        (lambda i, x: i.reweight([1, 2], 1, x), "factor 1 leaves every weight as it is"),
        (lambda i, x: i.group([1]), "needs X_query"),
    ],
)
def test_bad_input_is_refused(ask: Any, match: str) -> None:
    """What was seen, and what to give instead."""
    influence, x, _ = iris()
    with pytest.raises(InputError, match=match):
        ask(influence, x[:1])


def test_all_rows_may_weigh_more() -> None:
    """Nothing leaves: twice every row is half the penalty."""
    influence, x, y = iris()
    effect = influence.reweight(range(100), 2, x[:3], y[:3], "prob").refit()
    theirs = LogisticRegression(C=2.0, tol=1e-10, max_iter=5000).fit(x, y)
    now = LogisticRegression(tol=1e-10, max_iter=5000).fit(x, y)
    columns = [list(now.classes_).index(label) for label in y[:3]]
    expected = (theirs.predict_proba(x[:3]) - now.predict_proba(x[:3]))[range(3), columns]
    assert effect.truth is not None
    assert np.allclose(effect.truth, expected, atol=1e-6)
