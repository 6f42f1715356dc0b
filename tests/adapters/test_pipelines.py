"""Wrappers and data in every dress: pipelines at any depth, searches, sparse text, tables, names, ids, labels."""

import pickle
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Lasso, LogisticRegression, Ridge, SGDClassifier
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, PolynomialFeatures, StandardScaler

from upweight.adapters import adapt
from upweight.adapters.sparse_features import SparseFeatures
from upweight.features import DenseFeatures, Features

RNG = np.random.default_rng(1)
N = 60
TABLE = pd.DataFrame(
    {
        "town": RNG.choice(["Rome", "Bern", "Oslo"], size=N),
        "age": RNG.normal(40, 10, size=N),
        "income": np.where(RNG.random(N) < 0.1, np.nan, RNG.normal(3, 1, size=N)),
    },
    index=pd.Index([f"r{i}" for i in range(N)], name="who"),
)
VOTE = pd.Series(np.where(TABLE.age + RNG.normal(0, 8, size=N) > 40, "yes", "no"), index=TABLE.index, name="vote")
TEXTS = [" ".join(RNG.choice(["good", "bad", "fine", "poor", "day", "film"], size=6)) for _ in range(N)]
TONE = [int(text.count("good") > text.count("bad")) for text in TEXTS]
TIGHT: dict[str, Any] = {"tol": 1e-10, "max_iter": 5000}


def _columns() -> ColumnTransformer:
    return ColumnTransformer(
        [
            ("town", OneHotEncoder(sparse_output=False), ["town"]),
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["age", "income"]),
        ],
        verbose_feature_names_out=False,
    )


def _lr() -> LogisticRegression:
    return LogisticRegression(**TIGHT)


