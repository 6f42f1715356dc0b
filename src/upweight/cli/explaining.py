"""The work of `upweight explain`: open, ask, explain, print; imported when the command runs.

Stands on workflows and page.
"""

from collections.abc import Callable
from typing import Any

from upweight.cli.explain_job import Job, places, question_of
from upweight.cli.facts import data_facts, provenance
from upweight.cli.forms import FORM, explanation_form, held_out_form
from upweight.cli.opening import open_said
from upweight.cli.page import command_line, print_json, print_page, require_place, took, written
from upweight.cli.progress import Progress
from upweight.display.blocks import Block, Command, Facts
from upweight.display.html import write_report
from upweight.errors import FileError, InputError, UpweightError, listed
from upweight.evidence import Evidence, explained
from upweight.workflows.asked import Asked, ask_query, ask_rows, ask_worst
from upweight.workflows.effort import LONG, in_words, seconds_to_explain, seconds_to_prove
from upweight.workflows.explain import explain
from upweight.workflows.explanation import Explanation
from upweight.workflows.pages import answer, document
from upweight.workflows.table_model import TableModel

__all__ = ["Job", "answered", "recorded", "run"]

WORST = 5


def run(job: Job, progress: Progress) -> None:
    """Answers on stdout; the report, the record and the model card where they were asked for.

    Raises: UpweightError.
    """
    _require_one_question(job)
    for path in places(job):
        require_place(path)
    opened, table, explanation = answered(job, progress)
    failed = _write(job, opened, table, explanation, progress)
    _print(job, table, explanation, progress)
    if failed is not None:
        raise failed


def answered(
    job: Job, progress: Progress, once_open: Callable[[TableModel], None] = lambda opened: None
) -> tuple[TableModel, TableModel, Explanation]:
    """The table as it was opened, without the rows that are asked about, and what was found.

    once_open: told the table before anything is asked of it.
    Raises: UpweightError.
    """
    opened = open_said(
        job.data, job.target, job.id_column, job.group, job.time, job.model, job.trust_pickle, job.solver, job.seed,
        progress,
    )  # fmt: skip
    once_open(opened)
    asked = _ask(job, opened)
    table = asked.table
    predictions = len(asked.rows)
    flips = table.influence.adapted.kind == "classification" or job.to is not None
    seconds = seconds_to_explain(table.influence, predictions, job.checked, flips)
    if job.evidence is not None or job.model_card is not None:
        seconds += seconds_to_prove(table.influence, predictions, job.shown)
    if seconds > LONG:
        disk = f" and under 3 MB of disk for {job.report}" if job.report else ""
        progress.say(f"This will take about {in_words(seconds)}{disk}.")
    progress.begin(predictions + 2, "explaining")
    explanation = explain(
        table.influence,
        asked.x,
        asked.y,
        measurement=job.measurement,
        shown=job.shown,
        check_rows=job.checked,
        to=_goal(job.to, table),
        held_out=(table.x(table.held_out), table.y(table.held_out)) if len(table.held_out) else None,
        rows=table.rows,
        queries=asked.rows,
        origins=asked.origins,
        target=table.target,
        id_name=table.id_name,
        notes=(*table.notes, *(table.cell_notes if job.show_rows else ())),
        mismatch=opened.mismatch,
        seed=job.seed,
        progress=progress,
    )
    progress.close()
    return opened, table, explanation


def _write(
    job: Job, opened: TableModel, table: TableModel, explanation: Explanation, progress: Progress
) -> UpweightError | None:
    """The files that were asked for; what went wrong is raised only once the answer, which is there, is printed."""
    failed: UpweightError | None = None
    try:
        if job.report is not None:
            write_report(_report(job, table, explanation), job.report)
            progress.written.append(str(job.report))
    except FileError as error:
        failed = error
    if job.evidence is None and job.model_card is None:
        return failed
    try:
        record = recorded(job, opened, table, explanation)
    except UpweightError as error:
        return failed or error
    for path, write in ((job.evidence, record.save), (job.model_card, record.save_model_card)):
        try:
            if path is not None:
                write(path)
                progress.written.append(str(path))
        except FileError as error:
            failed = failed or error
    return failed


def recorded(job: Job, opened: TableModel, table: TableModel, explanation: Explanation) -> Evidence:
    """The evidence record of what was found."""
    asked = question_of(job, table.target, explanation.kind)
    command = command_line("explain", job.data, _options(job, table))
    return explained(explanation, opened.influence, table.influence, asked, command, left_out=opened.cell_notes)


