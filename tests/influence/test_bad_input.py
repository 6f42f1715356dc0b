"""What cannot be answered is refused: what was seen, where, what to do. One test a line."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from upweight import Influence
from upweight.errors import InputError, MeasurementError

RNG = np.random.default_rng(0)
X = pd.DataFrame(RNG.normal(size=(40, 3)), columns=["a", "b", "c"], index=[f"r{i}" for i in range(40)])
Y = np.where(X["a"] + RNG.logistic(size=40) > 0, "yes", "no")
Z = X.to_numpy() @ [1.0, 2.0, 0.0] + RNG.normal(size=40)


@pytest.fixture(scope="module")
def influence() -> Influence:
    """A binary classifier."""
    return Influence.from_sklearn(LogisticRegression().fit(X, Y), X, Y)


@pytest.fixture(scope="module")
def regression() -> Influence:
    """A ridge regression."""
    return Influence.from_sklearn(Ridge().fit(X, Z), X, Z)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["r1", "nobody", "none"], "no training row has the id 'nobody', 'none'. Ids are 'r0', 'r1', 'r2' and 37 more"),
        ([5], "no training row has the id 5"),
        (["r1", "r2", "r1"], "a row is named more than once"),
        ([], "0 rows of 40 to remove"),
        ([f"r{i}" for i in range(40)], "40 rows of 40 to remove"),
        ("r1", "rows is 'r1'. Give a list of row ids"),
        (7, "rows is 7. Give a list of row ids"),
        ([["r1"]], r"no training row has the id \['r1'\]"),
    ],
)
def test_rows_to_remove(influence: Influence, rows: Any, message: str) -> None:
    """Unknown, repeated, none, all, or no list at all."""
    with pytest.raises(InputError, match=message):
        influence.positions(rows)


def test_all_rows_of_a_class(influence: Influence) -> None:
    """A refit that loses a class is refused or says that it found no optimum; it is never a model of one class."""
    rows = X.index[Y == "yes"].tolist()
    try:
        refit = influence.without(rows)
    except InputError as error:
        assert "class" in str(error)  # noqa: PT017
    else:
        assert not refit.converged
        assert "no optimum was found" in refit.meaning
        assert np.isfinite(refit.model.predict_proba(X)).all()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"removal": "newton"}, InputError, "removal 'newton' is not known. Use 'leverage' or 'first_order'"),
        ({"measurement": "los"}, MeasurementError, "measurement 'los' is not known"),
        ({"measurement": "parameter"}, MeasurementError, "say which one: measurement='parameter:NAME'"),
        ({"measurement": "parameter:d"}, MeasurementError, "no parameter 'd'. Name one of its columns: 'a', 'b', 'c'"),
        ({"X_query": None}, InputError, "needs X_query"),
        ({"X_query": X.iloc[:0]}, InputError, "X_query has no rows|0 rows"),
        ({"y_query": ["yes", "no"]}, InputError, "X_query has 3 rows and y_query 2"),
        ({"y_query": ["yes", "no", "maybe"]}, InputError, "'maybe'"),
        ({"y_query": ["yes", "no", None]}, InputError, "no finite value"),
        ({"X_query": X[["a", "b"]].iloc[:3]}, InputError, "column"),
        ({"X_query": X.iloc[:3].assign(a=np.nan)}, InputError, "NaN|nan|missing"),
        ({"X_query": X.iloc[:3].assign(a=np.inf)}, InputError, "inf"),
    ],
)
def test_questions(influence: Influence, arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    """A name, a query or a label that there is not."""
    asked = {"X_query": X.iloc[:3], "y_query": None, **arguments}
    with pytest.raises(error, match=message):
        influence.scores(**asked)


def test_a_regressions_loss_needs_a_target(regression: Influence) -> None:
    """Its prediction needs none."""
    with pytest.raises(MeasurementError, match="the loss of a regression needs y_query"):
        regression.scores(X.iloc[:2])
    assert np.isfinite(regression.scores(X.iloc[:2], measurement="prediction").values).all()
    with pytest.raises(MeasurementError, match="a regression has no 'prob'"):
        regression.scores(X.iloc[:2], measurement="prob")
    with pytest.raises(InputError, match="no finite value"):
        regression.scores(X.iloc[:2], [1.0, np.nan])


@pytest.mark.parametrize("returned", [np.nan, np.inf, [1.0, 2.0], None])
def test_a_function_that_returns_no_number(influence: Influence, returned: Any) -> None:
    """NaN, infinity, a list, nothing: named, and what a function must do."""

    def broken(predictions: Any, y: Any) -> Any:
        return returned

    with pytest.raises(MeasurementError, match=r"the function 'broken' returned .* must return one finite number"):
        influence.scores(X.iloc[:3], measurement=broken)


@pytest.mark.parametrize("damping", [-1.0, np.nan, np.inf])
def test_damping(damping: float) -> None:
    """Negative or not a number."""
    with pytest.raises(InputError, match=r"damping is .* Give a number >= 0"):
        Influence.from_sklearn(LogisticRegression().fit(X, Y), X, Y, damping=damping)


def test_solver_names() -> None:
    """One that there is not, with those that there are."""
    with pytest.raises(InputError, match=r"'choleski'.*cholesky"):
        Influence.from_sklearn(LogisticRegression().fit(X, Y), X, Y, solver="choleski")


def test_top(influence: Influence) -> None:
    """A kind or a query that these scores do not have."""
    scores = influence.scores(X.iloc[:2], Y[:2])
    with pytest.raises(InputError, match="query 2 is not there: these scores hold 2 queries"):
        scores.top(query=2)
    with pytest.raises(InputError, match="kind 'raises' is not one of 'helpful', 'harmful', 'both' for 'loss'"):
        scores.top(kind="raises")
    bare = influence.scores(X.iloc[:2], measurement="prediction")
    with pytest.raises(InputError, match="kind 'harmful' is not one of 'raises', 'lowers', 'both'"):
        bare.top(kind="harmful")


def test_smallest_flip(influence: Influence, regression: Influence) -> None:
    """More than one prediction, a class that there is not or that is predicted already, a value out of reach."""
    now = LogisticRegression().fit(X, Y).predict(X.iloc[[0]])[0]
    for arguments, message in {
        (2, "yes"): "explains one prediction; x_query has 2 rows",
        (1, "maybe"): "to='maybe' is not a class. Use one of 'no', 'yes'",
        (1, str(now)): f"the model already predicts '{now}'",
    }.items():
        with pytest.raises(InputError, match=message):
            influence.smallest_flip(X.iloc[: arguments[0]], to=arguments[1])
    with pytest.raises(InputError, match="a regression has no class to flip to: give to="):
        regression.smallest_flip(X.iloc[[0]])
    with pytest.raises(InputError, match="a regression has no class to flip to: give to="):
        regression.smallest_flip(X.iloc[[0]], to=np.nan)
    value = float(Ridge().fit(X, Z).predict(X.iloc[[0]])[0])
    with pytest.raises(InputError, match="is already"):
        regression.smallest_flip(X.iloc[[0]], to=regression.scores(X.iloc[[0]], measurement="prediction").base[0])
    assert np.isfinite(value)
