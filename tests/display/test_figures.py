"""What matplotlib is asked to draw: every row once, sign by shape and colour, on the axes that were given."""

import builtins
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")

from matplotlib import pyplot
from matplotlib.colors import to_hex
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from upweight import Influence
from upweight.display.figures import DOWN, UP, draw_features
from upweight.errors import InputError, MissingExtra


@pytest.fixture(scope="module")
def influence() -> Influence:
    """120 tumours, standardised inside the pipeline."""
    x, y = load_breast_cancer(return_X_y=True, as_frame=True)
    model = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-8, max_iter=500)).fit(x[:120], y[:120])
    return Influence.from_sklearn(model, x[:120], y[:120])


@pytest.fixture(scope="module")
def queries() -> tuple[Any, Any]:
    """Three more."""
    x, y = load_breast_cancer(return_X_y=True, as_frame=True)
    return x[120:123], y[120:123]


@pytest.fixture(autouse=True)
def _closed() -> Any:
    yield
    pyplot.close("all")


def drawn(axes: Any) -> dict[str, Any]:
    """Points by the first word of their legend: (offsets, colour, number of corners of the marker)."""
    return {c.get_label().split(" (")[0]: c for c in axes.collections}


def test_influence_over_distance(influence: Influence, queries: tuple[Any, Any]) -> None:
    """▲ blue for helpful, ▼ orange for harmful, each row once, at its standardised distance and its score."""
    scores = influence.scores(*queries)
    figure, mine = pyplot.subplots()
    axes = scores.plot(ax=mine, query=1)
    assert axes is mine
    found = drawn(axes)
    assert set(found) == {"helpful", "harmful"}
    assert to_hex(found["helpful"].get_facecolor()[0]) == UP.lower()
    assert to_hex(found["harmful"].get_facecolor()[0]) == DOWN.lower()
    tips = {name: found[name].get_paths()[0].vertices for name in found}
    assert tips["helpful"][:, 1].argmax() == 0  # a triangle that points up starts at its tip
    assert not np.array_equal(tips["helpful"], tips["harmful"])
    points = np.concatenate([np.asarray(c.get_offsets()) for c in found.values()])
    x = influence.adapted.rows.to_numpy()
    apart = np.sqrt((((x - queries[0].to_numpy()[1]) / x.std(axis=0)) ** 2).sum(axis=1))
    expected = np.stack([apart, scores.values[1]], axis=1)
    assert np.allclose(points[np.lexsort(points.T)], expected[np.lexsort(expected.T)], rtol=1e-9)
    assert "nats" in axes.get_ylabel()
    assert "standard deviations" in axes.get_xlabel()
    assert "grade" in axes.get_title()
    figure.canvas.draw()


def test_where_more_is_better_a_harmful_row_stands_above(influence: Influence, queries: tuple[Any, Any]) -> None:
    """Of a probability, a removal that raises it was of a harmful row: the shape follows the word, not the side."""
    found = drawn(influence.scores(*queries, measurement="prob").plot())
    assert (np.asarray(found["harmful"].get_offsets())[:, 1] > 0).all()
    neither = drawn(influence.scores(queries[0], measurement="prob").plot())
    assert set(neither) == {"removal raises", "removal lowers"}


def test_without_a_query_ranks_stand_below(influence: Influence, queries: tuple[Any, Any]) -> None:
    """A parameter, the own loss and a function of all predictions have no distance."""
    for scores in (
        influence.self_influence(),
        influence.scores(measurement="parameter:intercept"),
        influence.scores(*queries, measurement=lambda p, y: float(p[:, 1].mean())),
    ):
        axes = scores.plot()
        assert axes.get_xlabel().startswith("rank of the row")
        x = np.sort(np.concatenate([np.asarray(c.get_offsets())[:, 0] for c in axes.collections]))
        assert x.tolist() == list(range(1, 121))


def test_sparse_rows_are_compared_by_cosine() -> None:
    """1 − cosine: 0 for the row itself, 1 for a row that shares nothing but the constant column would."""
    texts = ["good film", "bad film", "good plot", "dull and bad", "good good end", "bad end"]
    said = [1, 0, 1, 0, 1, 0]
    model = make_pipeline(TfidfVectorizer(), LogisticRegression(tol=1e-8)).fit(texts, said)
    scores = Influence.from_sklearn(model, texts, said).scores([texts[0]], [1])
    assert scores.distance is not None
    apart = scores.distance.to(0)
    assert apart[0] == pytest.approx(0.0, abs=1e-12)
    assert (apart[1:] > 0.1).all()
    assert "cosine" in scores.plot().get_xlabel()


