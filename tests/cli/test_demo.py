"""`upweight demo`: the first minute, once, as a newcomer sees it."""

import re
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from tests.cli.test_explain import pasted
from upweight.cli import app


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path, float]:
    """The result, the folder, and the processor time that it took."""
    folder = tmp_path_factory.mktemp("demo") / "out"
    start = time.process_time()
    result = CliRunner().invoke(app, ["demo", "--out", str(folder)])
    return result, folder, time.process_time() - start


def test_demo_shows_the_first_minute(shown: tuple[Any, Path, float]) -> None:
    """A wrong digit, the rows behind it drawn, a flip that a refit confirms, harmful rows, the check, an honest A."""
    result, folder, _ = shown
    assert result.exit_code == 0, result.stderr
    for part in (
        "1,797 rows, 64 numbers each, 10 classes · 1,347 train, 450 held out",
        "Why did the model read held-out row",
        "▼ harmful: without it the loss here would fall",
        "▲ helpful: without it the loss here would rise",
        "Really refitted: yes, it does.",
        "Rows that hurt the held-out digits most",
        "12 rows really removed, model refitted",
        "Nothing left this machine.",
        f"{folder}/report.html",
    ):
        assert part in " ".join(result.stdout.split())
    assert re.search(r"[▀▄█]{2}", result.stdout)
    assert re.search(r"Grade +A ", result.stdout)


def test_demo_fits_80_columns(shown: tuple[Any, Path, float]) -> None:
    """Except where the folder's own name is longer than that."""
    result, folder, _ = shown
    assert max(len(line) for line in result.stdout.splitlines() if str(folder)[:20] not in line) <= 80
    assert "\x1b" not in result.stdout


def test_demo_computes_for_under_ten_seconds(shown: tuple[Any, Path, float]) -> None:
    """Processor time, with every call type-checked as the suite has it."""
    assert shown[2] < 10.0


def test_demo_writes_three_files(shown: tuple[Any, Path, float]) -> None:
    """The digits with their labels, a model that knows its training rows, a page without script."""
    _, folder, _ = shown
    assert sorted(path.name for path in folder.iterdir()) == ["digits.csv", "model.skops", "report.html"]
    frame = pd.read_csv(folder / "digits.csv")
    assert frame.shape == (1797, 65)
    assert (folder / "report.html").stat().st_size < 150_000
    assert "<script" not in (folder / "report.html").read_text(encoding="utf-8")


def test_next_command_explains_the_same_digit(shown: tuple[Any, Path, float]) -> None:
    """The command that the demo names runs as it stands, on the same rows, with the same answer."""
    result, _, _ = shown
    words = pasted(result.stdout)
    assert words[:2] == ["upweight", "explain"]
    again = CliRunner().invoke(app, words[1:])
    assert again.exit_code == 0, again.stderr
    (flip,) = re.findall(r"Without rows? [\d, ]+ it reads \d", result.stdout)
    assert flip in again.stdout
