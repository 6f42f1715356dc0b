"""`upweight explain --evidence` and `upweight check --evidence`: filed, run again, and refused where it must be."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from tests.cli.conftest import Run, pasted
from upweight.evidence import Evidence
from upweight.evidence.schema import schema
from upweight.tables.model_file import save_model

Record = dict[str, Any]
Change = Callable[[Record], None]


def valid(path: Path) -> Record:
    """A record as JSON, under the published schema."""
    content: Record = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(dict(schema())).validate(content)
    return content


def changed(record: Path, change: Change) -> Path:
    """Another file with one change in it."""
    content = json.loads(record.read_text(encoding="utf-8"))
    change(content)
    out = record.with_name("changed.json")
    out.write_text(json.dumps(content), encoding="utf-8")
    return out


@pytest.fixture(scope="module")
def digits(folder: Path) -> tuple[Path, Path, int]:
    """Three of the digits that scikit-learn ships, a model of most of their rows, and the row it is least sure of."""
    raw = load_digits(as_frame=True).frame.rename(columns={"target": "label"})
    frame = raw[raw["label"] > 6].head(360).reset_index(drop=True)
    data, model = folder / "digits.csv", folder / "digits.skops"
    frame.to_csv(data, index=False)
    rows = np.arange(0, 360, 6)[:, None] + np.arange(4)
    fitted = LogisticRegression(C=0.001, solver="newton-cholesky", tol=1e-8)
    fitted.fit(frame.drop(columns="label").iloc[rows.ravel()], frame["label"].iloc[rows.ravel()])
    save_model(fitted, model, rows=rows.ravel(), target="label", data=data)
    rest = np.setdiff1d(np.arange(360), rows)
    sure = fitted.predict_proba(frame.drop(columns="label").iloc[rest]).max(axis=1)
    return data, model, int(rest[np.argmin(sure)])


@pytest.fixture
def filed(run: Run, loans: Path, tmp_path: Path) -> tuple[Path, Path]:
    """The loans, and the record of one of them; both in a folder of the test's own."""
    data, record = tmp_path / "loans.csv", tmp_path / "record.json"
    data.write_bytes(loans.read_bytes())
    words = ("--target", "outcome", "--id", "loan", "--row", "L-003", "--evidence", record)
    result = run("explain", data, *words)
    assert result.exit_code == 0, result.stderr
    return data, record


def test_digits_are_filed_and_found_again(run: Run, digits: tuple[Path, Path, int], tmp_path: Path) -> None:
    """A model from a file: the record is valid, Next runs it again, every refit agrees; 80 columns throughout."""
    data, model, row = digits
    record, card = tmp_path / "digits.json", tmp_path / "card.md"
    result = run("explain", data, "--model", model, "--row", row, "--evidence", record, "--model-card", card)
    assert result.exit_code == 0, result.stderr
    content = valid(record)
    prediction = content["answer"]["predictions"][0]
    assert all(row["certificate"]["proved"] for row in prediction["rows"])
    assert {row["verdict"] for row in prediction["rows"]} == {"helpful", "harmful"}
    assert prediction["flip"]["certificate"]["outputs_within"] < 1e-9
    assert "torch" not in content["versions"]
    assert content["fingerprints"]["model"] in card.read_text(encoding="utf-8")
    words = pasted(result.stdout)
    assert words[1:3] == ["check", str(data)]
    again = run(*words[1:])
    assert again.exit_code == 0, again.stdout + again.stderr
    found = re.search(r"reproduced: (\d+) of (\d+) refits agree to 1e-9", again.stdout)
    assert found is not None
    assert found[1] == found[2]
    assert int(found[1]) >= 24 + len(prediction["rows"])
    for page in (result.stdout, again.stdout):
        assert max(map(len, page.splitlines())) <= 80


