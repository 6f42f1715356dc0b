"""What the model as a whole hangs on: found, really removed, beside other rows; and never called maximal."""

from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.adapters.cases import ESTIMATORS, Case
from upweight import Influence
from upweight.errors import InputError
from upweight.questions.on_set import as_predicted
from upweight.questions.own_solver import predictions_of
from upweight.removal.strongest import strongest_set


def planted(copies: int = 3) -> tuple[Influence, Any, Any]:
    """A ridge that leans on a few far rows of one accord."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(60, 2))
    y = x[:, 0] + 0.3 * rng.normal(size=60)
    x[:copies] = [[4.0, 4.0]] + 0.01 * rng.normal(size=(copies, 2))
    y[:copies] = -8.0
    return Influence.from_sklearn(Ridge(alpha=1.0).fit(x, y), x, y), x, y


def moved_without(x: Any, y: Any, rows: Any) -> float:
    """Root mean square move of the predictions of the rows that stay, by scikit-learn itself."""
    left = np.setdiff1d(np.arange(len(y)), rows)
    before, after = Ridge(alpha=1.0).fit(x, y), Ridge(alpha=1.0).fit(x[left], y[left])
    return float(np.sqrt(np.mean((after.predict(x[left]) - before.predict(x[left])) ** 2)))


@pytest.mark.parametrize("copies", [1, 2, 3])
def test_rows_of_one_accord_are_found_together(copies: int) -> None:
    """Twins that hide each other are all found, and the number is what scikit-learn's own refit says."""
    influence, x, y = planted(copies)
    found = influence.hangs_on(rows=copies)
    assert sorted(found.rows) == list(range(copies))
    assert found.found.moved == pytest.approx(moved_without(x, y, list(range(copies))), rel=1e-8)
    assert found.estimate.moved == pytest.approx(found.found.moved, rel=1e-8)
    assert found.found.changed is None
    assert (found.found.moved or 0.0) > max(one.moved or 0.0 for one in found.random)


def test_pairs_are_near_the_best_pair() -> None:
    """On forty rows, against every pair removed for real: at least nine tenths of the largest effect."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(24, 2))
    y = x @ [1.0, -1.0] + rng.standard_t(3, size=24)
    influence = Influence.from_sklearn(Ridge(alpha=1.0).fit(x, y), x, y)
    best = max(moved_without(x, y, list(pair)) for pair in combinations(range(24), 2))
    found = influence.hangs_on(rows=2).found.moved
    assert found is not None
    assert 0.9 * best <= found <= best * (1 + 1e-9)


@pytest.mark.parametrize("case", ESTIMATORS[::3], ids=lambda case: case.name)
def test_every_third_estimator(case: Case) -> None:
    """Three rows: moved more than any other set that was removed, by what its own class then predicts."""
    data = case.data()
    influence = Influence.from_sklearn(case.fit(), data.x, data.y, data.weight)
    x, y = 0.6 * data.x[:40], data.y[:40]
    found = influence.hangs_on(x, y, rows=3)
    assert len(found.rows) == 3
    assert found.found.moved is not None
    assert found.estimate.moved is not None
    others = [one.moved for one in (found.self_influence, *found.random) if one.moved is not None]
    assert found.found.moved >= max(others)
    if influence.attribution.loss.smooth:
        assert abs(found.estimate.moved - found.found.moved) <= 0.3 * found.found.moved
    attribution, adapted = influence.attribution, influence.adapted
    optimum = attribution.optimum(adapted.stationarity.polished)
    before = as_predicted(adapted, attribution, attribution.outputs_at(optimum[None], adapted.read_query(x))[0])
    after = predictions_of(adapted, influence.without(list(found.rows)).model, x)
    apart = np.abs(after - before)
    by_hand = 0.5 * apart.sum(axis=1).mean() if adapted.has_probability else np.sqrt(np.mean(apart**2))
    assert found.found.moved == pytest.approx(float(by_hand), rel=1e-6)
    assert (found.found.changed is None) == (adapted.kind == "regression")
    assert found.found.loss is not None
    assert np.isfinite(found.found.loss)


@cache
def iris(columns: int = 2) -> tuple[Influence, Any, Any]:
    """Three classes that overlap."""
    x, y = load_iris(return_X_y=True)
    x, y = x[:, :columns], np.array(["a", "b", "c"])[y]
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y)
    return Influence.from_sklearn(model, x, y), x, y


def test_classes_that_change_are_counted() -> None:
    """On the rows that stay, as the refitted pipeline predicts them; the mean loss too."""
    influence, x, y = iris()
    found = influence.hangs_on(rows=4)
    left = np.setdiff1d(np.arange(150), found.rows)
    now = influence.adapted.rebuild(influence.attribution.vector)
    then = influence.without(list(found.rows)).model
    assert found.found.changed == int(np.sum(now.predict(x[left]) != then.predict(x[left])))
    codes = np.searchsorted(["a", "b", "c"], y[left])
    loss = [-np.log(model.predict_proba(x[left])[np.arange(len(left)), codes]).mean() for model in (now, then)]
    assert found.found.loss == pytest.approx(loss[1] - loss[0], abs=1e-8)
    assert found.over == "rows that stay"
    assert found.predictions == 146


def test_ranked_once_is_nearly_as_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where ranking anew would take long the sum of moves is followed: a set of four fifths of the effect at least."""
    influence, _, _ = iris()
    anew = influence.hangs_on(rows=4)
    monkeypatch.setattr("upweight.questions.whole_model.ANEW_FLOPS", 0.0)
    once = influence.hangs_on(rows=4)
    assert "ranked once" in once.how
    assert "ranked anew" in anew.how
    assert once.found.moved is not None
    assert anew.found.moved is not None
    assert once.found.moved >= 0.8 * anew.found.moved


