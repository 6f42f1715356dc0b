"""Scores, top, self_influence and without, against models really fitted again by scikit-learn."""

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from upweight import Influence
from upweight.errors import InputError

EXACT: dict[str, Any] = {"solver": "newton-cholesky", "tol": 1e-14, "max_iter": 500}


class Flowers:
    """Iris as a DataFrame with names for rows and classes; 30 rows held out."""

    def __init__(self) -> None:
        bunch = load_iris(as_frame=True)
        at = np.random.default_rng(0).permutation(150)
        x = bunch.data.iloc[at].copy()
        x.index = pd.Index([f"iris-{i:03d}" for i in at], name="flower")
        y = pd.Series(bunch.target_names[bunch.target.to_numpy()[at]], index=x.index)
        self.x, self.y, self.held, self.held_y = x.iloc[:120], y.iloc[:120], x.iloc[120:], y.iloc[120:]
        self.model = self.fit(range(120))
        self.influence = Influence.from_sklearn(self.model, self.x, self.y)

    def fit(self, rows: Any) -> LogisticRegression:
        """Really fitted on these positions."""
        return LogisticRegression(**EXACT).fit(self.x.iloc[list(rows)], self.y.iloc[list(rows)])

    def without(self, rows: Any) -> LogisticRegression:
        """Really fitted on all but these positions."""
        return self.fit(np.setdiff1d(np.arange(120), rows))


@pytest.fixture(scope="module")
def flowers() -> Flowers:
    """Fitted once."""
    return Flowers()


def losses(model: Any, x: Any, y: Any) -> np.ndarray:
    """−log p of each label."""
    p = model.predict_proba(x)
    return -np.log(p[np.arange(len(p)), np.searchsorted(model.classes_, y)])


def test_top_shows_real_removals(flowers: Flowers) -> None:
    """The refit column is what scikit-learn's own fit without that row says; ids, labels and rows are the user's."""
    scores = flowers.influence.scores(flowers.held, flowers.held_y)
    frame = scores.top(6, query=3)
    now = losses(flowers.model, flowers.held, flowers.held_y)[3]
    assert list(frame.columns) == ["row", "estimate", "refit", "label", *flowers.x.columns]
    for record in frame.to_dict("records"):
        at = flowers.x.index.get_loc(record["row"])
        real = losses(flowers.without([at]), flowers.held, flowers.held_y)[3] - now
        assert record["refit"] == pytest.approx(real, rel=1e-6, abs=1e-12)
        assert record["label"] == flowers.y.iloc[at]
        assert [record[name] for name in flowers.x.columns] == flowers.x.iloc[at].tolist()
    assert (np.abs(frame["estimate"]).diff().dropna() <= 0).all()


def test_refits_are_those_of_top_for_any_rows(flowers: Flowers) -> None:
    """In the order asked, all queries at once; ids that there are not, and scores without a model, are refused."""
    scores = flowers.influence.scores(flowers.held, flowers.held_y)
    frame = scores.top(3, query=2)
    found = scores.refits(list(frame["row"][::-1]))
    assert found.shape == (30, 3)
    np.testing.assert_allclose(found[2], frame["refit"].astype(float)[::-1], rtol=1e-12)
    assert scores.refits([]).shape == (30, 0)
    with pytest.raises(InputError, match="no training row has the id 'iris-999'"):
        scores.refits(["iris-999"])
    with pytest.raises(InputError, match="nothing to refit: these scores hold no model"):
        replace(scores, refitter=None, no_refit="these scores hold no model").refits(list(frame["row"]))


