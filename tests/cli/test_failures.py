"""What goes wrong on the command line, and the exit code of each: in one place, in three lines, without a traceback."""

import errno
import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.cli.conftest import Run
from upweight import files
from upweight.cli.progress import Progress


def test_interruption_says_what_was_done(
    run: Run, loans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C: 130, what was done until then, and nothing written."""
    call = Progress.__call__

    def pressed(self: Progress, done: str) -> None:
        call(self, done)
        if "explained" in done:
            raise KeyboardInterrupt  # what the signal's handler does; from a finaliser Python would lose it

    monkeypatch.setattr(Progress, "__call__", pressed)
    result = run("explain", loans, "--target", "outcome", "--worst", "2", "--report", tmp_path / "r.html")
    assert result.exit_code == 130
    assert "interrupted" in result.stderr
    assert "loans.csv read" in result.stderr
    assert "explained" in result.stderr
    assert "Nothing was written" in result.stderr
    assert list(tmp_path.iterdir()) == []
    assert result.stdout == ""


def test_full_disk_leaves_nothing_half_written(
    run: Run, loans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is printed, the report is not there at all, and the code is 2."""

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    result = run("explain", loans, "--target", "outcome", "--row", "1", "--report", tmp_path / "r.html")
    assert result.exit_code == 2
    assert "the disk is full" in result.stderr
    assert "Grade" in result.stdout
    assert "Report" not in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_missing_extra_gives_the_line_that_installs_it(
    run: Run, loans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parquet without pyarrow."""
    path = tmp_path / "loans.parquet"
    path.write_bytes(b"PAR1....PAR1")
    real = importlib.import_module

    def without(name: str, package: str | None = None) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", without)
    result = run("explain", path, "--target", "outcome")
    assert result.exit_code == 2
    assert "pip install 'upweight[parquet]'" in result.stderr


def test_fault_of_ours_is_told_apart(run: Run, loans: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """70, so that CI never takes it for a finding; --debug shows the traceback."""

    def broken(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("a cog fell off")

    monkeypatch.setattr("upweight.cli.explaining.explain", broken)
    result = run("explain", loans, "--target", "outcome", "--row", "1")
    assert result.exit_code == 70
    assert "RuntimeError: a cog fell off" in result.stderr
    assert "fault of upweight" in result.stderr
    assert "Traceback" not in result.stderr
    debug = run("explain", loans, "--target", "outcome", "--row", "1", "--debug")
    assert "Traceback" in debug.stderr


def test_debug_shows_the_traceback_of_bad_input(run: Run, loans: Path) -> None:
    """With the message as the last line."""
    result = run("explain", loans, "--target", "outcom", "--debug")
    assert result.exit_code == 2
    assert "Traceback" in result.stderr
    assert "Did you mean 'outcome'?" in result.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("explain",), "Missing argument 'DATA'"),
        (("xplain",), "No such command 'xplain'"),
        (("explain", "x.csv", "--wurst", "2"), "No such option: --wurst"),
        (("check", "x.csv", "--rows", "many"), "Invalid value for '--rows'"),
    ],
)
def test_wrong_words_are_said_in_two_lines(run: Run, words: tuple[str, ...], said: str) -> None:
    """Usage errors: 2, what is wrong, where to look."""
    result = run(*words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 2
    assert "--help" in result.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"income,outcome\n", "no rows"),
        (b"income,outcome\n1,paid\n2,paid\n3,paid\n", "holds one value"),
        (b"income,outcome\n1,a\n2,b\n3,c\n", "too many to be classes"),
        (b"income,outcome\ninf,paid\n2,failed\n3,paid\n4,failed\n", "income"),
        (b"\x00\x01\x02", "not a text file"),
    ],
)
def test_bad_file_is_refused_by_name(run: Run, tmp_path: Path, content: bytes, said: str) -> None:
    """Exit 2 with the reason."""
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    result = run("explain", path, "--target", "outcome")
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) <= 3


def test_ids_that_repeat_are_refused(run: Run, loans: Path, tmp_path: Path) -> None:
    """The id and its rows are named, with the default pipeline."""
    frame = pd.read_csv(loans)
    frame.loc[5, "loan"] = "L-004"
    path = tmp_path / "twice.csv"
    frame.to_csv(path, index=False)
    result = run("explain", path, "--target", "outcome", "--id", "loan")
    assert result.exit_code == 2
    assert "'L-004'" in result.stderr
    assert "4, 5" in result.stderr


def test_pickle_needs_trust(run: Run, loans: Path, tmp_path: Path) -> None:
    """A pickle runs code: it is loaded on request only."""
    import joblib
    from sklearn.linear_model import LogisticRegression

    frame = pd.read_csv(loans)
    model = LogisticRegression(C=0.1, tol=1e-8).fit(frame[["income", "age"]], frame["outcome"])
    joblib.dump(model, tmp_path / "m.joblib")
    words = ("explain", loans, "--target", "outcome", "--row", "1", "--model", tmp_path / "m.joblib")
    refused = run(*words)
    assert refused.exit_code == 2
    assert "--trust-pickle" in refused.stderr
    assert run(*words, "--trust-pickle").exit_code == 0


def test_output_is_ascii_where_the_terminal_is_not_utf8(loans: Path, tmp_path: Path) -> None:
    """PYTHONIOENCODING=ascii: every sign has its likeness, nothing breaks, and no colour is piped."""
    code = "from upweight.cli import main; import sys; sys.argv[0] = 'upweight'; main()"
    words = ["explain", str(loans), "--target", "outcome", "--row", "1"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code, *words], env=environment, capture_output=True, check=True)
    text = done.stdout.decode("ascii")
    assert "v harmful" in text
    assert "\x1b" not in text
    assert done.stderr == b""
