"""Audits of tables: every flip by scikit-learn's own refit from nothing, bounds to the bit, and what is refused."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.linear_model import Lasso, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures, StandardScaler
from sklearn.svm import SVC, LinearSVC

from upweight import Influence, audit
from upweight.errors import InputError, UnsupportedModel, UnsupportedQuestion
from upweight.workflows.audited import AlteredRow, Attack, Audit

EXACT: Any = {"tol": 1e-10, "max_iter": 10_000}


def cancer() -> tuple[pd.DataFrame, pd.Series]:
    """Five columns of digits as they were written down, 120 rows under ids p0 …"""
    x, y = load_breast_cancer(return_X_y=True, as_frame=True)
    x = x[["mean radius", "mean texture", "mean smoothness", "worst area", "worst concavity"]][:120]
    ids = [f"p{i}" for i in range(120)]
    return x.set_axis(ids), y[:120].set_axis(ids)


def irises() -> tuple[np.ndarray, np.ndarray]:
    x, y = load_iris(return_X_y=True)
    return x, np.asarray(["setosa", "versicolor", "virginica"])[y]


def mixed() -> tuple[pd.DataFrame, pd.Series]:
    """Numbers beside words and a column of two values."""
    x, y = cancer()
    rng = np.random.default_rng(0)
    return x.assign(ward=rng.choice(["a", "b", "c"], 120), male=rng.integers(0, 2, 120)), y


def scaled(**settings: Any) -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression(**EXACT, **settings))


def columns() -> Any:
    numbers = ["mean radius", "mean texture", "mean smoothness", "worst area", "worst concavity", "male"]
    steps = ColumnTransformer([("n", StandardScaler(), numbers), ("w", OneHotEncoder(), ["ward"])])
    return make_pipeline(steps, LogisticRegression(**EXACT))


CASES: dict[str, tuple[Any, Any, Any]] = {
    "pipeline": (cancer, scaled, {"mean radius": 1.0, "worst area": 200.0, "worst concavity": 0.1}),
    "softmax": (irises, lambda: LogisticRegression(**EXACT), 0.3),
    "columns": (mixed, columns, {"mean radius": 1.0, "worst area": 200.0, "worst concavity": 0.1}),
    "curved": (cancer, lambda: make_pipeline(StandardScaler(), PolynomialFeatures(2), LogisticRegression(**EXACT)),
               {"mean radius": 1.0, "worst area": 200.0}),
    "squared hinge": (cancer, lambda: make_pipeline(StandardScaler(), LinearSVC(C=0.1, tol=1e-10, max_iter=100_000)),
                      {"mean radius": 2.0, "worst area": 400.0, "worst concavity": 0.2}),
}  # fmt: skip


def split(x: Any, y: Any, model: Any, queries: int = 4) -> tuple[Any, Any, Any, Any]:
    """The rows nearest to the boundary asked about, the model fitted on the others."""
    margin = model.fit(x, y).decision_function(x)
    near = np.abs(margin) if margin.ndim == 1 else -np.partition(margin, -2, axis=1)[:, -2] + margin.max(axis=1)
    asked = np.argsort(near, kind="stable")[:queries]
    kept = np.setdiff1d(np.arange(len(x)), asked)
    take = (lambda a, at: a.iloc[at]) if hasattr(x, "iloc") else (lambda a, at: a[at])
    return take(x, kept), take(y, kept), take(x, asked), take(y, asked)


def with_altered(x: Any, altered: tuple[AlteredRow, ...]) -> Any:
    """The whole training table with the changed cells, written by hand."""
    other = x.copy()
    for one in altered:
        for name, value in zip(one.columns, one.after, strict=True):
            if isinstance(x, pd.DataFrame):
                other[name] = other[name].astype(float)
                other.loc[one.row, name] = value
            else:
                other[one.row, int(name[1:])] = value
    return other


@pytest.fixture(scope="module", params=CASES)
def case(request: Any) -> dict[str, Any]:
    make, model, within = CASES[request.param]
    x, y, x_query, _ = split(*make(), model(), 3)
    model = model().fit(x, y)
    before = x.copy()
    found = audit(model, x, y, x_query, rows=(1, 3), within=within, defences=(), steps=30, tries=2)
    assert before.equals(x) if isinstance(x, pd.DataFrame) else np.array_equal(before, x)
    return {"x": x, "y": y, "x_query": x_query, "model": model, "within": within, "found": found}


def test_every_flip_is_a_refit_from_nothing(case: dict[str, Any]) -> None:
    """scikit-learn fits the altered table from nothing, preprocessing frozen, and says the other label."""
    found: Audit = case["found"]
    assert found.flips() >= 1
    for a in found.attacks:
        query = case["x_query"][a.query : a.query + 1]
        assert case["model"].predict(query)[0] == a.says == a.label
        assert a.confirmed
        assert a.flipped == (a.after < 0) == (a.says_after != a.says)
        other = with_altered(case["x"], a.altered)
        stages, last = case["model"][:-1] if hasattr(case["model"], "steps") else None, case["model"]
        last = clone(last[-1] if stages is not None else last)
        read = (lambda t, stages=stages: stages.transform(t)) if stages is not None else (lambda t: t)
        last.fit(read(other), case["y"])
        assert last.predict(read(query))[0] == a.says_after
        margin = last.decision_function(read(query))[0]
        size = np.abs(margin) if np.ndim(margin) == 0 else np.diff(np.sort(margin)[-2:])[0]
        assert size == pytest.approx(abs(a.after), abs=2e-5)
        model = found.refit(a.query).model
        assert type(model) is type(case["model"])
        assert model.predict(query)[0] == a.says_after


def test_bounds_and_limits_hold_to_the_bit(case: dict[str, Any]) -> None:
    """No cell is further than it may be, nor outside what its column holds; labels and words stay."""
    x, within = case["x"], case["within"]
    for a in case["found"].attacks:
        for one in a.altered:
            for name, before, after in zip(one.columns, one.before, one.after, strict=True):
                column = x[name] if isinstance(x, pd.DataFrame) else x[:, int(name[1:])]
                here = x.loc[one.row, name] if isinstance(x, pd.DataFrame) else x[one.row, int(name[1:])]
                assert here == before
                assert abs(after - before) <= (within[name] if isinstance(within, dict) else within)
                assert column.min() <= after <= column.max()


def test_more_rows_do_at_least_as_much(case: dict[str, Any]) -> None:
    """What one row flips, one row is enough for; the numbers of rows used are those allowed."""
    found: Audit = case["found"]
    assert found.flips(1) <= found.flips(3) == found.flips()
    assert {a.rows for a in found.attacks} <= {1, 3, None}
    ranked = [a.rows for a in found.ranked if a.flipped]
    assert ranked == sorted(ranked, key=lambda k: k or 0)
    frame = found.to_frame()
    assert len(frame) == len(found.attacks)
    first = found.ranked[0]
    cells = found.altered(first.query)
    assert set(cells["row"]) == {one.row for one in first.altered}
    assert len(cells) == sum(one.moved for one in first.altered)
    assert "○" in str(found) or "changed" in str(found)


def test_the_promise_is_the_slope_of_real_refits() -> None:
    """`promised` is the fall of the margin per bound, as the bound goes to 0; the rows of largest promise lead."""
    x, y, x_query, _ = split(*cancer(), scaled(), 1)
    model = scaled().fit(x, y)
    small = {"mean radius": 1e-3, "worst area": 0.1}
    a: Attack = audit(model, x, y, x_query, within=small, defences=(), tries=1, steps=25).attacks[0]
    assert a.before - a.after == pytest.approx(a.promised, rel=1e-3)
    frame = audit(model, x, y, x_query, within=small, defences=()).rows()
    assert frame["effect"].is_monotonic_decreasing
    influence = Influence.from_sklearn(model, x, y)
    effects = influence.features(x_query, rows=list(x.index), measurement="margin").values[0]
    reach = np.asarray([small.get(name, 0.0) for name in x.columns])
    low, high = x.min().to_numpy(), x.max().to_numpy()
    here = x.to_numpy()
    sign = 1.0  # the margin is of what the model says
    fall = np.where(sign * effects > 0, np.minimum(reach, here - low), np.minimum(reach, high - here))
    expected = pd.Series((fall * np.abs(effects)).sum(axis=1), index=x.index).sort_values(ascending=False)
    np.testing.assert_allclose(frame["effect"][:20], expected[:20], rtol=1e-6)


def test_half_a_step_is_undone_by_storing_it_again() -> None:
    """The default bound is below the rounding of each column: re-encoded, the table is the table it was."""
    x, y, x_query, _ = split(*cancer(), scaled(), 3)
    coarse = x.round(
        {"mean radius": 0, "mean texture": 0, "mean smoothness": 2, "worst area": -2, "worst concavity": 1}
    )
    model = scaled(C=100.0).fit(coarse, y)
    found = audit(model, coarse, y, x_query, rows=10, defences=("encoded", "levels"), levels=(1, 2))
    for a in found.attacks:
        for one in a.altered:
            for name, before, after in zip(one.columns, one.before, one.after, strict=True):
                digits = {"mean smoothness": 2, "worst concavity": 1}.get(name, 0)
                assert np.round(after, digits) == before
    table = found.defences.set_index("kind")
    assert found.flips() > 0
    assert table.loc["none", "flipped"] == found.flips() == table.loc["encoded", "of"]
    assert table.loc["encoded", "flipped"] == 0
    assert list(table.loc["levels", "flipped"]) == sorted(table.loc["levels", "flipped"])


def test_a_bound_of_half_a_step_given_by_hand_has_no_ties() -> None:
    """within = precision / 2 stays below the tie, so that rounding always finds the way back."""
    x, y, x_query, _ = split(*irises(), LogisticRegression(**EXACT))
    model = LogisticRegression(**EXACT).fit(x, y)
    found = audit(model, x, y, x_query, rows=10, within=0.05, precision=0.1, defences=())
    for a in found.attacks:
        for one in a.altered:
            np.testing.assert_allclose(np.round(one.after / 0.1) * 0.1, one.before, rtol=1e-12)
            assert one.moved > 0


def test_together_moves_the_mean_loss_and_counts_by_refit() -> None:
    """One change against all queries: the loss rises, the flips are those of scikit-learn's own refit."""
    x, y, x_query, y_query = split(*cancer(), scaled(), 12)
    model = scaled().fit(x, y)
    wide = {"mean radius": 2.0, "worst area": 400.0, "worst concavity": 0.2}
    found = audit(
        model, x, y, x_query, y_query, rows=(1, 8), within=wide, together=True, defences=("penalty", "leverage")
    )
    right = model.predict(x_query) == y_query.to_numpy()
    one, eight = found.together
    assert found.attacks == ()
    assert eight.loss_after > one.loss_after > one.loss_before
    assert one.loss_before == eight.loss_before
    for joint in found.together:
        assert np.array_equal(joint.attacked, right)
        last = clone(model[-1]).fit(model[:-1].transform(with_altered(x, joint.altered)), y)
        says = last.predict(model[:-1].transform(x_query))
        assert np.array_equal(joint.flipped, right & (says != y_query.to_numpy()))
        margin = last.decision_function(model[:-1].transform(x_query)) * np.where(y_query == 1, 1.0, -1.0)
        np.testing.assert_allclose(joint.after, margin, atol=1e-6)
    assert eight.flips > 0
    assert len(found.altered(rows=1)["row"].unique()) == 1
    assert len(found.altered()["row"].unique()) == 8
    assert list(found.defences["kind"]) == ["none", "penalty", "leverage"]
    assert "together" in str(found) or "all predictions" in str(found)


