"""The work of `upweight doctor`: diagnose, print; imported when the command runs.

Stands on workflows.doctor and page.
"""

import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from upweight.cli.failures import FINDING
from upweight.cli.forms import FORM
from upweight.cli.page import command_line, print_json, print_page, refuse_table_options, require_host, took
from upweight.cli.progress import Progress
from upweight.display.blocks import Command
from upweight.workflows.doctor import diagnose
from upweight.workflows.imported import names_function

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
    solver: str
    device: str | None
    seed: int
    as_json: bool


def run(job: Job, progress: Progress) -> int:
    """The exit code: 0, or FINDING where something is not fine.

    Raises: UpweightError.
    """
    named = {
        "--target": job.target, "--id": job.id_column, "--group": job.group, "--time": job.time, "--model": job.model,
        "--trust-pickle": job.trust_pickle,
    }  # fmt: skip
    if names_function(job.data):
        refuse_table_options(str(job.data), named)
    else:
        require_host(job.device)
    with redirect_stdout(sys.stderr):  # what the user's own code prints
        found = diagnose(
            job.data,
            job.target,
            id_column=job.id_column,
            group=job.group,
            time=job.time,
            model=job.model,
            trust_pickle=job.trust_pickle,
            solver=job.solver,
            device=job.device,
            seed=job.seed,
        )
    if job.as_json:
        head = {"upweight": FORM, "command": "doctor", "data": str(job.data), "target": job.target, "seed": job.seed}
        print_json({**head, **found.form(), "seconds": round(progress.seconds, 2)})
    else:
        options = [*named.items(), ("--solver", None if job.solver == "auto" else job.solver), ("--device", job.device)]
        again = command_line("doctor" if found.of("problem") else "explain", job.data, options)
        print_page(found.document(took(progress.seconds), (Command(again),)))
    return 0 if found.fine else FINDING
