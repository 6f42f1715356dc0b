"""Two models on the same predictions: every number a second way, other orders of rows, and what is refused."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.datasets import load_diabetes, load_iris
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from upweight import Influence, compare
from upweight.errors import InputError
from upweight.workflows.comparison import LEANS, Comparison

KEPT = 120


@pytest.fixture(scope="module")
def iris() -> tuple[pd.DataFrame, pd.Series]:
    """150 rows in a random order under ids r0 …, named classes."""
    data = load_iris(as_frame=True)
    order = np.random.default_rng(0).permutation(150)
    ids = [f"r{i}" for i in range(150)]
    labels = data.target_names[data.target.to_numpy()[order]]
    return data.data.iloc[order].set_axis(ids), pd.Series(labels, index=ids, name="kind")


def linear(x: Any, y: Any) -> Influence:
    return Influence.from_sklearn(make_pipeline(StandardScaler(), LogisticRegression(tol=1e-10)).fit(x, y), x, y)


def curved(x: Any, y: Any) -> Influence:
    steps = StandardScaler(), PolynomialFeatures(2, include_bias=False), LogisticRegression(tol=1e-10, C=0.1)
    return Influence.from_sklearn(make_pipeline(*steps).fit(x, y), x, y)


@pytest.fixture(scope="module")
def models(iris: Any) -> tuple[Influence, Influence]:
    x, y = iris[0][:KEPT], iris[1][:KEPT]
    return linear(x, y), curved(x, y)


@pytest.fixture(scope="module")
def found(iris: Any, models: Any) -> Comparison:
    return compare(models[0], models[1], iris[0][KEPT:], iris[1][KEPT:], names=("line", "curve"))


def test_numbers_a_second_way(iris: Any, models: Any, found: Comparison) -> None:
    """From the scores of each model alone: spread, agreement, distance, other classes, effective rows, nearest."""
    x, y = iris[0][KEPT:], iris[1][KEPT:].to_numpy()
    labels = iris[1][:KEPT].to_numpy()
    scores = [model.scores(x, y, "margin") for model in models]
    frame = found.to_frame()
    assert list(frame["label"]) == list(y)
    for end, side, own in zip("ab", found, scores, strict=True):
        assert own.base is not None
        assert own.distance is not None
        np.testing.assert_allclose(side.influence, own.values / own.base.std(), rtol=1e-12)
        np.testing.assert_allclose(frame[f"margin_{end}"], own.base / own.base.std(), rtol=1e-12)
        for i in range(len(y)):
            size, far, other = np.abs(own.values[i]), own.distance.to(i), labels != y[i]
            line = frame.iloc[i]
            assert line[f"by_distance_{end}"] == pytest.approx(spearmanr(size, far).statistic, abs=1e-9)
            assert line[f"other_class_{end}"] == pytest.approx(size[other].sum() / size.sum())
            assert line[f"effective_rows_{end}"] == pytest.approx(1.0 / np.sum((size / size.sum()) ** 2))
            helps = own.values[i] < 0
            share = size[other & helps].sum() / size[helps].sum()
            assert line[f"helped_by_others_{end}"] == pytest.approx(share)
            nearest, first = set(np.argsort(far)[:10]), set(np.argsort(-size)[:10])
            assert line[f"not_nearest_{end}"] == pytest.approx(1 - len(nearest & first) / 10)
    for i in range(len(y)):
        one, two = scores[0].values[i], scores[1].values[i]
        assert frame["rank_correlation"][i] == pytest.approx(spearmanr(one, two).statistic, abs=1e-9)
        firsts = [set(np.argsort(-np.abs(v))[:10]) for v in (one, two)]
        assert frame["shared"][i] == pytest.approx(len(firsts[0] & firsts[1]) / 10)


def test_rows_are_refitted_and_say_who_leans_on_them(iris: Any, models: Any, found: Comparison) -> None:
    """Of one query: the refit is the model's own without the row; leans follows the shares."""
    x, y = iris[0], iris[1]
    frame = found.rows(3, query=0)
    assert 3 <= len(frame) <= 6
    for line in frame.to_dict("records"):
        row = line["row"]
        kept = x[:KEPT].drop(index=row)
        fixed = StandardScaler().fit(x[:KEPT])  # the preprocessing stays
        model = LogisticRegression(C=1.0, tol=1e-12, max_iter=1000).fit(fixed.transform(kept), y[:KEPT].drop(index=row))
        full = LogisticRegression(C=1.0, tol=1e-12, max_iter=1000).fit(fixed.transform(x[:KEPT]), y[:KEPT])
        p, now = (m.predict_proba(fixed.transform(x.iloc[[KEPT]]))[0] for m in (model, full))
        k = list(model.classes_).index(y.iloc[KEPT])
        change = np.log(p[k] / (1 - p[k])) - np.log(now[k] / (1 - now[k]))
        assert line["refit_a"] == pytest.approx(change / found.a.spread, rel=1e-4, abs=1e-7)
        ratio = line["share_a"] / line["share_b"]
        assert line["leans"] == ("a" if ratio >= LEANS else "b" if ratio <= 1 / LEANS else "both")
        assert line["label"] == y[row]
    over = found.rows()
    assert over["share_a"].max() == pytest.approx(found.a.shares(None).max())


