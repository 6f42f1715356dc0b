"""`upweight doctor`: its page, its JSON, its exit codes."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.cli.conftest import Run, pasted
from tests.workflows.networks import MESSY

KEYS = ["upweight", "command", "data", "target", "seed", "kind", "outcome", "findings", "sizes", "solver"]
KEYS += ["memory_bytes", "disk_bytes", "estimated_seconds", "seconds"]


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """80 rows with nothing to complain of."""
    draw = np.random.default_rng(1)
    frame = pd.DataFrame(draw.normal(size=(80, 2)), columns=["a", "b"])
    frame["label"] = (frame["a"] + draw.normal(size=80) > 0).astype(int)
    path = tmp_path / "p.csv"
    frame.to_csv(path, index=False)
    return path


def test_json_keys_are_stable(run: Run, plain: Path) -> None:
    """Version 1 of the form; 0 where all is fine."""
    result = run("doctor", plain, "--target", "label", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert list(found) == KEYS
    assert found["outcome"] == "ok"
    assert list(found["findings"][0]) == ["level", "about", "said", "cure"]
    assert list(found["estimated_seconds"]) == ["fit", "explain", "check"]


def test_the_page_fits_and_names_what_comes_next(run: Run, plain: Path) -> None:
    """80 columns, times, and the command to go on with."""
    result = run("doctor", plain, "--target", "label")
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    for part in ("Fine", "Time", "explain, one prediction", "nothing stands in the way"):
        assert part in result.stdout
    assert pasted(result.stdout)[1:3] == ["explain", str(plain)]


def test_findings_exit_with_1_and_bad_input_with_2(run: Run, loans: Path) -> None:
    """A warning is a finding; no target and no file are bad input."""
    bare = pd.read_csv(loans).assign(still=1)
    path = loans.parent / "still.csv"
    bare.to_csv(path, index=False)
    result = run("doctor", path, "--target", "outcome", "--id", "loan")
    assert result.exit_code == 1
    assert "Warnings" in result.stdout
    assert "'still'" in result.stdout
    assert run("doctor", loans).exit_code == 2
    assert run("doctor", "none.csv", "--target", "x").exit_code == 2
    assert run("doctor", loans, "--target", "outcome", "--device", "cuda").exit_code == 2


def test_a_network_with_all_its_problems(run: Run, module: Callable[..., str]) -> None:
    """All at once, code 1, and the doctor again as what comes next."""
    result = run("doctor", module("messy", MESSY))
    assert result.exit_code == 1
    assert "Problems" in result.stdout
    assert "5 problems" in result.stdout
    assert pasted(result.stdout)[1] == "doctor"
    assert run("doctor", module("messy", MESSY), "--target", "y").exit_code == 2
