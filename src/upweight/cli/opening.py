"""A table opened for a command, with a word beforehand where fitting its model takes long.

Stands on workflows.table_model; explain and check stand on it.
"""

from pathlib import Path

from upweight.cli.progress import Progress
from upweight.workflows.effort import LONG, seconds_to_fit
from upweight.workflows.table_model import TableModel, open_table

__all__ = ["open_said"]


def open_said(
    data: Path,
    target: str | None,
    id_column: str | None,
    group: str | None,
    time: str | None,
    model: Path | None,
    trust_pickle: bool,
    solver: str,
    seed: int,
    progress: Progress,
) -> TableModel:
    """`open_table`, telling progress what was done.

    Raises: UpweightError.
    """

    def before_fit(rows: int, columns: int) -> None:
        progress(f"{data.name} read")
        seconds = seconds_to_fit(rows, columns)
        if seconds > LONG:
            progress.say(f"Fitting a model to {rows:,} rows; this may take about {seconds:.0f} s. It needs no disk.")

    table = open_table(
        data,
        target,
        id_column=id_column,
        group=group,
        time=time,
        model=model,
        trust_pickle=trust_pickle,
        solver=solver,
        seed=seed,
        before_fit=before_fit,
    )
    how = "fitted to" if model is None else "loaded, with"
    progress(f"a model of {table.target!r} {how} {len(table.train):,} rows")
    return table