def test_rows_are_near_where_the_kernel_is_large() -> None:
    """Of a model with a kernel: |φ(x) − φ(x′)|² = K(x, x) + K(x′, x′) − 2 K(x, x′) between training rows."""
    x, y = load_breast_cancer(return_X_y=True)
    x = StandardScaler().fit_transform(x[:80])
    model = SVC(gamma=0.05, tol=1e-8).fit(x, y[:80])
    scores = Influence.from_sklearn(model, x, y[:80]).scores(x[:3], y[:3], measurement="margin")
    assert scores.distance is not None
    for query in range(3):
        k = np.exp(-0.05 * ((x - x[query]) ** 2).sum(axis=1))
        np.testing.assert_allclose(scores.distance.to(query), np.sqrt(2.0 - 2.0 * k), atol=1e-6)
    assert scores.distance.label == "distance to the query (features of its kernel)"


def test_distances_survive_large_means() -> None:
    """A column of 10⁹ plus noise is standardised by its noise; one that never changes counts nothing."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3))
    y = x @ [1.0, -1.0, 0.5] + rng.normal(size=60)
    moved = np.column_stack([x[:, 0], x[:, 1] + 2.0**30, x[:, 2], np.full(60, 7.0)])
    apart = []
    for rows in (x, moved):
        model = make_pipeline(StandardScaler(), Ridge()).fit(rows, y)
        distance = Influence.from_sklearn(model, rows, y).scores(rows[[3]], y[[3]]).distance
        assert distance is not None
        apart.append(distance.to(0))
    assert apart[0] == pytest.approx(apart[1], rel=1e-5, abs=1e-5)
    assert apart[0][3] == 0.0


def test_a_query_that_is_not_there(influence: Influence, queries: tuple[Any, Any]) -> None:
    """By its number."""
    with pytest.raises(InputError, match="query 3 is not there: these scores hold 3 queries"):
        influence.scores(*queries).plot(query=3)


def test_estimates_over_refits(influence: Influence, queries: tuple[Any, Any]) -> None:
    """Each pair once, on one scale for both axes, with the line y = x, the slope and the grade."""
    check = influence.check(*queries, rows=8)
    axes = check.plot()
    points = np.asarray(axes.collections[0].get_offsets())
    assert np.array_equal(points, np.stack([check.estimate.ravel(), check.refit.ravel()], axis=1))
    assert axes.get_xlim() == axes.get_ylim()
    (line,) = axes.lines
    assert np.array_equal(line.get_xdata(), line.get_ydata())
    assert axes.get_title() == f"slope {check.slope:.2f} · grade {check.grade}"
    assert axes.get_xlabel() == "estimate (nats)"
    axes.figure.canvas.draw()


def test_features_as_bars() -> None:
    """The first on top, colour and mark by sign, names as they are."""
    axes = draw_features(None, ["bmi", "bp $x$"], np.array([2.0, -1.0]), "change", "row 3")
    assert [bar.get_width() for bar in axes.patches] == [2.0, -1.0]
    assert [to_hex(bar.get_facecolor()) for bar in axes.patches] == [UP.lower(), DOWN.lower()]
    assert [text.get_text() for text in axes.texts] == ["▲", "▼"]
    assert axes.yaxis_inverted()
    draw_features(None, ["in_$_", "a^$_b"], np.array([2.0, -1.0]), "$\\frac$", "$").figure.canvas.draw()
    with pytest.raises(InputError, match="no feature to draw"):
        draw_features(None, [], np.zeros(0), "", "")


def test_a_rows_features() -> None:
    """Numbers by one standard deviation of their column, the strongest on top, the row by its id."""
    x, y = load_diabetes(return_X_y=True, as_frame=True)
    effects = Influence.from_sklearn(Ridge().fit(x, y), x, y).features(x[:2], y[:2], [3, 4])
    axes = effects.plot(query=1, row=4)
    frame = effects.frame(1, 4)
    assert [text.get_text() for text in axes.get_yticklabels()] == frame["column"].tolist()
    assert [bar.get_width() for bar in axes.patches] == pytest.approx(frame["per sd"].tolist())
    assert axes.get_title().startswith("row 4 · query 1")
    with pytest.raises(InputError, match="row 5 is not among those asked for"):
        effects.plot(row=5)


def test_without_matplotlib_the_line_that_installs_it(
    influence: Influence, queries: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing else of the answer needs it."""
    real = builtins.__import__

    def blocked(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".")[0] == "matplotlib":
            raise ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", blocked)
    scores = influence.scores(*queries)
    assert "▲" in scores._repr_html_()
    with pytest.raises(MissingExtra, match=r'pip install "upweight\[plot\]"'):
        scores.plot()
    with pytest.raises(MissingExtra, match=r'pip install "upweight\[plot\]"'):
        influence.check(*queries, rows=4).plot()


def test_a_regression_of_many_rows() -> None:
    """All rows are drawn; where they are many, as a picture inside a vector file."""
    x, y = load_diabetes(return_X_y=True)
    x, y = np.tile(x, (8, 1)), np.tile(y, 8)
    axes = Influence.from_sklearn(Ridge().fit(x, y), x, y).scores(x[[0]], y[[0]]).plot()
    assert sum(len(c.get_offsets()) for c in axes.collections) == len(y)
    assert all(c.get_rasterized() for c in axes.collections)