def test_kinds_follow_what_is_good(flowers: Flowers) -> None:
    """Of a loss, harmful rows lower it when they leave; of a probability, they raise it; both is by size."""
    loss = flowers.influence.scores(flowers.held, flowers.held_y)
    assert (loss.top(5, kind="harmful")["estimate"] < 0).all()
    assert (loss.top(5, kind="helpful")["estimate"] > 0).all()
    prob = flowers.influence.scores(flowers.held, flowers.held_y, measurement="prob")
    assert (prob.top(5, kind="harmful")["estimate"] > 0).all()
    assert (prob.top(5, kind="helpful")["estimate"] < 0).all()
    bare = flowers.influence.scores(flowers.held, measurement="prob")
    assert bare.better is None
    assert (bare.top(5, kind="raises")["estimate"] > 0).all()
    assert (bare.top(5, kind="lowers")["estimate"] < 0).all()


def test_ties_go_by_row_order() -> None:
    """Duplicated rows have the same score, and stand in the order of the data."""
    x = np.array([[0.0], [1.0], [2.0], [3.0], [1.0], [1.0]])
    y = np.array([0.1, 1.3, 1.9, 3.2, 1.3, 1.3])
    frame = Influence.from_sklearn(Ridge().fit(x, y), x, y).scores([[1.5]], [1.4]).top(6)
    tied = frame[frame["label"] == 1.3]["row"].tolist()
    assert tied == [1, 4, 5]


@pytest.mark.parametrize("measured", ["loss", "log_prob", "prob", "margin", "prediction"])
def test_each_measurement_against_refits(flowers: Flowers, measured: str) -> None:
    """The ten strongest rows of a query, removed for real, in the measurement's own definition: within 15 %."""
    scores = flowers.influence.scores(flowers.held, flowers.held_y, measurement=measured)
    rows = scores.ranked(10, query=3)

    def measure(model: Any) -> float:
        label = flowers.model.predict(flowers.held)[3] if measured == "prediction" else flowers.held_y.iloc[3]
        p = model.predict_proba(flowers.held)[3, np.searchsorted(model.classes_, label)]
        return float({"loss": -np.log(p), "log_prob": np.log(p), "margin": np.log(p / (1 - p))}.get(measured, p))

    base = measure(flowers.model)
    assert scores.base is not None
    assert scores.base[3] == pytest.approx(base, rel=1e-9)
    truth = np.array([measure(flowers.without([i])) - base for i in rows])
    assert scores.values[3, rows] == pytest.approx(truth, rel=0.15, abs=0.02 * np.abs(truth).max())


def test_without_a_label_the_predicted_one_is_meant(flowers: Flowers) -> None:
    """Loss, log-probability and margin of the predicted class: what giving that label says, but no way is better."""
    predicted = flowers.model.predict(flowers.held)
    for measured in ("loss", "log_prob", "prob", "margin"):
        bare = flowers.influence.scores(flowers.held, measurement=measured)
        given = flowers.influence.scores(flowers.held, predicted, measurement=measured)
        assert np.array_equal(bare.values, given.values)
        assert "(of the predicted label)" in bare.meaning
        assert "(of the predicted label)" not in given.meaning


def test_a_function_of_all_queries() -> None:
    """AUROC, and log loss, by scikit-learn's own functions: changes by single removals against refits."""
    x, y = load_breast_cancer(return_X_y=True)
    x = StandardScaler().fit_transform(x)[:, :8]
    model = LogisticRegression(**EXACT).fit(x[:150], y[:150])
    influence = Influence.from_sklearn(model, x[:150], y[:150])
    held, labels = x[150:350], y[150:350]

    def auroc(p: Any, truth: Any) -> float:
        return float(roc_auc_score(truth, p[:, 1]))

    for function in (auroc, lambda p, truth: log_loss(truth, p)):
        scores = influence.scores(held, labels, measurement=function)
        assert scores.values.shape == (1, 150)
        assert scores.base is not None
        assert scores.base[0] == pytest.approx(function(model.predict_proba(held), labels), rel=1e-12)
        frame = scores.top(5)
        for row, refit in zip(frame["row"], frame["refit"], strict=True):
            kept = np.delete(np.arange(150), row)
            cold = LogisticRegression(**EXACT).fit(x[kept], y[kept])
            real = function(cold.predict_proba(held), labels) - scores.base[0]
            assert refit == pytest.approx(real, abs=1e-9)
        assert np.corrcoef(frame["estimate"], frame["refit"])[0, 1] > 0.95
    assert influence.scores(held, labels, measurement=auroc).measurement == "auroc"