def test_rows_of_another_class_that_help(iris: Any, found: Comparison) -> None:
    """None is of the query's class, each helps one of the models, the largest first."""
    frame = found.helpful_others(0, 5)
    assert len(frame)
    assert (frame["label"] != iris[1].iloc[KEPT]).all()
    best = frame[["influence_a", "influence_b"]].min(axis=1)
    assert (best < 0).all()
    assert best.is_monotonic_increasing


def test_the_order_of_the_second_models_rows_does_not_matter(iris: Any, models: Any, found: Comparison) -> None:
    """Its rows are found by their ids."""
    turned = curved(iris[0][:KEPT].iloc[::-1], iris[1][:KEPT].iloc[::-1])
    again = compare(models[0], turned, iris[0][KEPT:], iris[1][KEPT:], names=("line", "curve"))
    # each fit stops where lbfgs stops
    np.testing.assert_allclose(again.b.influence, found.b.influence, atol=1e-5)
    assert again.row_ids == found.row_ids
    assert list(again.rows(3, 0)["row"]) == list(found.rows(3, 0)["row"])
    np.testing.assert_allclose(again.b.distance.to(2), found.b.distance.to(2), rtol=1e-9)


def test_a_model_beside_itself_agrees(iris: Any, models: Any) -> None:
    """Agreement 1, all ten shared, nothing leaned on by one alone; the names are told apart."""
    same = compare(models[0], models[0], iris[0][KEPT:], iris[1][KEPT:])
    np.testing.assert_allclose(same.agreement, 1.0)
    assert (same.shared == 1.0).all()
    assert (same.rows()["leans"] == "both").all()
    assert (same.a.name, same.b.name) == ("LogisticRegression a", "LogisticRegression b")
    assert "leans on" not in " ".join(same.sentences)


def test_a_row_that_one_model_alone_sees() -> None:
    """A row that lies in a column which the other model does not read is leaned on by one, and the page names it."""
    draw = np.random.default_rng(1)
    x = pd.DataFrame(draw.normal(size=(60, 2)), columns=["u", "v"]).assign(rare=0.0)
    y = np.where(x["u"] + draw.normal(scale=0.5, size=60) > 0, "up", "down")
    x.loc[17, ["u", "v", "rare"]] = [-0.3, 0.0, 4.0]
    y[17] = "up"
    model = LogisticRegression(tol=1e-10, C=10.0)
    both = Influence.from_sklearn(model.fit(x, y), x, y)
    rest = x[["u", "v"]]
    one = Influence.from_sklearn(LogisticRegression(tol=1e-10, C=10.0).fit(rest, y), rest, y)
    asked = x.iloc[[3, 8, 21]].assign(rare=[4.0, 3.0, 3.5])
    made = compare(both, one, asked, ["down"] * 3, X_query_b=asked[["u", "v"]], names=("with", "without"))
    top = made.rows(3)
    assert top.loc[top["row"] == 17, "leans"].tolist() == ["a"]
    assert any(text.startswith("with leans on row") and "17" in text for text in made.sentences)


