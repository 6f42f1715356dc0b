"""An Influence and its Scores as files: the same numbers and words come back, and a wrong file is refused by name."""

import io
import json
import os
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC

from tests.adapters.cases import ESTIMATORS, Case
from upweight import Influence, Scores
from upweight.errors import FileError, InputError
from upweight.solvers import CG, Cholesky
from upweight.store.archive import read_archive, write_archive


def again(influence: Influence, folder: Path, **options: Any) -> Influence:
    """Saved and loaded."""
    influence.save(folder / "i.influence")
    return Influence.load(folder / "i.influence", **options)


def same_scores(first: Scores, second: Scores) -> None:
    """To the bit, and in every word."""
    assert np.array_equal(first.values, second.values)
    for name in ("measurement", "unit", "better", "row_ids", "meaning", "how", "grade"):
        assert getattr(first, name) == getattr(second, name), name
    assert np.array_equal(first.labels, second.labels)
    if first.base is not None:
        assert np.array_equal(first.base, second.base)


@pytest.mark.parametrize("case", ESTIMATORS, ids=lambda case: case.name)
def test_every_estimator_comes_back_to_the_bit(case: Case, tmp_path: Path) -> None:
    """Scores, refits and grade of the loaded Influence are those of the one that was saved."""
    data = case.data()
    influence = Influence.from_sklearn(case.fit(), data.x, data.y, data.weight)
    back = again(influence, tmp_path)
    first, second = (i.scores(data.x[:3], data.y[:3]) for i in (influence, back))
    same_scores(first, second)
    assert first.notes == second.notes
    assert first.top(1).equals(second.top(1))


def tables() -> dict[str, tuple[Any, Any, Any]]:
    """Model, rows and labels of every kind that people fit on."""
    rng = np.random.default_rng(0)
    n = 60
    mixed = pd.DataFrame(
        {
            "size": pd.Categorical(rng.choice(["s", "m", "l"], n)),
            "town": rng.choice(["Bonn", "Köln", "Trier"], n),
            "age": rng.normal(40, 10, n),
            "count": rng.integers(0, 9, n),
        },
        index=[f"p{i}" for i in range(n)],
    )
    label = pd.Series(np.where(mixed["age"] + 5 * rng.normal(size=n) > 40, "old", "young"), index=mixed.index)
    encode = make_column_transformer((OneHotEncoder(), ["size", "town"]), (StandardScaler(), ["age", "count"]))
    iris = load_iris(as_frame=True)
    texts = ["good film", "bad film", "good plot and good end", "a bad end", "good good good", "bad and dull"]
    said = ["up", "down", "up", "down", "up", "down"]
    x, y = load_breast_cancer(return_X_y=True)
    return {
        "mixed frame": (make_pipeline(encode, LogisticRegression()), mixed, label),
        "frame of floats": (LogisticRegression(max_iter=500), iris.data, iris.target_names[iris.target]),
        "rows of a frame": (LogisticRegression(max_iter=500), iris.data[::3], iris.target[::3]),
        "texts": (make_pipeline(TfidfVectorizer(), LogisticRegression()), texts, said),
        "series of texts": (make_pipeline(TfidfVectorizer(), LogisticRegression()), pd.Series(texts), pd.Series(said)),
        "array by columns": (make_pipeline(StandardScaler(), Ridge()), np.asfortranarray(x[:90]), x[:90, 0] + y[:90]),
        "strided array": (make_pipeline(StandardScaler(), Ridge()), x[:200:3, ::2], x[:200:3, :2]),
        "float32": (make_pipeline(StandardScaler(), LogisticRegression()), x[:90].astype(np.float32), y[:90] == 1),
        "sparse": (Ridge(), sp.csr_array(np.where(rng.random((40, 9)) < 0.3, 1.0, 0.0)), rng.normal(size=40)),
        "sparse by columns": (Ridge(), sp.csc_matrix(np.where(rng.random((40, 9)) < 0.3, 1, 0)), rng.normal(size=40)),
        "lists": (Ridge(), [[1.0, 2.0], [2.0, 1.0], [0.5, 0.1], [3.0, 1.0]], [1, 2, 3, 4]),
        "frame of targets": (Ridge(), x[:50, :4], pd.DataFrame({"a": x[:50, 5], "b": x[:50, 6]})),
    }