WRAPPED = {
    "column transformer": lambda: make_pipeline(_columns(), _lr()),
    "pandas output": lambda: make_pipeline(_columns(), StandardScaler(), _lr()).set_output(transform="pandas"),
    "pipeline in a pipeline": lambda: make_pipeline(_columns(), make_pipeline(StandardScaler(), _lr())),
    "search": lambda: GridSearchCV(make_pipeline(_columns(), _lr()), {"logisticregression__C": [0.5, 2.0]}, cv=2),
    "search in a pipeline": lambda: make_pipeline(_columns(), RandomizedSearchCV(_lr(), {"C": [0.5]}, n_iter=1, cv=2)),
    "passthrough": lambda: make_pipeline(_columns(), "passthrough", _lr()),
    "sparse columns": lambda: make_pipeline(
        ColumnTransformer([("t", OneHotEncoder(), ["town"])], sparse_threshold=1.0), _lr()
    ),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_wrapped_model_is_read_and_rebuilt_whole(name: str) -> None:
    """Head, query and rebuilt object agree with the user's own, which is not changed and warns of nothing."""
    model = WRAPPED[name]().fit(TABLE, VOTE)
    before = pickle.dumps(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        adapted = adapt(model, TABLE, VOTE)
        query = adapted.read_query(TABLE[:7])
        z = query.matmul(adapted.objective.params.matrix, slice(0, 7))
        truth = model.predict_proba(TABLE[:7])[:, 1:]
        np.testing.assert_allclose(adapted.objective.loss.predict(z), truth, atol=1e-6)
        again = adapted.rebuild(adapted.objective.params.vector)
        assert type(again) is type(model)
        np.testing.assert_allclose(again.predict_proba(TABLE[:7])[:, 1:], adapted.objective.loss.predict(z), atol=1e-12)
        assert adapted.cold_refit is not None
        without = adapted.cold_refit([0, 9])
        assert type(without) is type(model)
        assert np.max(np.abs(without.predict_proba(TABLE) - model.predict_proba(TABLE))) > 1e-5
    assert pickle.dumps(model) == before
    assert np.max(np.abs(adapted.objective.gradient)) < 1e-12
    assert adapted.row_ids == tuple(TABLE.index)
    assert adapted.classes == ("no", "yes")
    assert adapted.model_name == "LogisticRegression"


def test_cold_refit_is_the_users_fit_on_fewer_rows_behind_frozen_preprocessing() -> None:
    """The same as fitting the last step on the transformed rows that stay."""
    model = WRAPPED["column transformer"]().fit(TABLE, VOTE)
    adapted = adapt(model, TABLE, VOTE)
    assert adapted.cold_refit is not None
    kept = np.delete(np.arange(N), [3, 20, 21])
    truth = _lr().fit(model[:-1].transform(TABLE)[kept], VOTE.iloc[kept])
    np.testing.assert_allclose(adapted.cold_refit([3, 20, 21])[-1].coef_, truth.coef_, rtol=1e-12)
    assert "preprocessing (ColumnTransformer)" in adapted.convention


def test_columns_are_named_as_the_user_knows_them() -> None:
    """From the last transformer; from the table; else x0, x1 …; the constant is the intercept."""
    piped = adapt(WRAPPED["column transformer"]().fit(TABLE, VOTE), TABLE, VOTE).objective.params.column_names
    assert piped == ("town_Bern", "town_Oslo", "town_Rome", "age", "income", "intercept")
    nested = adapt(WRAPPED["pipeline in a pipeline"]().fit(TABLE, VOTE), TABLE, VOTE).objective.params.column_names
    assert nested == piped
    ages = TABLE[["age"]]
    assert adapt(_lr().fit(ages, VOTE), ages, VOTE).objective.params.column_names == ("age", "intercept")
    assert adapt(_lr().fit(ages.to_numpy(), VOTE), ages.to_numpy(), VOTE).objective.params.column_names[0] == "x0"
    nameless = make_pipeline(FunctionTransformer(np.square), _lr()).fit(ages.to_numpy(), VOTE)
    assert adapt(nameless, ages.to_numpy(), VOTE).objective.params.column_names == ("x0", "intercept")
    poly = make_pipeline(PolynomialFeatures(2, include_bias=False), _lr()).fit(ages / 40, VOTE)
    assert adapt(poly, ages / 40, VOTE).objective.params.column_names == ("age", "age^2", "intercept")


@pytest.mark.parametrize("make", [lambda: TfidfVectorizer(), lambda: make_union(TfidfVectorizer(), TfidfVectorizer())])
def test_text_stays_sparse_and_agrees_with_dense(make: Any) -> None:
    """A TfidfVectorizer's rows are never densified, and mean the same as if they were."""
    model = make_pipeline(make(), _lr()).fit(TEXTS, TONE)
    adapted = adapt(model, TEXTS, TONE)
    assert isinstance(adapted.objective.features, SparseFeatures)
    dense = adapt(model[-1], model[:-1].transform(TEXTS).toarray(), TONE)
    np.testing.assert_allclose(adapted.objective.params.vector, dense.objective.params.vector, atol=1e-10)
    assert adapted.read_query(["good film"]).rows == 1
    np.testing.assert_allclose(
        adapted.rebuild(adapted.objective.params.vector).predict_proba(TEXTS)[:, 1:],
        dense.objective.loss.predict(dense.objective.outputs),
        atol=1e-10,
    )


def test_sparsified_coefficients_are_read_and_written_back_sparse() -> None:
    """coef_ may be a sparse matrix."""
    x = sp.csr_array(sp.random_array((80, 30), density=0.2, random_state=np.random.default_rng(0)).toarray())
    y = np.asarray(x[:, [0]].toarray()[:, 0] > 0).astype(int)
    model = SGDClassifier(loss="log_loss", penalty="l1", alpha=0.01, random_state=0).fit(x, y).sparsify()
    adapted = adapt(model, x, y)
    again = adapted.rebuild(adapted.objective.params.vector)
    assert sp.issparse(again.coef_)
    np.testing.assert_allclose(again.decision_function(x), adapted.objective.outputs[:, 0], atol=1e-10)


@pytest.mark.parametrize("kind", ["csr_matrix", "csr_array", "csc_array", "coo_matrix"])
def test_every_sparse_format_is_read(kind: str) -> None:
    """Matrices and arrays, any layout."""
    x = sp.random_array((80, 10), density=0.4, random_state=np.random.default_rng(0)).tocsr()
    y = x @ np.arange(10.0) + np.random.default_rng(1).normal(size=80)
    given = getattr(sp, kind)(x)
    adapted = adapt(Ridge(solver="sparse_cg", tol=1e-12).fit(given, y), given, y)
    dense = adapt(Ridge().fit(x.toarray(), y), x.toarray(), y)
    np.testing.assert_allclose(adapted.objective.params.vector, dense.objective.params.vector, atol=1e-9)


FORMS = {
    "float64": lambda x: x,
    "float32": lambda x: x.astype(np.float32),
    "integers": lambda x: np.round(10 * x).astype(int),
    "fortran": np.asfortranarray,
    "objects": lambda x: x.astype(object),
    "list": lambda x: x.tolist(),
    "frame": lambda x: pd.DataFrame(x),
    "nullable frame": lambda x: pd.DataFrame(x).convert_dtypes(),
    "mixed frame": lambda x: pd.DataFrame({"a": x[:, 0], "b": x[:, 1] > 0, "c": (10 * x[:, 2]).astype(int)}),
}


@pytest.mark.parametrize("form", FORMS)
def test_any_form_of_numbers_is_read(form: str) -> None:
    """Whatever scikit-learn takes; names of integer columns as words."""
    raw = np.random.default_rng(3).normal(size=(50, 3))
    y = raw @ [1.0, -1.0, 0.5] + np.random.default_rng(4).normal(size=50)
    x = FORMS[form](raw)
    model = Ridge().fit(x, y)
    adapted = adapt(model, x, y)
    np.testing.assert_allclose(adapted.objective.outputs[:, 0], model.predict(x), atol=1e-5)
    assert adapted.stationarity.mismatch is None


def test_float32_is_not_copied() -> None:
    """The head reads the user's own memory, cast block by block."""
    x = np.random.default_rng(3).normal(size=(50, 3)).astype(np.float32)
    adapted = adapt(Ridge().fit(x, x[:, 0]), x, x[:, 0])
    assert isinstance(adapted.objective.features, DenseFeatures)
    assert np.shares_memory(adapted.objective.features.x, x)


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["no", "yes"]),
        np.array([False, True]),
        np.array([-1, 1]),
        np.array([1.0, 2.0]),
        np.array(["no", "yes"], dtype=object),
        pd.Categorical(["no", "yes"]),
        pd.Series(["no", "yes"], dtype="string"),
    ],
    ids=["text", "bool", "±1", "floats", "objects", "categorical", "pandas strings"],
)
def test_labels_of_any_type_keep_their_meaning(labels: Any) -> None:
    """Index of the class in classes_, the user's own labels in `classes`."""
    codes = (TABLE.age > 40).to_numpy().astype(int)
    y = labels.take(codes)
    model = _lr().fit(TABLE[["age"]], y)
    adapted = adapt(model, TABLE[["age"]], y)
    np.testing.assert_array_equal(adapted.objective.targets, codes)
    assert list(adapted.classes) == list(model.classes_)
    np.testing.assert_array_equal(adapted.read_target([labels[1], labels[0]]), [1.0, 0.0])


