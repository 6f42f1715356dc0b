"""Inference of columns, on public tables and on tables that are wrong in one way each."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from sklearn import datasets

from upweight.errors import InputError
from upweight.tables.infer import infer, labelled, likely_targets

N = 40


def table(**columns: object) -> pd.DataFrame:
    """Forty rows with one good number and one class, and what a test adds."""
    draw = np.random.default_rng(0)
    base = {"size": draw.normal(size=N), "label": np.where(np.arange(N) % 3 == 0, "no", "yes")}
    return pd.DataFrame({**base, **columns})


def public(name: str) -> tuple[pd.DataFrame, str]:
    if name == "anes96":
        return sm.datasets.anes96.load_pandas().data, "vote"
    return getattr(datasets, f"load_{name}")(as_frame=True).frame, "target"


@pytest.mark.parametrize(
    ("name", "task", "summary"),
    [
        ("iris", "classification", "4 numeric"),
        ("breast_cancer", "classification", "30 numeric"),
        ("anes96", "classification", "10 numeric"),
        ("diabetes", "regression", "10 numeric"),
        (
            "digits",
            "classification",
            "61 numeric; ignored: pixel_0_0 (constant), pixel_4_0 (constant), pixel_4_7 (constant)",
        ),
    ],
)
def test_public_tables_are_understood(name: str, task: str, summary: str) -> None:
    """Their columns are numbers however few values those take, and their task is found."""
    frame, target = public(name)
    columns = infer(frame, target)
    assert (columns.task, columns.summary) == (task, summary)
    assert not columns.categorical


def test_the_summary_says_each_kind_and_each_reason() -> None:
    """One line, as UX.md 2 has it; dates and the counts of what is missing are in the notes."""
    frame = table(
        id=range(N),
        name=[f"n{i}x" for i in range(N)],
        city=["Ulm", "Köln"] * (N // 2),
        member=[True, False] * (N // 2),
        review=[f"it was good {i} times" for i in range(N)],
        day=pd.date_range("2024-01-05", periods=N).strftime("%d.%m.%Y"),
        empty=[None] * N,
        one=["same"] * N,
    )
    frame.loc[[3, 5], "size"] = np.nan
    columns = infer(frame, "label")
    assert columns.numeric == ("size",)
    assert columns.categorical == ("city", "member")
    assert columns.text == ("review",)
    assert columns.ignored == {"id": "all different", "name": "all different", "empty": "empty", "one": "constant"}
    assert columns.summary == (
        "1 numeric, 2 categories, 1 text, 1 date; "
        "ignored: id (all different), name (all different), empty (empty) and 1 more"
    )
    assert "dates in 'day' are read as day.month.year and used as days since 2024-01-05" in columns.notes
    assert "column 'empty' left out: empty" in columns.notes
    assert "column 'one' left out: constant" in columns.notes
    assert any(note.startswith("2 missing values in 'size': numbers get") for note in columns.notes)


@pytest.mark.parametrize(
    ("dates", "words"),
    [
        (["2024-02-03", "2024-05-06"], "year-month-day"),
        (["2024-02-03 10:00:00", "2024-05-06 11:30:00"], "year-month-day"),
        (["2024-02-03T10:00Z", "2024-05-06T10:00+02:00"], "year-month-day"),
        (["3.2.2024", "16.5.2024"], "day.month.year"),
        (["02/03/2024", "05/16/2024"], "month/day/year"),
        (["03/02/2024", "16/05/2024"], "day/month/year"),
        (["2024/02/03", "2024/05/16"], "year-month-day"),
    ],
)
def test_dates_are_found_in_the_usual_forms(dates: list[str], words: str) -> None:
    """A day above twelve settles the order; where none does, the note says which was taken."""
    columns = infer(table(when=dates * (N // 2)), "label")
    assert columns.date["when"].words == words


def test_dates_of_parquet_are_dates() -> None:
    """A datetime column needs no parsing, with or without a time zone."""
    days = pd.date_range("2024-01-01", periods=N, tz="Europe/Berlin")
    assert infer(table(when=days), "label").date["when"].earliest == "2023-12-31T23:00:00"


def test_bare_numbers_and_codes_are_no_dates() -> None:
    """2024 is a number and `12-AB` a category."""
    columns = infer(table(year=[2023, 2024] * (N // 2), code=["12-AB", "13-CD"] * (N // 2)), "label")
    assert columns.numeric == ("size", "year")
    assert columns.categorical == ("code",)


def test_chinese_is_text_without_spaces() -> None:
    """Words need no spaces between them to be words."""
    assert infer(table(review=[f"这部电影很好看{i}" for i in range(N)]), "label").text == ("review",)


def test_a_year_counts_no_rows() -> None:
    """Whole numbers that are all different stay numbers, unless they count rows or are called an id."""
    frame = table(year=range(1980, 1980 + N), key=np.arange(N) * 7, row=range(1, N + 1))
    columns = infer(frame, "label")
    assert columns.numeric == ("size", "year")
    assert set(columns.ignored) == {"key", "row"}


def test_a_lone_counter_is_better_than_nothing() -> None:
    """y against 0, 1, 2 … is a table that people have."""
    assert infer(pd.DataFrame({"x": range(9), "y": np.arange(9) * 2.5}), "y").numeric == ("x",)


def test_a_column_of_numbers_with_typos_is_pointed_out() -> None:
    """It becomes a category, which is never what was meant."""
    ages = [str(20 + i % 7) for i in range(N)]
    ages[11] = "3o"
    note = infer(table(age=ages), "label").notes[0]
    assert note == "column 'age' is nearly all numbers but is read as categories because of '3o' in 1 row (11)"


def test_lists_are_left_out() -> None:
    """Parquet can hold what no column of a linear model can."""
    assert infer(table(tags=[[1]] * N), "label").ignored == {"tags": "holds lists"}


@pytest.mark.parametrize(
    ("y", "task"),
    [
        ([True, False] * 20, "classification"),
        (["a", "b"] * 20, "classification"),
        ([0, 1] * 20, "classification"),
        ([0.5, 1.5] * 20, "classification"),
        (list(range(10)) * 4, "classification"),
        ([1.0, 2.0, 3.0, 4.0] * 10, "classification"),
        (list(range(40)), "regression"),
        ([0.1, 0.2, 0.3, 0.4] * 10, "regression"),
        (list(np.linspace(0, 1, 40)), "regression"),
    ],
)
def test_the_task_follows_the_target(y: list[object], task: str) -> None:
    """Strings, booleans and few whole numbers are classes; other numbers are a quantity."""
    frame = table(y=y)
    assert infer(frame, "y").task == task
    assert infer(frame.astype({"y": object}).convert_dtypes(), "y").task == task


def test_the_user_may_say_the_task() -> None:
    """Ratings from 1 to 5 can be a quantity; names cannot."""
    frame = table(stars=[1, 2, 3, 4, 5] * 8)
    assert infer(frame, "stars").task == "classification"
    assert infer(frame, "stars", task="regression").task == "regression"
    with pytest.raises(InputError, match=r"column 'label' is not a number \('no' in row 0\)"):
        infer(frame, "label", task="regression")


def test_rows_without_a_target_are_left_out_and_counted() -> None:
    """They keep their own numbers, so that --row still means the file's row."""
    frame = table()
    frame.loc[[4, 7], "label"] = None
    rows, note = labelled(frame, "label")
    assert len(rows) == N - 2
    assert 4 not in rows.index
    assert rows.index[-1] == N - 1
    assert note == "left out for want of a 'label': 2 rows (4, 7)"
    assert infer(frame, "label").task == "classification"
    assert labelled(table(), "label")[1] is None