def test_defences_are_real_refits() -> None:
    """The two defences that fit anew, a second way: scikit-learn with that penalty, or without those rows."""
    x, y, x_query, _ = split(*cancer(), scaled(), 3)
    model = scaled().fit(x, y)
    wide = {"mean radius": 1.5, "worst area": 300.0, "worst concavity": 0.15}
    found = audit(model, x, y, x_query, rows=3, within=wide, defences=("penalty", "leverage"))
    stages, flips = model[:-1], [a for a in found.attacks if a.flipped]
    leverages = Influence.from_sklearn(model, x, y).attribution.leverages()
    kept = np.sort(np.argsort(-leverages, kind="stable")[1:])
    counts = {"penalty": 0, "leverage": 0}
    for a in flips:
        query = stages.transform(x_query[a.query : a.query + 1])
        other = stages.transform(with_altered(x, a.altered))
        plain = stages.transform(x)
        for kind, c, rows in (("penalty", 0.1, np.arange(len(x))), ("leverage", 1.0, kept)):
            fits = [LogisticRegression(**EXACT, C=c).fit(z[rows], y.iloc[rows]) for z in (plain, other)]
            before, after = (fit.predict(query)[0] for fit in fits)
            counts[kind] += int(before == a.label and after != a.label)
    table = found.defences.set_index("kind")
    assert found.flips() == len(flips) > 0
    assert {kind: int(table.loc[kind, "flipped"]) for kind in counts} == counts