@pytest.mark.parametrize("name", sorted(tables()))
def test_every_kind_of_table_comes_back_to_the_bit(name: str, tmp_path: Path) -> None:
    """Frames with categories and text, sparse rows, strided arrays, lists; ids, names and units with them."""
    model, x, y = tables()[name]
    influence = Influence.from_sklearn(model.fit(x, y), x, y)
    back = again(influence, tmp_path)
    query, label = (part.iloc[:2] if hasattr(part, "iloc") else part[:2] for part in (x, y))
    same_scores(influence.scores(query, label), back.scores(query, label))
    assert type(back.adapted.rows) is type(influence.adapted.rows)


def test_settings_and_weights_come_back(tmp_path: Path) -> None:
    """Solver by name and with settings, damping, sample weights."""
    x, y = load_breast_cancer(return_X_y=True)
    x, y, weight = x[:80], y[:80], np.linspace(0.5, 2.0, 80)
    model = make_pipeline(StandardScaler(), LogisticRegression())
    model.fit(x, y, logisticregression__sample_weight=weight)
    for solver in ("woodbury", CG(tol=1e-6, max_iterations=77), Cholesky()):
        influence = Influence.from_sklearn(model, x, y, weight, solver=solver, damping=0.25)
        back = again(influence, tmp_path)
        assert back.attribution.solver == influence.attribution.solver
        assert back.attribution.damping == 0.25
        same_scores(influence.scores(x[:2], y[:2]), back.scores(x[:2], y[:2]))


@pytest.mark.parametrize("smoothing", [None, 0, 0.1])
def test_smoothing_comes_back(smoothing: float | None, tmp_path: Path) -> None:
    """The width that a hinge was rounded over, also where a file is older than it: then upweight chooses."""
    x, y = load_breast_cancer(return_X_y=True)
    x, y = StandardScaler().fit_transform(x)[:80], y[:80]
    model = LinearSVC(loss="hinge", C=0.1, max_iter=10**5, random_state=0).fit(x, y)
    influence = Influence.from_sklearn(model, x, y, smoothing=smoothing)
    back = again(influence, tmp_path)
    first, second = (one.scores(x[:2], y[:2], removal="first_order") for one in (influence, back))
    same_scores(first, second)
    assert first.notes == second.notes
    archive = read_archive(tmp_path / "i.influence", "Influence")
    apart = ("file", "format", "kind", "sha256", "smoothing")
    older = {key: value for key, value in archive.about.items() if key not in apart}
    write_archive(tmp_path / "older.influence", "Influence", older, archive.parts)
    chosen = Influence.from_sklearn(model, x, y).scores(x[:2], y[:2], removal="first_order")
    same_scores(chosen, Influence.load(tmp_path / "older.influence").scores(x[:2], y[:2], removal="first_order"))


def twice(x: Any) -> Any:
    """A function that only its maker can vouch for."""
    return 2.0 * x


def test_a_type_that_nobody_vouches_for_is_named(tmp_path: Path) -> None:
    """It loads only where its reader says so."""
    x, y = load_breast_cancer(return_X_y=True)
    model = make_pipeline(FunctionTransformer(twice), StandardScaler(), LogisticRegression()).fit(x[:60], y[:60])
    influence = Influence.from_sklearn(model, x[:60], y[:60])
    with pytest.raises(FileError, match=r"i\.influence: holds '.*twice'.*\n.*load it with trust_pickle=True"):
        again(influence, tmp_path)
    same_scores(influence.scores(x[:1]), again(influence, tmp_path, trust_pickle=True).scores(x[:1]))


class Held(Cholesky):
    """A solver of one's own."""


