"""Starting the program: help that answers at once, nothing heavy or absent imported, completion, the version."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import DemoRun, Run, pasted

PREAMBLE = "import sys; sys.argv[0] = 'upweight'\n"
BLOCKED = """
import importlib.abc
class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] == 'torch':
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Blocked())
"""


def python(code: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PREAMBLE + code, *words],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "words",
    [
        "--help",
        "explain --help",
        "check --help",
        "audit --help",
        "compare --help",
        "doctor --help",
        "demo --help",
        "--version",
    ],
)
def test_help_imports_nothing_heavy(words: str) -> None:
    """Neither torch nor scikit-learn nor pandas, nor numpy: which is why it takes under 0.3 s."""
    heavy = "{'torch', 'sklearn', 'pandas', 'numpy', 'scipy', 'tqdm', 'jinja2'}"
    code = f"""
from upweight.cli import main
try:
    main()
except SystemExit as stop:
    assert not stop.code
print(sorted({heavy} & set(sys.modules)), file=sys.stderr)
"""
    done = python(code, *words.split())
    assert done.returncode == 0
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("command", ["explain", "audit"])
def test_commands_run_without_torch(loans: Path, command: str) -> None:
    """With torch hidden from the import finder."""
    code = BLOCKED + "from upweight.cli import main; main()"
    done = python(code, command, str(loans), "--target", "outcome", "--row", "1")
    assert done.returncode == 0, done.stderr
    assert "Grade" in done.stdout


@pytest.mark.parametrize("command", [(), ("explain",), ("check",), ("audit",), ("compare",), ("doctor",), ("demo",)])
def test_help_fits_80_columns_and_shows_an_example(run: Run, command: tuple[str, ...]) -> None:
    """Each command's help ends its words with a line that can be typed."""
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    if command:
        assert re.search(rf"^ +upweight {command[0]} ", result.stdout, re.MULTILINE)


def test_examples_in_help_run(run: Run, demo_run: DemoRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they stand, after the demo; that of explain is what the demo itself names, which test_demo runs."""
    examples = {}
    for command in ("demo", "explain", "check", "audit", "compare", "doctor"):
        found = re.search(rf"^ +(upweight {command} .*)$", run(command, "--help").stdout, re.MULTILINE)
        assert found is not None
        examples[command] = shlex.split(found[1])
    assert examples["demo"] == ["upweight", "demo", "--out", "demo"]  # as the fixture ran it
    assert [word for word in pasted(demo_run.stdout) if word not in ("--target", "label")] == examples["explain"]
    monkeypatch.chdir(demo_run.home)
    result = run(*examples["check"][1:])
    assert result.exit_code == 0, result.stderr
    result = run(*examples["audit"][1:])
    assert result.exit_code == 0, result.stderr
    assert "Prediction 683" in result.stdout
    result = run(*examples["doctor"][1:])
    assert result.exit_code == 1  # some pixels are constant
    assert "are constant" in result.stdout
    assert "Problems" not in result.stdout


def test_version(run: Run) -> None:
    """One line."""
    assert re.fullmatch(r"upweight \d+\.\d+\.\d+\n", run("--version").stdout)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_offered(shell: str) -> None:
    """The shell's script, and the commands that it asks for."""
    done = python("from upweight.cli import main; main()", _UPWEIGHT_COMPLETE=f"source_{shell}")
    assert done.returncode == 0
    assert "_UPWEIGHT_COMPLETE" in done.stdout


def test_idle_threads_do_not_spin() -> None:
    """Set before anything numerical is loaded, and only where the user has not chosen."""
    code = "import upweight.cli, os, sys; print(os.environ['OPENBLAS_THREAD_TIMEOUT'], 'numpy' in sys.modules)"
    for given, expected in ((None, "4 False"), ("20", "20 False")):
        env = {name: value for name, value in os.environ.items() if name != "OPENBLAS_THREAD_TIMEOUT"}
        env |= {} if given is None else {"OPENBLAS_THREAD_TIMEOUT": given}
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == expected
