"""The work of `upweight audit`: open, ask, change rows, print; imported when the command runs.

Stands on workflows and page.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from upweight.cli.audit_form import audit_form
from upweight.cli.audit_job import Job, require_one_question
from upweight.cli.facts import data_facts, provenance
from upweight.cli.failures import FINDING
from upweight.cli.forms import FORM, held_out_form
from upweight.cli.opening import open_said
from upweight.cli.page import command_line, print_json, print_page, require_report_apart, took, written
from upweight.cli.progress import Progress
from upweight.display.blocks import Block, Command, Document, Facts, GradeView, Section
from upweight.display.html import write_report
from upweight.display.words import count
from upweight.errors import FileError, InputError
from upweight.validation.grade import Grade
from upweight.workflows.asked import Asked, ask_query, ask_rows, ask_worst
from upweight.workflows.audit import LEVELS, audit
from upweight.workflows.audit_passages import SHOWN, Called, document
from upweight.workflows.audited import Audit
from upweight.workflows.effort import LONG, in_words, seconds_to_audit
from upweight.workflows.table_model import TableModel

__all__ = ["AT_ONCE", "run"]

AT_ONCE = 20  # held-out rows that are predicted unasked


def run(job: Job, progress: Progress) -> int:
    """The exit code: 0, or FINDING where more predictions were flipped than --max-fragile allows.

    Raises: UpweightError.
    """
    require_one_question(job)
    if job.report is not None:
        require_report_apart(job.report, (job.data, job.query, job.model))
    opened = open_said(
        job.data, job.target, job.id_column, job.group, job.time, job.model, job.trust_pickle, job.solver, job.seed,
        progress,
    )  # fmt: skip
    if job.max_fragile is not None and opened.influence.adapted.kind != "classification":
        raise InputError(
            f"--max-fragile counts predictions that flip, and column {opened.target!r} is a number: its predictions "
            "move, and never flip. Leave it out."
        )
    asked = _ask(job, opened)
    table = asked.table
    learnt = len(table.influence.row_ids)
    if job.changed[-1] >= learnt:
        raise InputError(
            f"--rows-changed allows {count(job.changed[-1], 'row')}, and the model learnt from {learnt:,}. Give fewer."
        )
    seconds = seconds_to_audit(table.influence, asked.x, job.changed, job.within, job.together)
    if seconds > LONG:
        disk = f" and under 3 MB of disk for {job.report}" if job.report else ""
        progress.say(f"This will take about {in_words(seconds)} or less{disk}.")
    found = audit(
        table.influence, X_query=asked.x, rows=job.changed, within=job.within, together=job.together, levels=LEVELS
    )
    progress(f"{count(len(asked.rows), 'prediction')} audited")
    grade = _grade(table, asked.x)
    progress.close()
    failed = _write(job, asked, found, grade, progress)
    passed = job.max_fragile is None or _flips(found) <= job.max_fragile
    _print(job, asked, found, grade, passed, progress)
    if failed is not None:
        raise failed
    return 0 if passed else FINDING


def _ask(job: Job, table: TableModel) -> Asked:
    """The predictions that are attacked.

    Raises: InputError where there is none.
    """
    if job.rows:
        return ask_rows(table, job.rows, False, job.solver)
    if job.query is not None:
        return ask_query(table, job.query, job.id_column)
    if job.worst is not None:
        return ask_worst(table, job.worst, False, job.solver)
    if not len(table.held_out):
        raise InputError(f"{job.data}: no row was held out. Say what to predict: --query FILE, --row or --worst K.")
    some = min(AT_ONCE, len(table.held_out))
    drawn = np.sort(np.random.default_rng(job.seed).choice(table.held_out, size=some, replace=False))
    return ask_rows(table, [str(row) for row in table.frame.index[drawn]], False, job.solver)


def _flips(found: Audit) -> int:
    """Predictions that were flipped; together: by the change that flips most."""
    return max((joint.flips for joint in found.together), default=0) if found.together else found.flips()


def _grade(table: TableModel, x: Any) -> Grade:
    """Of the model, by what its scores on these predictions show."""
    measurement = "margin" if table.influence.adapted.kind == "classification" else "prediction"
    return table.influence.scores(x, measurement=measurement).grade


def _called(job: Job, asked: Asked) -> Called:
    rows = asked.table.rows

    def row_of(row: Any) -> Mapping[str, Any]:
        return dict(rows.loc[row])

    return Called(tuple(asked.rows.index), asked.table.id_name, row_of, job.show_rows)


def _page(
    job: Job, asked: Asked, found: Audit, grade: Grade, first: Sequence[tuple[str, str]], last: Sequence[Block],
    footer: str,
) -> Document:  # fmt: skip
    table = asked.table
    view = GradeView(grade.letter, grade.reasons, grade.would_raise, grade.checked)  # type: ignore[arg-type]
    page = document(found, SHOWN, _called(job, asked), "upweight audit", view)
    facts = Section("", "data", (Facts((*data_facts(table), *first)),))
    notes = [*table.notes, *(table.cell_notes if job.show_rows else ())]
    noted = Facts(tuple(("Note" if i == 0 else "", note) for i, note in enumerate(notes)))
    end = Section("", "last", (*((noted,) if notes else ()), *last))
    title = f"{job.data.name}, {table.target}"
    return replace(page, subtitle=title, sections=(facts, *page.sections, end), footer=footer)


def _write(job: Job, asked: Asked, found: Audit, grade: Grade, progress: Progress) -> FileError | None:
    """The report; what went wrong is raised only once the answer, which is there, has been printed."""
    if job.report is None:
        return None
    table = asked.table
    again = Command(command_line("audit", job.data, [("--target", table.target), *job.options]), "Run again")
    page = _page(job, asked, found, grade, (), [provenance(table, job.seed), again], written("audit"))
    try:
        write_report(page, job.report)
    except FileError as error:
        return error
    progress.written.append(str(job.report))
    return None


def _print(job: Job, asked: Asked, found: Audit, grade: Grade, passed: bool, progress: Progress) -> None:
    table = asked.table
    report = progress.written[-1] if progress.written else None
    if job.as_json:
        head = {"upweight": FORM, "command": "audit", "data": str(job.data), "seed": job.seed}
        head |= {"held_out": held_out_form(len(table.held_out), table.arrangement, table.apart)}
        head |= {"id": table.id_name, "target": table.target}
        tail = {
            "notes": list(dict.fromkeys([*table.notes, *found.notes])),
            "fragile": _flips(found),
            "max_fragile": job.max_fragile,
        }
        tail |= {"passed": passed, "report": report, "seconds": round(progress.seconds, 2)}
        print_json({**head, **audit_form(found, grade, _called(job, asked)), **tail})
        return
    first, last = [], list[Block]()
    if job.max_fragile is not None:
        flipped = f"{count(_flips(found), 'prediction')} flipped, {job.max_fragile:,} at most were asked for"
        first.append(("Outcome", f"{'passed' if passed else 'more'}: {flipped}"))
    if report is not None:
        last.append(Facts((("Report", f"{report}     open it in a browser; it needs no internet"),)))
    last.append(Command(_next(job, asked, found)))
    print_page(_page(job, asked, found, grade, first, last, took(progress.seconds)))


def _next(job: Job, asked: Asked, found: Audit) -> str:
    """What is worth doing next: more rows where one flips nothing, else the rows behind the most fragile prediction."""
    options: list[tuple[str, object]] = [("--target", asked.table.target), *job.options]
    if found.kind == "classification" and not _flips(found) and job.changed == (1,):
        return command_line("audit", job.data, [*options, ("--rows-changed", "1,2,10")])
    if job.query is not None:
        return command_line("audit", job.data, [*options, *([] if job.report else [("--report", "report.html")])])
    own = ("--row", "--worst", "--rows-changed", "--within", "--together", "--max-fragile", "--report")
    kept = [option for option in options if option[0] not in own]
    return command_line("explain", job.data, [*kept, ("--row", asked.rows.index[_most_fragile(found)])])


def _most_fragile(found: Audit) -> int:
    """The prediction's position among those asked about."""
    if found.together:
        return int(np.argmin(np.where(found.together[-1].attacked, found.together[-1].after, np.inf)))
    return found.ranked[0].query
