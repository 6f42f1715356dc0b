"""`upweight explain`: answers, JSON, ids, queries, and what it keeps to itself."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression

from tests.cli.conftest import Run, pasted

TOP = ["upweight", "command", "data", "seed", "held_out", "id", "target", "kind", "model", "train_rows", "predictions"]
TOP += ["harmful_overall", "shared_harm", "check", "grade", "how", "meaning", "notes", "report", "evidence"]
TOP += ["model_card", "seconds"]
PREDICTION = ["id", "origin", "says", "probability", "measurement", "unit", "helpful", "harmful", "nearest", "flip"]
PREDICTION += ["truth", "now", "row", "in_common"]
EFFECT = ["id", "estimate", "refit", "verdict", "similarity", "label", "row"]
CHECK = ["measurement", "unit", "rows", "estimate", "refit", "pearson", "spearman", "slope", "signs", "intervals"]
CHECK += ["noise_floor", "own_solver_gap", "ranking", "groups", "unfinished"]


def test_json_keys_are_stable(run_json: Run, loans: Path) -> None:
    """Version 1 of the form: these keys in this order; change them only with `upweight`."""
    found = run_json("explain", loans, "--target", "outcome", "--row", "3")
    assert found["upweight"] == 1
    assert list(found) == TOP
    assert list(found["predictions"][0]) == PREDICTION
    assert list(found["predictions"][0]["helpful"][0]) == EFFECT
    assert list(found["check"]) == CHECK
    assert list(found["grade"]) == ["letter", "checked", "reasons", "would_raise"]
    assert list(found["harmful_overall"]) == ["measurement", "unit", "now", "held_out_rows", "measured_on", "rows"]


def test_page_has_the_answer_and_fits_80_columns(run: Run, loans: Path, tmp_path: Path) -> None:
    """One prediction: inference line, rows both ways, flip, check, grade, report, the next command; no escape codes."""
    report = tmp_path / "r.html"
    result = run("explain", loans, "--target", "outcome", "--row", "3", "--report", report)
    assert result.exit_code == 0, result.stderr
    for part in (
        "2 numeric, 1 category",
        "counted from 0",
        "harmful",
        "helpful",
        "nearest",
        "Checked",
        "Grade",
        "Next",
    ):
        assert part in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "\x1b" not in result.stdout
    page = report.read_text(encoding="utf-8")
    for section in ("Overview", "Why", "Map", "Trust"):
        assert f">{section}<" in page
    assert "<script" not in page


def test_next_command_can_be_pasted(run: Run, loans: Path) -> None:
    """What Next says is run as it stands, and works."""
    result = run("explain", loans, "--target", "outcome", "--id", "loan", "--worst", "2")
    words = pasted(result.stdout)
    assert words[:2] == ["upweight", "explain"]
    again = run(*words[1:])
    assert again.exit_code == 0, again.stderr
    assert "loan L-" in again.stdout


def test_training_row_does_not_explain_itself(run_json: Run, loans: Path) -> None:
    """It is taken out first and this is said; --keep leaves it in."""
    out = run_json("explain", loans, "--target", "outcome", "--row", "3")
    kept = run_json("explain", loans, "--target", "outcome", "--row", "3", "--keep")
    assert out["predictions"][0]["origin"] == "taken out of the training rows first"
    assert any("taken out" in note for note in out["notes"])
    assert kept["train_rows"] == out["train_rows"] + 1
    assert not any("taken out" in note for note in kept["notes"])


def test_held_out_row_needs_no_taking_out(run_json: Run, loans: Path) -> None:
    """The worst rows are held out, the default is five, and they are what --row explains too."""
    worst = run_json("explain", loans, "--target", "outcome")
    assert len(worst["predictions"]) == 5
    assert {p["origin"] for p in worst["predictions"]} == {"held out of the training rows"}
    losses = [p["now"] for p in worst["predictions"]]
    assert losses == sorted(losses, reverse=True)
    same = run_json("explain", loans, "--target", "outcome", "--row", worst["predictions"][0]["id"])
    assert same["train_rows"] == worst["train_rows"]
    assert same["predictions"][0]["now"] == losses[0]


def test_ids_are_the_users_everywhere(run: Run, run_json: Run, loans: Path) -> None:
    """--id names rows in the answer and in errors, and is no field of a row."""
    found = run_json("explain", loans, "--target", "outcome", "--id", "loan", "--row", "L-003")
    prediction = found["predictions"][0]
    assert prediction["id"] == "L-003"
    assert all(e["id"].startswith("L-") for e in prediction["helpful"])
    assert "loan" not in prediction["row"]
    result = run("explain", loans, "--target", "outcome", "--id", "loan", "--row", "L-999")
    assert result.exit_code == 2
    assert "no loan 'L-999'" in result.stderr
    assert "'L-000'" in result.stderr


def test_query_file_is_explained(run_json: Run, loans: Path, tmp_path: Path) -> None:
    """Rows of another file, with and without the truth."""
    new = tmp_path / "new.csv"
    frame = pd.read_csv(loans).head(2)
    frame.drop(columns="outcome").to_csv(new, index=False)
    found = run_json("explain", loans, "--target", "outcome", "--query", new)
    assert [p["truth"] for p in found["predictions"]] == [None, None]
    frame.to_csv(new, index=False)
    known = run_json("explain", loans, "--target", "outcome", "--query", new)
    assert [p["truth"] for p in known["predictions"]] == frame["outcome"].tolist()


def test_query_file_without_columns_is_refused(run: Run, loans: Path, tmp_path: Path) -> None:
    """The file and the columns that it lacks are named."""
    new = tmp_path / "new.csv"
    pd.read_csv(loans).head(2).drop(columns=["income", "town"]).to_csv(new, index=False)
    result = run("explain", loans, "--target", "outcome", "--query", new)
    assert result.exit_code == 2
    assert "new.csv" in result.stderr
    assert "'income', 'town'" in result.stderr


def test_regression_speaks_in_the_targets_unit(run: Run, run_json: Run, diabetes: Path) -> None:
    """The error and what would change it are in units of the column; --to asks for a value to cross."""
    found = run_json("explain", diabetes, "--target", "progression", "--row", "7")
    prediction = found["predictions"][0]
    assert (prediction["measurement"], prediction["unit"]) == ("error", "progression")
    assert prediction["now"] == pytest.approx(abs(prediction["says"] - prediction["truth"]))
    assert prediction["flip"] is None
    page = run("explain", diabetes, "--target", "progression", "--row", "7", "--to", "150")
    assert page.exit_code == 0, page.stderr
    assert re.search(r"by [\d.]+ progression", page.stdout)
    assert "off by" in page.stdout
    assert max(map(len, page.stdout.splitlines())) <= 80


def test_regression_query_without_truth_raises_or_lowers(run_json: Run, diabetes: Path, tmp_path: Path) -> None:
    """Without the truth no row is helpful or harmful: its removal raises or lowers the prediction."""
    new = tmp_path / "new.csv"
    pd.read_csv(diabetes).head(1).drop(columns="progression").to_csv(new, index=False)
    prediction = run_json("explain", diabetes, "--target", "progression", "--query", new)["predictions"][0]
    assert prediction["measurement"] == "prediction"
    assert all(e["refit"] > 0 for e in prediction["raises"])
    assert all(e["refit"] < 0 for e in prediction["lowers"])


def test_text_is_shown_as_text(run: Run, reviews: Path) -> None:
    """A column of texts is read as one, and rows are shown as they are."""
    result = run("explain", reviews, "--target", "sentiment", "--worst", "1")
    assert result.exit_code == 0, result.stderr
    assert "1 text" in result.stdout
    assert re.search(r"zebra\d+q", result.stdout)


def test_no_rows_leaks_no_cell(run: Run, diabetes: Path, reviews: Path, tmp_path: Path) -> None:
    """With --no-rows neither page, report nor JSON holds a cell of the table, and the truth cannot be worked out."""
    for path, target in ((diabetes, "progression"), (reviews, "sentiment")):
        report = tmp_path / "r.html"
        words = ("explain", path, "--target", target, "--worst", "1", "--no-rows")
        page = run(*words, "--report", report)
        form = run(*words, "--json")
        assert (page.exit_code, form.exit_code) == (0, 0)
        everything = page.stdout + report.read_text(encoding="utf-8") + form.stdout
        assert not re.search(r"zebra\d+q|wonderful|dreadful", everything)
        keys = json.dumps([list(p) for p in json.loads(form.stdout)["predictions"]])
        assert not re.search("truth|now|row", keys)
        assert "the error here is" not in everything
        if path == diabetes:
            values = pd.read_csv(path)[["s5", "bp"]].to_numpy().ravel()
            shown = {float(x) for x in re.findall(r"(?<![\d.])\d+\.\d+(?![\d.])", page.stdout)}
            assert not shown & {float(v) for v in values if v % 1}


def test_users_model_is_explained_by_its_own_rows(run_json: Run, loans: Path, tmp_path: Path) -> None:
    """A model that another program saved: all rows are its training rows, and this is said; the worst are without."""
    frame = pd.read_csv(loans)
    model = LogisticRegression(C=0.01, tol=1e-8).fit(frame[["income", "age"]], frame["outcome"])
    skops.io.dump(model, tmp_path / "m.skops")
    found = run_json("explain", loans, "--target", "outcome", "--model", tmp_path / "m.skops", "--worst", "2")
    assert found["train_rows"] == len(frame) - 2
    assert found["harmful_overall"] is None
    assert any("all rows of the file" in note for note in found["notes"])
    losses = {}
    for i in range(len(frame)):
        rest = frame.drop(index=i)
        without = LogisticRegression(C=0.01, tol=1e-8).fit(rest[["income", "age"]], rest["outcome"])
        column = list(without.classes_).index(frame["outcome"][i])
        losses[i] = -np.log(without.predict_proba(frame[["income", "age"]].iloc[[i]])[0, column])
    assert {p["id"] for p in found["predictions"]} == set(sorted(losses, key=losses.__getitem__)[-2:])


def test_wrong_labels_are_a_d(run_json: Run, loans: Path, tmp_path: Path) -> None:
    """A model that was fitted to other labels: grade D, though it was refitted without the row asked about."""
    frame = pd.read_csv(loans)
    other = frame["outcome"].iloc[::-1].to_numpy()
    skops.io.dump(LogisticRegression(tol=1e-8).fit(frame[["income", "age"]], other), tmp_path / "m.skops")
    found = run_json("explain", loans, "--target", "outcome", "--model", tmp_path / "m.skops", "--row", "1")
    assert found["grade"]["letter"] == "D"
    assert "these are not the rows" in found["grade"]["reasons"][0]


def test_unlabelled_row_is_explained_without_a_truth(run_json: Run, loans: Path, tmp_path: Path) -> None:
    """A row without a target is left out of training, counted, and can still be asked about."""
    frame = pd.read_csv(loans)
    frame.loc[[4, 9], "outcome"] = None
    path = tmp_path / "gaps.csv"
    frame.to_csv(path, index=False)
    found = run_json("explain", path, "--target", "outcome", "--row", "4")
    assert found["predictions"][0]["truth"] is None
    assert any("2 rows (4, 9)" in note for note in found["notes"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "which column is to be predicted?"),
        (("--target", "outcom"), "Did you mean 'outcome'?"),
        (("--target", "outcome", "--row", "160"), "there is no row '160'"),
        (("--target", "outcome", "--row", "1", "--worst", "2"), "--row and --worst"),
        (("--target", "outcome", "--worst", "0"), "--worst 0"),
        (("--target", "outcome", "--worst", "500"), "at a time"),
        (("--target", "outcome", "--row", "1", "--to", "lost"), "--to 'lost' is not a class"),
        (("--target", "outcome", "--report", "/nowhere/r.html"), "there is no folder"),
        (("--target", "outcome", "--measurement", "brier"), "measurement 'brier' is not known"),
        (("--target", "outcome", "--model", "missing.skops"), "missing.skops"),
    ],
)
def test_bad_input_is_said_in_three_lines(run: Run, loans: Path, words: tuple[str, ...], said: str) -> None:
    """Exit code 2; what was seen, where and what to do, on stderr; stdout stays empty; no traceback."""
    result = run("explain", loans, *words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) <= 3
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


def test_missing_target_names_likely_columns(run: Run, loans: Path) -> None:
    """The outcome is the first that is named."""
    assert "Likely: 'outcome'" in run("explain", loans).stderr


def test_election_table(run: Run, folder: Path) -> None:
    """statsmodels' anes96: 944 rows, one command, within 80 columns."""
    import statsmodels.api as sm

    path = folder / "anes.csv"
    sm.datasets.anes96.load_pandas().data.to_csv(path, index=False)
    result = run("explain", path, "--target", "vote", "--worst", "2")
    assert result.exit_code == 0, result.stderr
    assert "944 rows" in result.stdout
    assert re.search(r"Grade +[AB] ", result.stdout)
    assert max(map(len, result.stdout.splitlines())) <= 80
