"""`upweight compare`: its page, JSON and report; every pair of models that it takes, and those that it refuses."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression, Ridge

from tests.cli.conftest import Run, pasted

TOP = ["upweight", "command", "data", "seed", "held_out", "id", "target", "kind", "train_rows", "models", "sentences"]
TOP += ["predictions", "rows", "meaning", "notes", "report", "seconds"]


@pytest.fixture(scope="module")
def two(folder: Path, loans: Path) -> tuple[Path, Path]:
    """Two models of the loans' numbers, fitted on all rows."""
    frame = pd.read_csv(loans)
    x, y = frame[["income", "age"]], frame["outcome"]
    paths = folder / "weak.skops", folder / "strong.skops"
    for path, c in zip(paths, (10.0, 1e-4), strict=True):
        skops.io.dump(LogisticRegression(C=c, tol=1e-8, max_iter=1000).fit(x, y), path)
    return paths


def test_with_and_without_a_column(run: Run, loans: Path, tmp_path: Path) -> None:
    """Two pipelines fitted here; the page fits 80 columns and names both, the report is one file without script."""
    report = tmp_path / "r.html"
    result = run("compare", loans, "--target", "outcome", "--without", "town", "--report", report)
    assert result.exit_code == 0, result.stderr
    for part in ("all columns", "without town", "order the training rows alike by", "held-out rows", "Next", "grade"):
        assert part in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "\x1b" not in result.stdout
    page = report.read_text(encoding="utf-8")
    assert "without town" in page
    assert "<script" not in page
    again = run(*pasted(result.stdout)[1:])
    assert again.exit_code == 0, again.stderr


def test_json_keys_are_stable(run_json: Run, loans: Path) -> None:
    """Version 1 of the form: these keys in this order; without rows neither labels nor the truth."""
    found = run_json("compare", loans, "--target", "outcome", "--without", "town", "--id", "loan")
    assert list(found) == TOP
    assert found["upweight"] == 1
    assert found["models"]["b"]["name"] == "without town"
    assert found["held_out"]["rows"] == len(found["predictions"]) == 40
    first = found["predictions"][0]
    assert first["id"].startswith("L-")
    assert first["label"] in ("paid", "failed")
    assert list(found["rows"][0]) == [
        *("id", "label", "influence_a", "share_a", "refit_a", "influence_b", "share_b", "refit_b", "leans"),
    ]
    hidden = run_json("compare", loans, "--target", "outcome", "--without", "town", "--no-rows")
    assert "label" not in hidden["predictions"][0]
    assert "label" not in hidden["rows"][0]


def test_two_models_from_files(run_json: Run, run: Run, loans: Path, two: tuple[Path, Path], tmp_path: Path) -> None:
    """Fitted on all rows, they need --query or --row; a training row is taken out of both."""
    models = ("--target", "outcome", "--model", two[0], "--model", two[1])
    result = run("compare", loans, *models)
    assert result.exit_code == 2
    assert "no row was held out of both models. Say what to predict: --query FILE or --row" in flat(result.stderr)
    new = tmp_path / "new.csv"
    pd.read_csv(loans).head(6).to_csv(new, index=False)
    found = run_json("compare", loans, *models, "--query", new)
    assert (found["models"]["a"]["name"], found["models"]["b"]["name"]) == ("weak", "strong")
    assert found["train_rows"] == 160
    assert len(found["predictions"]) == 6
    found = run_json("compare", loans, *models, "--row", "3", "--row", "5")
    assert found["train_rows"] == 158
    assert {line["id"] for line in found["rows"]}.isdisjoint({3, 5})


def test_one_model_beside_a_pipeline(run_json: Run, loans: Path, two: tuple[Path, Path]) -> None:
    """The pipeline is fitted to the rows of the model, not to three quarters of the file."""
    found = run_json("compare", loans, "--target", "outcome", "--model", two[0], "--row", "3", "--row", "8")
    assert (found["models"]["a"]["name"], found["models"]["b"]["name"]) == ("weak", "fitted here")
    assert found["train_rows"] == 158


def test_regressions(run_json: Run, diabetes: Path) -> None:
    """By their predictions; no classes."""
    found = run_json("compare", diabetes, "--target", "progression", "--without", "bmi")
    assert found["kind"] == "regression"
    assert found["models"]["a"]["measurement"] == "prediction"
    assert "other_class_a" not in found["predictions"][0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "compare needs two models: --model twice"),
        (("--without", "colour"), "there is no column 'colour'. There are 'loan', 'income', 'age', 'town', 'outcome'"),
        (("--without", "outcome"), "column 'outcome' is the target"),
        (("--without", "town", "--row", "1", "--query", "new.csv"), "--row and --query ask different questions"),
        (("--model", "a", "--model", "b", "--model", "c"), "--model is given 3 times"),
        (("--model", "a", "--model", "b", "--without", "age"), "--without changes the pipeline that is fitted here"),
    ],
)
def test_what_is_refused(run: Run, loans: Path, words: Any, said: str) -> None:
    """Exit code 2, one line that says what to do, nothing on stdout."""
    result = run("compare", loans, "--target", "outcome", *words)
    assert result.exit_code == 2
    assert said in flat(result.stderr)
    assert result.stdout == ""


def test_a_network_is_compared_in_python(run: Run) -> None:
    """The command reads tables."""
    result = run("compare", "training:task", "--without", "town")
    assert result.exit_code == 2
    assert "training:task: compare reads a table. Networks are compared in Python" in flat(result.stderr)


def test_models_of_different_rows_are_refused(run: Run, loans: Path, folder: Path) -> None:
    """A number beside a class has another target: it is no model of this one."""
    frame = pd.read_csv(loans)
    path = folder / "number.skops"
    skops.io.dump(Ridge().fit(frame[["income", "age"]], np.arange(160.0)), path)
    result = run("compare", loans, "--target", "outcome", "--model", path, "--row", "1")
    assert result.exit_code == 2


def test_a_report_over_what_is_read_is_refused(run: Run, loans: Path) -> None:
    """The data stays."""
    before = loans.read_bytes()
    result = run("compare", loans, "--target", "outcome", "--without", "town", "--report", loans)
    assert result.exit_code == 2
    assert "is a file that is read" in flat(result.stderr)
    assert loans.read_bytes() == before


def flat(text: str) -> str:
    """One line."""
    return " ".join(text.split())