def test_a_parameter_by_name(flowers: Flowers) -> None:
    """CLASS/NAME, the intercept too: single removals against coef_ and intercept_ of scikit-learn's refits."""
    for name, read in {
        "virginica/petal width (cm)": lambda m: m.coef_[2, 3],
        "setosa/intercept": lambda m: m.intercept_[0],
    }.items():
        scores = flowers.influence.scores(measurement=f"parameter:{name}")
        frame = scores.top(4)
        assert scores.base == pytest.approx([read(flowers.model)], rel=1e-8)
        for row, refit in zip(frame["row"], frame["refit"], strict=True):
            at = flowers.x.index.get_loc(row)
            assert refit == pytest.approx(read(flowers.without([at])) - read(flowers.model), rel=1e-5)
        assert frame["estimate"].to_numpy() == pytest.approx(frame["refit"].to_numpy(), rel=0.15)


def test_a_parameter_behind_a_pipeline_has_the_columns_own_name() -> None:
    """Names as get_feature_names_out gives them; with one output no class is named."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"area": rng.normal(size=60), "kind": rng.choice(["a", "b", "c"], 60)})
    y = frame["area"] * 2 + (frame["kind"] == "b") + rng.normal(size=60)
    steps = make_column_transformer((StandardScaler(), ["area"]), (OneHotEncoder(), ["kind"]))
    model = make_pipeline(steps, Ridge()).fit(frame, y)
    influence = Influence.from_sklearn(model, frame, y)
    for name in ("standardscaler__area", "onehotencoder__kind_b", "intercept"):
        scores = influence.scores(measurement=f"parameter:{name}")
        top = scores.top(3)
        assert top["estimate"].to_numpy() == pytest.approx(top["refit"].to_numpy(), rel=1e-8)
        assert list(top.columns[4:]) == ["area", "kind"]


def test_self_influence_is_each_rows_own_loss_without_it(flowers: Flowers) -> None:
    """Own loss after a real removal minus own loss now, by scikit-learn: the ten highest within 15 %, all positive."""
    scores = flowers.influence.self_influence()
    assert scores.values.shape == (1, 120)
    assert (scores.values > 0).all()
    now = losses(flowers.model, flowers.x, flowers.y)
    frame = scores.top(10)
    for record in frame.to_dict("records"):
        at = int(flowers.x.index.get_loc(record["row"]))
        real = losses(flowers.without([at]), flowers.x, flowers.y)[at] - now[at]
        assert record["refit"] == pytest.approx(real, rel=1e-5)
        assert record["estimate"] == pytest.approx(real, rel=0.3)
    assert frame["estimate"].rank().corr(frame["refit"].rank()) > 0.9


def test_without_is_a_real_refit_with_a_certificate(flowers: Flowers) -> None:
    """The user's class and names, predictions to 1e-8 of a cold fit, a proof, and what it does not prove."""
    before = copy.deepcopy(vars(flowers.model))
    ids = flowers.x.index[[4, 17, 60]].tolist()
    refit = flowers.influence.without(ids)
    cold = flowers.without([4, 17, 60])
    assert type(refit.model) is LogisticRegression
    assert refit.model.predict_proba(flowers.held) == pytest.approx(cold.predict_proba(flowers.held), abs=1e-8)
    assert list(refit.model.feature_names_in_) == list(flowers.x.columns)
    assert refit.rows == tuple(ids)
    assert refit.converged
    assert refit.certificate.bound is not None
    assert "proved: " in refit.meaning
    assert "does not prove what another choice of preprocessing or settings would give" in refit.meaning
    for key, value in before.items():
        assert np.array_equal(value, getattr(flowers.model, key)), f"{key} of the user's estimator changed"