def test_one_query_is_measured_in_the_spread_of_the_training_rows(iris: Any, models: Any) -> None:
    """One number has no spread; without labels those of the first model are asked about."""
    made = compare(models[0], models[1], iris[0][KEPT : KEPT + 1])
    own = models[0].scores(iris[0][:KEPT], iris[1][:KEPT], "margin").base
    assert own is not None
    assert made.a.spread == pytest.approx(own.std())
    assert "over the training rows" in made.meaning
    assert made.asked == tuple(made.a.says)
    assert "of the label that LogisticRegression a says" in made.meaning


def test_regressions_are_compared_by_their_predictions() -> None:
    """No classes: no shares of other classes, and no rows of them."""
    x, y = load_diabetes(return_X_y=True)
    one = Influence.from_sklearn(Ridge(alpha=1e-3).fit(x[:100], y[:100]), x[:100], y[:100])
    two = Influence.from_sklearn(Ridge(alpha=1.0).fit(x[:100], y[:100]), x[:100], y[:100])
    made = compare(one, two, x[100:110], y[100:110], names=("free", "held"))
    names = [str(name) for name in made.to_frame()]
    assert not [name for name in names if "class" in name or "other" in name or name == "label"]
    assert "prediction" in str(made)
    assert "other classes" not in str(made)
    with pytest.raises(InputError, match="a regression has no classes"):
        made.helpful_others(0)


def test_a_network_beside_a_linear_model(iris: Any) -> None:
    """The head of a network: labels are numbers, queries tensors for one and an array for the other; both refit."""
    torch = pytest.importorskip("torch")
    x = iris[0].to_numpy()[:80].astype(np.float32)
    y = np.unique(iris[1].to_numpy(), return_inverse=True)[1][:80]
    torch.manual_seed(0)
    body = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Tanh())
    with torch.no_grad():
        read = body(torch.tensor(x)).double()
    head = LogisticRegression(C=1 / (80 * 0.02), tol=1e-10, max_iter=2000).fit(read.numpy(), y)
    last = torch.nn.Linear(6, 3)
    last.weight.data, last.bias.data = (torch.tensor(v, dtype=torch.float32) for v in (head.coef_, head.intercept_))
    net = torch.nn.Sequential(body, last).eval()
    loss = torch.nn.CrossEntropyLoss(reduction="none")
    penalty = {"1.weight": 0.02}
    deep = Influence.from_torch(
        net, loss, (torch.tensor(x), torch.tensor(y)), params="head", penalty=penalty, damping=0.0
    )
    flat = Influence.from_sklearn(LogisticRegression(tol=1e-10).fit(x, y), x, y)
    made = compare(deep, flat, torch.tensor(x[:6]), torch.tensor(y[:6]), X_query_b=x[:6], names=("network", "flat"))
    assert made.asked == tuple(y[:6])
    assert made.to_frame().notna().all().all()
    assert {"refit_a", "refit_b"} <= set(made.rows(2))
    assert "network: some" in str(made).replace("\n", " ")


def test_a_distance_for_both(iris: Any, models: Any) -> None:
    """One [q, n] stands for each model's own."""
    far = np.abs(np.random.default_rng(2).normal(size=(30, KEPT)))
    made = compare(models[0], models[1], iris[0][KEPT:], iris[1][KEPT:], distance=far)
    size = np.abs(made.b.influence[4])
    assert made.b.by_distance[4] == pytest.approx(spearmanr(size, far[4]).statistic, abs=1e-9)
    with pytest.raises(InputError, match=r"distance has shape \(30, 3\). Give \[30, 120\]"):
        compare(models[0], models[1], iris[0][KEPT:], iris[1][KEPT:], distance=far[:, :3])


