"""The work of `upweight compare`: open both, ask both the same, print; imported when the command runs.

Stands on workflows and page.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from upweight.adapters.inputs import take_rows
from upweight.cli.facts import data_facts, provenance
from upweight.cli.forms import FORM, held_out_form
from upweight.cli.opening import open_said
from upweight.cli.page import command_line, print_json, print_page, require_report_apart, took, written
from upweight.cli.progress import Progress
from upweight.display.blocks import Block, Command, Document, Facts, Section
from upweight.display.html import write_report
from upweight.display.words import among
from upweight.errors import FileError, InputError
from upweight.workflows.asked import Asked, ask_query, ask_rows
from upweight.workflows.compare import compare
from upweight.workflows.comparison import Comparison
from upweight.workflows.effort import LONG, in_words
from upweight.workflows.imported import names_function
from upweight.workflows.json_values import as_number, as_plain, grade_form
from upweight.workflows.quality import quality
from upweight.workflows.second_model import second_model
from upweight.workflows.table_model import TableModel

__all__ = ["AT_ONCE", "Job", "run"]

AT_ONCE = 100  # held-out rows that are predicted unasked
SHOWN = 10


@dataclass(frozen=True)
class Job:
    """The options of the command."""

    data: Path
    target: str | None
    models: tuple[Path, ...]
    without: tuple[str, ...]
    rows: tuple[str, ...]
    query: Path | None
    id_column: str | None
    group: str | None
    time: str | None
    trust_pickle: bool
    report: Path | None
    solver: str
    seed: int
    show_rows: bool
    as_json: bool


def run(job: Job, progress: Progress) -> None:
    """Answers on stdout; the report where it was asked for.

    Raises: UpweightError.
    """
    _require_two(job)
    if job.report is not None:
        require_report_apart(job.report, (job.data, job.query, *job.models))
    first = _open(job, job.models[0] if job.models else None, job.target, progress)
    if len(job.models) == 2:
        second = _open(job, job.models[1], first.target, progress)
    else:
        second = second_model(first, job.without, job.solver, job.seed)
        progress("a pipeline to compare it with fitted")
    one, two = _ask(job, first, second)
    y = None if one.y is None or one.y.isna().any() else one.y
    seconds = sum(_seconds(asked) for asked in (one, two))
    if seconds > LONG:
        disk = f" and under 3 MB of disk for {job.report}" if job.report else ""
        progress.say(f"This will take about {in_words(seconds)}{disk}.")
    found = compare(one.table.influence, two.table.influence, one.x, y, X_query_b=two.x, names=_names(job))
    progress.close()
    failed = _write(job, one, two, found, progress)
    _print(job, one, two, found, progress)
    if failed is not None:
        raise failed


def _require_two(job: Job) -> None:
    """Raises: InputError unless the options name two models and one kind of predictions."""
    if names_function(job.data):
        raise InputError(f"{job.data}: compare reads a table. Networks are compared in Python: upweight.compare(…).")
    if len(job.models) > 2:
        raise InputError(f"--model is given {len(job.models)} times. Two models are compared: give it once or twice.")
    if not job.models and not job.without:
        raise InputError(
            "compare needs two models: --model twice; once, for one beside a pipeline fitted here; or --without "
            "COLUMN, for that pipeline with and without a column."
        )
    if len(job.models) == 2 and job.without:
        raise InputError("--without changes the pipeline that is fitted here, and two --model leave none. Drop one.")
    if job.rows and job.query is not None:
        raise InputError("--row and --query ask different questions. Give one of them.")


def _open(job: Job, model: Path | None, target: str | None, progress: Progress) -> TableModel:
    return open_said(
        job.data, target, job.id_column, job.group, job.time, model, job.trust_pickle, job.solver, job.seed, progress
    )


def _ask(job: Job, first: TableModel, second: TableModel) -> tuple[Asked, Asked]:
    """The same predictions of both.

    Raises: InputError where there is nothing to predict.
    """
    if job.rows:
        return ask_rows(first, job.rows, False, job.solver), ask_rows(second, job.rows, False, job.solver)
    if job.query is not None:
        return ask_query(first, job.query, job.id_column), ask_query(second, job.query, job.id_column)
    at = np.intersect1d(first.held_out, second.held_out)
    if not len(at):
        raise InputError(f"{job.data}: no row was held out of both models. Say what to predict: --query FILE or --row.")
    if len(at) > AT_ONCE:
        at = np.sort(np.random.default_rng(job.seed).choice(at, size=AT_ONCE, replace=False))
    ids = [str(row) for row in first.frame.index[at]]
    return ask_rows(first, ids, False, job.solver), ask_rows(second, ids, False, job.solver)


def _seconds(asked: Asked) -> float:
    """At the pace of one prediction and of one refit; many at once are quicker."""
    influence, x = asked.table.influence, take_rows(asked.x, [0])
    influence.scores(x, measurement="prediction")  # what is made ready once is no part of the pace
    start = time.perf_counter()
    influence.scores(x, measurement="prediction")
    scored = time.perf_counter()
    influence.attribution.refitted([[0]])
    return len(asked.rows) * (scored - start) + 2 * SHOWN * (time.perf_counter() - scored)


def _names(job: Job) -> tuple[str, str]:
    """What the models are called: the files' names; "fitted here", and what that one leaves out."""
    here = f"without {among(job.without)}" if job.without else "fitted here"
    if len(job.models) == 2:
        one, two = job.models
        return (one.stem, two.stem) if one.stem != two.stem else (str(one), str(two))
    return (job.models[0].stem, here) if job.models else ("all columns", here)


