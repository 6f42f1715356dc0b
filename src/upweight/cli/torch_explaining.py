"""The work of `upweight explain package.module:function`: call, open, ask, explain, print.

Stands on workflows and page; imported when the command runs.
"""

import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upweight.cli.forms import FORM, explanation_form, held_out_form
from upweight.cli.page import command_line, print_json, print_page, refuse_table_options, require_place, took, written
from upweight.cli.progress import Progress
from upweight.cli.torch_facts import network_facts, network_provenance
from upweight.display.blocks import Block, Command, Facts
from upweight.display.html import write_report
from upweight.errors import FileError, InputError, listed
from upweight.workflows.effort import LONG, in_words, seconds_to_explain
from upweight.workflows.explain import CHECKED, explain
from upweight.workflows.explanation import Explanation
from upweight.workflows.imported import own_faults
from upweight.workflows.pages import answer, document
from upweight.workflows.torch_opened import Opened, TorchAsked, ask_rows, ask_worst, open_task, x_of, y_of
from upweight.workflows.torch_rows import shown_rows
from upweight.workflows.torch_task import read_task

__all__ = ["TorchJob", "ready", "run"]

WORST = 5
HELD_OUT = 50  # queries on which harm to all of them is measured


@dataclass(frozen=True)
class TorchJob:
    """The options of the command; `table`: those that only a table has, by name."""

    name: str
    rows: tuple[str, ...]
    worst: int | None
    keep: bool
    to: str | None
    report: Path | None
    measurement: str | None
    solver: str
    device: str | None
    seed: int
    show_rows: bool
    as_json: bool
    table: dict[str, object]


def run(job: TorchJob, progress: Progress) -> None:
    """Answers on stdout; the report where it was asked for. What the user's code prints goes to stderr.

    Raises: UpweightError.
    """
    refuse_table_options(job.name, job.table)
    if job.rows and job.worst is not None:
        raise InputError("--row and --worst ask different questions. Give one of them.")
    if job.report is not None:
        require_place(job.report)
    with redirect_stdout(sys.stderr), own_faults(job.name):
        asked, explanation = _explained(job, progress)
        facts = network_facts(asked.opened)
    progress.close()
    failed = _write(job, asked.opened, explanation, facts, progress)
    _print(job, asked.opened, explanation, facts, progress)
    if failed is not None:
        raise failed


def ready(opened: Opened, progress: Progress) -> Any:
    """The pace of a network, its curvature made ready, a word before where that takes long; None of a linear head."""
    from upweight.network import Network
    from upweight.workflows.network_effort import pace_of

    network = opened.influence.adapted.objective
    if not isinstance(network, Network):
        return None
    pace = pace_of(network)
    if pace.ready > LONG:
        progress.say(f"Making the curvature ready will take about {in_words(pace.ready)}. It needs no disk.")
    _ = opened.influence.attribution.prepared
    progress("the curvature made ready")
    return pace


def _explained(job: TorchJob, progress: Progress) -> tuple[TorchAsked, Explanation]:
    opened = open_task(read_task(job.name, job.device), job.solver)
    progress(f"{job.name} called, {opened.rows.n:,} training rows read")
    pace = ready(opened, progress)
    if job.rows:
        asked = ask_rows(opened, job.rows, job.keep)
    else:
        asked = ask_worst(opened, WORST if job.worst is None else job.worst, job.keep)
    opened = asked.opened
    influence, predictions = opened.influence, len(asked.ids)
    flips = influence.adapted.kind == "classification" or job.to is not None
    seconds = _seconds(opened, pace, predictions, flips)
    if seconds > LONG:
        disk = f" and under 3 MB of disk for {job.report}" if job.report else ""
        progress.say(f"This will take about {in_words(seconds)}{disk}.")
    progress.begin(predictions + 2, "explaining")
    queries = opened.queries if opened.truths else None
    return asked, explain(
        influence,
        asked.x,
        asked.y,
        measurement=job.measurement or opened.measurement,
        to=_goal(job.to, opened),
        held_out=None if queries is None else (x_of(queries), y_of(queries)),
        held_out_most=HELD_OUT,
        rows=shown_rows(opened.rows),
        queries=asked.rows,
        ids=asked.ids,
        own=asked.own,
        origins=asked.origins,
        notes=opened.notes,
        seed=job.seed,
        progress=progress,
    )


