"""`upweight demo`: the first minute, once, as a newcomer sees it."""

import re

import pandas as pd
import pytest

from tests.cli.conftest import DemoRun, Run, pasted


def test_demo_shows_the_first_minute(demo_run: DemoRun) -> None:
    """A wrong digit, the rows behind it drawn, a flip that a refit confirms, harmful rows, the check, an honest A."""
    text = " ".join(demo_run.stdout.split())
    for part in (
        "1,797 rows, 64 numbers each, 10 classes · 1,347 train, 450 held out",
        "Why did the model read held-out row",
        "▼ harmful: without it the loss here would fall",
        "▲ helpful: without it the loss here would rise",
        "Really refitted: yes, it does.",
        "Rows that hurt the held-out digits most",
        "12 rows really removed, model refitted",
        "Grade A ",
        "demo/report.html",
        "Nothing left this machine.",
    ):
        assert part in text
    assert re.search(r"[▀▄█]{2}", demo_run.stdout)


def test_demo_fits_80_columns_and_pipes_no_colour(demo_run: DemoRun) -> None:
    """As UX.md draws it."""
    assert max(map(len, demo_run.stdout.splitlines())) <= 80
    assert "\x1b" not in demo_run.stdout


def test_demo_computes_for_under_ten_seconds(demo_run: DemoRun) -> None:
    """Processor time, with every call type-checked as the suite has it."""
    assert demo_run.seconds < 10.0


def test_demo_writes_three_files(demo_run: DemoRun) -> None:
    """The digits with their labels, a model that knows its training rows, a page without script."""
    folder = demo_run.home / "demo"
    assert sorted(path.name for path in folder.iterdir()) == ["digits.csv", "model.skops", "report.html"]
    assert pd.read_csv(folder / "digits.csv").shape == (1797, 65)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert len(page) < 150_000
    assert "<script" not in page


def test_next_command_explains_the_same_digit(run: Run, demo_run: DemoRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command that the demo names runs as it stands, on the same rows, with the same answer."""
    words = pasted(demo_run.stdout)
    assert words[:2] == ["upweight", "explain"]
    monkeypatch.chdir(demo_run.home)
    again = run(*words[1:])
    assert again.exit_code == 0, again.stderr
    (flip,) = re.findall(r"Without rows? [\d, ]+ it reads \d", demo_run.stdout)
    assert flip in again.stdout


def test_folder_that_cannot_be_made_is_refused(run: Run, demo_run: DemoRun) -> None:
    """A file stands in its place: its name is said."""
    result = run("demo", "--out", demo_run.home / "demo" / "digits.csv" / "x")
    assert result.exit_code == 2
    assert "digits.csv" in result.stderr
    assert "--out" in result.stderr
