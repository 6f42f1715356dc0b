"""What no answer is given for: models by name with what to use instead, and data with rows and columns named."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.impute import SimpleImputer
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import (
    BayesianRidge,
    ElasticNet,
    Lasso,
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
    MultiTaskLasso,
    Perceptron,
    PoissonRegressor,
    QuantileRegressor,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
    SGDRegressor,
    TweedieRegressor,
)
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC, NuSVC, NuSVR, OneClassSVM
from sklearn.tree import DecisionTreeClassifier

from upweight.adapters import adapt
from upweight.adapters.wrappers import unwrap
from upweight.errors import InputError, UnsupportedModel

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
Y = (X[:, 0] + 0.5 * RNG.normal(size=40) > 0).astype(int)
FRAME = pd.DataFrame(X, columns=["age", "height", "weight"], index=[f"p{i}" for i in range(40)])
THREE = np.digitize(X[:, 1], [-0.5, 0.5])
TWO = np.stack([Y, 1 - Y], axis=1)
LR = LogisticRegression


class OwnRidge(Ridge):
    """A user's own class."""


class Stranger(BaseEstimator):
    """A class of nobody's."""

    def predict(self, x: Any) -> Any:
        """Nothing."""
        return x


MODELS: tuple[tuple[Any, Any, str, str], ...] = (
    (DecisionTreeClassifier(), Y, "DecisionTreeClassifier has no parameters", "linear model"),
    (RandomForestClassifier(3), Y, "RandomForestClassifier has no parameters", "linear model"),
    (GradientBoostingClassifier(n_estimators=2), Y, "GradientBoostingClassifier has no", "linear model"),
    (HistGradientBoostingRegressor(max_iter=2), Y, "HistGradientBoostingRegressor has no", "linear model"),
    (AdaBoostClassifier(n_estimators=2), Y, "AdaBoostClassifier has no", "linear model"),
    (KNeighborsClassifier(), Y, "KNeighborsClassifier has no", "linear model"),
    (VotingClassifier([("a", LR()), ("b", LR(C=2))]), Y, "VotingClassifier is several fits", "Pass one of them"),
    (StackingClassifier([("a", LR())], cv=2), Y, "StackingClassifier is several fits", "Pass one of them"),
    (BaggingClassifier(LR(), n_estimators=2), Y, "BaggingClassifier is several fits", "Pass one of them"),
    (CalibratedClassifierCV(LR(), cv=2), Y, "CalibratedClassifierCV is several fits", "linear model inside"),
    (MultiOutputRegressor(Ridge()), TWO, "MultiOutputRegressor fits one model per target", "Pass one of them"),
    (TransformedTargetRegressor(Ridge()), Y, "TransformedTargetRegressor transforms", "Transform y yourself"),
    (SVC(), THREE, "SVC of 3 classes is 3 fits", "LinearSVC"),
    (SVC(kernel=lambda a, b: a @ b.T), Y, "SVC with a kernel of your own has no columns", "rbf"),
    (SVR(kernel=lambda a, b: a @ b.T), Y, "SVR with a kernel of your own has no columns", "rbf"),
    (SVC(kernel="sigmoid", gamma=2.0), Y, "SVC: this kernel is not positive semidefinite", "rbf"),
    (NuSVC(), Y, "NuSVC sets its margin by the share of rows", "Use SVC"),
    (NuSVR(), Y, "NuSVR sets its tube by the share of rows", "Use SVR"),
    (OneClassSVM(), Y, "OneClassSVM has no target", "SVC"),
    (LinearSVC(multi_class="crammer_singer"), THREE, r"LinearSVC\(multi_class='crammer_singer'\)", "'ovr'"),
    (KernelRidge(kernel=lambda a, b: a @ b), Y, "has no columns to read a query from", "rbf"),
    (GaussianProcessRegressor(), Y, "GaussianProcessRegressor is not supported yet", "Ridge"),
    (GaussianNB(), Y, "GaussianNB is fitted by counting", "LogisticRegression"),
    (Perceptron(), Y, "Perceptron has a loss without curvature", "SGDClassifier"),
    (BayesianRidge(), Y, "BayesianRidge fits its penalty", "Ridge"),
    (QuantileRegressor(), Y, "QuantileRegressor has a loss without curvature", "HuberRegressor"),
    (MultiTaskLasso(), TWO, "MultiTaskLasso ties its targets", "ElasticNet"),
    (DummyClassifier(), Y, "DummyClassifier has no parameters", "linear model"),
    (KMeans(2, n_init=1), Y, "KMeans has no target", "classifier or a regressor"),
    (OwnRidge(), Y, "OwnRidge is a class of its own over Ridge", "Pass a Ridge itself"),
    (Stranger(), None, "Stranger is not a model that upweight knows", "linear model of scikit-learn"),
    (Lasso(alpha=0.1, positive=True), Y, r"Lasso\(positive=True\)", r"Lasso\(positive=False\)"),
    (ElasticNet(alpha=0.1, positive=True), Y, r"ElasticNet\(positive=True\)", "positive=False"),
    (LinearRegression(positive=True), Y, r"LinearRegression\(positive=True\)", "positive=False"),
    (Ridge(positive=True), Y, r"Ridge\(positive=True\)", "positive=False"),
    (LogisticRegressionCV(refit=False, cv=2, Cs=2), Y, r"LogisticRegressionCV\(refit=False\)", "refit=True"),
    (GridSearchCV(LR(), {"C": [1, 2]}, refit=False), Y, r"GridSearchCV\(refit=False\)", "refit=True"),
    (SGDClassifier(penalty="l1"), Y, r"SGDClassifier\(loss='hinge', penalty='l1'\)", "penalty='l2'"),
    (SGDClassifier(loss="perceptron"), Y, r"SGDClassifier\(loss='perceptron'\)", "log_loss"),
    (SGDRegressor(loss="epsilon_insensitive", penalty=None), Y, r"SGDRegressor\(loss='epsilon_ins", "penalty='l2'"),
    (OneVsRestClassifier(SVC()), Y, "OneVsRestClassifier over SVC", "LogisticRegression"),
    (OneVsRestClassifier(LR()), TWO, "multilabel", "one label at a time"),
    (RidgeClassifier(), TWO, "multilabel", "one label at a time"),
    (TweedieRegressor(power=3), np.exp(X[:, 0]), r"TweedieRegressor\(power=3, link='log'\)", "from 1 to 2"),
    (make_pipeline(StandardScaler(), "passthrough"), Y, r"'passthrough' \('passthrough'\)", "linear model"),
    (make_pipeline(StandardScaler()), Y, r"'standardscaler' \('StandardScaler'\)", "linear model"),
    (make_pipeline(StandardScaler(), DecisionTreeClassifier()), Y, "DecisionTreeClassifier has no", "linear"),
)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("model", "y", "what", "instead"), MODELS, ids=lambda v: type(v).__name__)
def test_model_is_refused_by_name_with_what_to_use_instead(model: Any, y: Any, what: str, instead: str) -> None:
    """The message opens with the user's own class and ends with a model that works."""
    fitted = model if y is None else model.fit(X, y)
    with pytest.raises(UnsupportedModel, match=what) as told:
        adapt(fitted, X, Y if y is None else y)
    assert told.match(instead)


