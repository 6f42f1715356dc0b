"""`upweight compare`: two models that learnt from the same rows, on the same predictions."""

from pathlib import Path
from typing import Annotated

import typer

from upweight.cli.options import (
    AsJson,
    Debug,
    Group,
    Id,
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

__all__ = ["compare"]


def compare(
    data: Table,
    target: Target = None,
    model: Annotated[
        list[Path] | None,
        typer.Option(
            "--model",
            help="A fitted scikit-learn model, as skops; twice for two. One alone is compared with a pipeline that is "
            "fitted here to the same rows.",
            show_default=False,
        ),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            "--without",
            help="A column that the second model, a pipeline fitted here, does not read; repeat it for more.",
            show_default=False,
        ),
    ] = None,
    row: Annotated[
        list[str] | None,
        typer.Option(
            "--row",
            help="A data row of the file, counted from 0, or its id with --id; repeat it for more. A training row is "
            "first taken out of both models' training rows.",
            show_default=False,
        ),
    ] = None,
    query: Query = None,
    id_column: Id = None,
    group: Group = None,
    time: Time = None,
    trust_pickle: TrustPickle = False,
    report: Report = None,
    solver: Solver = "auto",
    seed: Seed = 0,
    no_rows: NoRows = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Compare which training rows two models lean on for the same predictions.

    Without --row or --query, up to 100 held-out rows are predicted. The models must have learnt from the same rows.

    \b
    Example, after `make demo`:
      upweight compare demo/digits.csv --model demo/model.skops
    """
    from upweight.cli.comparing import Job, run

    run(
        Job(
            data=data, target=target, models=tuple(model or ()), without=tuple(without or ()), rows=tuple(row or ()),
            query=query, id_column=id_column, group=group, time=time, trust_pickle=trust_pickle, report=report,
            solver=solver, seed=seed, show_rows=not no_rows, as_json=as_json,
        ),
        current(),
    )  # fmt: skip
