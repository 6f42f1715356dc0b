"""A row is shown as what it is: a picture, a text or fields."""

import math

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits

from upweight.display.blocks import FieldsView, Picture, TextView
from upweight.display.row_view import pixels, row_view


def test_digits_of_scikit_learn_become_a_picture() -> None:
    """The 64 columns pixel_r_c give back the 8 x 8 image, whatever other columns stand beside them."""
    digits = load_digits(as_frame=True)
    row = digits.frame.iloc[46]
    view = row_view(row, alt="a handwritten digit")
    assert isinstance(view, Picture)
    assert view.alt == "a handwritten digit"
    np.testing.assert_array_equal(view.pixels, digits.images[46])


def test_pictures_of_any_size_count_from_zero_or_one() -> None:
    """pixel_R_C is read by its numbers, not by the columns' order."""
    expected = np.arange(6.0).reshape(2, 3)
    for start in (0, 1):
        row = {f"pixel_{r + start}_{c + start}": expected[r, c] for c in (2, 0, 1) for r in (1, 0)}
        np.testing.assert_array_equal(pixels(row), expected)


@pytest.mark.parametrize("spoilt", [math.nan, "x", None])
def test_an_incomplete_picture_is_shown_as_fields(spoilt: object) -> None:
    """A hole, or a pixel that is not a number, makes it no picture; nothing fails."""
    row: dict[str, object] = {f"pixel_{r}_{c}": 1.0 for r in range(3) for c in range(3)}
    assert pixels({k: v for k, v in row.items() if k != "pixel_1_1"}) is None
    view = row_view({**row, "pixel_0_0": spoilt})
    assert isinstance(view, FieldsView)
    assert view.more == 1


def test_one_long_text_is_cut_between_words_and_marked() -> None:
    """The text ends in an ellipsis within the limit; marked words are parts of their own, in any case."""
    text = "A Dreadful film, dreadful from the start " + "and so on " * 60
    view = row_view({"stars": 1, "text": text}, marked={"dreadful"}, cut=100)
    assert isinstance(view, TextView)
    assert len(view.text) <= 100
    assert view.text.endswith("and…") or view.text.endswith("on…") or view.text.endswith("so…")
    assert [part for part, matters in view.parts if matters] == ["Dreadful", "dreadful"]
    assert row_view({"text": "a" * 500}, cut=50).text == "a" * 49 + "…"


def test_fields_keep_what_matters_and_count_the_rest() -> None:
    """At most k fields in their own order, marked ones kept, missing values said."""
    row = pd.Series({f"f{i}": i / 3 for i in range(20)} | {"city": "Oslo", "x": math.nan, "when": pd.NaT})
    view = row_view(row, at_most=4, marked={"f19", "x"})
    assert isinstance(view, FieldsView)
    assert [name for name, _ in view.fields] == ["f0", "f1", "f19", "x"]
    assert dict(view.fields)["x"] == "– (empty)"
    assert dict(view.fields)["f1"] == "0.333333"
    assert view.marked == {"f19", "x"}
    assert view.more == 19


def test_values_are_written_as_a_reader_writes_them() -> None:
    """Whole numbers as they are, dates without midnight, infinities and missing values in words."""
    row = {
        "year": 2026,
        "on": True,
        "when": pd.Timestamp("2026-11-24"),
        "far": -math.inf,
        "gone": pd.NA,
        "none": None,
        "small": 1.3e-9,
        "minus": -0.5,
    }
    assert dict(row_view(row).fields) == {
        "year": "2026",
        "on": "True",
        "when": "2026-11-24",
        "far": "– (infinite)",
        "gone": "– (empty)",
        "none": "– (empty)",
        "small": "1.3 × 10⁻⁹",
        "minus": "−0.5",
    }