def test_what_is_said_already_is_not_attacked() -> None:
    """A query whose label the model does not say keeps its margin, with the reason."""
    x, y, x_query, _ = split(*irises(), LogisticRegression(**EXACT))
    model = LogisticRegression(**EXACT).fit(x, y)
    wrong = np.where(model.predict(x_query) == "virginica", "versicolor", "virginica")
    found = audit(model, x, y, x_query, wrong, within=0.3, defences=())
    assert all(a.note and not a.flipped and a.before < 0 and not a.altered for a in found.attacks)
    assert found.flips() == 0


def test_a_regression_moves_and_does_not_flip() -> None:
    """Away from the truth where it is given; the number is scikit-learn's own refit's."""
    x, y = load_diabetes(return_X_y=True, as_frame=True)
    model = Ridge(0.1).fit(x[10:], y[10:])
    for truth in (None, y[:3]):
        found = audit(model, x[10:], y[10:], x[:3], truth, rows=(1, 4), within=0.02)
        assert found.measurement == "prediction"
        for a in found.attacks:
            now = model.predict(x[a.query : a.query + 1])[0]
            after = clone(model).fit(with_altered(x[10:], a.altered), y[10:]).predict(x[a.query : a.query + 1])[0]
            assert (a.before, a.after) == (pytest.approx(now), pytest.approx(after))
            assert not a.flipped
            if truth is not None:
                assert (after - now) * (now - truth.iloc[a.query]) > 0
            assert abs(after - now) == pytest.approx(a.promised, rel=0.5)
        assert found.defences.empty
        assert "Prediction" in str(found)