@pytest.mark.parametrize(
    ("model", "n"),
    [(LinearRegression(), 4), (LR(C=np.inf), 4), (Ridge(alpha=0.0, solver="svd"), 3), (PoissonRegressor(alpha=0), 4)],
    ids=lambda v: type(v).__name__,
)
def test_more_columns_than_rows_without_a_penalty_is_refused(model: Any, n: int) -> None:
    """Such a model passes through every row."""
    y = np.array([0, 1, 0, 1])[:n]
    with pytest.raises(
        UnsupportedModel, match=rf"{type(model).__name__} has 4 parameters without a penalty for {n} rows"
    ):
        adapt(model.fit(X[:n], y), X[:n], y)


@pytest.mark.parametrize(
    "model",
    [LR(), make_pipeline(StandardScaler(), LR()), GridSearchCV(LR(), {"C": [1]})],
    ids=lambda m: type(m).__name__,
)
def test_unfitted_is_said(model: Any) -> None:
    """An unfitted estimator, wherever it hides."""
    with pytest.raises(InputError, match=r"is not fitted\. Call its fit first"):
        adapt(model, X, Y)


def test_final_estimator_of_nested_wrappers_is_found() -> None:
    """Pipelines in searches in pipelines."""
    inner = GridSearchCV(make_pipeline(StandardScaler(), LR()), {"logisticregression__C": [0.5]}, cv=2)
    found = unwrap(make_pipeline(StandardScaler(), inner).fit(X, Y))
    assert type(found.final) is LR
    assert found.transformers == ("StandardScaler", "StandardScaler")
    assert found.searched


# -- bad input -------------------------------------------------------------------------------------------------------


def _with(row: int, column: int, value: float) -> Any:
    frame = FRAME.copy()
    frame.iloc[row, column] = value
    return frame


