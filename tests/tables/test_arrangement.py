"""Groups stay whole and held-out rows are the latest, by construction; what arranges nothing is said or refused."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upweight.errors import InputError
from upweight.tables.arrangement import Arrangement, arranged
from upweight.tables.folds import folds
from upweight.tables.infer import infer
from upweight.tables.parts import parts

SIZES = st.lists(st.integers(1, 9), min_size=4, max_size=30)


def by_groups(sizes: list[int], seed: int) -> tuple[pd.DataFrame, Arrangement]:
    """Rows of these groups, shuffled, of two classes that every group may have."""
    draw = np.random.default_rng(seed)
    who = draw.permutation(np.repeat([f"p{i}" for i in range(len(sizes))], sizes))
    frame = pd.DataFrame({"who": who, "y": draw.choice(["a", "b"], len(who))})
    frame.loc[frame.index[:2], "y"] = ["a", "b"]
    return frame, arranged(frame, "y", "who")


@given(sizes=SIZES, seed=st.integers(0, 99))
def test_no_group_is_on_both_sides(sizes: list[int], seed: int) -> None:
    """Every row is on one side, with its whole group, and every held-out class can be learnt."""
    frame, arrangement = by_groups(sizes, seed)
    try:
        found = parts(frame, "y", "classification", arrangement, seed)
    except InputError:
        return  # each group alone holds a class: refused below
    if arrangement.groups is None:
        return
    assert len(found.held_out) > 0
    assert not set(frame["who"].iloc[found.train]) & set(frame["who"].iloc[found.held_out])
    assert sorted([*found.train, *found.held_out]) == list(range(len(frame)))
    assert set(frame["y"].iloc[found.held_out]) <= set(frame["y"].iloc[found.train])
    assert "of 'who'" in found.how


def test_groups_bring_about_a_quarter_of_each_class() -> None:
    """Of several draws the one most like the whole is taken; the seed decides."""
    frame, arrangement = by_groups([4] * 60, 0)
    found = parts(frame, "y", "classification", arrangement, 3)
    assert len(found.held_out) == pytest.approx(60, abs=4)
    whole, held = ((f["y"] == "a").mean() for f in (frame, frame.iloc[found.held_out]))
    assert held == pytest.approx(whole, abs=0.05)
    again, other = (parts(frame, "y", "classification", arrangement, s).held_out for s in (3, 4))
    np.testing.assert_array_equal(found.held_out, again)
    assert not np.array_equal(found.held_out, other)


def test_group_that_alone_holds_a_class_is_learnt_from() -> None:
    """Otherwise its class could be neither learnt nor held out."""
    frame = pd.DataFrame({"who": np.repeat(list("abcdefgh"), 5), "y": ["x", "y"] * 20})
    frame.loc[frame["who"] == "c", "y"] = "rare"
    for seed in range(5):
        found = parts(frame, "y", "classification", arranged(frame, "y", "who"), seed)
        assert "c" not in set(frame["who"].iloc[found.held_out])


def test_groups_that_alone_hold_a_class_each_are_refused() -> None:
    """Nothing could be held out; the column is named."""
    frame = pd.DataFrame({"who": np.repeat(["p", "q"], 5), "y": np.repeat(["a", "b"], 5)})
    with pytest.raises(InputError, match=r"each 'who' alone holds a class of 'y'.*--group"):
        parts(frame, "y", "classification", arranged(frame, "y", "who"))


@given(times=st.lists(st.integers(0, 12), min_size=8, max_size=60), seed=st.integers(0, 9))
def test_held_out_rows_are_the_latest(times: list[int], seed: int) -> None:
    """No training row is as late as a held-out one; rows of one time stay together."""
    if len(set(times)) < 2:
        return
    frame = pd.DataFrame({"t": times, "y": np.random.default_rng(seed).normal(size=len(times))})
    found = parts(frame, "y", "regression", arranged(frame, "y", time="t"), seed)
    assert found.in_order
    assert frame["t"].iloc[found.train].max() < frame["t"].iloc[found.held_out].min()
    assert len(found.train) + len(found.held_out) == len(frame)
    assert found.how.endswith("% by 't'")


def test_group_and_time_together() -> None:
    """Users who come one after another: no later row is learnt from, no user is on both sides, the rest is counted."""
    draw = np.random.default_rng(1)
    frame = pd.DataFrame({"who": np.repeat(np.arange(40), 5), "y": draw.normal(size=200)})
    frame["t"] = frame["who"] + draw.uniform(0, 4, 200)
    found = parts(frame, "y", "regression", arranged(frame, "y", "who", "t"))
    assert frame["t"].iloc[found.train].max() < frame["t"].iloc[found.held_out].min()
    assert not set(frame["who"].iloc[found.train]) & set(frame["who"].iloc[found.held_out])
    left = 200 - len(found.train) - len(found.held_out)
    assert f"{left} rows" in found.notes[0]
    assert "no 'who' on both sides" in found.how


def test_groups_through_the_whole_time_do_not_go_with_an_order() -> None:
    """Asked for, it is refused; an order that was only found is left aside, and this is said."""
    draw = np.random.default_rng(2)
    frame = pd.DataFrame({"who": draw.integers(0, 10, 200), "y": draw.normal(size=200)})
    frame["day"] = pd.date_range("2024-01-01", periods=200)
    with pytest.raises(InputError, match=r"'day' keeps every 'who' on one side.*--group and --time"):
        parts(frame, "y", "regression", arranged(frame, "y", "who", "day"))
    found = parts(frame, "y", "regression", arranged(frame, "y", "who"))
    assert not found.in_order
    assert "without regard to 'day'" in found.notes[-1]


def test_class_that_comes_later_is_not_held_out() -> None:
    """It is counted; where the earlier rows hold one class the order cannot be kept."""
    frame = pd.DataFrame({"t": range(40), "y": ["a", "b"] * 20})
    frame.loc[39, "y"] = "new"
    found = parts(frame, "y", "classification", arranged(frame, "y", time="t"))
    assert found.held_out.tolist() == list(range(30, 39))
    assert "1 row (39)" in found.notes[0]
    frame["y"] = ["a"] * 30 + ["b"] * 10
    with pytest.raises(InputError, match="the earlier rows by 't' hold one value of 'y'"):
        parts(frame, "y", "classification", arranged(frame, "y", time="t"))


def test_folds_by_group_are_whole_and_test_each_row_once() -> None:
    """At most ten, of about the same size."""
    frame, arrangement = by_groups([3, 1, 8, 2, 5, 4, 4, 6, 1, 1, 2, 9, 3], 5)
    found = folds(arrangement)
    assert sorted(np.concatenate([fold.tested for fold in found])) == list(range(len(frame)))
    for fold in found:
        inside = set(frame["who"].iloc[fold.tested])
        assert not inside & set(frame["who"].drop(index=frame.index[fold.out]))
    sizes = [len(fold.tested) for fold in found]
    assert len(found) == 10
    assert max(sizes) <= 9


@pytest.mark.parametrize("group", [None, "who"])
def test_folds_in_time_learn_from_earlier_rows_only(group: str | None) -> None:
    """What is left for the fit is earlier than all that is tested, and of other groups."""
    draw = np.random.default_rng(3)
    frame = pd.DataFrame({"who": draw.integers(0, 30, 90), "t": draw.integers(0, 25, 90), "y": draw.normal(size=90)})
    for fold in folds(arranged(frame, "y", group, "t")):
        kept = frame.drop(index=frame.index[fold.out])
        assert kept["t"].max() < frame["t"].iloc[fold.tested].min()
        assert set(fold.tested) <= set(fold.out)
        if group is not None:
            assert not set(kept["who"]) & set(frame["who"].iloc[fold.tested])


def test_nothing_arranged_means_no_folds() -> None:
    """Each row alone is then left out."""
    assert folds(Arrangement()) == []


def dated(**columns: Any) -> pd.DataFrame:
    frame = pd.DataFrame({"y": np.arange(12.0), "x": np.arange(12.0) % 5})
    return frame.assign(**columns)


DAYS = pd.date_range("2024-01-01", periods=12).strftime("%Y-%m-%d").to_numpy()


def test_the_one_column_of_dates_is_the_order() -> None:
    """Whatever order the file is in; dates of birth are none; of several, the one by which the file is sorted."""
    assert arranged(dated(day=DAYS[::-1]), "y").time_column == "day"
    mixed = np.random.default_rng(0).permutation(DAYS)
    assert arranged(dated(birth_date=mixed), "y").time_column is None
    assert arranged(dated(born=mixed, seen=mixed), "y").time_column == "seen"
    assert arranged(dated(due=mixed, seen=DAYS), "y").time_column == "seen"
    several = arranged(dated(due=mixed, seen=mixed[::-1]), "y")
    assert several.time_column is None
    assert "'due', 'seen' hold dates; --time names" in several.notes[0]


def test_dates_with_gaps_give_no_order() -> None:
    """The rows are named."""
    gaps = DAYS.astype(object)
    gaps[[3, 7]] = None
    found = arranged(dated(day=gaps), "y")
    assert found.time_column is None
    assert "'day' is empty in 2 rows (3, 7)" in found.notes[0]


def test_the_same_order_by_what_is_already_known_of_the_columns() -> None:
    """`infer` has read the dates: they are not read again."""
    frame = dated(day=np.roll(DAYS, 5))
    known = arranged(frame, "y", dates=infer(frame, "y").date)
    np.testing.assert_array_equal(known.times, arranged(frame, "y").times)


def test_a_group_is_no_feature() -> None:
    """Whatever it holds; nor is it told as an oddity."""
    frame = dated(who=np.arange(12) // 3, where=np.tile(["a", "b"], 6))
    columns = infer(frame, "y", group_column="who")
    assert columns.features == ("x", "where")
    assert columns.ignored == {"who": "the group"}
    assert columns.notes == ()


def test_group_of_one_row_each_keeps_nothing_together() -> None:
    """This is said, and rows are drawn as without it."""
    found = arranged(dated(who=[f"p{i}" for i in range(12)]), "y", "who")
    assert found.groups is None
    assert found.notes == ("every row has a 'who' of its own, so it keeps no rows together",)


def test_companions_are_the_whole_group() -> None:
    """Rows without a group stand alone."""
    frame = dated(who=["a", "b", "a", None, "b", "b", None, "a", "c", "c", "c", "d"])
    frame.loc[[3, 6], "y"] = np.nan
    found = arranged(frame, "y", "who")
    assert found.companions([0, 11]).tolist() == [0, 2, 7, 11]
    assert found.companions([3]).tolist() == [3]
    assert Arrangement().companions([5, 5, 1]).tolist() == [1, 5]


@pytest.mark.parametrize(
    ("columns", "group", "time", "said"),
    [
        ({}, "whom", None, r"there is no group column 'whom'"),
        ({}, None, "dya", r"there is no time column 'dya'.*'day'"),
        ({}, "y", None, r"'y' is given both as --target and as --group"),
        ({}, None, "y", r"'y' is given both as --target and as --time"),
        ({}, "who", "who", r"'who' is given both as --group and as --time"),
        ({"who": "p"}, "who", None, r"group column 'who' holds one value in all 12 rows.*--group"),
        ({"who": ["p", None] * 6}, "who", None, r"group column 'who' is empty in 6 rows \(1, 3, 5"),
        ({"day": 3}, None, "day", r"time column 'day' holds one time in all 12 rows.*--time"),
        ({"day": [1.0, None] * 6}, None, "day", r"time column 'day' has no time in 6 rows \(1, 3, 5"),
        ({"day": ["soon", "late"] * 6}, None, "day", r"'day' holds no numbers and no dates \('soon' in row 0\)"),
    ],
)
def test_what_arranges_nothing_is_refused(columns: Any, group: str | None, time: str | None, said: str) -> None:
    """The column is named, and the rows."""
    frame = dated(**{"who": np.arange(12) // 3, "day": DAYS} | columns)
    with pytest.raises(InputError, match=said):
        arranged(frame, "y", group, time)