def test_planted_rows_are_what_it_finds() -> None:
    """Five rows that weigh forty times as much as others: one change of them is found against all queries at once."""
    x, y = cancer()
    order = np.argsort(np.abs(scaled().fit(x, y).decision_function(x)))
    planted, weights = order[6:11], np.ones(len(x))
    weights[planted] = 40.0
    model = scaled().fit(x, y, logisticregression__sample_weight=weights)
    near = order[:6]
    wide = {"mean radius": 2.0, "worst area": 400.0, "worst concavity": 0.2}
    influence = Influence.from_sklearn(model, x, y, weights)
    found = audit(influence, X_query=x.iloc[near], rows=5, within=wide, together=True, defences=(), steps=40)
    assert {one.row for one in found.together[0].altered} == {f"p{i}" for i in planted}
    assert found.together[0].flips > 0
    assert set(found.rows(5)["row"]) == {f"p{i}" for i in planted}
    last = clone(model[-1]).fit(
        model[:-1].transform(with_altered(x, found.together[0].altered)), y, sample_weight=weights
    )
    says = last.predict(model[:-1].transform(x.iloc[near]))
    assert np.array_equal(found.together[0].flipped, says != model.predict(x.iloc[near]))


X, Y = irises()
FITTED = LogisticRegression(**EXACT).fit(X, Y)
NAMED = pd.DataFrame(X, columns=["a", "b", "c", "d"])
NAMED_FIT = LogisticRegression(**EXACT).fit(NAMED, Y)
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no query": ({"X_query": None}, "audit needs X_query"),
    "empty": ({"X_query": X[:0]}, "X_query has no rows"),
    "rows 0": ({"rows": 0}, "rows is 0"),
    "rows text": ({"rows": "1"}, "rows is '1'"),
    "rows none": ({"rows": ()}, "rows is empty"),
    "rows all": ({"rows": 150}, "the model learnt from 150"),
    "steps": ({"steps": 0}, "steps is 0"),
    "tries": ({"tries": 0}, "tries is 0"),
    "defence": ({"defences": ("prayer",)}, "'prayer'"),
    "defence text": ({"defences": "encoded"}, "Give a list of 'encoded'"),
    "levels": ({"levels": (0,)}, "levels holds 0"),
    "within negative": ({"within": -1.0}, "within is -1.0"),
    "within zero": ({"within": 0.0}, "lets no cell move"),
    "within nan": ({"within": {"x1": float("nan")}}, "column 'x1'"),
    "within text": ({"within": {"x1": "much"}}, "Give a number"),
    "within unknown": ({"within": {"age": 1.0}}, "'age'"),
    "within shape": ({"within": np.ones(3)}, r"shape \[4\]"),
    "limits": ({"limits": 3}, "limits is 3"),
    "limits order": ({"limits": (9.0, 1.0)}, "start at 9.0 and end at 1.0"),
    "precision": ({"precision": np.inf}, "precision is inf"),
    "labels": ({"y_query": ["rose"]}, "rose"),
    "labels few": ({"y_query": ["setosa", "setosa"]}, "y_query 2"),
    "nobody": ({"together": True, "y_query": ["virginica"]}, "none to flip"),
}


