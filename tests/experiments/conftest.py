"""The experiments' modules, as a script beside them sees them."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

PAPER = Path(__file__).resolve().parents[2] / "experiments" / "koh_liang_2017"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """A module by its name; forgotten after the test."""
    pytest.importorskip("matplotlib")
    monkeypatch.syspath_prepend(str(PAPER))
    yield importlib.import_module
    for name in [name for name in sys.modules if name.partition(".")[0] in ("harness", "table", "data")]:
        del sys.modules[name]