def test_what_cannot_be_saved_is_named_and_the_old_file_stays(tmp_path: Path) -> None:
    """An own solver, a changed estimator or table, a kind of column, an Influence of parts, a folder that is not."""
    x, y = (np.array(part[:60]) for part in load_breast_cancer(return_X_y=True))
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    path = tmp_path / "i.influence"

    def made(**options: Any) -> Influence:
        return Influence.from_sklearn(LogisticRegression().fit(x, y), x, y, **options)

    made().save(path)
    before = path.read_bytes()
    refitted = made()
    refitted.source.estimator.fit(x, 1 - y)  # type: ignore[union-attr]
    flipped = made()
    flipped.source = replace(flipped.source, y=1 - y)  # type: ignore[type-var]
    bare = Influence(made().adapted)
    for influence, said in (
        (made(solver=Held()), "the solver Held is not one of cholesky"),
        (refitted, r"have changed since this Influence was made \(its parameters differ"),
        (flipped, r"have changed since this Influence was made \(its labels differ"),
        (bare, "this Influence does not know what it was made from"),
    ):
        with pytest.raises(FileError, match=f"i.influence: .*{said}"):
            influence.save(path)
        assert path.read_bytes() == before
    with pytest.raises(FileError, match="there is no folder"):
        made().save(tmp_path / "no" / "i.influence")
    assert os.listdir(tmp_path) == ["i.influence"]


def test_a_file_of_another_model_is_refused(tmp_path: Path) -> None:
    """Somebody put another estimator into the file: its parameters are not those that were saved."""
    x, y = load_iris(return_X_y=True)
    path = tmp_path / "i.influence"
    Influence.from_sklearn(LogisticRegression(max_iter=500).fit(x, y), x, y).save(path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    Influence.from_sklearn(LogisticRegression(C=0.1, max_iter=500).fit(x, y), x, y).save(path)
    with zipfile.ZipFile(path) as archive:
        other = archive.read("model.skops")
    about = json.loads(parts.pop("about.json"))
    about = {key: value for key, value in about.items() if key not in ("file", "format", "kind", "sha256")}
    write_archive(path, "Influence", {**about, "versions": {"scikit-learn": "1.8.0"}}, {**parts, "model.skops": other})
    with pytest.raises(FileError, match=r"\(its parameters differ\). Versions differ: scikit-learn 1.8.0 then"):
        Influence.load(path)
    write_archive(path, "Influence", {}, parts)
    with pytest.raises(FileError, match=r"i.influence: is not laid out as an Influence"):
        Influence.load(path)


@pytest.fixture(scope="module")
def influence() -> Influence:
    """A frame with text ids and labels."""
    x, y = load_breast_cancer(return_X_y=True, as_frame=True)
    x, y = x[:150], y[:150].map({0: "malignant", 1: "benign"})
    x.index = y.index = pd.Index([f"r{i}" for i in range(150)], name="patient")
    return Influence.from_sklearn(make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y), x, y)


@pytest.fixture
def queries() -> tuple[Any, Any]:
    """Four more."""
    x, y = load_breast_cancer(return_X_y=True, as_frame=True)
    return x[150:154], y[150:154].map({0: "malignant", 1: "benign"})


def asked(influence: Influence, queries: tuple[Any, Any]) -> dict[str, Scores]:
    """Every kind of scores."""
    return {
        "loss": influence.scores(*queries),
        "no label": influence.scores(queries[0], measurement="margin"),
        "parameter": influence.scores(measurement="parameter:mean radius"),
        "function": influence.scores(*queries, measurement=lambda p, y: float(p[:, 0].mean())),
        "own": influence.self_influence(),
        "checked": influence.scores(*queries).graded(influence.check(*queries, rows=8).grade),
    }


