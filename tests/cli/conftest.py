"""Small tables as files, and the command line run in this process."""

import contextlib
import json
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes
from typer.testing import CliRunner

from tests.workflows.conftest import module as module  # a fixture of both folders
from upweight.cli import app

Run = Callable[..., Any]


def pasted(stdout: str) -> list[str]:
    """The words of the command after Next, as a shell would read them."""
    start = stdout.index("Next")
    text = stdout[start + len("Next") :].split("\n\n")[0]
    return shlex.split(text.replace("\\\n", ""))


@pytest.fixture
def run() -> Run:
    """`run("explain", path, "--target", "y")` -> exit_code, stdout, stderr."""
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def run_json(run: Run) -> Run:
    """The same with --json: the parsed value; stdout holds nothing else, stderr at most how long it will take."""

    def call(*words: object) -> dict[str, Any]:
        result = run(*words, "--json")
        assert result.exit_code == 0, result.stderr
        said = [line for line in result.stderr.splitlines() if not line.startswith("This will take about")]
        assert said == []  # on a loaded machine a short answer may be announced
        parsed: dict[str, Any] = json.loads(result.stdout)
        return parsed

    return call


@dataclass(frozen=True)
class DemoRun:
    """What `upweight demo --out demo` printed, in the folder `home`, and the processor time that it took."""

    stdout: str
    home: Path
    seconds: float


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory: pytest.TempPathFactory) -> DemoRun:
    home = tmp_path_factory.mktemp("home")
    start = time.process_time()
    with contextlib.chdir(home):
        result = CliRunner().invoke(app, ["demo", "--out", "demo"])
    assert result.exit_code == 0, result.stderr
    return DemoRun(result.stdout, home, time.process_time() - start)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


@pytest.fixture(scope="session")
def loans(folder: Path) -> Path:
    """160 rows: an id, two numbers, a category, a label of two words; some labels are wrong."""
    draw = np.random.default_rng(0)
    income, age = draw.normal(50.0, 12.0, 160), draw.integers(20, 70, 160)
    town = draw.choice(["Aachen", "Bremen", "Cottbus"], 160)
    good = income + 0.3 * age + 8 * (town == "Bremen") + draw.normal(0, 6, 160) > 66
    frame = pd.DataFrame(
        {"loan": [f"L-{i:03d}" for i in range(160)], "income": income.round(3), "age": age, "town": town}
    )
    frame["outcome"] = np.where(good, "paid", "failed")
    path = folder / "loans.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.fixture(scope="session")
def diabetes(folder: Path) -> Path:
    """180 rows of scikit-learn's diabetes table, unscaled."""
    path = folder / "diabetes.csv"
    frame = load_diabetes(as_frame=True, scaled=False).frame.head(180)
    frame.rename(columns={"target": "progression"}).to_csv(path, index=False)
    return path


@pytest.fixture(scope="session")
def reviews(folder: Path) -> Path:
    """150 rows of one text each, with a word of its own that no other row has."""
    draw = np.random.default_rng(1)
    both = ["music", "story", "film", "script", "acting"]
    words = {
        "pos": ["wonderful", "moving", "superb", "clever", "warm", "honest", *both],
        "neg": ["dreadful", "boring", "awful", "predictable", "waste", "dull", *both],
    }
    rows = []
    for i in range(150):
        label = str(draw.choice(["pos", "neg"]))
        text = " ".join([*draw.choice(words[label], 9), f"zebra{i}q"])
        rows.append((text, label if draw.random() > 0.06 else "pos"))
    path = folder / "reviews.csv"
    pd.DataFrame(rows, columns=["review", "sentiment"]).to_csv(path, index=False)
    return path
