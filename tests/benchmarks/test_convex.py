"""The convex benchmark runs on digits: its table, its references, and the errors that they give."""

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def convex(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, as `python benchmarks/convex.py` sees it."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module("convex")
    for name in ("convex", "convex_problem", "output"):
        sys.modules.pop(name, None)


def test_small_run_measures_and_agrees(convex: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """On 1,697 digits: first order to rounding where the solver is direct, removals near their refits, 80 columns."""
    document = convex.run(small=True, repeats=1)
    found = {case["case"]: case for case in document["cases"]}
    assert found["first order"]["error"] < 1e-10
    assert found["first order, 2 %"]["error"] < 2e-2
    assert found["one query, 2 %"]["error"] < 2e-2
    assert abs(found["leave one out"]["slope"] - 1.0) < 0.02
    assert all(case["floor_ms"] > 0 and case["ask"] > 0 for case in document["cases"])
    printed = capsys.readouterr().out
    assert "ratios to one plain float32 forward and backward pass" in printed
    assert max(map(len, printed.splitlines())) <= 80


def test_missing_data_is_said(convex: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path) -> None:
    """The file that is not there is named, and the exit code is 2."""
    monkeypatch.setattr(sys.modules["convex_problem"], "MNIST", tmp_path / "mnist.npz")
    with pytest.raises(SystemExit) as stopped:
        convex.run()
    assert stopped.value.code == 2
    assert str(tmp_path / "mnist.npz") in capsys.readouterr().err


def test_refits_are_stationary_and_the_reference_is_their_derivative(convex: Any) -> None:
    """A refit's change is the first-order score up to its leverage: within a few per cent on digits."""
    problem = sys.modules["convex_problem"].digits()
    truth, rows, real = convex._truth(problem)
    assert real.shape == (len(problem.X_query), len(rows))
    ratio = np.linalg.norm(truth[:, rows] - real) / np.linalg.norm(real)
    assert 1e-4 < ratio < 0.2
