"""`--group`, `--time` and `--worst`: what is held out, what is taken out, and mistakes that hang on the same rows."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression

from tests.cli.conftest import Run, pasted

GROUP = ["count", "mistakes", "rows", "measurement", "unit", "estimate", "refit", "right_estimate", "right_refit"]
GROUP += ["held_out_refit"]
MISTAKE = ["id", "truth", "says", "then_says", "now", "estimate", "refit"]
ROW = ["harms", "share", "id", "estimate", "refit", "verdict", "label", "row"]


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """160 rows of 40 patients who come one after another; in the ward C the first labels are wrong."""
    draw = np.random.default_rng(8)
    patient = np.repeat(np.arange(40), 4)
    pulse, ward = draw.normal(70.0, 9.0, 160).round(1), draw.choice(["A", "B"], 160)
    ill = pulse + draw.normal(0.0, 5.0, 160) > 70
    early, late = [40, 44, 48, 52, 56], [140, 144, 148, 152]
    ward[[*early, *late]], pulse[[*early, *late]] = "C", 72.0
    ill[early], ill[late] = False, True
    frame = pd.DataFrame({"patient": [f"P{i}" for i in patient], "ward": ward, "pulse": pulse})
    frame["seen"] = (pd.Timestamp("2024-03-01") + pd.to_timedelta(np.arange(160), "D")).strftime("%Y-%m-%d")
    frame["ill"] = np.where(ill, "yes", "no")
    path = tmp_path_factory.mktemp("visits") / "visits.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def undated(visits: Path) -> Path:
    path = visits.with_name("undated.csv")
    pd.read_csv(visits).drop(columns="seen").to_csv(path, index=False)
    return path


def test_the_latest_rows_are_held_out(run: Run, run_json: Run, visits: Path) -> None:
    """A column of dates is the order without being named; both commands say so in one line."""
    found = run_json("explain", visits, "--target", "ill", "--worst", "3")
    assert found["held_out"] == {"rows": 40, "group": None, "time": "seen", "how": "the latest 25 % by 'seen'"}
    assert min(p["id"] for p in found["predictions"]) >= 120
    assert all(e["id"] < 120 for p in found["predictions"] for e in (*p["helpful"], *p["harmful"]))
    for command in ("explain", "check"):
        page = run(command, visits, "--target", "ill")
        assert page.exit_code == 0, page.stderr
        assert "held out   the latest 25 % by 'seen'" in page.stdout


def test_time_may_be_a_number(run_json: Run, undated: Path, tmp_path: Path) -> None:
    """A year, a step; --time names it."""
    frame = pd.read_csv(undated).assign(year=np.repeat([2019, 2020, 2021, 2022], 40)[::-1])
    frame.to_csv(tmp_path / "years.csv", index=False)
    found = run_json("check", tmp_path / "years.csv", "--target", "ill", "--time", "year", "--rows", "6")
    assert found["held_out"]["time"] == "year"
    assert found["held_out"]["rows"] == 40


def test_groups_are_held_out_whole(run: Run, run_json: Run, undated: Path) -> None:
    """No patient is on both sides, and the column is no feature."""
    patient = pd.read_csv(undated)["patient"]
    words = (undated, "--target", "ill", "--group", "patient")
    found = run_json("explain", *words, "--worst", "4")
    assert found["held_out"]["group"] == "patient"
    held = {p["id"] for p in found["predictions"]}
    behind = {e["id"] for p in found["predictions"] for side in ("helpful", "harmful", "nearest") for e in p[side]}
    assert not set(patient[list(held)]) & set(patient[list(behind)])
    page = run("check", *words)
    assert "whole groups, 10 of the 40 of 'patient'" in page.stdout
    assert "patient (the group)" in page.stdout
    assert max(map(len, page.stdout.splitlines())) <= 80
    assert pasted(page.stdout)[-2:] == ["--group", "patient"]


def test_a_whole_group_is_taken_out_with_its_row(run_json: Run, undated: Path) -> None:
    """The rows of the same patient leave with the one that is asked about, and this is said."""
    words = ("explain", undated, "--target", "ill", "--group", "patient")
    kept = run_json(*words, "--worst", "1")
    used = {e["id"] for e in kept["predictions"][0]["helpful"]}
    row = min(used)
    found = run_json(*words, "--row", row)
    assert found["train_rows"] == kept["train_rows"] - 4
    said = f"the 4 training rows with the 'patient' of row {row} were taken out"
    assert any(said in note for note in found["notes"])
    together = {row - row % 4 + k for k in range(4)}
    behind = {e["id"] for side in ("helpful", "harmful", "nearest") for e in found["predictions"][0][side]}
    assert not together & behind


def test_group_and_time_go_together(run_json: Run, visits: Path) -> None:
    """Patients come one after another: the last ones are held out, whole."""
    found = run_json("explain", visits, "--target", "ill", "--group", "patient", "--worst", "1")
    assert found["held_out"]["how"] == "the latest 25 % by 'seen', no 'patient' on both sides"


def test_mistakes_are_grouped_by_the_rows_that_they_share(run: Run, run_json: Run, visits: Path) -> None:
    """The wrong labels of ward C are behind its four mistakes, and a refit without them mends all four."""
    found = run_json("explain", visits, "--target", "ill", "--worst", "8")
    shared = found["shared_harm"]
    assert list(shared) == ["mistakes", "groups", "alone"]
    group = max(shared["groups"], key=lambda one: one["right_refit"])
    assert list(group) == GROUP
    assert list(group["mistakes"][0]) == MISTAKE
    assert list(group["rows"][0]) == ROW
    assert {140, 144, 148, 152} <= {one["id"] for one in group["mistakes"]}
    assert [row["id"] for row in group["rows"]][:2] == [40, 44]  # two of the five wrong labels do most of the harm
    assert group["right_refit"] >= 4
    assert shared["mistakes"] == sum(one["count"] for one in shared["groups"]) + len(shared["alone"])
    page = run("explain", visits, "--target", "ill", "--worst", "8", "--report", visits.with_name("r.html"))
    assert page.exit_code == 0, page.stderr
    assert "hang on the same" in page.stdout
    assert "3 more predictions" in page.stdout
    assert max(map(len, page.stdout.splitlines())) <= 80
    assert "Mistakes that share their harmful rows" in visits.with_name("r.html").read_text(encoding="utf-8")


def test_no_rows_tells_no_mistake(run: Run, run_json: Run, visits: Path) -> None:
    """To be called a mistake would give the truth of a row away."""
    words = ("explain", visits, "--target", "ill", "--worst", "8", "--no-rows")
    assert run_json(*words)["shared_harm"] is None
    assert "istake" not in run(*words).stdout


def test_worst_without_held_out_rows_never_learn_from_their_group_or_later(
    run_json: Run, visits: Path, tmp_path: Path
) -> None:
    """A user's model of all rows: real refits without whole groups, or without all later rows, choose the worst."""
    frame = pd.read_csv(visits)
    x = frame[["pulse"]]
    skops.io.dump(LogisticRegression(C=0.01, tol=1e-8).fit(x, frame["ill"]), tmp_path / "m.skops")
    words = ("explain", visits, "--target", "ill", "--model", tmp_path / "m.skops", "--worst", "1")
    found = run_json(*words)
    assert any("of earlier (by 'seen') rows only" in note for note in found["notes"])
    losses = {}
    for start, end in ((32, 64), (64, 96), (96, 128), (128, 160)):
        model = LogisticRegression(C=0.01, tol=1e-8).fit(x[:start], frame["ill"][:start])
        for i in range(start, end):
            column = list(model.classes_).index(frame["ill"][i])
            losses[i] = -np.log(model.predict_proba(x.iloc[[i]])[0, column])
    assert found["predictions"][0]["id"] == max(losses, key=losses.__getitem__)
    grouped = run_json(*words, "--group", "patient")
    assert any("of earlier (by 'seen') rows with another 'patient' only" in note for note in grouped["notes"])
    assert grouped["train_rows"] == 156