def _seconds(opened: Opened, pace: Any, predictions: int, flips: bool) -> float:
    if pace is None:
        return seconds_to_explain(opened.influence, predictions, CHECKED, flips)
    from upweight.workflows.network_effort import seconds_of_explanation

    more = HELD_OUT if opened.truths else 0
    return seconds_of_explanation(opened.influence, pace, predictions, more, CHECKED, flips)


def _goal(to: str | None, opened: Opened) -> Any:
    """The class, in the labels' own type, or the number.

    Raises: InputError if it is neither, or where a flip would be many training runs.
    """
    if to is None:
        return None
    adapted = opened.influence.adapted
    if not opened.influence.attribution.refits_shown:
        raise InputError(
            "--to asks for a flip, whose search is many refits, and a refit of this network is a training run."
        )
    if adapted.kind == "classification":
        found = [label for label in adapted.classes if str(label) == to]
        if not found:
            raise InputError(f"--to {to!r} is not a class. Use one of {listed(adapted.classes, 10)}.")
        return found[0]
    try:
        return float(to)
    except ValueError:
        raise InputError(f"--to {to!r} is not a number. Give the value to cross.") from None


def _write(
    job: TorchJob, opened: Opened, explanation: Explanation, facts: list[tuple[str, str]], progress: Progress
) -> FileError | None:
    """The report; what went wrong is raised only once the answer, which is there, has been printed."""
    if job.report is None:
        return None
    last: list[Block] = [
        network_provenance(opened, job.seed),
        Command(command_line("explain", job.name, _options(job)), "Run again"),
    ]
    page = document(explanation, job.name, "", written("explain"), facts, last, job.show_rows)
    try:
        write_report(page, job.report)
    except FileError as error:
        return error
    progress.written.append(str(job.report))
    return None


def _print(
    job: TorchJob, opened: Opened, explanation: Explanation, facts: list[tuple[str, str]], progress: Progress
) -> None:
    """The answer on stdout."""
    report = progress.written[-1] if progress.written else None
    if job.as_json:
        queries = 0 if opened.queries is None else opened.queries.n
        head = {"upweight": FORM, "command": "explain", "data": job.name, "seed": job.seed}
        head |= {"held_out": held_out_form(queries)}
        tail = {"report": report, "seconds": round(progress.seconds, 2)}
        print_json({**head, **explanation_form(explanation, job.show_rows), **tail})
        return
    last: list[Block] = []
    if report is not None:
        last.append(Facts((("Report", f"{report}     open it in a browser; it needs no internet"),)))
    last.append(Command(_next(job, explanation)))
    print_page(answer(explanation, "upweight explain", job.name, took(progress.seconds), facts, last, job.show_rows))


def _options(job: TorchJob) -> list[tuple[str, object]]:
    """Everything that was asked for, so that it can be asked again."""
    return [
        *(("--row", row) for row in job.rows),
        ("--worst", job.worst),
        ("--keep", job.keep),
        ("--to", job.to),
        ("--measurement", job.measurement),
        ("--solver", None if job.solver == "auto" else job.solver),
        ("--device", job.device),
        ("--seed", job.seed or None),
        ("--no-rows", not job.show_rows),
        ("--report", job.report),
    ]


def _next(job: TorchJob, explanation: Explanation) -> str:
    """What is worth doing next: one row alone, else the report, else the check."""
    kept = [o for o in _options(job) if o[0] not in ("--row", "--worst", "--report", "--to")]
    if len(explanation.predictions) > 1:
        return command_line("explain", job.name, [*kept, ("--row", explanation.predictions[0].id)])
    if job.report is None:
        return command_line("explain", job.name, [*_options(job), ("--report", "report.html")])
    return command_line("check", job.name, [o for o in kept if o[0] not in ("--keep", "--measurement")])