def test_without_each_is_without_one_after_another(flowers: Flowers) -> None:
    """Same models, same rows; each with a certificate of its own."""
    groups = [list(flowers.x.index[:2]), [flowers.x.index[5]]]
    for rows, refit in zip(groups, flowers.influence.without_each(groups), strict=True):
        alone = flowers.influence.without(rows)
        np.testing.assert_allclose(refit.model.coef_, alone.model.coef_, rtol=1e-9)
        assert refit.rows == tuple(rows)
        assert refit.meaning.partition(";")[0] == alone.meaning.partition(";")[0]
        assert refit.certificate.proof
    assert flowers.influence.without_each([]) == ()


def test_queries_stand_alone(flowers: Flowers) -> None:
    """Scores of a query do not depend on the other queries."""
    together = flowers.influence.scores(flowers.held, flowers.held_y)
    alone = flowers.influence.scores(flowers.held.iloc[[7]], flowers.held_y.iloc[[7]])
    assert alone.values[0] == pytest.approx(together.values[7], rel=1e-10, abs=1e-16)


def test_first_order_scores_of_a_mean_sum_to_zero() -> None:
    """Where a refit divides by the rows that are left, all rows together change nothing: PoissonRegressor."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 3))
    y = rng.poisson(np.exp(0.4 * x[:, 0]))
    model = PoissonRegressor(alpha=0.3, solver="newton-cholesky", tol=1e-12).fit(x, y)
    scores = Influence.from_sklearn(model, x, y).scores(x[:4], y[:4], removal="first_order").values
    assert np.abs(scores.sum(axis=1)).max() <= 1e-12 * np.abs(scores).sum(axis=1).max()


def test_the_answer_says_what_it_is(flowers: Flowers) -> None:
    """Unit, meaning, how, grade: sentences; printing and the notebook form show the rows by their ids."""
    scores = flowers.influence.scores(flowers.held.iloc[:2], flowers.held_y.iloc[:2])
    assert scores.unit == "nats"
    assert "if that training row were removed and the LogisticRegression refitted" in scores.meaning
    assert "Cholesky" in scores.how
    assert scores.grade.letter == "B"
    assert scores.top(1)["row"].iloc[0] in str(scores)
    assert scores.top(1)["row"].iloc[0] in scores._repr_html_()


@pytest.mark.parametrize("solver", ["auto", "cholesky", "woodbury", "cg", "lissa"])
def test_every_solver_gives_the_same_scores(solver: str) -> None:
    """By name or by estimate, to the residual that each states; and `how` says which."""
    x, y = load_wine(return_X_y=True)
    x = StandardScaler().fit_transform(x)
    model = LogisticRegression(C=0.05, **EXACT).fit(x, y)
    expected = Influence.from_sklearn(model, x, y, solver="cholesky").scores(x[:3], y[:3], removal="first_order")
    found = Influence.from_sklearn(model, x, y, solver=solver)
    values = found.scores(x[:3], y[:3], removal="first_order")
    tolerance = 10 * found.attribution.solver.tol
    assert np.abs(values.values - expected.values).max() <= tolerance * np.abs(expected.values).max()
    assert values.how


@pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer], ids=["iris", "wine", "breast cancer"])
def test_logistic_removals_are_off_by_less_than_a_hundredth(load: Any) -> None:
    """Median relative error of the loss of held-out queries over every single removal, the default penalty."""
    x, y = load(return_X_y=True)
    x = StandardScaler().fit_transform(x)[:, :6]
    at = np.random.default_rng(1).permutation(len(x))
    train, held = at[:-20], at[-20:]
    influence = Influence.from_sklearn(LogisticRegression(**EXACT).fit(x[train], y[train]), x[train], y[train])
    scores = influence.scores(x[held], y[held])
    assert scores.refitter is not None
    truth = scores.refitter(range(len(train))).T
    assert np.isfinite(truth).all()
    assert np.median(np.abs(scores.values - truth) / np.abs(truth)) < 0.01
