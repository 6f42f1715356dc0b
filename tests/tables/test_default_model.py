"""The default pipeline: at its optimum, sparse with text, the same for queries, and loadable without trust."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import skops.io
from sklearn import datasets

from upweight.errors import InputError
from upweight.tables.default_model import default_model, prepare
from upweight.tables.infer import Columns, infer
from upweight.tables.trust import is_harmless

N = 120


def mixed() -> pd.DataFrame:
    """A table with every kind of column and some cells missing in each."""
    draw = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "size": draw.normal(size=N),
            "age": draw.integers(18, 90, N).astype(float),
            "city": draw.choice(["Ulm", "Köln", "Bonn"], N),
            "review": [" ".join(draw.choice(["good", "bad", "slow", "fine", "odd"], 4)) + f" {i}" for i in range(N)],
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(draw.integers(0, 300, N), unit="D"),
            "label": draw.choice(["no", "so", "yes"], N),
        }
    )
    frame["day"] = frame["day"].dt.strftime("%Y-%m-%d")
    frame.loc[:19, "age"] = np.nan
    frame.loc[3, ["size", "city", "review", "day"]] = None
    return frame


def gradient(columns: Columns, frame: pd.DataFrame) -> float:
    """The largest entry of the training gradient a row, from the loss written out."""
    x = prepare(frame, columns)
    pipeline = default_model(columns, x).fit(x, frame[columns.target])
    z, model = pipeline[0].transform(x), pipeline[-1]
    hot = (frame[columns.target].to_numpy()[:, None] == model.classes_).astype(float)
    residual = (pipeline.predict_proba(x) - hot)[:, -len(model.coef_) :]  # two classes have one row of coefficients
    return float(np.abs(z.T @ residual + model.coef_.T).max() / len(frame))


def test_it_is_fitted_to_its_optimum() -> None:
    """Influence is defined there: what is left of the gradient is below 1e-7 a row."""
    for frame, target in ((mixed(), "label"), (datasets.load_breast_cancer(as_frame=True).frame, "target")):
        assert gradient(infer(frame, target), frame) < 1e-7


def test_ridge_is_at_its_optimum_on_sparse_columns() -> None:
    """scikit-learn iterates there, and its own tolerance would leave a gradient of 1e-4."""
    frame = mixed().dropna(subset=["size"])
    columns = infer(frame, "size")
    x = prepare(frame, columns)
    pipeline = default_model(columns, x).fit(x, frame["size"])
    z = pipeline[0].transform(x)
    assert scipy.sparse.issparse(z)
    left = z.T @ (pipeline.predict(x) - frame["size"].to_numpy()) + pipeline[-1].coef_
    assert np.abs(left).max() / len(frame) < 1e-9


def test_text_stays_sparse_and_numbers_stay_dense() -> None:
    """A table of texts is never blown up."""
    frame = mixed()
    columns = infer(frame, "label")
    x = prepare(frame, columns)
    assert scipy.sparse.issparse(default_model(columns, x)[0].fit_transform(x))
    iris = datasets.load_iris(as_frame=True).frame
    columns = infer(iris, "target")
    x = prepare(iris, columns)
    assert isinstance(default_model(columns, x)[0].fit_transform(x), np.ndarray)


def test_missing_is_a_feature_where_it_is_often_so() -> None:
    """Twenty rows without an age earn one; a single row without a size does not."""
    frame = mixed()
    columns = infer(frame, "label")
    x = prepare(frame, columns)
    names = default_model(columns, x)[0].fit(x).get_feature_names_out()
    assert [name for name in names if name.startswith("missing__")] == ["missing__missingindicator_age"]


def test_dates_are_days_since_the_earliest() -> None:
    """Queries count from the training table's earliest, an earlier one below zero."""
    frame = mixed()
    columns = infer(frame, "label")
    x = prepare(frame, columns)
    days = (pd.to_datetime(frame["day"]) - pd.to_datetime(frame["day"]).min()).dt.days
    np.testing.assert_array_equal(x["day"], days.astype(float))
    query = frame.iloc[:1].assign(day="2023-12-01")
    assert prepare(query, columns)["day"].iloc[0] < 0


