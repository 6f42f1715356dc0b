"""`upweight audit`: how far few changed training rows can move predictions, and an exit code for CI."""

from typing import Annotated

import typer

from upweight.cli.options import (
    AsJson,
    Debug,
    Group,
    Id,
    Model,
    NoRows,
    Query,
    Report,
    Seed,
    Solver,
    Table,
    Target,
    Time,
    TrustPickle,
)
from upweight.cli.progress import current

__all__ = ["audit"]


def audit(
    data: Table,
    target: Target = None,
    row: Annotated[
        list[str] | None,
        typer.Option(
            "--row",
            help="A data row of the file, counted from 0, or its id with --id; repeat it for more. A training row is "
            "first taken out of the training rows.",
            show_default=False,
        ),
    ] = None,
    query: Query = None,
    worst: Annotated[
        int | None,
        typer.Option("--worst", help="The K held-out rows that are predicted worst.", show_default=False),
    ] = None,
    rows_changed: Annotated[
        str,
        typer.Option("--rows-changed", help="How many training rows may be changed at once; several as 1,2,10."),
    ] = "1",
    within: Annotated[
        list[str] | None,
        typer.Option(
            "--within",
            help="How far a cell may move, in its own unit: a number, or COLUMN=NUMBER, repeated (other columns then "
            "stay). If not given, by less than half of what the column's own numbers show.",
            show_default=False,
        ),
    ] = None,
    together: Annotated[
        bool, typer.Option("--together", help="One change against all predictions, instead of one for each.")
    ] = False,
    max_fragile: Annotated[
        int | None,
        typer.Option(
            "--max-fragile", min=0, help="Exit with 1 where more predictions than this are flipped.", show_default=False
        ),
    ] = None,
    id_column: Id = None,
    group: Group = None,
    time: Time = None,
    model: Model = None,
    trust_pickle: TrustPickle = False,
    report: Report = None,
    solver: Solver = "auto",
    seed: Seed = 0,
    no_rows: NoRows = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Change a few training rows by little, and see which predictions flip.

    Every flip is counted by refitting the model on the changed rows. Without --row, --query or --worst, up to 20
    held-out rows are predicted. Labels stay.

    \b
    Example, after `make demo`:
      upweight audit demo/digits.csv --model demo/model.skops --row 683
    """
    from upweight.cli.audit_job import Job, counts, moves
    from upweight.cli.auditing import run

    code = run(
        Job(
            data=data, target=target, rows=tuple(row or ()), query=query, worst=worst, changed=counts(rows_changed),
            within=moves(tuple(within or ())), together=together, max_fragile=max_fragile, id_column=id_column,
            group=group, time=time, model=model, trust_pickle=trust_pickle, report=report, solver=solver, seed=seed,
            show_rows=not no_rows, as_json=as_json,
        ),
        current(),
    )  # fmt: skip
    if code:
        raise typer.Exit(code)
