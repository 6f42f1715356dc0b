"""A perceptron in a file is explained from a table as any other model is: its own rows, columns and refits."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.compose import make_column_transformer
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tests.cli.conftest import Run

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture
def table(tmp_path: Path) -> pd.DataFrame:
    """Who bought, by age and town; in small.csv."""
    draws = np.random.default_rng(0)
    frame = pd.DataFrame({"age": 40 + 10 * draws.normal(size=60), "town": draws.choice(["Bern", "Oslo"], 60)})
    wants = frame["age"] + 5 * (frame["town"] == "Oslo") + 8 * draws.normal(size=60) > 42
    frame["bought"] = np.where(wants, "yes", "no")
    frame.to_csv(tmp_path / "small.csv", index=False)
    return frame


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_a_perceptron_in_a_file_is_explained(solver: str, table: pd.DataFrame, tmp_path: Path, run_json: Run) -> None:
    """Rows by their columns, no complaint about the file or the model, and refits where they are no training run."""
    columns = make_column_transformer((OneHotEncoder(), ["town"]), (StandardScaler(), ["age"]))
    final = MLPClassifier((3,), activation="tanh", solver=solver, alpha=0.5, random_state=0)
    model = make_pipeline(columns, final).fit(table[["age", "town"]], table["bought"])
    skops.io.dump(model, tmp_path / "m.skops")
    found = run_json(
        "explain", tmp_path / "small.csv", "--target", "bought", "--model", tmp_path / "m.skops", "--row", 3
    )
    shown = found["predictions"][0]
    assert found["model"] == "MLPClassifier"
    assert set(shown["harmful"][0]["row"]) == {"age", "town"}
    assert "other rows" not in str(found)  # the model without row 3 is judged by its own training
    assert (shown["harmful"][0]["refit"] is None) == (solver == "adam")
    assert found["train_rows"] == 59
