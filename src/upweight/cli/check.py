"""`upweight check`: estimates against real refits on held-out rows, the grade, and an exit code for CI."""

from pathlib import Path
from typing import Annotated

import typer

from upweight.cli.options import (
    AsJson,
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

ROWS = 24


def check(
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="DATA",
            help="The table: CSV, TSV, either gzipped, or Parquet; or package.module:function, which returns a "
            "network's (model, loss, data). With --evidence: the record's own file, where it now lies elsewhere.",
            show_default=False,
        ),
    ] = None,
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
    evidence: Annotated[
        Path | None,
        typer.Option(
            "--evidence",
            help="Run a record of `upweight explain --evidence` again: same data, model and question; exit with 1 "
            "where a number differs.",
            show_default=False,
        ),
    ] = None,
    rows: Annotated[int, typer.Option("--rows", min=3, help="How many training rows are really removed.")] = ROWS,
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
    if evidence is not None:
        from upweight.cli.rerunning import RecordJob
        from upweight.cli.rerunning import run as run_again

        others: dict[str, object] = {
            "--target": target, "--id": id_column, "--group": group, "--time": time, "--min-grade": min_grade,
            "--junit": junit, "--rows": rows != ROWS, "--solver": solver != "auto", "--device": device,
            "--seed": seed != 0,
        }  # fmt: skip
        code = run_again(RecordJob(evidence, data, model, trust_pickle, as_json, others), current())
        if code:
            raise typer.Exit(code)
        return
    if data is None:
        raise typer.BadParameter("give DATA, the table; or --evidence FILE, to run a record again.")
    from upweight.workflows.imported import names_function, require_torch

    if names_function(data):
        require_torch(data)
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