def test_many_parameters_look_at_some_predictions(monkeypatch: pytest.MonkeyPatch) -> None:
    """The metric is never a p × p matrix then; how says on how many predictions it ranked."""
    monkeypatch.setattr("upweight.questions.whole_model.DENSE", 1)
    monkeypatch.setattr("upweight.questions.whole_model.DIRECTIONS", 90)
    influence, _, _ = iris()
    found = influence.hangs_on(rows=4)
    assert "on 30 of 150 predictions drawn at random" in found.how
    assert found.found.moved is not None
    assert found.found.moved > max(one.moved or 0.0 for one in found.random)


def test_how_many_rows() -> None:
    """By default 1 % or 50, at least 1; a number; a share."""
    influence, _, _ = iris()
    assert len(influence.hangs_on().rows) == 1
    assert len(influence.hangs_on(rows=0.02).rows) == 3
    assert len(influence.hangs_on(rows=np.int64(2)).rows) == 2


@pytest.mark.parametrize("rows", [0, -1, 150, 1.5, 0.0, True, "many", np.nan])
def test_a_number_of_rows_that_there_cannot_be(rows: Any) -> None:
    """Named, with what to give."""
    influence, x, _ = iris()
    with pytest.raises(InputError, match=r"rows is .* Give how many rows to find, 1 to 149"):
        influence.hangs_on(x, rows=rows)


def test_labels_and_queries_have_to_match() -> None:
    """Both counts are said; no query at all too."""
    influence, x, y = iris()
    with pytest.raises(InputError, match="X_query has 3 rows and y_query 2"):
        influence.hangs_on(x[:3], y[:2])
    with pytest.raises(InputError, match="X_query has no rows"):
        influence.hangs_on(x[:0])


def test_the_last_of_a_class_stays() -> None:
    """A class with one member, and the only row of a column without a penalty, are never chosen."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40, 2))
    y = np.where(x[:, 0] > 0, "yes", "no")
    y[7] = "once"
    x[7] = 5.0
    model = LogisticRegression().fit(x, y)
    assert 7 not in Influence.from_sklearn(model, x, y).hangs_on(rows=5).rows
    table = np.column_stack([x, np.arange(40) == 9])
    target = x[:, 0] + 50.0 * table[:, 2] + 0.1 * rng.normal(size=40)
    found = Influence.from_sklearn(LinearRegression().fit(table, target), table, target).hangs_on(rows=5)
    assert 9 not in found.rows
    assert found.found.moved is not None


def test_the_same_seed_gives_the_same_rows() -> None:
    """Random rows too; another seed draws others."""
    influence, _, _ = iris()
    first, again, other = (influence.hangs_on(rows=3, seed=seed) for seed in (0, 0, 1))
    assert [one.rows for one in first.random] == [one.rows for one in again.random]
    assert [one.rows for one in first.random] != [one.rows for one in other.random]
    assert first.rows == other.rows


def test_words() -> None:
    """A sentence that compares and does not boast; a table; the rows as a frame; both renderers."""
    influence, _, _ = planted()
    found = influence.hangs_on(rows=3)
    text = found.sentence
    assert text.startswith("Without 3 rows of 60 (")
    assert " the predictions of 57 rows that stay move by " in text
    assert "of their spread" in text
    assert "3 random rows move them by " in text
    assert text.endswith("Confirmed by a refit; no larger effect was found.")
    assert "maximal" not in str(found)
    assert "<" in found._repr_html_()
    frame = found.to_frame()
    assert list(frame.columns) == ["row", "label", "x0", "x1"]
    assert frame["row"].tolist() == list(found.rows)
    one = planted(1)[0].hangs_on(rows=1).sentence
    assert "1 random row moves them by" in one
    assert "that of largest self-influence moves them by" in one
    classes = iris()[0].hangs_on(rows=4)
    assert "of them change" in classes.sentence
    assert "change class" in str(classes)


def test_queries_without_labels_have_no_loss() -> None:
    """The loss is left out, the moves stay; ids are the table's own."""
    _, x, y = iris()
    table = pd.DataFrame(x, columns=["l", "w"], index=[f"r{i}" for i in range(150)])
    influence = Influence.from_sklearn(LogisticRegression().fit(table, y), table, y)
    found = influence.hangs_on(table[:20], rows=2)
    assert found.found.loss is None
    assert all(str(row).startswith("r") for row in found.rows)
    assert "mean loss" not in found.sentence
    assert found.over == "queries"


def test_the_search_passes_over_what_must_stay() -> None:
    """A row without which there is no optimum is passed over; the search ends where nothing may leave."""
    value = np.array([5.0, 4.0, 3.0, 2.0])
    stays = np.array([False, False, True, False])
    found = strongest_set(4, lambda out: value, lambda out: stays, lambda out: 0 not in out)
    assert found == [1, 3]
