"""The work of `upweight check`: open, remove rows for real, grade, print, and the file for CI.

Stands on workflows and page; imported when the command runs.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from upweight.cli.facts import data_facts
from upweight.cli.failures import FINDING
from upweight.cli.forms import FORM, check_form, grade_form, held_out_form
from upweight.cli.junit import junit_xml
from upweight.cli.opening import open_said
from upweight.cli.page import command_line, print_json, print_page, require_place, took
from upweight.cli.progress import Progress
from upweight.display.blocks import Block, Command, Document, Facts, Section
from upweight.display.words import GRADES, count
from upweight.errors import InputError
from upweight.files import write_atomically
from upweight.validation.check import Check
from upweight.workflows.effort import LONG, seconds_to_explain
from upweight.workflows.limits import QUERIES
from upweight.workflows.table_model import TableModel

__all__ = ["Job", "run"]


@dataclass(frozen=True)
class Job:
    """The options of the command."""

    data: Path
    target: str | None
    id_column: str | None
    group: str | None
    time: str | None
    model: Path | None
    trust_pickle: bool
    min_grade: str | None
    junit: Path | None
    rows: int
    solver: str
    seed: int
    as_json: bool
    show_rows: bool


def run(job: Job, progress: Progress) -> int:
    """The exit code: 0, or FINDING where the grade is below the one that was asked for.

    Raises: UpweightError.
    """
    if job.min_grade is not None and job.min_grade.upper() not in GRADES:
        raise InputError(f"--min-grade {job.min_grade!r} is not a grade. Use A, B, C or D.")
    if job.junit is not None:
        require_place(job.junit)
    table = open_said(
        job.data, job.target, job.id_column, job.group, job.time, job.model, job.trust_pickle, job.solver, job.seed,
        progress,
    )  # fmt: skip
    seconds = seconds_to_explain(table.influence, 0, job.rows, flips=False)
    if seconds > LONG:
        progress.say(f"This will take about {seconds:.0f} s. It needs no disk.")
    at, measured_on = _queries(table, job.seed)
    classes = table.influence.adapted.kind == "classification"
    if classes:
        outcome = table.influence.check(table.x(at), table.y(at), "loss", job.rows, job.seed)
    else:
        outcome = table.influence.check(table.x(at), measurement="prediction", rows=job.rows, seed=job.seed)
    progress(f"{len(outcome.row_ids)} rows removed")
    passed = job.min_grade is None or outcome.grade.letter <= job.min_grade.upper()
    if job.junit is not None:
        write_atomically(job.junit, junit_xml(outcome, job.data.name, job.min_grade, progress.seconds))
        progress.written.append(str(job.junit))
    if job.as_json:
        head = {"upweight": FORM, "command": "check", "data": str(job.data), "target": table.target, "seed": job.seed}
        judged = {"min_grade": job.min_grade, "passed": passed, "seconds": round(progress.seconds, 2)}
        print_json(
            {
                **head,
                "held_out": held_out_form(len(table.held_out), table.arrangement, table.apart),
                "measured_on": measured_on,
                "check": check_form(outcome),
                "grade": grade_form(outcome.grade),
                **judged,
            }
        )
    else:
        print_page(_page(job, table, outcome, measured_on, passed, progress.seconds))
    return 0 if passed else FINDING


def _queries(table: TableModel, seed: int) -> tuple[list[int], str]:
    """Rows of the file whose predictions the removals are measured on, and what they are."""
    source, what = (table.held_out, "held-out row") if len(table.held_out) else (table.train, "training row")
    some = min(QUERIES, len(source))
    drawn = np.sort(np.random.default_rng(seed).choice(source, size=some, replace=False))
    return [int(i) for i in drawn], count(some, what)


def _page(job: Job, table: TableModel, outcome: Check, measured_on: str, passed: bool, seconds: float) -> Document:
    blocks: list[Block] = []
    if job.min_grade is not None:
        letter = f"grade {outcome.grade.letter}, {job.min_grade.upper()} or better was asked for"
        blocks.append(Facts((("Outcome", f"{'passed' if passed else 'below'}: {letter}"),)))
    if job.junit is not None:
        blocks.append(Facts((("JUnit", str(job.junit)),)))
    options = [
        ("--target", table.target),
        ("--id", job.id_column),
        ("--group", job.group),
        ("--time", job.time),
        ("--model", job.model),
        ("--seed", job.seed or None),
    ]
    blocks.append(Command(command_line("explain", job.data, [*options, ("--trust-pickle", job.trust_pickle)])))
    facts = [*data_facts(table), ("measured", f"on {measured_on}")]
    notes = [*table.notes, *(table.cell_notes if job.show_rows else ())]
    noted = tuple(("Note" if i == 0 else "", note) for i, note in enumerate(notes))
    return Document(
        "upweight check",
        f"{job.data.name}, {table.target}",
        sections=(
            Section("", "data", (Facts(tuple(facts)),)),
            outcome.section(),
            Section("", "last", (*((Facts(noted),) if noted else ()), *blocks)),
        ),
        footer=took(seconds),
    )