def test_it_shows_itself(found: Comparison) -> None:
    """Words, 80 columns, HTML without script, and matplotlib's axes."""
    text = str(found)
    assert max(map(len, text.splitlines())) <= 80
    for part in ("order the training rows alike by", "rows stand behind a prediction", "line", "curve", "grade"):
        assert part in text
    html = found._repr_html_()
    assert "<svg" in html
    assert "<script" not in html
    assert repr(found) == "<Comparison: line and curve, 30 predictions × 120 rows>"
    ax = found.plot(query=1)
    assert ax.get_title() == "query 1 of 30"
    assert {t.get_text().split(" (")[0] for t in ax.get_legend().get_texts()} == {"same class", "another class"}
    assert found.plot().get_title() == "mean over 30 predictions"
    own = found.b.plot(query=2)
    assert own.get_title() == "curve · query 2"
    drawn = np.sort(np.concatenate([np.asarray(dots.get_offsets())[:, 1] for dots in own.collections]))
    np.testing.assert_allclose(drawn, np.sort(found.b.influence[2]))
    with pytest.raises(InputError, match="query 30 is not there: 30 queries were asked"):
        found.a.plot(query=30)
    unseen = found.document(show_rows=False)
    assert "label" not in [column.name for section in unseen.sections for b in section.blocks
                           for column in getattr(b, "columns", ())]  # fmt: skip


def test_what_is_refused(iris: Any, models: Any) -> None:
    """Other rows, labels, classes, kinds, queries: each by name and place."""
    x, y = iris
    query, truth = x[KEPT:], y[KEPT:]
    a, b = models
    fewer = linear(x[2:KEPT], y[2:KEPT])
    with pytest.raises(InputError, match=r"rows 'r0', 'r1' are only in the first \(120 and 118 rows\)"):
        compare(a, fewer, query, truth)
    with pytest.raises(InputError, match=r"rows 'r0', 'r1' are only in the second"):
        compare(fewer, a, query, truth)
    wrong = y[:KEPT].copy()
    wrong.iloc[4] = next(label for label in ("setosa", "virginica") if label != wrong.iloc[4])
    with pytest.raises(InputError, match=r"different labels in 1 of 120 rows \('r4'\)"):
        compare(a, linear(x[:KEPT], wrong), query, truth)
    with pytest.raises(InputError, match=r"share no class: 'setosa', 'versicolor', 'virginica' and 'SETOSA'"):
        compare(a, linear(x[:KEPT], y[:KEPT].str.upper()), query, truth)
    numbers = pd.Series(np.arange(KEPT, dtype=float), index=x.index[:KEPT])
    ridge = Influence.from_sklearn(Ridge().fit(x[:KEPT], numbers), x[:KEPT], numbers)
    with pytest.raises(InputError, match="one model is a classification, the other a regression"):
        compare(a, ridge, query, truth)
    with pytest.raises(InputError, match="X_query has 30 rows and X_query_b 2"):
        compare(a, b, query, truth, X_query_b=query[:2])
    with pytest.raises(InputError, match="X_query has 30 rows and y_query 3"):
        compare(a, b, query, truth[:3])
    with pytest.raises(InputError, match="y_query holds 'rose', which is no class of both models"):
        compare(a, b, query, ["rose"] * 30)
    with pytest.raises(InputError, match=r"the margin of LogisticRegression is the same on all 2 rows"):
        compare(a, b, query.iloc[[0, 0]], truth.iloc[[0, 0]])
    with pytest.raises(InputError, match="query 30 is not there: the comparison holds 30 queries"):
        compare(a, b, query, truth).rows(query=30)
