"""How a user's columns reach the model: every derivative against central differences of the whole pipeline."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    PolynomialFeatures,
    PowerTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
)

from upweight.adapters.column_map import column_map, table_columns
from upweight.adapters.row_edits import edited, other_values, without_words

RNG = np.random.default_rng(0)
N = 80
TABLE = pd.DataFrame(
    {
        "town": RNG.choice(["Rome", "Bern", "Oslo"], N),
        "age": RNG.normal(40, 10, N),
        "income": np.where(RNG.random(N) < 0.1, np.nan, RNG.normal(3, 1, N)),
        "floor": RNG.integers(0, 5, N),
        "text": [" ".join(RNG.choice(["good", "bad", "day", "film"], 5)) for _ in range(N)],
    }
)
NUMBERS = RNG.normal(size=(N, 5)) + 1.0
LABELS = RNG.integers(0, 2, N)
ROWS = [3, 9]


def one_hot_and_scaled() -> Any:
    """Categories, imputed and scaled numbers, a text."""
    return ColumnTransformer(
        [
            ("t", OneHotEncoder(), ["town"]),
            ("n", make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), ["age", "income"]),
            ("w", TfidfVectorizer(), "text"),
        ]
    )


PIPELINES: dict[str, tuple[Any, Any, list[str]]] = {
    "column transformer": (
        make_pipeline(one_hot_and_scaled()),
        TABLE,
        ["category", "linear", "linear", "unused", "text"],
    ),
    "polynomial, scaler, whitened PCA": (
        make_pipeline(ColumnTransformer([("p", PolynomialFeatures(2), [1, 3])]), StandardScaler(), PCA(3, whiten=True)),
        TABLE,
        ["unused", "smooth", "unused", "smooth", "unused"],
    ),
    "bins and a selector": (
        make_pipeline(
            ColumnTransformer(
                [
                    ("b", KBinsDiscretizer(3, quantile_method="averaged_inverted_cdf"), ["floor"]),
                    ("m", MinMaxScaler(), make_column_selector("age")),
                ]
            )
        ),
        TABLE,
        ["unused", "linear", "unused", "category", "unused"],
    ),
    "remainder, slice of names, overlap": (
        make_pipeline(
            ColumnTransformer(
                [("s", StandardScaler(), slice("age", "age")), ("m", MaxAbsScaler(), ["age", "floor"])],
                remainder="passthrough",
            ).set_output(transform="pandas"),
            ColumnTransformer([("k", "passthrough", [0, 1, 2])]),
        ),
        TABLE[["floor", "age"]],
        ["linear", "linear"],
    ),
    "scalers, selection, PCA": (
        make_pipeline(RobustScaler(), SelectKBest(k=3), "passthrough", MaxAbsScaler(), PCA(2)),
        NUMBERS,
        ["linear", "linear", "unused", "linear", "unused"],
    ),
    "union, normaliser": (
        make_pipeline(
            make_union(StandardScaler(), PolynomialFeatures(2, include_bias=False), "passthrough"), Normalizer()
        ),
        NUMBERS,
        ["smooth"] * 5,
    ),
    "power, splines": (make_pipeline(PowerTransformer(), SplineTransformer(4)), NUMBERS, ["smooth"] * 5),
    "sparse": (
        make_pipeline(MaxAbsScaler(), FunctionTransformer(), TruncatedSVD(3)),
        sp.csr_array(NUMBERS * (NUMBERS > 1)),
        ["linear"] * 5,
    ),
    "a function": (make_pipeline(FunctionTransformer(np.log1p), StandardScaler()), np.abs(NUMBERS), ["smooth"] * 5),
    "pandas all the way": (
        make_pipeline(StandardScaler(), PolynomialFeatures(2)).set_output(transform="pandas"),
        pd.DataFrame(NUMBERS, columns=list("abcde")),
        ["smooth"] * 5,
    ),
}


@pytest.mark.parametrize("name", PIPELINES)
def test_derivatives_are_those_of_the_whole_pipeline(name: str) -> None:
    """Numbers: seven digits of central differences, exact where linear; each column says how it gets there."""
    pipeline, x, reach = PIPELINES[name]
    pipeline = pipeline.fit(x, LABELS)
    width = pipeline.transform(x).shape[1]
    gradient = np.random.default_rng(1).normal(size=(2, 2, width))
    found = column_map([pipeline], x, ROWS, gradient)
    assert found.names == table_columns(x)
    assert [one.name for one in found.reach] == reach
    for j, way in enumerate(reach):
        for k, row in enumerate(ROWS):
            if way in ("linear", "smooth"):
                slope = (moved(pipeline, x, row, j, 1e-5) - moved(pipeline, x, row, j, -1e-5)) / 2e-5
                expected = gradient[:, k, :] @ np.nan_to_num(slope)
            else:
                expected = np.zeros(2)
            np.testing.assert_allclose(found.gradient[:, k, j], expected, rtol=1e-6, atol=1e-8)


def moved(pipeline: Any, x: Any, row: int, j: int, step: float) -> Any:
    """The row's features with one cell moved."""
    if isinstance(x, pd.DataFrame):
        one = x.iloc[[row]].copy()
        one.isetitem(j, one.iloc[:, j].astype(float) + step)
    else:
        one = x[[row]].toarray() if sp.issparse(x) else x[[row]].copy()
        one[:, j] += step
    out = pipeline.transform(one)
    return (out.toarray() if sp.issparse(out) else np.asarray(out))[0]


