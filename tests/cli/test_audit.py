"""`upweight audit`: its page, JSON, report and exit codes; every flip a second way, by a cold fit of the table."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from typer.testing import CliRunner

from tests.cli.conftest import Run, pasted
from upweight.cli import app, auditing

TOP = ["upweight", "command", "data", "seed", "held_out", "id", "target", "kind", "model", "train_rows", "measurement"]
TOP += ["unit", "bound", "rows_changed", "sentences", "predictions", "together", "rows", "defences", "grade", "how"]
TOP += ["meaning", "notes", "fragile", "max_fragile", "passed", "report", "seconds"]
WIDE = ("--target", "outcome", "--within", "income=12", "--within", "age=9")


@pytest.fixture(autouse=True, scope="module")
def one_level() -> Iterator[None]:
    """Of the steps of the grid that the defences try, the first: quicker, and the same code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auditing, "LEVELS", (1,))
        yield


@pytest.fixture(scope="module")
def model(folder: Path, loans: Path) -> Path:
    """Of the loans' numbers, on all rows; fitted closely, so that a cold fit says the same."""
    frame = pd.read_csv(loans)
    fitted = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-10, max_iter=1000))
    path = folder / "numbers.skops"
    skops.io.dump(fitted.fit(frame[["income", "age"]], frame["outcome"]), path)
    return path


@pytest.fixture(scope="module")
def border(folder: Path) -> Path:
    """Three loans about which a model is in doubt."""
    path = folder / "border.csv"
    pd.DataFrame({"loan": ["N-1", "N-2", "N-3"], "income": [50.1, 47.3, 55.9], "age": [51, 60, 37],
                  "town": ["Aachen", "Cottbus", "Aachen"]}).to_csv(path, index=False)  # fmt: skip
    return path