@pytest.mark.parametrize(
    ("y", "kind"),
    [([1.0, 2.0, None, 1.0] * 10, "i"), ([True, False, None, True] * 10, "b"), (["a", "b", None, "a"] * 10, "O")],
)
def test_empty_cells_do_not_change_the_labels(y: list[object], kind: str) -> None:
    """1 stays 1 and True stays True where pandas made them 1.0 and objects for the sake of an empty cell."""
    rows, _ = labelled(table(y=y), "y")
    assert np.asarray(rows["y"]).dtype.kind == kind


def test_a_categorical_target_counts_what_it_holds() -> None:
    """Parquet keeps categories that no row has."""
    y = pd.Categorical(["a", "b"] * (N // 2), categories=["a", "b", "c"])
    assert infer(table(y=y), "y").task == "classification"
    with pytest.raises(InputError, match=r"holds one value \('a'\)"):
        infer(table(y=pd.Categorical(["a"] * N, categories=["a", "b"])), "y")


def test_a_class_of_one_row_is_said() -> None:
    """It can be learnt from, not held out."""
    frame = table()
    frame.loc[0, "label"] = "rare"
    assert infer(frame, "label").notes[0].startswith("class 'rare' has a single row")


WRONG_TARGETS = {
    "absent": (table(), "lable", r"no target 'lable'\. Did you mean 'label'\? The columns are 'size', 'label'"),
    "other case": (table(), "LABEL", r"Did you mean 'label'"),
    "empty": (table(y=[None] * N), "y", r"column 'y' is empty in all 40 rows"),
    "infinite": (table(y=[np.inf] + [1.5, 2.5, 3.5] * 13), "y", r"column 'y' is infinite in 1 row \(0\)"),
    "one class": (table(y=["a"] * N), "y", r"column 'y' holds one value \('a'\) in all 40 rows"),
    "one number": (table(y=[2.5] * N), "y", r"column 'y' holds one value"),
    "a class a row": (table(y=[f"n{i}" for i in range(N)]), "y", r"'y' has 40 different values in 40 rows: too many"),
    "classes above half": (
        table(y=[f"n{i}" for i in range(21)] + ["n0"] * 19),
        "y",
        r"'y' has 21 different values in 40 rows: too many",
    ),
}


@pytest.mark.parametrize(("frame", "target", "text"), WRONG_TARGETS.values(), ids=WRONG_TARGETS)
def test_a_wrong_target_is_refused_by_name(frame: pd.DataFrame, target: str, text: str) -> None:
    """The column, the count and what else there is."""
    with pytest.raises(InputError, match=text):
        infer(frame, target)


def test_infinite_cells_are_refused_by_column_and_row() -> None:
    """All columns at once; an ignored one does not matter."""
    frame = table(a=[1.0] * (N - 1) + [np.inf], b=[np.inf, -np.inf] + [0.0] * (N - 2), c=[np.inf] * N)
    text = r"column 'a' is infinite in 1 row \(39\); column 'b' is infinite in 2 rows \(0, 1\)\. Correct"
    with pytest.raises(InputError, match=text):
        infer(frame, "label")


def test_ids_must_name_rows() -> None:
    """Absent, empty and doubled ids are refused; good ones are left out of the model."""
    frame = table(key=[f"k{i}" for i in range(N)], twice=["a", "a", "b", "b"] * (N // 4), holes=[None, *range(1, N)])
    assert infer(frame, "label", "key").ignored["key"] == "the id"
    with pytest.raises(InputError, match=r"no id column 'kye'\. Did you mean 'key'"):
        infer(frame, "label", "kye")
    with pytest.raises(InputError, match=r"'twice' holds 2 ids more than once \('a', 'b'; the first in rows 0, 1, 4"):
        infer(frame, "label", "twice")
    with pytest.raises(InputError, match=r"'holes' is empty in 1 row \(0\)"):
        infer(frame, "label", "holes")
    with pytest.raises(InputError, match="both as --target and as --id"):
        infer(frame, "label", "label")


def test_nothing_to_learn_from_is_refused() -> None:
    """The reasons stand beside the names."""
    with pytest.raises(InputError, match=r"no column is left to predict 'label' from: size \(empty\)"):
        infer(table(size=[None] * N), "label")
    with pytest.raises(InputError, match="the table has no other"):
        infer(table()[["label"]], "label")


def test_likely_targets_come_by_name_place_and_values() -> None:
    """What is offered when --target is absent; an id or a free text is never among them."""
    assert likely_targets(table(id=range(N)))[0] == "label"
    assert likely_targets(datasets.load_digits(as_frame=True).frame)[0] == "target"
    frame = table(name=[f"n{i}" for i in range(N)], won=["y", "n"] * (N // 2)).rename(columns={"label": "group"})
    assert likely_targets(frame) == ["won", "group"]
    assert likely_targets(pd.DataFrame({"a": np.linspace(0, 1, 9), "b": np.linspace(2, 3, 9)})) == ["b"]
    assert likely_targets(pd.DataFrame({"a": [[1], [2]]})) == []
