"""upweight's own quick starts run as they are counted: three lines to ten rows, by both doors."""

import importlib
import re
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, as `python benchmarks/lines.py` sees it."""
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    yield importlib.import_module("lines")
    for name in [
        name for name in sys.modules if name.split(".")[0] in ("benchmarks", "lines", "output", "quickstart_scope")
    ]:
        sys.modules.pop(name)


@pytest.mark.parametrize(("door", "name"), [("scikit-learn", "upweight_sklearn"), ("torch", "upweight_torch")])
def test_three_lines_print_ten_rows(lines: Any, door: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Executed in the scope that every quick start gets; ten different rows come out."""
    if door == "torch":
        pytest.importorskip("torch")
    source = (lines.QUICKSTARTS / f"{name}.py").read_text(encoding="utf-8")
    assert lines.count(source) == lines.REACH
    scope = importlib.import_module("quickstart_scope").scope(lines.data(door))
    exec(compile(source, name, "exec"), scope)
    rows = re.findall(r"^\d+ +(\d+)", capsys.readouterr().out, re.MULTILINE)
    assert len(set(rows)) == len(rows) == 10


def test_count_is_of_statements(lines: Any) -> None:
    """A call over lines is one, a def and its body are two, a docstring none."""
    assert lines.count('"""Doc."""\nprint(\n    1,\n)\n\ndef f():\n    return 2\n') == 3


def test_every_quickstart_is_counted(lines: Any) -> None:
    """No file is left out."""
    assert sorted(path.stem for path in lines.QUICKSTARTS.glob("*.py")) == sorted(sum(lines.DOORS.values(), ()))
