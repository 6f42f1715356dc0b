"""Models on disk: what was saved comes back, and nothing runs that nobody vouched for."""

import errno
import os
import pickle
import threading
import zipfile
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from upweight.errors import FileError, InputError
from upweight.tables.default_model import default_model, prepare
from upweight.tables.infer import infer
from upweight.tables.model_file import load_model, save_model
from upweight.tables.trust import is_harmless


def fitted() -> LogisticRegression:
    return LogisticRegression().fit(np.arange(8.0)[:, None], [0, 0, 0, 1, 0, 1, 1, 1])


def test_a_model_comes_back_with_its_rows(tmp_path: Path) -> None:
    """Rows, target, columns, the data's sha256 and the version are in the same file."""
    frame = pd.DataFrame(
        {"x": np.linspace(0, 1, 9), "d": [f"2024-01-{i:02}" for i in range(1, 10)], "y": list("aabababba")}
    )
    data = tmp_path / "t.csv"
    frame.to_csv(data, index=False)
    columns = infer(frame, "y")
    x = prepare(frame, columns)
    model = default_model(columns, x).fit(x, frame["y"])
    save_model(model, tmp_path / "m.skops", rows=[0, 2, 5], target="y", data=data, columns=columns)
    back = load_model(tmp_path / "m.skops")
    np.testing.assert_array_equal(back.model.predict_proba(x), model.predict_proba(x))
    assert (back.target, back.columns, back.version) == ("y", columns, "0.1.0")
    rows, said = back.fitted_on(data)
    assert rows is not None
    assert rows.dtype == np.int64
    assert rows.tolist() == [0, 2, 5]
    assert said.startswith("explained from the 3 rows")
    skops.io.load(tmp_path / "m.skops", trusted=["numpy.dtype"])  # an ordinary skops file


def test_other_data_and_other_files_have_no_rows(tmp_path: Path) -> None:
    """Rows of a file that changed are not used, and that is said; a file from elsewhere has none."""
    data, path = tmp_path / "t.csv", tmp_path / "m.skops"
    data.write_text("a,b\n1,2\n")
    save_model(fitted(), path, rows=[0], data=data)
    data.write_text("a,b\n1,3\n")
    assert load_model(path).fitted_on(data) == (
        None,
        f"{path} was fitted on another version of {data}: all rows of the file are used",
    )
    skops.io.dump(fitted(), path)
    back = load_model(path)
    assert back.rows is None
    assert "does not say which rows" in back.fitted_on(data)[1]


class Tripwire:
    """What a hostile pickle does: it leaves a mark when it is loaded."""

    def __init__(self, mark: str) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.mark,)


@pytest.mark.parametrize("name", ["m.pkl", "m.joblib", "m.skops", "m"])
def test_no_pickle_is_loaded_without_trust(tmp_path: Path, name: str) -> None:
    """Whatever the file is called, its code does not run, and the risk is named."""
    path, mark = tmp_path / name, tmp_path / "ran"
    path.write_bytes(pickle.dumps(Tripwire(str(mark))))
    with pytest.raises(FileError, match=r"is a pickle, .* runs whatever code[\s\S]*--trust-pickle"):
        load_model(path)
    assert not mark.exists()
    with pytest.raises(FileError, match="holds a NoneType, which predicts nothing"):
        load_model(path, trust_pickle=True)
    assert mark.exists()


def test_a_trusted_pickle_is_loaded(tmp_path: Path) -> None:
    """Plain and compressed; the rows are not known."""
    joblib.dump(fitted(), tmp_path / "a.joblib", compress=3)
    (tmp_path / "b.pkl").write_bytes(pickle.dumps(fitted()))
    for name in ("a.joblib", "b.pkl"):
        back = load_model(tmp_path / name, trust_pickle=True)
        assert isinstance(back.model, LogisticRegression)
        assert back.rows is None
    (tmp_path / "b.pkl").write_bytes(pickle.dumps(fitted())[:-40])
    with pytest.raises(FileError, match=r"b\.pkl: is no whole pickle"):
        load_model(tmp_path / "b.pkl", trust_pickle=True)


def own_step(x: np.ndarray) -> np.ndarray:
    return x + 1.0


def test_a_skops_file_with_foreign_code_is_refused_by_name(tmp_path: Path) -> None:
    """A function of the user's own, or a library function that reaches further, is named."""
    path = tmp_path / "m.skops"
    for function, name in ((own_step, "own_step"), (pd.eval, "pandas.*eval"), (np.load, "numpy.*load")):
        model = make_pipeline(FunctionTransformer(function), LogisticRegression())
        skops.io.dump(model, path)
        with pytest.raises(FileError, match=rf"m\.skops: holds .*{name}.*nobody vouches for[\s\S]*--trust-pickle"):
            load_model(path)
    assert load_model(path, trust_pickle=True).model is not None


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("numpy.dtype", True),
        ("sklearn.compose._column_transformer.make_column_selector", True),
        ("sklearn.model_selection._split.StratifiedKFold", True),
        ("numpy.load", False),
        ("numpy.dtypes", False),
        ("pandas.eval", False),
        ("evil.numpy.dtype", False),
        ("sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor", False),
    ],
)
def test_trust_is_by_whole_name(name: str, good: bool) -> None:
    """A prefix is not enough."""
    assert is_harmless(name) is good


def test_files_that_are_no_model_are_refused(tmp_path: Path) -> None:
    """Absent, something else, empty, another zip, a bare array: each says so."""
    path = tmp_path / "m.skops"
    with pytest.raises(FileError, match=r"m\.skops: cannot be read \(No such file"):
        load_model(path)
    for content in (b"", b"a,b\n1,2\n"):
        path.write_bytes(content)
        with pytest.raises(FileError, match=r"m\.skops: is no model file"):
            load_model(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.txt", "hello")
    with pytest.raises(FileError, match=r"m\.skops: is no whole skops model"):
        load_model(path)
    skops.io.dump(np.arange(3), path)
    with pytest.raises(FileError, match=r"holds a ndarray, which predicts nothing"):
        load_model(path)


def test_a_model_cut_short_is_refused(tmp_path: Path) -> None:
    """At any length; the message says what to do."""
    path = tmp_path / "m.skops"
    save_model(fitted(), path, rows=range(8))
    whole = path.read_bytes()
    for end in range(1, len(whole), 97):
        path.write_bytes(whole[:end])
        with pytest.raises(FileError):
            load_model(path)


def test_rows_must_be_row_numbers(tmp_path: Path) -> None:
    """Neither names nor negative numbers nor a table."""
    for rows in ([-1, 2], [0.5], [[1, 2]]):
        with pytest.raises(InputError, match="rows must be a list of row numbers from 0"):
            save_model(fitted(), tmp_path / "m.skops", rows=np.asarray(rows))
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_skops_cannot_store_leaves_nothing(tmp_path: Path) -> None:
    """The file of before stays."""
    path = tmp_path / "m.skops"
    path.write_text("before")
    for odd in (lambda x: x, partial(np.add, threading.Lock())):
        model = make_pipeline(FunctionTransformer(odd), LogisticRegression())
        with pytest.raises(FileError, match=r"m\.skops: skops cannot store this model"):
            save_model(model, path)
    assert path.read_text() == "before"


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No half model, no .part file, and the old model is as it was."""

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "m.skops"
    path.write_text("before")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileError, match=r"m\.skops: the disk is full: the file needs .* Nothing was written"):
        save_model(fitted(), path)
    assert [p.name for p in tmp_path.iterdir()] == ["m.skops"]
    assert path.read_text() == "before"