@pytest.mark.parametrize("kind", ["loss", "no label", "parameter", "function", "own", "checked"])
def test_scores_come_back(influence: Influence, queries: tuple[Any, Any], kind: str, tmp_path: Path) -> None:
    """Numbers to the bit, ids, labels, words, grade, rows, distances; the refit is absent, with the reason."""
    scores = asked(influence, queries)[kind]
    scores.save(tmp_path / "a.scores")
    back = Scores.load(tmp_path / "a.scores")
    same_scores(scores, back)
    assert back.notes == scores.notes
    first, second = scores.top(5), back.top(5)
    assert "refit" not in second
    assert "holds no model to refit" in second.attrs["refit"]
    pd.testing.assert_frame_equal(first.drop(columns="refit"), second)
    assert "refit" not in str(back).split("  Rows")[1].split("Trust")[0]
    assert "no refit: loaded from" in " ".join(str(back).split())
    assert (back.distance is None) == (scores.distance is None)
    if scores.distance is not None:
        assert back.distance is not None
        assert np.allclose(back.distance.to(0), scores.distance.to(0), rtol=1e-6)
    back.save(tmp_path / "b.scores")
    same_scores(scores, Scores.load(tmp_path / "b.scores"))


def test_rows_are_capped_and_that_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The rows that stand first in any query's lists are stored; the others read None."""
    monkeypatch.setattr("upweight.scores.KEPT_ROWS", 12)
    x, y = load_iris(return_X_y=True, as_frame=True)
    scores = Influence.from_sklearn(LogisticRegression(max_iter=500).fit(x, y), x, y).scores(x[:3], y[:3])
    scores.save(tmp_path / "a.scores")
    back = Scores.load(tmp_path / "a.scores")
    for query in range(3):
        for kind in ("helpful", "harmful"):
            pd.testing.assert_frame_equal(
                scores.top(2, query, kind).drop(columns="refit"), back.top(2, query, kind), check_dtype=False
            )
    assert back.top(20).isna().any(axis=None)
    assert "Saved with the columns of the 12 rows that matter most, of 150; the others show None." in back.notes
    with pytest.raises(InputError, match="query 3 is not there"):
        back.top(1, query=3)


def test_rows_that_no_file_can_hold_are_left_out_and_that_is_said(tmp_path: Path) -> None:
    """A set in a column is no reason to lose the scores."""
    x, y = load_iris(return_X_y=True)
    scores = Influence.from_sklearn(LogisticRegression(max_iter=500).fit(x, y), x, y).scores(x[:1], y[:1])
    odd = replace(scores, rows=lambda at: {"bag": [{1, 2} for _ in at]})
    odd.save(tmp_path / "a.scores")
    back = Scores.load(tmp_path / "a.scores")
    assert any("The rows themselves were not saved ({1, 2} is a set" in note for note in back.notes)
    assert list(back.top(2)) == ["row", "estimate", "label"]


def test_scores_that_cannot_be_saved_leave_the_old_file(
    influence: Influence, queries: tuple[Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids that would not come back are named; a full disk too."""
    path = tmp_path / "a.scores"
    scores = influence.scores(*queries)
    scores.save(path)
    before = path.read_bytes()
    with pytest.raises(FileError, match="is a frozenset, which cannot be stored"):
        replace(scores, row_ids=(frozenset({1}), *scores.row_ids[1:])).save(path)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileError, match=r"a.scores: the disk is full"):
        scores.save(path)
    assert path.read_bytes() == before


def test_a_wrong_file_is_named(influence: Influence, queries: tuple[Any, Any], tmp_path: Path) -> None:
    """Damaged, cut short, of another kind, laid out otherwise."""
    path = tmp_path / "a.scores"
    influence.scores(*queries).save(path)
    content = path.read_bytes()
    middle = len(content) // 2
    for wrong in (
        content[:middle],
        content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        b"",
        b"PK",
    ):
        path.write_bytes(wrong)
        with pytest.raises(FileError, match=r"a\.scores: "):
            Scores.load(path)
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"holds 'Scores', not 'Influence'. Open it with Scores.load"):
        Influence.load(path)
    write_archive(path, "Scores", {"measurement": "loss"}, {})
    with pytest.raises(FileError, match=r"a\.scores: is not laid out as Scores \(KeyError"):
        Scores.load(path)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert not [name for name in archive.namelist() if name.endswith((".pkl", ".pickle"))]
