"""Rows shown as the user gave them: named columns, positions, text, sparse."""

import numpy as np
import pandas as pd
import scipy.sparse as sp

from upweight.questions import rows_as_they_are


def test_every_form_of_rows() -> None:
    """A DataFrame by its names, an array as x0, x1 …, a Series by its own, a list as it is; in the order asked for."""
    array = np.arange(6.0).reshape(3, 2)
    assert rows_as_they_are(pd.DataFrame({"a": [1, 2, 3], 7: ["x", "y", "z"]}), [2, 0]) == {
        "a": [3, 1],
        "7": ["z", "x"],
    }
    assert rows_as_they_are(array, [1]) == {"x0": [2.0], "x1": [3.0]}
    assert rows_as_they_are(pd.Series(["one", "two"], name="review"), [1]) == {"review": ["two"]}
    assert rows_as_they_are(pd.Series(["one", "two"]), [0]) == {"text": ["one"]}
    assert rows_as_they_are(["one", "two"], [1, 1]) == {"row as it is": ["two", "two"]}


def test_sparse_rows_show_the_columns_that_they_fill() -> None:
    """Columns that are 0 in all rows shown are left out."""
    rows = sp.csr_array(np.array([[0.0, 1.0, 0.0, 0.0], [2.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 9.0]]))
    assert rows_as_they_are(rows, [0, 1]) == {"x0": [0.0, 2.0], "x1": [1.0, 0.0]}


def test_no_rows_have_columns_but_no_values() -> None:
    """An empty choice."""
    assert rows_as_they_are(pd.DataFrame({"a": [1, 2]}), []) == {"a": []}