def _facts(one: Asked, two: Asked, found: Comparison) -> list[tuple[str, str]]:
    good = quality(two.table)
    name = f"{found.b.name}: {two.table.influence.adapted.model_name}"
    return [*data_facts(one.table), ("against", ", ".join(part for part in (name, good) if part))]


def _page(job: Job, one: Asked, two: Asked, found: Comparison, last: Sequence[Block], footer: str) -> Document:
    page = found.document(SHOWN, "upweight compare", job.show_rows, tuple(one.rows.index))
    facts = Section("", "data", (Facts(tuple(_facts(one, two, found))),))
    end = Section("", "last", tuple(last))
    title = f"{job.data.name}, {one.table.target}"
    return replace(page, subtitle=title, sections=(facts, *page.sections, end), footer=footer)


def _write(job: Job, one: Asked, two: Asked, found: Comparison, progress: Progress) -> FileError | None:
    """The report; what went wrong is raised only once the answer, which is there, has been printed."""
    if job.report is None:
        return None
    again = Command(command_line("compare", job.data, _options(job, one.table)), "Run again")
    page = _page(job, one, two, found, [provenance(one.table, job.seed), again], written("compare"))
    try:
        write_report(page, job.report)
    except FileError as error:
        return error
    progress.written.append(str(job.report))
    return None


def _print(job: Job, one: Asked, two: Asked, found: Comparison, progress: Progress) -> None:
    report = progress.written[-1] if progress.written else None
    if job.as_json:
        print_json({**_form(job, one, found), "report": report, "seconds": round(progress.seconds, 2)})
        return
    last: list[Block] = []
    if report is not None:
        last.append(Facts((("Report", f"{report}     open it in a browser; it needs no internet"),)))
    last.append(Command(_next(job, one, found)))
    print_page(_page(job, one, two, found, last, took(progress.seconds)))


def _form(job: Job, one: Asked, found: Comparison) -> dict[str, Any]:
    """As documented in docs/commands.md."""
    table, hidden = one.table, () if job.show_rows else ("label",)
    lines = found.to_frame().drop(columns="query").drop(columns=list(hidden), errors="ignore").to_dict("records")
    rows = found.rows(SHOWN).drop(columns=list(hidden), errors="ignore").to_dict("records")
    return {
        "upweight": FORM,
        "command": "compare",
        "data": str(job.data),
        "seed": job.seed,
        "held_out": held_out_form(len(table.held_out), table.arrangement, table.apart),
        "id": table.id_name,
        "target": table.target,
        "kind": table.influence.adapted.kind,
        "train_rows": len(found.row_ids),
        "models": {
            end: {
                "name": side.name,
                "measurement": side.scores.measurement,
                "unit": side.scores.unit,
                "spread": as_number(side.spread),
                "grade": grade_form(side.scores.grade),
                "how": side.scores.how,
            }
            for end, side in (("a", found.a), ("b", found.b))
        },
        "sentences": list(found.sentences),
        "predictions": [
            {"id": as_plain(row), **{str(name): as_plain(value) for name, value in line.items()}}
            for row, line in zip(one.rows.index, lines, strict=True)
        ],
        "rows": [
            {"id": as_plain(line["row"]), **{str(k): as_plain(v) for k, v in line.items() if k != "row"}}
            for line in rows
        ],
        "meaning": found.meaning,
        "notes": list(table.notes),
    }


def _options(job: Job, table: TableModel) -> list[tuple[str, object]]:
    """Everything that was asked for, so that it can be asked again."""
    return [
        ("--target", table.target),
        ("--id", job.id_column),
        ("--group", job.group),
        ("--time", job.time),
        *(("--model", model) for model in job.models),
        *(("--without", column) for column in job.without),
        ("--trust-pickle", job.trust_pickle),
        *(("--row", row) for row in job.rows),
        ("--query", job.query),
        ("--solver", None if job.solver == "auto" else job.solver),
        ("--seed", job.seed or None),
        ("--no-rows", not job.show_rows),
        ("--report", job.report),
    ]


def _next(job: Job, one: Asked, found: Comparison) -> str:
    """The prediction on which the models agree least, explained by the first; of another file the report."""
    options = _options(job, one.table)
    if job.query is not None:
        return command_line("compare", job.data, [*options, *([] if job.report else [("--report", "report.html")])])
    least = one.rows.index[int(np.argmin(np.nan_to_num(found.agreement, nan=np.inf)))]
    kept = [o for o in options if o[0] not in ("--model", "--without", "--row", "--report")]
    model = [("--model", job.models[0])] if job.models else []
    return command_line("explain", job.data, [*kept, *model, ("--row", least)])