FITTED = LR().fit(FRAME, Y)
HERE = np.arange(40)
RIDGE = Ridge().fit(X, Y)
ARRAY = LR().fit(X, Y)
BAD: tuple[tuple[str, Any, tuple[Any, ...], str], ...] = (
    ("NaN in X", FITTED, (_with(7, 1, np.nan), Y), r"X holds NaN .* 1 rows \('p7'\), columns 'height'"),
    ("infinity in X", FITTED, (_with(2, 2, -np.inf), Y), r"rows \('p2'\), columns 'weight'"),
    (
        "NaN in sparse X",
        ARRAY,
        (sp.csr_array(np.where(HERE[:, None] == 3, np.nan, X)), Y),
        r"1 rows \(3\), columns 'x0', 'x1', 'x2'",
    ),
    ("NaN in y", RIDGE, (X, np.where(HERE == 4, np.nan, Y)), r"y has no finite value .* \(position 4\)"),
    ("None in y", FITTED, (FRAME, [None, *Y[1:]]), r"y has no finite value in 1 row \(position 0\)"),
    ("infinity in y", RIDGE, (X, np.where(HERE == 4, np.inf, Y)), r"\(position 4\)"),
    ("words for a regression", RIDGE, (X, ["a"] * 40), "y is not a number"),
    ("y too short", FITTED, (FRAME, Y[:-1]), "X has 40 rows and y has 39"),
    ("y too wide", RIDGE, (X, TWO), r"y has shape \(40, 2\)"),
    ("wide labels", FITTED, (FRAME, TWO), r"shape \(40, 2\); a classifier's labels are one per row"),
    ("unseen label", FITTED, (FRAME, [2, *Y[1:]]), r"not fitted on \(2; .* Its classes are 0, 1"),
    ("words for numbers", FITTED, (FRAME, Y.astype(str)), "holds 40 labels that the model was not fitted"),
    ("one class", FITTED, (FRAME, np.ones(40, int)), r"y holds one class \(1\) in all 40 rows"),
    ("one dimension", ARRAY, (X[:, 0], Y), r"X has shape \(40,\)"),
    ("wrong width", ARRAY, (X[:, :2], Y), "X has 2 columns; the model was fitted on 3"),
    ("wrong columns", FITTED, (FRAME.rename(columns={"age": "old"}), Y), "missing: 'age'; not known: 'old'"),
    ("other order", FITTED, (FRAME[["height", "age", "weight"]], Y), "another order: 'height', 'age', 'weight'"),
    ("no rows", FITTED, (FRAME[:0], Y[:0]), "X has no rows"),
    ("words in a table", FITTED, (FRAME.assign(age="old"), Y), r"columns that are not numbers \('age'\)"),
    ("words in an array", ARRAY, (np.full((40, 3), "a"), Y), "X holds values that are not numbers"),
    (
        "negative weight",
        FITTED,
        (FRAME, Y, np.where(HERE == 3, -1, 1)),
        r"sample_weight is negative in 1 row \(position 3\)",
    ),
    ("NaN weight", FITTED, (FRAME, Y, np.where(HERE == 3, np.nan, 1)), r"finite number .* \(position 3\)"),
    ("all weights 0", FITTED, (FRAME, Y, np.zeros(40)), "sample_weight is 0 in every row"),
    ("too few weights", FITTED, (FRAME, Y, np.ones(3)), r"sample_weight has shape \(3,\); X has 40 rows"),
    ("words as weights", FITTED, (FRAME, Y, ["a"] * 40), "sample_weight is not a number"),
    ("ids twice", FITTED, (FRAME.rename({"p1": "p0", "p5": "p4"}), Y), r"2 row ids .* \('p0', 'p4'\)"),
    ("Gamma of 0", TweedieRegressor(power=2).fit(X, Y + 1.0), (X, Y), r"y is 0 or negative in \d+ rows"),
)


@pytest.mark.parametrize(("name", "model", "given", "what"), BAD, ids=[row[0] for row in BAD])
def test_bad_input_names_rows_and_columns(name: str, model: Any, given: tuple[Any, ...], what: str) -> None:
    """What was seen, where, and what to do; never a traceback from deep inside."""
    with pytest.raises(InputError, match=what):
        adapt(model, *given)


def test_more_classes_than_rows_is_refused() -> None:
    """Three rows cannot hold four classes."""
    model = LR().fit(X, np.arange(40) % 4)
    with pytest.raises(InputError, match="the model has 4 classes and y has 3 rows"):
        adapt(model, X[:3], [0, 1, 2])


