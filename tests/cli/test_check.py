"""`upweight check`: the grade, the exit code for CI, JUnit."""

import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run
from upweight.influence import Influence
from upweight.validation.grade import Grade

KEYS = [
    "upweight",
    "command",
    "data",
    "target",
    "seed",
    "held_out",
    "measured_on",
    "check",
    "grade",
    "min_grade",
    "passed",
    "seconds",
]


@pytest.fixture
def graded(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """`graded("C")`: every check ends in a C, whatever it found."""
    check = Influence.check

    def fixed(letter: str) -> None:
        def checked(self: Influence, *args: Any, **kwargs: Any) -> Any:
            return replace(check(self, *args, **kwargs), grade=Grade(letter, ("as the test has it",), (), True))

        monkeypatch.setattr(Influence, "check", checked)

    return fixed


def test_json_keys_are_stable(run_json: Run, diabetes: Path) -> None:
    """Version 1 of the form."""
    found = run_json("check", diabetes, "--target", "progression", "--rows", "12")
    assert list(found) == KEYS
    assert found["passed"] is True
    assert len(found["check"]["rows"]) == 12
    assert len(found["check"]["estimate"]) == 45
    assert found["measured_on"] == "45 held-out rows"


def test_page_fits_80_columns(run: Run, loans: Path) -> None:
    """The check's own section, and the next command."""
    result = run("check", loans, "--target", "outcome", "--rows", "12")
    assert result.exit_code == 0, result.stderr
    for part in ("12 rows really removed", "held-out rows", "Grade", "Next"):
        assert part in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


@pytest.mark.parametrize(("letter", "asked", "code"), [("C", "B", 1), ("C", "C", 0), ("B", "c", 0), ("D", "A", 1)])
def test_grade_below_the_asked_one_is_a_finding(
    run: Run, diabetes: Path, tmp_path: Path, graded: Callable[[str], None], letter: str, asked: str, code: int
) -> None:
    """Exit code 1, a failure in the JUnit file, and the page all the same."""
    graded(letter)
    junit = tmp_path / "check.xml"
    result = run("check", diabetes, "--target", "progression", "--rows", "6", "--min-grade", asked, "--junit", junit)
    assert result.exit_code == code, result.stderr
    assert ("below" if code else "passed") in result.stdout
    suite = ET.parse(junit).getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("1", str(code))
    case = suite[0]
    assert (case.find("failure") is not None) == bool(code)
    assert "6 rows really removed" in (case.findtext("system-out") or "")
    assert list(tmp_path.iterdir()) == [junit]


def test_unknown_grade_is_refused_before_any_work(run: Run, tmp_path: Path) -> None:
    """Even the file need not exist for that."""
    result = run("check", tmp_path / "none.csv", "--min-grade", "E")
    assert result.exit_code == 2
    assert "--min-grade 'E'" in result.stderr


def test_junit_in_a_missing_folder_is_refused_before_any_work(run: Run, loans: Path) -> None:
    """The folder is named."""
    result = run("check", loans, "--target", "outcome", "--junit", "/nowhere/j.xml")
    assert result.exit_code == 2
    assert "'/nowhere'" in result.stderr
