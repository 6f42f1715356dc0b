"""`upweight check`: estimates against real refits on held-out rows, the grade, and an exit code for CI."""

from pathlib import Path
from typing import Annotated

import typer

from upweight.cli.options import (
    AsJson,
    Data,
    Debug,
    Device,
    Group,
    Id,
    Model,
    NoRows,
    Seed,
    Solver,
    Target,
    Time,
    TrustPickle,
)
from upweight.cli.progress import current

__all__ = ["check"]


def check(
    data: Data,
    target: Target = None,
    id_column: Id = None,
    group: Group = None,
    time: Time = None,
    model: Model = None,
    trust_pickle: TrustPickle = False,
    min_grade: Annotated[
        str | None,
        typer.Option("--min-grade", help="Exit with 1 where the grade is below this letter.", show_default=False),
    ] = None,
    junit: Annotated[
        Path | None, typer.Option("--junit", help="Write the outcome as JUnit XML, for CI.", show_default=False)
    ] = None,
    rows: Annotated[int, typer.Option("--rows", min=3, help="How many training rows are really removed.")] = 24,
    solver: Solver = "auto",
    device: Device = None,
    seed: Seed = 0,
    no_rows: NoRows = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Remove training rows for real, and compare with the estimates; end in a grade.

    \b
    Example, after `make demo`:
      upweight check demo/digits.csv --model demo/model.skops --min-grade C
    """
    from upweight.workflows.imported import names_function

    if names_function(data):
        from upweight.cli.torch_checking import TorchCheckJob
        from upweight.cli.torch_checking import run as run_torch

        code = run_torch(
            TorchCheckJob(
                name=str(data), min_grade=min_grade, junit=junit, rows=rows, solver=solver, device=device, seed=seed,
                as_json=as_json,
                table={
                    "--target": target, "--id": id_column, "--group": group, "--time": time, "--model": model,
                    "--trust-pickle": trust_pickle,
                },
            ),
            current(),
        )  # fmt: skip
        if code:
            raise typer.Exit(code)
        return
    from upweight.cli.checking import Job, run
    from upweight.cli.page import require_host

    require_host(device)
    code = run(
        Job(
            data=data, target=target, id_column=id_column, group=group, time=time, model=model,
            trust_pickle=trust_pickle, min_grade=min_grade, junit=junit, rows=rows, solver=solver, seed=seed,
            as_json=as_json, show_rows=not no_rows,
        ),
        current(),
    )  # fmt: skip
    if code:
        raise typer.Exit(code)
