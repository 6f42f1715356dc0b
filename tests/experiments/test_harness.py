"""What the experiments share: pieces of a run that was cut short, JSON, the table, stand-ins for files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def scripts(script: Any) -> Any:
    """The modules."""
    return {name: script(name) for name in ("harness", "table", "data.digits", "data.people")}


def test_only_the_papers_own_counts_keep_pieces(scripts: Any, tmp_path: Path) -> None:
    """A second run with the same settings reads them, one with others makes its own; smaller sizes make all anew."""
    harness, made = scripts["harness"], list[int]()

    def make() -> dict[str, Any]:
        made.append(1)
        return {"x": np.arange(3.0), "n": 7}

    full = harness.Run("one", harness.Size.FULL, tmp_path / "kept")
    for settings, times in ((1, 1), (1, 1), (2, 2)):
        found = full.piece("part", settings, make)
        assert found["x"].tolist() == [0.0, 1.0, 2.0]
        assert int(found["n"]) == 7
        assert len(made) == times
    paper = harness.Run("one", harness.Size.PAPER, tmp_path / "kept")
    paper.piece("part", 1, make)
    assert len(made) == 3
    assert len(list((tmp_path / "kept").glob("*.npz"))) == 2


def test_a_whole_run_forgets_its_pieces_and_its_table_names_all(scripts: Any, tmp_path: Path) -> None:
    """JSON without NaN, lists of numbers on a line; the page holds both sizes, the device, and what is short."""
    harness, table = scripts["harness"], scripts["table"]

    def run(run: Any) -> Any:
        part = run.piece("part", 0, lambda: {"x": np.array([1.0, np.nan])})
        line = harness.Line("their | number", "ours", "why", run.size is harness.Size.FULL, "0.5 of 1")
        return harness.Outcome("other data", line, {"x": part["x"], "small": np.float32(0.1), "flag": np.True_})

    one = harness.Experiment(3, "one", "a title", run)
    for size, out in ((harness.Size.PAPER, tmp_path), (harness.Size.FULL, tmp_path / "full")):
        harness.carry_out(one, size, out)
    held = (tmp_path / "one.json").read_text(encoding="utf-8")
    assert json.loads(held)["numbers"] == {"x": [1.0, None], "small": 0.100000001, "flag": True}
    assert not list((harness.HERE / ".pieces" / "one").glob("*"))
    (harness.HERE / ".pieces" / "one").rmdir()
    page = table.write_page(tmp_path).read_text(encoding="utf-8")
    for said in ("## 3. A title", "*other data*", "their \\| number", "not met: 0.5 of 1", "ours: met (", " cores, "):
        assert said in page
    text = table.as_text(table.documents(tmp_path))
    assert "3  a title: not met" in text
    assert "short: 0.5 of 1" in text
    assert "0 of 1 rows met" in text


def test_a_missing_file_is_said_and_a_stand_in_named(
    scripts: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its path; a quick run does not look."""
    harness, digits, people = scripts["harness"], scripts["data.digits"], scripts["data.people"]
    monkeypatch.setenv("UPWEIGHT_DATA", str(tmp_path))
    images = digits.ones_and_sevens(harness.Run("one", harness.Size.PAPER, tmp_path))
    assert images.name == "not the paper's data: scikit-learn's digits, ones and sevens"
    assert set(images.y.tolist()) == {0, 1}
    assert f"{tmp_path / 'mnist.npz'} is missing: a stand-in is used" in capsys.readouterr().err
    table = people.hospital(harness.Run("one", harness.Size.QUICK, tmp_path))
    assert table.name.startswith("not the paper's data: the American election survey of 1996")
    assert capsys.readouterr().err == ""