@pytest.mark.parametrize("bad", BAD)
def test_bad_input_says_what_and_where(bad: str) -> None:
    """Each with its own sentence."""
    given, says = BAD[bad]
    with pytest.raises(InputError, match=says):
        audit(FITTED, X, Y, **{"X_query": X[:1], **given})


def test_what_cannot_be_audited_is_refused_by_name() -> None:
    """Hinges, kernels, L1, texts, sparse rows, regressions together; and rows that are not given, or given twice."""
    x, y = cancer()
    with pytest.raises(InputError, match="rows that the model was fitted on"):
        audit(FITTED, X_query=X[:1])
    with pytest.raises(InputError, match="knows its training rows"):
        audit(Influence.from_sklearn(FITTED, X, Y), X, Y, X[:1])
    with pytest.raises(UnsupportedModel, match="SVC has hinges"):
        audit(SVC(kernel="linear").fit(x, y), x, y, x[:1])
    with pytest.raises(UnsupportedQuestion, match="Lasso has an L1 penalty"):
        audit(Lasso(0.01).fit(x, y), x, y, x[:1])
    with pytest.raises(InputError, match="not attacked together"):
        audit(Ridge().fit(x, y), x, y, x[:1], together=True)
    table, labels = mixed()
    with pytest.raises(InputError, match="'ward', which is no column of numbers"):
        audit(columns().fit(table, labels), table, labels, table[:1], within={"ward": 1.0})
    words = table[["ward"]]
    reader = make_pipeline(OneHotEncoder(), LogisticRegression(**EXACT)).fit(words, labels)
    with pytest.raises(UnsupportedQuestion, match="no column of numbers reaches"):
        audit(reader, words, labels, words[:1])


def test_an_influence_and_named_columns() -> None:
    """An Influence in place of the model and its rows; a bound by column name moves that column alone."""
    found = audit(Influence.from_sklearn(NAMED_FIT, NAMED, Y), X_query=NAMED[70:72], within={"c": 0.5}, defences=())
    assert {name for a in found.attacks for one in a.altered for name in one.columns} == {"c"}
    assert found.within.tolist() == [0.0, 0.0, 0.5, 0.0]
    assert repr(found).startswith("<Audit of LogisticRegression")
    with pytest.raises(InputError, match="query 7 is not there"):
        found.altered(7)