def test_row_ids_come_from_x_then_from_y_then_count() -> None:
    """A Series' index serves where X has none."""
    x = TABLE[["age"]].to_numpy()
    model = _lr().fit(x, VOTE)
    assert adapt(model, x, VOTE).row_ids == tuple(TABLE.index)
    assert adapt(model, x, VOTE.to_numpy()).row_ids == tuple(range(N))
    assert adapt(model, x, VOTE).labels[0] == VOTE.iloc[0]


def test_targets_and_unit_are_named_by_y() -> None:
    """A Series by its name, a table by its columns, an array not at all."""
    x = TABLE[["age"]].to_numpy()
    y = pd.Series(x[:, 0] * 2, index=TABLE.index, name="rent")
    one = adapt(Ridge().fit(x, y), x, y)
    assert (one.targets, one.unit, one.kind) == (("rent",), "rent", "regression")
    both = pd.DataFrame({"rent": x[:, 0], "size": -x[:, 0]})
    assert adapt(Ridge().fit(x, both), x, both).targets == ("rent", "size")
    assert adapt(Ridge().fit(x, both.to_numpy()), x, both.to_numpy()).targets == ("y0", "y1")


def test_l1_says_how_near_the_next_coefficient_is() -> None:
    """The slack of the nearest zero, relative to its l1 weight, is what KKT says."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 6))
    y = x @ [2.0, -1.0, 0.3, 0, 0, 0] + rng.normal(size=50)
    model = Lasso(alpha=0.5, tol=1e-12).fit(x, y)
    adapted = adapt(model, x, y)
    assert adapted.objective.params.size == np.count_nonzero(model.coef_) + 1
    correlation = np.abs(x.T @ (y - model.predict(x))) / 50 / 0.5
    slack = np.min(1 - correlation[model.coef_ == 0])
    name = f"'x{np.flatnonzero(model.coef_ == 0)[np.argmax(correlation[model.coef_ == 0])]}'"
    assert any(f"{slack:.1%}" in note and name in note for note in adapted.notes)


def test_sparse_features_are_dense_ones() -> None:
    """Every product of the protocol, in float64, on integers too."""
    rng = np.random.default_rng(0)
    matrix = sp.csr_array(rng.integers(0, 3, size=(30, 5)).astype(np.float32))
    sparse, dense = SparseFeatures(matrix), DenseFeatures(matrix.toarray(), np.float64)
    assert isinstance(sparse, Features)
    w, e, scale = rng.normal(size=(2, 6)), rng.normal(size=(10, 2)), rng.random(6)
    for rows in (slice(0, 30, 3), slice(5, 15)):
        np.testing.assert_allclose(sparse.matmul(w, rows), dense.matmul(w, rows), rtol=1e-13)
        np.testing.assert_allclose(sparse.rmatmul(e, rows), dense.rmatmul(e, rows), rtol=1e-13)
    for weight in (e[:, 0], np.abs(e[:, 0]), -np.abs(e[:, 0]), 0.0 * e[:, 0]):
        np.testing.assert_allclose(sparse.second_moment(weight, rows), dense.second_moment(weight, rows), atol=1e-13)
    np.testing.assert_allclose(sparse.squares(scale), dense.squares(scale), rtol=1e-13)
    assert np.max(dense.squares(scale**2)) <= dense.reach(scale**2) <= len(scale) * np.max(dense.squares(scale**2))
    for other in (sparse, dense):
        np.testing.assert_allclose(sparse.gram(other, scale), dense.gram(dense, scale), rtol=1e-13)
    np.testing.assert_allclose(dense.gram(sparse, scale), dense.gram(dense, scale), rtol=1e-13)
    np.testing.assert_array_equal(sparse.take(np.array([3, 1, 3])), dense.take(np.array([3, 1, 3])))
    assert (sparse.rows, sparse.columns) == (dense.rows, dense.columns)
