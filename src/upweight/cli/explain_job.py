"""The options of `upweight explain` as one value, as the question of an evidence record, and back.

Stands on nothing but workflows' constants; explaining and rerunning stand on it.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upweight.errors import InputError
from upweight.workflows.explain import CHECKED, SHOWN

__all__ = ["Job", "job_of", "places", "question_of"]


@dataclass(frozen=True)
class Job:
    """The options of the command."""

    data: Path
    target: str | None
    rows: tuple[str, ...]
    query: Path | None
    worst: int | None
    id_column: str | None
    group: str | None
    time: str | None
    model: Path | None
    trust_pickle: bool
    keep: bool
    to: str | None
    report: Path | None
    measurement: str | None
    solver: str
    seed: int
    show_rows: bool
    as_json: bool
    evidence: Path | None = None
    model_card: Path | None = None
    shown: int = SHOWN  # these two are a record's own where it is run again
    checked: int = CHECKED


def places(job: Job) -> list[Path]:
    """The files that will be written.

    Raises: InputError where one of them is a file that is read, or is named twice.
    """
    taken = {os.path.realpath(path): name for path, name in _read(job) if path is not None}
    out = [("--report", job.report), ("--evidence", job.evidence), ("--model-card", job.model_card)]
    found = []
    for option, path in out:
        if path is None:
            continue
        real = os.path.realpath(path)
        if real in taken:
            raise InputError(f"{option} {path} is also {taken[real]}. Give it a file of its own.")
        taken[real] = f"the file of {option}"
        found.append(path)
    return found


def question_of(job: Job, target: str, task: str) -> dict[str, Any]:
    """What was asked, as a record has it."""
    return {
        "asked_by": "explain",
        "data": str(job.data),
        "model": _text(job.model),
        "query": _text(job.query),
        "target": target,
        "task": task,
        "id_column": job.id_column,
        "group": job.group,
        "time": job.time,
        "rows": list(job.rows),
        "worst": job.worst,
        "keep": job.keep,
        "to": job.to,
        "measurement": job.measurement,
        "solver": job.solver,
        "seed": job.seed,
        "shown": job.shown,
        "checked": job.checked,
        "with_rows": job.show_rows,
    }


def job_of(
    question: Mapping[str, Any],
    data: Path,
    model: Path | None,
    query: Path | None,
    evidence: Path,
    trust_pickle: bool,
) -> Job:
    """The same question, asked of these files; evidence: the record that it stands in."""
    return Job(
        data=data,
        target=question["target"],
        rows=tuple(question["rows"]),
        query=query,
        worst=question["worst"],
        id_column=question["id_column"],
        group=question["group"],
        time=question["time"],
        model=model,
        trust_pickle=trust_pickle,
        keep=question["keep"],
        to=question["to"],
        report=None,
        measurement=question["measurement"],
        solver=question["solver"],
        seed=int(question["seed"]),
        show_rows=question["with_rows"],
        as_json=False,
        evidence=evidence,
        shown=int(question["shown"]),
        checked=int(question["checked"]),
    )


def _read(job: Job) -> tuple[tuple[Path | None, str], ...]:
    return (job.data, "the data"), (job.query, "the file of --query"), (job.model, "the model")


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
