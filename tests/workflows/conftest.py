"""A module of the user's own in the folder where the test stands."""

import itertools
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.workflows.networks import NETS

COUNT = itertools.count()


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """`module("small")` or `module("f", text)` -> "name:small", importable from here; each call a module of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(function: str, text: str = NETS) -> str:
        name = f"user_nets_{next(COUNT)}"
        (tmp_path / f"{name}.py").write_text(text)
        return f"{name}:{function}"

    return write
