"""The work of `upweight check package.module:function`: call, open, remove rows for real, grade, print.

Stands on torch_explaining and workflows; imported when the command runs.
"""

import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from upweight.cli.failures import FINDING
from upweight.cli.forms import FORM, check_form, grade_form, held_out_form
from upweight.cli.junit import junit_xml
from upweight.cli.page import command_line, print_json, print_page, refuse_table_options, require_place, took
from upweight.cli.progress import Progress
from upweight.cli.torch_explaining import ready
from upweight.cli.torch_facts import network_facts
from upweight.display.blocks import Block, Command, Document, Facts, Section
from upweight.display.words import GRADES, count
from upweight.errors import InputError
from upweight.files import write_atomically
from upweight.validation.check import Check
from upweight.workflows.effort import LONG, in_words, seconds_to_explain
from upweight.workflows.imported import own_faults
from upweight.workflows.limits import QUERIES
from upweight.workflows.torch_opened import Opened, open_task, x_of, y_of
from upweight.workflows.torch_task import read_task

__all__ = ["TorchCheckJob", "run"]


@dataclass(frozen=True)
class TorchCheckJob:
    """The options of the command; `table`: those that only a table has, by name."""

    name: str
    min_grade: str | None
    junit: Path | None
    rows: int
    solver: str
    device: str | None
    seed: int
    as_json: bool
    table: dict[str, object]


def run(job: TorchCheckJob, progress: Progress) -> int:
    """The exit code: 0, or FINDING where the grade is below the one that was asked for.

    Raises: UpweightError.
    """
    refuse_table_options(job.name, job.table)
    if job.min_grade is not None and job.min_grade.upper() not in GRADES:
        raise InputError(f"--min-grade {job.min_grade!r} is not a grade. Use A, B, C or D.")
    if job.junit is not None:
        require_place(job.junit)
    with redirect_stdout(sys.stderr), own_faults(job.name):
        opened = open_task(read_task(job.name, job.device), job.solver)
        progress(f"{job.name} called, {opened.rows.n:,} training rows read")
        pace = ready(opened, progress)
        x, y, measured_on = _queries(opened, job.seed)
        seconds = _seconds(opened, pace, len(y), job.rows)
        if seconds > LONG:
            progress.say(f"This will take about {in_words(seconds)}. It needs no disk.")
        outcome = _outcome(opened, x, y, job)
        facts = [*network_facts(opened), ("measured", f"on {measured_on}")]
    progress(f"{len(outcome.row_ids)} rows removed")
    passed = job.min_grade is None or outcome.grade.letter <= job.min_grade.upper()
    if job.junit is not None:
        write_atomically(job.junit, junit_xml(outcome, job.name, job.min_grade, progress.seconds))
        progress.written.append(str(job.junit))
    if job.as_json:
        queries = 0 if opened.queries is None else opened.queries.n
        print_json(
            {
                "upweight": FORM,
                "command": "check",
                "data": job.name,
                "target": None,
                "seed": job.seed,
                "held_out": held_out_form(queries),
                "measured_on": measured_on,
                "check": check_form(outcome),
                "grade": grade_form(outcome.grade),
                "min_grade": job.min_grade,
                "passed": passed,
                "seconds": round(progress.seconds, 2),
            }
        )
    else:
        print_page(
            _page(job, facts, outcome, (*opened.notes, *opened.influence.adapted.notes), passed, progress.seconds)
        )
    return 0 if passed else FINDING


def _outcome(opened: Opened, x: Any, y: Any, job: TorchCheckJob) -> Check:
    if opened.influence.adapted.kind == "regression" and opened.measurement is None:
        return opened.influence.check(x, measurement="prediction", rows=job.rows, seed=job.seed)
    return opened.influence.check(x, y, "loss", job.rows, job.seed)


def _queries(opened: Opened, seed: int) -> tuple[Any, Any, str]:
    """Rows whose predictions the removals are measured on, their truths, and what they are."""
    known = opened.queries is not None and opened.truths
    source, what = (opened.queries, "query") if known else (opened.rows, "training row")
    assert source is not None
    some = min(QUERIES, source.n)
    at = np.sort(np.random.default_rng(seed).choice(source.n, size=some, replace=False))
    said = f"{some:,} queries" if known and some > 1 else count(some, what)
    return x_of(source)[at], y_of(source)[at], said


def _seconds(opened: Opened, pace: Any, queries: int, rows: int) -> float:
    if pace is None:
        return seconds_to_explain(opened.influence, 0, rows, flips=False)
    from upweight.workflows.network_effort import seconds_of_check

    return seconds_of_check(opened.influence, pace, queries, rows)


def _page(
    job: TorchCheckJob, facts: list[tuple[str, str]], outcome: Check, notes: Any, passed: bool, seconds: float
) -> Document:
    last: list[Block] = (
        [Facts(tuple(("Note" if i == 0 else "", note) for i, note in enumerate(notes)))] if notes else []
    )
    if job.min_grade is not None:
        letter = f"grade {outcome.grade.letter}, {job.min_grade.upper()} or better was asked for"
        last.append(Facts((("Outcome", f"{'passed' if passed else 'below'}: {letter}"),)))
    if job.junit is not None:
        last.append(Facts((("JUnit", str(job.junit)),)))
    last.append(Command(command_line("explain", job.name, [("--device", job.device), ("--seed", job.seed or None)])))
    return Document(
        "upweight check",
        job.name,
        sections=(
            Section("", "data", (Facts(tuple(facts)),)),
            outcome.section(),
            Section("", "last", tuple(last)),
        ),
        footer=took(seconds),
    )
