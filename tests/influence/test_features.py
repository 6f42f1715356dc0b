"""Features: per unit of the user's own columns, against central differences of the model really fitted again."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, PolynomialFeatures, StandardScaler

from upweight import Influence
from upweight.errors import InputError, MeasurementError, UnsupportedQuestion
from upweight.feature_effects import FeatureEffects

EXACT: dict[str, Any] = {"solver": "newton-cholesky", "tol": 1e-14, "max_iter": 500}
RNG = np.random.default_rng(0)
N = 70
X = RNG.normal(size=(N, 3)) * np.array([1.0, 5.0, 0.2]) + 1.0
CLASS = np.array(["ant", "bee", "cat"])[np.argmax(X @ RNG.normal(size=(3, 3)) + RNG.gumbel(size=(N, 3)), axis=1)]
COUNT = RNG.poisson(np.exp(0.3 * X[:, 0] + 0.5)).astype(float)
WEIGHT = RNG.uniform(0.5, 2.0, size=N)
ROWS = [2, 9]


def classifier() -> Any:
    """Softmax, solved to rounding."""
    return LogisticRegression(**EXACT)


MODELS: dict[str, tuple[Any, Any, Any]] = {
    "softmax": (classifier, CLASS, None),
    "softmax, weighted": (classifier, CLASS, WEIGHT),
    "binary": (classifier, CLASS == "ant", None),
    "one against the rest": (lambda: OneVsRestClassifier(classifier()), CLASS, None),
    "ridge": (lambda: Ridge(alpha=0.5), COUNT, WEIGHT),
    "poisson, mean form": (
        lambda: PoissonRegressor(alpha=0.1, solver="newton-cholesky", tol=1e-14, max_iter=500),
        COUNT,
        WEIGHT,
    ),
    "scaled and PCA": (lambda: make_pipeline(StandardScaler(), PCA(2), classifier()), CLASS, None),
    "polynomial": (lambda: make_pipeline(StandardScaler(), PolynomialFeatures(2), classifier()), CLASS, None),
}


def margins(model: Any, x: Any, y: Any) -> Any:
    """What is measured: the prediction of a regression, else the own class's score against the others'."""
    if not hasattr(model, "decision_function"):
        return model.predict(x)
    z = model.decision_function(x)
    k = np.searchsorted(model.classes_, y)
    if z.ndim == 1:
        return np.where(k == 1, z, -z)
    own = np.arange(z.shape[1])[None] == k[:, None]
    others = np.where(own, -np.inf, z)
    if "OneVsRest" in type(model).__name__:
        return np.where(own, z, 0.0).sum(axis=1) - others.max(axis=1)
    return np.where(own, z, 0.0).sum(axis=1) - np.log(np.exp(others).sum(axis=1))


def refitted(model: Any, x: Any, y: Any, weight: Any) -> Any:
    """Fitted again on another x behind the preprocessing as it was fitted."""
    final = model[-1] if hasattr(model, "steps") else model
    read = model[:-1].transform(x) if hasattr(model, "steps") else x
    kwargs = {} if weight is None else {"sample_weight": weight}
    fresh = clone(final).fit(read, y, **kwargs)
    return fresh if not hasattr(model, "steps") else make_pipeline(*(step for _, step in model.steps[:-1]), fresh)


@pytest.mark.parametrize("name", MODELS)
def test_per_unit_against_refits(name: str) -> None:
    """Six digits of the central difference of refits, for every column of two rows."""
    make, y, weight = MODELS[name]
    kwargs = {} if weight is None else {"sample_weight": weight}
    model = make().fit(X, y, **kwargs)
    influence = Influence.from_sklearn(model, X, y, **kwargs)
    kind = "prediction" if influence.adapted.kind == "regression" else "margin"
    found = influence.features(X[:5], y[:5], ROWS, measurement=kind)
    assert found.values.shape == (5, 2, 3)
    for k, row in enumerate(ROWS):
        for j in range(3):
            h = 1e-4 * X[:, j].std()
            sides = []
            for sign in (1.0, -1.0):
                x = X.copy()
                x[row, j] += sign * h
                sides.append(margins(refitted(model, x, y, weight), X[:5], y[:5]))
            slope = (sides[0] - sides[1]) / (2.0 * h)
            np.testing.assert_allclose(found.values[:, k, j], slope, rtol=1e-5, atol=1e-6 * np.abs(slope).max())


TABLE = pd.DataFrame(
    {
        "town": RNG.choice(["Rome", "Bern", "Oslo"], N),
        "age": X[:, 0] * 10 + 40,
        "income": np.where(RNG.random(N) < 0.1, np.nan, X[:, 1]),
        "name": [f"person {i}" for i in range(N)],
        "note": [" ".join(RNG.choice(["good", "bad", "day", "film", "long"], 5)) for _ in range(N)],
    },
    index=[f"r{i}" for i in range(N)],
)


def length(x: Any) -> Any:
    """Something that is neither linear nor a category."""
    return np.asarray([[len(str(cell)) for cell in row] for row in np.asarray(x)], dtype=float)


@pytest.fixture(scope="module")
def table() -> tuple[Any, Influence, FeatureEffects]:
    """Words, categories, missing numbers, a column of names and one that is not used."""
    columns = make_column_transformer(
        (OneHotEncoder(), ["town"]),
        (make_pipeline(SimpleImputer(), StandardScaler()), ["age", "income"]),
        (FunctionTransformer(length), ["name"]),
        (TfidfVectorizer(), "note"),
    )
    frame = TABLE.assign(unused=1.0)
    model = make_pipeline(columns, classifier()).fit(frame, CLASS)
    influence = Influence.from_sklearn(model, frame, CLASS)
    return model, influence, influence.features(frame[:3], CLASS[:3], ["r4", "r9"])


def test_categories_and_words_against_refits(table: tuple[Any, Influence, FeatureEffects]) -> None:
    """The row really read with the other town, or without the word: sign and size, first order."""
    model, influence, found = table
    x = influence.adapted.rows
    now = -np.log(model.predict_proba(x[:3])[np.arange(3), np.searchsorted(model.classes_, CLASS[:3])])
    frame = found.frame(query=1, row="r9")
    towns = frame[frame["kind"] == "category"]
    words = frame[frame["kind"] == "word"]
    assert set(towns["column"]) == {f"town={name}" for name in {"Rome", "Bern", "Oslo"} - {TABLE["town"]["r9"]}}
    assert set(words["value"]) <= set(TABLE["note"]["r9"].split())
    assert len(words) >= 2
    estimates, real = [], []
    for line in [*towns.to_dict("records"), *words.to_dict("records")]:
        other = x.copy()
        if line["kind"] == "category":
            other.loc["r9", "town"] = line["column"].partition("=")[2]
            assert line["value"] == TABLE["town"]["r9"]
        else:
            assert line["column"] == f"note−{line['value']}"
            other.loc["r9", "note"] = TABLE["note"]["r9"].replace(line["value"], "")
        fitted = refitted(model, other, CLASS, None)
        after = -np.log(fitted.predict_proba(x[:3])[np.arange(3), np.searchsorted(model.classes_, CLASS[:3])])
        assert line["refit"] == pytest.approx((after - now)[1], rel=1e-6, abs=1e-12)
        estimates.append(line["effect"])
        real.append((after - now)[1])
    np.testing.assert_allclose(estimates, real, rtol=0.25, atol=0.1 * np.abs(real).max())


def test_what_is_shown(table: tuple[Any, Influence, FeatureEffects]) -> None:
    """One line a number, a category, a word; per standard deviation ranks them; what has no effect is None and said."""
    _, influence, found = table
    frame = found.frame(row="r4")
    assert list(frame.columns) == ["column", "value", "effect", "per sd", "refit", "unit", "kind"]
    age = frame[frame["column"] == "age"].to_dict("records")[0]
    assert age["effect"] == found.values[0, 0, 1]
    assert age["per sd"] == pytest.approx(age["effect"] * TABLE["age"].std(ddof=0))
    assert age["value"] == TABLE["age"]["r4"]
    assert age["kind"] == "number"
    assert age["refit"] is None
    assert age["unit"] == "nats per unit"
    sizes = [
        abs(p if p is not None else e) for p, e in zip(frame["per sd"], frame["effect"], strict=True) if e is not None
    ]
    assert sizes == sorted(sizes, reverse=True)
    unused = frame[frame["column"] == "unused"].to_dict("records")[0]
    assert (unused["effect"], unused["kind"]) == (0.0, "not used")
    name = frame[frame["column"] == "name"].to_dict("records")[0]
    assert (name["effect"], name["kind"]) == (None, "no derivative")
    assert any("column 'name': FunctionTransformer has no derivative" in note for note in found.notes)
    assert np.isfinite(found.values).all()
    both = found.to_frame()
    assert list(both.columns[:2]) == ["query", "row"]
    assert set(both["row"]) == {"r4", "r9"}
    for text in (str(found), found._repr_html_()):
        assert "cells of row r4 that move query 0 most" in text
        assert "town=" in text
    assert "per unit by which a number" in found.meaning
    assert "difference of the row" in found.how
    missing = TABLE.index[TABLE["income"].isna()][0]
    line = influence.features(influence.adapted.rows[:1], CLASS[:1], [missing]).frame()
    assert line[line["column"] == "income"][["effect", "kind"]].to_dict("records") == [
        {"effect": None, "kind": "missing"}
    ]


def test_rows_default_to_the_strongest_and_all_may_be_asked() -> None:
    """None: the ten that matter most by removal; all of them are allowed."""
    influence = Influence.from_sklearn(classifier().fit(X, CLASS), X, CLASS)
    sizes = np.abs(influence.scores(X[:2], CLASS[:2]).values).sum(axis=0)
    found = influence.features(X[:2], CLASS[:2])
    assert found.row_ids == tuple(np.argsort(-sizes, kind="stable")[:10].tolist())
    assert found.columns == ("x0", "x1", "x2")
    assert influence.features(X[:2], CLASS[:2], list(range(N))).values.shape == (2, N, 3)
    assert influence.features(rows=[3], measurement="parameter:ant/x1").values.shape == (1, 1, 3)


def test_sparse_rows_and_plain_texts() -> None:
    """Sparse columns as dense ones; a list of texts word by word."""
    thin = X * (X > 1)
    dense = Influence.from_sklearn(classifier().fit(thin, CLASS), thin, CLASS).features(thin[:2], CLASS[:2], ROWS)
    x = sp.csr_array(thin)
    model = LogisticRegression(tol=1e-12, max_iter=5000).fit(x, CLASS)
    found = Influence.from_sklearn(model, x, CLASS).features(x[:2], CLASS[:2], ROWS)
    np.testing.assert_allclose(found.values, dense.values, atol=1e-9)
    texts = TABLE["note"].tolist()
    piped = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, CLASS)
    words = Influence.from_sklearn(piped, texts, CLASS).features(texts[:2], CLASS[:2], [5])
    frame = words.frame()
    assert words.columns == ("text",)
    assert set(frame["column"]) == {f"text−{word}" for word in set(texts[5].split())}
    assert (frame["unit"] == "nats if the word were deleted").all()


def test_a_derivative_needs_no_leverage() -> None:
    """Per unit of a number nothing is taken out: the grade does not speak of leverage."""
    x = X.copy()
    x[0] *= 30.0
    influence = Influence.from_sklearn(classifier().fit(x, CLASS), x, CLASS)
    assert not any("leverage" in reason for reason in influence.features(x[:2], CLASS[:2], [0]).grade.reasons)


def test_refusals(table: tuple[Any, Influence, FeatureEffects]) -> None:
    """Rows, queries, labels and measurements that there are not."""
    _, influence, found = table
    x = influence.adapted.rows
    with pytest.raises(InputError, match="no training row has the id 'nobody'"):
        influence.features(x[:1], CLASS[:1], ["nobody"])
    with pytest.raises(InputError, match="rows holds no row"):
        influence.features(x[:1], CLASS[:1], [])
    with pytest.raises(InputError, match=r"row 'r5' is not among those asked for \('r4', 'r9'\)"):
        found.frame(row="r5")
    with pytest.raises(InputError, match="query 7 is not there: these effects hold 3 queries"):
        found.frame(query=7)
    with pytest.raises(InputError, match="y_query holds 1 label that the model was not fitted on"):
        influence.features(x[:1], ["dog"], ["r1"])
    with pytest.raises(UnsupportedQuestion, match="function of all predictions at once"):
        influence.features(x[:1], None, ["r1"], measurement=lambda p, y: 0.0)
    ridge = Influence.from_sklearn(Ridge().fit(X, COUNT), X, COUNT)
    with pytest.raises(MeasurementError, match="the loss of a regression needs y_query"):
        ridge.features(X[:2])
