"""How every answer shows itself: at most 80 columns of text, HTML without script that escapes what users wrote."""

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from upweight import Influence, Scores
from upweight.display.text import width_of

NASTY = '<script>alert("1")</script>&amp;\x1b[31m"\'>'


@pytest.fixture(scope="module")
def influence() -> Influence:
    """Ids and labels that look like markup."""
    x, y = load_breast_cancer(return_X_y=True, as_frame=True)
    x, y = x[:100], y[:100].map({0: f"bad {NASTY}", 1: "good"})
    x.index = y.index = pd.Index([f"{NASTY}{i}" for i in range(100)])
    return Influence.from_sklearn(make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y), x, y)


@pytest.fixture(scope="module")
def answers(influence: Influence) -> dict[str, Any]:
    """One of each."""
    x, y = influence.adapted.rows, pd.Series(influence.adapted.labels)
    rng = np.random.default_rng(0)
    noise, noisy = rng.normal(size=(40, 2)), np.where(rng.random(40) < 0.5, "a", "b")
    bare = Influence.from_sklearn(LogisticRegression(C=1e-6).fit(noise, noisy), noise, noisy)
    flip = influence.smallest_flip(x.iloc[[0]])
    return {
        "scores": influence.scores(x[:2], y[:2]),
        "own loss": influence.self_influence(),
        "check": influence.check(x[:2], y[:2], rows=6),
        "flip": flip,
        "no flip": replace(flip, rows=(), found=False, after=None, margin=None, proved=False, sentence="none."),
        "refit": influence.without(list(x.index[:30])),
        "refit of nothing much": bare.without([0]),
    }


KINDS = ["scores", "own loss", "check", "flip", "no flip", "refit", "refit of nothing much"]


@pytest.mark.parametrize("kind", KINDS)
def test_text_is_narrow_and_says_nothing_to_the_terminal(answers: dict[str, Any], kind: str) -> None:
    """No line is wider than 80 cells; no control characters reach the terminal; `repr` is one short line."""
    text = str(answers[kind])
    assert max(width_of(line) for line in text.split("\n")) <= 80
    assert "\x1b" not in text
    assert "\n" not in repr(answers[kind]).partition("rows=")[0]


@pytest.mark.parametrize("kind", KINDS)
def test_html_is_static_and_escaped(answers: dict[str, Any], kind: str) -> None:
    """Nothing that users wrote becomes an element; no script, handler or address; light and dark."""
    text = answers[kind]._repr_html_()
    seen: list[str] = []

    class Page(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            seen.append(tag)
            assert not [name for name, value in attrs if name.startswith("on") or "script" in (value or "")]

    Page().feed(text)
    assert "script" not in seen
    assert "<script" not in text
    assert ("svg" in seen) == (kind in ("scores", "own loss", "check"))
    assert "prefers-color-scheme: dark" in text or "prefers-color-scheme:dark" in text


def test_a_map_of_many_rows_stays_small() -> None:
    """4,420 rows: the strongest and a sample of the others, which its caption says."""
    x, y = load_diabetes(return_X_y=True)
    x, y = np.tile(x, (10, 1)), np.tile(y, 10)
    text = Influence.from_sklearn(Ridge().fit(x, y), x, y).scores(x[[0]], y[[0]])._repr_html_()
    assert 250 <= len(re.findall(r'class="uw-(?:up|down|dot)"', text)) <= 301
    assert "the 200 strongest of 4,420 rows and a sample" in text
    assert len(text) < 120_000


def test_the_map_tells_signs_by_shape(answers: dict[str, Any]) -> None:
    """As many triangles up as rows are helpful, as many down as are harmful."""
    scores: Scores = answers["scores"]
    text = scores._repr_html_()
    assert "all 100 rows; above the line: its removal raises" in text
    assert len(re.findall('class="uw-up"', text)) == int((scores.values[0] > 0).sum())
    assert len(re.findall('class="uw-down"', text)) == int((scores.values[0] < 0).sum())


def frames() -> dict[str, Callable[[], Scores]]:
    """Scores of one query, of several, of none, and of two targets."""
    x, y = load_iris(return_X_y=True, as_frame=True)
    x.index = [f"f{i}" for i in range(150)]
    flowers = Influence.from_sklearn(LogisticRegression(max_iter=500).fit(x, y.to_numpy()), x, y.to_numpy())
    two = np.stack([x.iloc[:, 0], x.iloc[:, 1]], axis=1)
    rest = x.iloc[:, 2:].to_numpy()
    both = Influence.from_sklearn(Ridge().fit(rest, two), rest, two)
    return {
        "one": lambda: flowers.scores(x[:1], y[:1]),
        "three": lambda: flowers.scores(x[:3], y[:3]),
        "own": flowers.self_influence,
        "two targets": lambda: both.scores(rest[:2], two[:2]),
    }


@pytest.mark.parametrize("kind", ["one", "three", "own", "two targets"])
def test_one_line_for_each_query_and_row(kind: str) -> None:
    """One shape whatever the number of queries; pivoting it gives the scores back, to the bit; nothing is refitted."""
    scores = replace(frames()[kind](), refitter=lambda at: pytest.fail("refitted"))
    frame = scores.to_frame()
    assert list(frame.columns) == ["query", "row", "estimate", "label"]
    assert len(frame) == scores.values.size
    wide = frame.pivot(index="query", columns="row", values="estimate")[list(scores.row_ids)]
    assert np.array_equal(wide.to_numpy(), scores.values)
    n = scores.values.shape[1]
    assert frame["label"].tolist()[-n:] == [label.tolist() for label in scores.labels]
    assert frame.attrs["measurement"] == scores.measurement
    assert frame.attrs["grade"] == scores.grade.letter