def test_what_is_missing_has_no_derivative() -> None:
    """An imputed cell reads 0: the number is not there to be moved."""
    pipeline = make_pipeline(one_hot_and_scaled()).fit(TABLE)
    row = int(np.flatnonzero(TABLE["income"].isna())[0])
    width = pipeline.transform(TABLE).shape[1]
    found = column_map([pipeline], TABLE, [row], np.ones((1, 1, width)))
    assert found.gradient[0, 0, 2] == 0.0
    assert found.gradient[0, 0, 1] != 0.0


def test_what_has_no_derivative_says_so() -> None:
    """A transformer that refuses what lies beside the row, and one that is too wide to be differenced."""

    def positive(x: Any) -> Any:
        if (x < 0).any():
            raise ValueError("negative")
        return np.sqrt(x)

    x = np.abs(NUMBERS)
    x[3, 0] = 0.0
    pipeline = Pipeline([("f", FunctionTransformer(positive))])
    reach = column_map([pipeline.fit(x)], x, [3], np.ones((1, 1, 5))).reach
    assert {one.name for one in reach} == {"none"}
    assert reach[0].by == "FunctionTransformer"
    wide = sp.csr_array(np.eye(400))
    pipeline = Pipeline([("n", Normalizer())]).fit(wide)
    assert column_map([pipeline], wide, [3], np.ones((1, 1, 400))).reach[0].name == "none"


def test_texts_are_read_by_their_vectorizer() -> None:
    """Whatever stands behind it: counts, idf, components."""
    texts = TABLE["text"].tolist()
    pipeline = Pipeline([("c", CountVectorizer()), ("t", TfidfTransformer()), ("s", TruncatedSVD(2))]).fit(texts)
    found = column_map([pipeline], texts, [1], np.ones((1, 1, 2)))
    assert found.names == ("text",)
    assert found.reach[0].name == "text"
    assert isinstance(found.reach[0].reader, CountVectorizer)


def test_words_are_cut_where_the_vectorizer_cuts_them() -> None:
    """All places of a word at once, case and accents as its preprocessor reads them; the rest as it stands."""
    reader = CountVectorizer(strip_accents="unicode").fit(["cafe good"])
    reach = column_map([Pipeline([("c", reader)])], ["Café good, café Good!"], [0], np.zeros((1, 1, 1))).reach[0]
    edits = {edit.said: edit.value for edit in without_words("Café good, café Good!", 0, reach)}
    assert edits == {"cafe": " good,  Good!", "good": "Café , café !"}


def test_other_values_and_edited_rows_keep_the_tables_kind() -> None:
    """Categories of the column but the row's own; types, names and other cells stay."""
    edits = other_values(TABLE, 3, 0)
    assert {edit.value for edit in edits} == {"Rome", "Bern", "Oslo"} - {TABLE["town"][3]}
    table = edited(TABLE, 3, edits)
    assert table["town"].tolist() == [edit.value for edit in edits]
    assert (table.dtypes == TABLE.dtypes).all()
    assert (table["age"] == TABLE["age"][3]).all()
    numbers = [edit.value for edit in other_values(TABLE, 3, 3)]
    assert numbers == sorted(set(range(5)) - {TABLE["floor"][3]})
    assert len(other_values(TABLE, 3, 1)) == 50
    array = TABLE[["town", "age"]].to_numpy(dtype=object)
    assert edited(array, 3, other_values(array, 3, 0)).shape == (2, 2)
    categories = TABLE.astype({"town": "category"})
    assert edited(categories, 3, other_values(categories, 3, 0)).dtypes["town"] == categories.dtypes["town"]
    assert table_columns([[1, 2], [3, 4]]) == ("x0", "x1")
    assert edited([[1, 2], [3, 4]], 0, other_values([[1, 2], [3, 4]], 0, 1)) == [[1, 4]]