def _print(job: Job, table: TableModel, explanation: Explanation, progress: Progress) -> None:
    """The answer on stdout."""
    report, record, card = (
        str(path) if path is not None and str(path) in progress.written else None
        for path in (job.report, job.evidence, job.model_card)
    )
    if job.as_json:
        head = {"upweight": FORM, "command": "explain", "data": str(job.data), "seed": job.seed}
        head |= {"held_out": held_out_form(len(table.held_out), table.arrangement, table.apart)}
        tail = {"report": report, "evidence": record, "model_card": card, "seconds": round(progress.seconds, 2)}
        print_json({**head, **explanation_form(explanation, job.show_rows), **tail})
        return
    last: list[Block] = []
    if report is not None:
        last.append(Facts((("Report", f"{report}     open it in a browser; it needs no internet"),)))
    if record is not None:
        last.append(Facts((("Evidence", f"{record}     file it; it names rows and holds none of their contents"),)))
    if card is not None:
        last.append(Facts((("Model card", card),)))
    last.append(Command(_next(job, table, explanation)))
    print_page(
        answer(
            explanation,
            "upweight explain",
            f"{job.data.name}, {table.target}",
            took(progress.seconds),
            data_facts(table),
            last,
            job.show_rows,
        )
    )


def _require_one_question(job: Job) -> None:
    given = [
        name
        for name, value in (("--row", job.rows or None), ("--query", job.query), ("--worst", job.worst))
        if value is not None
    ]
    if len(given) > 1:
        raise InputError(f"{' and '.join(given)} ask different questions. Give one of them.")


def _ask(job: Job, table: TableModel) -> Asked:
    if job.rows:
        return ask_rows(table, job.rows, job.keep, job.solver)
    if job.query is not None:
        return ask_query(table, job.query, job.id_column)
    return ask_worst(table, WORST if job.worst is None else job.worst, job.keep, job.solver)


def _goal(to: str | None, table: TableModel) -> Any:
    """The class, in the labels' own type, or the number.

    Raises: InputError if it is neither.
    """
    if to is None:
        return None
    adapted = table.influence.adapted
    if adapted.kind == "classification":
        found = [label for label in adapted.classes if str(label) == to]
        if not found:
            raise InputError(f"--to {to!r} is not a class. Use one of {listed(adapted.classes, 10)}.")
        return found[0]
    try:
        return float(to)
    except ValueError:
        raise InputError(f"--to {to!r} is not a number. Give the value of {table.target!r} to cross.") from None


def _report(job: Job, table: TableModel, explanation: Explanation) -> Any:
    again = Command(command_line("explain", job.data, _options(job, table)), "Run again")
    return document(
        explanation,
        f"{job.data.name} · {table.target}",
        "",
        written("explain"),
        data_facts(table),
        [provenance(table, job.seed), again],
        job.show_rows,
    )


def _options(job: Job, table: TableModel) -> list[tuple[str, object]]:
    """Everything that was asked for, so that it can be asked again."""
    return [
        ("--target", table.target),
        ("--id", job.id_column),
        ("--group", job.group),
        ("--time", job.time),
        ("--model", job.model),
        ("--trust-pickle", job.trust_pickle),
        *(("--row", row) for row in job.rows),
        ("--query", job.query),
        ("--worst", job.worst),
        ("--keep", job.keep),
        ("--to", job.to),
        ("--measurement", job.measurement),
        ("--solver", None if job.solver == "auto" else job.solver),
        ("--seed", job.seed or None),
        ("--no-rows", not job.show_rows),
        ("--report", job.report),
        ("--evidence", job.evidence),
        ("--model-card", job.model_card),
    ]


def _next(job: Job, table: TableModel, explanation: Explanation) -> str:
    """What is worth doing next: one row alone, else the report, else the check."""
    if job.evidence is not None:
        again: list[tuple[str, object]] = [
            ("--evidence", job.evidence),
            ("--model", job.model),
            ("--trust-pickle", job.trust_pickle),
        ]
        return command_line("check", job.data, again)
    options = [o for o in _options(job, table) if o[0] != "--model-card"]
    kept = [o for o in options if o[0] not in ("--row", "--worst", "--query", "--report", "--to")]
    if len(explanation.predictions) > 1 and job.query is None:
        return command_line("explain", job.data, [*kept, ("--row", explanation.predictions[0].id)])
    if job.report is None:
        return command_line("explain", job.data, [*options, ("--report", "report.html")])
    asked = ("--keep", "--measurement")
    return command_line("check", job.data, [o for o in kept if o[0] not in asked])
