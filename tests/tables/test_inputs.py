"""What a model from a file reads of a table."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from upweight.errors import InputError
from upweight.tables.default_model import default_model, prepare
from upweight.tables.infer import infer
from upweight.tables.inputs import inputs_for
from upweight.tables.model_file import ModelFile

FRAME = pd.DataFrame(
    {
        "y": [0, 1] * 5,
        "b": np.arange(10.0) ** 2,
        "text": ["good day", None] * 5,
        "a": np.arange(10.0)[::-1],
    }
)
HERE = Path("m.skops")


def test_names_decide_where_there_are_any() -> None:
    """Whatever the order of the table's columns, and whatever else it holds."""
    model = LogisticRegression().fit(FRAME[["a", "b"]], FRAME["y"])
    assert list(inputs_for(ModelFile(model, HERE), FRAME, "y").columns) == ["a", "b"]
    with pytest.raises(InputError, match=r"m\.skops was fitted on columns that the table lacks: 'a'\. The table has"):
        inputs_for(ModelFile(model, HERE), FRAME.drop(columns="a"), "y")


def test_numbers_in_order_where_there_are_no_names() -> None:
    """As many as the model was fitted on, the target not among them."""
    model = LogisticRegression().fit(FRAME[["b", "a"]].to_numpy(), FRAME["y"])
    np.testing.assert_array_equal(inputs_for(ModelFile(model, HERE), FRAME, "y"), FRAME[["b", "a"]])
    with pytest.raises(InputError, match="fitted on 2 columns without names and the table has 1"):
        inputs_for(ModelFile(model, HERE), FRAME.drop(columns="a"), "y")


def test_a_model_of_texts_reads_the_column_of_texts() -> None:
    """An empty cell is an empty text; of two such columns neither is chosen."""
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(FRAME["text"].fillna(""), FRAME["y"])
    assert inputs_for(ModelFile(model, HERE), FRAME, "y").tolist()[:2] == ["good day", ""]
    with pytest.raises(InputError, match=r"reads one column of texts and the table has 2 \('text', 'more'\)"):
        inputs_for(ModelFile(model, HERE), FRAME.assign(more="x"), "y")


def test_our_own_model_reads_what_prepare_makes() -> None:
    """Its file holds the columns as they were inferred from the training table."""
    columns = infer(FRAME, "y")
    x = prepare(FRAME, columns)
    model = default_model(columns, x).fit(x, FRAME["y"])
    pd.testing.assert_frame_equal(inputs_for(ModelFile(model, HERE, columns=columns), FRAME, "y"), x)