@pytest.fixture(scope="module")
def found(loans: Path, border: Path) -> dict[str, Any]:
    """Of the three loans, with one row changed or two."""
    words = ["audit", str(loans), *WIDE, "--query", str(border), "--id", "loan", "--rows-changed", "1,2", "--json"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.stderr
    parsed: dict[str, Any] = json.loads(result.stdout)
    return parsed


def test_the_page_and_the_report(run: Run, loans: Path, tmp_path: Path) -> None:
    """The answer first, in 80 columns; the report has the same sections and no script; the next command runs."""
    report = tmp_path / "r.html"
    result = run("audit", loans, *WIDE, "--row", "17", "--report", report)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith("upweight audit")
    answer = "Prediction 17 can be flipped by changing 1 training row by"
    assert answer in lines[2]
    assert "refitted: yes, it does." in flat(result.stdout)
    for part in ("By fragility", "Defences", "re-encoded", "Grade", "training rows by how far", "→", "Next", "Report"):
        assert part in result.stdout
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in result.stdout
    page = report.read_text(encoding="utf-8")
    for anchor in ("audit", "fragility", "defences", "trust"):
        assert f'href="#{anchor}"' in page
    assert answer in page
    assert "<script" not in page
    assert "Run again" in page
    again = run(*pasted(result.stdout)[1:])
    assert again.exit_code == 0, again.stderr


def test_a_report_of_another_command_has_no_section_of_it(run: Run, loans: Path, tmp_path: Path) -> None:
    """Only where audit was run."""
    report = tmp_path / "r.html"
    result = run("explain", loans, "--target", "outcome", "--row", "3", "--report", report)
    assert result.exit_code == 0, result.stderr
    page = report.read_text(encoding="utf-8")
    assert "#audit" not in page
    assert "#defences" not in page


def test_json_keys_are_stable(found: dict[str, Any]) -> None:
    """Version 1 of the form: these keys in this order, the most fragile prediction first."""
    assert list(found) == TOP
    assert (found["upweight"], found["command"], found["id"], found["rows_changed"]) == (1, "audit", "loan", [1, 2])
    assert found["fragile"] == sum(line["flipped"] for line in found["predictions"]) == 2
    assert found["passed"]
    assert found["max_fragile"] is None
    assert {line["id"] for line in found["predictions"]} == {"N-1", "N-2", "N-3"}
    first, *_, last = found["predictions"]
    assert list(first) == [
        *("id", "says", "then_says", "now", "refit", "flipped", "confirmed", "steps", "fragility", "promised"),
        *("changed", "tried", "note"),
    ]
    assert first["flipped"]
    assert first["confirmed"]
    assert first["then_says"] != first["says"]
    assert first["fragility"] == pytest.approx(1 / first["steps"])
    assert not last["flipped"]
    assert last["then_says"] == last["says"]
    assert last["fragility"] == 0
    (changed, *_) = first["changed"]
    assert list(changed) == ["id", "label", "cells"]
    assert changed["id"].startswith("L-")
    assert list(changed["cells"][0]) == ["column", "before", "after", "change"]
    assert list(found["rows"][0]) == ["id", "label", "effect", "changed_in", "flips"]
    effects = [row["effect"] for row in found["rows"]]
    assert effects == sorted(effects, reverse=True)
    assert list(found["defences"][0]) == ["kind", "name", "flipped", "of", "meaning"]
    assert set(found["grade"]) == {"letter", "checked", "reasons", "would_raise"}


def test_without_rows_ids_columns_and_changes_are_left(run: Run, run_json: Run, loans: Path) -> None:
    """Neither labels of rows nor what cells hold, in JSON and on the page."""
    asked = ("audit", loans, *WIDE, "--row", "17", "--no-rows")
    hidden = run_json(*asked)
    (changed, *_) = hidden["predictions"][0]["changed"]
    assert list(changed) == ["id", "cells"]
    assert list(changed["cells"][0]) == ["column", "change"]
    assert "label" not in hidden["rows"][0]
    row = pd.read_csv(loans).iloc[changed["id"]]
    text = run(*asked).stdout
    assert str(row["income"]) not in text
    assert row["town"] not in text


def test_flips_are_real(run_json: Run, loans: Path, model: Path, border: Path) -> None:
    """The changed rows written into the table, and the user's own class fitted to it from nothing: it says the same.

    No cell leaves its bound or the range of its column; what stands before the head is frozen.
    """
    frame, new = pd.read_csv(loans), pd.read_csv(border)[["income", "age"]]
    found = run_json("audit", loans, *WIDE, "--model", model, "--query", border, "--rows-changed", "1,3")
    assert found["train_rows"] == 160
    assert {line["flipped"] for line in found["predictions"]} == {True, False}
    scaler = skops.io.load(model, trusted=[]).named_steps["standardscaler"]
    for line in found["predictions"]:
        x = frame[["income", "age"]].astype(float)
        for row in line["changed"]:
            for cell in row["cells"]:
                column = cell["column"]
                assert x.loc[row["id"], column] == cell["before"]
                assert abs(cell["change"]) <= {"income": 12, "age": 9}[column]
                assert frame[column].min() <= cell["after"] <= frame[column].max()
                x.loc[row["id"], column] = cell["after"]
        cold = LogisticRegression(tol=1e-10, max_iter=1000).fit(scaler.transform(x), frame["outcome"])
        (said,) = cold.predict(scaler.transform(new.iloc[[line["id"]]]))
        assert said == line["then_says"]
        assert (said != line["says"]) == line["flipped"]


def test_max_fragile_is_for_ci(run: Run, loans: Path, found: dict[str, Any]) -> None:
    """1 where more flip than were allowed, and it is said; 0 where not; the user's file stays."""
    before = loans.read_bytes()
    asked = ("audit", loans, *WIDE, "--row", "17", "--max-fragile")
    result = run(*asked, 1)
    assert result.exit_code == 0, result.stderr
    assert "passed: 1 prediction flipped, 1 at most were asked for" in flat(result.stdout)
    result = run(*asked, 0)
    assert result.exit_code == 1
    assert "more: 1 prediction flipped, 0 at most were asked for" in flat(result.stdout)
    assert loans.read_bytes() == before


def test_all_together(run_json: Run, loans: Path, border: Path) -> None:
    """One change against all; which flip."""
    found = run_json("audit", loans, *WIDE, "--query", border, "--together", "--rows-changed", "1,4")
    assert found["predictions"] == []
    assert [joint["rows"] for joint in found["together"]] == [1, 4]
    for joint in found["together"]:
        assert joint["flips"] == sum(line["flipped"] for line in joint["predictions"])
        assert joint["loss_refit"] > joint["loss_now"]
        assert len(joint["changed"]) == joint["rows"]
    assert found["fragile"] == max(joint["flips"] for joint in found["together"])
    assert "when 4 training rows (" in found["sentences"][1]


def test_nothing_flips_within_rounding(run: Run, loans: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Held-out rows and the bound that are there unasked; the page names a command that tries more rows."""
    monkeypatch.setattr(auditing, "AT_ONCE", 2)
    result = run("audit", loans, "--target", "outcome")
    assert result.exit_code == 0, result.stderr
    assert "0 of 2 predictions can be flipped by changing 1 training row by less than half" in flat(result.stdout)
    words = pasted(result.stdout)
    assert words[-2:] == ["--rows-changed", "1,2,10"]


def test_numbers_move(run: Run, diabetes: Path) -> None:
    """Of a regression: how far, and no flips to count."""
    result = run("audit", diabetes, "--target", "progression", "--within", "bmi=5", "--row", "3")
    assert result.exit_code == 0, result.stderr
    assert "Prediction 3 moves from" in flat(result.stdout)
    assert run(*pasted(result.stdout)[1:]).exit_code == 0
    result = run("audit", diabetes, "--target", "progression", "--max-fragile", "1")
    assert result.exit_code == 2
    assert "'progression' is a number: its predictions move, and never flip" in flat(result.stderr)


def test_the_worst_held_out_rows(run_json: Run, loans: Path) -> None:
    """As many as were asked for, right or wrong."""
    found = run_json("audit", loans, "--target", "outcome", "--within", "income=1", "--worst", "2")
    assert len(found["predictions"]) == 2
    assert all(line["changed"] for line in found["predictions"])


def test_what_takes_long_is_said_beforehand(run: Run, loans: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On stderr."""
    monkeypatch.setattr(auditing, "LONG", 0.0)
    result = run("audit", loans, *WIDE, "--row", "17", "--json")
    assert result.exit_code == 0
    assert "This will take about" in result.stderr
    assert json.loads(result.stdout)["command"] == "audit"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--rows-changed", "1,x"), "--rows-changed '1,x' is no list of counts. Give whole numbers from 1 on"),
        (("--rows-changed", "0"), "--rows-changed '0' is no list of counts"),
        (("--rows-changed", "4000"), "--rows-changed allows 4,000 rows, and the model learnt from 120"),
        (("--within", "much"), "'much' is no number above 0"),
        (("--within", "-1"), "'-1' is no number above 0"),
        (("--within", "income=nan"), "'nan' is no number above 0"),
        (("--within", "1", "--within", "age=2"), "--within '1' names no column"),
        (("--within", "age=1", "--within", "age=2"), "--within names column 'age' twice"),
        (("--within", "colour=1"), "within names 'colour', which is no column"),
        (("--within", "town=1"), "within names 'town', which is no column of numbers"),
        (("--row", "3", "--worst", "2"), "--row and --worst ask different questions"),
        (("--row", "999"), "there is no row '999'"),
        (("--worst", "0"), "--worst 0 asks for nothing"),
        (("--query", "nowhere.csv"), "nowhere.csv"),
        (("--report", "nowhere/r.html"), "there is no folder 'nowhere'"),
        (("--max-fragile", "-1"), "max-fragile"),
    ],
)
def test_what_is_refused(run: Run, loans: Path, words: Any, said: str) -> None:
    """Exit code 2, what to do, nothing on stdout."""
    result = run("audit", loans, "--target", "outcome", *words)
    assert result.exit_code == 2, result.stdout
    assert said in flat(result.stderr)
    assert result.stdout == ""


def test_a_network_is_audited_in_python(run: Run) -> None:
    """The command reads tables."""
    result = run("audit", "training:task")
    assert result.exit_code == 2
    assert "training:task: audit reads a table. Networks are audited in Python" in flat(result.stderr)


def test_no_row_held_out(run: Run, loans: Path, model: Path) -> None:
    """A model of all rows leaves none to predict."""
    result = run("audit", loans, "--target", "outcome", "--model", model)
    assert result.exit_code == 2
    assert "no row was held out. Say what to predict: --query FILE, --row or --worst K" in flat(result.stderr)


def test_a_report_over_what_is_read_is_refused(run: Run, loans: Path) -> None:
    """The data stays."""
    before = loans.read_bytes()
    result = run("audit", loans, "--target", "outcome", "--report", loans)
    assert result.exit_code == 2
    assert "is a file that is read" in flat(result.stderr)
    assert loans.read_bytes() == before


def flat(text: str) -> str:
    """One line."""
    return " ".join(text.split())