def test_a_query_may_have_other_columns_order_and_categories() -> None:
    """Extra columns are ignored, new categories and words are no error, the index is kept."""
    frame = mixed()
    columns = infer(frame, "label")
    x = prepare(frame, columns)
    model = default_model(columns, x).fit(x, frame["label"])
    query = frame.iloc[5:9, ::-1].assign(extra=1)
    np.testing.assert_array_equal(model.predict_proba(prepare(query, columns)), model.predict_proba(x.iloc[5:9]))
    new = prepare(query.assign(city="Rom", review="unheard words", size=np.nan, age="41"), columns)
    assert new.index.tolist() == [5, 6, 7, 8]
    assert np.isfinite(model.predict_proba(new)).all()


WRONG_QUERIES = {
    "absent": (
        lambda f: f.drop(columns=["age", "city"]),
        r"columns are missing: 'age', 'city'\. The model reads 'size'",
    ),
    "no number": (
        lambda f: f.assign(age="old"),
        r"column 'age' is no number in 120 rows \(0, 1, 2 and 117 more\): 'old'",
    ),
    "no date": (lambda f: f.assign(day="soon"), r"column 'day' is no date written as year-month-day in 120 rows"),
    "infinite": (
        lambda f: f.assign(size=[np.inf] + [0.0] * (N - 1)),
        r"column 'size' is infinite in 1 row \(0\): 'inf'",
    ),
}


@pytest.mark.parametrize(("change", "text"), WRONG_QUERIES.values(), ids=WRONG_QUERIES)
def test_a_wrong_query_is_refused_by_column_and_row(change: object, text: str) -> None:
    """What the model reads must be there and readable."""
    frame = mixed()
    columns = infer(frame, "label")
    assert callable(change)
    with pytest.raises(InputError, match=text):
        prepare(change(frame), columns)


@pytest.mark.parametrize("target", ["label", "size"])
def test_it_loads_without_trust(target: str) -> None:
    """Every type in its file is scikit-learn's or numpy's own."""
    frame = mixed().dropna(subset=[target])
    columns = infer(frame, target)
    x = prepare(frame, columns)
    model = default_model(columns, x).fit(x, frame[target])
    content = skops.io.dumps(model)
    types = skops.io.get_untrusted_types(data=content)
    assert all(is_harmless(name) for name in types)
    np.testing.assert_array_equal(skops.io.loads(content, trusted=types).predict(x), model.predict(x))


def test_texts_that_share_no_word_are_still_read() -> None:
    """Chinese has no spaces, and every text may have words of its own: runs of characters stand in."""
    for texts in ([f"这部电影很好看{i}" for i in range(30)], [f"w{i}a w{i}b w{i}c" for i in range(30)]):
        frame = pd.DataFrame({"text": texts, "label": [0, 1] * 15})
        columns = infer(frame, "label")
        x = prepare(frame, columns)
        assert columns.text == ("text",)
        assert default_model(columns, x).fit(x, frame["label"]).predict_proba(x).shape == (30, 2)


def test_pandas_strings_and_objects_give_one_model() -> None:
    """The str type of pandas 3 and the object type of pandas 2 hold the same table."""
    frame = mixed()
    columns = infer(frame, "label")
    old = frame.astype({"city": object, "review": object, "day": object, "label": object})
    assert infer(old, "label") == columns
    pd.testing.assert_frame_equal(prepare(old, columns), prepare(frame, columns))


def test_codes_beside_empty_cells_stay_the_same_codes() -> None:
    """In a query file `1` may come as 1.0; it is the training table's '1'."""
    frame = pd.DataFrame({"code": ["1", "2", "x", "1"] * 5, "y": [0, 1] * 10})
    columns = infer(frame, "y")
    query = prepare(pd.DataFrame({"code": [1.0, np.nan, 2.0]}), columns)
    assert query["code"].tolist() == ["1", "missing", "2"]


def test_any_column_name_will_do() -> None:
    """Two underscores, a space, nothing but a number."""
    frame = mixed().rename(columns={"review": "re__view", "size": "a size", "city": "7"})
    columns = infer(frame, "label")
    x = prepare(frame, columns)
    assert default_model(columns, x).fit(x, frame["label"]).predict(x).shape == (N,)
