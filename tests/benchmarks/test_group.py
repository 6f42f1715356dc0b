"""The group benchmark runs on one draw: its table fits, and its numbers are reached."""

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, as `python benchmarks/group.py` sees it."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module("group")
    for name in ("group", "output"):
        sys.modules.pop(name, None)


def test_small_run_reaches_its_numbers(group: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """At 5 % within 4 %, at 15 % within 8 %; the plain sum is far off; 80 columns."""
    document = group.run(small=True)
    for one in document["groups"]:
        median = one["median"]
        assert one["to_reach"] is None or median["corrected"] <= one["to_reach"]
        assert median["corrected"] < median["Newton step"] < median["one by one"] < median["plain sum"]
    printed = capsys.readouterr().out
    assert "to reach" in printed
    assert max(map(len, printed.splitlines())) <= 80