def test_group_beside_a_model_without_names(run_json: Run, undated: Path, tmp_path: Path) -> None:
    """A number that only groups is not handed to a model that reads every number."""
    frame = pd.read_csv(undated)
    frame["patient"] = frame["patient"].str[1:].astype(int)
    frame.to_csv(tmp_path / "t.csv", index=False)
    model = LogisticRegression(C=0.01, tol=1e-8).fit(frame[["pulse"]].to_numpy(), frame["ill"])
    skops.io.dump(model, tmp_path / "m.skops")
    words = ("explain", tmp_path / "t.csv", "--target", "ill", "--model", tmp_path / "m.skops")
    found = run_json(*words, "--group", "patient", "--row", "5")
    assert found["train_rows"] == 156
    assert found["grade"]["letter"] in "AB"


@pytest.mark.parametrize("command", ["explain", "check"])
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--group", "patent"), "there is no group column 'patent'. Did you mean 'patient'?"),
        (("--time", "sen"), "there is no time column 'sen'. Did you mean 'seen'?"),
        (("--group", "ill"), "'ill' is given both as --target and as --group"),
        (("--time", "ward"), "'ward' holds no numbers and no dates"),
    ],
)
def test_what_arranges_nothing_is_said_in_three_lines(
    run: Run, visits: Path, command: str, words: tuple[str, ...], said: str
) -> None:
    """Exit code 2, on stderr."""
    result = run(command, visits, "--target", "ill", *words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) <= 3
    assert result.stdout == ""


def test_empty_cells_of_a_group_are_named(run: Run, visits: Path, tmp_path: Path) -> None:
    """By row; and a group of one row each is said and changes nothing."""
    frame = pd.read_csv(visits)
    frame.loc[[3, 9], "patient"] = None
    frame.to_csv(tmp_path / "gaps.csv", index=False)
    result = run("explain", tmp_path / "gaps.csv", "--target", "ill", "--group", "patient")
    assert result.exit_code == 2
    assert "'patient' is empty in 2 rows (3, 9)" in result.stderr
    frame.assign(patient=range(160)).to_csv(tmp_path / "own.csv", index=False)
    alone = run("explain", tmp_path / "own.csv", "--target", "ill", "--group", "patient", "--worst", "1")
    assert alone.exit_code == 0, alone.stderr
    assert "every row has a 'patient' of its own" in " ".join(alone.stdout.split())