def _mixed() -> tuple[Any, Any]:
    table = pd.DataFrame({"town": ["Rome", "Bern", "Oslo", "Rome"] * 10, "age": X[:, 0]})
    columns = ColumnTransformer([("town", OneHotEncoder(), ["town"])], remainder="passthrough")
    return make_pipeline(columns, LR()).fit(table, Y), table


def test_query_category_that_the_encoder_refuses_names_column_and_value() -> None:
    """Not scikit-learn's column number, but the user's column."""
    model, table = _mixed()
    adapted = adapt(model, table, Y)
    with pytest.raises(InputError, match=r"X_query holds categories .* column 'town' \('Paris'\)"):
        adapted.read_query(pd.DataFrame({"town": ["Paris"], "age": [0.0]}))


def test_query_with_wrong_columns_says_which() -> None:
    """Missing and unknown columns by name; a single row as a flat array with the way to write it."""
    model, table = _mixed()
    with pytest.raises(InputError, match=r"X_query .* \(missing: 'age'; not known: 'years'\)"):
        adapt(model, table, Y).read_query(pd.DataFrame({"town": ["Rome"], "years": [0.0]}))
    assert adapt(model, table, Y).read_query(pd.DataFrame({"age": [0.0], "more": 1, "town": "Rome"})).rows == 1
    with pytest.raises(InputError, match=r"X_query has shape \(3,\).*X\[\[0\]\], not X\[0\]"):
        adapt(LR().fit(X, Y), X, Y).read_query(X[0])


def test_query_nan_is_named() -> None:
    """NaN in a query is refused like NaN in X, also where a transformer lets it pass."""
    with pytest.raises(InputError, match=r"X_query holds NaN .* \('p0'\), columns 'age'"):
        adapt(FITTED, FRAME, Y).read_query(_with(0, 0, np.nan)[:3])
    piped = make_pipeline(StandardScaler(), LR()).fit(FRAME, Y)
    with pytest.raises(InputError, match=r"X_query holds NaN .* columns 'weight'"):
        adapt(piped, FRAME, Y).read_query(_with(0, 2, np.nan)[:3])


def test_unseen_query_label_is_named() -> None:
    """With the classes that the model knows."""
    with pytest.raises(InputError, match=r"^y_query holds 1 label .*\('maybe'; .* Its classes are 0, 1"):
        adapt(FITTED, FRAME, Y).read_target(["maybe"])


def test_text_where_a_string_stands_for_rows() -> None:
    """One text is not a list of texts."""
    model = make_pipeline(TfidfVectorizer(), LR()).fit(["a good day", "a bad day"] * 5, [1, 0] * 5)
    adapted = adapt(model, ["a good day", "a bad day"] * 5, [1, 0] * 5)
    with pytest.raises(InputError, match="X_query is 'a good day'"):
        adapted.read_query("a good day")


def test_refit_without_a_whole_class_is_refused() -> None:
    """The class list must stay."""
    adapted = adapt(FITTED, FRAME, Y)
    assert adapted.cold_refit is not None
    with pytest.raises(InputError, match=r"no row of class 1 is left"):
        adapted.cold_refit(np.flatnonzero(Y == 1).tolist())
    with pytest.raises(InputError, match="no rows would be left"):
        adapted.cold_refit(range(40))


# -- answered, with a sentence ---------------------------------------------------------------------------------------


def test_constant_and_empty_columns_are_said() -> None:
    """They carry nothing, and the answer says so."""
    x = FRAME.assign(flat=3.0, other=0.0)
    notes = adapt(LR().fit(x, Y), x, Y).notes
    assert any("columns 'flat', 'other' are constant" in note for note in notes)
    sparse = sp.csr_array(np.column_stack([X, np.full(40, 2.0), np.zeros(40)]))
    assert any("'x3', 'x4'" in note for note in adapt(LR().fit(sparse, Y), sparse, Y).notes)


def test_empty_column_behind_an_imputer_is_said() -> None:
    """A column without a value in any row."""
    x = FRAME.assign(blank=np.nan)
    model = make_pipeline(SimpleImputer(keep_empty_features=True), LR()).fit(x, Y)
    notes = adapt(model, x, Y).notes
    assert any("column 'blank' is empty in every row" in note for note in notes)


def test_class_with_one_member_is_said() -> None:
    """Without its row the class is gone."""
    y = np.array(["a", "b"])[Y].astype(object)
    y[5] = "lonely"
    notes = adapt(LR().fit(X, y), X, y).notes
    assert any("class 'lonely' of one row each" in note for note in notes)