def test_the_election_table_is_filed_and_found_again(
    run: Run, run_json: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipeline fitted here; the record lies beside its data and is run from elsewhere, as JSON."""
    import statsmodels.api as sm

    data, record = tmp_path / "anes.csv", tmp_path / "anes.json"
    sm.datasets.anes96.load_pandas().data.to_csv(data, index=False)
    monkeypatch.chdir(tmp_path)
    result = run("explain", "anes.csv", "--target", "vote", "--worst", "2", "--evidence", "anes.json")
    assert result.exit_code == 0, result.stderr
    content = valid(record)
    assert content["command"].endswith("explain anes.csv --target vote --worst 2 --evidence anes.json")
    monkeypatch.chdir("/")
    found = run_json("check", "--evidence", record)
    assert found["reproduced"] is True
    assert found["refits"] == found["refits_agree"] > 24
    assert found["differences"] == []
    assert found["versions"] == {}


def test_a_record_names_rows_and_holds_none(filed: tuple[Path, Path]) -> None:
    """No column, no cell, no truth: ids and numbers alone."""
    data, record = filed
    text = record.read_text(encoding="utf-8")
    frame = pd.read_csv(data)
    assert "L-003" in text
    assert not [town for town in frame["town"].unique() if town in text]
    assert not [x for x in frame["income"] if repr(x) in text]
    keys = set(re.findall(r'"(\w+)":', text))
    assert not keys & {"row", "label", "truth", "income", "town"}


def test_no_rows_leaves_the_measurement_out(run: Run, loans: Path, tmp_path: Path) -> None:
    """The loss now would give the truth away; such a record is run again all the same."""
    record = tmp_path / "r.json"
    words = ("--target", "outcome", "--row", "3", "--no-rows", "--evidence", record)
    assert run("explain", loans, *words).exit_code == 0
    content = valid(record)
    prediction = content["answer"]["predictions"][0]
    assert prediction["now"] is None
    assert not [row for row in prediction["rows"] if "%" in row["sentence"]]  # a share would give it away too
    assert run("check", "--evidence", record).exit_code == 0


def test_json_says_what_was_written(run_json: Run, diabetes: Path, tmp_path: Path) -> None:
    """A regression: stdout is JSON alone and names the files; its record is run again."""
    record, card = tmp_path / "r.json", tmp_path / "c.md"
    words = ("--target", "progression", "--row", "5", "--to", "200")
    found = run_json("explain", diabetes, *words, "--evidence", record, "--model-card", card)
    assert (found["evidence"], found["model_card"], found["report"]) == (str(record), str(card), None)
    assert valid(record)["answer"]["predictions"][0]["measurement"] == "error"
    assert run_json("check", "--evidence", record)["reproduced"] is True


def set_refit(content: Record) -> None:
    content["answer"]["predictions"][0]["rows"][0]["refit"] *= 1 + 1e-5


def set_estimate(content: Record) -> None:
    content["check"]["estimate"][0][3] += 1e-4


def set_row(content: Record) -> None:
    content["answer"]["predictions"][0]["rows"][1]["id"] = "L-159"


def set_grade(content: Record) -> None:
    content["grade"]["letter"] = "A" if content["grade"]["letter"] != "A" else "B"


def set_words(content: Record) -> None:
    content["answer"]["predictions"][0]["rows"][0]["sentence"] = "nothing to see here"


def test_a_tampered_record_is_found(run: Run, run_json: Run, filed: tuple[Path, Path]) -> None:
    """Exit code 1; a number, a row, a letter and a sentence that were changed are each named, and nothing else is."""
    data, record = filed
    before = json.loads(record.read_text(encoding="utf-8"))["answer"]["predictions"][0]["rows"]

    def all_at_once(content: Record) -> None:
        for change in (set_refit, set_estimate, set_row, set_grade, set_words):
            change(content)

    bad = changed(record, all_at_once)
    result = run("check", data, "--evidence", bad, "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["reproduced"] is False
    first, second = before[0]["id"], before[1]["id"]
    where = {(d["where"], d["what"]) for d in found["differences"]}
    assert (f"loan L-003, without loan {first}", "refit") in where
    assert (f"loan L-003, without loan {first}", "sentence") in where
    assert ("loan L-003, without loan L-159", "refit") in where
    assert (f"loan L-003, without loan {second}", "estimate") in where
    assert ("the grade", "letter") in where
    assert sum("the check" in place for place, _ in where) == 1
    assert found["refits_agree"] == found["refits"] - 2
    page = run("check", data, "--evidence", bad)
    assert page.exit_code == 1
    assert "not reproduced" in page.stdout
    assert f"without loan {first}: refit is" in " ".join(page.stdout.split())
    assert max(map(len, page.stdout.splitlines())) <= 80


def test_other_data_is_refused(run: Run, filed: tuple[Path, Path]) -> None:
    """One cell of the file was changed: the fingerprint of the data says so before anything is fitted."""
    data, record = filed
    data.write_text(data.read_text().replace("Bremen", "Berlin", 1))
    result = run("check", "--evidence", record)
    assert result.exit_code == 2
    for part in ("loans.csv", "data file", "record.json", "sha256"):
        assert part in result.stderr
    assert result.stdout == ""


def test_a_missing_file_is_named(run: Run, filed: tuple[Path, Path], tmp_path: Path) -> None:
    """The data moved: what to give is said, and giving it is enough."""
    data, record = filed
    moved = data.rename(tmp_path / "moved.csv")
    result = run("check", "--evidence", record)
    assert result.exit_code == 2
    assert "data file" in result.stderr
    assert "upweight check DATA --evidence" in result.stderr
    assert run("check", moved, "--evidence", record).exit_code == 0


def test_another_model_is_refused_and_the_same_one_saved_anew_is_not(run: Run, diabetes: Path, tmp_path: Path) -> None:
    """The bytes of a model file may differ; its parameters may not."""
    from sklearn.linear_model import Ridge

    frame = pd.read_csv(diabetes)
    x, y = frame.drop(columns="progression"), frame["progression"]
    model, other, again = (tmp_path / f"{name}.skops" for name in ("model", "other", "again"))
    fitted = Ridge().fit(x, y)
    skops.io.dump(fitted, model)
    save_model(fitted, again, target="progression")
    skops.io.dump(Ridge(alpha=30.0).fit(x, y), other)
    record = tmp_path / "r.json"
    words = ("--target", "progression", "--row", "7", "--model", model, "--evidence", record)
    assert run("explain", diabetes, *words).exit_code == 0
    result = run("check", "--evidence", record, "--model", other)
    assert result.exit_code == 2
    for part in ("other.skops", "another model", "r.json", "parameters"):
        assert part in result.stderr
    same = run("check", "--evidence", record, "--model", again)
    assert same.exit_code == 0, same.stdout + same.stderr
    assert "holds the same parameters" in " ".join(same.stdout.split())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no whole JSON"),
        ('{"upweight_evidence": 1', "no whole JSON"),
        ('{"upweight_evidence": NaN}', "NaN is no number"),
        ("[" * 100_000, "no whole JSON"),
        ('{"upweight": 1}', "no evidence record"),
        ("[1, 2]", "no evidence record"),
        ('{"upweight_evidence": 2, "versions": {"upweight": "9.1"}}', "written by upweight 9.1 in format 2"),
        ('{"upweight_evidence": 1}', "date is missing"),
    ],
)
def test_a_malformed_record_is_refused(run: Run, tmp_path: Path, text: str, said: str) -> None:
    """Cut short, foreign, newer: the file and what is wrong with it are named, with exit code 2."""
    record = tmp_path / "bad.json"
    record.write_text(text, encoding="utf-8")
    result = run("check", "--evidence", record)
    assert result.exit_code == 2
    assert f"{record}: " in result.stderr
    assert said in result.stderr


def set_question(content: Record) -> None:
    content["question"]["seed"] = 3


def set_no_number(content: Record) -> None:
    content["check"]["refit"][0][0] = "0.1"


def set_python(content: Record) -> None:
    from upweight.evidence.fingerprints import settings_sha256

    content["question"]["asked_by"] = "python"
    content["fingerprints"]["settings"] = settings_sha256(content["question"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (set_question, "'settings' differs"),
        (set_no_number, "check.refit[0][0] is '0.1', not number or null"),
        (set_python, "made in Python"),
    ],
)
def test_a_record_with_another_question_or_layout_is_refused(
    run: Run, filed: tuple[Path, Path], change: Change, said: str
) -> None:
    """Before anything is fitted; the place is named."""
    data, record = filed
    result = run("check", data, "--evidence", changed(record, change))
    assert result.exit_code == 2
    assert "changed.json" in result.stderr
    assert said in result.stderr


def test_options_that_the_record_answers_are_refused(run: Run, filed: tuple[Path, Path]) -> None:
    """By name; and so is a model where the record has none, and neither data nor record."""
    data, record = filed
    result = run("check", data, "--evidence", record, "--seed", "4", "--target", "outcome")
    assert result.exit_code == 2
    assert "--target, --seed come from the record" in result.stderr
    result = run("check", data, "--evidence", record, "--model", "m.skops")
    assert result.exit_code == 2
    assert "Leave --model m.skops out" in result.stderr
    result = run("check")
    assert result.exit_code == 2
    assert "--evidence FILE" in result.stderr


def test_a_record_never_overwrites_what_is_read(run: Run, loans: Path, tmp_path: Path) -> None:
    """The data, or another file that is written, is refused by name before any work; so is a missing folder."""
    before = loans.read_bytes()
    result = run("explain", loans, "--target", "outcome", "--row", "3", "--evidence", loans)
    assert result.exit_code == 2
    assert "is also the data" in result.stderr
    assert loans.read_bytes() == before
    one = tmp_path / "one"
    result = run("explain", loans, "--target", "outcome", "--evidence", one, "--model-card", one)
    assert result.exit_code == 2
    assert "is also the file of --evidence" in result.stderr
    result = run("explain", loans, "--target", "outcome", "--evidence", "/nowhere/e.json")
    assert result.exit_code == 2
    assert "'/nowhere'" in result.stderr


def test_a_record_that_cannot_be_written_costs_no_answer(
    run: Run, loans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is printed, the error named, and nothing half-written is left."""
    from upweight.errors import FileError

    def full(self: Evidence, path: Path) -> None:
        raise FileError(f"{path}: the disk is full")

    monkeypatch.setattr(Evidence, "save", full)
    card = tmp_path / "c.md"
    words = ("--target", "outcome", "--row", "3", "--evidence", tmp_path / "e.json", "--model-card", card)
    result = run("explain", loans, *words)
    assert result.exit_code == 2
    assert "Checked" in result.stdout
    assert "the disk is full" in result.stderr
    assert list(tmp_path.iterdir()) == [card]
