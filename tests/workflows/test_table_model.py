"""A table with its model: what it learnt from, and the same without rows."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from upweight.errors import InputError
from upweight.tables.default_model import default_model, prepare
from upweight.tables.infer import infer
from upweight.tables.model_file import save_model
from upweight.workflows.asked import AT_ONCE, ask_query, ask_rows, ask_worst
from upweight.workflows.effort import seconds_to_explain, seconds_to_fit
from upweight.workflows.quality import quality
from upweight.workflows.table_model import open_table
from upweight.workflows.taken_out import without


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """80 rows of two classes, one with a rare third member pair."""
    draw = np.random.default_rng(2)
    x = draw.normal(size=(80, 2)).round(3)
    y = np.where(x.sum(axis=1) + draw.normal(0, 0.5, 80) > 0, "yes", "no").astype(object)
    y[[3, 50]] = "perhaps"
    file = tmp_path_factory.mktemp("t") / "t.csv"
    pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": y}).to_csv(file, index=False)
    return file


def test_default_model_learns_from_three_quarters(path: Path) -> None:
    """Training and held-out rows are disjoint and are all rows; the model's worth is on the latter."""
    table = open_table(path, "y")
    assert not set(table.train) & set(table.held_out)
    assert sorted([*table.train, *table.held_out]) == list(range(80))
    assert len(table.held_out) == 20
    right = np.mean(table.model.predict(table.x(table.held_out)) == table.y(table.held_out).to_numpy())
    assert f"{100 * right:.1f} %" in quality(table)


def test_taking_a_row_out_fits_the_pipeline_anew(path: Path) -> None:
    """The same as a pipeline that never saw the row."""
    table = open_table(path, "y")
    row = int(next(i for i in table.train if table.frame["y"][i] != "perhaps"))
    left = without(table, [row])
    frame = pd.read_csv(path)
    columns = infer(frame, "y")
    kept = frame.iloc[np.setdiff1d(table.train, [row])]
    fresh = default_model(columns, kept).fit(prepare(kept, columns), kept["y"])
    x = left.x(left.held_out)
    np.testing.assert_allclose(left.model.predict_proba(x), fresh.predict_proba(x), atol=1e-7)
    assert row not in left.influence.row_ids
    assert f"row {row} was taken out" in left.notes[-1]
    assert without(table, [int(table.held_out[0])]) is table


def test_last_row_of_a_class_cannot_be_taken_out(path: Path) -> None:
    """The class is named, and --keep."""
    table = open_table(path, "y")
    (row,) = [int(i) for i in table.train if table.frame["y"][i] == "perhaps"]
    with pytest.raises(InputError, match=r"no row of class 'perhaps'.*--keep"):
        ask_rows(table, [str(row)])
    assert ask_rows(table, [str(row)], keep=True).origins == ("left among the training rows",)


def test_model_file_knows_its_rows(path: Path, tmp_path: Path) -> None:
    """Rows that it was fitted on are training rows, the others are held out; on another version all are."""
    frame = pd.read_csv(path)
    rows = np.arange(0, 60)
    model = LogisticRegression(tol=1e-9).fit(frame[["a", "b"]].iloc[rows], frame["y"].iloc[rows])
    save_model(model, tmp_path / "m.skops", rows, "y", path)
    table = open_table(path, None, model=tmp_path / "m.skops")
    assert (table.target, table.train.tolist(), len(table.held_out)) == ("y", rows.tolist(), 20)
    frame.loc[0, "a"] += 0.001
    frame.to_csv(tmp_path / "other.csv", index=False)
    other = open_table(tmp_path / "other.csv", "y", model=tmp_path / "m.skops")
    assert (len(other.train), len(other.held_out)) == (80, 0)
    assert "another version" in other.notes[-1]
    assert quality(other) == ""


def test_too_many_predictions_are_refused(path: Path, tmp_path: Path) -> None:
    """By number, before anything is refitted."""
    table = open_table(path, "y")
    big = pd.concat([pd.read_csv(path)] * 2)
    big.to_csv(tmp_path / "big.csv", index=False)
    with pytest.raises(InputError, match=rf"160 predictions.*{AT_ONCE}"):
        ask_query(table, tmp_path / "big.csv")
    with pytest.raises(InputError, match="--worst 0"):
        ask_worst(table, 0)


def test_target_is_asked_for_with_the_likely_ones(path: Path) -> None:
    """The file is named, and the column."""
    with pytest.raises(InputError, match=r"t\.csv: which column.*'y'"):
        open_table(path, None)


def test_time_is_estimated_before_it_is_spent(path: Path) -> None:
    """More predictions take longer; a thousand times the rows too."""
    influence = open_table(path, "y").influence
    assert seconds_to_explain(influence, 50, 24, True) > seconds_to_explain(influence, 1, 24, True) > 0
    assert seconds_to_fit(10**7, 20) > 10 > seconds_to_fit(1000, 20)
